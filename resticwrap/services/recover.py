"""`rw recover-deleted`: bring a target back to how it stood at a time, after its objects were deleted or overwritten.

It works where the bucket keeps versions. Nothing is destroyed: delete markers are taken away, and old versions are
copied over what hides them. Done again it goes on where it ended, so a crash costs nothing.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from resticwrap import errors
from resticwrap.model.aging import SnapshotPin
from resticwrap.model.base import Time, from_json
from resticwrap.model.bucket import ObjectVersion
from resticwrap.model.reports import RecoveredTier, RecoverPart, RecoverPlan, RecoverReport
from resticwrap.planning import recover as planning
from resticwrap.ports import Bucket, Progress
from resticwrap.services import interrupted
from resticwrap.services.context import Context, info, side_by_side
from resticwrap.services.damage import Damages

RECORDS = "records"
"""The part that holds manifests, records of verifies, and pins."""
DIGEST = re.compile(r"[0-9a-f]{64}")
MESSAGES_KEPT = 20
AT_ONCE = 100
"""So many objects are brought back between two looks whether somebody wants it to stop."""


@dataclass(frozen=True)
class Planned:
    """The plan as shown, and its steps by part."""

    shown: RecoverPlan
    recoveries: dict[str, planning.Recovery]


def plan(context: Context, tiers: Sequence[str], at: Time, now: Time) -> Planned:
    """What to bring back. One pass over the versions; what was overwritten is read and hashed. Writes nothing.

    Raises UsageError for a time that is still to come, NotFound where the bucket keeps no versions."""
    if at > now:
        raise errors.UsageError("The time lies in the future.", hint="rw recover-deleted --help")
    bucket = _bucket(context)
    versioning = bucket.versioning()
    if versioning == "off":
        raise errors.NotFound(
            f"The bucket of target {context.target_name} keeps no versions, so what was deleted is gone.",
            hint="Turn versioning on for the future; docs/storage.md says how. rw verify says what is left.",
        )
    prefixes = {tier: f"{context.target.namespace}/{tier}/" for tier in tiers}
    prefixes[RECORDS] = f"backups/{context.target.environment or context.target.namespace}/"
    recoveries = {
        name: planning.plan(_heeded(context, bucket.versions(prefix)), at, (f"{prefix}locks/",), _Intact(context))
        for name, prefix in prefixes.items()
    }
    parts = tuple(_part(name, prefixes[name], recovery) for name, recovery in recoveries.items())
    return Planned(
        RecoverPlan(target=context.target_name, at=at, versioning=versioning, parts=parts),
        recoveries,
    )


def recover(context: Context, tiers: Sequence[str], at: Time) -> RecoverReport:
    """Bring it back, then look whether the repositories are whole. May be repeated. As `plan`."""
    interrupted.close(context)
    # Not strict: the catalogue may be lost together with the rest, and nothing is destroyed.
    job = msgspec.structs.replace(context.new_job("recover"), details={"at": at.isoformat(), "tiers": list(tiers)})
    with context.running(job) as job, _alone(context, tiers):
        context.watcher.begin(f"recover {job.id}", ["objects", *tiers])
        try:
            planned = plan(context, tiers, at, context.clock.now())
            brought, gone = _bring_back(context, planned)
            checked = tuple(_look(context, tier) for tier in tiers)
        finally:
            context.watcher.end()
        lost = [*gone, *(key for part in planned.shown.parts for key in part.gone)]
        notes = [f"{len(gone)} versions were gone before they could be brought back: {gone[0]} …"] if gone else []
        ok = not gone and all(tier.ok for tier in checked)
        job = msgspec.structs.replace(
            job,
            outcome="ok" if ok else "failed",
            finished_at=context.clock.now(),
            details={**job.details, "what": f"{brought:,} objects", "brought_back": brought, "gone": len(lost)},
        )
        late = context.recorder.close(job)
    return RecoverReport(
        job=job,
        plan=planned.shown,
        brought_back=brought,
        tiers=checked,
        notes=(*notes, late) if late else tuple(notes),
    )


def _bucket(context: Context) -> Bucket:
    bucket = context.bucket()
    if bucket is None:
        raise errors.UsageError(
            f"Target {context.target_name} is a folder, which keeps no versions.",
            hint="Bring it back from a copy of that disk; rw verify says what is missing.",
        )
    return bucket


def _heeded(context: Context, versions: Iterator[ObjectVersion]) -> Iterator[ObjectVersion]:
    for version in versions:
        context.heed()
        yield version


@contextmanager
def _alone(context: Context, tiers: Sequence[str]) -> Iterator[None]:
    """No prune, forget or verify of this machine works on these repositories meanwhile."""
    with ExitStack() as stack:
        for tier in tiers:
            name = f"maintenance {context.repositories[tier].url}"
            stack.enter_context(context.locks.hold(name, wait=context.target.lock_wait.total_seconds()))
        yield


class _Intact:
    """Whether what is seen of an object now is what belongs there, though it was written later: read and hashed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pins = context.state.pins(context.target_name)

    def __call__(self, latest: ObjectVersion) -> bool:
        self._context.heed()
        name = latest.key.rsplit("/", 1)[-1]
        try:
            if DIGEST.fullmatch(name):
                return self._digest(latest.key) == name
            for tier, pin in self._pins.items():
                if latest.key == f"{self._context.target.namespace}/{tier}/config":
                    return self._digest(latest.key) == pin.config_digest
            # Pins are the only objects that are written again: a sound one may promise more than it did then.
            return "/pins/" in latest.key and self._is_pin(latest.key)
        except errors.ObjectMissing:
            return False

    def _digest(self, key: str) -> str:
        return hashlib.sha256(self._context.store.get(key)).hexdigest()

    def _is_pin(self, key: str) -> bool:
        try:
            from_json(SnapshotPin, self._context.store.get(key))
        except msgspec.DecodeError:
            return False
        return True


