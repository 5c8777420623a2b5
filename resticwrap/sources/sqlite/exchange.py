"""How two SQLite files are exchanged: the live one keeps its place on the disk, and gets new content.

Renaming would be quicker, and wrong: whoever has the live file open would go on writing into what has become the old
one, and what SQLite keeps beside a file goes by its name. So the content is written by SQLite's own backup into the
live file, in one transaction: connections that are open see it, a writer in the middle is waited for, and a crash is
undone by SQLite's own journal.

What was live is copied within that transaction, when nobody else can write any more: nothing comes in between the copy
and the new content. A marker then says what is done, with the version of the live file's schema, which every such
transaction makes another one (`sqlite3_backup_step` in SQLite's source). By that a later start sees whether it was
committed, and never writes over what came after: it goes on to the end, or back.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.base import from_json, to_json
from resticwrap.sources.sqlite import files

MARKER, STAGE = ".rw-exchange-", ".rw-kept-"
STEP = 64
"""Pages at a time: what SQLite holds in memory, so that nothing is on the disk before what was there is copied."""


class Marked(msgspec.Struct):
    """What the marker says."""

    live: str
    beside: str
    kept: str
    version: int
    """Of the schema of `live`, before."""


def exchange(folder: Path, live: str, beside: str, kept: str, cancel: Cancel) -> None:
    """As the port says."""
    if kept and (folder / kept).exists():
        raise errors.LoadFailed(f"There is a database {kept} already.")
    if not kept or not (folder / live).exists():
        _name(folder, live, beside)
        return
    _refuse_unlike(folder / live, folder / beside)
    with _held(folder, live) as marker:
        if marker is None:
            raise errors.Locked(f"{folder / live} is being exchanged by another rw.")
        stage = folder / f"{STAGE}{kept}"
        files.remove(stage)

        def keep(version: int) -> None:
            _like(folder / live, stage)
            files.flush(stage)
            os.pwrite(marker, to_json(Marked(live, beside, kept, version)), 0)
            os.fsync(marker)
            files.flush(folder)

        _overwrite(folder / live, folder / beside, stage, keep, cancel)
        _finish(folder, beside, stage, kept)


def _name(folder: Path, live: str, beside: str) -> None:
    """Give what was loaded a name that no database has. Raises LoadFailed where a file of another kind has it, which
    may be a broken database, and nobody else's copy of it."""
    path = folder / live
    if path.exists() and path.stat().st_size:
        raise errors.LoadFailed(f"{path} is there, and is no database.", hint=f"Move it away: mv {path} {path}.broken")
    for end in files.BESIDE:  # of a file that is gone: SQLite would apply it to this one
        (folder / f"{live}{end}").unlink(missing_ok=True)
    (folder / beside).rename(path)
    files.flush(folder)


def settle(folder: Path) -> None:
    """Bring exchanges to their end that were cut off. One that is at work is left alone."""
    for path in sorted(folder.glob(f"{MARKER}*")):
        with _held(folder, path.name.removeprefix(MARKER)) as marker:
            if marker is None:
                continue
            try:
                found = from_json(Marked, os.pread(marker, 1 << 16, 0))
            except ValueError:
                continue  # it had not begun; what it copied goes with its name
            stage = folder / f"{STAGE}{found.kept}"
            if not stage.exists():
                _finish(folder, found.beside, stage, found.kept)
            elif not (folder / found.live).exists():
                stage.rename(folder / found.kept)  # somebody has removed it meanwhile: this may be all there is of it
            elif _version(folder / found.live) == found.version:
                files.remove(stage)
            else:
                _finish(folder, found.beside, stage, found.kept)
    for path in folder.glob(f"{STAGE}*"):
        if not any(folder.glob(f"{MARKER}*")):
            files.remove(path)


def _finish(folder: Path, beside: str, stage: Path, kept: str) -> None:
    """After the live file has its new content."""
    if stage.exists():
        stage.rename(folder / kept)
    files.flush(folder)
    files.remove(folder / beside)
    files.flush(folder)


