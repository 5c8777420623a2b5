"""`rw db restore`: a dump loaded beside what is live, compared with what it held, and only then given a name."""

from dataclasses import dataclass

import msgspec

from resticwrap import errors
from resticwrap.model.databases import DatabaseFacts
from resticwrap.model.dbreports import DbRestoreReport, RestoredDatabase
from resticwrap.services import interrupted
from resticwrap.services.choosing import Wish, choose, notes_of
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Engine, Server
from resticwrap.services.databases import reading


@dataclass(frozen=True)
class Into:
    """Where a restore goes: a new database of this name (None: one of its own name)."""

    name: str | None = None


def engine_of(context: Context, domain: str) -> Engine:
    """The engine of a domain. Raises UsageError where its source is no database."""
    found = context.engines(domain, context.settings.select_domains([domain])[domain])
    if found is None:
        raise errors.UsageError(f"{domain} is no database.", hint="rw db list")
    return found


def restore(context: Context, wish: Wish, into: Into) -> DbRestoreReport:
    """Load a dump into a new database and compare. Raises LoadFailed, after which nothing of it is left."""
    interrupted.close(context)
    (choice,) = choose(context, wish)
    engine = engine_of(context, choice.domain)
    job = msgspec.structs.replace(context.new_job("restore"), details={"database": choice.domain})
    with context.running(job) as job, reading.opened(context, choice) as found:
        done = tuple(_load(job.id, found, engine.live(), into))
        job = msgspec.structs.replace(
            job,
            outcome="ok" if all(one.ok for one in done) else "partial",
            finished_at=context.clock.now(),
            details={**job.details, "snapshots": {choice.domain: choice.snapshot.original}},
        )
        context.recorder.close(job)
    return DbRestoreReport(
        job=job, domain=choice.domain, snapshot=choice.snapshot.original, time=choice.snapshot.time, databases=done,
        notes=notes_of([choice]),
    )  # fmt: skip


def _load(job: str, found: reading.Opened, server: Server, into: Into) -> list[RestoredDatabase]:
    said = {one.name: one for one in found.facts.databases}
    done = []
    for section in found.sections:
        if section.head is None:
            server.take_globals(section.body, only_missing=True)
            continue
        name = into.name or f"{section.head.name}_{job.rpartition('_')[2]}"
        server.create(section.head, name)
        try:
            server.load(name, section.body)
            done.append(compared(section.head.name, name, said[section.head.name], server.facts(name)))
        except BaseException:
            server.drop(name)
            raise
    return done


def compared(database: str, name: str, said: DatabaseFacts, found: DatabaseFacts) -> RestoredDatabase:
    """What a database holds against what its dump said that it held."""
    known = {table.name: table for table in found.tables}
    wrong = [
        f"{table.name}: {'is missing' if table.name not in known else 'differs'}"
        for table in said.tables
        if known.get(table.name) != table
    ]
    return RestoredDatabase(database=database, name=name, tables=len(said.tables), rows=said.rows, wrong=tuple(wrong))
