"""The lifecycle rules of a target's bucket: plan, put, take away, look whether they are in effect; and the guard that
others call before they go on over a bucket."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import TypeVar

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.bucket import ObjectLock, StoredObject, Versioning
from resticwrap.model.gate import BucketLook
from resticwrap.model.policy import BucketTarget
from resticwrap.model.reports import (
    Check,
    LifecyclePlan,
    LifecycleReport,
    LifecycleStatus,
    LockStatus,
    RuleProblem,
)
from resticwrap.planning import lifecycle
from resticwrap.planning.lifecycle.survey import Known, Survey
from resticwrap.ports import Bucket
from resticwrap.services.context import Context

T = TypeVar("T")
FOLDER = "Target {} is a folder of this machine: it has no lifecycle rules, and its files stay as they are."
MAY_READ = "the maintainer's credentials need s3:GetLifecycleConfiguration, or oss:GetBucketLifecycle"
DONE = {"add": "added", "change": "changed", "remove": "removed"}
SHORTEST = 12
"""Characters of a digest that tell it from any other."""
TURN = 1000
"""After so many objects somebody's wish to stop is heeded."""


def layout_of(context: Context) -> lifecycle.Layout:
    """Where this target's objects lie in its bucket. Raises UsageError for a folder, which has no rules."""
    target = context.target
    if target.provider == "local":
        raise errors.UsageError(FOLDER.format(context.target_name), hint="rw lifecycle plan --target NAME")
    assert isinstance(target, BucketTarget)
    return lifecycle.Layout(
        provider=target.provider,
        namespace=target.namespace,
        environment=target.environment or target.namespace,
    )


def plan(context: Context, *, remove: bool = False) -> LifecyclePlan:
    """What `apply` (or `remove`) would make of the bucket's rules; an empty plan with a note for a folder."""
    bucket = context.bucket()
    if bucket is None:
        note = FOLDER.format(context.target_name)
        return LifecyclePlan(target=context.target_name, provider=context.target.provider, notes=(note,))
    return _plan(context, bucket, remove=remove)


def apply(context: Context, planned: LifecyclePlan, *, remove: bool = False, if_seen: str = "") -> LifecycleReport:
    """Put the very document of the plan, if the rules are still those that it saw, and read them back.

    With `if_seen`, they must be those of that digest. Raises UnsafeBucket over unsafe rules (`remove` takes ours away
    all the same), LifecycleRefused where they are not put, UsageError for a folder; then nothing was changed.
    """
    layout, bucket = layout_of(context), context.bucket()
    assert bucket is not None
    if if_seen and len(if_seen) < SHORTEST:
        raise errors.UsageError(f"A digest has at least {SHORTEST} characters.", hint="rw lifecycle plan")
    if if_seen and not planned.seen.startswith(if_seen):
        raise _changed(f"are not those with the digest {if_seen[:12]}")
    if not remove:
        refuse_unsafe(context, planned.problems)
    if planned.refused:
        raise errors.LifecycleRefused(
            f"The lifecycle rules are not written. {' '.join(planned.refused)}",
            hint="Mend that rule in the provider's own console; then rw lifecycle plan.",
        )
    context.heed()
    if _plan(context, bucket, remove=remove) != planned:
        raise _changed("have changed since they were looked at")
    if not planned.changed:
        return LifecycleReport(plan=planned, applied=False)
    document = planned.document.encode() if planned.document else None
    bucket.put_lifecycle(document)
    put, found = (lifecycle.read(text, layout.provider) for text in (document, bucket.lifecycle()))
    with contextlib.suppress(errors.TargetUnreachable, errors.TargetRefused, errors.LifecycleRefused):
        _remember(context, problems_of(context, bucket), lacks=_lacks_now(context, bucket))
    return LifecycleReport(plan=planned, applied=True, differs=lifecycle.same_rules(put, found))


