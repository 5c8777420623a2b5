"""How two SQLite files are exchanged: the live one keeps its place on the disk, and gets new content.

Renaming would be quicker, and wrong: whoever has the live file open would go on writing into what has become the old
one, and what SQLite keeps beside a file goes by its name. So the content is written by SQLite's own backup into the
live file, in one transaction: connections that are open see it, a writer in the middle is waited for, and a crash is
undone by SQLite's own journal.

A marker says that it has begun. From then on there is one way, to the end: `beside` holds the new content until then,
so the same steps may be taken again. Before it is written, nothing is another than it was.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.sources.sqlite import files

MARKER, STAGE = ".rw-exchange-", ".rw-kept-"


class Marked(msgspec.Struct):
    """What the marker says."""

    live: str
    beside: str
    kept: str


def exchange(folder: Path, live: str, beside: str, kept: str, cancel: Cancel) -> None:
    """As the port says."""
    if kept and (folder / kept).exists():
        raise errors.LoadFailed(f"There is a database {kept} already.")
    if not (folder / live).exists():
        for end in files.BESIDE:  # of a file that is gone: SQLite would apply it to this one
            (folder / f"{live}{end}").unlink(missing_ok=True)
        (folder / beside).rename(folder / live)
        files.flush(folder)
        return
    _refuse_unlike(folder / live, folder / beside)
    with _held(folder, live) as marker:
        if marker is None:
            raise errors.Locked(f"{folder / live} is being exchanged by another rw.")
        stage = folder / f"{STAGE}{kept}"
        files.remove(stage)
        files.copy(folder / live, stage, cancel)
        _like(folder / live, stage)
        files.flush(stage)
        os.pwrite(marker, msgspec.json.encode(Marked(live, beside, kept)), 0)
        os.fsync(marker)
        files.flush(folder)
        _finish(folder, Marked(live, beside, kept))


def settle(folder: Path) -> None:
    """Bring exchanges to their end that were cut off. One that is at work is left alone."""
    for path in sorted(folder.glob(f"{MARKER}*")):
        with _held(folder, path.name.removeprefix(MARKER)) as marker:
            if marker is None:
                continue
            try:
                found = msgspec.json.decode(os.pread(marker, 1 << 16, 0), type=Marked)
            except msgspec.DecodeError:
                continue  # it had not begun; what it copied goes with its name
            _finish(folder, found)
    for path in folder.glob(f"{STAGE}*"):
        if not any(folder.glob(f"{MARKER}*")):
            files.remove(path)


def _finish(folder: Path, found: Marked) -> None:
    beside, stage = folder / found.beside, folder / f"{STAGE}{found.kept}"
    if beside.exists():
        _overwrite(folder / found.live, beside)
    if stage.exists():
        stage.rename(folder / found.kept)
    files.flush(folder)
    files.remove(beside)
    files.flush(folder)


def _overwrite(live: Path, beside: Path) -> None:
    """The content of a database into another one, in one transaction."""
    with files.opened(beside) as reader, files.opened(live, "rw") as writer:
        writer.execute("PRAGMA synchronous = FULL")
        reader.backup(writer, pages=-1)


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
