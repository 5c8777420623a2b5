"""What a tier promises to keep, and what has to be copied from hot to cold before hot may forget it.

A snapshot stands for the time until its domain's next one. So a rule about days keeps one snapshot for every day of its
window, and for a day without any the one that was the newest before it: that one covers it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Literal

import msgspec

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import Held
from resticwrap.model.base import Time
from resticwrap.model.fields import format_duration
from resticwrap.model.policy import Keep

Period = Literal["hour", "day", "week", "month"]
Say = Callable[[Held, str], None]
HOUR = 3600
BASE_OF = "the base of log"
"""How the reason begins for which a base backup is kept."""
WINDOWS: tuple[tuple[str, Period], ...] = (
    ("within_hourly", "hour"),
    ("within_daily", "day"),
    ("within_weekly", "week"),
    ("within_monthly", "month"),
)
COUNTS: tuple[tuple[str, Period], ...] = (
    ("hourly", "hour"),
    ("daily", "day"),
    ("weekly", "week"),
    ("monthly", "month"),
)


def groups(held: Iterable[Held]) -> Mapping[tuple[str, str], list[Held]]:
    """By host and domain, each oldest first: retention never compares the snapshots of two machines."""
    found: dict[tuple[str, str], list[Held]] = {}
    for one in sorted(held, key=lambda one: (one.host, one.domain, one.time, one.original)):
        found.setdefault((one.host, one.domain), []).append(one)
    return found


def counted(held: Iterable[Held], now: Time) -> list[Held]:
    """Those that retention may rely on, oldest first: complete, and not of the future, since a clock was wrong then."""
    until = now + CLOCK_SLACK
    return sorted((one for one in held if one.complete and one.time <= until), key=lambda one: (one.time, one.original))


def founded(held: Sequence[Held]) -> list[Held]:
    """The same, and a snapshot of a log counts for no more than its base: without one that is complete it stands for
    nothing, and nothing may be removed for its sake."""
    # Whichever machine made it: one that takes another's place goes on from its bases.
    whole = {(one.domain, one.original): one.complete for one in held}

    def judged(one: Held) -> Held:
        if not one.base or not one.complete:
            return one
        base = whole.get((one.domain, one.base), False)
        return one if base else msgspec.structs.replace(one, complete=base)

    return [judged(one) for one in held]


def with_bases(held: Sequence[Held], reasons: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same reasons, and those of the bases of all logs that are kept: a log is worth nothing without its base."""
    there = {one.original for one in held}
    for one in held:
        if one.base in there and one.original in reasons:
            found = reasons.setdefault(one.base, [])
            if not any(reason.startswith(BASE_OF) for reason in found):
                found.append(f"{BASE_OF} {one.original[:8]}")
    return reasons


def promised(held: Sequence[Held], days: int, keep: Keep, zone: tzinfo, now: Time) -> dict[str, list[str]]:
    """What a rule keeps of the snapshots of one domain and host, by original id, with every reason.

    Nothing that stood before the tier's `days` is kept, unless the rule says `forever`. Hours, days, weeks and months
    are those of `zone`. An hour is represented by its last snapshot; the longer ones by their last full, and where they
    have none by their last snapshot. What is kept of a log keeps its base, however old that is.
    """
    return with_bases(held, _wished(held, days, keep, zone, now))


def _wished(held: Sequence[Held], days: int, keep: Keep, zone: tzinfo, now: Time) -> dict[str, list[str]]:
    snapshots = counted(held, now)
    reasons: dict[str, list[str]] = {}

    def say(one: Held, reason: str) -> None:
        reasons.setdefault(one.original, []).append(reason)

    if keep.forever:
        for one in snapshots:
            say(one, "kept forever")
        return reasons
    oldest = now - timedelta(days=days)
    if keep.last:
        standing = [one for one, next_ in _with_next(snapshots) if next_ is None or next_.time > oldest]
        for one in standing[-keep.last :]:
            say(one, f"one of the last {keep.last}")
    if keep.within:
        _since(snapshots, max(now - keep.within, oldest), format_duration(keep.within), say)
    for period, start in _starts(snapshots, keep, oldest, zone, now):
        _periods(snapshots, period, start, index_of(period, now, zone), zone, say)
    return reasons