def _plan(context: Context, bucket: Bucket, *, remove: bool = False) -> LifecyclePlan:
    layout = layout_of(context)
    seen = lifecycle.read(bucket.lifecycle(), layout.provider)
    if remove:
        return lifecycle.make_plan(context.target_name, seen, (), layout)
    versioning, note = _versioning(bucket)
    settings, left = context.settings, lifecycle.left_to(seen, layout)
    rules = lifecycle.wanted(layout, settings.tiers.cold.transitions, settings.lifecycle, versioning or "off", left)
    made = lifecycle.make_plan(context.target_name, seen, rules, layout, _promised(context, versioning))
    notes = [f"{action} is left to rule {rule}, which OSS lets no other overlap." for action, rule in left.items()]
    return msgspec.structs.replace(made, notes=(note, *notes) if note else tuple(notes))


def _versioning(bucket: Bucket) -> tuple[Versioning | None, str]:
    """Whether old versions are kept. Where that may not be asked, None: then no rule about them is made."""
    try:
        return bucket.versioning(), ""
    except errors.TargetRefused as error:
        return None, f"Whether the bucket keeps old versions is not known, so no rule ends them: {error.message}"


def _promised(context: Context, versioning: Versioning | None) -> int | None:
    """For how many days old versions must stay; None where there are none. Not to know is as if there were."""
    return None if versioning == "off" else context.settings.lifecycle.noncurrent


def _changed(how: str) -> errors.LifecycleRefused:
    return errors.LifecycleRefused(
        f"The bucket's lifecycle rules {how}: somebody else was there. Nothing was written.",
        hint="rw lifecycle plan   (it shows them as they are now)",
    )


def refuse_unsafe(context: Context, problems: tuple[RuleProblem, ...]) -> None:
    """Raises UnsafeBucket where there are unsafe ones, naming each."""
    if not (bad := lifecycle.unsafe(problems)):
        return
    told = "; ".join(_sentence(problem) for problem in bad)
    raise errors.UnsafeBucket(
        f"Lifecycle rules of the bucket are not safe for the repositories of target {context.target_name}: {told}.",
        hint=f"rw lifecycle status --target {context.target_name}   (it says for each what to do; nothing was changed)",
    )


def _sentence(problem: RuleProblem) -> str:
    return f"rule {problem.rule} ({problem.selects}) {problem.effect}"


def problems_of(context: Context, bucket: Bucket, promised: int | None = None) -> tuple[RuleProblem, ...]:
    """What is wrong with the rules that the bucket has now: one request. Of old versions only where some are promised
    for so many days."""
    layout = layout_of(context)
    return lifecycle.judge(lifecycle.read(bucket.lifecycle(), layout.provider).rules, layout, promised)


def guard(context: Context) -> None:
    """Raises UnsafeBucket where the bucket's rules would delete or freeze what a repository needs, or may not be read.

    To be called before anything that relies on what lies there. A folder has no rules, nor has a store that has no call
    for them; of that a note tells.
    """
    bucket = context.bucket()
    if bucket is None:
        return
    try:
        problems = problems_of(context, bucket)
    except errors.NoSuchCall as error:
        _remember(context)
        context.watcher.note(f"There can be no lifecycle rules: {error.message}")
        return
    except errors.TargetRefused as error:
        _remember(context, why=error.message)
        raise errors.UnsafeBucket(
            f"Nobody knows whether the bucket's lifecycle rules are safe: {error.message}",
            hint=f"{error.hint} To read them, {MAY_READ}.",
        ) from error
    except errors.LifecycleRefused as error:
        _remember(context, why=error.message)
        raise errors.UnsafeBucket(error.message, hint=error.hint) from error
    _remember(context, problems, lacks=_lacks_now(context, bucket))
    refuse_unsafe(context, problems)


