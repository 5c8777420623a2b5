"""Rows as CSV."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from resticwrap.planning.rowcsv import Field, quoted, read

TEXT = some.text(some.characters(exclude_categories=["Cs"]))


@given(some.lists(some.lists(some.none() | TEXT, min_size=2, max_size=2)), some.lists(some.integers(0)))
def test_round_trip(rows: list[list[str | None]], cuts: list[int]) -> None:
    """Nothing and an empty text stay two things, and pieces do not matter."""
    text = "".join(",".join("" if cell is None else quoted(cell) for cell in row) + "\n" for row in rows).encode()
    ends = sorted({0, *(cut % (len(text) + 1) for cut in cuts), len(text)})
    found = list(read(text[one:other] for one, other in pairwise(ends)))
    assert [[None if cell.null else cell.text for cell in row] for row in found] == rows


def test_as_other_programs_write_it() -> None:
    """Ends of lines of Windows, quotes where they are needed only, and no end of the last line."""
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b,c"], ['say "x"', "two\nlines"]])
    found = list(read([out.getvalue().rstrip("\r\n").encode()]))
    assert found == [
        [Field("a"), Field("b,c", True)],
        [Field('say "x"', True), Field("two\nlines", True)],
    ]


@pytest.mark.parametrize("text", [b'"a\n', b'a"b"\n', b'"a"b\n', b'a,"b\n\n'])
def test_what_is_no_csv(text: bytes) -> None:
    """It is told with its record."""
    with pytest.raises(ValueError, match="record 1"):
        list(read([text]))
