"""When a cron expression comes round, by the clocks of a time zone.

Where clocks are put forward, an hour that is left out is made up for right after it; where they are put back, an hour
that comes twice counts once. An expression whose hours begin with `*` goes by the time that really passes instead: it
misses nothing of an hour that comes twice, and makes up for none. As cron(8) of Debian has it.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from resticwrap.model.base import Time
from resticwrap.model.fields import CRON_FIELDS

HORIZON = 8 * 366 + 2
"""Days: from one 29th of February to the next it is eight years around 2100."""
DAY = timedelta(days=1)


def following(cron: str, zone: tzinfo, after: Time) -> Time | None:
    """The first moment later than `after`; None where there is none within eight years, as of a 30th of February."""
    day = after.astimezone(zone).date() - DAY
    for _ in range(HORIZON):
        found = moments_of(cron, zone, day)
        if found and found[-1] > after:
            return found[bisect_right(found, after)]
        day += DAY
    return None


def latest(cron: str, zone: tzinfo, since: Time, until: Time) -> Time | None:
    """The last moment that is later than `since` and not later than `until`."""
    day, first = until.astimezone(zone).date() + DAY, since.astimezone(zone).date() - DAY
    while day >= first:
        found = moments_of(cron, zone, day)
        if found and found[0] <= until:
            last = found[bisect_right(found, until) - 1]
            return last if last > since else None
        day -= DAY
    return None


def between(cron: str, zone: tzinfo, since: Time, until: Time) -> Iterator[Time]:
    """Every moment from `since` to `until`, both included, oldest first."""
    moment = following(cron, zone, since - timedelta(microseconds=1))
    while moment is not None and moment <= until:
        yield moment
        moment = following(cron, zone, moment)


@lru_cache(maxsize=64)
def moments_of(cron: str, zone: tzinfo, day: date) -> Sequence[Time]:
    """The moments of one day of the zone, in UTC, oldest first. Those of the days beside it may lie among them, where
    clocks skip a whole day."""
    fields = cron_times(cron)
    if day.month not in fields.months or not fields.fits(day):
        return ()
    # Looking at both sides of the hour costs four times as much, and is needed on two days of the year.
    noons = (zone.utcoffset(datetime.combine(day + DAY * side, time(12))) for side in (-1, 1))
    steady = len({*noons}) == 1
    found: set[Time] = set()
    for hour in fields.hours:
        for minute in fields.minutes:
            said = datetime.combine(day, time(hour, minute), zone)
            moment = said.astimezone(UTC)
            if steady or not fields.passing:
                found.add(moment)
                continue
            for one in (moment, said.replace(fold=1).astimezone(UTC)):
                if one.astimezone(zone).replace(tzinfo=None) == said.replace(tzinfo=None):
                    found.add(one)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class CronTimes:
    """What a cron expression allows; Sunday is weekday 0. `either`: day and weekday are both restricted, and one of
    them is enough (crontab(5)). `passing`: it goes by the time that passes, and not by what the clocks say."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    passing: bool

    def fits(self, day: date) -> bool:
        """Whether a day of one of the months is one of its days."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either else (in_month and in_week)


@lru_cache(maxsize=64)
def cron_times(cron: str) -> CronTimes:
    """The numbers of each field of an expression that the policy has checked."""
    texts = cron.split()
    minutes, hours, days, months, weekdays = (
        _numbers(text, field) for text, field in zip(texts, CRON_FIELDS, strict=True)
    )
    return CronTimes(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        either=not texts[2].startswith("*") and not texts[4].startswith("*"),
        passing=texts[1].startswith("*"),
    )


def _numbers(text: str, field: tuple[str, int, int, Sequence[str]]) -> frozenset[int]:
    name, low, high, names = field
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        ends = [str(low), str(high)] if span == "*" else span.split("-")
        numbers = [names.index(end) + low if end in names else int(end) for end in ends]
        last = numbers[-1] if len(numbers) > 1 or not step else high
        found.update(range(numbers[0], last + 1, int(step or 1)))
    return frozenset(number % 7 for number in found) if name == "weekday" else frozenset(found)
