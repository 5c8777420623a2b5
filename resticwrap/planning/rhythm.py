"""How often a schedule backs up, and how many snapshots a rule will come to hold at that rhythm."""

from collections.abc import Iterable, Iterator
from datetime import timedelta, tzinfo

from resticwrap.model.aging import Held
from resticwrap.model.base import Time
from resticwrap.model.policy import Keep, ScheduledJob
from resticwrap.model.snapshot import SnapshotType
from resticwrap.planning import cron
from resticwrap.planning.retention import promised


def at_most(jobs: Iterable[ScheduledJob], days: int, keep: Keep, zone: tzinfo, now: Time) -> int | None:
    """How many snapshots of one domain a tier holds for good, if every backup finds something new; None where no
    enabled job backs up. A rule without an end is counted for the `days` of its tier."""
    rhythm = [job for job in jobs if job.kind == "backup" and job.enabled]
    if not rhythm:
        return None
    since = now - timedelta(days=days)
    looks: list[tuple[Time, SnapshotType]] = sorted(
        {(moment, job.type or "full") for job in rhythm for moment in moments(job, since, now, zone)}
    )
    held = [
        Held(original=str(n), domain="", host="", time=moment, type=kind, tree="", complete=True, hot="")
        for n, (moment, kind) in enumerate(looks)
    ]
    return len(promised(held, days, keep, zone, now))


def moments(job: ScheduledJob, since: Time, until: Time, zone: tzinfo) -> Iterator[Time]:
    """When a job runs between two times, oldest first."""
    if job.every is not None:
        count = int((until - since) / job.every)
        yield from (until - job.every * number for number in range(count, -1, -1))
        return
    assert job.cron is not None  # a job has one of them
    yield from (moment.astimezone(until.tzinfo) for moment in cron.between(job.cron, zone, since, until))
