"""A scheduler in a world of its own: a clock that moves when it is waited for, and children that take as long as they
are told. Files, locks and catalogue are the real ones."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from resticwrap import settings
from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.catalog.schedule import FolderSchedule
from resticwrap.catalog.state import FolderState
from resticwrap.clock import FixedClock
from resticwrap.errors import CatalogUnavailable
from resticwrap.host.locks import FlockLocks
from resticwrap.model.base import Time
from resticwrap.model.unattended import ScheduledRun
from resticwrap.ports import Catalog
from resticwrap.services.schedule.attending import Attended
from resticwrap.services.schedule.ledger import Bookkeeper, Ledger
from resticwrap.services.schedule.scheduler import Parts, Scheduler
from resticwrap.services.schedule_ports import Attendant, Ended

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
When = Callable[[Time], Time | None]


class SimTimer:
    """The port `Timer` on a clock that moves when it is slept on."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[When, Callable[[], None]]] = {}
        self._next: dict[str, Time] = {}
        self._stopped = False

    def add(self, name: str, when: When, call: Callable[[], None]) -> None:
        self._entries[name] = (when, call)
        self.again(name)

    def again(self, name: str) -> None:
        if name not in self._entries:
            return
        now = self._clock.now()
        at = self._entries[name][0](now)
        self._next.pop(name, None)
        if at is not None:
            self._next[name] = max(at, now + timedelta(milliseconds=1))

    def remove(self, name: str) -> None:
        self._entries.pop(name, None)
        self._next.pop(name, None)

    def run(self) -> None:
        while not self._stopped and self._next:
            name, at = min(self._next.items(), key=lambda one: (one[1], one[0]))
            self._clock.sleep(max((at - self._clock.now()).total_seconds(), 0.0))
            call = self._entries[name][1]
            self.again(name)
            try:
                call()
            except Exception:  # noqa: BLE001 - as the port has it
                continue

    def stop(self) -> None:
        self._stopped = True


@dataclass
class SimChildren:
    """The port `Children`: each run takes as long as `lasts` says of its job (seconds), and ends as `ends` says."""

    clock: FixedClock
    timer: SimTimer
    lasts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, Ended] = field(default_factory=dict)
    begun: list[ScheduledRun] = field(default_factory=list)
    going: dict[str, Callable[[Ended], None]] = field(default_factory=dict)
    said: dict[str, Ended] = field(default_factory=dict)
    """By run, what is left of one that nobody saw the end of."""
    living: set[str] = field(default_factory=set)
    """Runs of another scheduler that still live."""
    longest: int = 0

    def ready(self, run: ScheduledRun) -> ScheduledRun:
        return msgspec.structs.replace(run, lease=f"lease-{run.id}")

    def start(self, run: ScheduledRun, command: Sequence[str], limit: float, done: Callable[[Ended], None]) -> None:
        assert "--target" in command
        self.begun.append(run)
        self._go(run, limit, done)

    def adopt(self, run: ScheduledRun, limit: float, done: Callable[[Ended], None]) -> None:
        self._go(run, limit, done)

    def _go(self, run: ScheduledRun, limit: float, done: Callable[[Ended], None]) -> None:
        self.going[run.id] = done
        self.longest = max(self.longest, len(self.going))
        lasts = self.lasts.get(run.name, 1.0)
        ended = self.ends.get(run.name, Ended(outcome="ok", code=0, job=f"job-{run.id}"))
        at = self.clock.now() + timedelta(seconds=min(lasts, limit))
        if lasts > limit:
            ended = Ended(outcome="overran")

        def end() -> None:
            self.timer.remove(f"end {run.id}")
            self.living.discard(run.id)
            self.going.pop(run.id)(ended)

        self.timer.add(f"end {run.id}", lambda now: at if now <= at else None, end)

    def alive(self, run: ScheduledRun) -> bool:
        return run.id in self.living

    def left(self, run: ScheduledRun) -> Ended | None:
        return self.said.get(run.id)

    def forget(self, run: ScheduledRun) -> None:
        self.said.pop(run.id, None)

    def tidy(self, open_runs: Collection[str]) -> None:
        """There is nothing."""

    def interrupt(self) -> None:
        for run, done in list(self.going.items()):
            self.timer.remove(f"end {run}")
            del self.going[run]
            done(Ended(outcome="interrupted"))

    def wait(self, seconds: float) -> bool:
        return not self.going


