"""`rw recover-deleted`: bring a target back to how it stood at a time, after its objects were deleted or overwritten.

It works where the bucket keeps versions. Nothing is destroyed: delete markers are taken away, and old versions are
copied over what hides them. Done again it goes on where it ended, so a crash costs nothing.

What comes back must not be trusted for more than it is worth: an index may name packs of which nothing is left, and a
backup would take what they held for stored (measured: it exits 0, and cannot be restored). So packs come first, and
then the index is made to agree with them.
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
from resticwrap.model.job import Pin
from resticwrap.model.reports import LockInfo, RecoveredTier, RecoverPart, RecoverPlan, RecoverReport
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import recover as planning
from resticwrap.planning.backup import RESUME_BYTES
from resticwrap.ports import Bucket, CheckResult, Progress, Repository
from resticwrap.services import audit, frost, interrupted
from resticwrap.services.context import Context, info, side_by_side
from resticwrap.services.damage import Damages, Listing

RECORDS = "records"
"""The part that holds manifests, records of verifies, and pins."""
DIGEST = re.compile(r"[0-9a-f]{64}")
MESSAGES_KEPT = 20
REPAIR_WAIT = 10.0
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
    notes: list[str] = []
    recoveries = {name: _recovery(context, bucket, name, prefix, at, notes) for name, prefix in prefixes.items()}
    parts = tuple(_part(name, prefixes[name], recovery) for name, recovery in recoveries.items())
    return Planned(
        RecoverPlan(target=context.target_name, at=at, versioning=versioning, parts=parts, notes=tuple(notes)),
        recoveries,
    )


def _recovery(
    context: Context, bucket: Bucket, name: str, prefix: str, at: Time, notes: list[str]
) -> planning.Recovery:
    """Of one part. Keys and the config of a repository are planned apart, by rules of their own."""
    intact = _Intact(context)
    if name == RECORDS:
        return planning.plan(_heeded(context, bucket.versions(prefix)), at, (), intact)
    apart = tuple(prefix + folder for folder in ("locks/", "keys/", "config"))
    return planning.together(
        [
            planning.plan(_heeded(context, bucket.versions(prefix)), at, apart, intact),
            _keys(name, list(bucket.versions(f"{prefix}keys/")), at, intact, notes),
            _config(context, bucket, name, f"{prefix}config", at, notes),
        ]
    )


def _keys(
    tier: str, versions: Sequence[ObjectVersion], at: Time, intact: "_Intact", notes: list[str]
) -> planning.Recovery:
    sound = any(one.latest and not one.marker and intact(one) for one in versions)
    found, removed = planning.keys(planning.plan(versions, at, (), intact), sound)
    if removed:
        those = (
            f"1 key of {tier} that was removed stays removed"
            if len(removed) == 1
            else f"{len(removed)} keys of {tier} that were removed stay removed"
        )
        notes.append(
            f"{those}, since another is left: {', '.join(removed)}. If none that is left opens the repository, remove "
            "those from the bucket and run this again."
        )
    elif any(step.deleted for step in found.steps):
        notes.append(
            f"No key of {tier} is left, so all come back that there were then. One that was removed on purpose since "
            "opens it again: see restic key list, and remove it."
        )
    return found


def _config(context: Context, bucket: Bucket, tier: str, key: str, at: Time, notes: list[str]) -> planning.Recovery:
    versions = [one for one in bucket.versions(key) if one.key == key]
    pin = context.state.pins(context.target_name).get(tier)
    pinned = None if pin is None else lambda version: _is_pinned(bucket, version, pin)
    found, left = planning.config(versions, at, pinned)
    if left:
        why = (
            "nothing is pinned here that would say which is right"
            if pin is None
            else f"no version of it is that of the {tier} repository that was pinned at `rw init`"
        )
        notes.append(f"{key} is not as it was then, and is left as it is: {why}.")
    return found


def _is_pinned(bucket: Bucket, version: ObjectVersion, pin: Pin) -> bool:
    try:
        return hashlib.sha256(bucket.read_version(version)).hexdigest() == pin.config_digest
    except errors.ObjectMissing:
        return False


def recover(context: Context, tiers: Sequence[str], at: Time) -> RecoverReport:
    """Bring it back, then look whether the repositories are whole. May be repeated. As `plan`."""
    interrupted.close(context)
    # Not strict: the catalogue may be lost together with the rest, and nothing is destroyed.
    job = msgspec.structs.replace(context.new_job("recover"), details={"at": at.isoformat(), "tiers": list(tiers)})
    with context.running(job) as job, _alone(context, tiers):
        context.watcher.begin(f"recover {job.id}", ["objects", *tiers])
        try:
            notes = _refuse_pruners(context, tiers)
            planned = plan(context, tiers, at, context.clock.now())
            doubt = _Doubt(context, any(planned.recoveries[tier].steps for tier in tiers if tier == "hot"))
            brought, gone = _bring_back(context, planned, doubt)
            checked = tuple(_look(context, tier, doubt, notes) for tier in tiers)
        finally:
            context.watcher.end()
        lost = [*gone, *(key for part in planned.shown.parts for key in part.gone)]
        if gone:
            notes.insert(0, f"{len(gone)} versions were gone before they could be brought back: {gone[0]} …")
        ok = not gone and all(tier.ok for tier in checked)
        job = msgspec.structs.replace(
            job,
            outcome="ok" if ok else "failed",
            finished_at=context.clock.now(),
            details={**job.details, "what": f"{brought:,} objects", "brought_back": brought, "gone": len(lost)},
        )
        late = context.recorder.close(job)
        body = {"outcome": job.outcome, **job.details, "whole": {tier.tier: tier.ok for tier in checked}}
        unknown = audit.tell(context, "recover", body, job=job.id)
    return RecoverReport(
        job=job,
        plan=planned.shown,
        brought_back=brought,
        tiers=checked,
        notes=(*notes, *(note for note in (late, unknown) if note)),
    )


def _locks(context: Context, tier: str) -> list[LockInfo] | None:
    """The locks of a repository; None where it does not open. Another one than the pinned one is not opened."""
    repository, pin = context.repositories[tier], context.state.pins(context.target_name).get(tier)
    try:
        if pin is not None and repository.config_digest() != pin.config_digest:
            return None
        return list(repository.locks())
    except errors.Interrupted:
        raise
    except (errors.TargetUnreachable, errors.TargetRefused):
        raise
    except errors.Failure:
        return None


def _in_the_way(locks: list[LockInfo] | None) -> LockInfo | None:
    """An exclusive lock of somebody who lives, or may: a prune or a forget, which may be removing what comes back."""
    return next((lock for lock in locks or () if lock.exclusive and lock.state != "dead"), None)


def _refuse_pruners(context: Context, tiers: Sequence[str]) -> list[str]:
    """Raises Locked where somebody may be pruning; returns what is to be said where that cannot be told.

    No restic command holds a lock for us, least of all in a repository that does not open. So it is looked before and
    after; locks of backups do not matter, for what they add stays."""
    notes: list[str] = []
    for tier in tiers:
        locks = _locks(context, tier)
        if found := _in_the_way(locks):
            raise errors.Locked(
                f"The {tier} repository is locked exclusively by {found.user}@{found.host} (pid {found.pid}): a prune "
                "may be removing what is to be brought back.",
                hint=f"Stop it, or wait for its end. rw unlock --target {context.target_name} shows the locks; with "
                "--stale it removes those that nobody renews.",
            )
        if locks is None:
            held = sum(bool(item.size) for item in context.store.list(f"{context.target.namespace}/{tier}/locks/"))
            if held:
                notes.append(
                    f"{tier} could not be opened before it was brought back, so whether any of its {held} locks is "
                    "that of a prune could not be told."
                )
    return notes


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


class _Doubt:
    """That the index of hot may name what is not there, for as long as nobody has looked: remembered with what the next
    backup of this machine starts from, so that it repairs the index first, also after a crash of ours."""

    def __init__(self, context: Context, wanted: bool) -> None:
        self._context, self._wanted = context, wanted

    def begin(self) -> None:
        if self._wanted:
            self._add(RESUME_BYTES + 1)

    def end(self) -> None:
        """The index agrees with the packs."""
        if self._wanted:
            self._add(-RESUME_BYTES - 1)

    def _add(self, unindexed: int) -> None:
        context = self._context
        with context.locks.hold(f"latest {context.target_name}", wait=interrupted.LATEST_WAIT):
            latest = context.latest(everyones=True) if context.pinned else None
            if latest is not None:
                added = max(latest.unindexed + unindexed, 0)
                context.state.put_latest(msgspec.structs.replace(latest, unindexed=added))


def _bring_back(context: Context, planned: Planned, doubt: _Doubt) -> tuple[int, list[str]]:
    """How many were brought back, and the keys of those that were gone by then. Several at a time, in the order of the
    phases; what was begun when somebody interrupts, or when one fails, is waited for."""
    bucket = _bucket(context)
    prefixes = {part.name: part.prefix for part in planned.shown.parts}
    phases = list(planning.phases({prefixes[name]: found for name, found in planned.recoveries.items()}))
    total, done = sum(map(len, phases)), 0
    gone: list[str] = []

    def bring(step: planning.Step) -> None:
        try:
            bucket.bring_back(step.version, step.marker)
        except errors.ObjectMissing:
            gone.append(step.version.key)

    doubt.begin()
    with ThreadPoolExecutor(side_by_side(context)) as pool:
        for steps in phases:
            for at in range(0, len(steps), AT_ONCE):
                context.heed()
                some = steps[at : at + AT_ONCE]
                list(pool.map(bring, some))
                done += len(some)
                shown = Progress(files_done=done, files_total=total, current=some[-1].version.key)
                context.watcher.update("objects", shown)
    context.watcher.done("objects", "failed" if gone else "ok")
    return total - len(gone), sorted(gone)


def _look(context: Context, tier: str, doubt: _Doubt, said: list[str]) -> RecoveredTier:
    """Whether the repository is whole: the pinned one, every pack that its index names, restic's own check. Where packs
    are lost, the index is made to do without them; `said` gets what an operator must know."""
    repository = context.repositories[tier]
    notes: list[str] = []
    try:
        if tier in context.state.pins(context.target_name):
            context.check_pin(tier)
        frost.refuse_frozen_trees(context, repository)
        damages = Damages(context, repository, notes.append)
        listing = damages.listing()
        lost = tuple(sorted(listing.lost()))
        checked = repository.check(bucket=None, parts=1)
        snapshots = repository.snapshots(no_cache=True)
        messages = _costs(context, tier, damages, listing, checked, snapshots) if lost else ()
        agrees = not lost or _repaired(context, repository, listing, said)
        if agrees and tier == "hot":
            doubt.end()
        other = _in_the_way(_locks(context, tier))
        if other:
            said.append(
                f"{tier} is locked exclusively by {other.user}@{other.host} (pid {other.pid}) since: a prune may have "
                "removed what was brought back. When it has ended, run this again."
            )
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        context.watcher.done(tier, "failed")
        return RecoveredTier(tier=tier, ok=False, problem=info(error))
    ok = not lost and not checked.errors and not other
    context.watcher.done(tier, "ok" if ok else "failed")
    return RecoveredTier(
        tier=tier,
        ok=ok,
        snapshots=len(snapshots),
        lost=lost,
        errors=checked.errors,
        messages=(*messages, *checked.messages[:MESSAGES_KEPT]),
    )


def _costs(
    context: Context, tier: str, damages: Damages, listing: Listing, checked: CheckResult, snapshots: Sequence[Snapshot]
) -> tuple[str, ...]:
    """What the lost packs cost, while the index still tells what they held: after the repair nobody can tell any more,
    and a verify calls it a fault of the structure (seen)."""
    if tier not in context.state.pins(context.target_name):
        return ()
    found = damages.confirmed(checked, listing, lambda: checked, snapshots)
    return tuple(
        f"pack {one.name}: {one.files} files need it, such as {one.paths[0]}, in {len(one.snapshots)} snapshots: "
        f"{', '.join(one.snapshots[:MESSAGES_KEPT])}"
        if one.files
        else f"pack {one.name}: no snapshot needs it"
        for one in found
        if one.kind.startswith("pack_")
    )


def _repaired(context: Context, repository: Repository, listing: Listing, said: list[str]) -> bool:
    """Make the lost packs not count: the next backup then stores again what they held, where the source still has it,
    rather than take it for stored."""
    tier, lost = repository.tier, sorted(listing.lost())
    named = f"{len(lost)} packs that its index named are lost: {', '.join(lost)}."
    verify = f"rw verify --target {context.target_name} --tier {tier} --share 1"
    trouble = "somebody else holds its lock"
    try:
        # restic reads the packs that no index names, and would try each frozen one for a quarter of an hour.
        there = frost.packs(context, tier)
        if there is not None:
            strange = [one for pack, one in there.suspects.items() if pack not in listing.named]
            frost.refuse_frozen(there.bucket, tier, strange)
        if repository.repair_index(REPAIR_WAIT):
            said.append(
                f"{tier}: {named} The index names them no more, so the next backup stores again what they held, and "
                f"what they cost stands with what was found in {tier}: no verify tells it later. Snapshots that need "
                f"them restore without it, and {verify} finds a fault until it is stored again or those snapshots go."
            )
            return True
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        trouble = error.message
    said.append(
        f"{tier}: {named} THE INDEX STILL NAMES THEM ({trouble}): no backup may run before `restic repair index`, for "
        f"it would take what they held for stored. Run this again, which tries it again; {verify} says what they cost."
    )
    return False
