"""Lines of stories: one JSON object each, whatever is in them."""

import json
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from resticwrap.model.story import LONGEST, LogLine, decode, encode

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=())) | st.text('\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0\udcff"\\')


@given(TEXT, st.none() | TEXT, TEXT)
@example("a\nb", "c\u2028d", "x" * 100_000)
def test_any_text_is_one_line(message: str, domain: str | None, command: str) -> None:
    """Exactly one, by whatever ends lines for whoever reads it, and of a bounded length."""
    data = encode(LogLine(time=NOW, level="info", message=message, domain=domain, command=command))
    assert data.endswith(b"\n") and data.count(b"\n") == 1
    assert len(data.decode().splitlines()) == 1
    assert len(data) <= 3 * 12 * (LONGEST + 100)
    told = json.loads(data)
    assert told["time"] == "2026-11-28T12:00:00Z" and set(told) <= {"time", "level", "message", "domain", "command"}
    read = decode(data[:-1])
    assert read is not None
    if message.isprintable() and len(message) <= LONGEST:
        assert read.message == message


def test_half_a_line_is_none() -> None:
    """As a full disk leaves it."""
    data = encode(LogLine(time=NOW, level="info", message="whole"))
    assert [decode(data[:length]) for length in range(len(data) - 1)] == [None] * (len(data) - 1)
