"""The small files of the state directory: spooled records, the newest backup of a target, pinned repositories.

On the way to restic's start, so it needs neither a database nor SQLAlchemy.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resticwrap.catalog.files import Files, plain
from resticwrap.errors import Failure
from resticwrap.model.alerts import AlertBook
from resticwrap.model.base import from_json, to_json
from resticwrap.model.evidence import Chain, Event
from resticwrap.model.gate import AuditLook, BucketLook
from resticwrap.model.job import Job, Latest, Manifest, Pin
from resticwrap.model.kit import KitRecord
from resticwrap.model.verified import VerifyRecord, Written

PROGRESS = ".progress"
KEPT: Mapping[type[Written], str] = {Manifest: "manifests", VerifyRecord: "records"}
"""The folders of what is on its way to the store."""


class FolderState(Files):
    """The port `StateFiles` in a folder: `spool/{job}.json`, `latest_{target}.json`, `pins/{target}.json`, and of what
    is on its way to the store `manifests/{target}/{job}.json` and `records/{target}/{job}.json`.

    Files are 0600 and folders 0700. Raises DiskFull where there is no room, Failure where the folder cannot be used.
    """

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
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
        manifests = [one for _, one in self._read_all(Manifest, self._root / KEPT[Manifest] / plain(target))]
        records = [one for _, one in self._read_all(VerifyRecord, self._root / KEPT[VerifyRecord] / plain(target))]
        return [
            *sorted(manifests, key=lambda manifest: (manifest.started_at, manifest.job_id)),
            *sorted(records, key=lambda record: (record.job.started_at, record.job_id)),
        ]

    def drop(self, written: Written) -> None:
        file = self._kept(written)
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def _kept(self, written: Written) -> Path:
        return self._root / KEPT[type(written)] / plain(written.target) / f"{plain(written.job_id)}.json"

    def pins(self, target: str) -> Mapping[str, Pin]:
        file = self._pins / f"{plain(target)}.json"
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
        self._write(self._pins / f"{plain(target)}.json", to_json(dict(pins)))

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
        self._write(self._evidence(target) / f"{plain(event.id)}.json", to_json(event))

    def waiting(self, target: str) -> Sequence[Event]:
        found = [event for _, event in self._read_all(Event, self._evidence(target))]
        return sorted(found, key=lambda event: (event.at, event.id))

    def arrived(self, target: str, event: Event) -> None:
        file = self._evidence(target) / f"{plain(event.id)}.json"
        with self._guarded(file):
            file.unlink(missing_ok=True)

    def kit(self, target: str) -> KitRecord | None:
        """None also where the file does not make sense: then a new kit is asked for."""
        return self._read(KitRecord, self._root / "kits" / f"{plain(target)}.json")

    def put_kit(self, target: str, record: KitRecord) -> None:
        self._write(self._root / "kits" / f"{plain(target)}.json", to_json(record))

    def bucket_look(self, target: str) -> BucketLook | None:
        """None also where the file does not make sense: then nobody has looked."""
        return self._read(BucketLook, self._root / "bucket" / f"{plain(target)}.json")

    def put_bucket_look(self, target: str, look: BucketLook) -> None:
        self._write(self._root / "bucket" / f"{plain(target)}.json", to_json(look))

    def audit_look(self, target: str) -> AuditLook | None:
        """None also where the file does not make sense."""
        return self._read(AuditLook, self._root / "audit" / f"{plain(target)}.json")

    def put_audit_look(self, target: str, look: AuditLook) -> None:
        self._write(self._root / "audit" / f"{plain(target)}.json", to_json(look))

    def alert_book(self) -> AlertBook:
        """One that makes no sense is set aside: then what fires is told once more."""
        file = self._root / "alerts" / "book.json"
        book = self._read(AlertBook, file)
        if book is None and file.exists():
            self._set_aside(file)
        return book or AlertBook()

    def put_alert_book(self, book: AlertBook) -> None:
        self._write(self._root / "alerts" / "book.json", to_json(book))

    def _evidence(self, target: str) -> Path:
        return self._root / "evidence" / plain(target)

    def _record(self, job_id: str) -> Path:
        return self._spool / f"{plain(job_id)}.json"

    def _latest(self, target: str) -> Path:
        return self._root / f"latest_{plain(target)}.json"


def _progress_of(record: Path) -> Path:
    return record.with_suffix(PROGRESS)
