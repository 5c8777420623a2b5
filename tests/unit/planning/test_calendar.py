"""The times of a schedule in the words of systemd and cron are the very times of the schedule."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.fields import CRON_FIELDS
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning.calendar import EVERY, WEEKDAYS, ahead, crontab, left_out, on_calendar
from resticwrap.planning.rhythm import moments

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def job(**more: Any) -> ScheduledJob:
    return ScheduledJob.model_validate({"kind": "verify", "target": "main", **more})


def parts(field: tuple[str, int, int, Any]) -> st.SearchStrategy[str]:
    """One part of a field of cron, in each of the ways to write one."""
    _name, low, high, names = field
    numbers = st.integers(low, high)
    steps = st.integers(1, high)
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}")
    words = [ranges, numbers.map(str), st.builds("{}/{}".format, st.one_of(ranges, numbers, st.just("*")), steps)]
    return st.one_of(*words, st.sampled_from(names)) if names else st.one_of(*words)


def fields(field: tuple[str, int, int, Any]) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), st.lists(parts(field), min_size=1, max_size=3).map(",".join))


CRONS = st.tuples(*map(fields, CRON_FIELDS)).map(" ".join)


class OnCalendar:
    """What systemd.time(7) says an expression means, as far as ours go."""

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"(?:([A-Z][A-Za-z,]*) )?\*-(\S+)-(\S+) (\S+):(\S+):00 \S+", text)
        assert match, text
        self.week = set(match[1].split(",")) if match[1] else set(WEEKDAYS)
        self.months, self.days = self.numbers(match[2], 1, 12), self.numbers(match[3], 1, 31)
        self.hours, self.minutes = self.numbers(match[4], 0, 23), self.numbers(match[5], 0, 59)

    @staticmethod
    def numbers(text: str, low: int, high: int) -> set[int]:
        if text == "*":
            return set(range(low, high + 1))
        found: set[int] = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("..")
            found |= set(range(int(first), (int(last or first) if not step else high) + 1, int(step or 1)))
        return found

    def fires(self, at: datetime) -> bool:
        return (
            at.month in self.months
            and at.day in self.days
            and f"{at:%a}" in self.week
            and at.hour in self.hours
            and at.minute in self.minutes
        )


def minutes(since: datetime, until: datetime, cron: str) -> list[datetime]:
    """Every minute of those days on which anything can happen, which keeps a year short."""
    count = int((until - since) / timedelta(minutes=1))
    hours = OnCalendar(on_calendar(job(cron=cron), "UTC")[0]).hours
    return [at for n in range(count + 1) if (at := since + timedelta(minutes=n)).hour in hours]


@settings(max_examples=60, deadline=None)
@given(CRONS, st.integers(0, 700))
def test_systemd_is_told_the_very_times(cron: str, days: int) -> None:
    """Every moment of the schedule is one of the expressions', and no other is; day or weekday too."""
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    until = since + timedelta(days=9)
    told = [OnCalendar(text) for text in on_calendar(job(cron=cron), "UTC")]
    fired = [at for at in minutes(since, until, cron) if any(one.fires(at) for one in told)]
    assert fired == list(moments(job(cron=cron), since, until, UTC))


REAL = [
    ("0 2 * * *", "UTC"),
    ("*/15 */6 1-7 * *", "UTC"),
    ("30 3 13 * 5", "Asia/Shanghai"),
    ("5/20 8-17 * feb,nov mon-fri", "America/New_York"),
    ("0 0 31 * *", "Europe/Berlin"),
    ("59 23 * * 6,7", "Australia/Adelaide"),
    ("0 12 */10 * 1", "UTC"),
    ("0 4 29 2 *", "UTC"),
]


