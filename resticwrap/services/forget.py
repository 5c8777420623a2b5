"""`rw forget`: remove from both tiers what neither the policy nor a pin keeps.

A record comes first, in the catalogue; then the plan; then a second look at what the plan rests on; then the removal,
by explicit ids and by nothing else. What is really gone is what a listing afterwards does not have any more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import Held, Verdict
from resticwrap.model.base import Time
from resticwrap.model.job import Job, Outcome
from resticwrap.model.reports import ForgetPlan, ForgetReport
from resticwrap.model.snapshot import TIERS, TierName
from resticwrap.model.sources import DATABASES
from resticwrap.planning import forget as planning
from resticwrap.planning import guard, quota
from resticwrap.services import coldproof, interrupted, lifecycle
from resticwrap.services import pins as snapshot_pins
from resticwrap.services.context import Context, check_domains, info
from resticwrap.services.holdings import Holdings, gather, remember

WHOLE = ""
"""All domains together; none has an empty name."""
LOOKS = 1000
"""How many forgets back a look is searched for."""
MAINTAINER = (
    "Credentials that only write backups may not remove snapshots. Run it with a maintainer's credentials, "
    "which may delete objects; the backups need no more than they have."
)


def exit_code(report: ForgetReport) -> int:
    """Partial where something that was to go is still there."""
    return errors.PARTIAL if report.left else errors.OK


def preview(
    context: Context, tiers: Sequence[TierName], domains: Sequence[str] = (), *, clock_is_right: bool = False
) -> ForgetReport:
    """The plan that a run would carry out now. Removes nothing and needs no lock."""
    context.known()
    check_clock(context, (), clock_is_right=clock_is_right)
    lifecycle.guard(context)
    plan, _ = _plan(context, tiers, domains)
    return ForgetReport(plan=plan)


def forget(
    context: Context, tiers: Sequence[TierName], domains: Sequence[str] = (), *, clock_is_right: bool = False
) -> ForgetReport:
    """Carry the plan out. Raises CatalogUnavailable, Locked, and whatever the target says, before anything is gone; and
    TargetRefused where these credentials may not remove anything."""
    context.pins()
    # Before the record is opened, which would make an empty catalogue where it is gone.
    context.known()
    # Nor by a clock that is wrong: its record would lie in the future, and speak against every later run.
    check_clock(context, (), clock_is_right=clock_is_right)
    interrupted.close(context)
    job = context.new_job("forget")
    job = msgspec.structs.replace(job, details={"tiers": list(tiers), "what": _named(tiers)})
    with context.running(job, strict=True) as job:
        _settled(context)
        lifecycle.guard(context)
        with _alone(context, tiers):
            plan, holdings = _plan(context, tiers, domains)
            remember(context, holdings)
            work = _Forget(context, job, plan, holdings.held, clock_is_right)
            report = work.run()
        note = context.recorder.close(report.job) if report.job else None
    if work.failure is not None:
        raise work.failure
    return msgspec.structs.replace(report, notes=(*report.notes, *([note] if note else [])))


def look(context: Context, domains: Sequence[str]) -> ForgetReport:
    """Record that somebody looked at these domains: what was unusual before now does not suspend them any more.

    Raises CatalogUnavailable where that cannot be recorded, UsageError for a domain that nobody knows.
    """
    known = context.known().snapshots(context.target_name, "hot")
    check_domains(context.settings, domains, {one.domain for one in known.values()})
    job = context.new_job("forget")
    with context.running(job, strict=True) as job:
        now = context.clock.now()
        details = {
            "looked": {domain: now.isoformat() for domain in domains},
            "what": f"looked at {', '.join(domains)}",
        }
        job = msgspec.structs.replace(job, outcome="ok", finished_at=now, details=details)
        note = context.recorder.close(job)
    if note:
        raise errors.CatalogUnavailable(note)
    return ForgetReport(plan=None, job=job, looked=tuple(domains))


def check_clock(context: Context, own: Sequence[str], *, clock_is_right: bool) -> None:
    """Raises ClockWrong where ages cannot be told. `own` are the jobs that have just been recorded. `clock_is_right`:
    somebody says that a record of the future is what is wrong; against the store's clock nobody can say that."""
    now = context.clock.now()
    store = context.store.time()
    newest = None
    if not clock_is_right:
        jobs = context.catalog().jobs(context.target_name, limit=len(own) + 1)
        times = [time for job in jobs if job.id not in own for time in (job.started_at, job.finished_at) if time]
        newest = max(times, default=None)
    fault = guard.clock_fault(now, store, newest)
    if fault:
        hint = "Set the clock (timedatectl, chronyc tracking), then run it again."
        if newest is not None and guard.clock_fault(now, store, None) is None:
            hint += " If the clock is right and that record is not: rw forget --clock-is-right"
        raise errors.ClockWrong(f"Nothing is forgotten: {fault}.", hint=hint)


