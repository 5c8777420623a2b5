"""The connection to the catalogue: how it is opened, brought to the schema of this code, and how it fails.

The one place that knows SQLite from PostgreSQL; `postgres.py` has what is particular to the latter.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from resticwrap.catalog import postgres
from resticwrap.catalog.tables import HEAD, alembic_version, metadata, stamps
from resticwrap.errors import CatalogFull, CatalogUnavailable, Failure

REBUILD = "rw catalog rebuild"
FORMS = (
    "Look at RW_CATALOG_URL: sqlite:////var/lib/resticwrap/catalog.sqlite, or postgresql://USER:PASSWORD@HOST/DATABASE "
    "(with the extra: pip install 'resticwrap[postgres]')."
)
NO_ROOM = 65536
"""With less room than this on the disk, in bytes, an I/O error of SQLite is taken for a full disk."""


def default_url(state_dir: Path) -> str:
    """Where the catalogue is unless RW_CATALOG_URL says otherwise; a path may hold any character."""
    return URL.create("sqlite", database=str(state_dir / "catalog.sqlite")).render_as_string()


class Database:
    """Short transactions on the catalogue. May be used from several threads.

    Everything raises CatalogUnavailable, and of that CatalogFull where there is no room; nothing here ever removes a
    catalogue.
    """

    def __init__(self, url: str, *, busy_timeout: float) -> None:
        """`busy_timeout`: how many seconds to wait for another writer."""
        self._busy_timeout = busy_timeout
        self._preparing = threading.Lock()
        self._prepared: tuple[int, int] | None = None
        try:
            parsed = make_url(url)
            self._sqlite = parsed.get_backend_name() == "sqlite"
            self._path = _file_of(parsed) if self._sqlite else None
            self.engine = self._engine(parsed)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            # Not the address itself: it may hold a password.
            message = "The address of the catalogue cannot be used: its form or its driver is not known."
            raise CatalogUnavailable(message, hint=FORMS) from error
        self._writer = self.engine.execution_options(rw_write=True)
        self._reader = self.engine if self._sqlite else postgres.reader(self.engine)

    def _engine(self, url: URL) -> Engine:
        if postgres.is_postgres(url):
            return postgres.open_engine(url, self._busy_timeout)
        if not self._sqlite:
            raise ValueError("another database")
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": self._busy_timeout})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the catalogue; of an empty one where there is none, and none is made."""
        with self._translated():
            if not self.present:
                with _nothing() as connection:
                    yield connection
                return
            self._prepare()
            with self._reader.connect() as connection:
                yield connection

    @property
    def present(self) -> bool:
        """Whether there is a catalogue at all: a file, or the tables of a server's database. Raises CatalogUnavailable
        where the server does not say."""
        if self._sqlite:
            return self._path is None or self._path.exists()
        if self._prepared is None:
            with self._translated(), self.engine.connect() as connection:
                return stored_version(connection) is not None
        return True

    @contextmanager
    def writing(self, *names: str) -> Iterator[Connection]:
        """A transaction: all of it is on disk when the block is left, or nothing of it. `names`: of which targets, or
        hosts, it writes; who writes of the same waits meanwhile."""
        with self._translated():
            self._prepare()
            with self._writer.begin() as connection:
                if not self._sqlite:
                    postgres.queue(connection, names)
                yield connection

    def clock(self) -> float | None:
        """The server's clock, in seconds since 1970; None where the catalogue is a file."""
        if self._sqlite:
            return None
        with self._translated(), self.engine.connect() as connection:
            return postgres.clock(connection)

    def close(self) -> None:
        self.engine.dispose()
        self._prepared = None

    def _prepare(self) -> None:
        """Make a catalogue where there is none, and bring an older one to this schema, once for each file."""
        with self._preparing:
            place = self._place()
            if self._prepared == place:
                return
            # Moved aside while we held it open: what we would write there, nobody would ever read.
            self.engine.dispose()
            self._bring_to_head()
            self._prepared = place

    def _place(self) -> tuple[int, int]:
        """Which file the catalogue is now; made, empty and for its owner only, if it is missing."""
        if self._path is None:
            return (0, 0)
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            _sync_folder(self._path.parent)
            found = self._path.stat()
        return (found.st_dev, found.st_ino)

    def _bring_to_head(self) -> None:
        with self.engine.connect() as connection:
            version = stored_version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise CatalogUnavailable(
                f"The catalogue was written by a newer rw (schema {version}, this one knows {HEAD}).",
                hint=f"Upgrade rw, or move {self._name()} aside and run: {REBUILD}"
                if self._sqlite
                else f"Upgrade rw on this machine, or name another database in RW_CATALOG_URL and run: {REBUILD}",
            )
        # Asked again inside the transaction: another process may have been first.
        with self._writer.begin() as connection:
            if not self._sqlite:
                postgres.queue(connection, [postgres.MAKING])
            version = stored_version(connection)
            if version is None:
                metadata.create_all(connection)
                stamps.create_all(connection)
                connection.execute(insert(alembic_version).values(version_num=HEAD))
            elif version != HEAD:
                from resticwrap.catalog.migrate import upgrade  # Alembic is slow to import, and hardly ever needed

                upgrade(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, OSError) and self._sqlite:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return self._full()
            return CatalogUnavailable(
                f"The catalogue {self._name()} cannot be opened: {error.strerror or type(error).__name__}.",
                hint=f"Look at the owner and the mode of its folder; {REBUILD} makes a new catalogue.",
            )
        if not self._sqlite:
            return postgres.failure(error, self.engine.url, self._busy_timeout)
        original = error.orig if isinstance(error, DBAPIError) else error
        # The low byte is what kind of error it is, the rest says where SQLite met it.
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._no_room()):
            return self._full()
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return CatalogUnavailable(
                f"The catalogue {self._name()} is locked: another process has held it for {self._busy_timeout:g} s.",
                hint="Try again when that process has ended.",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self.damaged(str(original))
        return CatalogUnavailable(
            f"The catalogue {self._name()} cannot be used: {original if original is not None else error}.",
            hint=f"If it cannot be mended, move it aside and run: {REBUILD}",
        )

    def _full(self) -> CatalogFull:
        return CatalogFull(
            f"There is no room left on the disk of the catalogue {self._name()}.", hint="Make room, then run it again."
        )

    def damaged(self, why: str) -> CatalogUnavailable:
        """What to raise where the catalogue holds something that cannot be so."""
        return CatalogUnavailable(
            f"The catalogue {self._name()} is damaged: {why}.",
            hint=f"Move {self._name()} and the -wal and -shm beside it to another folder, then run: {REBUILD}"
            if self._sqlite
            else f"Restore that database, or name an empty one in RW_CATALOG_URL, then run: {REBUILD}",
        )

    def _name(self) -> str:
        if not self._sqlite:
            return postgres.shown(self.engine.url)
        return str(self._path) if self._path else self.engine.url.render_as_string(hide_password=True)

    def _no_room(self) -> bool:
        if self._path is None:
            return False
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < NO_ROOM


def stored_version(connection: Connection) -> str | None:
    """The schema of the catalogue: None where it is empty, "" where it was never brought to a schema."""
    if not connection.dialect.has_table(connection, alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar() or ""


@contextmanager
def _nothing() -> Iterator[Connection]:
    """A catalogue in memory that knows nothing."""
    engine = create_engine("sqlite://")
    try:
        metadata.create_all(engine)
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _file_of(url: URL) -> Path | None:
    """The file of a SQLite address; None for one in memory, and for a `file:` address, whose options are its own."""
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).absolute()


def _set_up_sqlite(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    """How every connection to SQLite is set up."""
    del entry
    # We begin our transactions ourselves (_begin_sqlite); the driver would begin them late and never IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # WAL lets readers and a writer pass each other. FULL flushes the log at every commit: a record that was closed
    # survives a power cut. NORMAL would lose the last ones, for 1 to 5 ms that a job does not feel.
    connection.execute("PRAGMA synchronous = FULL")
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        # It needs the file alone for a moment, without waiting; the mode stays, so the next connection will do.
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("rw_write", False)
    # A transaction that reads first and writes then fails at once when another one wrote in between: take the
    # write lock at the start, where the busy timeout counts.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
