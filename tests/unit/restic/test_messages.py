"""restic's messages as types: what is new is ignored, what is wrong is a failure in words."""

import inspect
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.errors import ResticFailed
from resticwrap.restic import messages

TYPES = [
    kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, messages._Message) and not kind.__name__.startswith("_")
]
VALUES: dict[str, Any] = {"time": "2026-11-23T12:00:00Z", "error": {"message": "m"}, "summary": {}}


def least(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A message with only the fields that it must have."""
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            found[field.encode_name] = VALUES.get(field.name, 1 if field.type is int else "text")
    return found


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_unknown_fields_are_ignored(kind: type[Any]) -> None:
    """A newer restic may say more; the fields with zero are left out by any."""
    line = json.dumps({**least(kind), "brand_new": {"deep": [1]}, "message_type": "whatever"}).encode()
    assert messages.decode(line, kind) == messages.decode(json.dumps(least(kind)).encode(), kind)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_wrong_types_fail_in_words(kind: type[Any]) -> None:
    """Every field, one after the other: a sentence and a hint, and the value in neither."""
    for field in msgspec.structs.fields(kind):
        line = json.dumps({**least(kind), field.encode_name: {"wrong": "hunter2"} if field.name not in VALUES else 7})
        if field.name == "error" or field.name == "summary":
            line = json.dumps({**least(kind), field.encode_name: "hunter2"})
        with pytest.raises(ResticFailed, match=f"printed a {kind.__name__}") as caught:
            messages.decode(line.encode(), kind)
        assert caught.value.hint and "hunter2" not in caught.value.message + caught.value.hint


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_any_line_has_a_type_or_none(line: bytes) -> None:
    """Plain text, other JSON and rubbish are told from messages without an exception; read as one, they fail."""
    assert messages.message_type(line) is None
    with pytest.raises(ResticFailed):
        messages.decode(line, messages.CheckSummary)


def test_types_of_lines() -> None:
    """A message without a type is one; a type that is no text is none."""
    assert messages.message_type(b'{"message_type": "status", "x": 1}') == "status"
    assert messages.message_type(b"{}") == ""
    assert messages.message_type(b'{"message_type": 5}') is None


def test_lists() -> None:
    """restic prints `null` where there is nothing."""
    one = b'{"time": "2026-11-23T12:00:00.123456789+08:00", "tree": "t", "id": "i", "brand_new": 1}'
    (found,) = messages.decode_list(b"[" + one + b"]", messages.SnapshotJson)
    assert (found.id, found.tags) == ("i", None)
    assert messages.decode_list(b"null", messages.SnapshotJson) == []
    for wrong in (b"", b"{}", b"[1]", b"[" + one):
        with pytest.raises(ResticFailed):
            messages.decode_list(wrong, messages.SnapshotJson)
