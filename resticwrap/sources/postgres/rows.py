"""Rows of PostgreSQL tables as CSV, and what psql says of SQL that it was given."""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from resticwrap import errors, process
from resticwrap.model.base import from_json
from resticwrap.planning import dumptables
from resticwrap.sources.postgres.access import failure, quoted

Psql = Callable[[str, Iterable[bytes], int | None], process.Result]
"""Runs a script in a database, told as `WORDS` say; the descriptor takes what it prints."""
WORDS = ("-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", "-")
SCRIPT_FAILED = 3
"""psql's exit code where the server did not take a statement."""
PLAIN = "SET client_encoding TO 'UTF8'; SET datestyle TO 'ISO'; SET intervalstyle TO 'postgres';\n"
"""In which form values are written and read, whatever the server's own is."""
SAID = re.compile(r"^(?:psql:.*?: )?[^\s:]+:  ([0-9A-Z]{5}): (.*)$", re.M)
MORE = re.compile(r"^(?:DETAIL|CONTEXT):  (.*)$", re.M)
PIECE = 1 << 20
TABLES = """SELECT coalesce(json_agg(format('%I.%I', nspname, relname) ORDER BY nspname, relname), '[]')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)'"""


def as_sql(table: str) -> str:
    """A table's name, however it is written, as SQL."""
    return ".".join(map(quoted, dumptables.parts(table)))


def tables(psql: Psql, name: str) -> Sequence[str]:
    """The tables of a database, with their schemas."""
    return from_json(tuple[str, ...], answered(psql(name, [TABLES.encode()], None), name))


def rows(psql: Psql, name: str, table: str, where: str | None) -> Iterator[bytes]:
    """The `rows` of the `Server` port."""
    # A comment at the end of what the operator wrote ends with its line.
    condition = f" WHERE {where}\n" if where else ""
    sql = f"{PLAIN}COPY (SELECT * FROM {as_sql(table)}{condition}) TO STDOUT (FORMAT csv, HEADER);\n"
    reading, writing = os.pipe()
    ended: list[process.Result | BaseException] = []

    def ask() -> None:
        try:
            ended.append(psql(name, [sql.encode()], writing))
        except BaseException as error:  # noqa: BLE001 - raised again below, where it is waited for
            ended.append(error)
        finally:
            os.close(writing)

    asker = threading.Thread(target=ask, name="rows", daemon=True)
    asker.start()
    try:
        while piece := os.read(reading, PIECE):
            yield piece
    finally:
        os.close(reading)
        asker.join()
    (end,) = ended
    if isinstance(end, BaseException):
        raise end
    answered(end, table)


def answered(result: process.Result, what: str) -> bytes:
    """What a script printed. Raises what it failed of: LoadFailed where the server did not take it."""
    if not result.code:
        return result.stdout
    found = [one for one in SAID.finditer(result.stderr) if one[1][:2] not in ("00", "01", "02")]
    if result.code != SCRIPT_FAILED or not found:
        raise failure(result.stderr, what, lambda said: errors.LoadFailed(f"{what}: {said}."))
    state, message = found[-1].groups()
    more = "; ".join(one.rstrip(".") for one in MORE.findall(result.stderr, found[-1].end()))
    raise KINDS.get(state, KINDS.get(state[:2], errors.LoadFailed))(
        f"The server says: {message}{f' ({more})' if more else ''}.", hint=HINTS.get(state, "")
    )


KINDS: dict[str, type[errors.Failure]] = {
    "42501": errors.DatabaseRefused,
    "53100": errors.DiskFull,
    "57": errors.DatabaseUnavailable,
    "08": errors.DatabaseUnavailable,
}
"""By SQLSTATE or its class (PostgreSQL's documentation, "PostgreSQL Error Codes")."""
HINTS = {
    "23505": "Somebody else wrote such a row meanwhile, or the table has a key that could not be looked at. Try again.",
    "42703": "Names with capitals are quoted twice: once for the shell, once for SQL, as in '\"Name\" = 1'.",
    "42P01": "Tables that --where asks beside the table itself are named with --with.",
}
