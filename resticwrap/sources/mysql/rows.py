"""Rows of a table out of MySQL or MariaDB as CSV, and back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from resticwrap import errors
from resticwrap.model.databases import PutBack
from resticwrap.planning import csvrows
from resticwrap.planning.dumps_mysql import plain, quoted
from resticwrap.sources.mysql.asking import Asking, literal

BINARY = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "point", "linestring",
          "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection"}  # fmt: skip
"""Types of columns that are no text: in CSV they are hexadecimal digits after `0x`."""
NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year"}
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', lock_wait_timeout = 60;\n"
)
"""Backslashes escape, times are in UTC, and what does not fit is an error."""
STAGE = "rw_put_back"
STATEMENT = 256 << 10
"""Bytes of rows in one statement."""
NAMED = 20


class Counted:
    """The rows of a CSV on their way, its heading first, and how many have gone by. Raises ValueError for no CSV."""

    def __init__(self, csv: Iterable[bytes]) -> None:
        self._csv = csv
        self.rows = 0

    def __iter__(self) -> Iterator[csvrows.Fields]:
        for number, record in enumerate(csvrows.records(self._csv)):
            self.rows = number
            yield record


@dataclass(frozen=True)
class Table:
    """A table: its columns with their types, and the columns of each of its unique keys, the primary one first."""

    name: str
    columns: dict[str, str]
    keys: tuple[tuple[str, ...], ...]
    schema: str
    engine: str = field(default="")

    @classmethod
    def of(cls, asking: Asking, schema: str, name: str) -> "Table":
        """Look it up. Raises NotFound."""
        where = f"WHERE table_schema = {literal(schema)} AND table_name = {literal(name)}"
        columns = asking.rows(
            f"SELECT column_name, data_type FROM information_schema.columns {where}"
            " AND extra NOT LIKE '%GENERATED%' ORDER BY ordinal_position"
        )
        if not columns:
            raise errors.NotFound(f"There is no table {name} in {schema}.", hint="rw db list")
        found: dict[str, list[str]] = {}
        for key, column in asking.rows(
            f"SELECT index_name, column_name FROM information_schema.statistics {where} AND non_unique = 0"
            " ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index"
        ):
            found.setdefault(key or "", []).append(column or "")
        engine = asking.one(f"SELECT COALESCE(engine, '') FROM information_schema.tables {where}")
        return cls(
            name,
            {row[0] or "": (row[1] or "").lower() for row in columns},
            tuple(tuple(key) for key in found.values()),
            schema,
            engine,
        )

    def refuse_unsteady(self, asking: Asking) -> None:
        """Raises LoadFailed where rows of it cannot be put back in one transaction."""
        where = f"WHERE engine = {literal(self.engine)}"
        sql = f"SELECT COALESCE(MAX(transactions), 'NO') FROM information_schema.engines {where}"
        if asking.one(sql) != "YES":
            raise errors.LoadFailed(f"{self.name} has no transactions ({self.engine}): nothing could be taken back.")

    def header(self) -> bytes:
        """The line of names."""
        return csvrows.line([name.encode("utf-8", "surrogateescape") for name in self.columns])

    def select(self, where: str | None) -> str:
        """The question whose answer, written raw, is the lines of the CSV, in the order of the primary key."""
        fields = ", ".join(_shown(quoted(name), kind) for name, kind in self.columns.items())
        key = ", ".join(quoted(name) for name in self.keys[0]) if self.keys else ""
        return (
            SESSION
            + f"SELECT CONCAT_WS(',', {fields}) FROM {quoted(self.name)}"
            + (f" WHERE ({where}\n)" if where else "")
            + (f" ORDER BY {key}" if key else "")
            + ";\n"
        )

    def insert(self, records: Iterator[csvrows.Fields], *, skip_conflicts: bool, dry_run: bool) -> Iterator[bytes]:
        """The SQL of one session that puts rows back, and whose answer `told` reads. The rows go into a table of the
        session's own first, which has the same columns and keys: what does not fit fails there."""
        header = [(cell or b"").decode() for cell in next(records, [])]
        if not header:
            raise ValueError("it is empty: its first line names the columns")
        if strange := [name for name in header if name not in self.columns]:
            raise errors.LoadFailed(f"{self.name} has no column {strange[0]}.")
        names = ", ".join(quoted(name) for name in header)
        stage, table = quoted(STAGE), quoted(self.name)
        yield f"{SESSION}CREATE TEMPORARY TABLE {stage} LIKE {table};\n".encode()
        yield from _statements(
            records, f"INSERT INTO {stage} ({names}) VALUES\n", [self.columns[name] for name in header]
        )
        key = next((key for key in self.keys if {*key} <= {*header}), ())
        taken, same = self._taken(header), self._same(key, header)
        shown, order = self._key_taken(header), ", ".join(f"s.{quoted(column)}" for column in key or header[:1])
        yield (
            "START TRANSACTION;\n"
            f"SELECT 'conflict', {shown} FROM {stage} s WHERE ({taken}) AND NOT ({same})"
            f" ORDER BY {order} LIMIT {NAMED};\n"
            f"SELECT COUNT(*) INTO @same FROM {stage} s WHERE {same};\n"
            f"SELECT COUNT(*) INTO @conflicts FROM {stage} s WHERE ({taken}) AND NOT ({same});\n"
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {stage} s"
            f" WHERE NOT ({taken}) AND (@conflicts = 0 OR {int(skip_conflicts)} = 1);\n"
            f"SELECT 'done', {0 if dry_run else 'ROW_COUNT()'}, @conflicts, @same;\n"
            f"{'ROLLBACK' if dry_run else 'COMMIT'};\n"
        ).encode("utf-8", "surrogateescape")

    def _same(self, key: Sequence[str], header: Sequence[str]) -> str:
        """Whether the table has the staged row `s` already, down to the bytes of each of its columns."""
        if not key:
            return "FALSE"
        on = " AND ".join(f"l.{quoted(column)} = s.{quoted(column)}" for column in key)
        alike = " AND ".join(f"BINARY l.{quoted(column)} <=> BINARY s.{quoted(column)}" for column in header)
        return f"EXISTS (SELECT 1 FROM {quoted(self.name)} l WHERE {on} AND {alike})"

    def _taken(self, header: Sequence[str]) -> str:
        """Whether the table has a key of the staged row `s`; of keys that the rows say nothing of, it has none."""
        keys = [key for key in self.keys if set(key) <= set(header)]
        return " OR ".join(map(self._has, keys)) or "FALSE"

    def _key_taken(self, header: Sequence[str]) -> str:
        """The SQL that names the first key of the staged row `s` that another row has."""
        keys = [key for key in self.keys if set(key) <= set(header)]
        cases = [f"WHEN {self._has(key)} THEN {_key_shown(key)}" for key in keys]
        return f"CASE {' '.join(cases)} END" if cases else "''"

    def _has(self, key: Sequence[str]) -> str:
        on = " AND ".join(f"l.{quoted(name)} = s.{quoted(name)}" for name in key)
        return f"EXISTS (SELECT 1 FROM {quoted(self.name)} l WHERE {on})"

    def told(self, answer: bytes, rows: int) -> PutBack:
        """What came of it."""
        lines = [line.split("\t") for line in answer.decode("utf-8", "replace").split("\n")]
        done = next((line for line in lines if line[0] == "done"), ["done", "0", "0", "0"])
        return PutBack(
            rows=rows,
            inserted=max(int(done[1]), 0),
            conflicts=tuple(line[1] for line in lines if line[0] == "conflict"),
            conflict_count=int(done[2]),
            same=int(done[3]),
            notes=() if self.keys else (csvrows.keyless(plain(self.name)),),
        )


