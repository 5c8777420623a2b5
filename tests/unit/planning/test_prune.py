"""When a prune may run, and what it never does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.policy import ColdTier, HotTier, Keep, PruneRule, Tiers, Transitions
from resticwrap.model.reports import PrunePlan
from resticwrap.planning.prune import TIGHT, TierFacts, plan, still_fits, window_at

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
TIMES = st.times().map(lambda time: f"{time:%H:%M}")
INSTANTS = st.integers(0, 4 * 365 * 86400).map(
    lambda after: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=after)
)
MOVES = Transitions.model_validate({"s3": [{"days": 30, "storage_class": "GLACIER"}]})


def tiers(transitions: Transitions | None = None) -> Tiers:
    keep = Keep(daily=1)
    return Tiers(
        hot=HotTier(days=30, keep=keep), cold=ColdTier(days=180, keep=keep, transitions=transitions or Transitions())
    )


def planned(
    *facts: TierFacts,
    rule: PruneRule | None = None,
    now: datetime = datetime(2026, 11, 28, 4, 0, tzinfo=UTC),
    at_once: bool = False,
    provider: str = "s3",
    transitions: Transitions | None = None,
) -> PrunePlan:
    return plan("main", provider, rule or PruneRule(), tiers(transitions), facts, now, UTC, at_once=at_once)


def facts(tier: str = "cold", classes: tuple[str, ...] = ("STANDARD",), free: int | None = None) -> TierFacts:
    return TierFacts(tier=tier, packs=3, stored=300, classes=frozenset(classes), free=free)


@given(TIMES, TIMES, INSTANTS, st.sampled_from([UTC, SHANGHAI, BERLIN]))
def test_a_window_is_open_or_the_next_one(begin: str, end: str, now: datetime, zone: ZoneInfo) -> None:
    """It has not closed yet, opens within a bit more than a day, and begins and ends at its times of the day (but for
    hours that a change of the clock leaves out or repeats)."""
    span = window_at(f"{begin}-{end}", now, zone)
    assert span.begins < span.ends and now < span.ends
    assert span.begins - now <= timedelta(hours=50) and span.ends - span.begins <= timedelta(hours=25)
    if zone is not BERLIN:
        assert f"{span.begins.astimezone(zone):%H:%M}" == begin and f"{span.ends.astimezone(zone):%H:%M}" == end
        assert span.begins - now <= timedelta(days=1)


@pytest.mark.parametrize(
    ("window", "now", "is_open", "ends"),
    [
        ("01:00-05:00", "2026-11-28T00:59:59+00:00", False, "2026-11-28T05:00:00+00:00"),
        ("01:00-05:00", "2026-11-28T01:00:00+00:00", True, "2026-11-28T05:00:00+00:00"),
        ("01:00-05:00", "2026-11-28T05:00:00+00:00", False, "2026-11-29T05:00:00+00:00"),
        ("23:00-02:00", "2026-11-28T01:30:00+00:00", True, "2026-11-28T02:00:00+00:00"),
        ("23:00-02:00", "2026-11-28T23:30:00+00:00", True, "2026-11-29T02:00:00+00:00"),
        ("23:00-02:00", "2026-11-28T12:00:00+00:00", False, "2026-11-29T02:00:00+00:00"),
        ("00:00-00:00", "2026-11-28T12:00:00+00:00", True, "2026-11-29T00:00:00+00:00"),
    ],
)
def test_windows(window: str, now: str, is_open: bool, ends: str) -> None:
    at = datetime.fromisoformat(now)
    span = window_at(window, at, UTC)
    assert (span.begins <= at, span.ends.isoformat()) == (is_open, ends)


def test_a_change_of_the_clock() -> None:
    """In Berlin 02:00 to 03:00 is not there on the last Sunday of March; the night is an hour shorter."""
    span = window_at("01:00-05:00", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), BERLIN)
    assert (span.begins.hour, span.ends.hour) == (0, 3)
    assert window_at("02:00-03:00", datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN).begins.day >= 29


def test_the_limit_is_what_comes_first() -> None:
    rule = PruneRule.model_validate({"window": "01:00-05:00", "deadline": "3h"})
    early, late = (planned(rule=rule, now=datetime(2026, 11, 28, hour, 0, tzinfo=UTC)) for hour in (1, 4))
    assert (early.seconds, early.limit) == (10800, "after 3h, as prune.deadline says")
    assert (late.seconds, late.limit) == (3600, "at 05:00, when the window 01:00-05:00 closed")
    assert early.open and late.open
    outside = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    assert not planned(rule=rule, now=outside).open
    at_once = planned(rule=rule, now=outside, at_once=True)
    assert at_once.open and at_once.seconds == 10800


@given(
    st.sampled_from(["hot", "cold"]),
    st.lists(st.sampled_from(["", "STANDARD", "Standard", "IA", "GLACIER", "STANDARD_IA", "DEEP_ARCHIVE"])),
    st.none() | st.integers(0, 1 << 40),
    st.booleans(),
    st.sampled_from(["s3", "oss", "local"]),
)
def test_nothing_cold_is_repacked(tier: str, classes: list[str], free: int | None, moves: bool, provider: str) -> None:
    """Whatever lies in another class than the standard one, or will, is not repacked; and no more is written than
    there is room for. A plan that fitted is only ever made stricter."""
    found = facts(tier, tuple(classes), free)
    (one,) = planned(found, provider=provider, transitions=MOVES if moves else None).tiers
    colder = any(word not in ("", "STANDARD", "Standard") for word in classes)
    will = moves and tier == "cold" and provider == "s3"
    tight = free is not None and free < TIGHT
    assert one.cacheable_only == (colder or will or tight)
    assert one.max_repack is None if free is None else one.max_repack is not None and one.max_repack <= free
    assert still_fits(one, found) == one
    assert still_fits(one, facts(tier, ("GLACIER",), free)).cacheable_only


@pytest.mark.parametrize(("free", "several"), [(None, False), (10 * TIGHT, False), (2 * TIGHT, True)])
def test_a_short_disk_takes_several_runs(free: int | None, several: bool) -> None:
    """Where what may be written anew in one run is less than what lies there, the plan says so."""
    found = TierFacts(tier="hot", packs=3, stored=4 * TIGHT, classes=frozenset({""}), free=free)
    (one,) = planned(found).tiers
    assert not one.cacheable_only and ("several runs" in one.why) == several
