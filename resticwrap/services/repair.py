"""`rw repair`: bring back what damage took from one repository, in the order of what costs least, and prove it.

A plan is made out of a fresh look; its first step is carried out; then it is looked again and planned anew, since each
step changes the facts. Nothing that is damaged is removed before a copy of it is kept aside, below
`{namespace}/{tier}-damaged/`, and no snapshot is shortened unless somebody agreed and it was named. What was affected
is healed when every object of it was compared, its blobs read back from the store; restic's own repair ends with a
check and a restore that exit 0 over a shortened file (measured).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import msgspec

from resticwrap import errors
from resticwrap.model.base import to_json
from resticwrap.model.bucket import TIER_TAG
from resticwrap.model.job import Job, Outcome
from resticwrap.model.objects import Entry, show_path
from resticwrap.model.policy import tier_of
from resticwrap.model.repair import BadObject, Healed, LostObject, RepairDone, RepairPlan, RepairReport, RepairStep
from resticwrap.model.snapshot import CANARY, Snapshot
from resticwrap.planning import repair as planning
from resticwrap.planning.repair import Facts
from resticwrap.services import audit, backup, frost, interrupted, manifest
from resticwrap.services.compare import kept_size
from resticwrap.services.context import Context
from resticwrap.services.leftovers import scratch
from resticwrap.services.repairlook import Look, place_of

ROUNDS = 1000
"""More steps than any repair takes: each is tried once."""
LOOKING, STEPS, COMPARING = "look", "steps", "compare"
BATCH = 2000
PASSING = (
    errors.TargetUnreachable, errors.TargetRefused, errors.Locked, errors.DiskFull, errors.Frozen,
    errors.DeadlineExceeded, errors.CatalogUnavailable,
)  # fmt: skip
"""What kept a step from being done, and may not the next time: until then nothing counts as lost for good."""

HELD = {"bring_back": ("salvage", "set_aside", "rebuild_index"), "salvage": ("set_aside",)}
"""By step what is not done to the same objects when that step may go well another time: once the index names a pack no
more, no later repair looks for it."""


def plan(context: Context, tier: str, *, full: bool = False, allow_loss: bool = False) -> RepairPlan:
    """What a repair would do as things stand. Writes nothing."""
    context.pins()
    look = Look(context, tier, full)
    look.affected |= _pending(context, tier)
    return _plan(context, look, look.facts(), frozenset(), allow_loss)


def _plan(context: Context, look: Look, facts: Facts, tried: planning.Tried, allow_loss: bool) -> RepairPlan:
    if allow_loss and look.doubts:
        look.note(f"Nothing is cut out of snapshots while it may still come back: {' '.join(look.doubts)}")
    tried |= _held(HELD["bring_back"], look.unlooked)
    steps = planning.plan(facts, tried, allow_loss=allow_loss and not look.doubts)
    affected = tuple(sorted(look.affected))
    if affected and not facts.shut:
        compare = RepairStep(
            action="compare", names=affected,
            why="healed is what was compared: every object of these snapshots, their blobs read back from the store",
        )  # fmt: skip
        steps = (*steps, compare)
    if facts.shut and not steps:
        look.note(
            "Nothing opens what is stored before its config and a key of it are back, and no sound copy of what is bad "
            "was found: bring it from another copy of the bucket. Until then back up to another `namespace`."
        )
    return RepairPlan(
        target=context.target_name, tier=look.tier, at=context.clock.now(), bad=facts.bad, steps=steps,
        affected=affected, lost=facts.lost, allow_loss=allow_loss, notes=tuple(look.notes),
    )  # fmt: skip


def _held(actions: Iterable[str], names: Iterable[str]) -> planning.Tried:
    wanted = tuple(names)
    return frozenset((action, name) for action in actions for name in wanted)


def _pending(context: Context, tier: str) -> dict[str, str]:
    """Original ids and trees of what earlier repairs of this tier found affected and did not find healed."""
    found: dict[str, str] = {}
    cut = set[str]()
    for job in context.catalog().jobs(context.target_name, kind="repair", limit=100):
        if job.details.get("tier") == tier:
            if job.outcome == "ok":
                break
            cut.update(job.details.get("cut", ()))
            found |= {name: tree for name, tree in job.details.get("affected", {}).items() if name not in found}
    # What a forget removed since is nobody's to heal.
    known = context.catalog().snapshots(context.target_name, tier)
    return {name: tree for name, tree in found.items() if name not in cut and name in known}


def repair(context: Context, tier: str, *, full: bool = False, allow_loss: bool = False) -> RepairReport:
    """Repair a repository. Raises CatalogUnavailable where there can be no record, Locked where somebody works on it;
    then nothing is done. What could not be done is in the report."""
    context.pins()
    interrupted.close(context)
    pending = _pending(context, tier)
    job = msgspec.structs.replace(context.new_job("repair"), details={"tier": tier, "affected": pending})
    with context.running(job, strict=True) as job, _alone(context, tier):
        context.watcher.begin(f"repair {job.id}", [LOOKING, STEPS, COMPARING])
        try:
            look = Look(context, tier, full)
            look.affected |= pending
            report = _Repair(context, job, look, allow_loss).run()
        finally:
            context.watcher.end()
        notes = list(report.notes)
        if report.done or report.healed or report.left:
            notes += filter(None, [audit.record(context, "repair", _body(report), job=job.id)])
        notes += filter(None, [context.recorder.close(report.job)])
    return msgspec.structs.replace(report, notes=tuple(notes))


@contextmanager
def _alone(context: Context, tier: str) -> Iterator[None]:
    """No prune, forget, verify or copy of this machine works here meanwhile, and nothing is removed from the other."""
    wait = context.target.lock_wait.total_seconds()
    with ExitStack() as stack:
        stack.enter_context(context.locks.hold(f"copy {context.cold.url}", wait=wait))
        for name, repository in context.repositories.items():
            stack.enter_context(context.locks.hold(f"maintenance {repository.url}", shared=name != tier, wait=wait))
        yield


def _body(report: RepairReport) -> dict[str, object]:
    """What becomes evidence: counts and digests, and no names of files."""
    return {
        "tier": report.tier,
        "ok": report.ok,
        "bad": _counted([one.kind for one in report.plan.bad]),
        "bad_digest": _digest([(one.kind, one.name) for one in report.plan.bad]),
        "steps": [{"action": one.action, "names": len(one.names), "ok": one.ok} for one in report.done],
        "affected": len(report.plan.affected),
        "affected_digest": _digest(report.plan.affected),
        "healed": sum(one.ok for one in report.healed),
        "objects": sum(one.objects for one in report.healed),
        "lost": len(report.lost),
        "lost_bytes": sum(one.size for one in report.lost),
        "lost_digest": _digest([(one.domain, one.path, one.size, one.snapshots) for one in report.lost]),
        "cut": list(report.cut),
        "left": len(report.left),
    }


def _counted(kinds: Sequence[str]) -> dict[str, int]:
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _digest(value: object) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()


@dataclass
class _Repair:
    context: Context
    job: Job
    look: Look
    allow_loss: bool
    done: list[RepairDone] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    lost: tuple[LostObject, ...] = ()

    def run(self) -> RepairReport:
        """Look, plan, take the first step; again until nothing is left to be tried. Then compare."""
        tried, first = set[tuple[str, str]](), None
        facts = Facts()
        for _ in range(ROUNDS):
            self.context.heed()
            facts = self.look.facts()
            planned = _plan(self.context, self.look, facts, frozenset(tried), self.allow_loss)
            first = first or planned
            self._remember(facts)
            step = next((step for step in planned.steps if step.action != "compare"), None)
            if step is None:
                break
            tried |= {(step.action, name) for name in step.names}
            if not self._take(step, facts):
                tried |= _held(HELD.get(step.action, ()), step.names)
        assert first is not None
        if not self.cut:
            # What the live source was read for and did not bring back is not there any more.
            self.lost = tuple(
                msgspec.structs.replace(one, hope="none") if ("back_up", one.domain) in tried else one
                for one in facts.lost
            )
        first = msgspec.structs.replace(first, affected=tuple(sorted(self.look.affected)))
        return self._report(first, facts)

    def _remember(self, facts: Facts) -> None:
        """What is affected is on record before anything is changed, so that a repair that goes on after a crash still
        compares it; and none of it counts as proven."""
        context, affected = self.context, self.look.affected
        if affected != self.job.details["affected"]:
            self.job = msgspec.structs.replace(self.job, details={**self.job.details, "affected": dict(affected)})
            context.recorder.open_strict(self.job)
        context.catalog().disprove(context.target_name, self.look.tier, sorted(affected))
        packs = sorted(one.name for one in facts.packs)
        context.catalog().withdraw(context.target_name, self.look.tier, packs)

    def _take(self, step: RepairStep, facts: Facts) -> bool:
        """Carry a step out; False where what kept it from being done may pass."""
        passing = False
        self.context.watcher.note(f"{step.action.replace('_', ' ')}: {step.why}")
        why = ""
        try:
            match step.action:
                case "bring_back":
                    self._bring_back([one for one in facts.bad if one.name in step.names])
                case "rebuild_index":
                    self._rebuild_index([one for one in facts.small if one.kind == "index"])
                case "salvage":
                    self._salvage([one for one in facts.packs if one.name in step.names])
                case "set_aside":
                    self._remove([one for one in facts.packs if one.name in step.names])
                    self._rebuild_index([])
                case "copy":
                    self._copy(step.names, facts)
                case "back_up":
                    why = self._back_up(step.names)
                case "tidy":
                    self._forget(step.names)
                case "cut":
                    self._cut(step.names, facts)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            why = f"{error.message} {error.hint}".strip()
            passing = isinstance(error, PASSING)
            if passing:
                self.look.doubts.append(f"{step.action.replace('_', ' ')} was not done: {error.message}")
            if step.deletes:
                why += " (This step needs credentials that may delete: the maintainer's, where a writer's may not.)"
        self.done.append(RepairDone(action=step.action, names=step.names, ok=not why, why=why))
        return not passing

    # Steps

    def _bring_back(self, bad: Sequence[BadObject]) -> None:
        """Small files that open the repository first, packs last. What came back is read and hashed."""
        problems = list[errors.Failure]()
        for one in sorted(bad, key=lambda one: (one.kind not in planning.OPENS, one.kind.startswith("pack"))):
            self.context.heed()
            try:
                self._bring_one(one)
            except errors.Interrupted:
                raise
            except errors.Failure as error:
                problems.append(error)  # and the others are brought back all the same
        if problems:
            raise next((one for one in problems if isinstance(one, PASSING)), problems[0])

    def _bring_one(self, one: BadObject) -> None:
        store, bucket = self.context.store, self.context.bucket()
        key, content = self.look.key(one), self.look.cached(one)
        if content is not None:
            self._aside(one)
            store.put(key, content)
        elif bucket is not None and key in self.look.versions:
            bucket.bring_back(*self.look.versions[key])
        if not self.look.fits(one, store.get(key)):
            raise errors.Damaged(f"{place_of(one)} is not what its name says after it was brought back.")

    def _rebuild_index(self, damaged: Sequence[BadObject]) -> None:
        """restic reads the packs that no index names, and would try each frozen one for a quarter of an hour."""
        for one in damaged:
            self._aside(one)
        there = frost.packs(self.context, self.look.tier)
        if there is not None and there.suspects:
            try:
                named = set(self.look.here.trees().packs())
            except (errors.Damaged, errors.ObjectMissing):
                named = set()
            strange = [one for pack, one in there.suspects.items() if pack not in named]
            frost.refuse_frozen(there.bucket, self.look.tier, strange)
        if not self.look.here.repair_index(self.context.target.lock_wait.total_seconds()):
            raise errors.Locked("Somebody else holds the lock of the repository.", hint="rw unlock")

    def _salvage(self, packs: Sequence[BadObject]) -> None:
        for one in packs:
            self._aside_damaged(one)
        with scratch(self.job) as place:
            # restic leaves what it read of the broken ones in its own folder too.
            self.look.here.repair_packs([one.name for one in packs], place)

    def _remove(self, bad: Sequence[BadObject]) -> None:
        """Out of the repository, once it is kept aside."""
        for one in bad:
            self._aside_damaged(one)
            self.context.locks.check()
            self.context.store.delete(self.look.key(one))

    def _aside_damaged(self, one: BadObject) -> None:
        """Keep what is about to be removed aside. Raises TargetUnreachable where it is sound, now that it is read once
        more: then the target told untruths before, and nothing that it says is a reason to remove anything."""
        if self._aside(one) == one.name:
            raise errors.TargetUnreachable(
                f"{place_of(one)} was read as damaged, and is sound now, so it stays.",
                hint="The target or the way to it does not answer the same each time: run rw repair again later.",
            )

    def _aside(self, one: BadObject) -> str:
        """Keep the bytes as they are beside the repository, read back. What is not there has none. Same again is no
        error; other bytes of the same name get a name of their own. Returns the sha256 of the bytes."""
        store = self.context.store
        try:
            content = store.get(self.look.key(one))
        except errors.ObjectMissing:
            return ""
        digest = hashlib.sha256(content).hexdigest()
        key = f"{self.context.target.namespace}/{self.look.tier}-damaged/{place_of(one)}.{digest[:16]}"
        with suppress(errors.ObjectExists):
            store.put(key, content, if_absent=True)
        if hashlib.sha256(store.get(key)).hexdigest() != digest:
            raise errors.Damaged(f"{key} does not hold what was put there, so nothing damaged was removed.")
        return digest

    def _copy(self, names: Sequence[str], facts: Facts) -> None:
        """Bring blobs, and snapshots that are gone here, out of the other tier. What else comes with them are copies of
        snapshots that stay where they were: they are forgotten here again."""
        look, here = self.look, self.look.here
        before = {one.id for one in here.snapshots(no_cache=True)}
        problem: errors.Failure | None = None
        for name in names:
            self.context.heed()
            try:
                here.copy(look.other, [name])
            except errors.Interrupted:
                raise
            except errors.ResticFailed as error:
                problem = error
        returned = {name: bad for bad, name in facts.absent.items() if name}
        there = [one for one in look.other.snapshots() if one.id in names]
        wanted = {one.original: returned[one.id] for one in there if one.id in returned}
        # A backup may have written a snapshot of its own meanwhile: that came out of no other tier.
        copied = {one.original for one in there}
        fresh = [one for one in here.snapshots(no_cache=True) if one.id not in before and one.original in copied]
        back = [one for one in fresh if one.original in wanted]
        self._forget([one.id for one in fresh if one.original not in wanted])
        if back:
            self._adopt(back)
            came = {wanted[one.original] for one in back}
            self._remove([one for one in facts.small if one.kind == "snapshot" and one.name in came])
        if problem is not None:
            raise problem

    def _adopt(self, snapshots: Sequence[Snapshot]) -> None:
        """Snapshots that came back out of the other tier get the tags of this one."""
        context, tier = self.context, self.look.tier
        for one in snapshots:
            assert one.tags is not None  # only ours are known to the catalogue
            days, _ = tier_of(context.settings.tiers, context.settings.domains.get(one.tags.domain), tier)  # type: ignore[arg-type]
            # Into cold unmarked: the next `rw tier run` proves it first.
            tag = "hot"
            before = f"expire-after-days={one.tags.expire_after_days}"
            after = f"expire-after-days={days}"
            self.look.here.retag(
                [one.id],
                add=[f"tier={tag}", after],
                remove=[text for text in (f"tier={one.tags.tier}", before) if text not in (f"tier={tag}", after)],
            )
        originals = {one.original for one in snapshots}
        known = context.catalog().snapshots(context.target_name, tier)
        context.catalog().put_snapshots(
            context.target_name,
            tier,
            [
                (one, one.original in known and known[one.original].tree == one.tree and known[one.original].complete)
                for one in self.look.here.snapshots(no_cache=True)
                if one.original in originals
            ],
        )

    def _forget(self, names: Sequence[str]) -> None:
        if names and not self.look.here.forget(list(names)):
            raise errors.ResticFailed(
                "Copies of snapshots that came with what was brought back could not be removed.",
                hint="rw forget does that, with the maintainer's credentials",
            )

    def _back_up(self, domains: Sequence[str]) -> str:
        """A full backup reads every byte again, and stores what the index does not name."""
        wanted = {name: self.context.settings.domains[name] for name in domains}
        report = backup.backup(self.context, backup.plan(self.context, "full", wanted))
        if report.job.outcome not in ("ok", "partial"):
            self.look.doubts.append(f"the backup {report.job.id} of the live source ended {report.job.outcome}.")
        return "" if report.job.outcome == "ok" else f"{report.job.id} ended {report.job.outcome}: rw history"

    def _cut(self, names: Sequence[str], facts: Facts) -> None:
        """Agreed to. What is cut is in the record before; the snapshots as they were are kept aside."""
        context, look = self.context, self.look
        self.lost = facts.lost
        ids = [one for one in look.snapshots if one.id in names]
        bad = [one for one in facts.small if one.kind == "snapshot" and one.name in names]
        known = context.catalog().snapshots(context.target_name, look.tier)
        gone = [one.original for one in known.values() if one.current_id in {one.name for one in bad}]
        cut = [one.original for one in ids] + gone
        lost = [{"domain": one.domain, "path": one.path, "size": one.size, "snapshots": list(one.snapshots)}
                for one in facts.lost]  # fmt: skip
        self.job = msgspec.structs.replace(self.job, details={**self.job.details, "lost": lost, "cut": cut})
        context.recorder.open_strict(self.job)
        for one in ids:
            self._aside(BadObject(kind="snapshot", name=one.id))
        # From here on none of them is known as complete, however this ends.
        context.catalog().forget_snapshots(context.target_name, look.tier, cut)
        self._leave_latest({*cut, *(one.id for one in ids), *(one.name for one in bad)})
        self.cut += cut
        for original in cut:
            look.affected.pop(original, None)
        if ids:
            before = {one.id for one in look.snapshots}
            look.here.cut_snapshots([one.id for one in ids])
            # And not what a backup wrote meanwhile. restic calls the id that it cut from the original.
            own = {*cut, *(one.id for one in ids)}
            listed = look.here.snapshots(no_cache=True)
            fresh = [one for one in listed if one.id not in before and one.original in own]
            context.catalog().put_snapshots(
                context.target_name, look.tier, [(one, False) for one in fresh if one.domain != CANARY]
            )
            marked = [one.id for one in fresh if one.tags is not None and one.tags.tier == "cold"]
            if marked:
                # What was cut is proven by nothing, and hot may not leave for its sake.
                name, value = TIER_TAG
                look.here.retag(marked, add=[f"{name}=hot"], remove=[f"{name}={value}"])
        self._remove(bad)

    def _leave_latest(self, gone: set[str]) -> None:
        """The next backup starts from nothing that was cut: it reads all again."""
        context = self.context
        if self.look.tier != "hot":
            return
        with context.locks.hold(f"latest {context.target_name}", wait=interrupted.LATEST_WAIT):
            latest = context.latest(everyones=True)
            if latest is not None:
                kept = {
                    name: one
                    for name, one in latest.domains.items()
                    if one.snapshot not in gone and one.current_id not in gone
                }
                context.state.put_latest(msgspec.structs.replace(latest, domains=kept))

    # The end

    def _report(self, first: RepairPlan, facts: Facts) -> RepairReport:
        context, look = self.context, self.look
        healed = () if facts.shut else tuple(_Comparison(context, look).all())
        faults = self._structure(facts)
        ok = (
            not facts.bad and not facts.missing and not faults and not self.lost and not self.cut
            and all(one.ok for one in healed)
        )  # fmt: skip
        notes = [*look.notes, *faults]
        if self.lost and not self.cut:
            notes.append(
                "Nothing was cut out of any snapshot. With --allow-loss what is lost is cut out of the snapshots that "
                "need it, which are then partial; without it they stay as they are, and restore all else."
            )
        outcome: Outcome = "ok" if ok else "failed"
        job = msgspec.structs.replace(
            self.job,
            outcome=outcome,
            finished_at=context.clock.now(),
            details={
                **self.job.details,
                "affected": {one.snapshot: look.affected[one.snapshot] for one in healed if not one.ok},
                "what": f"{look.tier}: {len(self.done)} steps, {sum(one.ok for one in healed)} snapshots healed, "
                f"{len(self.lost)} objects lost",
                "steps": [f"{one.action} {len(one.names)} {'ok' if one.ok else 'failed'}" for one in self.done],
            },
        )
        return RepairReport(
            job=job, tier=look.tier, ok=ok, plan=first, done=tuple(self.done), healed=healed, lost=self.lost,
            cut=tuple(self.cut), left=facts.bad, notes=tuple(notes),
        )  # fmt: skip

    def _structure(self, facts: Facts) -> list[str]:
        """restic's own check, which is needed and never enough."""
        if facts.shut or not (self.done or facts.bad):
            return []
        checked = self.look.here.check(bucket=None, parts=1)
        return [f"restic check: {' '.join(text.split())}" for text in checked.messages[:5] or ("errors",)
                if checked.errors]  # fmt: skip


