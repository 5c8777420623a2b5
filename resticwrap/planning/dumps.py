"""The form of a dump, and what is read out of one as it goes by. Pure: pieces of bytes in, facts and pieces out.

A dump is SQL that the engine's own client takes as it is (`restic dump latest /app_db.sql | psql`). Lines of comment
that begin with `-- rw ` say what comes: the head of the file, the roles of the server, each database with what it takes
to make it, and then what all of it held. The last line says that it is whole.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, Engine, TableFacts

MARK = b"-- rw "
FORMAT = "1"
COPY_END = b"\n\\.\n"
COPY_BEGIN = b" FROM stdin;\n"
LARGE = (b"SELECT pg_catalog.lo_open(", b"SELECT pg_catalog.lowrite(", b"SELECT pg_catalog.lo_close(")
"""How the lines of pg_dump begin that hold a large object: its first, what it holds, its last."""
LARGE_OBJECTS = "large objects"
"""What they are called among the tables of a database; no table is, without a schema."""
OPENS = re.compile(rb"['\"]|--|/\*|\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$")
RELATION = re.compile(r'(?:"(?:[^"]|"")*"|[^\s".]+)(?:\.(?:"(?:[^"]|"")*"|[^\s".]+))?')


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
    if not last.startswith(MARK) or len(words) != 4 or not last.endswith(b" end\n"):
        raise ValueError("the dump has no end")
    begin = MARK + words[2] + b" facts "
    at = tail.rfind(b"\n" + begin)
    if at < 0:
        return None
    return from_json(DumpFacts, tail[at + 1 + len(begin) : tail.index(b"\n", at + 1)])


class PostgresDigest:
    """Reads one database's plain `pg_dump` as it goes by, in whatever pieces, and keeps no rows of it.

    pg_dump writes the rows of a table as `COPY name (columns) FROM stdin;` up to a line of `\\.`, and no line of rows
    can be that (they are escaped): PostgreSQL's documentation of COPY, text format. A line like that in the body of a
    function or in a comment stands inside of quotes, so these are followed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tables: list[TableFacts] = []
        self._schema = hashlib.sha256()
        self._large = _LargeObjects()
        self._rest = b""
        self._copying: _Copying | None = None
        self._quotes = Quotes()
        self.begun: list[str] = []
        """The tables whose rows have begun to come, in their order, as in the facts."""
        self.complete = False
        """Whether pg_dump said that it was done."""

    def feed(self, chunk: bytes | memoryview) -> None:
        """The next piece of the dump."""
        data, at = self._rest + chunk if self._rest else bytes(chunk), 0
        while at < len(data):
            if self._copying is not None:
                at = self._copying.take(data, at)
                if not self._copying.ended:
                    break
                self._tables.append(self._copying.facts())
                self._copying = None
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                break
            # The end of the line that announces rows is left to them: their own end may follow at once.
            at = end - self._line(data[at:end])
        self._rest = data[at:]

    def _line(self, line: bytes) -> bool:
        """Take a line of SQL; whether rows follow it."""
        if self._quotes.inside:
            self._schema.update(line)
        elif line.startswith(b"--"):
            self.complete = self.complete or line.startswith(b"-- PostgreSQL database dump complete")
            return False
        elif line.startswith(b"COPY ") and line.endswith(COPY_BEGIN):
            name = line[len(b"COPY ") : -len(COPY_BEGIN)].decode("utf-8", "surrogateescape")
            self._copying = _Copying(name)
            self.begun.append(name)
            return True
        elif line.startswith(LARGE):
            self._large.take(line)
            return False
        elif not line.startswith((b"\\restrict ", b"\\unrestrict ")):
            self._schema.update(line)
        self._quotes.follow(line)
        return False

    def facts(self) -> DatabaseFacts:
        """All that was read."""
        tables = (*self._tables, *self._large.facts())
        return DatabaseFacts(name=self._name, tables=tables, schema_digest=self._schema.hexdigest())


@dataclass
class Quotes:
    """Where in the lines of a dump's SQL something quoted is open, such as the body of a function."""

    inside: bytes = b""
    """What ends it."""

    def follow(self, line: bytes) -> None:
        at = 0
        while True:
            if self.inside:
                end = line.find(self.inside, at)
                if end < 0:
                    return
                at, self.inside = end + len(self.inside), b""
            opened = OPENS.search(line, at)
            if opened is None or opened[0] == b"--":
                return
            at, self.inside = opened.end(), b"*/" if opened[0] == b"/*" else opened[0]


@dataclass
class _LargeObjects:
    """The large objects as they go by. The order in which pg_dump writes them is of no meaning, and not that in which
    it makes them: what they hold is summed up in a way that does not depend on it."""

    count: int = 0
    size: int = 0
    _sum: int = 0
    _one: Any = None

    def take(self, line: bytes) -> None:
        if line.startswith(LARGE[0]):
            self.count += 1
            self._one = hashlib.sha256()
        if self._one is not None:
            self.size += len(line)
            self._one.update(line)
            if line.startswith(LARGE[-1]):
                self._sum = (self._sum + int.from_bytes(self._one.digest())) % (1 << 256)
                self._one = None

    def facts(self) -> Iterator[TableFacts]:
        """None where there are none."""
        if self.count:
            yield TableFacts(name=LARGE_OBJECTS, rows=self.count, size=self.size, digest=f"{self._sum:064x}")


@dataclass
class _Copying:
    """The rows of one table as they go by, from the end of the line that announces them."""

    name: str
    rows: int = 0
    size: int = 0
    ended: bool = False
    _digest: Any = field(default_factory=hashlib.sha256)
    _begun: bool = False

    def take(self, data: bytes, at: int) -> int:
        """Take rows from `at`; returns up to where: past their end, or before what may be a part of it."""
        # Looking for one byte costs next to nothing, and most rows hold none of it.
        end = data.find(COPY_END, at) if data.find(b"\\", at) >= 0 else -1
        self.ended = end >= 0
        cut = end + 1 if self.ended else len(data) - _open_end(data, COPY_END)
        begin = at
        if cut > at and not self._begun:
            begin, self._begun = at + 1, True
        self._digest.update(memoryview(data)[begin:cut])
        self.rows += data.count(b"\n", begin, cut)
        self.size += cut - begin
        return end + len(COPY_END) if self.ended else cut

    def facts(self) -> TableFacts:
        return TableFacts(name=self.name, rows=self.rows, size=self.size, digest=self._digest.hexdigest())


def _open_end(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of a mark, which begins with the end of a line."""
    at = data.find(b"\n", max(len(data) - len(mark) + 1, 0))
    while at >= 0:
        if mark.startswith(data[at:]):
            return len(data) - at
        at = data.find(b"\n", at + 1)
    return 0


def relation_of(table: str) -> str:
    """The table alone of what facts call a table of PostgreSQL: without its columns."""
    parts = RELATION.match(table)
    return parts[0] if parts else table


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
        stop, first = b"\n" + prefix, 1
        # It begins behind the end of a line, which is put there for the search and is no part of it.
        data, self._rest = b"\n" + self._rest, b""
        while True:
            at = data.find(stop)
            cut = at + 1 if at >= 0 else len(data) - _open_end(data, stop)
            if cut > first:
                yield data[first:cut]
            first = max(first - cut, 0)
            if at >= 0:
                self._rest = data[cut:]
                return
            piece = next(self._pieces, None)
            if piece is None:
                if cut < len(data):
                    yield data[cut + first :]
                return
            data = data[cut:] + piece
