"""What drills of all levels share: the record, the lock, the stopwatch, the scratch place, the canary, the evidence.

A level's own work is a function that restores into a `Place` and says what came of it as a `Rehearsal`.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.drill import CanaryResult, DrillDetails, Drilled, DrilledDomain, DrilledObject, Estimate, Level
from resticwrap.model.drills import DrillReport
from resticwrap.model.job import Job, Outcome
from resticwrap.model.snapshot import TierName
from resticwrap.planning import drill as planning
from resticwrap.services import audit, interrupted, lifecycle
from resticwrap.services.context import Context
from resticwrap.services.drill import place as places
from resticwrap.services.drill.place import Place
from resticwrap.services.stopwatch import Stopwatch

LOCK_WAIT = 60.0
OUTCOMES: dict[bool, Outcome] = {True: "ok", False: "failed"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be drilled. `seed` None: one of its own. `failure_at` None: the start is the declared failure."""

    level: Level
    tier: TierName = "hot"
    scheduled: bool = False
    seed: int | None = None
    failure_at: Time | None = None
    scratch: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a level restored and how it compared. `failures` are sentences without names of files. `proven` are the
    original ids of the snapshots of which all that was restored compared well; `drilled` are single objects.
    `estimates` are of the levels that this drill does not measure."""

    domains: tuple[DrilledDomain, ...] = ()
    sample: tuple[DrilledObject, ...] = ()
    failures: tuple[str, ...] = ()
    spread: float = 0.0
    notes: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    drilled: tuple[Drilled, ...] = ()
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A drill that runs: its job, its details so far (level, tier, seed, declared instant), its scratch place and its
    watch, of which the start is the start of the drill."""

    job: Job
    details: DrillDetails
    place: Place
    watch: Stopwatch

    @property
    def declared_at(self) -> Time:
        """The instant that the drill declares as the failure."""
        return self.details.declared_at or self.job.started_at


Work = Callable[[Begun], Rehearsal]
Canary = Callable[[Begun], tuple[CanaryResult, tuple[str, ...]]]
"""Tries the drill that must fail; returns what came of it, and notes."""


def run(context: Context, order: Order, work: Work, canary: Canary | None = None) -> DrillReport:
    """Drill. Raises what keeps a level from being drilled at all, which is recorded and evidence too: a drill that
    could not restore has failed."""
    context.pins()
    declared = order.failure_at or context.clock.now()
    refuse_future(context, declared)
    details = DrillDetails(
        level=order.level,
        tier=order.tier,
        scheduled=order.scheduled,
        repository=_pinned(context, order.tier),
        seed=fresh_seed() if order.seed is None else order.seed,
        declared_at=declared,
        objective=objective(context, order.level),
        scratch=str(places.base(order.scratch)),
    )
    job = msgspec.structs.replace(context.new_job("drill"), details=details.builtins())
    interrupted.close(context)
    places.clear(context, order.scratch)
    with context.running(job) as job:
        try:
            return _Drill(context, job, details, order).run(work, canary)
        except errors.Failure as error:
            _evidence(context, job, details, "interrupted" if isinstance(error, errors.Interrupted) else "failed",
                      error.kind)  # fmt: skip
            raise


def fresh_seed() -> int:
    """A seed of its own for a drill that was given none."""
    return secrets.randbits(32)


def refuse_future(context: Context, at: Time) -> None:
    """Raises UsageError for an instant that has not come yet."""
    if at > context.clock.now() + CLOCK_SLACK:
        raise errors.UsageError(
            f"{at:%Y-%m-%d %H:%M:%S %Z} has not come yet.", hint="Give a time in the past with --failure-at."
        )


def objective(context: Context, level: Level) -> float:
    """How long a level may take, in seconds."""
    objectives = context.settings.recovery.objectives
    return {"l1": objectives.l1, "l2": objectives.l2, "l3": objectives.l3}[level].total_seconds()