def _part(name: str, prefix: str, recovery: planning.Recovery) -> RecoverPart:
    deleted = sum(step.deleted for step in recovery.steps)
    return RecoverPart(
        name=name,
        prefix=prefix,
        deleted=deleted,
        overwritten=len(recovery.steps) - deleted,
        size=sum(step.version.size for step in recovery.steps),
        newer=recovery.newer,
        same=recovery.same,
        keys=tuple(step.version.key for step in recovery.steps),
        gone=recovery.gone,
    )


def _bring_back(context: Context, planned: Planned) -> tuple[int, list[str]]:
    """How many were brought back, and the keys of those that were gone by then. Several at a time; what was begun when
    somebody interrupts, or when one fails, is waited for."""
    bucket = _bucket(context)
    steps = [step for recovery in planned.recoveries.values() for step in recovery.steps]
    gone: list[str] = []

    def bring(step: planning.Step) -> None:
        try:
            bucket.bring_back(step.version, step.marker)
        except errors.ObjectMissing:
            gone.append(step.version.key)

    with ThreadPoolExecutor(side_by_side(context)) as pool:
        for at in range(0, len(steps), AT_ONCE):
            context.heed()
            some = steps[at : at + AT_ONCE]
            list(pool.map(bring, some))
            done = Progress(files_done=at + len(some), files_total=len(steps), current=some[-1].version.key)
            context.watcher.update("objects", done)
    context.watcher.done("objects", "failed" if gone else "ok")
    return len(steps) - len(gone), sorted(gone)


def _look(context: Context, tier: str) -> RecoveredTier:
    """Whether the repository is whole: the pinned one, every pack that its index names, restic's own check."""
    repository = context.repositories[tier]
    notes: list[str] = []
    try:
        if tier in context.state.pins(context.target_name):
            context.check_pin(tier)
        lost = tuple(sorted(Damages(context, repository, notes.append).listing().lost()))
        checked = repository.check(bucket=None, parts=1)
        snapshots = len(repository.snapshots(no_cache=True))
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        context.watcher.done(tier, "failed")
        return RecoveredTier(tier=tier, ok=False, problem=info(error))
    ok = not lost and not checked.errors
    context.watcher.done(tier, "ok" if ok else "failed")
    return RecoveredTier(
        tier=tier,
        ok=ok,
        snapshots=snapshots,
        lost=lost,
        errors=checked.errors,
        messages=checked.messages[:MESSAGES_KEPT],
    )
