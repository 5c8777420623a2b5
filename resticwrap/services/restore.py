"""`rw restore` into an empty folder: restore beside, compare every file with the snapshot's tree, then name it.

A file that does not compare is renamed `….rw-damaged`: restic leaves one of full size with holes in it (measured), and
nobody should take it for the file.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.objects import Entry
from resticwrap.model.reports import Mismatch, RestoredDomain, RestoreReport
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import restore as planning
from resticwrap.ports import Trees
from resticwrap.services import manifest
from resticwrap.services.compare import compare
from resticwrap.services.context import Context

DAMAGED = b".rw-damaged"
NOT_RESTORED = frozenset({"socket", "irregular"})
"""What restic does not bring back: it means nothing without the process that made it."""
NAMED = 500


@dataclass(frozen=True)
class Wish:
    """What to restore: `paths` below one domain, whole domains, or all of a job; from which snapshot, in which tier."""

    domains: tuple[str, ...]
    paths: tuple[str, ...] = ()
    snapshot: str = "latest"
    at: Time | None = None
    job: str | None = None
    tier: str = "hot"


@dataclass(frozen=True)
class Choice:
    """One domain's snapshot, the name of its root in the tree, and the wanted paths as they stand in the snapshot."""

    domain: str
    snapshot: Snapshot
    root: bytes
    paths: tuple[bytes, ...]


def choose(context: Context, wish: Wish) -> list[Choice]:
    """Which snapshots a wish means. Raises NotFound, UsageError."""
    if wish.paths and len(wish.domains) != 1:
        raise errors.UsageError(
            "Paths belong to one domain.", hint="rw restore PATH --domain NAME   (rw ls --domain NAME lists them)"
        )
    repository = context.repositories[wish.tier]
    snapshots = repository.snapshots()
    complete = known_complete(context, wish.tier)
    trees = repository.trees()
    choices = []
    for domain, name in _wanted(context, wish, snapshots, complete).items():
        snapshot = planning.choose(snapshots, domain, wanted=name, at=wish.at, complete=complete)
        root = root_of(trees, snapshot)
        paths = tuple(planning.inside(root, path) for path in wish.paths)
        for path, asked in zip(paths, wish.paths, strict=True):
            if next(iter(trees.walk(snapshot.tree, path)), None) is None:
                raise errors.NotFound(
                    f"Snapshot {snapshot.original[:8]} of {domain} has no {asked}.",
                    hint=f"rw ls --domain {domain} --snapshot {snapshot.original[:8]}",
                )
        choices.append(Choice(domain, snapshot, root, paths))
    return choices


def _wanted(
    context: Context, wish: Wish, snapshots: Sequence[Snapshot], complete: Callable[[Snapshot], bool]
) -> dict[str, str]:
    """By domain, which snapshot: an id (or its beginning), or `latest`."""
    if wish.job:
        return _of_job(context, wish)
    if wish.domains:
        return dict.fromkeys(wish.domains, wish.snapshot)
    if wish.snapshot != "latest":
        owners = {s.domain for s in snapshots if s.domain and wish.snapshot in (s.id[: len(wish.snapshot)], s.original)}
        return dict.fromkeys(sorted(owners) or sorted(context.settings.domains), wish.snapshot)
    return dict.fromkeys(everything(context, wish, snapshots, complete), "latest")


def everything(
    context: Context, wish: Wish, snapshots: Sequence[Snapshot], complete: Callable[[Snapshot], bool]
) -> list[str]:
    """Every domain that has a complete snapshot, also one that the policy has dropped; the others are told of."""
    there = {s.domain for s in snapshots if s.domain and complete(s) and (wish.at is None or s.time <= wish.at)}
    for name in sorted(set(context.settings.domains) - there):
        context.watcher.note(f"{name} has no complete snapshot, so it is left out")
    if not there:
        raise errors.NotFound(
            f"Target {context.target_name} holds no complete snapshot of that time.",
            hint="rw snapshots   (on a new machine first: rw catalog rebuild)",
        )
    return sorted(there)


def _of_job(context: Context, wish: Wish) -> dict[str, str]:
    assert wish.job is not None
    written = manifest.load(context, wish.job)
    runs = {listed.run.domain: listed.run.snapshot for listed in written.domains}
    return {name: snapshot for name in wish.domains or runs if (snapshot := runs.get(name))}


def known_complete(context: Context, tier: str) -> Callable[[Snapshot], bool]:
    """Whether a snapshot is known to be complete. A catalogue that is down keeps nobody from restoring."""
    try:
        known = context.catalog().snapshots(context.target_name, tier)
    except errors.CatalogUnavailable as error:
        context.watcher.note(f"{error.message} Taking every snapshot for complete.")
        return lambda _: True
    return lambda snapshot: (record := known.get(snapshot.original)) is not None and record.complete


def root_of(trees: Trees, snapshot: Snapshot) -> bytes:
    """The name of a snapshot's one root. Raises NotFound for an empty snapshot."""
    for entry in trees.walk(snapshot.tree):
        return entry.path
    raise errors.NotFound(f"Snapshot {snapshot.original[:8]} is empty.", hint="rw snapshots")


