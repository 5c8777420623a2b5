"""A domain that is a SQLite file."""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.host.space import free_bytes
from resticwrap.model.base import to_json
from resticwrap.model.databases import DumpFacts, Engine
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import SqliteSource
from resticwrap.ports import BackupResult, Look, Material
from resticwrap.services.databases.reading import FACTS
from resticwrap.sources.sqlite import files
from resticwrap.sources.sqlite.server import SqliteServer

STAGES = "staging"
MARGIN = 64 << 20
"""Bytes that must be left beside a copy."""


class SqliteDomain:
    """One domain's file: how it is captured (the `Source` port), and the files beside it (the `Engine` port)."""

    def __init__(self, domain: str, source: SqliteSource, state_dir: Path, cancel: Cancel) -> None:
        self._domain, self._path, self._cancel = domain, source.path, cancel
        self._stages = state_dir / STAGES

    @property
    def engine(self) -> Engine:
        return "sqlite"

    @property
    def name(self) -> str:
        return self._path.name

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:  # noqa: ARG002
        """The whole file: there is no part of it that could be opened."""
        return iter(body)

    def live(self) -> SqliteServer:
        return SqliteServer(self._path.parent, self._cancel, self._path)

    def scratch_by(self, version: str) -> str:  # noqa: ARG002
        return ""

    @contextmanager
    def scratch(self, folder: Path, version: str) -> Iterator[SqliteServer]:  # noqa: ARG002 - it reads older ones
        place = folder / "files"
        place.mkdir(mode=0o700)
        try:
            yield SqliteServer(place, self._cancel)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def look(self) -> Look:
        """Where it is now is of no meaning: what is read is a copy."""
        if not self._path.is_file():
            raise errors.NotFound(
                f"The database {self._path} is not there.",
                hint="Is its disk mounted, and is the variable that names it right? rw policy show",
            )
        return Look(cwd=os.fsencode(self._stages), name=self._domain.encode(), identity=())

    def empty(self, path: bytes) -> bool:  # noqa: ARG002
        return False

    def measure(self) -> BackupResult:
        size = self._size()
        return BackupResult(complete=True, snapshot=None, files=1, size=size, would_read=(1, size))

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:
        """A copy of the file, of one moment and sound, with what it holds beside it. Raises DiskFull, DumpFailed,
        DatabaseUnavailable."""
        with self._stage(f"{self._domain}.{job}.{type}") as stage:
            self._refuse_full()
            folder = stage / self._domain
            folder.mkdir(mode=0o700)
            copied = folder / self._path.name
            try:
                files.copy(self._path, copied, self._cancel)
                files.refuse_broken(copied, self._path)
                with files.opened(copied, more="&immutable=1") as connection:
                    found = files.facts(connection, self._path.name)
                facts = DumpFacts(engine="sqlite", server=self.live().version(), databases=(found,))
                (folder / FACTS).write_bytes(to_json(facts))
                self._dated(copied, folder / FACTS)
            except OSError as error:
                raise errors.DiskFull(
                    f"{self._path} cannot be copied into {self._stages}: {error.strerror}.",
                    hint=f"df -h {self._stages}",
                ) from error
            # Named one by one: where neither is another than in the last snapshot, there is no new one.
            name = os.fsencode(self._domain)
            parts = tuple(os.path.join(name, os.fsencode(path.name)) for path in (copied, folder / FACTS))
            yield Material(cwd=os.fsencode(stage), name=name, parts=parts)

    def _dated(self, *copied: Path) -> None:
        """What is copied is of the live file, or of the log beside it: whichever was written last. Owner and mode are
        the live one's, so that these come back with it."""
        live = self._path.stat()
        newest = live.st_mtime_ns
        with suppress(FileNotFoundError):
            newest = max(newest, Path(f"{self._path}-wal").stat().st_mtime_ns)
        for path in copied:
            path.chmod(live.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(path, live.st_uid, live.st_gid)
            os.utime(path, ns=(newest, newest))

    def _size(self) -> int:
        size = self._path.stat().st_size
        with suppress(FileNotFoundError):
            size += Path(f"{self._path}-wal").stat().st_size
        return size

    def _refuse_full(self) -> None:
        """Raises DiskFull where the copy would not fit: it must not be the one that fills the state directory."""
        wanted, free = self._size() + MARGIN, free_bytes(self._stages)
        if free < wanted:
            raise errors.DiskFull(
                f"A copy of {self._path} needs {wanted >> 20} MiB in {self._stages}, and {free >> 20} MiB are free.",
                hint=f"df -h {self._stages}",
            )

    @contextmanager
    def _stage(self, name: str) -> Iterator[Path]:
        """A folder of our own, and gone afterwards, as are those of runs that were killed."""
        self._stages.mkdir(mode=0o700, parents=True, exist_ok=True)
        stage = self._stages / name
        with ExitStack() as stack:
            with locked(self._stages, wait=True):
                for other in self._stages.iterdir():
                    with locked(other) as free:
                        if free:
                            shutil.rmtree(other, ignore_errors=True)
                stage.mkdir(mode=0o700)
                stack.enter_context(locked(stage))
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a folder, which goes with whoever holds it; False where somebody has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)
