"""What every service is handed: one target, its adapters, the policy, the clock."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.job import ErrorInfo, Job, JobKind, Latest, Outcome, Pin
from resticwrap.model.policy import Domain, Target
from resticwrap.model.snapshot import SnapshotType
from resticwrap.ports import (
    Bucket,
    Catalog,
    HostLocks,
    Lease,
    Manifests,
    Repository,
    Source,
    StateFiles,
    Store,
    Watcher,
)
from resticwrap.services.database_ports import Engine
from resticwrap.services.databases.swap_ports import DbJournals
from resticwrap.services.inplace import InPlace
from resticwrap.services.inplace_ports import Journals, Work
from resticwrap.services.recording import Recorder
from resticwrap.services.recovery_ports import Recovery
from resticwrap.services.story_ports import Board, Room
from resticwrap.services.wal_ports import Archive
from resticwrap.settings import Settings

T = TypeVar("T")
PATIENCE = 1.0
"""Seconds between two questions to a target that does not answer."""
JOBS = "jobs"
"""The name under which a running `rw` holds a lease."""
SCHEDULED_RUN = "RW_SCHEDULED_RUN"
"""The variable in which the scheduler tells a child which of its runs it is."""
PREFIX: dict[JobKind, str] = {
    "init": "init",
    "backup": "snapshot",
    "verify": "verify",
    "restore": "restore",
    "copy": "copy",
    "forget": "forget",
    "prune": "prune",
    "recover": "recover",
    "drill": "drill",
    "repair": "repair",
    "upgrade": "upgrade",
}


@dataclass(frozen=True, kw_only=True)
class Records:
    """What reports need: the policy and the records of one target, without the target itself or restic."""

    settings: Settings
    target_name: str
    target: Target
    state: StateFiles
    journals: Journals
    database_journals: DbJournals
    catalog: Callable[[], Catalog]
    clock: Clock
    board: Board
    room: Room

    @property
    def pinned(self) -> bool:
        """Whether `rw init` was run for this target here."""
        return "hot" in self.state.pins(self.target_name)

    def known(self) -> Catalog:
        """The catalogue, for a report. Raises CatalogUnavailable where it is gone though backups were made here: an
        empty one would say that there never was any."""
        catalog = self.catalog()
        if not catalog.present and self.state.latest(self.target_name) is not None:
            raise errors.CatalogUnavailable(
                f"The catalogue is not there, though target {self.target_name} was backed up to from here.",
                hint=f"rw catalog rebuild --target {self.target_name}   (is RW_CATALOG_URL what it was?)",
            )
        return catalog

    def pins(self) -> Mapping[str, Pin]:
        """The pinned repositories; raises NoRepository before `rw init`."""
        pins = self.state.pins(self.target_name)
        if "hot" not in pins:
            raise errors.NoRepository(
                f"Target {self.target_name} has no repositories that this machine knows of.",
                hint=f"rw init --target {self.target_name}   (it also adopts repositories that are there already)",
            )
        return pins


@dataclass(frozen=True, kw_only=True)
class Context(Records):
    """One target with everything that works on it. Built by `bootstrap.py`, or by a test."""

    store: Store
    bucket: Callable[[], Bucket | None]
    hot: Repository
    cold: Repository
    manifests: Manifests
    recorder: Recorder
    locks: HostLocks
    sources: Callable[[str, Domain], Source]
    engines: Callable[[str, Domain], Engine | None]
    """The database of a domain, by its name and policy; None where its source is none."""
    archives: Callable[[str, Domain], Archive | None]
    """The log of a domain, likewise; None where none is kept."""
    watcher: Watcher
    telling: Callable[[Job], AbstractContextManager[None]]
    """The time in which a job is at work and told of: its story, and how far it is."""
    cancelled: Callable[[], bool]
    unheeding: Callable[[], AbstractContextManager[None]]
    """A while in which this thread goes on whoever asks it to stop: to take back what is half done."""
    in_place: Callable[[Work], InPlace]
    beside: Callable[[Path], Repository]
    """A repository of the same keys that lies in a scratch folder of this machine, by the folder that holds it."""
    recovery: Recovery
    machine: str
    pid: int
    processors: int
    versions: Mapping[str, str]

    @property
    def repositories(self) -> dict[str, Repository]:
        """Both repositories by tier, hot first."""
        return {"hot": self.hot, "cold": self.cold}

    def new_job(self, kind: JobKind, type: SnapshotType | None = None) -> Job:
        """A running job that has begun now. Its id says its kind and its time."""
        now = self.clock.now()
        return Job(
            id=f"{PREFIX[kind]}_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(3)}",
            kind=kind,
            target=self.target_name,
            outcome="running",
            started_at=now,
            host=self.machine,
            pid=self.pid,
            type=type,
            run=self.settings.env.get(SCHEDULED_RUN, ""),
        )

    def heed(self) -> None:
        """Raises Interrupted where somebody asked us to stop: for long loops of our own, once in each turn."""
        if self.cancelled():
            raise errors.Interrupted("Interrupted before it was done.")

    def patiently(self, call: Callable[[], T]) -> T:
        """What `call` returns, tried again for as long as the policy's `grace` while the target does not answer: restic
        waits for it as well, and what it has stored should not be lost sight of over a few seconds."""
        until = self.clock.monotonic() + self.target.grace.total_seconds()
        while True:
            try:
                return call()
            except errors.TargetUnreachable:
                if self.clock.monotonic() >= until:
                    raise
            self.heed()
            self.clock.sleep(PATIENCE)

    @contextmanager
    def running(self, job: Job, *, strict: bool = False) -> Iterator[Job]:
        """The time in which a job runs: recorded as running before, closed as failed or interrupted when it raises.

        A lease, whose name the job then bears, shows others that it lives. `strict`: raises CatalogUnavailable, and
        nothing is done, where the catalogue cannot hold the record.
        """
        with self._alive() as lease:
            job = msgspec.structs.replace(job, lease=lease.name)
            if strict:
                self.recorder.open_strict(job)
            else:
                self.recorder.open(job)
            with self.telling(job):
                try:
                    yield job
                except Exception as error:
                    failure = errors.unforeseen(error) if not isinstance(error, errors.Failure) else error
                    outcome: Outcome = "interrupted" if isinstance(error, errors.Interrupted) else "failed"
                    self.recorder.close(
                        msgspec.structs.replace(job, outcome=outcome, finished_at=self.clock.now(), error=info(failure))
                    )
                    raise
                self._settle_evidence()

    def _settle_evidence(self) -> None:
        """After a job that went well up to its end, so that the target is known to be the right one: what evidence
        waits goes there. Nothing waits, nothing is asked."""
        from resticwrap.services import audit  # it needs this module itself

        if why := audit.settle(self):
            self.watcher.note(why)

    @contextmanager
    def _alive(self) -> Iterator[Lease]:
        lease = self.locks.lease(JOBS)
        try:
            lease.started(self.pid)
            yield lease
        finally:
            lease.remove()

    def close_interrupted(self, before: Callable[[Job], None]) -> Sequence[Job]:
        """Close the records that a crash left open on this machine, after `before` of each; returns them."""
        alive = {lease.name for lease in self.locks.leases(JOBS) if lease.held}
        return self.recorder.interrupted(
            self.target_name,
            self.machine,
            self.clock.now(),
            lambda job: job.lease in alive,
            before,
            in_catalog=False,
        )

    def latest(self, *, everyones: bool = False) -> Latest | None:
        """What the next backup starts from; None where there is nothing, or only of another repository. Nothing that is
        known to be another host's, unless `everyones`."""
        latest = self.state.latest(self.target_name)
        if latest is None or latest.repository != self.pins()["hot"].repository_id:
            return None
        if everyones:
            return latest
        hosts = {"", *self.settings.hosts}
        own = {name: one for name, one in latest.domains.items() if one.host in hosts}
        return msgspec.structs.replace(latest, domains=own)

    def check_pin(self, tier: str) -> Pin:
        """Look whether the target still has the very repository that was pinned: one small read by its own client.

        Raises NoRepository where none is there, OtherRepository where it is another one, and whatever the store says.
        """
        pin = self.pins().get(tier)
        if pin is None:
            raise errors.NoRepository(
                f"Target {self.target_name} has no {tier} repository that this machine knows of.",
                hint=f"rw init --target {self.target_name}   (it adopts the one that is there, or makes it)",
            )
        repository = self.repositories[tier]
        try:
            digest = repository.config_digest()
        except errors.NoRepository as error:
            raise errors.NoRepository(
                f"{error.message} But {pin.repository_id[:8]} was pinned as the {tier} repository of target "
                f"{self.target_name} at `rw init`.",
                hint=f"Look where the target points to: rw policy show. Only if it is lost for good: remove "
                f"{self.settings.state_dir}/pins/{self.target_name}.json, then rw init.",
            ) from error
        if digest == pin.config_digest:
            return pin
        found = repository.config()
        if found.repository_id != pin.repository_id:
            raise errors.OtherRepository(
                f"The {tier} repository of target {self.target_name} is {found.repository_id[:8]}, "
                f"but {pin.repository_id[:8]} was pinned at `rw init`.",
                hint="Look where the target points to (rw policy show); nothing was read from or written to it.",
            )
        self.state.put_pins(self.target_name, {**self.pins(), tier: found})
        return found


def check_domains(settings: Settings, wanted: Sequence[str], others: Iterable[str | None]) -> None:
    """Raises UsageError for a name that neither the policy has nor `others`: what was there before it was dropped."""
    known = set(others)
    settings.select_domains([name for name in wanted if name not in known])


def side_by_side(context: Context) -> int:
    """Domains side by side: the policy's number, else as many as there are processors, and eight over a network."""
    if context.target.parallel is not None:
        return context.target.parallel
    return context.processors if context.target.provider == "local" else max(8, context.processors)


def info(error: errors.Failure) -> ErrorInfo:
    """A failure as it is recorded."""
    return ErrorInfo(kind=error.kind, message=error.message, hint=error.hint, exit_code=error.exit_code)
