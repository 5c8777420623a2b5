"""Growth and what it leads to."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.objects import BlobSums
from resticwrap.model.reports import Growth, HistoryDay
from resticwrap.planning.stats import Bound, cold_rate, growth, last_days, limits, space

DAYS = last_days(date(2026, 3, 2))
FOUND = st.lists(
    st.builds(
        lambda day, domain, added: HistoryDay(day=day, domain=domain, jobs=1, failed=0, partial=0, full=0, added=added),
        st.sampled_from([*DAYS, "2026-01-01"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 1 << 50),
    ),
    max_size=40,
)


def test_days() -> None:
    assert (len(DAYS), DAYS[0], DAYS[-1]) == (30, "2026-02-01", "2026-03-02")


@given(FOUND)
def test_growth_is_what_was_added(found: list[HistoryDay]) -> None:
    """The rows sum to the total, day by day; days that are not shown do not count; the mean is over the known days."""
    by_domain, total = growth(found, DAYS)
    shown = [one for one in found if one.day in DAYS]
    assert sum(total.added) == sum(one.added for one in shown)
    assert [sum(one.added[at] for one in by_domain) for at in range(30)] == list(total.added)
    assert [one.domain for one in by_domain] == sorted({one.domain for one in shown})
    known = 30 - min((DAYS.index(one.day) for one in shown), default=29)
    assert total.per_day * known == sum(total.added) or abs(total.per_day * known / sum(total.added) - 1) < 1e-9


@given(FOUND, st.integers(1, 1 << 60), st.none() | st.integers(0, 1 << 60))
def test_when_it_is_full(found: list[HistoryDay], limit: int, used: int | None) -> None:
    """0 days where it is full, none where it does not grow, else what is left over the rate; soonest first."""
    by_domain, total = growth(found, DAYS)
    bounds = [Bound(what="x", limit=limit, used=used), Bound(what="y", limit=limit, used=used, domain="nobody")]
    told = limits(bounds, by_domain, total)
    x = next(one for one in told if one.what == "x")
    y = next(one for one in told if one.what == "y")
    if used is None:
        assert x.days is None and y.days is None
    elif used >= limit:
        assert x.days == y.days == 0
    else:
        assert y.days is None
        assert x.days == ((limit - used) / total.per_day if total.per_day else None)
    assert [one.days is None for one in told] == sorted(one.days is None for one in told)


def test_ratios() -> None:
    told = space(3, 3000, BlobSums(blobs=5, stored=500, plain=1000))
    assert (told.dedup, told.compression) == (3.0, 2.0)
    empty = space(0, 0, BlobSums())
    assert empty.dedup is None and empty.compression is None and space(1, 5, None).stored is None


def test_cold_grows_by_what_copies_measured() -> None:
    """Two measurements a week apart; one day alone says nothing, and a prune in between no less than nothing."""
    first, later = date(2026, 11, 1), date(2026, 11, 8)
    assert cold_rate([(first, 100), (later, 800)]) == 100
    assert cold_rate([(first, 100), (first, 800)]) == cold_rate([]) == 0
    assert cold_rate([(first, 800), (later, 100)]) == 0
    (limit,) = limits([Bound(what="disk", limit=1000, used=0)], [], Growth(domain="", added=(), per_day=50), 50)
    assert (limit.per_day, limit.days) == (100, 10)
