"""SQLite files: opened, copied while others write, read for their facts."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseFacts, TableFacts

MAGIC = b"SQLite format 3\0"
BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite puts beside a file, by the end of its name."""
BUSY = 10.0
"""Seconds to wait for a lock that somebody holds."""
PAGES = 4096
"""Pages that are copied in one step."""
PAUSE = 0.002
"""Seconds between steps, in which others write."""
RESTARTS = 3
"""How often a copy may begin anew because somebody wrote; then it is made in one step, for which writers wait."""
REFUSALS = 500
"""How often a step may meet a lock."""
PATIENCE = 120.0
"""Seconds that the first lock of a copy may take."""
SOME = 1000
PIECE = 1 << 20
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
BROKEN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def plain(name: str) -> str:
    """A name as facts and people write it: in quotes only where it has to be."""
    simple = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if simple else quoted(name)


def unquoted(name: str) -> str:
    """The name that `plain` or `quoted` wrote."""
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def failure(error: sqlite3.Error, path: Path) -> errors.Failure:
    """What SQLite's complaint means, by its code."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF in LOCKED:
        return errors.DatabaseUnavailable(
            f"{path} is locked by another program.", hint=f"Who has it open? lsof {path}"
        )  # fmt: skip
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return errors.DiskFull(f"There is no room left for {path}.", hint=f"df -h {path.parent}")
    if code & 0xFF in BROKEN:
        return errors.DumpFailed(f"{path} is damaged, or no SQLite database.", hint=f"sqlite3 {path} .recover")
    return errors.DatabaseUnavailable(f"{path} cannot be used: {error}.")


def _connected(path: Path, mode: str, more: str = "") -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}{more}",
        uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False,
    )  # fmt: skip


@contextmanager
def opened(path: Path, mode: str = "ro", more: str = "") -> Iterator[sqlite3.Connection]:
    """A connection; `&immutable=1` as `more` is for a file that nobody else has. Raises DatabaseUnavailable and kin."""
    if mode != "rwc" and not path.is_file():
        raise errors.DatabaseUnavailable(f"{path} is not there.")
    try:
        with closing(_connected(path, mode, more)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise failure(error, path) from error


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has read. What a crash left half done can only be undone by one that may write."""
    try:
        with closing(_connected(path, "ro")) as connection:
            connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
            readable = True
    except sqlite3.Error as error:
        readable = getattr(error, "sqlite_errorcode", 0) & 0xFF not in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
        )
    with opened(path, "ro" if readable else "rw") as connection:
        yield connection


def copy(source: Path, to: Path, cancel: Cancel) -> None:
    """Copy a database as of one moment, while others write. Raises DatabaseUnavailable, DiskFull, DumpFailed.

    One with a write-ahead log is read in one transaction, which disturbs no writer. Else steps let writers in between;
    each of them who comes makes the copy begin anew, so that after a few it is made at one go.
    """
    with _reading(source) as reader, opened(to, "rwc") as writer:
        writer.execute("PRAGMA synchronous = OFF")
        try:
            _copied(reader, writer, cancel)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in BROKEN:
                raise
            raise failure(error, source) from error  # what was made just now is not


def _copied(reader: sqlite3.Connection, writer: sqlite3.Connection, cancel: Cancel) -> None:
    steps = _Steps(cancel)
    if logged(reader):
        _hold(reader, cancel)
        reader.backup(writer, pages=PAGES, progress=steps.at_one_go, sleep=0)
        return
    try:
        reader.backup(writer, pages=PAGES, progress=steps.between_writers, sleep=PAUSE)
    except _TooManyWriters:
        _hold(reader, cancel)
        reader.backup(writer, pages=PAGES, progress=steps.at_one_go, sleep=0)


