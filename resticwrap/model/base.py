"""The base of every value that is not a policy: frozen, and encoded to JSON by one function."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value. Reading one from JSON ignores unknown fields, so a newer `rw` may add some."""


def to_json(value: Any) -> bytes:
    """One line of JSON; times in ISO 8601 with their zone. Text of others that is not Unicode is escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_unicode(msgspec.to_builtins(value)))


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_unicode(key): _unicode(item) for key, item in value.items()}
    return [_unicode(item) for item in value] if isinstance(value, list | tuple) else value


T = TypeVar("T")


def from_json(kind: type[T], data: bytes) -> T:
    """Raises ValueError where the bytes are not such a value."""
    return msgspec.json.decode(data, type=kind)


Time = datetime
"""Always with its zone, UTC."""
