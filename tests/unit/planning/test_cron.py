"""Cron expressions come round as somebody finds who walks through every minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.fields import CRON_FIELDS, check_cron
from resticwrap.planning import cron

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"]
MINUTE = timedelta(minutes=1)
CHANGES = [
    datetime(2026, 3, 29, tzinfo=UTC),  # Berlin, forward
    datetime(2026, 10, 25, tzinfo=UTC),  # Berlin, back
    datetime(2026, 3, 8, tzinfo=UTC),  # New York, forward
    datetime(2026, 11, 1, tzinfo=UTC),  # New York, back
    datetime(2026, 4, 4, tzinfo=UTC),  # Lord Howe, back by half an hour
    datetime(2026, 10, 3, tzinfo=UTC),  # Lord Howe, forward
    datetime(2028, 2, 28, tzinfo=UTC),
    datetime(2026, 12, 31, tzinfo=UTC),
]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}")
    step = st.integers(1, high)
    one = st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step.map(lambda n: f"*/{n}"),
        st.tuples(span, step).map(lambda two: f"{two[0]}/{two[1]}"),
    )
    return st.lists(one, min_size=1, max_size=2).map(",".join)


EXPRESSIONS = st.tuples(*(field(low, high) for _, low, high, _ in CRON_FIELDS)).map(" ".join)


def walked(expression: str, zone: tzinfo, since: datetime, until: datetime) -> list[datetime]:
    """Every minute of the world is looked at, and the clocks on the wall with it."""
    sets = [_numbers(text, low, high) for text, (_, low, high, _) in zip(expression.split(), CRON_FIELDS, strict=True)]
    texts = expression.split()
    passing = texts[1].startswith("*")
    found, seen = set(), set()
    before = None
    at = since - timedelta(hours=3)
    while at <= until:
        wall = at.astimezone(zone).replace(tzinfo=None)
        if not passing and before is not None and wall > before + MINUTE:
            skipped = before + MINUTE
            while skipped < wall:  # what the clocks leave out is made up for, so much later by the new time
                if _matches(skipped, sets, texts):
                    found.add(at + (skipped - before) - MINUTE)
                skipped += MINUTE
        if _matches(wall, sets, texts) and (passing or wall not in seen):
            found.add(at)
        seen.add(wall)
        before = wall
        at += MINUTE
    return sorted(moment for moment in found if since <= moment <= until)


def _numbers(text: str, low: int, high: int) -> set[int]:
    return set(_spread(text, low, high))


def _spread(text: str, low: int, high: int) -> Iterator[int]:
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, last = (low, high) if span == "*" else (int(end) for end in (span.split("-") * 2)[:2])
        yield from range(first, last + 1, int(step or 1))


def _matches(wall: datetime, sets: list[set[int]], texts: list[str]) -> bool:
    minutes, hours, days, months, weekdays = sets
    in_month, in_week = wall.day in days, wall.isoweekday() % 7 in {number % 7 for number in weekdays}
    both = not texts[2].startswith("*") and not texts[4].startswith("*")
    day = (in_month or in_week) if both else (in_month and in_week)
    return wall.minute in minutes and wall.hour in hours and wall.month in months and day


@given(EXPRESSIONS, st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-60, 60), st.integers(1, 2000))
def test_as_by_walking(expression: str, name: str, day: datetime, offset: int, minutes: int) -> None:
    """Between two times, over changes of the clock: the same moments, none twice, in their order; and the first after a
    time and the last before one are those of the list."""
    check_cron(expression)
    zone = ZoneInfo(name)
    since = day + timedelta(minutes=offset)
    until = since + timedelta(minutes=minutes)
    expected = walked(expression, zone, since, until)
    assert list(cron.between(expression, zone, since, until)) == expected
    first = cron.following(expression, zone, since - timedelta(seconds=1))
    assert (first if first is not None and first <= until else None) == (expected[0] if expected else None)
    assert cron.latest(expression, zone, since - timedelta(seconds=1), until) == (expected[-1] if expected else None)


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:30"),  # 02:30 is left out: 03:30
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),  # comes twice, counts once
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-25T01:00"),  # goes by the time that passes
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00", "2104-02-29T00:00"),
        ("0 12 30 2 *", "UTC", "2026-01-01T00:00", None),
        ("0 12 * * 7", "UTC", "2026-11-28T00:00", "2026-11-29T12:00"),
    ],
)
def test_named_moments(expression: str, zone: str, since: str, expected: str | None) -> None:
    found = cron.following(expression, ZoneInfo(zone), datetime.fromisoformat(since + "Z"))
    assert found == (None if expected is None else datetime.fromisoformat(expected + "Z"))
