"""The acceptance table: a gap is a failure, and what was not measured is no pass."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from resticwrap.model.acceptance import AcceptanceRow
from resticwrap.model.assurance import RecoveryFile
from resticwrap.model.drill import DrillDetails, DrilledDomain, Level
from resticwrap.model.job import Job
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning.acceptance import Facts, days_of, matched, table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
EVERY = timedelta(minutes=4)
OFTEN = ScheduledJob.model_validate({"kind": "backup", "type": "incremental", "target": "main", "every": "4m"})
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def rhythm(start: datetime, end: datetime, lag: float = 2.0) -> list[datetime]:
    return [start + EVERY * n + timedelta(seconds=lag) for n in range(int((end - start) / EVERY))]


def facts(looks: list[datetime], **more: Any) -> Facts:
    first = {"exams": looks[0]} if looks else {}
    given = {"target": "main", "domains": ("exams",), "jobs": (OFTEN,), "looks": {"exams": looks}, "first": first}
    return Facts(**{**given, **more})


def counted(what: Facts, days: int = 3, zone: Any = UTC) -> list[tuple[str, int, int, str]]:
    return [(day.day[-2:], day.slots, day.succeeded, day.verdict) for day in days_of(what, 0.99, days, zone, NOW)]


def test_a_day_of_four_minutes_has_360_slots() -> None:
    """Today counts as far as it has come; the first day from its first backup on."""
    looks = rhythm(NOW - timedelta(days=2), NOW)
    assert counted(facts(looks)) == [("21", 179, 179, "met"), ("22", 360, 360, "met"), ("23", 179, 179, "met")]


@pytest.mark.parametrize(("gone", "verdict"), [(3, "met"), (4, "missed")])
def test_a_gap_is_a_failure(gone: int, verdict: str) -> None:
    """3 of 360 are within 99 %, 4 are not; and no later backup makes up for it."""
    looks = rhythm(NOW - timedelta(days=2), NOW)
    there = [look for n, look in enumerate(looks) if n not in range(300, 300 + gone)]
    there.append(looks[400] + timedelta(seconds=1))
    assert counted(facts(sorted(there)))[1] == ("22", 360, 360 - gone, verdict)


def test_a_domain_that_was_never_backed_up_fails_every_slot() -> None:
    """From the target's first backup on."""
    looks = rhythm(NOW - timedelta(days=2), NOW)
    assert counted(facts(looks, domains=("exams", "new")))[1][1:3] == (720, 360)


def test_days_are_those_of_the_zone() -> None:
    """A day on which the clocks go back has an hour more."""
    zone = ZoneInfo("Europe/Berlin")
    looks = rhythm(datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC))
    now = datetime(2026, 10, 27, tzinfo=UTC)
    days = days_of(facts(looks), 0.99, 3, zone, now)
    assert [(day.day, day.slots) for day in days][:1] == [("2026-10-25", 375)]


def test_no_schedule_is_no_pass() -> None:
    """Neither is no backup at all."""
    for what in (facts(rhythm(SINCE, NOW), jobs=()), facts([])):
        days = days_of(what, 0.99, 30, UTC, NOW)
        assert days == () and rows(what)["incrementals that succeeded, each day"].verdict == "unknown"


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 3000), max_size=40).map(sorted),
    st.integers(0, 3000),
    st.integers(1, 12),
)
def test_more_looks_never_count_for_less(looks: list[int], more: int, slots: int) -> None:
    """And no look counts twice."""
    times = [NOW + timedelta(seconds=at) for at in looks]
    due = [NOW + EVERY * n for n in range(slots)]
    before = matched(due, times, EVERY)
    after = matched(due, sorted([*times, NOW + timedelta(seconds=more)]), EVERY)
    assert sum(before) <= sum(after) <= sum(before) + 1
    assert sum(before) <= min(len(looks), slots)