def _key_shown(key: Sequence[str]) -> str:
    """The SQL that names a staged row by its key."""
    parts = [f"CONCAT({literal(plain(name) + '=')}, COALESCE(s.{quoted(name)}, 'NULL'))" for name in key]
    return f"CONCAT_WS(', ', {', '.join(parts)})" if parts else "''"


def _statements(records: Iterable[csvrows.Fields], begin: str, kinds: Sequence[str]) -> Iterator[bytes]:
    values = [_binary_value if kind in BINARY else _text_value for kind in kinds]
    held: list[str] = []
    size = 0
    for record in records:
        row = "(" + ",".join(value(cell) for value, cell in zip(values, record, strict=True)) + ")"
        held.append(row)
        size += len(row)
        if size > STATEMENT:
            yield (begin + ",\n".join(held) + ";\n").encode("utf-8", "surrogateescape")
            held, size = [], 0
    if held:
        yield (begin + ",\n".join(held) + ";\n").encode("utf-8", "surrogateescape")


def _text_value(cell: bytes | None) -> str:
    return "NULL" if cell is None else literal(cell.decode())


def _binary_value(cell: bytes | None) -> str:
    if cell is None:
        return "NULL"
    digits = cell.decode().removeprefix("0x")
    try:
        bytes.fromhex(digits)
    except ValueError:
        raise errors.LoadFailed("A binary value in the rows is not written as hexadecimal digits after 0x.") from None
    return f"x'{digits}'"


def _shown(column: str, kind: str) -> str:
    """The SQL that gives a column as a field of CSV."""
    if kind in NUMBERS:
        return f"IFNULL({column}, '')"
    if kind in BINARY:
        text = f"LPAD(HEX({column} + 0), 16, '0')" if kind == "bit" else f"HEX({column})"
        return f"IFNULL(CONCAT('0x', {text}), '')"
    return f"""IFNULL(CONCAT('"', REPLACE({column}, '"', '""'), '"'), '')"""
