"""The form of a dump, and what is read out of one as it goes by. Pure: pieces of bytes in, facts and pieces out.

A dump is SQL that the engine's own client takes as it is (`restic dump latest /app_db.sql | psql`). Lines of comment
that begin with `-- rw ` say what comes: the head of the file, the roles of the server, each database with what it takes
to make it, and then what all of it held. The last line says that it is whole.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, Engine, TableFacts

MARK = b"-- rw "
FORMAT = "1"
COPY_END = b"\n\\.\n"
DATA = b"-- Data for Name: "


@dataclass(frozen=True)
class Marks:
    """The lines of ours in one dump. Each holds the dump's own random `nonce`: no row can be taken for one of them."""

    engine: Engine
    nonce: str

    @property
    def first(self) -> bytes:
        """The first line of a dump."""
        return MARK + f"dump {FORMAT} {self.engine} {self.nonce}\n".encode()

    @property
    def prefix(self) -> bytes:
        """How every other line of ours begins."""
        return MARK + self.nonce.encode() + b" "

    def line(self, word: str, value: Any = None) -> bytes:
        """One line: `globals`, `database {…}`, `begin`, `facts {…}` or `end`."""
        return self.prefix + word.encode() + (b"" if value is None else b" " + to_json(value)) + b"\n"


def marks_of(line: bytes) -> Marks:
    """Out of the first line of a dump. Raises ValueError where it is none."""
    words = line.decode("utf-8", "replace").split()
    if words[:4] != ["--", "rw", "dump", FORMAT] or len(words) != 6 or words[4] not in get_args(Engine):
        raise ValueError("this is no dump of this form")
    return Marks(cast(Engine, words[4]), words[5])


def facts_of(tail: bytes) -> DumpFacts | None:
    """The facts of a whole dump out of its end; None where the piece does not reach back to where they begin.

    Raises ValueError where the dump is not whole.
    """
    last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    words = last.split()
    if not last.startswith(MARK) or len(words) != 4 or words[3] != b"end":
        raise ValueError("the dump has no end")
    begin = MARK + words[2] + b" facts "
    at = tail.rfind(b"\n" + begin)
    if at < 0:
        return None
    return from_json(DumpFacts, tail[at + 1 + len(begin) : tail.index(b"\n", at + 1)])


class PostgresDigest:
    """Reads one database's plain `pg_dump` as it goes by, in whatever pieces, and keeps no rows of it.

    pg_dump writes the rows of a table after a comment that names it, as `COPY name (columns) FROM stdin;` up to a line
    of `\\.`, and no line of rows can be that (they are escaped): PostgreSQL's documentation of COPY, text format.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tables: list[TableFacts] = []
        self._schema = hashlib.sha256()
        self._rest = b""
        self._copying: _Copying | None = None
        self._announced = False
        self.complete = False
        """Whether pg_dump said that it was done."""

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next piece of the dump."""
        data, at = self._rest + bytes(chunk), 0
        while at < len(data):
            if self._copying is not None:
                data, at = self._copying.take(data[at:]), 0
                if self._copying.ended:
                    self._tables.append(self._copying.facts())
                    self._copying = None
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                break
            self._line(data[at:end])
            at = end
        self._rest = data[at:]

    def _line(self, line: bytes) -> None:
        if line.startswith(b"--"):
            self._announced = self._announced or line.startswith(DATA)
            self.complete = self.complete or line.startswith(b"-- PostgreSQL database dump complete")
        elif self._announced and line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            self._copying = _Copying(line[len(b"COPY ") : -len(b" FROM stdin;\n")].decode("utf-8", "surrogateescape"))
            self._announced = False
        elif not line.startswith((b"\\restrict ", b"\\unrestrict ")):
            self._schema.update(line)

    def facts(self) -> DatabaseFacts:
        """All that was read."""
        return DatabaseFacts(name=self._name, tables=tuple(self._tables), schema_digest=self._schema.hexdigest())


@dataclass
class _Copying:
    """The rows of one table as they go by."""

    name: str
    rows: int = 0
    size: int = 0
    ended: bool = False
    _digest: Any = field(default_factory=hashlib.sha256)
    _held: bytes = b"\n"
    """The last that went by and is not counted yet: the end may have begun in it. Before the first row stands the end
    of the line that announced it, which is no row's."""
    _begun: bool = False

    def take(self, chunk: bytes) -> bytes:
        """Take rows; returns what comes after their end, and nothing before that is met."""
        data = self._held + chunk
        at = data.find(COPY_END)
        self.ended = at >= 0
        cut = at + 1 if self.ended else max(len(data) - len(COPY_END) + 1, 0)
        text = memoryview(data)[:cut]
        if text and not self._begun:
            text, self._begun = text[1:], True
        self._digest.update(text)
        self.rows += data.count(b"\n", cut - len(text), cut)
        self.size += len(text)
        self._held = data[cut:]
        return data[at + len(COPY_END) :] if self.ended else b""

    def facts(self) -> TableFacts:
        return TableFacts(name=self.name, rows=self.rows, size=self.size, digest=self._digest.hexdigest())


@dataclass(frozen=True)
class Section:
    """A part of a dump: the roles of the server (`head` None), or one database with what it takes to make it."""

    head: DatabaseHead | None
    body: Iterator[bytes]


def sections(pieces: Iterable[bytes]) -> Iterator[Section]:
    """The parts of a dump, in their order; what is left of a body when the next is asked for is skipped.

    What stands between the mark of a database and `begin` is for whoever feeds the whole file to a client, and is left
    out. Raises ValueError where this is no dump of ours, or where it is not whole.
    """
    lines = _Lines(pieces)
    marks = marks_of(lines.line())
    begin, database = marks.line("begin"), marks.prefix + b"database "
    while True:
        line = lines.line()
        if line == marks.line("end"):
            return
        found = None
        if line.startswith(database):
            found = from_json(DatabaseHead, line[len(database) :])
            while line != begin:
                line = lines.line()
                if not line:
                    raise ValueError("the dump has no end")
        elif not line:
            raise ValueError("the dump has no end")
        elif line != marks.line("globals"):
            continue
        body = lines.until(marks.prefix)
        yield Section(found, body)
        for _ in body:
            pass


class _Lines:
    """Pieces of a dump, read by the line or up to the next line of ours: large pieces stay large."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def line(self) -> bytes:
        """The next whole line; empty at the end."""
        while (at := self._rest.find(b"\n")) < 0:
            piece = next(self._pieces, None)
            if piece is None:
                line, self._rest = self._rest, b""
                return line
            self._rest += piece
        line, self._rest = self._rest[: at + 1], self._rest[at + 1 :]
        return line

    def until(self, prefix: bytes) -> Iterator[bytes]:
        """What stands before the next line that begins so, which is left to be read."""
        stop = b"\n" + prefix
        if self._rest.startswith(prefix):
            return
        while True:
            at = self._rest.find(stop)
            if at >= 0:
                body, self._rest = self._rest[: at + 1], self._rest[at + 1 :]
                yield body
                return
            if len(self._rest) > len(stop):
                body, self._rest = self._rest[: -len(stop)], self._rest[-len(stop) :]
                yield body
            piece = next(self._pieces, None)
            if piece is None:
                body, self._rest = self._rest, b""
                if body:
                    yield body
                return
            self._rest += piece
