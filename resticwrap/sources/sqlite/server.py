"""The `Server` port where there is no server: the databases are the files of one folder."""

import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.host.space import free_bytes
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, PutBack
from resticwrap.sources.sqlite import exchange, files, rows

STAGE = ".rw-load-"


class SqliteServer:
    """The files of a folder. `like`: the live one, whose owner and mode new ones get."""

    def __init__(self, folder: Path, cancel: Cancel, like: Path | None = None) -> None:
        self._folder, self._cancel, self._like = folder, cancel, like

    @property
    def place(self) -> str:
        return str(self._folder)

    def version(self) -> str:
        return sqlite3.sqlite_version

    def databases(self) -> Sequence[str]:
        """As the port says. An exchange that was cut off is brought to its end first: both names or neither."""
        if not self._folder.is_dir():
            raise errors.DatabaseUnavailable(
                f"The folder {self._folder} is not there.", hint=f"mkdir -p {shlex.quote(str(self._folder))}"
            )
        exchange.settle(self._folder)
        return sorted(
            path.name for path in self._folder.iterdir() if not path.name.startswith(".rw-") and _is_one(path)
        )

    def identity(self, name: str) -> str:
        try:
            found = self._path(name).stat()
        except FileNotFoundError:
            return ""
        return f"{found.st_dev}:{found.st_ino}"

    def size(self, name: str) -> int | None:
        return self._path(name).stat().st_size

    def room(self) -> int | None:
        return free_bytes(self._folder)

    def create(self, head: DatabaseHead, name: str) -> None:  # noqa: ARG002 - all that it takes is in the file
        path = self._path(name)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise errors.LoadFailed(f"There is a file {path} already.") from None
        except OSError as error:
            raise errors.LoadFailed(f"{path} cannot be made: {error.strerror}.") from error

    def drop(self, name: str) -> None:
        exchange.settle(self._folder)
        files.remove(self._path(name))

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:  # noqa: ARG002
        for _ in body:
            pass
        return ()

    def load(self, name: str, body: Iterable[bytes]) -> None:
        path = self._path(name)
        stage = self._folder / f"{STAGE}{name}"
        try:
            with stage.open("wb") as file:
                stage.chmod(0o600)
                for piece in body:
                    self._cancel.check()
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._refuse_broken(stage)
            self._made_alike(stage)
            stage.rename(path)
            files.flush(self._folder)
        except OSError as error:
            full = error.errno in (28, 122)  # ENOSPC, EDQUOT
            kind = errors.DiskFull if full else errors.LoadFailed
            raise kind(f"{path} was not loaded: {error.strerror}.", hint=f"df -h {self._folder}") from error
        finally:
            stage.unlink(missing_ok=True)

    def value(self, name: str, sql: str) -> str | None:
        with files.opened(self._path(name)) as connection:
            try:
                row = connection.execute(sql).fetchone()
            except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
                raise errors.LoadFailed(f"The query cannot be answered: {error}.") from error
        if row is None:
            raise errors.LoadFailed("The query gives no value.")
        return None if row[0] is None else str(row[0])

    def facts(self, name: str) -> DatabaseFacts:
        with files.opened(self._path(name)) as connection:
            return files.facts(connection, name)

    def tables(self, name: str) -> Sequence[str]:
        with files.opened(self._path(name)) as connection:
            return sorted(files.plain(table) for table in files.tables_of(connection))

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        with files.opened(self._path(name)) as connection:
            order = files.order_of(connection, files.unquoted(table))
            yield from rows.select(connection, table, where, order)

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        with files.opened(self._path(name), "rw") as connection:
            key = files.key_of(connection, files.unquoted(table))
            return rows.put_back(connection, table, csv, key, skip_conflicts=skip_conflicts, dry_run=dry_run)

    def exchange(self, live: str, beside: str, kept: str) -> None:
        exchange.settle(self._folder)
        for name in filter(None, (live, kept)):
            self._path(name)
        if not self._path(beside).exists():
            if (self._folder / (kept or live)).exists():
                return  # it was done before
            raise errors.LoadFailed(f"There is no database {beside}.")
        exchange.exchange(self._folder, live, beside, kept, self._cancel)

    def _path(self, name: str) -> Path:
        if "/" in name or "\0" in name or name in ("", ".", "..") or name.endswith(files.BESIDE):
            raise errors.UsageError(f"{name} is no name of a file for a database.")
        return self._folder / name

    def _refuse_broken(self, path: Path) -> None:
        if path.stat().st_size == 0:
            return  # an empty file is an empty database
        try:
            files.refuse_broken(path)
        except errors.DumpFailed as error:
            raise errors.LoadFailed(error.message, hint=error.hint) from error

    def _made_alike(self, path: Path) -> None:
        if self._like is None or not self._like.exists():
            return
        stat = self._like.stat()
        path.chmod(stat.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(path, stat.st_uid, stat.st_gid)


def _is_one(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(files.MAGIC)) == files.MAGIC
    except OSError:
        return False