def _named(tiers: Sequence[str]) -> str:
    return f"{' and '.join(tiers)} {'repository' if len(tiers) == 1 else 'repositories'}"


def _settled(context: Context) -> None:
    """All that is spooled must be in the catalogue: what it does not know of would be judged by half the facts."""
    note = context.recorder.settle()
    if note:
        raise errors.CatalogUnavailable(note)


@contextmanager
def _alone(context: Context, tiers: Sequence[str]) -> Iterator[None]:
    """No verify, copy, prune or other forget of ours at work on these repositories, on this machine; and on the other
    one, which the plan rests on too, nothing that removes."""
    with ExitStack() as stack:
        for tier, repository in context.repositories.items():
            wait = context.target.lock_wait.total_seconds()
            name = f"maintenance {repository.url}"
            stack.enter_context(context.locks.hold(name, shared=tier not in tiers, wait=wait))
        yield


def _plan(context: Context, tiers: Sequence[TierName], domains: Sequence[str]) -> tuple[ForgetPlan, Holdings]:
    """Gather the facts and decide. Raises where pins, catalogue or repositories cannot be read."""
    now = context.clock.now()
    pinned = snapshot_pins.reasons(snapshot_pins.pins(context), now)
    unreadable = {**context.journals.scan()[1], **context.database_journals.scan()[1]}
    if unreadable:
        # It may name the only snapshot of what was live before an in-place restore.
        raise next(iter(unreadable.values()))
    holdings = gather(context, pinned)
    check_domains(context.settings, domains, {one.domain for one in holdings.held})
    settings = context.settings
    rules = planning.Rules(
        tiers=settings.tiers,
        domains=settings.domains,
        zone=settings.schedule.zone,
        quota=context.target.quota,
        named=domains,
        hosts=settings.hosts,
    )
    cold = coldproof.state_of(context) if any(one.cold for one in holdings.held) else coldproof.NOTHING
    unsound = (
        coldproof.unsound(context, cold, [one for one in holdings.held if one.marked]) if cold.bad else frozenset()
    )
    facts = planning.Facts(
        held=holdings.held,
        strangers=holdings.strangers,
        suspended=suspended(context, holdings.held),
        cold_fault=cold.said,
        unread=bool(cold.unread),
        unsound=unsound,
        stored=_stored(context, holdings.held),
        freed=_freed(context),
    )
    plan = _planned(context, rules, facts, now, tiers)
    while rotten := _rotten(context, cold, facts, plan):
        facts = replace(facts, unsound=facts.unsound | rotten)
        plan = _planned(context, rules, facts, now, tiers)
    if domains:
        verdicts = tuple(one for one in plan.verdicts if one.domain in domains)
        plan = msgspec.structs.replace(plan, verdicts=verdicts)
    return plan, holdings


def _planned(
    context: Context, rules: planning.Rules, facts: planning.Facts, now: Time, tiers: Sequence[TierName]
) -> ForgetPlan:
    plan = planning.plan(context.target_name, rules, facts, now, tiers)
    return _by_real_bytes(context, rules, facts, plan) if facts.stored else plan


def _rotten(context: Context, cold: coldproof.State, facts: planning.Facts, plan: ForgetPlan) -> frozenset[str]:
    """Of what is to leave hot, what cold does not have whole though it is marked: every tree of it is read, and every
    pack that it needs must be there and proven. After a `repair` the index may name nothing that is wrong, and not name
    what is needed either."""
    going = {one.original for one in plan.verdicts if one.tier == "hot" and not one.keep} - facts.unsound
    return coldproof.unsound(context, cold, [one for one in facts.held if one.marked and one.original in going])


