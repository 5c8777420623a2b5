"""Before a restore: find the packs that it reads, ask the bucket to thaw those that are frozen, and wait for them.

Nothing of it is kept here: which packs are thawing or thawed the bucket knows, so the same command goes on where an
interrupted one stopped, and asks only for the rest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resticwrap import errors
from resticwrap.model.base import Time, from_json, to_json
from resticwrap.model.bucket import StoredObject, ThawSpeed
from resticwrap.model.job import Job
from resticwrap.model.thaw import NeededPack, Thawed, ThawPlan
from resticwrap.planning import thaw as planning
from resticwrap.ports import Bucket, Progress
from resticwrap.services import frost
from resticwrap.services.choosing import LOST, Choice
from resticwrap.services.context import Context

FEW = 64
"""Up to so many packs are asked about one by one, more by one pass over the listing."""
BLOBS_AT_ONCE = 20_000
ENOUGH = 20
"""After so many packs that are still thawing the rest is not asked about in this round: they take the same time."""
SILENCE = 3600.0
"""Seconds for which a wait goes on though the bucket does not answer."""
NAMED = 1000


@dataclass(frozen=True)
class Thawing:
    """How to thaw: for how many days, how fast, and who agrees to what that costs."""

    days: int = 7
    speed: ThawSpeed = "standard"
    agrees: Callable[[ThawPlan], bool] = lambda _: False


def plans(context: Context, choices: Sequence[Choice], how: Thawing) -> tuple[ThawPlan, ...]:
    """What must be thawed to restore these, tier by tier; nothing where all can be read. Asks and changes nothing.

    Raises Frozen where what holds the trees cannot be read: then not even this can be told.
    """
    by_tier: dict[str, list[Choice]] = defaultdict(list)
    for choice in choices:
        by_tier[choice.tier].append(choice)
    found = (_plan(context, tier, own, how) for tier, own in by_tier.items())
    return tuple(plan for plan in found if plan is not None and plan.frozen)


def _plan(context: Context, tier: str, choices: Sequence[Choice], how: Thawing) -> ThawPlan | None:
    bucket = context.bucket()
    if bucket is None:
        return None
    needed: frozenset[str] | None = None
    if all(choice.paths for choice in choices):
        # A few paths need a few packs: the whole listing would cost more.
        needed = _needed(context, tier, choices)
    if needed is not None and len(needed) <= FEW:
        suspects = {pack: one for pack in needed if (one := _listed(context, bucket, tier, pack)) is not None}
    else:
        trees = context.repositories[tier].trees()
        there = frost.packs(context, tier)
        assert there is not None
        if not there.suspects:
            return None
        there.refuse_trees(tier, trees.packs(), trees.data_only_packs())
        needed = _needed(context, tier, choices) if needed is None else needed
        suspects = {pack: one for pack, one in there.suspects.items() if pack in needed}
    if not suspects:
        return None
    sizes = context.repositories[tier].trees().packs()
    packs = [_state(context, bucket, pack, suspects.get(pack), sizes.get(pack, 0)) for pack in sorted(needed)]
    return planning.plan(tier, bucket.provider, packs, days=how.days, speed=how.speed)


def _listed(context: Context, bucket: Bucket, tier: str, pack: str) -> StoredObject | None:
    """A pack as listed, where it may be frozen."""
    key = frost.key_of(context, tier, pack)
    found = next((one for one in bucket.objects(key) if one.key == key), None)
    return found if found is not None and planning.may_be_frozen(found.storage_class) else None


def _state(context: Context, bucket: Bucket, pack: str, suspect: StoredObject | None, size: int) -> NeededPack:
    context.heed()
    if suspect is None:
        return NeededPack(pack=pack, size=size, storage_class="")
    try:
        state = bucket.thaw_state(suspect.key).state
    except errors.ObjectMissing:  # the restore tells of it
        state = "readable"
    frozen = state in ("frozen", "thawing")
    return NeededPack(pack, suspect.size, suspect.storage_class, frozen=frozen, asked=state == "thawing")


def _needed(context: Context, tier: str, choices: Sequence[Choice]) -> frozenset[str]:
    """The packs of the wanted files' contents: of a piece that lies in several packs all, for restic may take any."""
    trees = context.repositories[tier].trees()
    packs: set[str] = set()
    for blobs in _batches(_blobs(context, tier, choices)):
        for places in trees.packs_of(blobs).values():
            packs.update(places)
    return frozenset(packs)


def _blobs(context: Context, tier: str, choices: Sequence[Choice]) -> Iterator[str]:
    trees = context.repositories[tier].trees()
    for choice in choices:
        for under in choice.paths or (choice.root,):
            try:
                for entry in trees.walk(choice.snapshot.tree, under, lost=lambda *_: None):
                    context.heed()
                    yield from entry.content
            except LOST:  # the restore tells what is lost
                continue


def _batches(blobs: Iterable[str]) -> Iterator[set[str]]:
    batch: set[str] = set()
    for blob in blobs:
        batch.add(blob)
        if len(batch) >= BLOBS_AT_ONCE:
            yield batch
            batch = set()
    yield batch


