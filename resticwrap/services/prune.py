"""`rw prune`: clean out what no snapshot needs, in quiet hours, until a deadline, and never out of a frozen pack.

Removing snapshots is `rw forget`; this removes nothing that any snapshot needs. restic writes what it repacks before it
removes what that replaces, so a prune may be ended at any moment: what it has not finished, the next one does.
"""

import shutil
from collections.abc import Mapping, Sequence

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import Job, Outcome
from resticwrap.model.policy import LocalTarget
from resticwrap.model.reports import PlannedPrune, PrunedTier, PrunePlan, PruneReport
from resticwrap.planning import prune as planning
from resticwrap.ports import Repository
from resticwrap.services import coldproof, frost, gate, interrupted, lifecycle
from resticwrap.services.context import Context, info
from resticwrap.services.damage import Damages


def plan(context: Context, tiers: Sequence[str], now: Time, *, at_once: bool = False) -> PrunePlan:
    """What a prune of these tiers will do. Reads the listing of their packs and writes nothing."""
    settings = context.settings
    for tier in tiers:
        context.check_pin(tier)
    return planning.plan(
        context.target_name,
        context.target.provider,
        settings.prune,
        settings.tiers,
        [_facts(context, tier) for tier in tiers],
        now,
        settings.schedule.zone,
        at_once=at_once,
    )


def dry_run(context: Context, tiers: Sequence[str], now: Time, *, at_once: bool = False) -> PrunePlan:
    """The plan, and what restic says that it would do. Raises UnsafeBucket and GateClosed as a run
    would."""
    lifecycle.guard(context)
    gate.refuse_damage(context, tiers)
    planned = plan(context, tiers, now, at_once=at_once)

    def told(one: PlannedPrune) -> PlannedPrune:
        frost.refuse_frozen_trees(context, context.repositories[one.tier])
        said = _pruned(context.repositories[one.tier], one, planned.seconds, dry=True)
        return msgspec.structs.replace(one, would=tuple(line for line in said if line.strip()))

    return msgspec.structs.replace(planned, tiers=tuple(told(one) for one in planned.tiers))


def prune(context: Context, tiers: Sequence[str], *, at_once: bool = False) -> PruneReport:
    """Prune these tiers, one after the other. Raises UsageError outside the window, CatalogUnavailable where there can
    be no record, UnsafeBucket where the bucket's rules endanger what lies there, GateClosed over open damage of
    these tiers; then nothing is done. What ails one
    tier is told of it, and keeps no other from its turn."""
    context.pins()
    interrupted.close(context)
    lifecycle.guard(context)
    gate.refuse_damage(context, tiers)
    planned = plan(context, tiers, context.clock.now(), at_once=at_once)
    if not planned.open:
        assert planned.opens is not None
        opens = planned.opens.astimezone(context.settings.schedule.zone)
        raise errors.UsageError(
            f"A prune of target {context.target_name} waits for its window {planned.window}, which opens at "
            f"{opens:%Y-%m-%d %H:%M} ({context.settings.schedule.time_zone}).",
            hint=f"rw prune --target {context.target_name} --now   (it does not look at the window)",
        )
    job = msgspec.structs.replace(context.new_job("prune"), details={"tiers": list(tiers), "why": _whys(planned)})
    with context.running(job, strict=True) as job:
        context.watcher.begin(f"prune {job.id}", list(tiers))
        try:
            report = _Prune(context, planned, job).run()
        finally:
            context.watcher.end()
        late = context.recorder.close(report.job)
    return msgspec.structs.replace(report, notes=(*report.notes, late)) if late else report


def _whys(planned: PrunePlan) -> dict[str, str]:
    return {one.tier: one.why for one in planned.tiers}


