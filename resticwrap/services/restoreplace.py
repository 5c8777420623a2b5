"""`rw restore --in-place`, `--undo`, `--accept`: hands domains and repositories to the engine in `inplace.py`."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.model.objects import show_path
from resticwrap.model.policy import LocalTarget, roots_of
from resticwrap.model.reports import Mismatch, RestoredDomain, RestoreReport
from resticwrap.model.sources import DATABASES, SecretsSource
from resticwrap.model.swap import InPlaceResult, Piece, Safety, Unsaved
from resticwrap.planning import inplace as decide
from resticwrap.planning import owners
from resticwrap.planning.restore import incomplete
from resticwrap.services import backup, interrupted, thaw
from resticwrap.services.choosing import Choice, Wish, choose, notes_of, root_of
from resticwrap.services.compare import compare, excused, may_own
from resticwrap.services.context import Context
from resticwrap.services.fetching import NOT_RESTORED, entries
from resticwrap.services.inplace import InPlace
from resticwrap.services.inplace_ports import Work
from resticwrap.services.restore import live_root, planned
from resticwrap.services.unsaved import unsaved

LOCK = "in-place restore"
SECRET_FILES = ("RESTIC_PASSWORD_FILE", "RW_CATALOG_URL_FILE")


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
        result = self._context.repositories[piece.tier].restore(
            piece.snapshot,
            folder,
            [piece.inside],
            on_progress=lambda progress: self._context.watcher.update(piece.domain, progress),
        )
        if result.failed:
            first = result.failed[0]
            raise errors.VerifyFailed(
                f"restic could not restore {len(result.failed)} paths of {piece.domain} whole, "
                f"first {first.item}: {first.message}.",
                hint="Restore beside the live data (--to) to see what comes back.",
            )
        return folder / os.fsdecode(piece.inside)

    def compare(self, piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        repository = self._context.repositories[piece.tier]
        trees = repository.trees()
        wanted = (
            msgspec.structs.replace(entry, path=entry.path[len(piece.inside) :].lstrip(b"/"))
            for entry in trees.walk(repository.snapshot(piece.snapshot).tree, piece.inside)
            if entry.kind not in NOT_RESTORED
        )
        compared = compare(trees, wanted, os.fsencode(place), piece.domain, owners=True, cut=staged)
        found = []
        for entry, wrong in compared:
            # After the exchange as well: the engine then exchanges back, or leaves it to a later start.
            self._context.heed()
            # Owners that cannot be set were refused, or forced, before anything was begun.
            if wrong and not excused(entry, wrong):
                found.append(wrong)
        return found

    def unsaved(
        self, piece: Piece, place: Path, *, safety: str | None = None, live: bytes = b"", names_only: bool = False
    ) -> Unsaved:
        repository = self._context.repositories["hot" if safety else piece.tier]
        wanted = safety or piece.snapshot
        snapshot = next((one for one in repository.snapshots() if wanted in (one.id, one.original)), None)
        if snapshot is None:
            raise errors.NotFound(f"The snapshot {wanted[:8]} is not there any more.", hint="rw snapshots")
        trees = repository.trees()
        inside = piece.inside
        if safety:
            inside = os.path.join(root_of(repository, snapshot), live[len(piece.root) :].lstrip(b"/")).rstrip(b"/")
        try:
            heed = self._context.heed
            return unsaved(trees, snapshot.tree, inside, os.fsencode(place), names_only=names_only, heed=heed)
        except OSError as error:
            raise errors.Failure(f"{place} cannot be read whole: {error}.", hint="Run rw as a user who may.") from error

    def own(self) -> Sequence[Path]:
        return own_places(self._context)


def own_places(context: Context) -> list[Path]:
    """What rw lives on here, whichever target is used: putting any of it "back" would cut off the way to the rest."""
    settings = context.settings
    places = [settings.state_dir, settings.cache_dir]
    targets = [settings.target(name) for name in settings.target_names if not settings.problems_of_target(name)]
    places += [target.path for target in targets if isinstance(target, LocalTarget)]
    places += [target.password_file for target in targets if target.password_file is not None]
    places += [Path(named) for name in SECRET_FILES if (named := settings.env.get(name))]
    _, sqlite, database = (settings.catalog_url() or "").partition("sqlite:///")
    if sqlite and database:
        places.append(Path(database.partition("?")[0]))
    return [place.absolute() for place in places]


def recover(context: Context) -> None:
    """Finish or undo what crashed restores left; said aloud. A restore that is under way is left alone, and a journal
    that cannot be read is told of: it keeps nobody from backing up."""
    try:
        with context.locks.hold(LOCK):
            for error in context.journals.scan()[1].values():
                context.watcher.note(f"{error.message} {error.hint}")
            _recover(context, context.in_place(DomainWork(context)), strict=False)
    except errors.Locked:
        return


def _recover(context: Context, engine: InPlace, *, strict: bool = True) -> None:
    for one in engine.recover(strict=strict):
        what = " ".join(part for part in (one.error or one.reason, one.hint) if part)
        context.watcher.note(f"in-place restore {one.job}: was {one.was}, is {one.now}. {what}".rstrip())


def restore(context: Context, wish: Wish, *, force: bool = False, how: thaw.Thawing | None = None) -> RestoreReport:
    """Put paths or whole domains back in their live place. Raises RestoreRefused where that could not be undone.

    What has to be thawed first is waited for without the lock of in-place restores, and chosen again after.
    """
    how = how or thaw.Thawing()
    interrupted.close(context)
    work = DomainWork(context)
    choices = _chosen(context, wish, context.in_place(work), force=force)
    frozen = thaw.plans(context, choices, how)
    thaw.agree(frozen, how)
    job = msgspec.structs.replace(context.new_job("restore"), details=thaw.details(frozen))
    with contextlib.ExitStack() as held:
        if not frozen:
            held.enter_context(context.locks.hold(LOCK))
        job = held.enter_context(context.running(job, strict=True))
        thawed = thaw.bring(context, job, frozen)
        if frozen:
            held.enter_context(context.locks.hold(LOCK))
        engine = context.in_place(work)
        _recover(context, engine)
        if thawed:
            choices = _chosen(context, wish, engine, force=force)
        if thawed and thaw.plans(context, choices, how):
            raise errors.RestoreRefused(
                "What is to be restored changed while it was thawed, and is frozen.", hint="Run the same command again."
            )
        context.watcher.begin(f"restore {job.id}", [choice.domain for choice in choices])
        try:
            wanted, notes = pieces(context, choices, force=force)
            result = engine.run(job.id, context.target_name, wanted, force=force)
        finally:
            context.watcher.end()
        domains = [_restored(context, choice) for choice in choices]
        result = msgspec.structs.replace(result, notes=(*notes_of(choices), *notes, *result.notes))
        report = _close(context, job, "in-place", result, domains, thaw.result(thawed))
        return msgspec.structs.replace(report, thaw=frozen, thawed=thawed)


def _chosen(context: Context, wish: Wish, engine: InPlace, *, force: bool) -> list[Choice]:
    """What is wished; of "everything" without what rw itself lives on, which the engine would refuse.

    Raises RestoreRefused for a snapshot that is not known to be complete, unless `force`, and for another host's.
    """
    choices = choose(context, wish)
    for choice in choices:
        if not choice.complete and not force:
            raise incomplete(choice.domain, choice.snapshot)
        if choice.snapshot.host not in context.settings.hosts:
            raise owners.of_another(choice.snapshot, context.settings.host)
    if wish.domains or wish.snapshot != "latest":
        return choices
    found = []
    for choice in choices:
        source = context.settings.domains[choice.domain].source
        if isinstance(source, DATABASES):
            context.watcher.note(f"{choice.domain} is left out: it is a database. rw db restore {choice.domain}")
            continue
        files = source.files if isinstance(source, SecretsSource) else ("",)
        lives = [os.fsencode(live_root(context, choice.domain) / file) for file in files]
        if place := next(filter(None, map(engine.our_own, lives)), None):
            context.watcher.note(
                f"{choice.domain} is left out: rw itself lives on {place}. "
                f"rw restore --domain {choice.domain} --to FOLDER brings it back beside."
            )
        else:
            found.append(choice)
    return found


def preview(context: Context, wish: Wish, *, force: bool = False, how: thaw.Thawing | None = None) -> RestoreReport:
    """What an in-place restore would do, checked as a run checks it; writes nothing. Raises what a run would raise."""
    engine = context.in_place(DomainWork(context))
    choices = _chosen(context, wish, engine, force=force)
    job = context.new_job("restore")
    wanted, said = pieces(context, choices, force=force)
    _, notes = engine.check(job.id, wanted, force=force)
    domains = tuple(planned(context, choice, live_root(context, choice.domain)) for choice in choices)
    return RestoreReport(
        job=job,
        mode="planned",
        domains=domains,
        notes=(*notes_of(choices), *said, *notes),
        thaw=thaw.plans(context, choices, how or thaw.Thawing()),
    )


def undo(context: Context, restored: str, *, force: bool = False) -> RestoreReport:
    """Exchange an in-place restore back."""
    return _again(context, "undo", lambda engine: engine.undo(restored, force=force))


def accept(context: Context, restored: str, *, force: bool = False) -> RestoreReport:
    """Remove the tree that an in-place restore, or its undo, put aside. Raises RestoreRefused where it has what no
    snapshot has, unless `force`."""
    return _again(context, "accept", lambda engine: engine.accept(restored, force=force))


def _again(context: Context, mode: str, act: Callable[[InPlace], InPlaceResult]) -> RestoreReport:
    job = context.new_job("restore")
    interrupted.close(context)
    with context.locks.hold(LOCK), context.running(job, strict=True) as job:
        engine = context.in_place(DomainWork(context))
        _recover(context, engine)
        return _close(context, job, mode, act(engine), [])


def pieces(context: Context, choices: Sequence[Choice], *, force: bool) -> tuple[list[Piece], tuple[str, ...]]:
    """One piece for each wanted path (where it stands in the snapshot, where it lives, how large it is), and notes.

    Raises RestoreRefused where another domain of the policy lives at or below such a place, and without `force` where
    owners could not be brought back.
    """
    found: list[Piece] = []
    notes: list[str] = []
    for choice in choices:
        live = os.path.realpath(os.fsencode(live_root(context, choice.domain)))
        for inside in _paths(context, choice):
            one = Choice(choice.domain, choice.snapshot, choice.root, (inside,), tier=choice.tier)
            size, foreign = 0, list[str]()
            for entry in entries(context, one):
                context.heed()
                size += entry.size
                if not may_own(entry):
                    foreign.append(f"{show_path(entry.path)} ({entry.uid}:{entry.gid})")
            if foreign:
                notes.append(decide.strangers(choice.domain, len(foreign), foreign[0]))
                if not force:
                    raise decide.disowned(notes[-1])
            found.append(
                Piece(
                    domain=choice.domain,
                    snapshot=choice.snapshot.id,
                    inside=inside,
                    root=live,
                    live=os.path.join(live, inside[len(choice.root) :].lstrip(b"/")).rstrip(b"/"),
                    size=size,
                    tier=choice.tier,
                )
            )
            if (refusal := decide.nested(found[-1], _others(context, choice.domain))) is not None:
                raise refusal
    return found, tuple(notes)


def _others(context: Context, domain: str) -> dict[str, bytes]:
    """Where other domains live: of secrets each file, wherever below its folder it is."""
    domains = {name: one for name, one in context.settings.domains.items() if name != domain}
    found = roots_of({name: one for name, one in domains.items() if not one.is_secret})
    for name, one in domains.items():
        if isinstance(one.source, SecretsSource):
            found |= {f"{name}: {file}": one.source.root / file for file in one.source.files}
    return {name: os.path.realpath(os.fsencode(path)) for name, path in found.items()}


def _paths(context: Context, choice: Choice) -> Sequence[bytes]:
    """What is exchanged, as it stands in the snapshot: of secrets each file alone, since what else lies in their
    folders is not theirs."""
    if not context.settings.domains[choice.domain].is_secret:
        return choice.paths or (choice.root,)
    return [entry.path for entry in entries(context, choice) if entry.kind != "dir"]


def _restored(context: Context, choice: Choice) -> RestoredDomain:
    """The engine has compared all of it, and raises where anything differs."""
    whole = planned(context, choice, live_root(context, choice.domain))
    return msgspec.structs.replace(whole, compared=whole.files)


def _close(
    context: Context,
    job: Job,
    mode: str,
    result: InPlaceResult,
    domains: Sequence[RestoredDomain],
    more: Mapping[str, Any] | None = None,
) -> RestoreReport:
    job = msgspec.structs.replace(
        job,
        outcome="ok",
        finished_at=context.clock.now(),
        details={
            **job.details,
            **(more or {}),
            "mode": mode,
            "restore": result.job,
            "safety": result.safety,
            "kept": list(result.kept),
            "notes": list(result.notes),
            "snapshots": {restored.domain: restored.snapshot for restored in domains},
        },
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