def raw_copy(source: int, to: Path, cancel: Cancel) -> None:
    """Copy the bytes of an open file that nobody may write meanwhile."""
    at = 0
    with open(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        while piece := os.pread(source, PIECE, at):
            cancel.check()
            file.write(piece)
            at += len(piece)


class _TooManyWriters(Exception):
    """Others write too often for a copy in steps."""


class _Steps:
    """What is done between the steps of a copy."""

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel
        self._left: int | None = None
        self._restarts = 0
        self._refused = 0

    def at_one_go(self, *told: int) -> None:
        """Raises Interrupted."""
        del told
        self._cancel.check()

    def between_writers(self, status: int, left: int, pages: int) -> None:
        """Raises _TooManyWriters, Interrupted."""
        del pages
        self._cancel.check()
        if status & 0xFF in LOCKED:
            self._refused += 1
        elif self._left is not None and left > self._left:
            self._restarts += 1
        if self._restarts >= RESTARTS or self._refused >= REFUSALS:
            raise _TooManyWriters
        if status & 0xFF not in LOCKED:
            self._left = left


def _hold(reader: sqlite3.Connection, cancel: Cancel) -> None:
    """Begin to read what is there now, and keep it so."""
    reader.execute("BEGIN")
    _patiently(lambda: reader.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone(), cancel)


def _patiently(work: Callable[[], object], cancel: Cancel) -> None:
    """Do it, again and again while others hold the lock."""
    for attempt in range(int(PATIENCE / 0.05)):
        try:
            work()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in LOCKED or attempt == int(PATIENCE / 0.05) - 1:
                raise
            cancel.wait(0.05)
            cancel.check()


def logged(connection: sqlite3.Connection) -> bool:
    """Whether it has a write-ahead log."""
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0]).lower() == "wal"


def refuse_broken(path: Path, of: Path | None = None) -> None:
    """Raises DumpFailed where a database does not hold together; of a file that nobody else has, such as a copy `of`
    another."""
    try:
        with closing(_connected(path, "ro", "&immutable=1")) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        raise failure(error, of or path) from error
    if found != ["ok"]:
        raise errors.DumpFailed(
            f"{of or path} is damaged: {found[0]}.", hint="PRAGMA integrity_check says all; restore the last snapshot."
        )


def facts(connection: sqlite3.Connection, name: str) -> DatabaseFacts:
    """What a database holds, as of one moment: rows in the order of their keys, with their types."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.execute("BEGIN")
    try:
        schema = hashlib.sha256()
        for pragma in ("user_version", "application_id", "encoding"):
            schema.update(repr(connection.execute(f"PRAGMA {pragma}").fetchone()).encode())
        for row in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"):
            schema.update(repr(row).encode("utf-8", "surrogateescape"))
        tables = tuple(_table(connection, table) for table in tables_of(connection))
    finally:
        connection.execute("ROLLBACK")
    return DatabaseFacts(name=name, tables=tables, schema_digest=schema.hexdigest())


def tables_of(connection: sqlite3.Connection) -> Sequence[str]:
    """The names of the tables that hold rows themselves: what a virtual one shows lies in others."""
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " AND sql NOT LIKE 'CREATE VIRTUAL %' ORDER BY name"
    )
    return [row[0] for row in rows]


def key_of(connection: sqlite3.Connection, table: str) -> Sequence[str]:
    """The columns of the primary key, in its order."""
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", (table,))
    return [row[0] for row in rows]


def order_of(connection: sqlite3.Connection, table: str) -> str:
    """What puts the rows of a table into the one order that a copy of it has as well."""
    if key := key_of(connection, table):
        return ", ".join(quoted(name) for name in key)
    return "rowid"


def _table(connection: sqlite3.Connection, name: str) -> TableFacts:
    digest, rows, size = hashlib.sha256(), 0, 0
    cursor = connection.execute(f"SELECT * FROM {quoted(name)} ORDER BY {order_of(connection, name)}")
    while some := cursor.fetchmany(SOME):
        text = "".join(f"{row!r}\n" for row in some).encode()
        digest.update(text)
        rows += len(some)
        size += len(text)
    return TableFacts(name=plain(name), rows=rows, size=size, digest=digest.hexdigest())


def remove(path: Path) -> None:
    """Remove a database with what SQLite has put beside it; the file itself last, for it may need that."""
    for end in (*BESIDE[1:], BESIDE[0], ""):
        Path(f"{path}{end}").unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make a file, or the names in a folder, outlive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
