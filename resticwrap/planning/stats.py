"""How a target grows, and when what it grows into is full."""

from collections.abc import Sequence
from datetime import date, timedelta

from resticwrap.model.base import Value
from resticwrap.model.objects import BlobSums
from resticwrap.model.reports import Growth, HistoryDay, SpaceLimit, UsedSpace

DAYS = 30
"""So far back growth is looked at."""


class Bound(Value, frozen=True):
    """Something that can become full: with `domain` only what that one adds fills it. Bytes; `used` None: not known."""

    what: str
    limit: int
    used: int | None
    domain: str | None = None


def space(snapshots: int, logical: int, sums: BlobSums | None) -> UsedSpace:
    """What snapshots take, with the ratios."""
    if sums is None:
        return UsedSpace(snapshots=snapshots, logical=logical)
    return UsedSpace(
        snapshots=snapshots,
        logical=logical,
        blobs=sums.blobs,
        stored=sums.stored,
        plain=sums.plain,
        dedup=logical / sums.plain if sums.plain else None,
        compression=sums.plain / sums.stored if sums.stored else None,
        lost=sums.lost,
    )


def last_days(today: date, count: int = DAYS) -> tuple[str, ...]:
    """The days up to today, oldest first, as `2026-11-28`."""
    return tuple((today - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1))


def growth(found: Sequence[HistoryDay], days: Sequence[str]) -> tuple[tuple[Growth, ...], Growth]:
    """By domain, in the order of their names, and in all. A young target is measured by the days that it has had."""
    added: dict[str, dict[str, int]] = {}
    for one in found:
        if one.day in days:
            of_domain = added.setdefault(one.domain, {})
            of_domain[one.day] = of_domain.get(one.day, 0) + one.added
    first = min((day for of_domain in added.values() for day in of_domain), default=days[-1])
    known = len(days) - list(days).index(first)
    by_domain = tuple(_growth(domain, [added[domain].get(day, 0) for day in days], known) for domain in sorted(added))
    total = [sum(of_domain.get(day, 0) for of_domain in added.values()) for day in days]
    return by_domain, _growth("", total, known)


def _growth(domain: str, added: Sequence[int], known: int) -> Growth:
    return Growth(domain=domain, added=tuple(added), per_day=sum(added) / known)


def cold_rate(measured: Sequence[tuple[date, int]]) -> float:
    """How many bytes a day copies have added to cold, from what its packs took on some days, oldest first; 0 where it
    was measured on one day only."""
    if len({day for day, _ in measured}) < 2:
        return 0.0
    (first, before), (last, after) = measured[0], measured[-1]
    return max(after - before, 0) / (last - first).days


def limits(
    bounds: Sequence[Bound], by_domain: Sequence[Growth], total: Growth, cold: float = 0.0
) -> tuple[SpaceLimit, ...]:
    """When each is full, soonest first; 0 where it is. What copies add to cold (`cold`, bytes a day) comes on top of
    what backups add, where the whole target is meant."""
    rates = {one.domain: one.per_day for one in by_domain}
    found = []
    for bound in bounds:
        rate = total.per_day + cold if bound.domain is None else rates.get(bound.domain, 0.0)
        days = None
        if bound.used is not None and bound.used >= bound.limit:
            days = 0.0
        elif bound.used is not None and rate > 0:
            days = (bound.limit - bound.used) / rate
        found.append(SpaceLimit(what=bound.what, limit=bound.limit, used=bound.used, per_day=rate, days=days))
    return tuple(sorted(found, key=lambda one: (one.days is None, one.days or 0.0)))
