"""The base of every value that is not a policy: frozen, and encoded to JSON by one function."""

import threading
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
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_building = threading.Lock()


def from_json(kind: type[T], data: bytes | str) -> T:
    """Raises ValueError where the bytes are not such a value."""
    found: T = _decoder(kind).decode(data)
    return found


def convert(kind: type[T], value: Any, *, str_keys: bool = False) -> T:
    """The same of what JSON was already: raises ValueError where it is not such a value."""
    _decoder(kind)
    return msgspec.convert(value, kind, str_keys=str_keys)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Made once for each kind, by one thread at a time: msgspec hangs what it knows of a struct on its class before it
    knows all of it, and a second thread that decodes one meanwhile reads through a null pointer (msgspec 0.22.0)."""
    made = _decoders.get(kind)
    if made is None:
        with _building:
            made = _decoders[kind] = msgspec.json.Decoder(kind)
    return made


Time = datetime
"""Always with its zone, UTC."""
