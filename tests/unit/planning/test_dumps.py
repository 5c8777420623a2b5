"""What is read out of a dump as it goes by: the same, however the pipe cuts it."""

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, TableFacts
from resticwrap.planning.dumps import LARGE_OBJECTS, Marks, PostgresDigest, facts_of, marks_of, relation_of, sections

MARKS = Marks("postgres", "0123456789abcdef")
ENDS = (b"", b"\\", b"\\.", b"\\.x", b"\\\\.", b"-- rw dump 1 postgres x", MARKS.prefix[:-1], b"COPY t (a) FROM stdin;")
ROWS = st.lists(
    st.binary(max_size=12).map(lambda row: row.replace(b"\n", b"")) | st.sampled_from(ENDS), max_size=6
).map(lambda rows: [row for row in rows if row != b"\\."])
QUOTED = (
    b"CREATE FUNCTION f() AS $_$\nCOPY public.t (a) FROM stdin;\n1\n$$\n-- Data for Name: t; Type: TABLE DATA\n$_$;\n",
    b"COMMENT ON TABLE t IS 'it''s\nCOPY t (a) FROM stdin;\n-- PostgreSQL database dump complete\n';\n",
    b'CREATE TABLE "odd$$\nCOPY x FROM stdin;\n" (a int);\n',
    b"/* '\nCOPY x FROM stdin;\n*/\n",
    b"SELECT $1;\n",
    b"--\n-- Name: it's; Type: TABLE\n--\n\n",
)
TABLES = st.tuples(st.sampled_from(['public.t (a, "b c")', "public.u  ", '"ü""x".t (a)']), ROWS)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """`data`, cut at these places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return (data[begin:end] for begin, end in pairwise(places))


def copied(name: str, rows: list[bytes]) -> bytes:
    """A table as pg_dump writes it."""
    return f"COPY {name} FROM stdin;\n".encode() + b"".join(row + b"\n" for row in rows) + b"\\.\n"


def digested(data: bytes, cuts: list[int]) -> tuple[DatabaseFacts, bool, list[str]]:
    """What the digest makes of pieces, each given in a buffer that is used again."""
    digest = PostgresDigest("db")
    for piece in pieces(data, cuts):
        buffer = bytearray(piece)
        digest.feed(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
    return digest.facts(), digest.complete, digest.begun


CUTS = st.lists(st.integers(0, 600), max_size=40)


@given(st.lists(st.sampled_from(QUOTED) | TABLES, max_size=6), CUTS)
def test_tables_and_schema_are_told_apart(parts: list[bytes | tuple[str, list[bytes]]], cuts: list[int]) -> None:
    """Rows are those that stand in COPY outside of quotes, and all else but comments is the schema."""
    end = b"--\n-- PostgreSQL database dump complete\n--\n"
    data = b"".join(part if isinstance(part, bytes) else copied(*part) for part in parts) + end
    found, complete, begun = digested(data, cuts)
    tables = [part for part in parts if not isinstance(part, bytes)]
    assert begun == [name for name, _ in tables] and complete
    assert found.tables == tuple(
        TableFacts(
            name, len(rows), len(text := b"".join(row + b"\n" for row in rows)), hashlib.sha256(text).hexdigest()
        )
        for name, rows in tables
    )
    schema = b"".join(part for part in parts if isinstance(part, bytes) and not part.startswith(b"--"))
    schema += b"\n" * sum(part == QUOTED[-1] for part in parts)
    if not any(part == QUOTED[-1] for part in parts):
        assert found.schema_digest == hashlib.sha256(schema).hexdigest()


@given(CUTS)
def test_a_dump_without_its_last_words_is_not_complete(cuts: list[int]) -> None:
    """The words of its end count outside of quotes alone."""
    assert not digested(b"".join(QUOTED), cuts)[1]


@given(st.permutations(["1", "2", "30"]), CUTS)
def test_large_objects_count_in_any_order(order: list[str], cuts: list[int]) -> None:
    """pg_dump writes them in no order of meaning; what one holds matters, and which holds it."""

    def text(oids: list[str], held: str = "6f") -> bytes:
        return b"".join(
            f"SELECT pg_catalog.lo_open('{oid}', 131072);\nSELECT pg_catalog.lowrite(0, '\\x{held}{oid}');\n"
            "SELECT pg_catalog.lo_close(0);\n\n".encode()
            for oid in oids
        )

    (one,) = digested(text(order), cuts)[0].tables
    assert (one.name, one.rows) == (LARGE_OBJECTS, 3)
    assert one == digested(text(["1", "2", "30"]), [])[0].tables[0]
    assert one.digest != digested(text(order, "70"), [])[0].tables[0].digest


BODIES = st.lists(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")) | st.sampled_from(ENDS), max_size=6).map(
        lambda lines: b"".join(line + b"\n" for line in lines)
    ),
    max_size=3,
)
NAMES = st.text(min_size=1, max_size=8)


def framed(heads: list[DatabaseHead], bodies: list[bytes], facts: DumpFacts) -> bytes:
    """A whole dump of these parts, with something for psql before each body."""
    found = MARKS.first + b"SET x = 1;\n" + MARKS.line("globals") + b"CREATE ROLE r;\n"
    for head, body in zip(heads, bodies, strict=True):
        found += MARKS.line("database", head) + b'CREATE DATABASE "x";\n\\connect x\n' + MARKS.line("begin") + body
    return found + MARKS.line("facts", facts) + MARKS.line("end")


def read(given: Iterator[bytes], *, skip: bool = False) -> list[tuple[DatabaseHead | None, bytes]]:
    """All sections, or only their heads."""
    return [(section.head, b"" if skip else b"".join(section.body)) for section in sections(given)]


@given(BODIES, st.lists(NAMES, min_size=3, max_size=3), CUTS, st.booleans())
def test_sections_come_back_whole(bodies: list[bytes], names: list[str], cuts: list[int], skip: bool) -> None:
    """Every body is what was written, with its head; what stands between is left out, and a body may be skipped."""
    heads = [DatabaseHead(name=name, options={"ENCODING": "'UTF8'"}) for name in names[: len(bodies)]]
    data = framed(heads, bodies, DumpFacts(engine="postgres", server="15.1"))
    found = read(pieces(data, [*cuts, 5]), skip=skip)
    wanted = [(None, b"CREATE ROLE r;\n"), *zip(heads, bodies, strict=True)]
    assert found == ([(head, b"") for head, _ in wanted] if skip else wanted)


@given(BODIES, st.integers(1, 400))
def test_a_dump_that_was_cut_off_is_never_whole(bodies: list[bytes], lost: int) -> None:
    """Whatever is missing of its end: neither sections nor facts take it."""
    heads = [DatabaseHead(name="a") for _ in bodies]
    data = framed(heads, bodies, DumpFacts(engine="postgres", server="15.1"))
    cut = data[: max(len(data) - lost, 0)]
    with pytest.raises(ValueError, match=r"."):
        read(iter([cut]))
    with pytest.raises(ValueError, match=r"."):
        facts_of(cut)


@given(BODIES, st.integers(0, 2000), NAMES)
def test_facts_are_found_from_the_end(bodies: list[bytes], reach: int, name: str) -> None:
    """Out of any piece that reaches back to them; out of a shorter one it says that it must be longer."""
    facts = DumpFacts(engine="postgres", server="15.1", databases=(DatabaseFacts(name=name, schema_digest="00"),))
    data = framed([DatabaseHead(name="a") for _ in bodies], bodies, facts)
    end = len(MARKS.line("facts", facts)) + len(MARKS.line("end"))
    found = facts_of(data[-(len(MARKS.line("end")) + 1 + reach) :])
    assert found == (facts if len(MARKS.line("end")) + 1 + reach > end else None)


def test_the_first_line_says_what_it_is() -> None:
    """A dump of another form, or none, is refused."""
    assert marks_of(MARKS.first) == MARKS
    for line in (
        b"",
        b"-- PostgreSQL database dump\n",
        MARKS.first.replace(b" 1 ", b" 2 "),
        b"-- rw dump 1 oracle x\n",
    ):
        with pytest.raises(ValueError, match="no dump"):
            marks_of(line)


def test_a_table_without_its_columns() -> None:
    """Quotes are followed: a name may hold what ends one."""
    assert relation_of('public.t (a, "b c")') == "public.t"
    assert relation_of('"a.b ""(c".u  ') == '"a.b ""(c".u'
    assert relation_of("public.ü (x)") == "public.ü"
