"""A dump cut down to some of its tables, and tables by name."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.planning.dumptables import named, parts, postgres_only, stem, unknown

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6)
ROWS = st.lists(
    st.sampled_from([b"1\tone\n", b"\\\\.\n", b"\\N\t\n", b"COPY public.x (a) FROM stdin;\n", b"--\n", b"\n"]),
    max_size=5,
)
HEAD = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET statement_timeout = 0;\n\n"
END = b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n"
BODY = b"""--
-- Name: odd(); Type: FUNCTION; Schema: public; Owner: me
--

CREATE FUNCTION public.odd() RETURNS text LANGUAGE sql AS $$ SELECT '
--
-- Data for Name: x; Type: TABLE DATA; Schema: public; Owner: me
--

COPY public.x (a) FROM stdin;
\\.
-- PostgreSQL database dump complete
' $$;


ALTER FUNCTION public.odd() OWNER TO me;

"""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def entry(name: str, kind: str, text: str, of: str = "") -> bytes:
    return f"--\n-- {of}Name: {name}; Type: {kind}; Schema: public; Owner: me\n--\n\n{text}\n\n".encode()


def table(name: str, rest: str = "") -> bytes:
    made = f"CREATE TABLE public.{quoted(name)} (\n    a integer\n){rest};\n\n\nALTER TABLE public.x OWNER TO me;\n"
    return entry(name, "TABLE", made)


def copied(name: str, rows: list[bytes]) -> bytes:
    begin = f"COPY public.{quoted(name)} (a) FROM stdin;\n".encode()
    return entry(name, "TABLE DATA", "", "Data for ")[:-2] + begin + b"".join(rows) + b"\\.\n\n\n"


def dump(tables: dict[str, list[bytes]], middle: bytes = b"") -> bytes:
    defined = b"".join(map(table, tables))
    rows = b"".join(copied(name, rows) for name, rows in tables.items())
    key = entry("k", "CONSTRAINT", "ALTER TABLE ONLY public.x ADD CONSTRAINT k PRIMARY KEY (a);")
    return HEAD + BODY + defined + middle + rows + key + END


def only(data: bytes, *tables: str, size: int = 1 << 20) -> bytes:
    return b"".join(postgres_only((data[at : at + size] for at in range(0, len(data), size)), tables))


@given(st.dictionaries(NAMES, ROWS, min_size=1, max_size=5), st.integers(1, 50), st.data())
def test_exactly_the_wanted_rows(tables: dict[str, list[bytes]], size: int, data: st.DataObject) -> None:
    """In pieces of any size, whatever the names and rows are; and nothing behind them."""
    wanted = data.draw(st.lists(st.sampled_from(sorted(tables)), min_size=1, unique=True))
    found = only(dump(tables), *(f"public.{quoted(name)}" for name in wanted), size=size)
    rows = b"".join(
        f"COPY public.{quoted(name)} (a) FROM stdin;\n".encode() + b"".join(tables[name]) + b"\\.\n"
        for name in tables
        if name in wanted
    )
    assert found.endswith(b"END $rw$;\n" + rows)
    assert found.startswith(HEAD[:-1]) and b"OWNER TO" not in found.split(b"DO $rw$")[0].replace(BODY, b"")
    assert all(f"CREATE TABLE public.{quoted(name)} (".encode() in found for name in tables)


def test_it_reads_no_further() -> None:
    """What comes after the last wanted row is not asked for."""

    def pieces() -> Iterator[bytes]:
        yield dump({"a": [b"1\n"], "b": [b"2\n"]}).split(b"2\n\\.\n")[0] + b"2\n\\.\n"
        raise AssertionError

    assert b"".join(postgres_only(pieces(), ["b"])).endswith(b"2\n\\.\n")


def test_partitions_and_heirs() -> None:
    """The rows of a table are also those of its partitions, of their partitions, and of its heirs."""
    attached = entry("q", "TABLE ATTACH", 'ALTER TABLE ONLY public.p ATTACH PARTITION public."q 1" FOR VALUES IN (1);')
    attached += entry("r", "TABLE ATTACH", 'ALTER TABLE ONLY public."q 1" ATTACH PARTITION public.r DEFAULT;')
    made = (
        table("p", "\nPARTITION BY LIST (a)")
        + table("q 1", "\nPARTITION BY LIST (a)")
        + table("h", "\nINHERITS (public.r, public.z)")
    )
    rows = {"z": [b"1\n"], "r": [b"2\n"], "h": [b"3\n"], "other": [b"4\n"]}
    found = only(dump(rows, made + attached), "p")
    assert b"2\n\\.\n" in found and found.endswith(b"3\n\\.\n") and b"1\n\\.\n" not in found and b"4\n" not in found
    assert only(dump(rows, made + attached), "z").endswith(b"3\n\\.\n")


def test_what_is_not_there() -> None:
    """A table that is not there, one without rows in the dump, a dump without its end."""
    data = dump({"agent_cards": [b"1\n"], "b": []})
    with pytest.raises(errors.NotFound) as caught:
        only(data, "agent_crads")
    assert "agent_cards" in caught.value.hint
    assert only(data, "b").endswith(b"stdin;\n\\.\n")
    with pytest.raises(errors.NotFound, match="only its definition"):
        only(data.replace(copied("b", []), b""), "b")
    for cut in (data[: data.index(b"1\n\\.") + 1], data[:100]):
        with pytest.raises(ValueError, match="has no end"):
            only(cut, "agent_cards")


def test_names() -> None:
    """As people say them: with a schema or without, quoted or as they are, in capitals where only one can be meant."""
    known = ['public.a (x, "y z")', 'odd."A B.c" (x)', "odd.twice (x)", "public.twice (x)", "`my``db`.`Größe`"]
    for said, meant in (
        ("a", "public.a"), ("public.a", "public.a"), ("A", "public.a"), ('"A B.c"', 'odd."A B.c"'),
        ("A B.c", 'odd."A B.c"'), ("odd.twice", "odd.twice"), ("Größe", "`my``db`.`Größe`"),
    ):  # fmt: skip
        assert named(said, known) == meant
    with pytest.raises(errors.UsageError, match=r"odd\.twice, public\.twice"):
        named("twice", known)
    with pytest.raises(errors.NotFound):
        named("other.a", known)
    assert parts("`my``db`.`Größe`") == ("my`db", "Größe") and stem('odd."A B.c" (x)') == 'odd."A B.c"'
    assert unknown("zzz", ["public.a"]).hint == "It has public.a."


@given(NAMES, NAMES)
def test_names_round_trip(schema: str, name: str) -> None:
    assert parts(f"{quoted(schema)}.{quoted(name)} (a, b)") == (schema, name)
