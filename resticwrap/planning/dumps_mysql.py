"""What `mariadb-dump` and `mysqldump` write, read as it goes by. Pure: pieces of bytes in, text and facts out.

They are asked for one row in each INSERT, between `LOCK TABLES … WRITE;` and `UNLOCK TABLES;`. No row holds the end of
a line (they escape it), so a row is a line. Rows are put together again into statements that end where a row's own
checksum says so: what was inserted or removed earlier moves no later end, and restic finds the rest as it was. Their
own statements end at a size, so that one row more would change every megabyte of what follows.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from resticwrap.model.databases import DatabaseFacts, TableFacts

INSERT, VALUES = b"INSERT INTO ", b" VALUES "
LOCK, WRITE, UNLOCK = b"LOCK TABLES ", b" WRITE;\n", b"UNLOCK TABLES;\n"
BODY, BODY_END = b"DELIMITER ;;\n", b"DELIMITER ;\n"
DONE = b"-- Dump completed"
SANDBOX = b"/*M!999999\\- "
ALTER = b"ALTER DATABASE `"
ALL_BITS = 0xFFFF
"""A statement ends after so many bytes of rows on the average."""
LARGEST = 512 << 10
"""Bytes of rows in one statement, unless one row is larger: servers take 1 MiB at least."""


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return "`" + name.replace("`", "``") + "`"


def plain(name: str) -> str:
    """A name as facts and people write it: in backquotes only where it has to be."""
    simple = name.isascii() and name.replace("_", "a").isalnum() and not name.isdigit()
    return name if simple else quoted(name)


def unquoted(name: str) -> str:
    """The name that `plain` or `quoted` wrote."""
    if len(name) > 1 and name[0] == name[-1] == "`":
        return name[1:-1].replace("``", "`")
    return name


def identifier(text: bytes, at: int = 0) -> tuple[str, int]:
    """The quoted name that begins at a place, and where it ends. Raises ValueError where none does."""
    if text[at : at + 1] != b"`":
        raise ValueError("a name was expected")
    end = at + 1
    while True:
        end = text.index(b"`", end) + 1
        if text[end : end + 1] != b"`":
            return unquoted(text[at:end].decode("utf-8", "surrogateescape")), end
        end += 1


def prefix_of(line: bytes) -> bytes:
    """What stands before the values of an INSERT. Raises ValueError where it is none."""
    if not line.startswith(INSERT):
        raise ValueError("an INSERT was expected")
    _, at = identifier(line, len(INSERT))
    if line[at : at + 2] == b" (":
        at += 1
        while line[at : at + 1] != b")":
            _, at = identifier(line, at + (2 if line[at : at + 1] == b"," else 1))
        at += 1
    if line[at : at + len(VALUES)] != VALUES:
        raise ValueError("values were expected")
    return line[: at + len(VALUES)]


class MysqlDump:
    """Reads one database's dump in whatever pieces, and gives it back with its rows put together. `without`: tables
    whose rows it was told to leave out, which come back empty."""

    def __init__(self, name: str, without: Collection[str] = ()) -> None:
        self._name = name
        self._tables: list[TableFacts] = [_Rows(table).facts() for table in without]
        self._schema = hashlib.sha256()
        self._held: list[bytes] = []
        self._rows: _Rows | None = None
        self._in_body = False
        self.complete = False
        """Whether it said that it was done."""

    def feed(self, chunk: bytes | memoryview) -> bytes:
        """The next piece. Raises ValueError where it is not understood."""
        data = bytes(chunk)
        end = data.rfind(b"\n") + 1
        if not end:
            self._held.append(data)
            return b""
        whole = b"".join([*self._held, data[:end]])
        self._held = [data[end:]] if end < len(data) else []
        return b"".join(self._lines(whole))

    def _lines(self, whole: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(whole):
            if self._rows is not None:
                taken, used = self._rows.take(whole[at:] if at else whole)
                at += used
                yield taken
                if self._rows.ended:
                    self._tables.append(self._rows.facts())
                    self._rows = None
                continue
            end = whole.index(b"\n", at) + 1
            yield self._line(whole[at:end])
            at = end

    def _line(self, line: bytes) -> bytes:
        if self._in_body:
            self._in_body = line != BODY_END
        elif line.startswith(b"--"):
            self.complete = self.complete or line.startswith(DONE)
            return line
        elif line == b"\n":
            return line  # there are more of them where rows follow
        elif line.startswith(SANDBOX):
            return b""  # other clients take it for a command that they do not know
        elif line.startswith(ALTER):
            # Around what was made while the database had another collation: it must not reach the database that the
            # dump was made of, whatever this is loaded into.
            line = b"ALTER DATABASE" + line[identifier(line, len(ALTER) - 1)[1] :]
        elif line.startswith(LOCK) and line.endswith(WRITE):
            self._rows = _Rows(identifier(line, len(LOCK))[0])
            return line
        else:
            self._in_body = line == BODY
        self._schema.update(line)
        return line

    def facts(self) -> DatabaseFacts:
        """All that was read."""
        tables = tuple(sorted(self._tables, key=lambda table: table.name))
        return DatabaseFacts(name=self._name, tables=tables, schema_digest=self._schema.hexdigest())


@dataclass
class _Rows:
    """The rows of one table as they go by."""

    name: str
    rows: int = 0
    size: int = 0
    ended: bool = False
    _digest: Any = field(default_factory=hashlib.sha256)
    _prefix: bytes = b""
    _open: int = 0
    """Bytes of rows in the statement that has not ended."""

    def take(self, whole: bytes) -> tuple[bytes, int]:
        """Take whole lines up to the end of the rows: what is to be written for them, and how many bytes they were."""
        at = 0 if whole.startswith(UNLOCK) else whole.find(b"\n" + UNLOCK) + 1
        self.ended = at > 0 or whole.startswith(UNLOCK)
        lines = whole[:at] if self.ended else whole
        out = list(self._regrouped(self._split(lines))) if lines else []
        if not self.ended:
            return b"".join(out), len(whole)
        if self._open:
            out.append(b";\n")
        return b"".join([*out, UNLOCK]), at + len(UNLOCK)

    def _split(self, lines: bytes) -> list[bytes]:
        if not self._prefix:
            self._prefix = prefix_of(lines)
        found = lines[len(self._prefix) : -2].split(b";\n" + self._prefix)
        if not lines.startswith(self._prefix) or not lines.endswith(b");\n") or lines.count(b"\n") != len(found):
            raise ValueError("among the rows stands something else")
        text = b"\n".join(found)
        self._digest.update(text)
        self._digest.update(b"\n")
        self.rows += len(found)
        self.size += len(text) + 1
        return found

    def _regrouped(self, rows: list[bytes]) -> Iterator[bytes]:
        begin = 0
        for end in [at + 1 for at, row in enumerate(rows) if crc32(row) & ALL_BITS <= len(row)]:
            yield from self._joined(rows[begin:end])
            yield b";\n"
            begin, self._open = end, 0
        if begin < len(rows):
            yield from self._joined(rows[begin:])

    def _joined(self, rows: list[bytes]) -> Iterator[bytes]:
        text = b",\n".join(rows)
        if self._open + len(text) > LARGEST and len(rows) > 1:
            for row in rows:
                yield from self._joined([row])
            return
        if self._open + len(text) > LARGEST and self._open:
            yield b";\n"
            self._open = 0
        yield b",\n" if self._open else self._prefix + b"\n"
        yield text
        self._open += len(text)

    def facts(self) -> TableFacts:
        return TableFacts(name=plain(self.name), rows=self.rows, size=self.size, digest=self._digest.hexdigest())


def only(body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
    """A database's part of a dump without the rows of other tables than these."""
    wanted = {unquoted(name) for name in tables}
    in_body = dropping = False
    for line in _whole_lines(body):
        if in_body:
            in_body = line != BODY_END
        elif dropping:
            dropping = line != UNLOCK
            if dropping:
                continue
        elif line.startswith(LOCK) and line.endswith(WRITE):
            dropping = identifier(line, len(LOCK))[0] not in wanted
        else:
            in_body = line == BODY
        yield line


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield b"".join([*held, line, b"\n"])
            held = []
        held.append(rest)
    if last := b"".join(held):
        yield last
