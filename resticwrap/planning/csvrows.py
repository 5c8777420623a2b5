"""Rows as CSV (RFC 4180), read and written by the piece: a field that is empty is NULL, an empty text is `""`.

Python's own module cannot tell these two apart before 3.12. Nothing here decodes: what a value is, the server says.
"""

import re
from collections.abc import Iterable, Iterator, Sequence


class Quoted(bytes):
    """A value that stood in quotes, for whom quotes tell a text from a number."""


Fields = list[bytes | None]
FIELD = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n|\n|\r)')
SPECIAL = re.compile(rb'[",\r\n]')
BOM = b"\xef\xbb\xbf"
"""What spreadsheets write before everything else."""


def line(fields: Sequence[bytes | None]) -> bytes:
    """One row with its line end."""
    return b",".join(b"" if one is None else _as_needed(one) for one in fields) + b"\n"


def quoted(value: bytes) -> bytes:
    """A value in quotes, whether it needs them or not."""
    return b'"' + value.replace(b'"', b'""') + b'"'


def _as_needed(value: bytes) -> bytes:
    return quoted(value) if not value or SPECIAL.search(value) else value


def records(pieces: Iterable[bytes]) -> Iterator[Fields]:
    """The rows of a CSV, its heading first. Empty lines are left out where the heading has several columns.

    Raises ValueError, which says in which row, where it is none, or where a row has not as many fields as the heading.
    """
    width, fields = 0, Fields()
    for number, fields in enumerate(_all(pieces), 1):
        if not width:
            width = len(fields)
        elif fields == [None] and width > 1:
            continue
        elif len(fields) != width:
            raise ValueError(f"row {number} has {len(fields)} fields, and the heading has {width}")
        yield fields


def _all(pieces: Iterable[bytes]) -> Iterator[Fields]:
    source, data, at, number, ended = iter(pieces), b"", 0, 1, False
    begun, fields = False, Fields()
    while True:
        found = FIELD.match(data, at)
        if found is None or (found[3] == b"\r" and found.end() == len(data) and not ended):
            if ended:
                if at < len(data):
                    raise ValueError(f"row {number}: a quote is not closed, or stands inside of a field")
                return
            more = _more(source, len(data) - at)
            ended = not more
            data, at = data[at:] + more, 0
            if not begun and data:
                data, begun = data.removeprefix(BOM), True
            if ended and (fields or data) and not data.endswith((b"\n", b"\r")):
                data += b"\n"
            continue
        at = found.end()
        fields.append(Quoted(found[1].replace(b'""', b'"')) if found[1] is not None else found[2] or None)
        if found[3] != b",":
            yield fields
            fields, number = [], number + 1


def _more(source: Iterator[bytes], least: int) -> bytes:
    """As much again as there is: a field of any length is looked at a few times only."""
    got: list[bytes] = []
    while sum(map(len, got)) <= max(least, len(BOM)) and (piece := next(source, None)) is not None:
        got.append(bytes(piece))
    return b"".join(got)


def copy_line(fields: Sequence[bytes | None]) -> bytes:
    """A row as PostgreSQL's COPY reads it in its text format. No row can be taken for the end of the data."""
    return b"\t".join(rb"\N" if one is None else _escaped(one) for one in fields) + b"\n"


def _escaped(value: bytes) -> bytes:
    value = value.replace(b"\\", rb"\\")
    return value.replace(b"\n", rb"\n").replace(b"\r", rb"\r").replace(b"\t", rb"\t")


class Counter:
    """Counts the rows of a CSV as it goes by, its heading too: line ends outside of quotes."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self._inside = False

    def feed(self, piece: bytes) -> None:
        for part in piece.split(b'"'):
            self.rows += 0 if self._inside else part.count(b"\n")
            self._inside = not self._inside
        self._inside = not self._inside  # there is one part more than there are quotes
        self.size += len(piece)


def keyless(table: str) -> str:
    """What a person should know of a table without a key."""
    return f"No key of {table} could be looked at: put back twice, the rows are there twice."
