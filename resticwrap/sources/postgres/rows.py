"""Rows of PostgreSQL tables as CSV, and what psql says of SQL that it was given."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from resticwrap import errors, pipes
from resticwrap.model.base import from_json
from resticwrap.planning import dumptables
from resticwrap.sources.postgres.access import quoted

Psql = Callable[[str, Iterable[bytes], int | None], bytes]
"""Runs a script in a database and returns what it prints, unless the descriptor takes that, which then ends with it.
Raises what went wrong."""
PLAIN = "SET client_encoding TO 'UTF8'; SET datestyle TO 'ISO'; SET intervalstyle TO 'postgres';\n"
"""In which form values are written and read, whatever the server's own is."""
SAID = re.compile(r"^(?:psql:.*?: )?[^\s:]+:  ([0-9A-Z]{5}): (.*)$", re.M)
DISK_FULL = "53100"
HINTS = {
    "23505": "Somebody else wrote such a row meanwhile, or the table has a key that could not be looked at. Try again.",
    "42703": "Names with capitals are quoted twice: once for the shell, once for SQL, as in '\"Name\" = 1'.",
    "42P01": "Tables that --where asks beside the table itself are named with --with.",
}
"""By SQLSTATE (PostgreSQL's documentation, "PostgreSQL Error Codes")."""
MORE = re.compile(r"^(?:DETAIL|CONTEXT):  (.*)$", re.M)
TABLES = """SELECT coalesce(json_agg(format('%I.%I', nspname, relname) ORDER BY nspname, relname), '[]')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)'"""


def as_sql(table: str) -> str:
    """A table's name, however it is written, as SQL."""
    return ".".join(map(quoted, dumptables.parts(table)))


def tables(psql: Psql, name: str) -> Sequence[str]:
    """The tables of a database, with their schemas."""
    return from_json(tuple[str, ...], psql(name, [TABLES.encode()], None))


def rows(psql: Psql, name: str, table: str, where: str | None) -> Iterator[bytes]:
    """The `rows` of the `Server` port."""
    # A comment at the end of what the operator wrote ends with its line.
    condition = f" WHERE {where}\n" if where else ""
    sql = f"{PLAIN}COPY (SELECT * FROM {as_sql(table)}{condition}) TO STDOUT (FORMAT csv, HEADER);\n"
    return pipes.read(lambda writing: psql(name, [sql.encode()], os.dup(writing)))


def refused(words: str, said: str) -> errors.Failure:
    """The server did not take a statement: its own words with what it says beside them."""
    found = [one for one in SAID.finditer(said) if one[1][:2] not in ("00", "01", "02")]
    state = found[-1][1] if found else ""
    more = "; ".join(one.rstrip(".") for one in MORE.findall(said, found[-1].end())) if found else ""
    kind = errors.DiskFull if state == DISK_FULL else errors.LoadFailed
    return kind(f"The server says: {words}{f' ({more})' if more else ''}.", hint=HINTS.get(state, ""))