def _since(snapshots: Sequence[Held], since: Time, name: str, say: Say) -> None:
    """Keep everything since a moment, and what stood at it."""
    for one, next_ in _with_next(snapshots):
        if one.time >= since:
            say(one, f"within {name}")
        elif next_ is None or next_.time > since:
            say(one, f"covers the beginning of the last {name}")


def _starts(
    snapshots: Sequence[Held], keep: Keep, oldest: Time, zone: tzinfo, now: Time
) -> Iterator[tuple[Period, int]]:
    """The first hour, day, week or month that each part of a rule reaches back to. A number of them counts those that
    have a snapshot, as restic does."""
    for field, period in WINDOWS:
        if span := getattr(keep, field):
            yield period, index_of(period, max(now - span, oldest), zone)
    for field, period in COUNTS:
        count = getattr(keep, field)
        if count and (found := sorted({index_of(period, one.time, zone) for one in snapshots})):
            yield period, max(found[-count:][0], index_of(period, oldest, zone))


def to_copy(held: Sequence[Held], days: int, keep: Keep, zone: tzinfo, now: Time) -> list[Held]:
    """What cold promises of one domain and host and does not have proven yet, oldest first.

    Not what its day may still outdo: a day that goes on is represented by its full only.
    """
    wanted = promised(held, days, keep, zone, now)
    today = index_of("day", now, zone)
    return [
        one
        for one in counted(held, now)
        if one.original in wanted
        and not one.marked
        and (one.cold is not None or one.type == "full" or index_of("day", one.time, zone) < today)
    ]


def index_of(period: Period, time: Time, zone: tzinfo) -> int:
    """The number of the hour, day, week or month in which a time lies; they follow each other without gaps."""
    if period == "hour":
        # Counted by the clock of the world, so that the hour which is there twice in autumn is two.
        return int((time.timestamp() + _offset(time, zone) % HOUR) // HOUR)
    local = time.astimezone(zone)
    match period:
        case "day":
            return local.toordinal()
        case "week":
            return (local.toordinal() - 1) // 7  # the first day of the calendar was a Monday
        case "month":
            return local.year * 12 + local.month - 1


def name_of(period: Period, index: int, zone: tzinfo) -> str:
    """`2026-11-27`, `2026-11-27 14h`, `week of 2026-11-23`, `2026-11`."""
    match period:
        case "hour":
            moment = datetime.fromtimestamp(index * HOUR, zone)
            return f"{moment:%Y-%m-%d %H}h"
        case "day":
            return date.fromordinal(index).isoformat()
        case "week":
            return f"week of {date.fromordinal(index * 7 + 1).isoformat()}"
        case "month":
            return f"{index // 12}-{index % 12 + 1:02}"


def _periods(
    snapshots: Sequence[Held],
    period: Period,
    start: int,
    end: int,
    zone: tzinfo,
    say: Say,
) -> None:
    """Keep one snapshot for every period from `start` to `end`: its own, or the newest one before it."""
    before: Held | None = None
    expected = start
    for index, group in groupby(snapshots, key=lambda one: index_of(period, one.time, zone)):
        inside = list(group)
        if index >= start:
            if before is not None and index > expected:
                say(before, _covers(period, expected, index - 1, zone))
            fulls = [one for one in inside if one.type == "full"] if period != "hour" else []
            name = name_of(period, index, zone)
            say((fulls or inside)[-1], name if period == "week" else f"{period} {name}")
            expected = index + 1
        before = inside[-1]
    if before is not None and end >= expected:
        say(before, _covers(period, expected, end, zone))


def _covers(period: Period, first: int, last: int, zone: tzinfo) -> str:
    names = [name_of(period, index, zone) for index in (first, last)]
    return f"covers {names[0]}" if first == last else f"covers {names[0]} to {names[1]}"


def _with_next(snapshots: Sequence[Held]) -> Iterable[tuple[Held, Held | None]]:
    return zip(snapshots, [*snapshots[1:], None], strict=True) if snapshots else ()


def _offset(time: Time, zone: tzinfo) -> float:
    offset = time.astimezone(zone).utcoffset()
    return offset.total_seconds() if offset else 0.0
