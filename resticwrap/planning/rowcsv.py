"""Rows as CSV (RFC 4180) that keeps what plain CSV loses: an empty field is NULL, `""` is an empty text, and whether a
value stood in quotes can be asked. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

FIELD = re.compile(r'"((?:[^"]|"")*)"(,|\Z)|([^",]*)(,|\Z)')


class Field(NamedTuple):
    """One value as it stands in a line."""

    text: str
    quoted: bool = False

    @property
    def null(self) -> bool:
        return not self.text and not self.quoted


def quoted(text: str) -> str:
    """A text that comes back as a text."""
    return '"' + text.replace('"', '""') + '"'


def read(pieces: Iterable[bytes]) -> Iterator[Sequence[Field]]:
    """The records of a CSV, its line of names first. Raises ValueError, which says where, where it is none."""
    held = ""
    count = 0
    for line in _lines(pieces):
        held += line
        if held.count('"') % 2:
            continue  # the end of this line is a value's own
        count += 1
        record = held.removesuffix("\n").removesuffix("\r")
        held = ""
        yield _fields(record, count)
    if held:
        raise ValueError(f"the quotes of record {count + 1} are not closed")


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode() + "\n"
    if rest:
        yield rest.decode()


def _fields(record: str, count: int) -> list[Field]:
    found: list[Field] = []
    at = 0
    while True:
        match = FIELD.match(record, at)
        if match is None:
            raise ValueError(f"record {count} is no CSV")
        inside, comma, outside, other = match.groups()
        found.append(Field(inside.replace('""', '"'), True) if inside is not None else Field(outside))
        at = match.end()
        if not (comma or other):
            return found