def _pinned(context: Context, tier: str) -> str:
    pin = context.state.pins(context.target_name).get(tier)
    return pin.repository_id if pin else ""


class _Drill:
    """One drill at work."""

    def __init__(self, context: Context, job: Job, details: DrillDetails, order: Order) -> None:
        self.context, self.job, self.details, self.order = context, job, details, order
        self.watch = Stopwatch(context.clock)
        self.notes: list[str] = []

    def run(self, work: Work, canary: Canary | None) -> DrillReport:
        context, repository = self.context, self.context.repositories[self.order.tier]
        lock = context.locks.hold(f"maintenance {repository.url}", shared=True, wait=LOCK_WAIT)
        with self.watch.phase("lock"):
            lock.__enter__()
        try:
            with places.opened(context, self.job, self.order.scratch) as place:
                begun = Begun(job=self.job, details=self.details, place=place, watch=self.watch)
                done = work(begun)
                seconds = self.watch.elapsed
                tried = self._tried(canary, begun)
        finally:
            lock.__exit__(None, None, None)
        return self._closed(done, seconds, tried)

    def _tried(self, canary: Canary | None, begun: Begun) -> CanaryResult | None:
        """Whatever keeps the canary from being tried is a canary that proves nothing."""
        if canary is None:
            return None
        try:
            result, notes = canary(begun)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            self.notes.append(f"The canary could not be tried: {error.message}")  # no evidence: it may name anything
            return CanaryResult(why=f"could not be tried ({error.kind})")
        except OSError as error:
            return CanaryResult(why=f"could not be laid down: {error.strerror}.")
        self.notes += notes
        return result

    def _closed(self, done: Rehearsal, seconds: float, canary: CanaryResult | None) -> DrillReport:
        context = self.context
        failures = done.failures
        if not done.domains and not failures:
            failures = ("Nothing was restored, so nothing was proven.",)
        details = msgspec.structs.replace(
            self.details,
            phases={name: round(spent, 3) for name, spent in self.watch.phases.items()},
            domains=done.domains,
            sample=done.sample,
            digest=planning.digest(done.sample, done.domains),
            spread=done.spread,
            seconds=seconds,
            canary=canary,
            estimates=done.estimates,
            failures=failures,
        )
        now = context.clock.now()
        job = msgspec.structs.replace(
            self.job, outcome=OUTCOMES[details.ok], finished_at=now, details=details.builtins()
        )
        self.notes += done.notes
        self._remember(done, now)
        late = [_evidence(context, job, details, job.outcome), context.recorder.close(job), lifecycle.look(context)]
        return DrillReport(
            job=job,
            drill=details,
            ok=details.ok,
            met=details.met,
            missed=planning.missed(details),
            notes=tuple(dict.fromkeys([*self.notes, *(note for note in late if note)])),
        )

    def _remember(self, done: Rehearsal, now: Time) -> None:
        """What compared well is proven. The catalogue may be down: then a verify proves it another time."""
        context = self.context
        until = now + CLOCK_SLACK
        try:
            catalog = context.catalog()
            if done.proven:
                catalog.mark_proven(context.target_name, done.proven, now, tier=self.order.tier, until=until)
            if done.drilled:
                catalog.put_drilled(context.target_name, done.drilled)
        except (errors.CatalogUnavailable, errors.DiskFull) as error:
            self.notes.append(f"{error.message} What this drill proved is not in the catalogue.")


def _evidence(context: Context, job: Job, details: DrillDetails, outcome: Outcome, why: str = "") -> str | None:
    """Keep what came of it as evidence: without the sample and the place, for names stay on this machine."""
    told = details.builtins()
    for name in ("sample", "scratch"):
        told.pop(name)
    finished = job.finished_at or context.clock.now()
    body = {
        **told,
        "outcome": outcome,
        "started_at": job.started_at.isoformat(),
        "finished_at": finished.isoformat(),
        **({"error": why} if why else {}),
    }
    return audit.record(context, "drill", body, job=job.id)
