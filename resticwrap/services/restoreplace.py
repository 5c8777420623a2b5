"""`rw restore --in-place`, `--undo`, `--accept`: hands domains and repositories to the engine in `inplace.py`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.model.reports import Mismatch, RestoredDomain, RestoreReport
from resticwrap.model.swap import InPlaceResult, Piece, Safety
from resticwrap.services import backup
from resticwrap.services.compare import compare
from resticwrap.services.context import Context
from resticwrap.services.inplace import InPlace
from resticwrap.services.inplace_ports import Work
from resticwrap.services.restore import NOT_RESTORED, Choice, Wish, choose, entries, live_root, planned

LOCK = "in-place restore"


class DomainWork(Work):
    """What the engine needs done: a snapshot of what is live, a restore into a stage, a comparison."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def snapshot_live(self, piece: Piece) -> Safety:
        context = self._context
        plan = backup.plan(context, "incremental", context.settings.select_domains([piece.domain]))
        (run,) = backup.backup(context, plan).job.domains
        if run.snapshot is None:
            why = run.error.message if run.error else "nothing was written."
            raise errors.RestoreRefused(
                f"What is live in {piece.domain} could not be backed up: {why}",
                hint=run.error.hint if run.error else "rw doctor",
            )
        return Safety(snapshot=run.snapshot, complete=run.complete)

    def restore_to(self, piece: Piece, folder: Path) -> Path:
        self._context.repositories[piece.tier].restore(
            piece.snapshot,
            folder,
            [piece.inside],
            on_progress=lambda progress: self._context.watcher.update(piece.domain, progress),
        )
        return folder / os.fsdecode(piece.inside)

    def compare(self, piece: Piece, place: Path) -> Sequence[Mismatch]:
        repository = self._context.repositories[piece.tier]
        trees = repository.trees()
        wanted = (
            msgspec.structs.replace(entry, path=entry.path[len(piece.inside) :].lstrip(b"/"))
            for entry in trees.walk(repository.snapshot(piece.snapshot).tree, piece.inside)
            if entry.kind not in NOT_RESTORED
        )
        return [wrong for _, wrong in compare(trees, wanted, os.fsencode(place), piece.domain) if wrong]


def recover(context: Context) -> None:
    """Finish or undo what crashed restores left; said aloud. A restore that is under way is left alone."""
    try:
        with context.locks.hold(LOCK):
            found = context.in_place(DomainWork(context)).recover()
    except errors.Locked:
        return
    for one in found:
        context.watcher.note(
            f"in-place restore {one.job}: was {one.was}, is {one.now}. {one.error} {one.hint}".rstrip()
        )


def restore(context: Context, wish: Wish) -> RestoreReport:
    """Put paths or whole domains back in their live place. Raises RestoreRefused where that could not be undone."""
    job = context.new_job("restore")
    context.close_interrupted()
    work = DomainWork(context)
    with context.locks.hold(LOCK), context.running(job, strict=True):
        engine = context.in_place(work)
        engine.recover()
        context.check_pin(wish.tier)
        choices = choose(context, wish)
        context.watcher.begin(f"restore {job.id}", [choice.domain for choice in choices])
        try:
            result = engine.run(job.id, context.target_name, pieces(context, wish, choices))
        finally:
            context.watcher.end()
        domains = [_restored(context, wish, choice) for choice in choices]
        return _close(context, job, "in-place", result, domains)


def preview(context: Context, wish: Wish) -> RestoreReport:
    """What an in-place restore would do, checked as a run checks it; writes nothing. Raises what a run would raise."""
    context.check_pin(wish.tier)
    choices = choose(context, wish)
    job = context.new_job("restore")
    _, notes = context.in_place(DomainWork(context)).check(job.id, pieces(context, wish, choices))
    domains = tuple(planned(context, wish.tier, choice, live_root(context, choice.domain)) for choice in choices)
    return RestoreReport(job=job, mode="planned", domains=domains, notes=notes)


def undo(context: Context, restored: str) -> RestoreReport:
    """Exchange an in-place restore back."""
    return _again(context, "undo", lambda engine: engine.undo(restored))


def accept(context: Context, restored: str) -> RestoreReport:
    """Remove the tree that an in-place restore, or its undo, put aside."""
    return _again(context, "accept", lambda engine: engine.accept(restored))


def _again(context: Context, mode: str, act: Callable[[InPlace], InPlaceResult]) -> RestoreReport:
    job = context.new_job("restore")
    context.close_interrupted()
    with context.locks.hold(LOCK), context.running(job, strict=True):
        engine = context.in_place(DomainWork(context))
        engine.recover()
        return _close(context, job, mode, act(engine), [])


def pieces(context: Context, wish: Wish, choices: Sequence[Choice]) -> list[Piece]:
    """One piece for each wanted path: where it stands in the snapshot, where it lives, how large it is."""
    found = []
    for choice in choices:
        live = os.path.realpath(os.fsencode(live_root(context, choice.domain)))
        for inside in choice.paths or (choice.root,):
            one = Choice(choice.domain, choice.snapshot, choice.root, (inside,))
            found.append(
                Piece(
                    domain=choice.domain,
                    snapshot=choice.snapshot.id,
                    inside=inside,
                    live=os.path.join(live, inside[len(choice.root) :].lstrip(b"/")).rstrip(b"/"),
                    size=sum(entry.size for entry in entries(context, wish.tier, one)),
                    tier=wish.tier,
                )
            )
    return found


def _restored(context: Context, wish: Wish, choice: Choice) -> RestoredDomain:
    """The engine has compared all of it, and raises where anything differs."""
    whole = planned(context, wish.tier, choice, live_root(context, choice.domain))
    return msgspec.structs.replace(whole, compared=whole.files)


def _close(
    context: Context, job: Job, mode: str, result: InPlaceResult, domains: Sequence[RestoredDomain]
) -> RestoreReport:
    job = msgspec.structs.replace(
        job,
        outcome="ok",
        finished_at=context.clock.now(),
        details={"mode": mode, "restore": result.job, "safety": result.safety, "kept": list(result.kept)},
    )
    context.recorder.close(job)
    return RestoreReport(
        job=job,
        mode=mode,  # type: ignore[arg-type]
        domains=tuple(domains),
        restored=result.job,
        kept=result.kept,
        safety=result.safety,
        notes=result.notes,
    )
