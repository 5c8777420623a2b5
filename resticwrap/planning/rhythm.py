"""How often a schedule backs up, and how many snapshots a rule will come to hold at that rhythm."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from resticwrap.model.aging import Held
from resticwrap.model.base import Time
from resticwrap.model.fields import CRON_FIELDS
from resticwrap.model.policy import Keep, ScheduledJob
from resticwrap.model.snapshot import SnapshotType
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
    times = cron_times(job.cron)
    day = since.astimezone(zone).date()
    while day <= until.astimezone(zone).date():
        if day.month in times.months and _day_fits(day, times):
            for hour in sorted(times.hours):
                for minute in sorted(times.minutes):
                    moment = datetime.combine(day, time(hour, minute), zone)
                    if since <= moment <= until:
                        yield moment.astimezone(until.tzinfo)
        day += timedelta(days=1)


class CronTimes(NamedTuple):
    """What a cron expression allows; Sunday is weekday 0. `either`: day and weekday are both restricted, and one of
    them is enough. Source: crontab(5)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool


def cron_times(cron: str) -> CronTimes:
    """The numbers of each field of a cron expression that the policy has checked."""
    texts = cron.split()
    minutes, hours, days, months, weekdays = (
        frozenset(_numbers(text, field)) for text, field in zip(texts, CRON_FIELDS, strict=True)
    )
    either = not texts[2].startswith("*") and not texts[4].startswith("*")
    return CronTimes(minutes, hours, days, months, weekdays, either)


def _day_fits(day: date, times: CronTimes) -> bool:
    in_month, in_week = day.day in times.days, day.isoweekday() % 7 in times.weekdays
    return (in_month or in_week) if times.either else (in_month and in_week)


def _numbers(text: str, field: tuple[str, int, int, Sequence[str]]) -> set[int]:
    name, low, high, names = field
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        ends = [str(low), str(high)] if span == "*" else span.split("-")
        numbers = [names.index(end) + low if end in names else int(end) for end in ends]
        last = numbers[-1] if len(numbers) > 1 or not step else high
        found.update(range(numbers[0], last + 1, int(step or 1)))
    return {number % 7 for number in found} if name == "weekday" else found
