"""Between models and rows, in both directions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from resticwrap.model.base import Time, to_json
from resticwrap.model.job import DomainRun, Job
from resticwrap.model.reports import HistoryRow
from resticwrap.model.snapshot import Snapshot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(time: Time) -> int:
    """Microseconds since 1970. Raises TypeError for a time without a zone."""
    return (time - EPOCH) // MICROSECOND


def from_micros(micros: int) -> Time:
    return EPOCH + timedelta(microseconds=micros)


def text(given: str) -> str:
    """As every database keeps it: PostgreSQL has no NUL in texts. The record, which is JSON, has it as it was."""
    return given.replace("\0", "\N{REPLACEMENT CHARACTER}")


def job_values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "target": job.target,
        "kind": job.kind,
        "outcome": job.outcome,
        "host": text(job.host),
        "started_at": to_micros(job.started_at),
        "finished_at": None if job.finished_at is None else to_micros(job.finished_at),
        "manifest": None if job.manifest is None else text(job.manifest),
        "record": to_json(job).decode(),
    }


def end_values(job: Job) -> dict[str, Any]:
    """Of a job that has ended, what is counted."""
    return {
        "job": job.id,
        "target": job.target,
        "kind": job.kind,
        "type": job.type,
        "outcome": job.outcome,
        "started_at": to_micros(job.started_at),
        "finished_at": to_micros(job.finished_at or job.started_at),
    }


def run_values(job: Job, position: int, run: DomainRun) -> dict[str, Any]:
    return {
        "job": job.id,
        "position": position,
        "target": job.target,
        "domain": run.domain,
        "outcome": run.outcome,
        "complete": run.complete,
        "type": run.type,
        "looked_at": to_micros(run.looked_at),
        "files_new": run.files_new,
        "files_changed": run.files_changed,
        "files_removed": run.files_removed,
        "added": run.added,
        "size": run.size,
        "duration": run.duration,
        "snapshot": run.snapshot,
        "error": text(run.error.message) if run.error else "",
    }


def history_row(row: Any) -> HistoryRow:
    """A row of `domain_runs` as the history shows it."""
    return HistoryRow(
        job=row.job,
        kind="backup",
        time=from_micros(row.looked_at),
        domain=row.domain,
        type=row.type,
        outcome=row.outcome,
        files_new=row.files_new,
        files_changed=row.files_changed,
        files_removed=row.files_removed,
        added=row.added,
        size=row.size,
        duration=row.duration,
        snapshot=row.snapshot,
        error=row.error,
    )


def snapshot_values(target: str, tier: str, snapshot: Snapshot, complete: bool) -> dict[str, Any]:
    """Counts may be None, where restic kept no summary: then what is known stays."""
    return {
        "target": target,
        "tier": tier,
        "original": snapshot.original,
        "current_id": snapshot.id,
        "domain": snapshot.domain or "",
        "type": snapshot.tags.type if snapshot.tags else "",
        "time": to_micros(snapshot.time),
        "tree": snapshot.tree,
        "complete": complete,
        "size": snapshot.size,
        "files": snapshot.files,
        "added": snapshot.added,
    }
