"""`rw restore` into an empty folder: restore beside, compare every file with the snapshot's tree, then name it.

A file that does not compare is renamed `….rw-damaged`: restic leaves one of full size with holes in it (measured), and
nobody should take it for the file.
"""

import dataclasses
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.model.reports import RestoredDomain, RestoreReport
from resticwrap.model.sources import FilesSource, SecretsSource
from resticwrap.planning import inplace
from resticwrap.ports import Progress
from resticwrap.services import interrupted, thaw
from resticwrap.services.choosing import LOST, Choice, Wish, choose, notes_of
from resticwrap.services.compare import compare, excused
from resticwrap.services.context import Context
from resticwrap.services.fetching import NAMED, entries, fetch_and_check
from resticwrap.services.leftovers import clear_stage, dead_stages, stage_of


def restore(context: Context, wish: Wish, to: Path, how: thaw.Thawing | None = None) -> RestoreReport:
    """Restore beside, into an empty or new folder `to`. Raises RestoreRefused before anything was written.

    Where a restore was killed in that very folder, it is finished: what it had done is compared, not restored again.
    """
    interrupted.close(context)
    dead = dead_stages(context, to)
    if not dead:
        refuse_full(to)
    choices = choose(context, wish)
    how = how or thaw.Thawing()
    frozen = thaw.plans(context, choices, how)
    thaw.agree(frozen, how)
    job = msgspec.structs.replace(context.new_job("restore"), details={"to": str(to), **thaw.details(frozen)})
    done: list[RestoredDomain] = []
    troubles: list[errors.Failure | None] = []
    notes: list[str] = []
    with context.running(job):
        thawed = thaw.bring(context, job, frozen)
        if thawed:
            # Hours went by: what read the index then does not know what a prune has written since.
            choices = [dataclasses.replace(choice, trees=None) for choice in choices]
        context.watcher.begin(f"restore {job.id}", [choice.domain for choice in choices])
        try:
            _make_stage(stage_of(to, job))
            for stage in dead:
                clear_stage(stage, finished=True)
            for choice in choices:
                context.watcher.update(choice.domain, Progress())
                found = _resumed(context, job, choice, to) if dead else None
                restored, trouble, note = (found, None, "") if found else _one(context, job, choice, to)
                done.append(restored)
                troubles.append(trouble)
                notes += [note] if note else []
                context.watcher.done(choice.domain, "ok" if good(restored) else "failed")
            _raise_if_nothing_came(done, troubles)
            job = msgspec.structs.replace(
                job,
                outcome="ok" if all(good(restored) for restored in done) else "partial",
                finished_at=context.clock.now(),
                details={
                    **job.details,
                    **thaw.result(thawed),
                    "snapshots": {restored.domain: restored.snapshot for restored in done},
                },
            )
            # Before the stage goes: where it is left, the next restore knows that this one was not finished.
            context.recorder.close(job)
        finally:
            context.watcher.end()
            clear_stage(stage_of(to, job), finished=job.outcome != "running")
    return RestoreReport(
        job=job,
        mode="beside",
        domains=tuple(done),
        notes=(*notes_of(choices), *notes),
        thaw=frozen,
        thawed=thawed,
    )


def _raise_if_nothing_came(done: Sequence[RestoredDomain], troubles: Sequence[errors.Failure | None]) -> None:
    """Where not one domain brought anything, the restore has failed, for the first reason."""
    if all(troubles) and not any(os.path.lexists(restored.place) for restored in done):
        for trouble in troubles:
            if trouble is not None:
                raise trouble


def preview(context: Context, wish: Wish, to: Path, how: thaw.Thawing | None = None) -> RestoreReport:
    """What a restore would bring back, from which snapshot and to where; nothing is written or recorded."""
    refuse_full(to)
    choices = choose(context, wish)
    domains = tuple(planned(context, choice, to / choice.domain) for choice in choices)
    return RestoreReport(
        job=context.new_job("restore"),
        mode="planned",
        domains=domains,
        notes=notes_of(choices),
        thaw=thaw.plans(context, choices, how or thaw.Thawing()),
    )