def _by_real_bytes(context: Context, rules: planning.Rules, facts: planning.Facts, plan: ForgetPlan) -> ForgetPlan:
    """What a quota of bytes takes, counted by the blobs of what stays: how much one snapshot frees is only guessed, as
    most of it may be shared. Planned on, and counted again, until it is enough or nothing more may go."""
    going: list[Verdict] = []
    while any(not one.keep and one.reasons[0].startswith(quota.OVER) for one in plan.verdicts):
        context.heed()
        going += [one for one in plan.verdicts if not one.keep]
        left = planning.survivors(facts.held, plan.verdicts)
        facts = replace(facts, held=left, stored=_stored(context, left))
        plan = planning.plan(context.target_name, rules, facts, plan.at, plan.tiers)
    verdicts = sorted((*going, *plan.verdicts), key=lambda one: (one.domain, one.time, one.original, one.tier))
    notes = (planning.ROOM,) if going and planning.ROOM not in plan.warnings else ()
    return msgspec.structs.replace(plan, verdicts=tuple(verdicts), warnings=(*plan.warnings, *notes))


def suspended(context: Context, held: Sequence[Held]) -> dict[str, str]:
    """By domain, why nothing of it may go until somebody looks."""
    catalog = context.catalog()
    runs = catalog.writing_runs(context.target_name)
    own = {name: domain.guard for name, domain in context.settings.domains.items() if domain.guard is not None}
    steady = {name for name, domain in context.settings.domains.items() if domain.layer == "raw"}
    sources = {name: domain.source for name, domain in context.settings.domains.items()}
    streams = {name for name, source in sources.items() if isinstance(source, DATABASES)}
    # What lies between two base backups grows with each run and begins anew: only bases are like each other.
    based = {one.domain for one in held if one.base}
    full = {one.original for one in held if one.type == "full"}
    alike = (run for run in runs if run.domain not in based or run.snapshot in full)
    return guard.suspended(alike, held, context.settings.guard, looked(context), steady, own, streams)


def looked(context: Context) -> Mapping[str, Time]:
    """When somebody last looked at each domain because of a change that was unusual."""
    found: dict[str, Time] = {}
    until = context.clock.now() + CLOCK_SLACK
    for job in context.catalog().jobs(context.target_name, kind="forget", until=until, limit=LOOKS):
        told = job.details.get("looked")
        if job.outcome != "ok" or not isinstance(told, dict):
            continue
        for domain in told:
            # The time of the record, not what stands inside: newest first, so the first one counts.
            found.setdefault(str(domain), job.started_at)
    return found


def _stored(context: Context, held: Sequence[Held]) -> dict[str | None, int]:
    """What counts against a quota of bytes: by domain, and (None) of all, the blobs that its snapshots need, each once
    in each tier. Empty where no quota asks, since every tree is read for it."""
    quotas = [context.target.quota, *(domain.quota for domain in context.settings.domains.values())]
    if not any(quota and quota.max_bytes for quota in quotas):
        return {}
    sums: Counter[str | None] = Counter()
    for tier in TIERS:
        trees: dict[str, set[str]] = {WHOLE: set()}
        for one in held:
            if one.hot if tier == "hot" else one.cold:
                trees[WHOLE].add(one.tree)
                trees.setdefault(one.domain, set()).add(one.tree)
        for name, blobs in context.repositories[tier].trees().union(trees).items():
            sums[name or None] += blobs.stored
    return dict(sums)


def _freed(context: Context) -> dict[str, int]:
    """By original id, what a snapshot stored when it was made: an estimate of what goes with it."""
    catalog = context.catalog()
    return {
        original: known.added
        for tier in TIERS
        for original, known in catalog.snapshots(context.target_name, tier).items()
    }