def look(context: Context) -> str | None:
    """Look at the bucket's rules, by one request, so that the gate knows of them. Returns what a person should know;
    nothing of a folder. Raises Interrupted and nothing else: what calls it has work of its own."""
    bucket = context.bucket()
    if bucket is None:
        return None
    try:
        problems = problems_of(context, bucket)
    except errors.Interrupted:
        raise
    except errors.NoSuchCall:
        _remember(context)
        return None
    except (errors.TargetRefused, errors.LifecycleRefused) as error:
        _remember(context, why=error.message)
        return f"The bucket's lifecycle rules are not known: {error.message}"
    except errors.Failure as error:
        return f"The bucket's lifecycle rules could not be looked at: {error.message}"
    _remember(context, problems)
    if bad := lifecycle.unsafe(problems):
        return f"Lifecycle rules of the bucket are not safe: {'; '.join(_sentence(one) for one in bad)}."
    return None


def _remember(
    context: Context,
    problems: tuple[RuleProblem, ...] = (),
    *,
    why: str = "",
    lacks: tuple[str, ...] | None = None,
) -> None:
    """For the gate and for alerts. Where the state directory does not take it, the look before it stands, and grows
    old. `lacks` None: nobody has compared the rules with the policy now, so what was found before stands."""
    unsafe = tuple(_sentence(problem) for problem in lifecycle.unsafe(problems))
    with contextlib.suppress(errors.Failure):
        before = context.state.bucket_look(context.target_name)
        if lacks is None:
            lacks = before.lacks if before is not None else ()
        seen = BucketLook(at=context.clock.now(), unsafe=unsafe, known=not why, why=why, lacks=lacks)
        context.state.put_bucket_look(context.target_name, seen)


def _lacks_now(context: Context, bucket: Bucket) -> tuple[str, ...] | None:
    """As `lacking`; None where that cannot be told now, which stops nobody."""
    try:
        return lacking(context, _plan(context, bucket))
    except errors.Interrupted:
        raise
    except errors.Failure:
        return None


def lacking(context: Context, made: LifecyclePlan) -> tuple[str, ...]:
    """What `rw lifecycle apply` would do. Who wants no transitions and has never applied any rule lacks nothing."""
    ours = [change for change in made.changes if change.ours]
    wanted = getattr(context.settings.tiers.cold.transitions, made.provider, ())
    if not wanted and all(change.action == "add" for change in ours):
        return ()
    return tuple(f"{change.rule} would be {DONE[change.action]}" for change in ours if change.action in DONE)


def check(context: Context) -> list[Check]:
    """The doctor's question: nothing to ask of a folder."""
    name, bucket = "lifecycle rules", context.bucket()
    if bucket is None:
        return []
    try:
        problems = problems_of(context, bucket, _promised(context, _versioning(bucket)[0]))
        _remember(context, problems)
        made = _plan(context, bucket)
        _remember(context, problems, lacks=lacking(context, made))
    except errors.NoSuchCall as error:
        return [Check(name=name, verdict="ok", detail=f"there can be none: {error.message}")]
    except errors.TargetRefused as error:
        hint = f"tier, forget and prune refuse to run like this: {MAY_READ}."
        return [Check(name=name, verdict="warn", detail=f"they may not be read: {error.message}", hint=hint)]
    if bad := lifecycle.unsafe(problems):
        detail = "; ".join(f"{problem.rule} {problem.effect}" for problem in bad)
        return [Check(name=name, verdict="fail", detail=detail, hint=bad[0].advice)]
    if problems:
        detail = "; ".join(f"{problem.rule} {problem.effect}" for problem in problems)
        return [Check(name=name, verdict="warn", detail=detail, hint=problems[0].advice)]
    ours = [change for change in made.changes if change.ours]
    if all(change.action == "add" for change in ours):
        return [Check(name=name, verdict="ok", detail="none is unsafe; ours are not there: rw lifecycle apply")]
    if made.changed:
        hint = f"rw lifecycle apply --target {context.target_name}"
        return [Check(name=name, verdict="warn", detail="ours are not as the policy wants them", hint=hint)]
    return [Check(name=name, verdict="ok", detail=f"{len(made.changes)} rules, none unsafe, ours as the policy wants")]


