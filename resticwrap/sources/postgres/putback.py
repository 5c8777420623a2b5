"""Rows put back into a live PostgreSQL table: all in one transaction, and only where nothing is in their way.

They are copied into a temporary table first, which takes no value that the real one would not take. There they are held
against every unique key and foreign key of the real table, and inserted by one statement.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from resticwrap import errors
from resticwrap.model.base import Value, from_json
from resticwrap.model.databases import PutBack
from resticwrap.model.dbrows import RowKey, RowReference, RowTable
from resticwrap.planning import csvrows, dumptables
from resticwrap.sources.postgres.access import literal, quoted
from resticwrap.sources.postgres.rows import PLAIN, Psql, as_sql, tables

STAND_IN = "rw_put_back"
BACK = f"pg_temp.{STAND_IN}"
ROW = '"rw row"'
NAMED = 20
"""So many conflicts are told one by one."""
BATCH = 1 << 18
WRITTEN = "rw db extract writes such files: CSV with a heading."
DESCRIBE = """SELECT coalesce(to_regclass({table})::oid, 0) AS rw_table \\gset
SET search_path TO '';
WITH t AS (SELECT :rw_table::oid AS id)
SELECT json_build_object(
'name', coalesce((SELECT oid::regclass::text FROM pg_class, t WHERE oid = id), ''),
'columns', (SELECT coalesce(json_agg(json_build_object('name', attname,
  'generated', coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '') ORDER BY attnum), '[]')
  FROM pg_attribute a, t WHERE attrelid = id AND attnum > 0 AND NOT attisdropped),
'keys', (SELECT coalesce(json_agg(json_build_object('name', c.relname,
  'columns', (SELECT coalesce(json_agg(attname), '[]') FROM pg_attribute a WHERE attrelid = indrelid AND attnum > 0
    AND (attnum = ANY (indkey::int2[]) OR attnum IN (SELECT refobjsubid FROM pg_depend
      WHERE classid = 'pg_class'::regclass AND objid = indexrelid AND refobjid = indrelid AND refobjsubid > 0))),
  'parts', (SELECT json_agg(pg_get_indexdef(indexrelid, k, true) ORDER BY k) FROM generate_series(1, indnkeyatts) k),
  'predicate', pg_get_expr(indpred, indrelid, true),
  'nulls_same', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false))
    ORDER BY NOT indisprimary, relname), '[]')
  FROM pg_index i JOIN pg_class c ON c.oid = indexrelid, t WHERE indrelid = id AND indisunique AND indislive),
'references', (SELECT coalesce(json_agg(json_build_object('name', conname, 'to', confrelid::regclass,
  'columns', (SELECT json_agg(attname ORDER BY n) FROM unnest(conkey) WITH ORDINALITY u (k, n)
    JOIN pg_attribute ON attrelid = conrelid AND attnum = k),
  'to_columns', (SELECT json_agg(attname ORDER BY n) FROM unnest(confkey) WITH ORDINALITY u (k, n)
    JOIN pg_attribute ON attrelid = confrelid AND attnum = k)) ORDER BY conname), '[]')
  FROM pg_constraint, t WHERE conrelid = id AND contype = 'f' AND conparentid = 0
  AND has_table_privilege(confrelid, 'SELECT') AND NOT row_security_active(confrelid)),
'triggers', (SELECT coalesce(json_agg(tgname ORDER BY tgname), '[]') FROM pg_trigger, t
  WHERE tgrelid = id AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 4 <> 0),
'sequences', (SELECT coalesce(json_agg(json_build_object('column', attname, 'name', s) ORDER BY attnum), '[]')
  FROM t, pg_attribute, pg_get_serial_sequence(id::regclass::text, attname) s WHERE attrelid = id AND attnum > 0
  AND NOT attisdropped AND s IS NOT NULL AND has_sequence_privilege(s, 'SELECT')),