class _Comparison:
    """Compares every object of the affected snapshots with what their trees say, out of the store and nothing else."""

    def __init__(self, context: Context, look: Look) -> None:
        self._context, self._look = context, look
        self._trees = look.here.trees(no_cache=True)
        self._read = set[str]()
        self._blobs = set[bytes]()

    def all(self) -> Iterator[Healed]:
        """Each affected snapshot that is still wanted, by original id."""
        there = {(one.original, one.tree): one for one in self._look.here.snapshots(no_cache=True)}
        for original, tree in sorted(self._look.affected.items()):
            self._context.heed()
            snapshot = there.get((original, tree))
            if snapshot is None:
                yield Healed(snapshot=original, domain="", objects=0, size=0, ok=False, why="it is not there")
                continue
            yield self._one(snapshot)

    def _one(self, snapshot: Snapshot) -> Healed:
        objects = size = 0
        why = self._manifest(snapshot)
        try:
            for pack in sorted(self._trees.needed_packs([snapshot.tree])):
                self._pack(pack)
            batch = list[Entry]()
            for entry in self._trees.walk(snapshot.tree):
                objects += 1
                size += entry.size if entry.kind == "file" else 0
                batch.append(entry)
                if len(batch) >= BATCH:
                    why = why or self._short(batch)
                    batch = []
            why = why or self._short(batch)
        except (errors.Damaged, errors.ObjectMissing, errors.Frozen) as error:
            why = why or error.message
        return Healed(
            snapshot=snapshot.original, domain=snapshot.domain or "", objects=objects, size=size, ok=not why, why=why
        )

    def _short(self, entries: Sequence[Entry]) -> str:
        """What is wrong with any of these: a blob that was not read back, or other lengths than the file's."""
        split = {blob for entry in entries if len(entry.content) > 1 for blob in entry.content}
        lengths = self._trees.blob_lengths(split) if split else {}
        for entry in entries:
            if not all(bytes.fromhex(blob) in self._blobs for blob in entry.content):
                return f"{show_path(entry.path)} needs what could not be read back"
            if entry.kind == "file" and kept_size(entry, lengths) > entry.size:
                return f"{show_path(entry.path)} has other bytes than its size says"
        return ""

    def _manifest(self, snapshot: Snapshot) -> str:
        """Whether the manifest of its job, where there is one, names another tree."""
        if snapshot.tags is None:
            return ""
        try:
            written = manifest.load(self._context, snapshot.tags.job)
        except (errors.NotFound, errors.Damaged, errors.ObjectMissing):
            return ""
        told = [one.tree for one in written.domains if one.run.snapshot == snapshot.original]
        return f"the manifest of {snapshot.tags.job} names another tree" if told and snapshot.tree not in told else ""

    def _pack(self, pack: str) -> None:
        """Read a pack back, once; what is sound in it counts. Of a blob in several packs one is enough."""
        if pack in self._read:
            return
        self._read.add(pack)
        try:
            self._blobs.update(bytes.fromhex(blob) for blob in self._look.here.pack_blobs(pack))
        except (errors.Damaged, errors.ObjectMissing, errors.Frozen) as error:
            self._look.note(f"pack {pack}: {error.message}")
