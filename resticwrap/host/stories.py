"""The stories of jobs, and how far running ones are: small files in the state directory that no job depends on.

A story is locked (flock) by the process that writes it, so whoever reads it knows whether more will come; the lock
dies with its holder. Lines are appended whole and not flushed: a power cut may cost the last of them.
"""

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.host.locks import make_private
from resticwrap.host.space import free_bytes, total_bytes
from resticwrap.model.base import Time, from_json, to_json
from resticwrap.model.job import Job
from resticwrap.model.running import JobProgress
from resticwrap.model.story import LogLine, StoryInfo, decode, encode
from resticwrap.planning import stories as planning
from resticwrap.ports import HostLocks
from resticwrap.services.context import JOBS

LIMIT = 5 << 20
"""How many bytes a story may take; its last line comes on top."""
SUFFIX = ".jsonl"
FULL = f"The story is at its limit of {LIMIT >> 20} MiB: what follows is not kept, but for how the job ends."
TRIES, PAUSE = 50, 0.002
LEFT_BEHIND = 60.0
"""Seconds after which a file that belongs to no living job belongs to none that has just begun either."""


class FileStory:
    """The port `Story` in a file that is appended to."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._full = size >= LIMIT
        self._torn = size > 0
        self._mutex = threading.Lock()

    def write(self, line: LogLine) -> None:
        data = encode(line)
        with self._mutex:
            if self._full or self._descriptor < 0:
                return
            if self._size + len(data) > LIMIT:
                self._full = True
                data = encode(LogLine(time=line.time, level="warning", message=FULL, job=line.job, logger=line.logger))
            self._append(data)

    def close(self, last: LogLine) -> None:
        with self._mutex:
            if self._descriptor < 0:
                return
            self._append(encode(last))
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> None:
        # After half a line (there was no room for all of it) the next one begins with an end of line.
        data = b"\n" + data if self._torn else data
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            return
        self._size += written
        self._torn = written < len(data)


class NoStory:
    """The port `Story` where none can be written."""

    def write(self, line: LogLine) -> None:
        """Nobody hears it."""

    def close(self, last: LogLine) -> None:
        """Nobody hears it."""


class FileStories:
    """The port `Stories` in `{state_dir}/logs`, one file a job."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._folder = state_dir / "logs"
        self._clock = clock

    def begin(self, job: str) -> FileStory | NoStory:
        try:
            path = self._path(job)
            make_private(self._folder)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except (OSError, errors.Failure):
            return NoStory()
        for _ in range(TRIES):
            # Somebody who looks whether it runs holds it for a moment.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            self._clock.sleep(PAUSE)
        return FileStory(descriptor, os.fstat(descriptor).st_size)

    def ids(self) -> Sequence[str]:
        times = self._times()
        return sorted(times, key=lambda job: (times[job], job), reverse=True)

    def info(self, job: str) -> StoryInfo | None:
        try:
            size = self._path(job).stat().st_size
        except OSError:
            return None
        return StoryInfo(job=job, size=size, running=self.running(job))

    def read(self, job: str, offset: int = 0) -> tuple[Sequence[LogLine], int] | None:
        path = self._path(job)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errors.Failure(
                f"{path} cannot be read: {error.strerror}.", hint="Look at its owner: it is for its owner alone."
            ) from error
        whole = data.rfind(b"\n") + 1
        lines = [line for part in data[:whole].split(b"\n") if part and (line := decode(part)) is not None]
        return lines, offset + whole

    def running(self, job: str) -> bool:
        try:
            descriptor = os.open(self._path(job), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return False

    def prune(self, now: Time) -> None:
        with contextlib.suppress(OSError, errors.Failure):
            names = [name.removesuffix(SUFFIX) for name in os.listdir(self._folder) if name.endswith(SUFFIX)]
            if not planning.crowded(names, now):
                return
            for job in planning.superfluous(self._times(), now):
                with contextlib.suppress(OSError):
                    if not self.running(job):
                        self._path(job).unlink(missing_ok=True)

    def _times(self) -> Mapping[str, Time]:
        """When each began: by its name, which costs nothing, else by its file."""
        found: dict[str, Time] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    job = entry.name.removesuffix(SUFFIX)
                    if job == entry.name or entry.name.startswith("."):
                        continue
                    with contextlib.suppress(OSError):
                        found[job] = planning.began(job) or datetime.fromtimestamp(entry.stat().st_mtime, UTC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise errors.Failure(
                f"{self._folder} cannot be read: {error.strerror}.", hint="Check RW_STATE_DIR and who owns it."
            ) from error
        return found

    def _path(self, job: str) -> Path:
        return self._folder / f"{_name(job)}{SUFFIX}"


class FileBoard:
    """The port `Board` in `{state_dir}/progress`, one file a job, each replaced whole."""

    def __init__(self, state_dir: Path, locks: HostLocks, clock: Clock) -> None:
        self._folder = state_dir / "progress"
        self._locks = locks
        self._clock = clock

    def put(self, progress: JobProgress) -> None:
        with contextlib.suppress(OSError, errors.Failure):
            path = self._path(progress.job)
            beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                self._write(beside, to_json(progress))
                beside.rename(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise

    def drop(self, job: str) -> None:
        with contextlib.suppress(OSError, errors.Failure):
            self._path(job).unlink(missing_ok=True)

    def running(self, jobs: Sequence[Job]) -> Sequence[JobProgress]:
        try:
            alive = {lease.name for lease in self._locks.leases(JOBS) if lease.held} if jobs else set()
        except errors.Failure:
            return ()
        living = [job for job in jobs if job.lease in alive]
        self._clear({job.id for job in living})
        return [self._read(job) or _as_recorded(job) for job in living]

    def _read(self, job: Job) -> JobProgress | None:
        try:
            return from_json(JobProgress, self._path(job.id).read_bytes())
        except (OSError, ValueError, errors.Failure):
            return None

    def _clear(self, living: AbstractSet[str]) -> None:
        """Remove what was left behind: nobody writes there any more but jobs that live."""
        with contextlib.suppress(OSError):
            for path in list(self._folder.iterdir()):
                # One that has begun since its record was looked for is not old.
                if path.stem not in living and self._old(path):
                    path.unlink(missing_ok=True)

    def _old(self, path: Path) -> bool:
        return self._clock.now().timestamp() - path.stat().st_mtime > LEFT_BEHIND

    def _write(self, path: Path, data: bytes) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            make_private(self._folder)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            if file.write(data) != len(data):
                raise OSError("there was no room for all of it")

    def _path(self, job: str) -> Path:
        return self._folder / f"{_name(job)}.json"


class DiskRoom:
    """The port `Room`."""

    def of(self, places: Mapping[str, str]) -> Mapping[str, tuple[int, int]]:
        found = {}
        for what, place in places.items():
            with contextlib.suppress(OSError):
                found[what] = (free_bytes(Path(place)), total_bytes(Path(place)))
        return found


def _as_recorded(job: Job) -> JobProgress:
    return JobProgress(
        job=job.id,
        kind=job.kind,
        target=job.target,
        host=job.host,
        pid=job.pid,
        started_at=job.started_at,
        updated_at=job.started_at,
        type=job.type,
    )


def _name(job: str) -> str:
    if not job or "/" in job or "\0" in job or job.startswith("."):
        raise errors.UsageError(f"{job!r} is not the id of a job.", hint="rw logs")
    return job
