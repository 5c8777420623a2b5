"""The acceptance table: what was promised against what the records say. What was not measured is no pass."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.acceptance import AcceptanceDay, AcceptanceRow, Met
from resticwrap.model.assurance import RecoveryFile
from resticwrap.model.base import Time
from resticwrap.model.drill import DrillDetails, drill_details
from resticwrap.model.job import Job
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning.rhythm import moments

COUNTED = "by the schedule's slots, for each domain; one without its own failed"
"""A slot succeeded where a complete incremental of its own began in it, or half an interval beside it. So partial,
failed and missed ones fail alike. A domain counts from its first backup on, however that ended; one that never had any
from the target's first."""
Drills = Sequence[tuple[Job, DrillDetails]]
"""Oldest first."""
ENDED = frozenset({"ok", "partial", "failed"})


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is so. `looks`: by domain, when its complete incrementals began, sorted. `first`: when a domain was first
    looked at; days before the target's first look are not counted. `versions`: by domain of the policy that declares
    a schema, whether its newest manifest names versions. `objects`: files by domain, as of the newest snapshot."""

    target: str
    domains: Sequence[str]
    jobs: Sequence[ScheduledJob]
    looks: Mapping[str, Sequence[Time]]
    first: Mapping[str, Time]
    drills: Sequence[Job] = ()
    schemas: frozenset[str] = frozenset()
    objects: Mapping[str, int] = field(default_factory=dict)


def days_of(facts: Facts, share: float, days: int, zone: tzinfo, now: Time) -> tuple[AcceptanceDay, ...]:
    """The days of the window, oldest first; today as far as it has come. Days without a slot are left out."""
    if not facts.first:
        return ()
    begun = min(facts.first.values())
    last = now.astimezone(zone).date()
    window = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    counts = {day: [0, 0] for day in window}
    for domain in facts.domains:
        since = facts.first.get(domain, begun)
        for job in facts.jobs:
            if not _backs_up(job, domain):
                continue
            every, due = _due_of(job, window, zone)
            slots = [(day, at) for day, at in due if at >= since and at + every * 1.5 <= now]
            found = matched([at for _, at in slots], facts.looks.get(domain, ()), every)
            for (day, _), good in zip(slots, found, strict=True):
                counts[day][0] += 1
                counts[day][1] += good
    return tuple(
        AcceptanceDay(
            day=day.isoformat(), slots=slots, succeeded=good, verdict="met" if good >= share * slots else "missed"
        )
        for day, (slots, good) in counts.items()
        if slots
    )


def matched(slots: Sequence[Time], looks: Sequence[Time], every: timedelta) -> list[bool]:
    """Which slots (their beginnings) have a look of their own: one that began within them, or one that another slot has
    to spare and that began at most half an interval beside them, as a rhythm does that wavers about their borders.
    Both sorted."""
    found: list[bool] = []
    spare: list[Time] = []
    at = 0
    for slot in slots:
        first = bisect_left(looks, slot, lo=at)
        spare += looks[at:first]
        at = bisect_left(looks, slot + every, lo=first)
        spare += looks[first + 1 : at]
        found.append(at > first)
    spare += looks[at:]
    half, at = every / 2, 0
    for number, slot in enumerate(slots):
        if found[number]:
            continue
        at = bisect_left(spare, slot - half, lo=at)
        if at < len(spare) and spare[at] < slot + every + half:
            found[number], at = True, at + 1
    return found


def _backs_up(job: ScheduledJob, domain: str) -> bool:
    wanted = job.kind == "backup" and job.type == "incremental" and job.enabled
    return wanted and (not job.domains or domain in job.domains)


def _due_of(job: ScheduledJob, window: Sequence[date], zone: tzinfo) -> tuple[timedelta, list[tuple[date, Time]]]:
    """The interval of a job, and when its slots begin: an interval is laid from each midnight on."""
    found: list[tuple[date, Time]] = []
    for day in window:
        start, end = _midnight(day, zone).astimezone(UTC), _midnight(day + timedelta(days=1), zone).astimezone(UTC)
        if job.every is not None:
            found += [(day, start + job.every * number) for number in range(int((end - start) / job.every))]
        else:
            found += [(day, at) for at in moments(job, start, end - timedelta(microseconds=1), zone)]
    if job.every is not None:
        return job.every, found
    gaps = (later[1] - earlier[1] for earlier, later in pairwise(found))
    return min(gaps, default=timedelta(days=1)), found


def table(
    facts: Facts, recovery: RecoveryFile, days: Sequence[AcceptanceDay], since: Time, zone: tzinfo, now: Time
) -> tuple[AcceptanceRow, ...]:
    """Every row, in the order of the promises."""
    drills = sorted(
        (
            (job, details)
            for job in facts.drills
            if job.outcome in ENDED and job.started_at <= now + CLOCK_SLACK and (details := drill_details(job))
        ),
        key=lambda one: (one[0].started_at, one[0].id),
    )
    return (
        _incrementals(facts, recovery, days),
        _weeks(facts, drills, recovery, since, zone, now),
        *_system(facts, drills, recovery, now),
        _schemas(facts),
        AcceptanceRow(
            what="replays compared", objective="every replay", actual="none yet", verdict="unknown",
            how="this version replays nothing",
        ),
    )  # fmt: skip


def _incrementals(facts: Facts, recovery: RecoveryFile, days: Sequence[AcceptanceDay]) -> AcceptanceRow:
    share = recovery.objectives.incrementals
    row = AcceptanceRow(
        what="incrementals that succeeded, each day",
        objective=f"{_percent(share)} of a day's",
        actual="none was due",
        verdict="unknown",
        how=COUNTED,
    )
    if not any(job.kind == "backup" and job.type == "incremental" and job.enabled for job in facts.jobs):
        return _with(row, "the schedule has none for this target", "unknown")
    if not days:
        return row
    good = sum(day.verdict == "met" for day in days)
    worst = min(days, key=lambda day: (day.share or 0.0, day.day))
    slots = f"{worst.succeeded:,} of {worst.slots:,}"
    actual = f"{good} of {len(days)} days; worst {worst.day}: {_percent(worst.share or 0.0)} ({slots})"
    return _with(row, actual, "met" if good == len(days) else "missed")


def _weeks(
    facts: Facts,
    drills: Sequence[tuple[Job, DrillDetails]],
    recovery: RecoveryFile,
    since: Time,
    zone: tzinfo,
    now: Time,
) -> AcceptanceRow:
    """Whole weeks, from Monday; of the one that runs only a drill that failed counts, or one that was due."""
    share = recovery.objectives.drills_l1
    row = AcceptanceRow(
        what="L1 drills that succeeded, each week",
        objective=f"{_percent(share)} of a week's",
        actual="no whole week yet",
        verdict="unknown",
        how="of those that ran, or were due if more; a week without any is missed",
    )
    if not facts.first:
        return row
    begun = max(since, min(facts.first.values()))
    by_week: dict[date, list[bool]] = defaultdict(list)
    for job, details in drills:
        if details.level == "l1" and job.started_at >= begun:
            by_week[_monday(job.started_at, zone)].append(job.outcome == "ok" and details.ok)
    good: list[date] = []
    bad: list[date] = []
    week = _monday(begun, zone)
    while _midnight(week, zone) <= now:
        start, end = _midnight(week, zone), _midnight(week + timedelta(days=7), zone)
        ran = by_week.get(week, [])
        due = _due(facts.jobs, max(start, begun), min(end, now), zone)
        whole = start >= begun and end <= now
        wanted = max(len(ran), due, 1 if whole else 0)
        if wanted:
            (good if sum(ran) >= share * wanted else bad).append(week)
        week += timedelta(days=7)
    if not good and not bad:
        return row
    first = f"; first missed: week of {bad[0].isoformat()}" if bad else ""
    return _with(row, f"{len(good)} of {len(good) + len(bad)} weeks{first}", "missed" if bad else "met")


def _due(jobs: Iterable[ScheduledJob], start: Time, end: Time, zone: tzinfo) -> int:
    """How many L1 drills the schedule wanted in that time, but for those that may run still."""
    count = 0
    for job in jobs:
        if job.kind == "drill" and job.level == "l1" and job.enabled and start < end:
            if job.every is not None:
                count += int((end - start) / job.every)
            else:
                count += sum(one <= end - timedelta(hours=1) for one in moments(job, start, end, zone))
    return count


def _system(facts: Facts, drills: Drills, recovery: RecoveryFile, now: Time) -> Iterator[AcceptanceRow]:
    within, promised = recovery.drills.due_l3, recovery.objectives.l3.total_seconds()
    rows = (("RPO", "the RPO of each domain"), ("RTO", f"{_seconds(promised)}, and the RTO of each domain"))
    newest = next((one for one in reversed(drills) if one[1].level == "l3"), None)
    for name, objective in rows:
        row = AcceptanceRow(
            what=f"L3 within {within.days} days: {name}", objective=objective, actual="none yet", verdict="unknown",
            how="the newest L3 drill, by its stopwatch",
        )  # fmt: skip
        if newest is None or now - newest[0].started_at > within:
            old = bool(facts.first) and now - min(facts.first.values()) > within
            said = "none yet" if newest is None else f"none since {newest[0].id}"
            yield _with(row, said, "missed" if old or newest else "unknown")
            continue
        job, details = newest
        if job.outcome != "ok" or not details.ok or not details.domains:
            yield _with(row, f"{job.id} failed", "missed")
        elif name == "RPO":
            worst = max(details.domains, key=lambda one: (one.actual_rpo / max(one.rpo, 1.0), one.domain))
            told = f"worst {worst.domain}: {_seconds(worst.actual_rpo)} of {_seconds(worst.rpo)}"
            yield _with(row, told, "met" if all(one.actual_rpo <= one.rpo for one in details.domains) else "missed")
        else:
            kept = details.seconds <= promised and all(one.actual_rto <= one.rto for one in details.domains)
            parts = [f"{one} {_seconds(details.phases[one])}" for one in ("load", "query") if one in details.phases]
            told = f"{_seconds(details.seconds)} ({', '.join([job.id, *parts])})"
            yield _with(row, told, "met" if kept else "missed")


def _schemas(facts: Facts) -> AcceptanceRow:
    """Single objects are not opened: only how many lie in domains of which the policy says the version."""
    total = sum(facts.objects.get(name, 0) for name in facts.domains)
    declared = sum(facts.objects.get(name, 0) for name in facts.schemas)
    return AcceptanceRow(
        what="objects that carry schema_version",
        objective="every object",
        actual=f"not counted yet; {declared:,} of {total:,} lie in {len(facts.schemas)} of {len(facts.domains)} "
        "domains with a version",
        verdict="unknown",
        how="versions are the policy's, by domain; no object is opened yet",
    )


def _with(row: AcceptanceRow, actual: str, verdict: Met) -> AcceptanceRow:
    return AcceptanceRow(what=row.what, objective=row.objective, actual=actual, verdict=verdict, how=row.how)


def _monday(at: Time, zone: tzinfo) -> date:
    day = at.astimezone(zone).date()
    return day - timedelta(days=day.weekday())


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _percent(share: float) -> str:
    # Rounded down, so that 100 % always means all of them.
    return f"{int(share * 1000 + 1e-9) / 10:g} %"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.0f} s"