def status(context: Context) -> LifecycleStatus:
    """Rules, versions and lock of the bucket, and one pass over its listing, compared with the policy."""
    bucket, now = context.bucket(), context.clock.now()
    if bucket is None:
        return LifecycleStatus(
            target=context.target_name,
            provider=context.target.provider,
            at=now,
            versioning="off",
            in_effect=True,
            notes=(FOLDER.format(context.target_name),),
        )
    notes: list[str] = []
    layout = layout_of(context)
    made = _plan(context, bucket)
    notes += made.notes
    versioning = _asked(bucket.versioning, "whether the bucket keeps old versions", notes)
    # Of the rules as they are; those in the plan are of what they would be.
    problems = problems_of(context, bucket, _promised(context, versioning))
    _remember(context, problems, lacks=lacking(context, made))
    known = _known(context, notes)
    transitions = context.settings.tiers.cold.transitions
    steps = [(step.days, step.storage_class) for step in getattr(transitions, layout.provider)]
    found = Survey(layout, known, steps, now)
    listings = (f"{layout.namespace}/", f"backups/{layout.environment}/")
    for number, one in enumerate(chain.from_iterable(bucket.objects(prefix) for prefix in listings)):
        if number % TURN == 0:
            context.heed()
        found.add(one)
    return LifecycleStatus(
        target=context.target_name,
        provider=layout.provider,
        at=now,
        versioning=versioning or "unknown",
        in_effect=not made.changed,
        rules=made.changes,
        problems=problems,
        lock=_lock(bucket, found, notes),
        usage=found.usage(),
        overdue=found.overdue,
        overdue_bytes=found.overdue_bytes,
        overdue_sample=tuple(found.overdue_sample),
        astray=found.astray,
        astray_sample=tuple(found.astray_sample),
        unlabelled=found.unlabelled,
        notes=tuple(notes),
    )


def _known(context: Context, notes: list[str]) -> Known:
    """What catalogue and index know of the packs of cold; a note for each that does not answer."""
    try:
        labelled = dict(context.catalog().packs(context.target_name, "cold"))
    except errors.CatalogUnavailable as error:
        notes.append(f"Which packs are labelled is not known: {error.message}")
        labelled = {}
    try:
        context.check_pin("cold")
        trees = context.cold.trees()
        return Known(labelled=labelled, data_only=trees.data_only_packs(), indexed=frozenset(trees.packs()))
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        notes.append(f"Which packs of cold hold data alone is not known: {error.message}")
        return Known(labelled=labelled)


def _asked(question: Callable[[], T], what: str, notes: list[str]) -> T | None:
    """The answer; None and a note where it may not be had."""
    try:
        return question()
    except errors.TargetRefused as error:
        notes.append(f"Not known {what}: {error.message}")
        return None


def _lock(bucket: Bucket, found: Survey, notes: list[str]) -> LockStatus | None:
    lock = _asked(bucket.lock, "whether the bucket is locked", notes)
    if lock is None:
        return None

    def until(one: StoredObject | None) -> Time | None:
        if one is None:
            return None
        return _asked(lambda: _locked_until(bucket, lock, one), f"until when {one.key} is locked", notes)

    return LockStatus(mode=lock.mode, days=lock.days, whole_until=until(found.oldest), newest_until=until(found.newest))


def _locked_until(bucket: Bucket, lock: ObjectLock, one: StoredObject) -> Time | None:
    """Until when this object cannot be destroyed: as the bucket tells of it, else by the rule of the lock."""
    if lock.since is not None:
        return lock.since + timedelta(days=lock.days)
    for version in bucket.versions(one.key):
        if version.key == one.key and version.latest:
            return bucket.locked_until(version)
    return None
