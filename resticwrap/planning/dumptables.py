"""Tables by name, and a dump cut down to a few of them. Pure: pieces of a dump in, fewer out."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator

from resticwrap import errors
from resticwrap.planning.dumps import Quotes

NAME = re.compile(r'"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|([^\s."`(]+)')
QUALIFIED = rb'((?:"(?:[^"]|"")*"|[^\s."(),]+)(?:\.(?:"(?:[^"]|"")*"|[^\s."(),;]+))?)'
CREATE = re.compile(rb"CREATE (?:UNLOGGED )?TABLE " + QUALIFIED + rb" ")
PARTITIONED = re.compile(rb"^PARTITION BY ", re.M)
ATTACH = re.compile(rb"^ALTER TABLE (?:ONLY )?" + QUALIFIED + rb" ATTACH PARTITION " + QUALIFIED, re.M)
HEIRS = re.compile(rb"^INHERITS \((.*)\)", re.M)
COPY = re.compile(rb"COPY " + QUALIFIED)
COPY_END = b"\\.\n"
HEADERS = (b"-- Name: ", b"-- Data for Name: ")
TYPE = re.compile(rb".*; Type: ([A-Z ]+); Schema: ")
LEFT_OUT = {b"ACL", b"DEFAULT ACL", b"COMMENT", b"SECURITY LABEL", b"USER MAPPING", b"BLOB", b"BLOB METADATA"}
"""What no row needs, and what may be about roles that are not there."""
DATA = {b"TABLE DATA", b"SEQUENCE SET", b"BLOBS"}
AFTER_DATA = {
    b"CONSTRAINT", b"FK CONSTRAINT", b"CHECK CONSTRAINT", b"INDEX", b"INDEX ATTACH", b"TRIGGER", b"EVENT TRIGGER",
    b"RULE", b"POLICY", b"ROW SECURITY", b"STATISTICS", b"MATERIALIZED VIEW DATA", b"PUBLICATION",
    b"PUBLICATION TABLE", b"SUBSCRIPTION",
}  # fmt: skip
"""What pg_dump writes behind all rows."""
TAIL = re.compile(rb"\s*|SET default_tablespace = .*|SET default_table_access_method = .*|ALTER .* OWNER TO .*;\s*")
"""The last lines of a definition that a server without roles and table spaces of production can do without."""
NO_CHECKS = b"""DO $rw$ DECLARE found record; BEGIN
FOR found IN SELECT conrelid, contypid, conname FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_namespace n
  ON n.oid = connamespace WHERE contype = 'c' AND nspname NOT IN ('pg_catalog', 'information_schema')
  ORDER BY coninhcount LOOP BEGIN
  IF found.conrelid <> 0 THEN
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', found.conrelid::regclass, found.conname);
  ELSE
    EXECUTE pg_catalog.format('ALTER DOMAIN %s DROP CONSTRAINT IF EXISTS %I', found.contypid::regtype, found.conname);
  END IF;
EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $rw$;
"""
"""A check may ask tables whose rows are not there. These rows were taken once by the server that they come from."""

Parts = tuple[str, ...]


def parts(name: str) -> Parts:
    """A table's name without quotes: `public."Odd.Name" (id, x)` is ('public', 'Odd.Name')."""
    return _scanned(name)[0]


def stem(name: str) -> str:
    """The name as a dump writes it, without what a dump's facts say behind it."""
    return name[: _scanned(name)[1]]


def _scanned(name: str) -> tuple[Parts, int]:
    found: list[str] = []
    at = 0
    while match := NAME.match(name, at):
        double, back, bare = match.groups()
        found.append(double.replace('""', '"') if double is not None else bare or back.replace("``", "`"))
        at = match.end()
        if name[at : at + 1] != ".":
            return tuple(found), at
        at += 1
    return (name,), len(name)


def answers(wanted: str, name: Parts) -> bool:
    """Whether somebody who says `wanted`, with its schema or without, quoted or not, may mean this table."""
    said = parts(wanted)
    return name[-len(said) :] == said or name[-1] == wanted