def planned(context: Context, choice: Choice, place: Path) -> RestoredDomain:
    """A choice as it is in its snapshot, not compared with anything yet."""
    files = [entry.size for entry in entries(context, choice) if entry.kind == "file"]
    return RestoredDomain(
        domain=choice.domain,
        snapshot=choice.snapshot.original,
        time=choice.snapshot.time,
        place=str(place),
        files=len(files),
        size=sum(files),
        compared=0,
        tier=choice.tier,
    )


def live_root(context: Context, domain: str) -> Path:
    """Where a domain's live data is. Raises UsageError for a domain that the policy does not have any more."""
    found = context.settings.select_domains([domain])[domain]
    if not isinstance(found.source, FilesSource | SecretsSource):
        raise errors.UsageError(
            f"{domain} is no folder of files that could be exchanged for another.",
            hint=f"rw db restore {domain} --replace",
        )
    return found.source.root


def good(restored: RestoredDomain) -> bool:
    """Whether everything came back and compared well."""
    return not restored.mismatches and not restored.unreadable


def refuse_full(to: Path) -> None:
    """Raises RestoreRefused where `to` holds anything already: a restore never mixes with what is there."""
    if os.path.lexists(to) and (not to.is_dir() or any(to.iterdir())):
        raise errors.RestoreRefused(
            f"{to} is not an empty folder.", hint="Give an empty or a new folder with --to, or use --in-place."
        )


def _make_stage(stage: Path) -> None:
    try:
        stage.mkdir(parents=True, mode=0o700)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (errors.DiskFull if full else errors.Failure)(
            f"{stage.parent} cannot be restored to: {error.strerror}.", hint="Give another folder with --to."
        ) from error


def _resumed(context: Context, job: Job, choice: Choice, to: Path) -> RestoredDomain | None:
    """A domain that a killed restore had put in its place, if it is what is wanted; else it is renamed, not removed."""
    place = to / choice.domain
    if not os.path.lexists(place):
        return None
    name = os.fsencode(choice.domain)
    trees = context.repositories[choice.tier].trees()
    try:
        wanted = [
            msgspec.structs.replace(entry, path=name + entry.path[len(choice.root) :])
            for entry in entries(context, choice)
        ]
        compared = compare(trees, wanted, os.fsencode(to), choice.domain, owners=True)
        wrong = False
        for entry, mismatch in compared:
            context.heed()
            wrong = wrong or (mismatch is not None and not excused(entry, mismatch))
    except LOST:
        wrong = True
    if wrong:
        place.rename(f"{place}.before-{job.id}")
        return None
    whole = planned(context, choice, place)
    return msgspec.structs.replace(whole, compared=whole.files)


def _one(context: Context, job: Job, choice: Choice, to: Path) -> tuple[RestoredDomain, errors.Failure | None, str]:
    """Restore one domain. What the repository has lost of it is in `unreadable`, and why (first) beside it: what came
    back all the same is put in its place. And a note on owners that could not be set."""
    stage = stage_of(to, job) / choice.domain
    found = fetch_and_check(context, choice, stage)
    place = to / choice.domain
    staged = os.path.join(os.fsencode(stage), choice.root)
    if os.path.lexists(staged):
        os.rename(staged, os.fsencode(place))
    restored = RestoredDomain(
        domain=choice.domain,
        snapshot=choice.snapshot.original,
        time=choice.snapshot.time,
        place=str(place),
        files=found.files,
        size=found.size,
        compared=found.files,
        tier=choice.tier,
        mismatches=tuple(found.wrong),
        unreadable=tuple(dict.fromkeys(found.unreadable))[:NAMED],
    )
    note = inplace.strangers(choice.domain, found.foreign, found.first_foreign) if found.foreign else ""
    return restored, found.trouble, note