def agree(plans: Sequence[ThawPlan], how: Thawing) -> None:
    """Raises RestoreRefused where nobody agrees to what a thaw costs and how long it takes."""
    for plan in plans:
        if not how.agrees(plan):
            raise planning.refused(plan)


def details(plans: Sequence[ThawPlan]) -> dict[str, Any]:
    """As a job carries them from its beginning, so that one which is interrupted tells as well what it asked for."""
    return {"thaw": [_named(plan) for plan in plans]} if plans else {}


def _named(plan: ThawPlan) -> Any:
    told = from_json(dict[str, Any], to_json(plan))
    return {**told, **{name: list(told[name])[:NAMED] for name in ("ask", "wait", "thawed")}}


def result(thawed: Sequence[Thawed]) -> dict[str, Any]:
    """What became of it, as a job carries it."""
    return {"thawed": [from_json(dict[str, Any], to_json(one)) for one in thawed]} if thawed else {}


def bring(context: Context, job: Job, plans: Sequence[ThawPlan]) -> tuple[Thawed, ...]:
    """Ask for what is frozen, and wait until all of it can be read. Raises Interrupted at any time: the same command
    goes on. It is no child of ours that waits, so the policy's `deadline` does not end it."""
    done = []
    for plan in plans:
        context.watcher.begin(f"thaw for {job.id}", [plan.tier])
        try:
            done.append(_Wait(context, plan).run())
            context.watcher.done(plan.tier, "ok")
        finally:
            context.watcher.end()
    return tuple(done)


class _Wait:
    """One plan being carried out."""

    def __init__(self, context: Context, plan: ThawPlan) -> None:
        bucket = context.bucket()
        assert bucket is not None
        self._context, self._bucket, self._plan = context, bucket, plan
        self._all = [*plan.ask, *plan.wait, *plan.thawed]
        self._readable: set[str] = set()
        self._asked: dict[str, None] = {}
        self._until: Time | None = None
        self._heard = context.clock.monotonic()

    def run(self) -> Thawed:
        context, plan = self._context, self._plan
        for said in planning.sentences(plan):
            context.watcher.note(said)
        began = context.clock.monotonic()
        for pack in plan.ask:
            self._ask(pack)
        context.watcher.note(
            f"Asked for {len(self._asked)} packs. Waiting; after an interruption the same command goes on."
        )
        self._progress()
        pauses = planning.waits()
        waiting = list(self._all)
        while True:
            whole = len(waiting) == len(self._all)
            waiting = self._still(waiting)
            self._progress()
            if not waiting and whole:
                break
            if not waiting:
                # What was thawed first may be frozen again by the time that the last one is there.
                waiting = list(self._all)
                continue
            self._pause(next(pauses))
        return Thawed(
            tier=plan.tier,
            packs=plan.frozen,
            size=sum(one.size for one in plan.classes),
            asked=tuple(self._asked)[:NAMED],
            days=plan.days,
            speed=plan.speed,
            waited=context.clock.monotonic() - began,
            until=self._until,
        )

    def _still(self, waiting: Sequence[str]) -> list[str]:
        """Those that cannot be read yet; ones that froze again are asked for again."""
        still: list[str] = []
        thawing = 0
        for at, pack in enumerate(waiting):
            self._context.heed()
            if thawing >= ENOUGH:
                return [*still, *waiting[at:]]
            try:
                state = self._bucket.thaw_state(self._key(pack))
                self._heard = self._context.clock.monotonic()
            except errors.ObjectMissing:  # the restore tells of it
                self._readable.add(pack)
                continue
            except errors.TargetUnreachable as error:
                if self._context.clock.monotonic() - self._heard > SILENCE:
                    raise
                self._context.watcher.note(f"{error.message} Still waiting.")
                return [*still, *waiting[at:]]
            if state.state in ("readable", "thawed"):
                self._readable.add(pack)
                if state.until is not None:
                    self._until = min(self._until or state.until, state.until)
                continue
            self._readable.discard(pack)
            if state.state == "frozen":
                self._ask(pack)
            thawing += 1
            still.append(pack)
        return still

    def _ask(self, pack: str) -> None:
        self._context.heed()
        try:
            self._context.patiently(lambda: self._bucket.thaw(self._key(pack), self._plan.days, self._plan.speed))
        except errors.ObjectMissing:  # the restore tells of it
            return
        self._asked[pack] = None

    def _key(self, pack: str) -> str:
        return frost.key_of(self._context, self._plan.tier, pack)

    def _progress(self) -> None:
        self._context.watcher.update(
            self._plan.tier, Progress(files_done=len(self._readable), files_total=len(self._all))
        )

    def _pause(self, seconds: float) -> None:
        """In short pieces, so that an interruption is heeded at once."""
        while seconds > 0:
            self._context.heed()
            self._context.clock.sleep(min(1.0, seconds))
            seconds -= 1.0
