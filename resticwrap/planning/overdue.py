"""Which jobs of the schedule should have begun, and did not, whoever is to start them: the scheduler, cron, people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo

from resticwrap.model.base import Time
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning.rhythm import moments

EARLY = timedelta(minutes=1)
"""A job that began so much before its moment is that moment's."""
BACK = tuple(timedelta(days=days) for days in (1, 8, 32, 370))
"""How far back the newest moment of a cron expression is searched, and if there is none, how much further."""
COMMANDS = {"copy": "tier run"}
"""What a kind is run by, where that has another name."""


@dataclass(frozen=True)
class Overdue:
    """A job of the schedule that should have begun at `due`, and did not. `command` runs its like by hand."""

    name: str
    due: Time
    command: str


def overdue(
    jobs: Mapping[str, ScheduledJob], begun: Mapping[str, Time], first: Time | None, after: timedelta, zone: tzinfo,
    now: Time,
) -> list[Overdue]:  # fmt: skip
    """`begun`: by job, when its like began last. What was due before the `first` backup of all, nobody misses; without
    one, nothing has begun yet."""
    if first is None:
        return []
    found = []
    for name, job in jobs.items():
        due = due_at(job, begun.get(name), first, after, zone, now)
        if due is not None:
            words = f"{COMMANDS.get(job.kind, job.kind)} {job.level or ''}".strip()
            found.append(Overdue(name=name, due=due, command=f"rw {words} --target {job.target}"))
    return found


def due_at(
    job: ScheduledJob, begun: Time | None, first: Time, after: timedelta, zone: tzinfo, now: Time
) -> Time | None:
    """The moment at which a job should have begun and has not; None where all is well."""
    if job.every is not None:
        due = max(begun or first, first) + job.every
        return due if now - due >= after else None
    moment = newest(job, now - after, zone)
    if moment is None or moment < first or (begun is not None and begun >= moment - EARLY):
        return None
    return moment


def newest(job: ScheduledJob, until: Time, zone: tzinfo) -> Time | None:
    """The newest moment of a cron expression up to a time."""
    return next((at for back in BACK if (at := _last(moments(job, until - back, until, zone)))), None)


def _last(times: Iterable[Time]) -> Time | None:
    last = None
    for at in times:
        last = at
    return last
