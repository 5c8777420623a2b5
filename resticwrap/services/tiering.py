"""`rw tier`: what cold promises is copied there out of hot, proven, and only then marked and labelled.

Order of things: copy by id, compare the trees, read the new packs back, mark (the tag `tier=cold`), label the packs in
the bucket. A run that is killed anywhere leaves an unmarked copy at the worst; hot forgets nothing for its sake, and
the next run goes on from there.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from resticwrap import errors
from resticwrap.model.aging import Held
from resticwrap.model.job import Job, Outcome
from resticwrap.model.policy import tier_of
from resticwrap.model.snapshot import Snapshot, TierName
from resticwrap.model.tiering import CopyDetails, PlannedCopy, TierCount, TierPlan, TierReport
from resticwrap.planning import retention, rhythm
from resticwrap.services import coldproof, holdings, interrupted, lifecycle
from resticwrap.services.coldproof import READING
from resticwrap.services.context import Context, check_domains

COPYING = "copy"
MARKING = "mark"


def plan(context: Context, domains: Sequence[str] = ()) -> TierPlan:
    """What a run would copy and prove now. `domains`: all where not given, and those that the policy dropped too."""
    found = holdings.gather(context, {}).held
    check_domains(context.settings, domains, {one.domain for one in found})
    lifecycle.guard(context)
    labels = None if context.bucket() is None else len(coldproof.unlabelled(context))
    return TierPlan(
        target=context.target_name,
        read_back=context.settings.tiers.cold.read_back,
        copies=tuple(_planned(context, found, domains)),
        counts=_counts(context, found),
        unlabelled=labels,
        unknown=sum(one.complete is None for one in found),
    )


def _planned(context: Context, found: Sequence[Held], domains: Sequence[str]) -> list[PlannedCopy]:
    """Of a snapshot that only cold has, and not whole any more, another of its day has to take the place."""
    state = coldproof.state_of(context) if any(one.cold for one in found) else coldproof.NOTHING
    if state.bad:
        gone = coldproof.unsound(context, state, [one for one in found if one.marked and one.hot is None])
        found = retention.founded([one for one in found if one.original not in gone])
    settings, now = context.settings, context.clock.now()
    zone, planned = settings.schedule.zone, list[PlannedCopy]()
    for (host, domain), held in retention.groups(found).items():
        if host not in settings.hosts or (domains and domain not in domains):
            continue
        days, keep = tier_of(settings.tiers, settings.domains.get(domain), "cold")
        reasons = retention.promised(held, days, keep, zone, now)
        planned += [
            PlannedCopy(
                original=one.original,
                domain=domain,
                host=one.host,
                time=one.time,
                type=one.type,
                size=one.size,
                action="copy" if one.cold is None else "prove",
                reasons=tuple(reasons[one.original]),
            )
            for one in retention.to_copy(held, days, keep, zone, now)
        ]
    return sorted(planned, key=lambda one: (one.time, one.original))


def _counts(context: Context, found: Sequence[Held]) -> tuple[TierCount, ...]:
    settings, now = context.settings, context.clock.now()
    jobs = [job for job in settings.schedule.jobs.values() if job.target == context.target_name]
    known: dict[object, int | None] = {}

    def most(domain: str, tier: TierName) -> int | None:
        days, keep = tier_of(settings.tiers, settings.domains[domain], tier)
        mine = [job for job in jobs if not job.domains or domain in job.domains]
        rule = (days, keep.model_dump_json(), tuple(job.model_dump_json() for job in mine))
        if rule not in known:
            known[rule] = rhythm.at_most(mine, days, keep, settings.schedule.zone, now)
        return known[rule]

    def count(tier: TierName) -> TierCount:
        ids = [one.hot if tier == "hot" else one.cold for one in found]
        sums = [number for number in (most(domain, tier) for domain in settings.domains) if number is not None]
        return TierCount(tier=tier, now=sum(one is not None for one in ids), at_most=sum(sums) if sums else None)

    return count("hot"), count("cold")


def run(context: Context, plan: TierPlan, *, relabel: bool = False) -> TierReport:
    """Execute a plan. Raises where the job as a whole cannot be done; what could not be proven is in the report.

    `relabel`: every label is set again, since somebody may have taken some away."""
    job = msgspec.structs.replace(context.new_job("copy"), details=CopyDetails(read_back=plan.read_back).builtins())
    interrupted.close(context)
    with context.running(job, strict=True) as job, ExitStack() as stack:
        lifecycle.guard(context)
        context.watcher.begin(f"copy to cold {job.id}", [COPYING, READING, MARKING])
        stack.callback(context.watcher.end)
        wait = context.target.lock_wait.total_seconds()
        # One copy at a time; forget and prune of both repositories wait.
        stack.enter_context(context.locks.hold(f"copy {context.cold.url}", wait=wait))
        for repository in (context.hot, context.cold):
            stack.enter_context(context.locks.hold(f"maintenance {repository.url}", shared=True, wait=wait))
        report = _Run(context, job, plan, relabel).run()
        late = context.recorder.close(report.job)
    return msgspec.structs.replace(report, warnings=(*report.warnings, late)) if late else report


@dataclass
class _Run:
    context: Context
    job: Job
    plan: TierPlan
    relabel: bool = False
    left: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> TierReport:
        found = holdings.gather(self.context, {})
        holdings.remember(self.context, found)
        held = {one.original: one for one in found.held}
        wanted = [held[one.original] for one in self.plan.copies if one.original in held]
        wanted = [one for one in wanted if not one.marked]
        copies = self._copied(wanted)
        trees = self.context.cold.trees()
        named = trees.packs()
        # All of them, and not what the copies need alone: whoever relies on cold relies on every pack that it names.
        proofs = coldproof.prove(self.context, named.keys(), named, self.plan.read_back)
        if proofs.bad:
            # What a prune of another machine removed meanwhile is no damage: no index names it any more.
            still = self.context.cold.trees().packs()
            proofs.bad = {pack: why for pack, why in proofs.bad.items() if pack in still}
        good: list[Snapshot] = []
        needed = self._needed(copies)
        for snapshot in copies:
            if snapshot.original not in needed:
                continue
            if bad := sorted(needed[snapshot.original] - proofs.good):
                self.left[snapshot.original] = f"pack {bad[0][:8]} {proofs.bad.get(bad[0], 'is not named any more')}"
            else:
                good.append(snapshot)
        self.context.watcher.done(READING, "ok" if not proofs.bad else "failed")
        marked = self._marked(good, held)
        labelled = self._labelled(proofs)
        details = CopyDetails(
            read_back=self.plan.read_back,
            copied=tuple(one.original for one in wanted if one.cold is None and one.original not in self.left),
            marked=tuple(marked),
            packs_read=proofs.read,
            bytes_read=proofs.bytes_read,
            packs_looked=proofs.looked,
            labelled=labelled,
            bad=proofs.listed(),
            stored={"cold": sum(named.values())},
        )
        job = msgspec.structs.replace(
            self.job,
            outcome=self._outcome(marked, proofs.bad),
            finished_at=self.context.clock.now(),
            bytes_done=proofs.bytes_read,
            details=details.builtins(),
        )
        return TierReport(job=job, details=details, left=self.left, warnings=tuple(self.warnings))

    def _outcome(self, marked: Sequence[str], bad: Mapping[str, str]) -> Outcome:
        if not self.left and not bad:
            return "ok"
        return "partial" if marked else "failed"

    def _copied(self, wanted: Sequence[Held]) -> list[Snapshot]:
        """Copy what cold lacks, by id, and return the copies that are there and have the tree of their original."""
        context = self.context
        ids = [one.hot for one in wanted if one.cold is None and one.hot is not None]
        try:
            context.cold.copy(context.hot, ids)
        except errors.ResticFailed as error:
            if len(ids) < 2:
                raise
            # One that cannot be read must not keep the others: each by itself.
            context.watcher.note(f"the copy of {len(ids)} snapshots failed, so each goes by itself: {error.message}")
            self._one_by_one(wanted)
        context.watcher.done(COPYING, "ok" if not self.left else "failed")
        if not wanted:
            return []
        found: dict[str, list[Snapshot]] = {}
        for snapshot in context.cold.snapshots(no_cache=True):
            found.setdefault(snapshot.original, []).append(snapshot)
        copies: list[Snapshot] = []
        for one in wanted:
            there = [snapshot for snapshot in found.get(one.original, ()) if snapshot.tree == one.tree]
            if there:
                copies.append(there[0])
            elif one.original in found:
                self.left[one.original] = "its copy has another tree"
            else:
                self.left.setdefault(one.original, "it was not copied")
        return copies

    def _one_by_one(self, wanted: Sequence[Held]) -> None:
        for one in wanted:
            if one.cold is None and one.hot is not None:
                self.context.heed()
                try:
                    self.context.cold.copy(self.context.hot, [one.hot])
                except errors.ResticFailed as error:
                    self.left[one.original] = error.message

    def _needed(self, copies: Sequence[Snapshot]) -> dict[str, frozenset[str]]:
        """By original id, the packs that a copy needs. Every tree of it is read and hashed on the way."""
        found: dict[str, frozenset[str]] = {}
        by_tree: dict[str, frozenset[str]] = {}
        trees = self.context.cold.trees()
        for snapshot in copies:
            self.context.heed()
            try:
                if snapshot.tree not in by_tree:
                    by_tree[snapshot.tree] = trees.needed_packs([snapshot.tree])
                found[snapshot.original] = by_tree[snapshot.tree]
            except (errors.Damaged, errors.ObjectMissing) as error:
                self.left[snapshot.original] = error.message
        return found

    def _marked(self, good: Sequence[Snapshot], held: Mapping[str, Held]) -> list[str]:
        """Mark what is proven, look again, and tell the catalogue. Returns original ids."""
        context, settings = self.context, self.context.settings
        by_change: dict[tuple[int, int], list[Snapshot]] = {}
        for snapshot in good:
            assert snapshot.tags is not None  # only ours are planned
            days, _ = tier_of(settings.tiers, settings.domains.get(snapshot.tags.domain), "cold")
            by_change.setdefault((snapshot.tags.expire_after_days, days), []).append(snapshot)
        for (before, after), some in by_change.items():
            context.heed()
            context.cold.retag(
                [snapshot.id for snapshot in some],
                add=["tier=cold", f"expire-after-days={after}"],
                remove=["tier=hot", *([f"expire-after-days={before}"] if before != after else [])],
            )
        if not good:
            context.watcher.done(MARKING, "ok")
            return []
        # A retag that could not change anything exits 0 (measured), so only the repository itself is believed.
        now_there = context.cold.snapshots(no_cache=True)
        tagged = [one for one in now_there if one.tags is not None and one.tags.tier == "cold"]
        originals = {one.original: one for one in good}
        marked = {
            one.original: one
            for one in tagged
            if one.original in originals and one.tree == originals[one.original].tree
        }
        for original in originals.keys() - marked.keys():
            self.left[original] = "it could not be marked: may these credentials delete what lies in snapshots/?"
        known = [(one, bool(held[original].complete)) for original, one in marked.items()]
        context.catalog().put_snapshots(context.target_name, "cold", known)
        context.watcher.done(MARKING, "ok" if len(marked) == len(originals) else "failed")
        return sorted(marked)

    def _labelled(self, proofs: coldproof.Proofs) -> int:
        """Labels are for the bucket's rules only: where they cannot be set, data just stays warm."""
        try:
            done, more = coldproof.label(self.context, self.plan.read_back, again=self.relabel)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            self.warnings.append(f"Packs were not labelled, so the bucket will not move them: {error.message}")
            return 0
        proofs.add(more)
        return done


def exit_code(report: TierReport) -> int:
    """0; 20 where something of a copy is damaged, 3 where only a part could be proven."""
    if report.details.bad:
        return errors.VERIFY_FAILED
    return {"ok": errors.OK, "partial": errors.PARTIAL}.get(report.job.outcome, errors.FAILED)