def restore(context: Context, wish: Wish, to: Path) -> RestoreReport:
    """Restore beside, into an empty or new folder `to`. Raises RestoreRefused before anything was written."""
    refuse_full(to)
    job = context.new_job("restore")
    context.close_interrupted()
    done: list[RestoredDomain] = []
    with context.running(job):
        context.check_pin(wish.tier)
        choices = choose(context, wish)
        context.watcher.begin(f"restore {job.id}", [choice.domain for choice in choices])
        try:
            for choice in choices:
                done.append(_one(context, wish.tier, job, choice, to))
                context.watcher.done(choice.domain, "ok" if good(done[-1]) else "failed")
        finally:
            context.watcher.end()
            shutil.rmtree(stage_of(to, job), ignore_errors=True)
        job = msgspec.structs.replace(
            job,
            outcome="ok" if all(good(restored) for restored in done) else "partial",
            finished_at=context.clock.now(),
            details={"to": str(to), "snapshots": {restored.domain: restored.snapshot for restored in done}},
        )
        context.recorder.close(job)
    return RestoreReport(job=job, mode="beside", domains=tuple(done))


def preview(context: Context, wish: Wish, to: Path) -> RestoreReport:
    """What a restore would bring back, from which snapshot and to where; nothing is written or recorded."""
    refuse_full(to)
    context.check_pin(wish.tier)
    domains = tuple(planned(context, wish.tier, choice, to / choice.domain) for choice in choose(context, wish))
    return RestoreReport(job=context.new_job("restore"), mode="planned", domains=domains)


def planned(context: Context, tier: str, choice: Choice, place: Path) -> RestoredDomain:
    """A choice as it is in its snapshot, not compared with anything yet."""
    files = [entry.size for entry in entries(context, tier, choice) if entry.kind == "file"]
    return RestoredDomain(
        domain=choice.domain,
        snapshot=choice.snapshot.original,
        time=choice.snapshot.time,
        place=str(place),
        files=len(files),
        size=sum(files),
        compared=0,
    )


def live_root(context: Context, domain: str) -> Path:
    """Where a domain's live data is. Raises UsageError for a domain that the policy does not have any more."""
    return context.settings.select_domains([domain])[domain].source.root


def good(restored: RestoredDomain) -> bool:
    """Whether everything came back and compared well."""
    return not restored.mismatches and not restored.unreadable


def refuse_full(to: Path) -> None:
    """Raises RestoreRefused where `to` holds anything already: a restore never mixes with what is there."""
    if os.path.lexists(to) and (not to.is_dir() or any(to.iterdir())):
        raise errors.RestoreRefused(
            f"{to} is not an empty folder.", hint="Give an empty or a new folder with --to, or use --in-place."
        )


def stage_of(to: Path, job: Job) -> Path:
    """Where an unfinished restore lies; its name says that it is unfinished."""
    return to / f".rw-restore-{job.id}"


def _one(context: Context, tier: str, job: Job, choice: Choice, to: Path) -> RestoredDomain:
    stage = stage_of(to, job) / choice.domain
    result = fetch(context, tier, choice, stage)
    compared, mismatches, size = check(context, tier, choice, os.fsencode(stage), set_aside=True)
    place = to / choice.domain
    staged = os.path.join(os.fsencode(stage), choice.root)
    if os.path.lexists(staged):
        os.rename(staged, os.fsencode(place))
    return RestoredDomain(
        domain=choice.domain,
        snapshot=choice.snapshot.original,
        time=choice.snapshot.time,
        place=str(place),
        files=result,
        size=size,
        compared=compared,
        mismatches=tuple(mismatches),
    )


def fetch(context: Context, tier: str, choice: Choice, stage: Path) -> int:
    """Restore a choice below `stage`, as it stands in the snapshot. Returns the number of files that restic wrote."""
    stage.mkdir(parents=True, mode=0o700)
    result = context.repositories[tier].restore(
        choice.snapshot.id,
        stage,
        choice.paths,
        on_progress=lambda progress: context.watcher.update(choice.domain, progress),
    )
    return result.files


def entries(context: Context, tier: str, choice: Choice) -> Iterator[Entry]:
    """What a choice must bring back. The folders on the way to a wanted path are not part of it."""
    trees = context.repositories[tier].trees()
    for under in choice.paths or (choice.root,):
        for entry in trees.walk(choice.snapshot.tree, under):
            if entry.kind not in NOT_RESTORED:
                yield entry


def check(
    context: Context, tier: str, choice: Choice, place: bytes, *, set_aside: bool = False
) -> tuple[int, list[Mismatch], int]:
    """Compare all of a choice with what lies below `place`: how many files, what is wrong, how many bytes are right.

    With `set_aside`, a file with wrong content is renamed so that nobody takes it for the real one.
    """
    trees = context.repositories[tier].trees()
    compared, size = 0, 0
    wrong: list[Mismatch] = []
    for entry, mismatch in compare(trees, entries(context, tier, choice), place, choice.domain):
        compared += entry.kind == "file"
        if mismatch is None:
            size += entry.size
            continue
        if len(wrong) < NAMED:
            wrong.append(mismatch)
        path = os.path.join(place, entry.path)
        if set_aside and entry.kind == "file" and os.path.isfile(path) and not os.path.islink(path):
            with contextlib.suppress(OSError):
                os.rename(path, path + DAMAGED)
    return compared, wrong, size