def drill(ago: timedelta, level: Level = "l1", *, ok: bool = True, **more: Any) -> Job:
    one = DrilledDomain(
        domain="exams", priority="P0", snapshot="s", tree="t", job="j", source_time=NOW, objects=1, size=1,
        **{"failed": 0 if ok else 1, "actual_rpo": 10, "actual_rto": 10, "rpo": 300, "rto": 1800, **more},
    )  # fmt: skip
    details = DrillDetails(level=level, domains=(one,), objective=600, seconds=20)
    return Job(
        id=f"drill_{ago}", kind="drill", target="main", outcome="ok" if ok else "failed", started_at=NOW - ago,
        host="lab", pid=1, details=details.builtins(),
    )  # fmt: skip


def rows(what: Facts) -> dict[str, AcceptanceRow]:
    days = days_of(what, 0.99, 23, UTC, NOW)
    return {row.what: row for row in table(what, RecoveryFile(), days, SINCE, UTC, NOW)}


def test_weeks_of_drills() -> None:
    """Each whole week needs one; of a failed one nothing makes up but the policy; this week may still have its own."""
    name, week = "L1 drills that succeeded, each week", timedelta(days=7)
    base = facts(rhythm(SINCE, SINCE + timedelta(hours=1)))
    good = [drill(week * n + timedelta(hours=20)) for n in range(3)]
    assert rows(replace(base, drills=good))[name].verdict == "met"
    assert rows(replace(base, drills=good[1:]))[name].verdict == "missed"
    assert rows(replace(base, drills=[*good, drill(week, ok=False)]))[name].verdict == "missed"
    assert rows(replace(base, drills=[*good, drill(timedelta(hours=1), ok=False)]))[name].verdict == "missed"
    assert rows(facts([NOW - timedelta(days=2)]))[name].verdict == "unknown"
    daily = ScheduledJob.model_validate({"kind": "drill", "level": "l1", "target": "main", "cron": "0 3 * * *"})
    assert rows(replace(base, jobs=(daily,), drills=good))[name].verdict == "missed"


def test_the_monthly_drill_of_the_system() -> None:
    """By its own stopwatch, and none is no pass; once a month has gone by it is a miss."""
    old, new = facts([NOW - timedelta(days=40)]), facts([NOW - timedelta(days=4)])

    def verdicts(what: Facts) -> list[str]:
        return [row.verdict for name, row in rows(what).items() if name.startswith("L3")]

    assert verdicts(new) == ["unknown", "unknown"] and verdicts(old) == ["missed", "missed"]
    day = timedelta(days=1)
    assert verdicts(replace(old, drills=[drill(day, "l3")])) == ["met", "met"]
    assert verdicts(replace(old, drills=[drill(40 * day, "l3")])) == ["missed", "missed"]
    assert verdicts(replace(old, drills=[drill(day, "l3", actual_rpo=301)])) == ["missed", "met"]
    assert verdicts(replace(old, drills=[drill(day, "l3", actual_rto=1801)])) == ["met", "missed"]
    assert verdicts(replace(old, drills=[drill(day, "l3", ok=False), drill(2 * day, "l3")])) == ["missed", "missed"]


def test_databases_in_the_drill_of_the_system() -> None:
    """What it took to load and to ask them stands beside what all of it took."""
    job = drill(timedelta(days=1), "l3")
    job = structs.replace(job, details={**job.details, "phases": {"download": 5, "load": 130.0, "query": 2.0}})
    found = rows(replace(facts([NOW - timedelta(days=40)]), drills=[job]))
    (actual,) = [row.actual for name, row in found.items() if name.endswith("RTO")]
    assert actual == f"20 s ({job.id}, load 2.2 min, query 2 s)"


def test_what_this_version_cannot_tell() -> None:
    """Is unknown, and never met."""
    found = rows(facts(rhythm(SINCE, NOW), schemas=frozenset({"exams"}), objects={"exams": 5}))
    assert found["replays compared"].verdict == found["objects that carry schema_version"].verdict == "unknown"
    assert "not counted yet; 5 of 5" in found["objects that carry schema_version"].actual
