"""Builds adapters and hands them to services: the only place where they meet. Only the wanted target's are built."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resticwrap import __version__, errors, settings
from resticwrap.cancel import Cancel
from resticwrap.catalog.schedule import FolderSchedule
from resticwrap.catalog.state import FolderState
from resticwrap.clock import Clock, SystemClock
from resticwrap.host.attend import HostCommands
from resticwrap.host.exchange import Exchange
from resticwrap.host.holders import ProcHolders
from resticwrap.host.journals import DatabaseJournals, FileJournals
from resticwrap.host.locks import FlockLocks
from resticwrap.host.space import HostDisks, HostSpace, free_bytes, total_bytes
from resticwrap.host.stories import DiskRoom, FileBoard, FileStories
from resticwrap.model.base import Time
from resticwrap.model.kit import Kit
from resticwrap.model.metrics import MetricsReport, Room
from resticwrap.model.policy import LocalTarget, S3Target, Target
from resticwrap.ports import Bucket, Catalog, Commands, HostLocks, TargetStore, Watcher
from resticwrap.restic.install import dotted, find_restic, known_version
from resticwrap.restic.password import Password
from resticwrap.restic.repository import ResticRepository
from resticwrap.restic.runner import INHERITED, Limits, Setting
from resticwrap.services import owners
from resticwrap.services import place as places
from resticwrap.services.context import SCHEDULED_RUN, Context, Records
from resticwrap.services.inplace import InPlace
from resticwrap.services.outside_ports import Keepers
from resticwrap.services.place import Place
from resticwrap.services.recording import Recorder
from resticwrap.services.recovery_ports import Recovery, Sealing
from resticwrap.services.schedule_ports import Attendant
from resticwrap.services.telling import Teller
from resticwrap.settings import Settings
from resticwrap.sources.choose import archive_of, engine_of, source_of
from resticwrap.storage import BucketManifests, open_bucket, open_store
from resticwrap.storage.local import LocalStore

if TYPE_CHECKING:
    from resticwrap.catalog.jobs import SqlCatalog
    from resticwrap.metrics.attendant import MetricsAttendant
    from resticwrap.model.acceptance import DailyReport
    from resticwrap.services.alerting import Alerting
    from resticwrap.services.metrics import Watched
    from resticwrap.services.schedule.ledger import Ledger
    from resticwrap.services.schedule.scheduler import Scheduler


@dataclass
class House:
    """Everything a command needs, made when it is first asked for."""

    settings: Settings
    target_option: str | None
    watcher: Watcher
    cancel: Cancel
    clock: Clock
    placed: tuple[Place, Kit] | None = None
    """Where this installation was laid down out of a kit: its secrets lie there, whatever the policies say."""
    _ours: bool = False
    """Whether the catalogue was asked which repository it knows by the target's name."""

    def close(self) -> None:
        """Give up the connections that were opened."""
        for name in ("catalog", "locks"):
            if close := getattr(self.__dict__.get(name), "close", None):
                close()

    @cached_property
    def target_name(self) -> str:
        return self.settings.target_name(self.target_option)

    @cached_property
    def target(self) -> Target:
        target = self.settings.target(self.target_option)
        return target if self.placed is None else _as_placed(target, *self.placed)

    @cached_property
    def state(self) -> FolderState:
        return FolderState(self.settings.state_dir)

    @cached_property
    def journals(self) -> FileJournals:
        return FileJournals(self.settings.state_dir)

    @cached_property
    def database_journals(self) -> DatabaseJournals:
        return DatabaseJournals(self.settings.state_dir)

    @cached_property
    def stories(self) -> FileStories:
        return FileStories(self.settings.state_dir, self.clock)

    @cached_property
    def board(self) -> FileBoard:
        return FileBoard(self.settings.state_dir, FlockLocks(self.settings.state_dir, self.clock), self.clock)

    @cached_property
    def teller(self) -> Teller:
        """The watcher that services talk to; `watcher` is the one on the screen."""
        return Teller(self.watcher, self.stories, self.board, self.clock)

    @cached_property
    def catalog(self) -> "SqlCatalog":
        """Opened when first asked for: importing the database layer costs as much as a short restic command."""
        from resticwrap.catalog.database import default_url
        from resticwrap.catalog.jobs import SqlCatalog

        return SqlCatalog(self.settings.catalog_url() or default_url(self.settings.state_dir))

    def _own_catalog(self) -> Catalog:
        """The catalogue, where what it says of this target is about this target. Raises CatalogUnavailable."""
        if not self._ours and postgres_url(self.settings):
            owners.refuse_other_repository(self.catalog, self.records)
        self._ours = True
        return self.catalog

    @cached_property
    def binary(self) -> Path:
        return find_restic(self.settings.env)

    @cached_property
    def password(self) -> Password:
        return Password(self.target_name, self.target, self.settings.env, self.settings.state_dir)

    @cached_property
    def store(self) -> TargetStore:
        return open_store(self.target, self.settings.env, self.clock)

    @cached_property
    def bucket(self) -> Bucket | None:
        """The administrative side of the store; None for a folder, which has none."""
        return open_bucket(self.target, self.settings.env, self.clock)

    def commands(self, *, to_stderr: bool = False) -> Commands:
        """What runs commands of the operator's."""
        return HostCommands(self.settings.env, self.cancel, to_stderr=to_stderr)

    @cached_property
    def keepers(self) -> Keepers:
        """systemd and cron of this machine."""
        from resticwrap.host.keepers import HostKeepers

        return HostKeepers(self.settings.env)

    @cached_property
    def records(self) -> Records:
        """What reports read: no store is built and no restic is looked for."""
        return self._records(self.settings, self.target_name, self.target)

    def _records(self, read: Settings, name: str, target: Target) -> Records:
        return Records(
            settings=read,
            target_name=name,
            target=target,
            state=self.state,
            journals=self.journals,
            database_journals=self.database_journals,
            catalog=self._own_catalog,
            clock=self.clock,
            board=self.board,
            room=DiskRoom(),
        )

    def watched(self, read: Settings) -> "Watched":
        """What metrics are collected from, by these policies."""
        from resticwrap.services.metrics import Watched

        return Watched(
            settings=read,
            records=lambda name: self._records(read, name, read.target(name)),
            catalog=lambda: self.catalog,
            room=lambda path: Room(free=free_bytes(path), total=total_bytes(path)),
            beat=self.ledger.files.heartbeat,
            clock=self.clock,
            version=__version__,
        )

    def metrics_attendant(self, policies: Callable[[], Settings]) -> "MetricsAttendant":
        """Who answers scrapes while the scheduler runs, as the policy's `metrics` wants it."""
        from resticwrap.metrics.attendant import MetricsAttendant
        from resticwrap.planning.metrics import report
        from resticwrap.services.metrics import collect, targets_of

        def collected(now: Time) -> MetricsReport:
            read = policies()
            return report(collect(self.watched(read), targets_of(read), now))

        rule = self.settings.schedule.metrics
        return MetricsAttendant(collected, self.clock, listen=rule.listen, file=rule.textfile)

    @cached_property
    def locks(self) -> HostLocks:
        """Those of this machine, and those of all machines where they share a catalogue."""
        url = postgres_url(self.settings)
        if url is None:
            return self.own_locks
        from resticwrap.catalog.locks import SharedLocks

        return SharedLocks(
            self.own_locks,
            url,
            self._shared_name,
            self.clock,
            check=self.cancel.check,
            note=self.teller.note,
            catalog=lambda: self.catalog,
            target=self.target_name,
        )

    def _shared_name(self, lock: str) -> str | None:
        """By what name other machines know a lock that guards a repository: its pinned id stands in place of its
        address, which may be another one there. None for a lock that concerns this machine alone."""
        kind, _, guarded = lock.partition(" ")
        pins = self.state.pins(self.target_name)
        places = {self.context.repositories[tier].url: pin.repository_id for tier, pin in pins.items()}
        places[self.target_name] = pins["hot"].repository_id if "hot" in pins else ""
        if kind not in GUARDING or not places.get(guarded):
            return None
        return f"{kind} {places[guarded]}"

    def alert_targets(self, read: Settings) -> tuple[str, ...]:
        """The targets that alerts look at: the one that is meant, and unless it was named, those that the schedule
        works on and that can be used here."""
        meant = read.target_name(self.target_option)
        named = [job.target for job in read.schedule.jobs.values() if job.enabled]
        others = [one for one in dict.fromkeys(named) if one != meant] if self.target_option is None else []
        return (meant, *(one for one in others if not read.problems_of_target(one)))

    def alerting(self, draw: Callable[["DailyReport"], str], read: Settings | None = None) -> "Alerting":
        """Who looks after alerts by these policies. `draw` makes a day the text of a message. Raises PolicyError where
        `alerts.yaml` does not hold."""
        from resticwrap.notify.channels import AppriseChannels
        from resticwrap.notify.pings import HttpPings
        from resticwrap.services.alerting import Alerting

        read = read or self.settings
        policy, names = read.alerts, self.alert_targets(read)

        def problems() -> list[str]:
            # Of the folder that people edit: the scheduler itself goes by a copy of what it last found to hold.
            try:
                return [str(one) for one in settings.check(self.settings.folder, read.env, names)]
            except errors.Failure as error:
                return [error.message]

        return Alerting(
            settings=read,
            records=[self._records(read, name, read.target(name)) for name in names],
            locks=FlockLocks(read.state_dir, self.clock),
            channels=AppriseChannels(policy.channels),
            pings=HttpPings(policy.healthchecks.timeout.total_seconds()),
            disks=HostDisks(),
            draw=draw,
            problems=problems,
            machine=socket.gethostname(),
            pulse=self.ledger.files,
        )

    @cached_property
    def context(self) -> Context:
        """The target with its adapters, for services."""
        locks, target = self.locks, self.target
        version = known_version(self.binary, self.settings.env)
        if target.compression in ("fastest", "better") and version < (0, 19, 0):
            raise errors.ResticMissing(
                f"compression: {target.compression} needs restic 0.19.0, and {self.binary} is {dotted(version)}.",
                hint="Take another compression in targets.yaml, or a newer restic.",
            )

        return Context(
            settings=self.settings,
            target_name=self.target_name,
            target=target,
            store=self.store,
            bucket=lambda: self.bucket,
            hot=self._repository("hot", locks),
            cold=self._repository("cold", locks),
            manifests=BucketManifests(self.store, target.environment or target.namespace),
            state=self.state,
            journals=self.journals,
            database_journals=self.database_journals,
            catalog=self._own_catalog,
            recorder=Recorder(self.state, self._own_catalog, self.teller.closed),
            locks=locks,
            sources=lambda name, domain: source_of(
                name, domain, self.settings.state_dir, self.target_name, self.cancel
            ),
            archives=lambda name, domain: archive_of(
                name, domain, self.settings.state_dir, self.target_name, self.cancel
            ),
            engines=lambda name, domain: engine_of(name, domain, self.settings.state_dir, self.cancel),
            clock=self.clock,
            board=self.board,
            room=DiskRoom(),
            watcher=self.teller,
            telling=self.teller.job,
            cancelled=lambda: self.cancel.is_set,
            unheeding=self.cancel.unheeded,
            recovery=self.recovery,
            in_place=lambda work: InPlace(
                journals=self.journals,
                exchanger=Exchange(),
                holders=ProcHolders(),
                space=HostSpace(),
                work=work,
                clock=self.clock,
                note=self.teller.note,
            ),
            beside=lambda folder: self._repository("hot", locks, beside=folder),
            machine=socket.gethostname(),
            pid=os.getpid(),
            processors=len(os.sched_getaffinity(0)),
            versions={
                "resticwrap": __version__,
                "restic": dotted(version),
                "python": sys.version.split()[0],
            },
        )

    @cached_property
    def recovery(self) -> Recovery:
        """What kits and the restore of a system need."""
        from resticwrap.host.confine import HostCommands

        return Recovery(
            secrets=_Secrets(self),
            sealing=sealing,
            commands=HostCommands(self.cancel, self.clock),
            elsewhere=lambda kit, root: elsewhere(
                kit, root, self.settings.env, watcher=self.watcher, cancel=self.cancel, clock=self.clock
            ),
        )

    def _repository(self, tier: str, locks: HostLocks, *, beside: Path | None = None) -> ResticRepository:
        target = self.target
        store = self.store if beside is None else LocalStore(beside.parent, beside.name)
        access, namespace = store.restic_access, target.namespace if beside is None else beside.name
        written = [self.settings.cache_dir, Path(self.settings.env.get("TMPDIR", "/tmp"))]
        if isinstance(target, LocalTarget):
            written.insert(0, target.path)
        return ResticRepository(
            Setting(
                binary=self.binary,
                target=self.target_name,
                tier=tier,
                url=access().url(tier),
                prefix=f"{namespace}/{tier}",
                access=access,
                password=self.password,
                cache_dir=self.settings.cache_dir,
                store=store,
                locks=locks,
                clock=self.clock,
                cancel=self.cancel,
                env=self.settings.env,
                limits=limits_of(target),
                write_places=tuple(written),
                free=free_bytes,
                note=self.teller.note,
            )
        )

    @cached_property
    def own_locks(self) -> FlockLocks:
        """This machine's alone, for what works on no target."""
        return FlockLocks(self.settings.state_dir, self.clock, self.cancel.check)

    @cached_property
    def ledger(self) -> "Ledger":
        """The runs of the schedule, and what else the scheduler remembers."""
        from resticwrap.services.schedule.ledger import Ledger

        files = FolderSchedule(self.settings.state_dir)
        return Ledger(files, self.state, lambda: self.catalog, lambda: self.settings.host, self.clock)

    def scheduler(
        self,
        *,
        target: str | None = None,
        by_hand: bool = False,
        verbose: bool = False,
        draw: Callable[["DailyReport"], str] | None = None,
    ) -> "Scheduler":
        """What runs the schedule: of one target's jobs, or of all. `by_hand`: nobody looks on but the catalogue. `draw`
        makes a day the text of a message; without it nobody looks after alerts."""
        from resticwrap.host.children import RunChildren
        from resticwrap.host.timer import ApTimer
        from resticwrap.planning import schedule as planning
        from resticwrap.services.schedule import attending, ledger, scheduler

        locks = FlockLocks(self.settings.state_dir, self.clock)
        books = self.ledger
        built = scheduler.Scheduler(
            parts=scheduler.Parts(
                policies=settings.Watched(
                    self.settings.folder, self.settings.state_dir / "schedule" / "policies", self.settings.env
                ),
                ledger=books,
                children=RunChildren(
                    self.settings.state_dir / "schedule" / "children",
                    locks,
                    self.settings.env,
                    self.clock,
                    outcome=planning.outcome,
                    variable=SCHEDULED_RUN,
                    say=scheduler.forward,
                ),
                timer=ApTimer(self.clock),
                attended=attending.Attended(
                    [ledger.Bookkeeper(books), *(() if by_hand else attendants(self, lambda: built.settings, draw))]
                ),
                locks=locks,
                clock=self.clock,
                machine=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                wanted=lambda job: target in (None, job.target),
                verbose=verbose,
            ),
            settings=self.settings,
        )
        return built


