"""Rows of a SQLite table as CSV, and back. Quotes tell types: `5` is a number, `"5"` a text, `x'05'` bytes."""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from resticwrap import errors
from resticwrap.model.databases import PutBack
from resticwrap.planning import csvrows
from resticwrap.sources.sqlite.files import plain, quoted, unquoted

WHOLE, BYTES = re.compile(r"[+-]?\d{1,19}\Z"), re.compile(r"x'((?:[0-9a-fA-F]{2})*)'\Z")
TAKEN = {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID}
NAMED = 20
Cell = str | int | float | bytes | None


def columns_of(connection: sqlite3.Connection, table: str) -> Sequence[str]:
    """The columns that are written: generated ones make themselves. Raises NotFound."""
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", (table,)).fetchall()
    if not rows:
        raise errors.NotFound(f"There is no table {plain(table)}.", hint="rw db list")
    return [row[0] for row in rows]


def select(connection: sqlite3.Connection, table: str, where: str | None, order: str) -> Iterator[bytes]:
    """The lines of the CSV. Raises LoadFailed where `where` is not understood."""
    table = unquoted(table)
    columns = columns_of(connection, table)
    yield b",".join(_named(name) for name in columns) + b"\n"
    sql = f"SELECT {', '.join(quoted(name) for name in columns)} FROM {quoted(table)}"
    sql += (f" WHERE ({where}\n)" if where else "") + f" ORDER BY {order}"
    connection.text_factory = str
    try:
        for row in connection.execute(sql):
            yield b",".join(_shown(cell) for cell in row) + b"\n"
    except sqlite3.OperationalError as error:
        raise errors.LoadFailed(f"{plain(table)} cannot be read: {error}.") from error


def put_back(
    connection: sqlite3.Connection,
    table: str,
    csv: Iterable[bytes],
    key: Sequence[str],
    *,
    skip_conflicts: bool,
    dry_run: bool,
) -> PutBack:
    """As the port says, in one transaction."""
    table = unquoted(table)
    known = columns_of(connection, table)
    records = csvrows.records(csv)
    header = [(cell or b"").decode() for cell in next(records, ())]
    if not header:
        raise ValueError("it is empty: its first line names the columns")
    if strange := [name for name in header if name not in known]:
        raise errors.LoadFailed(f"{plain(table)} has no column {strange[0]}.")
    marks = ", ".join("?" * len(header))
    names = ", ".join(quoted(name) for name in header)
    # ABORT, or a table that says ON CONFLICT REPLACE would lose the row that is there.
    sql = f"INSERT OR ABORT INTO {quoted(table)} ({names}) VALUES ({marks})"
    shown = [name for name in key if name in header] or header[:1]
    keys = [one for one in _keys(connection, table, key) if {*one} <= {*header}]
    there = f"SELECT 1 FROM {quoted(table)} WHERE {' AND '.join(f'{quoted(name)} IS ?' for name in header)}"
    rows, same = 0, 0
    conflicts: list[str] = []
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for record in records:
            rows += 1
            values = [_value(cell) for cell in record]
            try:
                connection.execute(sql, values)
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode not in TAKEN:
                    raise
                if connection.execute(there, values).fetchone():
                    same += 1
                    continue
                taken = next((one for one in keys if _there(connection, table, one, header, values)), shown)
                texts = dict(zip(header, record, strict=True))
                conflicts.append(", ".join(f"{plain(name)}={(texts[name] or b'NULL').decode()}" for name in taken))
        kept = not conflicts or skip_conflicts
        connection.execute("COMMIT" if kept and not dry_run else "ROLLBACK")
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError) as error:
        if connection.in_transaction:  # a trigger may have taken it back already
            connection.execute("ROLLBACK")
        why = f"Row {rows} does not fit into {plain(table)}, which is as it was: {error}."
        raise errors.LoadFailed(why) from error
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return PutBack(
        rows=rows,
        inserted=rows - same - len(conflicts) if kept and not dry_run else 0,
        conflicts=tuple(conflicts[:NAMED]),
        conflict_count=len(conflicts),
        same=same,
        notes=() if keys else (csvrows.keyless(plain(table)),),
    )


def _keys(connection: sqlite3.Connection, table: str, key: Sequence[str]) -> Iterator[Sequence[str]]:
    """The columns of each unique key, the primary one first; of indexes over part of the rows or over expressions
    none."""
    if key:
        yield key
    for (index,) in connection.execute(
        "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial AND origin <> 'pk'", (table,)
    ).fetchall():
        names = [name for (name,) in connection.execute("SELECT name FROM pragma_index_info(?)", (index,))]
        if None not in names:
            yield names


def _there(
    connection: sqlite3.Connection, table: str, key: Sequence[str], header: Sequence[str], values: Sequence[object]
) -> bool:
    row = dict(zip(header, values, strict=True))
    on = " AND ".join(f"{quoted(name)} = ?" for name in key)
    sql = f"SELECT 1 FROM {quoted(table)} WHERE {on}"
    return connection.execute(sql, [row[name] for name in key]).fetchone() is not None


def _named(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogateescape")
    return raw if name.replace("_", "a").isalnum() else csvrows.quoted(raw)


def _shown(cell: Cell) -> bytes:
    if cell is None:
        return b""
    if isinstance(cell, str):
        return csvrows.quoted(cell.encode())
    return (f"x'{cell.hex()}'" if isinstance(cell, bytes) else repr(cell)).encode()


def _value(cell: bytes | None) -> Cell:
    if cell is None:
        return None
    text = cell.decode()
    if isinstance(cell, csvrows.Quoted):
        return text
    if match := BYTES.match(text):
        return bytes.fromhex(match[1])
    if WHOLE.match(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text
