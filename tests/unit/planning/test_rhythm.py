"""How often a schedule backs up, and how many snapshots that comes to."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resticwrap.model.policy import Keep, ScheduledJob
from resticwrap.planning.rhythm import at_most, moments

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def job(**more: Any) -> ScheduledJob:
    return ScheduledJob.model_validate({"kind": "backup", "type": "incremental", "target": "main", **more})


def runs(cron: str, since: datetime, until: datetime, zone: Any = UTC) -> list[str]:
    return [f"{moment:%d %H:%M}" for moment in moments(job(cron=cron), since, until, zone)]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 2 * * *", ["25 02:00", "26 02:00", "27 02:00"]),
        ("30 */12 * * *", ["25 00:30", "25 12:30", "26 00:30", "26 12:30", "27 00:30"]),
        ("0 3 * * fri", ["27 03:00"]),
        ("0 3 * * 5", ["27 03:00"]),
        ("0 3 26 * *", ["26 03:00"]),
        ("0 3 26 * 5", ["26 03:00", "27 03:00"]),  # either will do, as cron has it
        ("0 1-3/2 26 nov *", ["26 01:00", "26 03:00"]),
        ("0 3 * 12 *", []),
        ("0 3 * * 7", []),
    ],
)
def test_cron(cron: str, expected: list[str]) -> None:
    assert runs(cron, datetime(2026, 11, 25, tzinfo=UTC), NOW) == expected


def test_hours_are_those_of_the_zone() -> None:
    found = runs("0 2 * * *", NOW - timedelta(days=1), NOW, ZoneInfo("Asia/Shanghai"))
    assert found == ["26 18:00"]


def test_every_so_often() -> None:
    found = list(moments(job(every="4h"), NOW - timedelta(hours=9), NOW, UTC))
    assert found == [NOW - timedelta(hours=8), NOW - timedelta(hours=4), NOW]


def test_how_many_a_tier_comes_to_hold() -> None:
    """Four minutes for a day, hours for a week, days for a month: what the shipped policy comes to."""
    keep = Keep.model_validate({"within": "1d", "within_hourly": "7d", "within_daily": "30d"})
    jobs = [job(every="4m"), job(type="full", cron="0 2 * * *")]
    many = at_most(jobs, 30, keep, UTC, NOW)
    assert many is not None and 360 + 6 * 24 + 23 <= many <= 362 + 7 * 24 + 31
    assert at_most(jobs, 180, Keep.model_validate({"within_daily": "180d"}), UTC, NOW) in (180, 181)
    assert at_most([job(every="4m", enabled=False)], 30, keep, UTC, NOW) is None
