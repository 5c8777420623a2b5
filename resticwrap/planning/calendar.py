"""When a job of the schedule runs, in the words of systemd's timers and of cron."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from resticwrap.model.base import Time
from resticwrap.model.fields import CRON_FIELDS, format_duration
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning.cron import CronTimes, cron_times

WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
HOUR, DAY, WEEK = 3600, 86400, 604800
AHEAD_DAYS = 400
"""How far two time zones are compared, and how far changes to summer time are looked for."""


def on_calendar(job: ScheduledJob, zone: str) -> tuple[str, ...]:
    """What `OnCalendar=` wants, one line each; nothing for an `every` that does not divide minute, hour, day or week.
    Source: systemd.time(7)."""
    if job.every is not None:
        even = _even(int(job.every.total_seconds()))
        return (f"{even} UTC",) if even else ()
    assert job.cron is not None  # a job has one of them
    times = cron_times(job.cron)
    clock = f"{_listed(times.hours, 0, 23, 2)}:{_listed(times.minutes, 0, 59, 2)}:00 {zone}"
    months, days = _listed(times.months, 1, 12), _listed(times.days, 1, 31)
    week = _week(times.weekdays)
    if times.either:
        return (f"*-{months}-{days} {clock}", f"{week}*-{months}-* {clock}")
    return (f"{week}*-{months}-{days} {clock}",)


def _even(seconds: int) -> str:
    minutes, hours = seconds // 60, seconds // HOUR
    if seconds < 60 and 60 % seconds == 0:
        return f"*-*-* *:*:00/{seconds}"
    if seconds < HOUR and seconds % 60 == 0 and 60 % minutes == 0:
        return f"*-*-* *:00/{minutes}:00"
    if seconds < DAY and seconds % HOUR == 0 and 24 % hours == 0:
        return f"*-*-* 00/{hours}:00:00"
    return {DAY: "*-*-* 00:00:00", WEEK: "Mon *-*-* 00:00:00"}.get(seconds, "")


def _listed(numbers: Iterable[int], low: int, high: int, digits: int = 1) -> str:
    """`*`, `5/15` or `1..3,7`."""
    found = sorted(numbers)
    if len(found) == high - low + 1:
        return "*"
    step = found[1] - found[0] if len(found) > 2 else 1
    if step > 1 and found == list(range(found[0], high + 1, step)):
        return f"{found[0]:0{digits}}/{step}"
    return ",".join(_spans(found, "..", digits))


def _spans(numbers: Sequence[int], to: str, digits: int = 1) -> Iterator[str]:
    """Sorted numbers, with three and more in a row put together."""
    first = last = numbers[0]
    for number in (*numbers[1:], None):
        if number is not None and number == last + 1:
            last = number
            continue
        more = f"{to if last > first + 1 else ','}{last:0{digits}}" if last > first else ""
        yield f"{first:0{digits}}{more}"
        if number is not None:
            first = last = number


def _week(weekdays: frozenset[int]) -> str:
    if len(weekdays) == 7:
        return ""
    return ",".join(WEEKDAYS[day % 7] for day in range(1, 8) if day % 7 in weekdays) + " "


class Crontab(NamedTuple):
    """The five fields of each line, in the time zone of cron; else why there are none, and what would do instead."""

    lines: tuple[str, ...] = ()
    why: str = ""
    instead: str = ""


def crontab(job: ScheduledJob, shift: int | None) -> Crontab:
    """What cron is told. `shift` is how many minutes the schedule's time zone is ahead of the one that cron has, None
    where that is now this and now that."""
    if job.every is not None:
        return _every(int(job.every.total_seconds()))
    assert job.cron is not None  # a job has one of them
    if shift == 0:
        return Crontab((" ".join(_plain_fields(job.cron)),))
    if shift is None:
        return Crontab(why="cron knows no time zone but this machine's, whose clocks change on other days")
    lines = tuple(_shifted(job.cron, shift))
    if not lines:
        return Crontab(why="in this machine's time zone that is another day of the month, which cron cannot say")
    return Crontab(lines)


EVERY = (
    *((60 * n, f"*/{n} * * * *" if n > 1 else "* * * * *") for n in range(1, 60) if 60 % n == 0),
    *((HOUR * n, f"0 */{n} * * *" if n > 1 else "0 * * * *") for n in range(1, 24) if 24 % n == 0),
    (DAY, "0 0 * * *"),
    (WEEK, "0 0 * * 1"),
)
"""What cron can do every so many seconds, shortest first."""


def _every(seconds: int) -> Crontab:
    for known, line in EVERY:
        if known == seconds:
            return Crontab((line,))
    shorter = [known for known, _ in EVERY if known < seconds]
    longer = [known for known, _ in EVERY if known > seconds]
    near = " or ".join(format_duration(timedelta(seconds=one)) for one in (*shorter[-1:], *longer[:1]))
    return Crontab(why="cron can only divide an hour or a day evenly", instead=near)


def _plain_fields(cron: str) -> list[str]:
    return [_plain(text, field) for text, field in zip(cron.split(), CRON_FIELDS, strict=True)]


def _plain(text: str, field: tuple[str, int, int, Sequence[str]]) -> str:
    """One field as every cron takes it: numbers in place of names, and a range before each step."""
    _, low, high, names = field
    parts = []
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        ends = [str(names.index(end) + low) if end in names else end for end in span.split("-")]
        if slash and span != "*" and len(ends) == 1:
            ends.append(str(high))
        parts.append("-".join(ends) + slash + step)
    return ",".join(parts)


def _shifted(cron: str, shift: int) -> Iterator[str]:
    """The expression on a clock that shows `shift` minutes less; nothing where that is another day of the month."""
    times = cron_times(cron)
    fields = _plain_fields(cron)
    by_day: dict[int, dict[int, set[int]]] = {}
    for hour in times.hours:
        for minute in times.minutes:
            day, rest = divmod(hour * 60 + minute - shift, 24 * 60)
            by_day.setdefault(day, {}).setdefault(rest // 60, set()).add(rest % 60)
    every_day = len(times.days) == 31 and len(times.months) == 12
    if any(by_day) and not every_day:
        return
    for day, hours in sorted(by_day.items()):
        alike: dict[frozenset[int], list[int]] = {}
        for hour, minutes in sorted(hours.items()):
            alike.setdefault(frozenset(minutes), []).append(hour)
        week = fields[4] if not day or len(times.weekdays) == 7 else _moved(times, day)
        for same, at in alike.items():
            yield f"{','.join(_spans(sorted(same), '-'))} {','.join(_spans(at, '-'))} {fields[2]} {fields[3]} {week}"


def _moved(times: CronTimes, day: int) -> str:
    return ",".join(_spans(sorted((weekday + day) % 7 for weekday in times.weekdays), "-"))


def ahead(zone: tzinfo, other: tzinfo, now: Time) -> int | None:
    """How many minutes `zone` is ahead of `other` throughout the next year; None where that changes."""
    since = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first: timedelta | None = None
    for hours in range(AHEAD_DAYS * 24):
        at = since + timedelta(hours=hours)
        apart = (at.astimezone(zone).utcoffset() or timedelta()) - (at.astimezone(other).utcoffset() or timedelta())
        first = apart if first is None else first
        if apart != first:
            return None
    assert first is not None
    return int(first.total_seconds()) // 60 if first.total_seconds() % 60 == 0 else None


def left_out(job: ScheduledJob, zone: tzinfo, now: Time) -> datetime | None:
    """The next time of the job that the clocks of its zone jump over, in local time without a zone. Of what runs
    several times an hour nobody misses one."""
    if job.cron is None or len((times := cron_times(job.cron)).hours) > 12:
        return None
    day = now.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(AHEAD_DAYS):
        day += timedelta(days=1)
        after = day + timedelta(days=1)
        if day.month not in times.months or _offset(day, zone) == _offset(after, zone):
            continue
        for hour in sorted(times.hours):
            for minute in sorted(times.minutes):
                at = day.replace(hour=hour, minute=minute)
                if at.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != at:
                    return at
    return None


def _offset(at: datetime, zone: tzinfo) -> timedelta | None:
    return at.replace(tzinfo=zone).utcoffset()