def named(wanted: str, known: Collection[str]) -> str:
    """Which of these tables is meant, as the dump writes it. Raises NotFound, with names like it; UsageError where it
    may be several."""
    stems = sorted({stem(one) for one in known})
    found = [one for one in stems if answers(wanted, parts(one))] or [
        one for one in stems if answers(wanted.lower(), tuple(part.lower() for part in parts(one)))
    ]
    if len(found) > 1:
        raise errors.UsageError(
            f"{wanted} may be any of {', '.join(found)}.", hint=f"Say it with its schema: {found[0]}"
        )
    if not found:
        raise unknown(wanted, stems)
    return found[0]


def unknown(wanted: str, known: Collection[str]) -> errors.NotFound:
    """There is no such table; these are those that there are."""
    names = {parts(one)[-1]: one for one in known}
    near = {names[one] for one in difflib.get_close_matches(parts(wanted)[-1], list(names), n=3, cutoff=0.7)}
    hint = f"Did you mean {' or '.join(sorted(near))}?" if near else f"It has {', '.join(sorted(known)[:8]) or 'none'}."
    return errors.NotFound(f"There is no table {wanted}.", hint=hint)


def postgres_only(body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
    """Of a plain `pg_dump`: all definitions before the rows, then the rows of these tables, their partitions and heirs,
    and nothing behind the last of them.

    A definition that fails (an extension that is not installed, say) is passed over, unless it is one of these tables.
    Raises NotFound before the first row where there is no such table, and at the end where only its definition is
    there; UsageError where a name means several; ValueError where the dump is not whole.
    """
    cut = _Cut(tables)
    reader = _Reader(body)
    entry: list[bytes] = []
    kind = b""
    quotes = Quotes()
    while True:
        line = reader.line()
        if not line:
            raise ValueError("the dump has no end")
        if line != b"--\n" or quotes.inside:
            entry.append(line)
            quotes.follow(line)
            if (
                kind == b"TABLE DATA"
                and not quotes.inside
                and line.startswith(b"COPY ")
                and line.endswith(b" FROM stdin;\n")
            ):
                rows = reader.rows()
                if cut.holds(line):
                    yield line
                    yield from rows
                    if cut.done:
                        return
                for _ in rows:
                    pass
                kind = b""
            continue
        header = reader.line()
        ended = header.startswith(b"-- PostgreSQL database dump complete")
        found = TYPE.match(header) if header.startswith(HEADERS) else None
        if found is None and not ended:
            entry += [line, header]
            continue
        if not cut.settled:
            yield cut.definition(kind, b"".join(entry))
        kind = found[1] if found else b""
        entry = []
        if not ended:
            reader.line()
        if ended or kind in AFTER_DATA or kind in DATA:
            yield cut.settle()
        if ended or kind in AFTER_DATA:
            cut.close()
            return


class _Cut:
    """Which tables are wanted, and whose rows make them up, as the definitions go by."""

    def __init__(self, tables: Collection[str]) -> None:
        self._wanted = tuple(tables)
        self._tables: dict[Parts, str] = {}
        self._heirs: dict[Parts, list[Parts]] = {}
        self._partitioned: set[Parts] = set()
        self._holding: dict[str, set[Parts]] = {}
        self._left: set[Parts] = set()
        self._seen: set[Parts] = set()
        self.settled = False

    def definition(self, kind: bytes, text: bytes) -> bytes:
        """What is to be run of one definition."""
        if kind in LEFT_OUT:
            return b""
        if not kind:
            return text  # what pg_dump sets before all else
        text = _without_tail(text)
        needed = False
        if kind in (b"TABLE", b"TABLE ATTACH"):
            needed = self._learn(text)
        return text if needed or not text.strip() else _tried(text)

    def _learn(self, text: bytes) -> bool:
        """Take down a table and whose heir it is; returns whether it is a wanted one or the heir of one."""
        names: list[Parts] = []
        if found := CREATE.search(text):
            name = _parts(found[1])
            names.append(name)
            self._tables[name] = found[1].decode("utf-8", "surrogateescape")
            if PARTITIONED.search(text):
                self._partitioned.add(name)
            if heirs := HEIRS.search(text):
                for parent in re.findall(QUALIFIED, heirs[1]):
                    self._heirs.setdefault(_parts(parent), []).append(name)
                    names.append(_parts(parent))
        for parent, child in ATTACH.findall(text):
            self._heirs.setdefault(_parts(parent), []).append(_parts(child))
            names.append(_parts(parent))
        return any(answers(wanted, name) for wanted in self._wanted for name in names)

    def settle(self) -> bytes:
        """All definitions went by: whose rows are wanted. Returns what is to be run before the first of them."""
        if self.settled:
            return b""
        self.settled = True
        for wanted in self._wanted:
            self._holding[wanted] = self._below(parts(named(wanted, self._tables.values())))
        self._left = set().union(*self._holding.values()) if self._holding else set()
        return NO_CHECKS

    def _below(self, table: Parts) -> set[Parts]:
        found, waiting = set[Parts](), [table]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self._heirs.get(one, [])
        return found - self._partitioned

    def holds(self, line: bytes) -> bool:
        """Whether the rows that follow this line are wanted."""
        match = COPY.match(line)
        name = _parts(match[1]) if match else ()
        mine = name in self._left or any(answers(one, name) and name in self._partitioned for one in self._wanted)
        if mine:
            self._left.discard(name)
            self._seen.add(name)
        return mine

    @property
    def done(self) -> bool:
        return not self._left

    def close(self) -> None:
        """The rows are over."""
        for wanted, holding in self._holding.items():
            if holding and not holding & self._seen and not self._seen & self._partitioned:
                raise errors.NotFound(
                    f"The dump holds no rows of {wanted}, only its definition.",
                    hint="Look at exclude_data of the domain.",
                )


def _parts(name: bytes) -> Parts:
    return parts(name.decode("utf-8", "surrogateescape"))


def _without_tail(text: bytes) -> bytes:
    lines = text.split(b"\n")
    while lines and TAIL.fullmatch(lines[-1]):
        lines.pop()
    return b"\n".join(lines) + b"\n"


def _tried(text: bytes) -> bytes:
    """A statement that may fail."""
    number = 0
    while b"$rw%d" % number in text:
        number += 1
    inner, outer = b"$rw%da$" % number, b"$rw%db$" % number
    return b"".join(
        (
            b"DO ",
            outer,
            b" BEGIN EXECUTE ",
            inner,
            text,
            inner,
            b"; EXCEPTION WHEN OTHERS THEN NULL; END ",
            outer,
            b";\n",
        )
    )


class _Reader:
    """Pieces of a dump, by the line, or rows up to their end: large pieces stay large."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._data = b""
        self._at = 0

    def line(self) -> bytes:
        """The next line; empty at the end."""
        while (end := self._data.find(b"\n", self._at)) < 0:
            piece = next(self._pieces, None)
            if piece is None:
                line, self._data, self._at = self._data[self._at :], b"", 0
                return line
            self._data, self._at = self._data[self._at :] + bytes(piece), 0
        line, self._at = self._data[self._at : end + 1], end + 1
        return line

    def rows(self) -> Iterator[bytes]:
        """Rows of one table with the line that ends them, to be taken whole. Raises ValueError where that is not
        there."""
        stop = b"\n" + COPY_END
        held, skip = b"\n" + self._data[self._at :], 1
        while (end := held.find(stop)) < 0:
            if (cut := len(held) - len(stop) + 1) > 0:
                yield held[skip:cut]
                held, skip = held[cut:], 0
            piece = next(self._pieces, None)
            if piece is None:
                raise ValueError("the dump has no end")
            held += bytes(piece)
        self._data, self._at = held[end + len(stop) :], 0
        yield held[skip : end + len(stop)]
