"""`rw db restore`, `undo`, `accept`: a dump loaded beside what is live, compared with what it held, and then named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.model.databases import DumpFacts
from resticwrap.model.dbreports import DbRestoreMode, DbRestoreReport, KeptDatabase, RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.model.job import Job
from resticwrap.planning import dbrestore as decide
from resticwrap.planning import owners
from resticwrap.planning.restore import incomplete
from resticwrap.services import interrupted, thaw
from resticwrap.services.choosing import Choice, Wish, choose, notes_of
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Server
from resticwrap.services.databases import reading
from resticwrap.services.databases.loading import DomainDatabases, engine_of
from resticwrap.services.databases.swap_ports import DbWork
from resticwrap.services.databases.swapping import Swapper

__all__ = ["Into", "accept", "engine_of", "preview", "recover", "restore", "undo"]
LOCK = "database restore"


@dataclass(frozen=True)
class Into:
    """Where a restore goes: a new database of this name (None: one of its own name), or `over` the one of this name
    (None: of the dump's), which is kept. `only`: this database of several. `server`: another domain's, for a copy."""

    name: str | None = None
    over: bool = False
    only: str | None = None
    server: str | None = None


def recover(context: Context) -> None:
    """End what crashed restores left; said aloud. One that is under way is left alone; what cannot be ended now keeps
    nobody from anything else."""
    found, unreadable = context.database_journals.scan()
    for error in unreadable.values():
        context.watcher.note(f"{error.message} {error.hint}")
    now = context.clock.now()
    if not any(decide.on_crash(one.phase) != "nothing" or decide.lingers(one, now) for one in found):
        return
    try:
        with context.locks.hold(LOCK):
            interrupted.close(context)
            _swapper(context, DomainDatabases(context)).recover(strict=False)
    except errors.Locked:
        return


def restore(context: Context, wish: Wish, into: Into, *, force: bool = False) -> DbRestoreReport:
    """Load a dump and compare it; then it gets its name. Raises LoadFailed, VerifyFailed and kin, after which what is
    live is what it was and nothing half-loaded is left under any name that is used."""
    interrupted.close(context)
    choice = _chosen(context, wish, into, force=force)
    with context.locks.hold(LOCK):
        job = msgspec.structs.replace(context.new_job("restore"), details={"database": into.server or choice.domain})
        with context.running(job, strict=into.over) as job, reading.opened(context, choice) as found:
            work = DomainDatabases(context, choice, found, force=force)
            swapper = _swapper(context, work)
            swapper.recover(strict=into.over)
            journal, notes = _planned(context, job, choice, into, found.facts)
            journal, done = swapper.run(journal, over=into.over, force=force)
            notes = (*notes_of([choice]), *notes, *work.notes)
            return _close(context, job, _mode(into), journal, done, notes, choice)


def preview(context: Context, wish: Wish, into: Into, *, force: bool = False) -> DbRestoreReport:
    """What a restore would do, checked as a run checks it; writes nothing. Raises what a run would raise."""
    choice = _chosen(context, wish, into, force=force)
    job = context.new_job("restore")
    with reading.opened(context, choice) as found:
        journal, notes = _planned(context, job, choice, into, found.facts)
        facts = {one.name: one for one in found.facts.databases}
    rows = tuple(
        RestoredDatabase(
            database=piece.database,
            name=piece.live,
            tables=len(facts[piece.database].tables),
            rows=facts[piece.database].rows,
        )
        for piece in journal.pieces
    )
    return _report(job, "planned", journal, rows, (*notes_of([choice]), *notes), choice)


def undo(context: Context, restored: str) -> DbRestoreReport:
    """Give what was live before a restore its name again."""
    return _again(context, "undo", lambda swapper: swapper.undo(restored))


def accept(context: Context, restored: str, *, force: bool = False) -> DbRestoreReport:
    """Drop what a restore, or its undo, put aside. Raises RestoreRefused where it has what no snapshot has, unless
    `force`."""
    return _again(context, "accept", lambda swapper: swapper.accept(restored, force=force))


def _again(context: Context, mode: DbRestoreMode, act: Callable[[Swapper], DbJournal]) -> DbRestoreReport:
    interrupted.close(context)
    with context.locks.hold(LOCK), context.running(context.new_job("restore"), strict=True) as job:
        swapper = _swapper(context, DomainDatabases(context))
        swapper.recover()
        return _close(context, job, mode, act(swapper), (), (), None)


def _swapper(context: Context, work: DbWork) -> Swapper:
    return Swapper(journals=context.database_journals, work=work, clock=context.clock, note=context.watcher.note)


def _mode(into: Into) -> DbRestoreMode:
    return "copy" if into.server else "replace" if into.over else "new"


def _chosen(context: Context, wish: Wish, into: Into, *, force: bool) -> Choice:
    """What is wished. Raises RestoreRefused for a snapshot that is not fit to go over what is live."""
    for domain in (*wish.domains, *([into.server] if into.server else [])):
        engine_of(context, domain)
    (choice,) = choose(context, wish)
    if into.over and not choice.complete and not force:
        raise incomplete(choice.domain, choice.snapshot)
    if into.over and choice.snapshot.host not in context.settings.hosts:
        raise owners.of_another(choice.snapshot, context.settings.host)
    if thaw.plans(context, [choice], thaw.Thawing()):
        raise errors.Frozen(
            f"Snapshot {choice.snapshot.original[:8]} of {choice.domain} lies in a class that must be thawed first.",
            hint=f"rw restore --domain {choice.domain} --snapshot {choice.snapshot.original[:8]} --to FOLDER --thaw "
            "  thaws it, and what is thawed stays readable for days",
        )
    return choice


def _planned(
    context: Context, job: Job, choice: Choice, into: Into, facts: DumpFacts
) -> tuple[DbJournal, tuple[str, ...]]:
    """The journal of a restore that is not begun, and notes. Raises RestoreRefused where it would not be safe."""
    domain = into.server or choice.domain
    server = engine_of(context, domain).live()
    there = server.databases()
    goals = decide.wanted(
        [one.name for one in facts.databases if not decide.of_a_restore(one.name)],
        domain=choice.domain, only=into.only, into=into.name, job=job.id, over=into.over,
    )  # fmt: skip
    pieces = decide.pieces(job.id, goals, there)
    for refusal in (
        decide.taken(domain, pieces, server.place, over=into.over),
        decide.busy(context.database_journals.all(), server.place, pieces),
    ):
        if refusal is not None:
            raise refusal
    now = context.clock.now()
    journal = DbJournal(
        job=job.id, target=context.target_name, domain=domain, place=server.place, source=choice.domain,
        snapshot=choice.snapshot.original, phase="loading", started_at=now, changed_at=now, pieces=pieces,
        until=choice.until,
    )  # fmt: skip
    needed = _needed(server, facts, pieces)
    note = decide.room(needed, server.room(), server.place)
    return journal, (note,) if note else ()


def _needed(server: Server, facts: DumpFacts, pieces: Sequence[DbPiece]) -> int:
    """Bytes that it takes on the server: what is live there now takes so much, or else the rows alone."""
    said = {one.name: sum(table.size for table in one.tables) for one in facts.databases}
    return sum(max(said[piece.database], (server.size(piece.live) or 0) if piece.kept else 0) for piece in pieces)


def _close(
    context: Context,
    job: Job,
    mode: DbRestoreMode,
    journal: DbJournal,
    done: Sequence[RestoredDatabase],
    notes: Sequence[str],
    choice: Choice | None,
) -> DbRestoreReport:
    details: Mapping[str, Any] = {
        **job.details,
        "database": journal.domain,
        "mode": mode,
        "restore": journal.job,
        "place": journal.place,
        "safety": journal.safety,
        "phase": journal.phase,
        "kept": [name for piece in journal.pieces if (name := decide.aside(journal, piece))],
        "notes": list(notes),
        "snapshots": {journal.source: journal.snapshot},
        "databases": {one.database: {"name": one.name, "tables": one.tables, "rows": one.rows} for one in done},
    }
    job = msgspec.structs.replace(
        job,
        outcome="ok" if all(one.ok for one in done) else "partial",
        finished_at=context.clock.now(),
        details=dict(details),
    )
    context.recorder.close(job)
    return _report(job, mode, journal, done, notes, choice)


def _report(
    job: Job,
    mode: DbRestoreMode,
    journal: DbJournal,
    done: Sequence[RestoredDatabase],
    notes: Sequence[str],
    choice: Choice | None,
) -> DbRestoreReport:
    return DbRestoreReport(
        job=job, domain=journal.domain, snapshot=journal.snapshot, time=choice.snapshot.time if choice else None,
        databases=tuple(done), notes=tuple(notes), mode=mode, source=journal.source, place=journal.place,
        restored=journal.job, safety=journal.safety, kept=kept_of(journal, planned=mode == "planned"),
    )  # fmt: skip


def kept_of(journal: DbJournal, *, planned: bool = False) -> tuple[KeptDatabase, ...]:
    """What a restore has put aside, or would."""
    return tuple(
        KeptDatabase(
            name=piece.live,
            kept=name,
            job=journal.job,
            since=journal.changed_at,
            command="" if planned else f"rw db accept {journal.job}",
            undo=f"rw db undo {journal.job}" if journal.phase == "kept" else "",
        )
        for piece in journal.pieces
        if (name := piece.kept if planned else decide.aside(journal, piece))
    )