def attendants(
    house: House, policies: Callable[[], Settings], draw: Callable[["DailyReport"], str] | None = None
) -> Sequence[Attendant]:
    """Who looks on while the scheduler runs. `policies` are those that hold at the time: they may change."""
    from resticwrap.services.attendants import AlertAttendant, Desk, PingAttendant

    metrics = house.metrics_attendant(policies)
    if draw is None:
        return (metrics,)
    desk = Desk(policies, lambda read: house.alerting(draw, read))
    return metrics, AlertAttendant(desk), PingAttendant(desk)


def postgres_url(read: Settings) -> str | None:
    """The address of a catalogue that machines share; None where it is a file of this one."""
    url = read.catalog_url()
    return url if url is not None and url.startswith("postgres") else None


def sealing() -> Sealing:
    """How kits are encrypted."""
    from resticwrap.host.sealing import AgeSealing

    return AgeSealing()


@dataclass(frozen=True)
class _Secrets:
    """The port `Secrets` of a house."""

    house: House

    def password(self) -> str:
        return self.house.password()

    @property
    def file(self) -> Path | None:
        return self.house.password.file

    def credentials(self) -> Mapping[str, str]:
        target = self.house.target
        if not isinstance(target, S3Target) or target.credentials.access_key_id is not None:
            return {}  # the policies name all of it
        found = self.house.store.restic_access().env
        names = {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        if "AWS_SESSION_TOKEN" in found or not all(found.get(name) for name in names.values()):
            return {}  # a machine's role, or keys that end within hours
        return {field: found[name] for field, name in names.items()}


def _as_placed(target: Target, place: Place, kit: Kit) -> Target:
    """A target whose secrets and files lie in a place, and not where the policies say that they lie elsewhere."""
    from pydantic import SecretStr

    changed: dict[str, object] = {"password_file": place.password, "password_command": None}
    changed |= {name: place.file(name) for name in kit.files}
    if kit.credentials and isinstance(target, S3Target):
        secret = {name: SecretStr(value) for name, value in kit.credentials.items()}
        changed["credentials"] = target.credentials.model_copy(update=secret)
    return target.model_copy(update=changed)


GUARDING = frozenset({"maintenance", "copy", "keys"})
"""The kinds of locks that guard a repository, and not what belongs to this machine alone."""
OF_THE_MACHINE = (
    *INHERITED, "RW_RESTIC", "XDG_CACHE_HOME", "XDG_DATA_HOME", "AWS_CA_BUNDLE", "SSL_CERT_FILE",
)  # fmt: skip
"""What an installation out of a kit takes from the environment: nothing that says which data, target or state."""


@contextmanager
def elsewhere(
    kit: Kit, root: Path, env: Mapping[str, str], *, watcher: Watcher, cancel: Cancel, clock: Clock
) -> Iterator[Context]:
    """The installation that a kit makes below `root`, where `places.begin` has laid it down. Of `env` it takes what
    belongs to the machine, and the variables that the kit says it lacks."""
    place = Place(root)
    lacks = kit.provider != "local" and kit.holds != "included"
    own = {
        name: value
        for name, value in env.items()
        if name in OF_THE_MACHINE
        or name.removesuffix("_FILE") in kit.needs
        or name in kit.needs
        or (lacks and name.startswith(("AWS_", "OSS_")))
    }
    own |= places.variables(place, kit)
    built = House(
        settings=settings.load(place.policies, own, kit.target),
        target_option=kit.target,
        watcher=watcher,
        cancel=cancel,
        clock=clock,
        placed=(place, kit),
    )
    try:
        yield built.context
    finally:
        built.close()


def limits_of(target: Target) -> Limits:
    """How restic may use machine and network for this target."""
    return Limits(
        compression=target.compression,
        upload=target.limit_upload,
        download=target.limit_download,
        pack_size=target.pack_size,
        nice=target.nice,
        deadline=target.deadline.total_seconds(),
        lock_wait=target.lock_wait.total_seconds(),
        grace=target.grace.total_seconds(),
    )


@contextmanager
def house(
    policies: Path | None,
    target: str | None,
    watcher: Watcher,
    *,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Iterator[House]:
    """Read the policies and build what a command needs; closes what was opened."""
    env = dict(os.environ) if env is None else env
    read = settings.load(settings.find_folder(policies, env), env, target)
    built = House(
        settings=read,
        target_option=target,
        watcher=watcher,
        cancel=Cancel(),
        clock=clock or SystemClock(),
    )
    try:
        yield built
    finally:
        built.close()