class _Prune:
    """One prune at work."""

    def __init__(self, context: Context, planned: PrunePlan, job: Job) -> None:
        self.context, self.planned, self.job = context, planned, job
        self.until = context.clock.monotonic() + planned.seconds
        self.notes: list[str] = []
        self.done: list[PrunedTier] = []

    def run(self) -> PruneReport:
        """Each tier in its turn."""
        for one in self.planned.tiers:
            self.context.heed()
            self.done.append(self._tier(one))
            self.context.watcher.done(one.tier, "failed" if self.done[-1].error else "ok")
        failed = next((one.error for one in self.done if one.error), None)
        ended = all(one.ended for one in self.done)
        if not failed and not ended:
            self.notes.append(
                f"The prune was ended {self.planned.limit}; nothing is lost, and the next one goes on from there."
            )
        outcome: Outcome = "failed" if failed else "ok" if ended else "partial"
        freed = sum(one.stored - one.stored_after for one in self.done if one.stored_after is not None)
        job = msgspec.structs.replace(
            self.job,
            outcome=outcome,
            finished_at=self.context.clock.now(),
            error=failed,
            bytes_done=max(freed, 0),
            details={
                **self.job.details,
                "what": f"{' and '.join(one.tier for one in self.done)}: {max(freed, 0) >> 20:,} MiB less",
                "stored": {one.tier: one.stored_after for one in self.done if one.stored_after is not None},
                "limit": "" if ended else self.planned.limit,
                "done": [msgspec.to_builtins(msgspec.structs.replace(one, said=(), error=None)) for one in self.done],
            },
        )
        return PruneReport(job=job, plan=self.planned, tiers=tuple(self.done), notes=tuple(self.notes))

    @property
    def left(self) -> float:
        return self.until - self.context.clock.monotonic()

    def _tier(self, planned: PlannedPrune) -> PrunedTier:
        """One repository, alone in it: no verify of ours reads it meanwhile, and restic's lock is waited for."""
        context, repository = self.context, self.context.repositories[planned.tier]
        told = PrunedTier(tier=planned.tier, ended=False, packs=planned.packs, stored=planned.stored)
        if self.left <= 0:
            return told
        try:
            wait = min(context.target.lock_wait.total_seconds(), self.left)
            with context.locks.hold(f"maintenance {repository.url}", wait=wait):
                if self.left <= 0:
                    return told
                # Anew, under the lock: packs may have become cold since the plan was made.
                now = planning.still_fits(planned, _facts(context, planned.tier))
                # restic reads all trees under its exclusive lock, and would try each frozen one until the deadline.
                frost.refuse_frozen_trees(context, repository)
                try:
                    said = _pruned(repository, now, self.left)
                    told = msgspec.structs.replace(told, ended=True, said=tuple(said))
                except errors.DeadlineExceeded:
                    context.watcher.note(f"{planned.tier} was ended {self.planned.limit}")
                return self._after(repository, told)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            return msgspec.structs.replace(told, error=info(error))

    def _after(self, repository: Repository, told: PrunedTier) -> PrunedTier:
        """Look whether all that the index names is there; then nobody need remember the packs that are gone."""
        listing = Damages(self.context, repository, self.notes.append).listing()
        told = msgspec.structs.replace(
            told, packs_after=len(listing.stored), stored_after=sum(size for size, _ in listing.stored.values())
        )
        if lost := listing.lost():
            raise errors.Damaged(
                f"The index of {repository.tier} names {len(lost)} packs that are not there, or not whole.",
                hint=f"rw verify --target {self.context.target_name} --tier {repository.tier}",
            )
        self._forget_packs(repository.tier, listing.stored)
        if repository.tier == "cold":
            self._label()
        return told

    def _label(self) -> None:
        """What the prune wrote has no label yet, and is proven before it gets one. The next `rw tier run` does what
        cannot be done now."""
        try:
            done, proofs = coldproof.label(self.context, self.context.settings.tiers.cold.read_back)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            self.notes.append(f"New packs of cold have no label yet: {error.message} rw tier run goes on with them.")
            return
        if done:
            self.notes.append(f"{done} packs of cold were labelled.")
        if proofs.bad:
            raise errors.Damaged(
                f"{len(proofs.bad)} packs of cold are not what their names say.",
                hint=f"rw verify --target {self.context.target_name} --tier cold --share 1",
            )

    def _forget_packs(self, tier: str, stored: Mapping[str, object]) -> None:
        """The catalogue need not know packs that are gone; where it does not answer, the next prune tells it."""
        catalog, target = self.context.catalog(), self.context.target_name
        try:
            catalog.forget_packs(target, tier, sorted(catalog.packs(target, tier).keys() - stored.keys()))
        except (errors.CatalogUnavailable, errors.DiskFull) as error:
            self.notes.append(error.message)


def _pruned(repository: Repository, planned: PlannedPrune, seconds: float, *, dry: bool = False) -> Sequence[str]:
    return repository.prune(
        max_unused=planned.max_unused,
        cacheable_only=planned.cacheable_only,
        max_repack=planned.max_repack,
        deadline=seconds,
        dry_run=dry,
    )


def _facts(context: Context, tier: str) -> planning.TierFacts:
    """One pass over the listing of a repository's packs."""
    prefix = f"{context.target.namespace}/{tier}/data/"
    bucket = context.bucket()
    packs = stored = 0
    classes = set[str]()
    for size, storage_class in (
        ((item.size, item.storage_class) for item in bucket.objects(prefix))
        if bucket
        else ((item.size, "") for item in context.store.list(prefix))
    ):
        packs, stored = packs + 1, stored + size
        classes.add(storage_class)
    target = context.target
    free = shutil.disk_usage(target.path).free if isinstance(target, LocalTarget) else None
    return planning.TierFacts(tier=tier, packs=packs, stored=stored, classes=frozenset(classes), free=free)
