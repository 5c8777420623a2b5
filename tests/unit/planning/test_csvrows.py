"""Rows as CSV: whatever a value is, it comes back, and NULL is not the empty text."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.planning import csvrows

FIELD = (
    st.none()
    | st.text().map(str.encode)
    | st.sampled_from([b"", b'"', b"\\.", b"a,b", b"\r\n", b"\n", b"\xff\x00", b"\xef\xbb\xbf"])
)
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(FIELD, min_size=width, max_size=width), min_size=1))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(ROWS, st.integers(1, 9))
def test_round_trip(rows: list[csvrows.Fields], size: int) -> None:
    """In pieces of any size; an empty line is a row only where there is one column."""
    rows[0] = [b"x"] * len(rows[0])
    written = b"".join(map(csvrows.line, rows))
    assert list(csvrows.records(cut(written, size))) == rows
    counter = csvrows.Counter()
    for piece in cut(written, size):
        counter.feed(piece)
    assert (counter.rows, counter.size) == (len(rows), len(written))


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2),
        min_size=1,
    )
)
def test_as_python_writes_it(rows: list[list[str]]) -> None:
    """With other line ends, and without the last one."""
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    data = file.getvalue().encode()
    expected = [[one.encode() for one in row] for row in rows]
    assert list(csvrows.records([data])) == expected == list(csvrows.records([data.removesuffix(b"\r\n")]))


@given(st.lists(FIELD, min_size=1))
def test_what_copy_reads(fields: csvrows.Fields) -> None:
    """A row is one line, with as many fields as it has, and never the line that ends rows."""
    line = csvrows.copy_line(fields)
    assert line.count(b"\n") == 1 and line != b"\\.\n"
    back = [None if one == rb"\N" else _plain(one) for one in line[:-1].split(b"\t")]
    assert back == fields


def _plain(value: bytes) -> bytes:
    out, letters = b"", iter(value.decode("latin-1"))
    for letter in letters:
        if letter == "\\":
            letter = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[next(letters)]
        out += letter.encode("latin-1")
    return out


def test_what_stood_in_quotes() -> None:
    """It can be told from what stood there bare, as other programs write it: in quotes only where they are needed."""
    out = io.StringIO()
    csv.writer(out).writerows([["a", "b,c"], ['say "x"', "two\nlines"]])
    found = list(csvrows.records([out.getvalue().rstrip("\r\n").encode(), b""]))
    assert found == [[b"a", b"b,c"], [b'say "x"', b"two\nlines"]]
    assert [[isinstance(one, csvrows.Quoted) for one in row] for row in found] == [[False, True], [True, True]]
    assert list(csvrows.records([csvrows.quoted(b"") + b"\n"])) == [[b""]]


@pytest.mark.parametrize("text", [b'"a\n', b'a"b"\n', b'"a"b\n', b'a,"b\n\n'])
def test_quotes_that_do_not_close(text: bytes) -> None:
    """They are told with their row."""
    with pytest.raises(ValueError, match="row 1"):
        list(csvrows.records([text]))


def test_what_people_save() -> None:
    """A mark in front, empty lines, no end."""
    data = b'\xef\xbb\xbfid,name\r\n1,\r\n\r\n2,""'
    assert list(csvrows.records([data])) == [[b"id", b"name"], [b"1", None], [b"2", b""]]
    assert list(csvrows.records([])) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1\n", "row 2 has 1 fields, and the heading has 2"),
        (b'a\n"1\n', "row 2: a quote"),
        (b'a\n1"2\n', "row 2: a quote"),
        (b'a\n"1"2\n', "row 2: a quote"),
    ],
)
def test_what_is_none(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(csvrows.records(cut(data, 2)))
