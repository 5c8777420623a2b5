"""The journals of restores over what is live: one file each, replaced whole and flushed before all else goes on."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.dbswap import DbJournal
from resticwrap.model.swap import Journal

J = TypeVar("J", bound=Journal | DbJournal)


class _Journals(Generic[J]):
    """Journals of one kind in one folder; `advice` is what to do about one that cannot be read."""

    def __init__(self, folder: Path, kind: type[J], advice: str) -> None:
        self._folder, self._kind, self._advice = folder, kind, advice

    def write(self, journal: J) -> None:
        """Raises DiskFull or Failure; then the file has its old content or its new one."""
        path = self._path(journal.job)
        beside = path.with_suffix(".tmp")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(to_json(journal))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_folder(self._folder)
        except OSError as error:
            raise write_failed(path, error) from error

    def read(self, job: str) -> J | None:
        """Raises Damaged where the file is none of ours."""
        path = self._path(job)
        try:
            return from_json(self._kind, path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise errors.Damaged(f"The journal {path} cannot be read.", hint=self._advice.format(job=job)) from error

    def all(self) -> Sequence[J]:
        """Oldest first. Raises Damaged where one cannot be read."""
        found, unreadable = self.scan()
        for error in unreadable.values():
            raise error
        return found

    def scan(self) -> tuple[Sequence[J], Mapping[str, errors.Failure]]:
        """Those that can be read, oldest first, and by job what is wrong with the others."""
        found: list[J] = []
        unreadable: dict[str, errors.Failure] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                journal = self.read(path.stem)
            except errors.Failure as error:
                unreadable[path.stem] = error
            else:
                found += [journal] if journal is not None else []
        return tuple(sorted(found, key=lambda one: one.started_at)), unreadable

    def _path(self, job: str) -> Path:
        if not job or "/" in job or job.startswith("."):
            raise errors.UsageError(f"{job!r} is not the id of a job.", hint="rw history")
        return self._folder / f"{job}.json"


class FileJournals(_Journals[Journal]):
    """The `Journals` port of `services/inplace.py`, in `{state_dir}/journals`."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            state_dir / "journals",
            Journal,
            "It says what an in-place restore exchanged: look for .rw-restore-{job} beside the live data, "
            "put right what you find, then move the journal away.",
        )


class DatabaseJournals(_Journals[DbJournal]):
    """The `DbJournals` port of `services/databases/swapping.py`, in `{state_dir}/journals/databases`."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            state_dir / "journals" / "databases",
            DbJournal,
            "It says which databases a restore loaded and renamed: look on the server for names with {job} in them, "
            "put right what you find, then move the journal away.",
        )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_failed(path: Path, error: OSError) -> errors.Failure:
    """The error for a file of the state directory that cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return errors.DiskFull(f"There is no room to write {path}.", hint=f"df -h {path.parent}")
    return errors.Failure(f"{path} cannot be written: {error.strerror}.", hint="Check RW_STATE_DIR and who owns it.")