def _version(path: Path) -> int:
    """Of the schema, after what a crash left half written was taken back."""
    with files.opened(path, "rw") as connection:
        return int(connection.execute("PRAGMA schema_version").fetchone()[0])


def _overwrite(live: Path, beside: Path, stage: Path, keep: Callable[[int], None], cancel: Cancel) -> None:
    """The content of a database into another one, in one transaction; what that held before goes into `stage`. `keep`
    is called when that is there and nothing is written yet, with the version of the schema."""
    # Any descriptor of a file that is closed gives up all locks that its process has on it (fcntl(2)): this one is
    # opened before there is one, and closed after.
    raw = os.open(live, os.O_RDONLY)
    begun, refused = False, 0
    try:
        with files.opened(beside, "rw") as reader, files.opened(live, "rw") as writer:
            pages = _two_pages(reader, beside)
            writer.execute("PRAGMA synchronous = FULL")
            logged = files.logged(writer)

            def step(status: int, left: int, total: int) -> None:
                nonlocal begun, refused
                del left, total
                cancel.check()
                if status & 0xFF in files.LOCKED:
                    refused += 1
                    if refused * files.BUSY >= files.PATIENCE:
                        raise errors.DatabaseUnavailable(
                            f"{live} is locked by another program.", hint=f"Who has it open? lsof {live}"
                        )
                elif not begun:
                    begun = True
                    keep(_copied_logged(live, stage, cancel) if logged else _copied(raw, stage, cancel))

            # The first step takes the lock that keeps others from writing, and must not be the last.
            reader.backup(writer, pages=min(pages - 1, STEP), progress=step)
    finally:
        os.close(raw)


def _copied(raw: int, stage: Path, cancel: Cancel) -> int:
    """Copy a file whose lock we have, so that nobody may even read it through SQLite, and on which nothing was written
    yet; the version of its schema, which stands at byte 40."""
    files.raw_copy(raw, stage, cancel)
    return int.from_bytes(os.pread(raw, 4, 40))


def _copied_logged(live: Path, stage: Path, cancel: Cancel) -> int:
    """The same of one with a write-ahead log: what is committed may be read there."""
    files.copy(live, stage, cancel)
    with files.opened(live) as connection:
        return int(connection.execute("PRAGMA schema_version").fetchone()[0])


def _two_pages(connection: sqlite3.Connection, path: Path) -> int:
    """How many pages a database has, of which there are two at least afterwards."""

    def count() -> int:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])

    if count() < 2:
        connection.execute("CREATE TABLE rw_page (a)")
        connection.execute("DROP TABLE rw_page")
    if (found := count()) < 2:
        raise errors.LoadFailed(f"{path} holds nothing that could take the place of what is live.")
    return found


def _refuse_unlike(live: Path, beside: Path) -> None:
    """Raises LoadFailed where SQLite could not write the one into the other: with a write-ahead log, pages of another
    size do not fit."""

    def of(path: Path) -> tuple[int, bool]:
        with files.opened(path) as connection:
            size = int(connection.execute("PRAGMA page_size").fetchone()[0])
            return size, connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"

    (size, logged), (other, _) = of(live), of(beside)
    if size != other and logged:
        raise errors.LoadFailed(
            f"{live} has pages of {size} bytes and a write-ahead log; what is to take its place has pages of {other}.",
            hint=f"Stop what uses it, then: sqlite3 {live} 'PRAGMA journal_mode = DELETE'",
        )


def _like(model: Path, path: Path) -> None:
    stat = model.stat()
    path.chmod(stat.st_mode & 0o7777)
    if os.geteuid() == 0:
        os.chown(path, stat.st_uid, stat.st_gid)


@contextmanager
def _held(folder: Path, live: str) -> Iterator[int | None]:
    """The marker of an exchange, locked; None where another process holds it. It is gone after the block, unless that
    was left by an error."""
    path = folder / f"{MARKER}{live}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(fd), path.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False  # another has it, or had it to the end meanwhile
        if not mine:
            yield None
            return
        yield fd
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)
