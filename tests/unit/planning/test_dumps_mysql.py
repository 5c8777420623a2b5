"""Dumps of MySQL, in whatever pieces they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from resticwrap.planning.dumps_mysql import MysqlDump, only, plain, quoted, unquoted

HEAD = b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\nCREATE TABLE `t` (`id` int);\n"
BODY = b"""DELIMITER ;;
CREATE PROCEDURE p() BEGIN
LOCK TABLES `x` WRITE;
INSERT INTO `x` VALUES (1);
UNLOCK TABLES;
-- Dump completed
END ;;
DELIMITER ;
"""
ROW = some.binary(max_size=300).map(lambda raw: raw.replace(b"\n", b"\\n"))


def dumped(rows: dict[str, list[bytes]]) -> bytes:
    """As mariadb-dump writes it, a row in each statement."""
    parts = [HEAD]
    for name, values in rows.items():
        table = quoted(name).encode()
        parts.append(b"LOCK TABLES " + table + b" WRITE;\n")
        parts += [b"INSERT INTO " + table + b" (`id`, `a``b) VALUES (`) VALUES (" + value + b");\n" for value in values]
        parts.append(b"UNLOCK TABLES;\n")
    return b"".join([*parts, BODY, b"\n-- Dump completed\n"])


def read(text: bytes, cuts: list[int]) -> tuple[MysqlDump, bytes]:
    """Read in pieces."""
    dump = MysqlDump("shop")
    ends = sorted({0, *(cut % (len(text) + 1) for cut in cuts), len(text)})
    return dump, b"".join(dump.feed(text[one:other]) for one, other in pairwise(ends))


def rows_in(text: bytes) -> list[bytes]:
    """The rows of the statements that came out."""
    lines = text[: text.index(BODY)].split(b"\n")
    return [line[1:-2] for line in lines if line.startswith(b"(") and line.endswith((b"),", b");"))]


@given(some.dictionaries(some.text(max_size=8), some.lists(ROW, max_size=20), max_size=3), some.lists(some.integers(0)))
def test_pieces_do_not_matter(rows: dict[str, list[bytes]], cuts: list[int]) -> None:
    """However it comes, every row goes out, and the facts are the same."""
    rows = {name.replace("\n", "").encode("utf-8", "ignore").decode(): values for name, values in rows.items()}
    text = dumped(rows)
    dump, out = read(text, cuts)
    whole, other = read(text, [])
    assert dump.complete and dump.facts() == whole.facts()
    assert rows_in(out) == rows_in(other) == [value for values in rows.values() for value in values]
    counts = {table.name: table.rows for table in dump.facts().tables}
    assert counts == {plain(name): len(values) for name, values in rows.items()}
    assert b"sandbox" not in out and out.endswith(BODY + b"\n-- Dump completed\n")


@given(some.lists(ROW, min_size=1), some.integers(0), some.binary(max_size=9).map(lambda raw: raw.replace(b"\n", b"")))
def test_one_value_matters(values: list[bytes], at: int, other: bytes) -> None:
    """A row that is another one shows in the digest."""
    changed = list(values)
    changed[at % len(values)] = other
    one, two = (read(dumped({"t": rows}), [])[0].facts() for rows in (values, changed))
    assert (one == two) == (values == changed)
    assert one.schema_digest == two.schema_digest


def test_a_row_more_moves_few_statements() -> None:
    """What was inserted at the beginning leaves almost all of the rest as it was: restic finds it again."""
    values = [str(number).encode() + b",'" + b"x" * 90 + b"'" for number in range(20_000)]
    statements = [
        set(read(dumped({"t": rows}), [])[1].split(b"INSERT INTO")) for rows in (values, [b"-1,'new'", *values])
    ]
    assert len(statements[0]) > 10
    assert len(statements[0] - statements[1]) <= 2


def test_statements_are_small_enough() -> None:
    """Rows that are all alike end no statement by themselves."""
    _, out = read(dumped({"t": [b"'" + b"y" * 1000 + b"'"] * 3000}), [])
    assert max(map(len, out.split(b"INSERT INTO"))) < 1 << 20


@pytest.mark.parametrize(
    "text", [b"SELECT 1;\n", b"INSERT INTO `t` VALUES (1);\nSELECT 1;\n", b"INSERT INTO t VALUES (1);\n"]
)
def test_what_is_not_understood(text: bytes) -> None:
    """Something else among the rows is an error: it would go unseen."""
    with pytest.raises(ValueError, match=r"expected|something else"):
        read(b"LOCK TABLES `t` WRITE;\n" + text + b"UNLOCK TABLES;\n", [])


def test_a_name_of_the_live_database_goes() -> None:
    """What is said of a database by its name would reach the live one from wherever the dump is loaded."""
    _, out = read(b"ALTER DATABASE `shop``s` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n", [])
    assert out == b"ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n"


@given(some.lists(some.integers(0)))
def test_only(cuts: list[int]) -> None:
    """Of other tables everything but their rows is kept."""
    out = read(dumped({"t": [b"1", b"2"], "o`k": [b"3"], "u": [b"4"]}), [])[1]
    ends = sorted({0, *(cut % (len(out) + 1) for cut in cuts), len(out)})
    kept = b"".join(only([out[one:other] for one, other in pairwise(ends)], ["u", "`o``k`"]))
    assert rows_in(kept) == [b"3", b"4"]
    assert kept.count(b"LOCK TABLES") == out.count(b"LOCK TABLES") and BODY in kept


@given(some.text())
def test_names(name: str) -> None:
    """What is written is read."""
    assert unquoted(quoted(name)) == name
    assert unquoted(plain(name)) == name
