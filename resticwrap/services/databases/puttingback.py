"""`rw db put-back`: rows of a file into a table of the live database, in one transaction: all of them or none."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.databases import PutBack
from resticwrap.model.dbrows import PutBackReport
from resticwrap.model.job import Job, Outcome
from resticwrap.planning import dumptables
from resticwrap.services import interrupted
from resticwrap.services.context import Context, info
from resticwrap.services.databases.restoring import engine_of

PIECE = 1 << 20


@dataclass(frozen=True)
class Rows:
    """A file of rows, and the table that they belong to."""

    domain: str
    table: str
    file: Path
    database: str | None = None


def put_back(context: Context, rows: Rows, *, skip_conflicts: bool = False, dry_run: bool = False) -> PutBackReport:
    """Insert the rows that are not there. The report says of conflicts, for which nothing is inserted. Raises
    LoadFailed, with nothing changed, where a row does not fit or points to nothing."""
    interrupted.close(context)
    engine = engine_of(context, rows.domain)
    server = engine.live()
    database = rows.database or engine.name
    if database is None:
        raise errors.UsageError(
            f"{rows.domain} is every database of its server.", hint="Say which one with --database."
        )
    table = dumptables.named(rows.table, server.tables(database))

    def work() -> PutBack:
        return server.put_back(
            database, table, pieces(context, rows.file), skip_conflicts=skip_conflicts, dry_run=dry_run
        )

    job = msgspec.structs.replace(
        context.new_job("restore"), details={"mode": "put-back", "table": table, "domains": [rows.domain]}
    )
    if dry_run:
        return _report(job, rows, server.place, database, table, work(), planned=True)
    with context.locks.hold(f"rows {rows.domain}"), context.running(job, strict=True) as job:
        result = work()
        error = None if skip_conflicts else conflict(rows, result)
        job = msgspec.structs.replace(
            job, outcome=outcome_of(result, error), finished_at=context.clock.now(), error=error and info(error),
            details={**job.details, "rows": result.rows, "inserted": result.inserted, "same": result.same,
                     "conflicts": result.conflict_count},
        )  # fmt: skip
        context.recorder.close(job)
    return _report(job, rows, server.place, database, table, result)


def command(rows: Rows) -> str:
    """What puts them back, as somebody types it."""
    words = ["rw", "db", "put-back", rows.domain, rows.table, "--from", str(rows.file)]
    return shlex.join([*words, "--database", rows.database] if rows.database else words)


def conflict(rows: Rows, result: PutBack) -> errors.RowsConflict | None:
    """What is wrong where keys are taken."""
    if not result.conflict_count:
        return None
    return errors.RowsConflict(
        f"Nothing was put back: of {result.rows:,} rows {result.conflict_count:,} have keys that other rows have now.",
        hint=f"Look at them; to put back only the others: {command(rows)} --skip-conflicts",
    )


def outcome_of(result: PutBack, error: errors.Failure | None) -> Outcome:
    """Failed where nothing was put back, partial where the server took fewer rows than it was given."""
    if error is not None:
        return "failed"
    return "ok" if result.inserted + result.same + result.conflict_count == result.rows else "partial"


def pieces(context: Context, file: Path) -> Iterator[bytes]:
    """What a file holds. Raises NotFound where it cannot be read."""
    try:
        with file.open("rb") as opened:
            while piece := opened.read(PIECE):
                context.heed()
                yield piece
    except OSError as error:
        raise errors.NotFound(
            f"{file} cannot be read: {error.strerror}.", hint="rw db extract writes such files."
        ) from error


def _report(
    job: Job, rows: Rows, place: str, database: str, table: str, result: PutBack, *, planned: bool = False
) -> PutBackReport:
    return PutBackReport(
        job=job, domain=rows.domain, place=place, database=database, table=table, file=str(rows.file), result=result,
        planned=planned, notes=result.notes,
    )  # fmt: skip