'dependants', (SELECT coalesce(json_agg(DISTINCT conrelid::regclass::text), '[]') FROM pg_constraint, t
  WHERE confrelid = id AND contype = 'f' AND conparentid = 0 AND confdeltype = 'c' AND conrelid <> id)
)"""
"""What a table is like, as JSON: a `RowTable`. Every name in it is whole, whatever the search path."""


class _Behind(Value, frozen=True):
    name: str
    at: int
    needed: int


class _Said(Value, frozen=True):
    rows: int
    same: int
    inserted: int
    conflict_count: int
    conflicts: tuple[str, ...]
    dangling_count: int
    dangling: tuple[str, ...]
    behind: tuple[_Behind, ...]


def put_back(
    psql: Psql, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool
) -> PutBack:
    """The `put_back` of the `Server` port."""
    asked = DESCRIBE.format(table=literal(as_sql(table)))
    about = from_json(RowTable, psql(name, [asked.encode()], None))
    if not about.name:
        raise dumptables.unknown(table, tables(psql, name))
    given = _records(csv)
    columns = _columns(about, next(given, []))
    script = _Script(about, tuple(column for column, _ in columns))
    lines = (csvrows.copy_line([row[at] for _, at in columns]) for row in given)
    after = script.after(skip_conflicts=skip_conflicts, dry_run=dry_run)
    said = _run(psql, name, chain([script.before()], _batches(lines), [b"\\.\n", after]), about)
    if said.dangling_count:
        raise errors.LoadFailed(
            f"{said.dangling_count:,} rows point to rows that are not there: {'; '.join(said.dangling)}.",
            hint="Put back the rows that they point to first: rw db put-back",
        )
    return PutBack(
        rows=said.rows, inserted=said.inserted, same=said.same, conflicts=said.conflicts,
        conflict_count=said.conflict_count, notes=tuple(_notes(about, script, said)),
    )  # fmt: skip


def _run(psql: Psql, name: str, script: Iterable[bytes], about: RowTable) -> _Said:
    """Run the transaction up to its end, which is not written before what came of it is known here: of a killed `rw`
    psql meets the end of its script instead, and nothing was done."""
    reading, writing = os.pipe()
    heard: list[_Said] = []

    def body() -> Iterator[bytes]:
        yield from script
        if line := _line(reading):
            heard.append(from_json(_Said, line))
            yield b"COMMIT;\n" if heard[0].inserted else b"ROLLBACK;\n"

    try:
        psql(name, body(), writing)
    except errors.Failure as error:
        # Where the table fails that stands for the real one, it is that which is meant.
        raise type(error)(error.message.replace(STAND_IN, about.name), hint=error.hint) from error
    finally:
        os.close(reading)
    if not heard:
        raise errors.LoadFailed("psql ended before it had said anything, and nothing was put back.")
    return heard[0]


def _line(reading: int) -> bytes:
    """The one line that the script prints; empty where it ends without."""
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(reading, 1 << 16)):
        line += piece
    return line


def _records(csv: Iterable[bytes]) -> Iterator[csvrows.Fields]:
    try:
        yield from csvrows.records(csv)
    except ValueError as error:
        raise errors.LoadFailed(f"The rows are no CSV: {error}.", hint=WRITTEN) from error


def _columns(about: RowTable, heading: csvrows.Fields) -> list[tuple[str, int]]:
    """The columns that are filled, and where in a row of the file they stand."""
    named = [(one or b"").decode("utf-8", "replace") for one in heading]
    known = {column.name: column for column in about.columns}
    if not named:
        raise errors.LoadFailed("The rows have no line of names.", hint=WRITTEN)
    if strange := [one for one in named if one not in known]:
        raise errors.LoadFailed(
            f"{about.name} has no column {', '.join(strange)}.",
            hint="Its columns may have changed since: put the file's heading right, or leave such columns out of it.",
        )
    if len(set(named)) != len(named):
        raise errors.LoadFailed("The file names a column twice.", hint="Look at its first line.")
    return [(one, at) for at, one in enumerate(named) if not known[one].generated]


def _batches(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= BATCH:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


class _Script:
    """The one transaction, as psql reads it."""

    def __init__(self, about: RowTable, columns: Sequence[str]) -> None:
        self._about, self._columns = about, columns
        generated = {column.name for column in about.columns if column.generated}
        self.missing = [column.name for column in about.columns if column.name not in {*columns, *generated}]
        there = {*columns, *generated}
        self.keys = [key for key in about.keys if there >= set(key.columns)]
        self._references = [one for one in about.references if there >= set(one.columns)]
        self._sequences = [one for one in about.sequences if one.column in columns]
        self._list = ", ".join(map(quoted, columns))

    def before(self) -> bytes:
        """What comes before the rows."""
        about = self._about
        # A column that is not given takes its default when the row is inserted, and is empty until then.
        changes = [f"ALTER {quoted(name)} DROP NOT NULL" for name in self.missing]
        changes.append(f"ADD {ROW} bigint GENERATED ALWAYS AS IDENTITY")
        return (
            f"{PLAIN}BEGIN;\n"
            f"CREATE TEMP TABLE {STAND_IN} (LIKE {about.name} INCLUDING GENERATED INCLUDING CONSTRAINTS)"
            f" ON COMMIT DROP;\n"
            f"ALTER TABLE {BACK} {', '.join(changes)};\n"
            f"COPY {BACK} ({self._list}) FROM STDIN;\n"
        ).encode()

    def after(self, *, skip_conflicts: bool, dry_run: bool) -> bytes:
        """What comes after them: it inserts where it may, and says as JSON how it went. It does not end the
        transaction."""
        nothing = "SELECT NULL::bigint AS n, NULL::text AS key, false AS same WHERE false"
        taken = "\nUNION ALL ".join(chain([nothing], *map(self._taken, self.keys)))
        dangling = "\nUNION ALL ".join(chain([nothing], map(self._dangling, self._references)))
        behind = "\nUNION ALL ".join(
            chain(["SELECT NULL::text AS name, 0::bigint AS at, 0::bigint AS needed WHERE false"], self._behind())
        )
        go = f"NOT {dry_run} AND :rw_dangling = 0 AND :rw_rows > :rw_same AND ({skip_conflicts} OR :rw_conflicts = 0)"
        return (
            f"ANALYZE {BACK};\n"
            f"CREATE TEMP TABLE rw_taken ON COMMIT DROP AS\n"
            f"  SELECT DISTINCT ON (n) * FROM ({taken}) q ORDER BY n, same;\n"
            f"CREATE TEMP TABLE rw_dangling ON COMMIT DROP AS SELECT DISTINCT n, key FROM ({dangling}) q\n"
            f"  WHERE n NOT IN (SELECT n FROM pg_temp.rw_taken);\n"
            f"SELECT (SELECT count(*) FROM {BACK}) AS rw_rows,\n"
            f"  (SELECT count(*) FROM pg_temp.rw_taken WHERE same) AS rw_same,\n"
            f"  (SELECT count(*) FROM pg_temp.rw_taken WHERE NOT same) AS rw_conflicts,\n"
            f"  (SELECT count(*) FROM pg_temp.rw_dangling) AS rw_dangling \\gset\n"
            f"\\set rw_inserted 0\n"
            f"SELECT {go} AS rw_go \\gset\n"
            f"\\if :rw_go\n"
            f"INSERT INTO {self._about.name} ({self._list}) OVERRIDING SYSTEM VALUE SELECT {self._list} FROM {BACK}\n"
            f"  WHERE {ROW} NOT IN (SELECT n FROM pg_temp.rw_taken) ORDER BY {ROW};\n"
            f"\\set rw_inserted :ROW_COUNT\n"
            f"SET CONSTRAINTS ALL IMMEDIATE;\n"
            f"\\endif\n"
            f"SELECT json_build_object('rows', :rw_rows, 'same', :rw_same, 'inserted', :rw_inserted,\n"
            f"  'conflict_count', :rw_conflicts, 'dangling_count', :rw_dangling,\n"
            f"  'conflicts', (SELECT coalesce(json_agg(key), '[]') FROM\n"
            f"    (SELECT key FROM pg_temp.rw_taken WHERE NOT same ORDER BY n LIMIT {NAMED}) q),\n"
            f"  'dangling', (SELECT coalesce(json_agg(key), '[]') FROM\n"
            f"    (SELECT key FROM pg_temp.rw_dangling ORDER BY n LIMIT {NAMED}) q),\n"
            f"  'behind', (SELECT coalesce(json_agg(q), '[]') FROM ({behind}) q WHERE needed > at));\n"
        ).encode()

    def _taken(self, key: RowKey) -> Iterator[str]:
        """Rows whose key is another's: of the table, or of the file."""
        numbers = range(len(key.parts))
        listed = ", ".join(f"({part}) AS {_key(at)}" for at, part in enumerate(key.parts))
        only = f" WHERE {key.predicate}" if key.predicate else ""
        same = "IS NOT DISTINCT FROM" if key.nulls_same else "="
        on = " AND ".join(f"b.{_key(at)} {same} o.{_key(at)}" for at in numbers)
        given = f"(SELECT *, {listed} FROM {BACK}{only}) b"
        values = ", ".join(f"b.{_key(at)}::text" for at in numbers)
        shown = f"{literal('(' + ', '.join(key.parts) + ')=(')} || concat_ws(', ', {values}) || ')'"
        equal = f"ROW({_of('b', self._columns)})::text IS NOT DISTINCT FROM ROW({_of('o', self._columns)})::text"
        found = f"JOIN (SELECT *, {listed} FROM {self._about.name}{only}) o ON {on}"
        yield f"SELECT b.{ROW}, {shown}, {equal} FROM {given} {found}"
        twice = f"JOIN (SELECT *, {listed} FROM {BACK}{only}) o ON {on} AND o.{ROW} < b.{ROW}"
        yield f"SELECT b.{ROW}, {shown} || ' stands twice in the file', false FROM {given} {twice}"

    def _dangling(self, reference: RowReference) -> str:
        """Rows that point to nothing."""
        pairs = list(zip(reference.columns, reference.to_columns, strict=True))
        filled = " AND ".join(f"b.{quoted(name)} IS NOT NULL" for name in reference.columns)
        meets = " AND ".join(f"o.{quoted(to)} = b.{quoted(name)}" for name, to in pairs)
        values = ", ".join(f"b.{quoted(name)}::text" for name in reference.columns)
        shown = f"{literal(', '.join(reference.columns) + '=')} || concat_ws(', ', {values})"
        places = [reference.to, BACK] if reference.to == self._about.name else [reference.to]
        nowhere = " AND ".join(f"NOT EXISTS (SELECT FROM {place} o WHERE {meets})" for place in places)
        said = literal(f" is not in {reference.to}")
        return f"SELECT b.{ROW}, {shown} || {said}, false FROM {BACK} b WHERE {filled} AND {nowhere}"

    def _behind(self) -> Iterator[str]:
        for one in self._sequences:
            at = f"(SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM {one.name})"
            yield f"SELECT {literal(one.name)}, {at}, (SELECT max({quoted(one.column)}) FROM {BACK})::bigint"


def _key(at: int) -> str:
    return quoted(f"rw key {at}")


def _of(alias: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name in columns)


def _notes(about: RowTable, script: _Script, said: _Said) -> Iterator[str]:
    if script.missing:
        yield f"Not in the file, so they take their defaults: {', '.join(script.missing)}."
    if not script.keys:
        yield csvrows.keyless(about.name)
    if about.triggers and said.inserted:
        yield f"Triggers ran as for any other row: {', '.join(about.triggers)}."
    expected = said.rows - said.same - said.conflict_count
    if said.inserted and said.inserted < expected:
        yield f"The server took {said.inserted:,} of {expected:,} rows: a trigger or rule kept out the others."
    for one in said.behind:
        moved = f"SELECT setval({literal(one.name).removeprefix('E')}, {one.needed});"
        yield f"Sequence {one.name} is at {one.at}, behind these rows: {moved}"
    if about.dependants and said.inserted:
        yield f"Rows of {', '.join(about.dependants)} go when such a row is deleted: put theirs back too, if they went."
