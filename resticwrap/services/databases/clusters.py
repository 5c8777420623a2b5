"""`rw db restore --to`: the data of a whole server as it stood at a moment, for a server of its version to start on."""

import os
import shutil
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.dbreports import DbRestoreReport
from resticwrap.model.swap import BESIDE_PREFIX
from resticwrap.services import interrupted
from resticwrap.services.choosing import Wish, choose, notes_of
from resticwrap.services.context import Context
from resticwrap.services.databases import moments


def restore(context: Context, wish: Wish, to: Path) -> DbRestoreReport:
    """Bring a domain's cluster to a moment and leave its data, of a server that was shut down in order, in a folder.

    It is made beside and named at the end. Raises RestoreRefused where there is something already, UsageError where
    the domain keeps no log.
    """
    interrupted.close(context)
    (choice,) = choose(context, wish)
    archive = moments.archive_of(context, choice.domain)
    _refuse(to)
    job = msgspec.structs.replace(context.new_job("restore"), details={"database": choice.domain, "to": str(to)})
    with context.running(job) as job:
        stage = to.parent / f"{BESIDE_PREFIX}{job.id}"
        try:
            found = moments.parts(context, choice.domain, choice.snapshot, context.repositories[choice.tier])
            with moments.scratch(context) as scratch:
                log = scratch / f"{choice.domain}.wal"
                context.watcher.note(f"{choice.domain}: unpacking base {found.base.original[:8]}")
                moments.lay_down(found, stage, log)
                context.watcher.note(f"{choice.domain}: replaying its log")
                with archive.recovered(stage, log, found.facts, choice.until, lasting=True):
                    pass
            os.rename(stage, to)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        job = msgspec.structs.replace(
            job,
            outcome="ok",
            finished_at=context.clock.now(),
            details={**job.details, "snapshots": {choice.domain: choice.snapshot.original}},
        )
        late = context.recorder.close(job)
    notes = (
        *notes_of([choice]),
        f"it is the data of a PostgreSQL {found.facts.server}, for programs of that version: chown -R postgres: {to}",
        *([late] if late else []),
    )
    return DbRestoreReport(
        job=job,
        domain=choice.domain,
        snapshot=choice.snapshot.original,
        time=choice.until or choice.snapshot.time,
        databases=(),
        notes=notes,
        mode="folder",
        source=choice.domain,
        place=str(to),
    )


def _refuse(to: Path) -> None:
    if to.is_dir() and not any(to.iterdir()):
        return
    if os.path.lexists(to):
        raise errors.RestoreRefused(f"{to} holds something already.", hint="Name a folder that is not there yet.")
    if not to.parent.is_dir():
        raise errors.RestoreRefused(f"There is no folder {to.parent}.", hint=f"mkdir -p {to.parent}")
