"""The small files of the state directory: spooled records, the newest backup of a target, pinned repositories.

On the way to restic's start, so it needs neither a database nor SQLAlchemy.
"""

import errno
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from resticwrap.errors import DiskFull, Failure
from resticwrap.model.base import from_json, to_json
from resticwrap.model.evidence import Chain, Event
from resticwrap.model.gate import AuditLook, BucketLook
from resticwrap.model.job import Job, Latest, Manifest, Pin
from resticwrap.model.kit import KitRecord
from resticwrap.model.verified import VerifyRecord, Written

PROGRESS = ".progress"
UNREADABLE = ".unreadable"
KEPT: Mapping[type[Written], str] = {Manifest: "manifests", VerifyRecord: "records"}
"""The folders of what is on its way to the store."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
T = TypeVar("T")


class FolderState:
    """The port `StateFiles` in a folder: `spool/{job}.json`, `latest_{target}.json`, `pins/{target}.json`, and of what
    is on its way to the store `manifests/{target}/{job}.json` and `records/{target}/{job}.json`.

    Files are 0600 and folders 0700. Raises DiskFull where there is no room, Failure where the folder cannot be used.
    """

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir
        self._spool = state_dir / "spool"
        self._pins = state_dir / "pins"

    def spool(self, job: Job, *, flush: bool = True) -> None:
        """Write a job's record ahead of the catalogue.

        `flush=False` is for the progress of a running job that is spooled already, and cheap enough for every second:
        it goes to a file of its own, so that a power cut can cost the progress but never the record.
        """
        record = self._record(job.id)
        if not flush:
            self._write(_progress_of(record), to_json(job), flush=False)
            return
        self._write(record, to_json(job))
        with self._guarded(record):
            _progress_of(record).unlink(missing_ok=True)

    def spooled(self) -> Sequence[Job]:
        """What is spooled, oldest first. An unreadable file is renamed aside, never deleted."""
        return sorted(self._read_spool(), key=lambda job: (job.started_at, job.id))

    def _read_spool(self) -> Iterator[Job]:
        for record, job in self._read_all(Job, self._spool):
            if job.outcome == "running":
                later = self._read(Job, _progress_of(record))
                yield later if later is not None and len(later.domains) >= len(job.domains) else job
            else:
                yield job

    def unspool(self, job_id: str) -> None:
        record = self._record(job_id)
        with self._guarded(record):
            _progress_of(record).unlink(missing_ok=True)
            record.unlink(missing_ok=True)

    def latest(self, target: str) -> Latest | None:
        """None also where the file does not make sense: the repository knows the same, slower."""
        latest = self._read(Latest, self._latest(target))
        return latest if latest is not None and latest.target == target else None

    def put_latest(self, latest: Latest) -> None:
        self._write(self._latest(latest.target), to_json(latest))

    def keep(self, written: Written) -> None:
        self._write(self._kept(written), to_json(written))

    def kept(self, target: str) -> Sequence[Written]:
        """Manifests first, oldest first. An unreadable file is renamed aside, never deleted."""
        manifests = [one for _, one in self._read_all(Manifest, self._root / KEPT[Manifest] / _plain(target))]
        records = [one for _, one in self._read_all(VerifyRecord, self._root / KEPT[VerifyRecord] / _plain(target))]
        return [
            *sorted(manifests, key=lambda manifest: (manifest.started_at, manifest.job_id)),
            *sorted(records, key=lambda record: (record.job.started_at, record.job_id)),
        ]

    def drop(self, written: Written) -> None:
        file = self._kept(written)
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def _kept(self, written: Written) -> Path:
        return self._root / KEPT[type(written)] / _plain(written.target) / f"{_plain(written.job_id)}.json"

    def pins(self, target: str) -> Mapping[str, Pin]:
        file = self._pins / f"{_plain(target)}.json"
        with self._guarded(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return {}
        try:
            return from_json(dict[str, Pin], data)
        except ValueError as error:
            # Never taken for "no pins": that would let in any repository that answers.
            raise Failure(
                f"The pinned repositories of {target} cannot be read: {file} is damaged.",
                hint=f"Bring the file back, or move it aside and run: rw init --target {target}",
            ) from error

    def put_pins(self, target: str, pins: Mapping[str, Pin]) -> None:
        self._write(self._pins / f"{_plain(target)}.json", to_json(dict(pins)))

    def chain(self, target: str) -> Chain | None:
        file = self._evidence(target).with_suffix(".json")
        with self._guarded(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return None
        try:
            return from_json(Chain, data)
        except ValueError as error:
            # Never taken for "no chain": a new one would hide that the old one was cut.
            raise Failure(
                f"The head of the evidence of {target} cannot be read: {file} is damaged.",
                hint=f"rw audit verify --target {target}; then move the file aside, and a new chain is begun.",
            ) from error

    def put_chain(self, target: str, chain: Chain) -> None:
        self._write(self._evidence(target).with_suffix(".json"), to_json(chain))

    def wait(self, target: str, event: Event) -> None:
        self._write(self._evidence(target) / f"{_plain(event.id)}.json", to_json(event))

    def waiting(self, target: str) -> Sequence[Event]:
        found = [event for _, event in self._read_all(Event, self._evidence(target))]
        return sorted(found, key=lambda event: (event.at, event.id))

    def arrived(self, target: str, event: Event) -> None:
        file = self._evidence(target) / f"{_plain(event.id)}.json"
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def kit(self, target: str) -> KitRecord | None:
        """None also where the file does not make sense: then a new kit is asked for."""
        return self._read(KitRecord, self._root / "kits" / f"{_plain(target)}.json")

    def put_kit(self, target: str, record: KitRecord) -> None:
        self._write(self._root / "kits" / f"{_plain(target)}.json", to_json(record))

    def bucket_look(self, target: str) -> BucketLook | None:
        """None also where the file does not make sense: then nobody has looked."""
        return self._read(BucketLook, self._root / "bucket" / f"{_plain(target)}.json")

    def put_bucket_look(self, target: str, look: BucketLook) -> None:
        self._write(self._root / "bucket" / f"{_plain(target)}.json", to_json(look))

    def audit_look(self, target: str) -> AuditLook | None:
        """None also where the file does not make sense."""
        return self._read(AuditLook, self._root / "audit" / f"{_plain(target)}.json")

    def put_audit_look(self, target: str, look: AuditLook) -> None:
        self._write(self._root / "audit" / f"{_plain(target)}.json", to_json(look))

    def _evidence(self, target: str) -> Path:
        return self._root / "evidence" / _plain(target)

    def _record(self, job_id: str) -> Path:
        return self._spool / f"{_plain(job_id)}.json"

    def _latest(self, target: str) -> Path:
        return self._root / f"latest_{_plain(target)}.json"

    def _read_all(self, kind: type[T], folder: Path) -> Iterator[tuple[Path, T]]:
        """Every file of a folder with what it holds; one that does not hold that is set aside."""
        with self._guarded(folder):
            try:
                files = sorted(folder.iterdir())
            except FileNotFoundError:
                return
        for file in files:
            if file.name.startswith(".") or file.suffix != ".json":
                continue
            if not os.access(file, os.R_OK) and file.exists():
                continue  # another user's, whose own `rw` will see to it
            value = self._read(kind, file)
            if value is None:
                self._set_aside(file)
            else:
                yield file, value

    def _read(self, kind: type[T], file: Path) -> T | None:
        """None where there is no file, or not one of this kind."""
        with self._guarded(file):
            try:
                return from_json(kind, file.read_bytes())
            except (FileNotFoundError, ValueError):
                return None

    def _set_aside(self, record: Path) -> None:
        """Another process may have taken it away, or set it aside, since we looked: then there is nothing to do."""
        aside = record.with_name(record.name + UNREADABLE)
        if aside.exists():
            aside = record.with_name(f"{record.name}.{secrets.token_hex(4)}{UNREADABLE}")
        with self._guarded(record):
            try:
                record.rename(aside)
            except FileNotFoundError:
                return

    def _write(self, file: Path, data: bytes, *, flush: bool = True) -> None:
        """Write a file whole or not at all."""
        with self._guarded(file):
            self._make_folder(file.parent)
            beside = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    if flush:
                        os.fsync(descriptor)
                beside.rename(file)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
            if flush:
                _sync_folder(file.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder == self._root:
            # Only the last of several folders gets its mode; what is above the state directory is not ours.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            self._make_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)

    @contextmanager
    def _guarded(self, file: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM:
                raise DiskFull(
                    f"There is no room left for {file}.", hint="Make room on the disk of the state directory."
                ) from error
            raise Failure(
                f"The state directory cannot be used: {file}: {error.strerror}.",
                hint="Look at its owner and mode, or choose another with RW_STATE_DIR.",
            ) from error


def _progress_of(record: Path) -> Path:
    return record.with_suffix(PROGRESS)


def _plain(name: str) -> str:
    """A name that is one file and no other. Raises Failure."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise Failure(f"{name!r} cannot be the name of a target or a job.", hint="Names begin with a letter or digit.")
    return name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
