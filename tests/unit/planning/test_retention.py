"""What a tier keeps, by the day, with the covers of days that have no snapshot of their own."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.aging import Held
from resticwrap.model.policy import Keep
from resticwrap.planning.retention import counted, groups, index_of, name_of, promised, to_copy

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def held(days_ago: float, name: str = "", **more: Any) -> Held:
    """A complete snapshot so many days before noon."""
    fields: dict[str, Any] = {
        "original": name or f"s{days_ago}",
        "domain": "exams",
        "host": "lab",
        "time": NOW - timedelta(days=days_ago),
        "type": "incremental",
        "tree": "t",
        "complete": True,
        "hot": "x",
    }
    return Held(**{**fields, **more})


def kept(snapshots: Iterable[Held], days: int = 30, zone: tzinfo = UTC, now: datetime = NOW, **keep: Any) -> set[str]:
    return set(promised(list(snapshots), days, Keep.model_validate(keep), zone, now))


def test_a_day_is_represented_by_its_last_full_or_else_by_its_last_snapshot() -> None:
    snapshots = [
        held(2.4, "full", type="full"),
        held(2.3, "later"),
        held(1.4, "early"),
        held(1.3, "late"),
        held(0.1, "today"),
    ]
    assert kept(snapshots, within_daily="5d") == {"full", "late", "today"}


def test_an_old_snapshot_covers_the_days_until_the_next_one() -> None:
    """A domain that did not change for 40 days and then did: each of the promised days can still be had."""
    old, new = held(40, "old"), held(0.1, "new")
    assert kept([held(41, "older"), old, new], within_daily="30d") == {"old", "new"}
    reasons = promised([old, new], 30, Keep.model_validate({"within_daily": "30d"}), UTC, NOW)
    assert reasons["old"] == ["covers 2026-10-28 to 2026-11-26"]


def test_the_last_of_a_day_covers_the_gap_after_it_though_a_full_stands_for_the_day() -> None:
    snapshots = [held(5.4, "full", type="full"), held(5.2, "after"), held(2, "next")]
    assert kept(snapshots, within_daily="10d") == {"full", "after", "next"}


def test_all_within_a_span_and_what_stood_at_its_beginning() -> None:
    snapshots = [held(3, "gone"), held(2, "stood"), held(0.5, "in"), held(0, "now")]
    assert kept(snapshots, within="1d") == {"stood", "in", "now"}


def test_the_days_of_a_tier_bound_every_rule_but_forever() -> None:
    snapshots = [held(100, "a"), held(90, "b"), held(5, "c")]
    assert kept(snapshots, days=30, monthly=12) == {"b", "c"}  # b stood until 25 days ago
    assert kept(snapshots, days=30, last=3) == {"b", "c"}
    assert kept(snapshots, days=30, forever=True) == {"a", "b", "c"}


def test_numbers_count_what_has_a_snapshot_as_restic_does() -> None:
    snapshots = [held(9, "a"), held(6, "b"), held(3, "c"), held(0, "d")]
    assert kept(snapshots, daily=2) == {"c", "d"}
    assert kept(snapshots, last=1) == {"d"}


def test_what_is_partial_or_of_the_future_counts_for_nothing() -> None:
    snapshots = [held(1, "a"), held(0.9, "partial", complete=False), held(0.8, "unknown", complete=None)]
    snapshots.append(held(-1, "future"))
    assert kept(snapshots, last=1) == {"a"}
    assert [one.original for one in counted(snapshots, NOW)] == ["a"]


def test_days_are_those_of_the_zone() -> None:
    """Eight in the evening in UTC is the next day in Shanghai."""
    snapshots = [held(1 - 8 / 24, "evening"), held(0.5, "midnight")]
    assert kept(snapshots, zone=ZoneInfo("Asia/Shanghai"), within_daily="5d") == {"midnight"}
    assert kept(snapshots, within_daily="5d") == {"evening", "midnight"}


def test_only_a_full_is_copied_before_its_day_is_over() -> None:
    keep = Keep.model_validate({"within_daily": "180d"})
    snapshots = [held(1, "yesterday"), held(0.3, "today"), held(0.2, "full", type="full")]
    assert [one.original for one in to_copy(snapshots, 180, keep, UTC, NOW)] == ["yesterday", "full"]
    assert [one.original for one in to_copy(snapshots[:2], 180, keep, UTC, NOW)] == ["yesterday"]
    proven = [held(1, "yesterday", cold="c", marked=True)]
    assert to_copy(proven, 180, keep, UTC, NOW) == []
    unproven = [held(1, "yesterday", hot=None, cold="c")]
    assert to_copy(unproven, 180, keep, UTC, NOW) == unproven


def test_the_autumn_hour_that_is_there_twice_is_two_hours() -> None:
    zone = ZoneInfo("Europe/Berlin")
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert index_of("hour", second, zone) == index_of("hour", first, zone) + 1
    assert index_of("day", first, zone) == index_of("day", second, zone)


@pytest.mark.parametrize(
    ("period", "name"),
    [("hour", "2026-11-27 17h"), ("day", "2026-11-27"), ("week", "week of 2026-11-23"), ("month", "2026-11")],
)
def test_periods_have_names(period: Any, name: str) -> None:
    zone = ZoneInfo("Asia/Kolkata")  # half an hour off
    assert name_of(period, index_of(period, NOW, zone), zone) == name


def test_machines_are_kept_apart() -> None:
    found = groups([held(1, "a"), held(2, "b", host="other"), held(3, "c")])
    assert {key: [one.original for one in group] for key, group in found.items()} == {
        ("lab", "exams"): ["c", "a"],
        ("other", "exams"): ["b"],
    }


MINUTES = st.lists(st.integers(0, 60 * 24 * 60), min_size=1, max_size=60, unique=True)


@given(MINUTES, st.data(), st.integers(1, 40))
def test_every_promised_day_is_covered_by_what_stood_for_it(minutes: list[int], data: Any, days: int) -> None:
    """Of a day with snapshots one stays; for a day without any, the newest before it stays."""
    snapshots = [
        held(ago / 1440, f"s{ago}", type=data.draw(st.sampled_from(["full", "incremental"]))) for ago in minutes
    ]
    stays = kept(snapshots, days=days, within_daily=f"{days}d")
    ordered = sorted(snapshots, key=lambda one: one.time)
    for day in range(index_of("day", NOW - timedelta(days=days), UTC), index_of("day", NOW, UTC) + 1):
        inside = [one for one in ordered if index_of("day", one.time, UTC) == day]
        before = [one for one in ordered if index_of("day", one.time, UTC) < day]
        if inside:
            assert stays & {one.original for one in inside}
        elif before:
            assert before[-1].original in stays
    survivors = [one for one in snapshots if one.original in stays]
    assert kept(survivors, days=days, within_daily=f"{days}d") == stays
