"""When a prune may run and until when, and how much it may write anew."""

from collections.abc import Collection
from datetime import datetime, time, timedelta, tzinfo

import msgspec

from resticwrap.model.base import Time, Value
from resticwrap.model.fields import format_duration
from resticwrap.model.policy import OSS_CLASSES, S3_CLASSES, PruneRule, Tiers
from resticwrap.model.reports import PlannedPrune, PrunePlan

STANDARD = frozenset({"", S3_CLASSES[0], OSS_CLASSES[0]})
"""The classes in which repositories are written; a listing may leave the word out."""
TIGHT = 64 << 20
"""With fewer free bytes than this nothing is repacked at all."""
ROOM_SHARE = 2
"""A prune on a disk of ours repacks at most what is free, divided by this: old packs go only when the new ones are
written."""


class Span(Value, frozen=True):
    """A window of time, with its end."""

    begins: Time
    ends: Time


class TierFacts(Value, frozen=True):
    """What a plan needs of one repository: the classes that its packs lie in, how many packs and bytes there are, and
    the free bytes of the disk (None: no disk of ours)."""

    tier: str
    packs: int
    stored: int
    classes: frozenset[str]
    free: int | None


def window_at(window: str, now: datetime, zone: tzinfo) -> Span:
    """The window (`01:00-05:00`, also over midnight) that is open at `now`, else the next one. The same time twice is
    a whole day."""
    begin, end = (time.fromisoformat(text) for text in window.split("-"))
    today = now.astimezone(zone).date()
    for days in (-1, 0, 1, 2):
        day = today + timedelta(days=days)
        opens = datetime.combine(day, begin, zone)
        closes = datetime.combine(day + timedelta(days=1) if end <= begin else day, end, zone)
        # Told apart by instants: on the day of a change of the clock a window may be shorter, or not there at all.
        if opens.timestamp() < closes.timestamp() and now.timestamp() < closes.timestamp():
            return Span(begins=opens.astimezone(now.tzinfo), ends=closes.astimezone(now.tzinfo))
    raise AssertionError("two days without a window")


def plan(
    target: str,
    provider: str,
    rule: PruneRule,
    tiers: Tiers,
    facts: Collection[TierFacts],
    now: Time,
    zone: tzinfo,
    *,
    at_once: bool,
) -> PrunePlan:
    """What a prune will do. With `at_once` the window is not looked at."""
    seconds = rule.deadline.total_seconds()
    span = window_at(rule.window, now, zone) if rule.window and not at_once else None
    limit = f"after {format_duration(rule.deadline)}, as prune.deadline says"
    if span is not None and span.begins <= now and (left := (span.ends - now).total_seconds()) < seconds:
        seconds = left
        limit = f"at {span.ends.astimezone(zone):%H:%M}, when the window {rule.window} closed"
    return PrunePlan(
        target=target,
        window=rule.window,
        open=span is None or span.begins <= now,
        opens=span.begins if span else None,
        seconds=seconds,
        limit=limit,
        tiers=tuple(_tier(provider, rule, tiers, one) for one in facts),
    )


def _tier(provider: str, rule: PruneRule, tiers: Tiers, facts: TierFacts) -> PlannedPrune:
    moves = getattr(tiers.cold.transitions, provider, ()) if facts.tier == "cold" else ()
    colder = sorted(facts.classes - STANDARD)
    tight = facts.free is not None and facts.free < TIGHT
    reason = ""
    if colder:
        reason = f"packs lie in {', '.join(colder)}"
    elif moves:
        reason = f"the policy moves packs to {moves[0].storage_class}"
    elif tight:
        reason = "the disk is nearly full"
    why = f"packs are repacked until at most {rule.max_unused} of the data is unused"
    if reason:
        why = f"{reason}: packs of data that nothing needs are removed, and none is repacked"
    elif facts.free is not None and facts.free // ROOM_SHARE < facts.stored:
        why += "; the disk is too short to write all of it anew at once, so it may take several runs"
    return PlannedPrune(
        tier=facts.tier,
        packs=facts.packs,
        stored=facts.stored,
        max_unused="unlimited" if tight else rule.max_unused,
        cacheable_only=bool(reason),
        max_repack=None if facts.free is None else facts.free // ROOM_SHARE,
        why=why,
    )


def still_fits(planned: PlannedPrune, facts: TierFacts) -> PlannedPrune:
    """The plan as it may be carried out now: where packs have become cold, or room short, since it was made, none is
    repacked. It never allows more than it did."""
    tight = facts.free is not None and facts.free < TIGHT
    if planned.cacheable_only or not (tight or facts.classes - STANDARD):
        return planned
    why = "packs have become cold, or room short, since the plan was made: none is repacked"
    return msgspec.structs.replace(planned, cacheable_only=True, max_unused="unlimited", why=why)