class _Forget:
    """One forget at work."""

    def __init__(
        self, context: Context, job: Job, plan: ForgetPlan, held: Sequence[Held], clock_is_right: bool
    ) -> None:
        self.context, self.job, self.plan, self.held = context, job, plan, held
        self.clock_is_right = clock_is_right
        self.goes = [one for one in plan.verdicts if not one.keep]
        self.removed: list[Verdict] = []
        self.left: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self.failure: errors.Failure | None = None
        """Why it could not go on; the record that is closed says it too, beside what was removed by then."""

    def run(self) -> ForgetReport:
        context = self.context
        context.watcher.begin(f"forget {self.job.id}", [])
        try:
            for tier in self.plan.tiers:
                self.failure = self.failure or self._remove(tier)
        except errors.Failure as error:
            self.failure = error
        finally:
            context.watcher.end()
        job = msgspec.structs.replace(
            self.job,
            outcome=self._outcome(),
            error=info(self.failure) if self.failure else None,
            finished_at=context.clock.now(),
            details={**self.job.details, **self._details()},
        )
        return ForgetReport(
            plan=self.plan,
            job=job,
            removed=tuple(self.removed),
            left=tuple(self.left),
            notes=tuple(self.notes),
        )

    def _outcome(self) -> Outcome:
        if isinstance(self.failure, errors.Interrupted):
            return "interrupted"
        return "failed" if self.failure else "partial" if self.left else "ok"

    def _remove(self, tier: str) -> errors.Failure | None:
        """Remove what goes from a tier, and see what is gone. Returns why it could not go on."""
        wanted = self._still_right(tier)
        repository = self.context.repositories[tier]
        catalog, target = self.context.catalog(), self.context.target_name
        # Before the listing: what a backup adds meanwhile is in neither, and is not taken for gone.
        known = set(catalog.snapshots(target, tier))
        failure: errors.Failure | None = None
        whole = True
        try:
            whole = repository.forget([one.id for one in wanted])
        except errors.Failure as error:
            failure = error
        try:
            there = repository.snapshots()
        except errors.Failure as error:
            return failure or error
        # Also what a forget that was killed had removed, or another machine.
        catalog.forget_snapshots(target, tier, known - {snapshot.original for snapshot in there})
        ids = {snapshot.id for snapshot in there}
        gone = [one for one in wanted if one.id not in ids]
        self.removed += gone
        self.left += [(tier, one.id, "it could not be removed") for one in wanted if one.id in ids]
        if failure is not None:
            return failure
        if not whole and not gone:
            return errors.TargetRefused(
                f"The target does not let these credentials remove snapshots from {tier}; nothing was removed.",
                hint=MAINTAINER,
            )
        if not whole:
            self.notes.append(f"Not all could be removed from {tier}. {MAINTAINER}")
        return None

    def _still_right(self, tier: str) -> list[Verdict]:
        """What goes from this tier, as far as what the plan rests on is still so.

        Another machine may have been at work since: where a snapshot that the plan keeps is gone, nothing of that
        domain goes. One that has been pinned meanwhile stays.
        """
        context = self.context
        goes = [one for one in self.goes if one.tier == tier]
        if not goes:
            return []
        check_clock(context, (self.job.id,), clock_is_right=self.clock_is_right)
        listed = [*context.hot.snapshots(), *context.cold.snapshots()]
        there = {snapshot.id for snapshot in listed}
        going = {one.id for one in self.goes}
        # What a log needs that was made, or pinned, since the plan was made.
        logs = {
            snapshot.tags.base: snapshot.original
            for snapshot in listed
            if snapshot.tags is not None and snapshot.tags.base and snapshot.id not in going
        }
        moved = {
            one.domain
            for one in self.held
            for name in (one.hot, one.cold)
            if name is not None and name not in there and name not in going
        }
        pinned = set(snapshot_pins.reasons(snapshot_pins.pins(context), context.clock.now()))
        pinned |= {one.base for one in self.held if one.original in pinned and one.base}
        right = []
        for one in goes:
            if one.id not in there:
                continue  # somebody else removed it
            if one.domain in moved:
                self.left.append((tier, one.id, "other snapshots of its domain went meanwhile; run it again"))
            elif self._needed_by(one, logs):
                self.left.append((tier, one.id, f"log {logs[one.original][:8]} needs it"))
            elif one.original in pinned:
                self.left.append((tier, one.id, "pinned meanwhile"))
            else:
                right.append(one)
        return right

    def _needed_by(self, one: Verdict, logs: Mapping[str, str]) -> bool:
        """Whether a log needs it that the plan did not know: of what it knew, another tier may have the base."""
        known = {held.original for held in self.held}
        return one.original in logs and logs[one.original] not in known

    def _details(self) -> dict[str, Any]:
        """What the record keeps: how many, and of what is gone the ids by reason."""
        reasons: dict[str, list[str]] = {}
        for one in self.removed:
            reasons.setdefault(f"{one.tier}: {'; '.join(one.reasons)}", []).append(one.original)
        kept = Counter(one.tier for one in self.plan.verdicts if one.keep)
        gone = Counter(one.tier for one in self.removed)
        return {
            "what": f"{len(self.removed):,} removed from the {self.job.details['what']}",
            "kept": dict(kept),
            "removed": dict(gone),
            "reasons": reasons,
            "left": len(self.left),
            "suspended": dict(self.plan.suspended),
            "warnings": list(self.plan.warnings),
            "stored": {tier: sum(self.context.repositories[tier].trees().packs().values()) for tier in self.plan.tiers},
        }