@pytest.mark.parametrize(("cron", "zone"), REAL)
def test_the_real_systemd_agrees(cron: str, zone: str) -> None:
    """What systemd-analyze says of the next times is what the schedule says, in every time zone."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    said = {at for text in on_calendar(job(cron=cron), zone) for at in analyzed(program, text, 12)}
    until = min(sorted(said)[11:] or sorted(said)[-1:])
    assert {at for at in said if at <= until} == set(moments(job(cron=cron), NOW, until, ZoneInfo(zone)))


def analyzed(program: str, text: str, count: int) -> list[datetime]:
    """The next times of an expression after NOW."""
    run = subprocess.run(
        [program, "calendar", f"--iterations={count}", f"--base-time={NOW:%Y-%m-%d %H:%M:%S} UTC", text],
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = re.findall(r"(?:Next elapse|\(in UTC\)|Iter(?:ation|\.) #\d+): \w+ (\S+ \S+) UTC", run.stdout)
    return sorted({datetime.strptime(one, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for one in found})


@pytest.mark.parametrize("every", ["30s", "1m", "4m", "30m", "1h", "6h", "12h", "1d", "7d"])
def test_an_interval_that_divides_evenly(every: str) -> None:
    """systemd keeps it by the clock, so that it also makes up for one that was missed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    one = job(every=every)
    (text,) = on_calendar(one, "Europe/Berlin")
    times = analyzed(program, text, 8)
    assert one.every is not None
    assert {after - before for before, after in pairwise(times)} == {one.every}


def test_an_interval_that_does_not() -> None:
    """systemd counts it from the start of the one before; cron is told so, and what would do."""
    assert on_calendar(job(every="7m"), "UTC") == on_calendar(job(every="36h"), "UTC") == ()
    assert crontab(job(every="7m"), 0).instead == "6m or 10m"
    assert crontab(job(every="30s"), 0).instead == "1m"
    assert crontab(job(every="30d"), 0).instead == "1w"
    assert crontab(job(every="4m"), None).lines == ("*/4 * * * *",)


@pytest.mark.parametrize(("seconds", "line"), EVERY)
def test_what_cron_can_do_is_even(seconds: int, line: str) -> None:
    times = list(moments(job(cron=line), NOW, NOW + timedelta(days=15), UTC))
    assert {after - before for before, after in pairwise(times)} == {timedelta(seconds=seconds)}


@settings(max_examples=60, deadline=None)
@given(CRONS, st.integers(0, 700), st.sampled_from(["UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/Bogota"]))
def test_cron_is_told_the_very_times(cron: str, days: int, zone: str) -> None:
    """Also where this machine's clock shows another time than the schedule's; or it is refused."""
    here: tzinfo = ZoneInfo("Asia/Tokyo")
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    until = since + timedelta(days=9)
    one, shift = job(cron=cron), ahead(ZoneInfo(zone), here, since)
    assert shift is not None and shift < 0
    for lines, there in ((crontab(one, shift).lines, here), (crontab(one, 0).lines, ZoneInfo(zone))):
        assert lines or there is here
        found = {at for line in lines for at in moments(job(cron=line), since, until, there)}
        assert not lines or found == set(moments(one, since, until, ZoneInfo(zone)))
        for text in " ".join(lines).split():
            assert re.fullmatch(r"[0-9*,/-]+", text) and not re.search(r"(?<![0-9-])\d+/", text)


def test_cron_knows_no_other_days() -> None:
    """What falls on another day of the month, and zones that change their clocks apart, are refused with the reason."""
    assert "another day of the month" in crontab(job(cron="0 2 1 * *"), 480).why
    assert crontab(job(cron="0 2 * * 1"), 480).lines == ("0 18 * * 0",)
    berlin, paris, new_york = map(ZoneInfo, ("Europe/Berlin", "Europe/Paris", "America/New_York"))
    assert ahead(berlin, paris, NOW) == 0
    assert ahead(berlin, new_york, NOW) is None and ahead(berlin, UTC, NOW) is None
    assert "change on other days" in crontab(job(cron="0 2 * * *"), None).why


def test_a_time_that_the_clocks_jump_over() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert left_out(job(cron="30 2 * * *"), berlin, NOW) == datetime(2027, 3, 28, 2, 30)  # noqa: DTZ001 - local time
    for cron, zone in (("30 1 * * *", berlin), ("30 2 * 5 *", berlin), ("*/5 * * * *", berlin), ("30 2 * * *", UTC)):
        assert left_out(job(cron=cron), zone, NOW) is None
