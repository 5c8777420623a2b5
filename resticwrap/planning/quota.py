"""What goes besides when there is too much: the oldest snapshots that no promise protects.

A rule that thins out (all of a week, hourly of a week) is a wish, and gives way. That every day, week or month of the
policy can be had is a promise, and stays; so do the last ones that a rule counts, and what it keeps of the last day.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from resticwrap.model.base import Value
from resticwrap.model.policy import Keep, Quota

OVER = "over quota: "
"""How the reason begins for which a quota takes something."""
AT_ONCE = 16
"""Of a quota of bytes so many snapshots go, or one in so many, before what is left is counted again: what one of them
frees is only guessed."""
LAST_DAY = timedelta(days=1)


class Candidate(Value, frozen=True):
    """One snapshot that may go, of one tier. `order` sorts the oldest first. `freed` is an estimate, in bytes."""

    key: tuple[str, str]
    domain: str
    order: tuple[float, str]
    freed: int


class Bound(Value, frozen=True):
    """One quota, of one domain or (`domain` None) of the target, and what counts against it. `stored` is None where
    nobody counted the bytes."""

    domain: str | None
    quota: Quota
    snapshots: int
    stored: int | None


def day_promise(keep: Keep) -> Keep:
    """The rule without its thinning below the day: of every day that it reaches one snapshot stays."""
    spans = [span for span in (keep.within, keep.within_hourly, keep.within_daily) if span]
    counts = [count for count in (keep.last, keep.hourly, keep.daily) if count]
    return Keep(
        last=keep.last,
        within=min(keep.within, LAST_DAY) if keep.within else None,
        within_daily=max(spans, default=None),
        within_weekly=keep.within_weekly,
        within_monthly=keep.within_monthly,
        daily=max(counts, default=None),
        weekly=keep.weekly,
        monthly=keep.monthly,
        forever=keep.forever,
    )


def over(
    bounds: Sequence[Bound], candidates: Sequence[Candidate], newest: Callable[[int], Collection[tuple[str, str]]]
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """What goes, by key with the reason, and a warning for every bound that it is not enough for.

    Domains come before the target as a whole. `newest(n)` are the n newest of each domain, which `keep_last` holds.
    """
    gone: dict[tuple[str, str], str] = {}
    by_age = sorted(candidates, key=lambda one: one.order)
    of = {one.key: one for one in candidates}
    warnings = []
    for bound in sorted(bounds, key=lambda bound: (bound.domain is None, bound.domain or "")):
        mine = [one for one in by_age if bound.domain in (None, one.domain)]
        left = _Left(bound)
        for key in gone:
            if bound.domain in (None, of[key].domain):
                left.take(of[key])
        stays = newest(bound.quota.keep_last) if bound.quota.keep_last else ()
        if bound.quota.max_bytes is None and bound.quota.max_snapshots is None:
            for one in mine:
                if one.key not in stays:
                    gone.setdefault(one.key, f"{OVER}older than the last {bound.quota.keep_last:,}")
            continue
        before, most = len(gone), max(AT_ONCE, len(mine) // AT_ONCE)
        for one in mine:
            why = left.too_much()
            if not why or ("bytes" in why and len(gone) - before >= most):
                break
            if one.key not in gone and one.key not in stays:
                gone[one.key] = f"{OVER}{why}"
                left.take(one)
        if why := left.too_much():
            warnings.append(
                f"{_name(bound)} stays over its quota ({why}): everything else is protected, and is kept. "
                "Raise the quota, or shorten what tiers.yaml promises."
            )
    return gone, warnings


class _Left:
    """What still counts against one bound."""

    def __init__(self, bound: Bound) -> None:
        self.quota, self.snapshots, self.stored = bound.quota, bound.snapshots, bound.stored

    def take(self, one: Candidate) -> None:
        self.snapshots -= 1
        if self.stored is not None:
            self.stored -= one.freed

    def too_much(self) -> str:
        quota = self.quota
        if quota.max_snapshots is not None and self.snapshots > quota.max_snapshots:
            return f"more than {quota.max_snapshots:,} snapshots"
        if quota.max_bytes is not None and self.stored is not None and self.stored > quota.max_bytes:
            return f"more than {quota.max_bytes:,} bytes"
        return ""


def _name(bound: Bound) -> str:
    return f"Domain {bound.domain}" if bound.domain else "The target"