class Watched:
    """The port `Policies`: those of a world, read again from its folder when it says that they changed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.changes = 0

    @property
    def folder(self) -> Path:
        return self._world.folder / "policies"

    def stamp(self) -> object:
        return self.changes

    def read(self) -> settings.Settings:
        return self._world.load()


class World:
    """A folder with policies, state and catalogue. Schedulers come and go in it; the clock goes on."""

    def __init__(self, folder: Path, jobs: Mapping[str, Mapping[str, Any]], *, zone: str = "UTC") -> None:
        self.folder, self.zone = folder, zone
        self.clock = FixedClock(NOON)
        self.catalog_down = False
        self.state = folder / "state"
        for name in ("policies", "data/exams", "data/profiles"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.write(jobs)
        self.policies = Watched(self)
        self.catalog = SqlCatalog(default_url(self.state))
        self.files = FolderSchedule(self.state)
        self.attendants: list[Attendant] = []
        self.children: SimChildren | None = None

    def write(self, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Another schedule."""
        files: dict[str, Any] = {
            "targets.yaml": {"targets": {"main": {"provider": "local", "path": str(self.folder / "store")}}},
            "domains.yaml": {"host": "vm", "domains": {
                name: {"layer": "raw", "priority": "P0", "source": {"root": str(self.folder / "data" / name)}}
                for name in ("exams", "profiles")
            }},
            "tiers.yaml": {"tiers": {
                "hot": {"days": 30, "keep": {"within": "30d"}}, "cold": {"days": 180, "keep": {"daily": 180}},
            }},
            "schedule.yaml": {"time_zone": self.zone, "jobs": {
                name: {"kind": "backup", "type": "incremental", "target": "main", **job} if "kind" not in job
                else {"target": "main", **job} for name, job in jobs.items()
            }},
        }  # fmt: skip
        for name, content in files.items():
            (self.folder / "policies" / name).write_text(yaml.safe_dump(content))

    def load(self) -> settings.Settings:
        return settings.load(self.folder / "policies", {"RW_STATE_DIR": str(self.state)})

    def _catalog(self) -> Catalog:
        if self.catalog_down:
            raise CatalogUnavailable("The catalogue is down.")
        return self.catalog

    def scheduler(self, *, look: float = 10.0) -> Scheduler:
        """A new one, with children of its own."""
        timer = SimTimer(self.clock)
        before = self.children
        self.children = SimChildren(self.clock, timer)
        if before is not None:
            self.children.lasts, self.children.ends, self.children.begun = before.lasts, before.ends, before.begun
            self.children.said, self.children.living = before.said, before.living
        ledger = Ledger(self.files, FolderState(self.state), self._catalog, lambda: "vm", self.clock)
        return Scheduler(
            parts=Parts(
                policies=self.policies,
                ledger=ledger,
                children=self.children,
                timer=timer,
                attended=Attended([Bookkeeper(ledger), *self.attendants], threads=False),
                locks=FlockLocks(self.state, self.clock),
                clock=self.clock,
                machine="vm",
                pid=1,
                version="1",
                look=look,
            ),
            settings=self.load(),
        )

    def run(self, hours: float, *, look: float = 10.0) -> Scheduler:
        """Run a scheduler for so long, and stop it well."""
        scheduler = self.scheduler(look=look)
        self.at(scheduler, hours * 3600, scheduler.stop)
        scheduler.run()
        return scheduler

    def crash(self, hours: float) -> None:
        """Run one for so long, and have it gone at once, as by SIGKILL."""
        scheduler = self.scheduler()

        class Gone(BaseException):
            pass

        def die() -> None:
            raise Gone

        self.at(scheduler, hours * 3600, die)
        try:
            with scheduler._alone():
                scheduler.begin()
                scheduler.parts.timer.run()
        except Gone:
            return

    def at(self, scheduler: Scheduler, seconds: float, call: Callable[[], None]) -> None:
        """Have something happen, so many seconds from now."""
        at = self.clock.now() + timedelta(seconds=seconds)
        scheduler.parts.timer.add(f"test {seconds} {id(call)}", lambda now: at if now < at else None, call)

    def runs(self, name: str | None = None) -> list[ScheduledRun]:
        """What the catalogue knows, oldest first."""
        return list(reversed(self.catalog.runs("vm", name=name, limit=10_000)))

    def told(self, name: str) -> list[str]:
        """The runs of a job in short: `HH:MM trigger outcome`."""
        return [f"{run.started_at:%H:%M} {run.trigger} {run.outcome}" for run in self.runs(name)]
