"""`rw report`: the acceptance table, and the summary of a day. Out of records alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.acceptance import AcceptanceReport, DailyDrill, DailyJobs, DailyReport
from resticwrap.model.base import Time
from resticwrap.model.drill import drill_details
from resticwrap.model.job import Job
from resticwrap.planning import acceptance as planning
from resticwrap.ports import KnownLook
from resticwrap.services import audit, gate
from resticwrap.services.context import Records

DRILLS_LOOKED_AT = 2000
JOBS_LOOKED_AT = 20_000
"""More than a day has, with a backup every few seconds."""
BEFORE = timedelta(days=31)
"""How far back the look is searched that a day began with."""


def acceptance(records: Records, days: int) -> AcceptanceReport:
    """What was promised against what was measured in the last so many days, today included."""
    catalog, settings, target = records.known(), records.settings, records.target_name
    now, zone = records.clock.now(), settings.schedule.zone
    since = datetime.combine(now.astimezone(zone).date() - timedelta(days=days - 1), time(), zone)
    looks: dict[str, list[Time]] = {}
    for one in catalog.looks(target, since - timedelta(days=1), now + CLOCK_SLACK):
        if one.complete and one.type == "incremental":
            looks.setdefault(one.domain, []).append(one.at)
    sums = catalog.sums(target, "hot", now + CLOCK_SLACK)
    latest = next(iter(catalog.jobs(target, kind="backup", until=now + CLOCK_SLACK, limit=1)), None)
    told = {run.domain for run in latest.domains if run.schema_versions} if latest else set()
    facts = planning.Facts(
        target=target,
        domains=tuple(settings.domains),
        jobs=[job for job in settings.schedule.jobs.values() if job.target == target],
        looks=looks,
        first={name: at for name, at in catalog.first_looks(target).items() if at <= now + CLOCK_SLACK},
        drills=catalog.jobs(target, kind="drill", until=now + CLOCK_SLACK, limit=DRILLS_LOOKED_AT),
        schemas=frozenset(told & settings.domains.keys()),
        objects={name: one.files for name, one in sums.items()},
    )
    counted = planning.days_of(facts, settings.recovery.objectives.incrementals, days, zone, now)
    return AcceptanceReport(
        target=target,
        at=now,
        time_zone=settings.schedule.time_zone,
        since=since,
        rows=planning.table(facts, settings.recovery, counted, since, zone, now),
        days=counted,
    )


def daily(records: Records, day: date | None = None) -> DailyReport:
    """One day of the schedule's zone, today by default. Raises UsageError for a day that has not come yet."""
    catalog, settings, target = records.known(), records.settings, records.target_name
    now, zone = records.clock.now(), settings.schedule.zone
    day = day or now.astimezone(zone).date()
    start, end = _bounds(day, zone)
    if start > now:
        raise errors.UsageError(f"{day.isoformat()} has not come yet.", hint="rw report daily --date YYYY-MM-DD")
    end = min(end, now)
    jobs = [job for job in catalog.jobs(target, until=end, limit=JOBS_LOOKED_AT) if start <= job.started_at < end]
    running = [job for job in records.state.spooled() if job.target == target and start <= job.started_at < end]
    jobs += [job for job in running if job.id not in {known.id for known in jobs}]
    looks = catalog.looks(target, start - BEFORE, end)
    lag, domain = _worst(looks, {name: one.rpo.total_seconds() for name, one in settings.domains.items()}, start, end)
    return DailyReport(
        target=target,
        day=day.isoformat(),
        time_zone=settings.schedule.time_zone,
        at=now,
        jobs=_kinds(jobs),
        added=sum(look.added for look in looks if look.at >= start),
        lag=lag,
        lag_domain=domain,
        rpo=settings.domains[domain].rpo.total_seconds() if domain else None,
        drills=tuple(_drill(job) for job in sorted(jobs, key=lambda job: job.started_at) if job.kind == "drill"),
        gate=gate.ask(records),
        head=audit.head(records),
        waiting=len(records.state.waiting(target)),
    )


def _bounds(day: date, zone: tzinfo) -> tuple[Time, Time]:
    return datetime.combine(day, time(), zone), datetime.combine(day + timedelta(days=1), time(), zone)


def _kinds(jobs: Sequence[Job]) -> tuple[DailyJobs, ...]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.kind, Counter())[job.outcome] += 1
    return tuple(DailyJobs(kind=kind, **counted) for kind, counted in sorted(counts.items()))


def _drill(job: Job) -> DailyDrill:
    details = drill_details(job)
    if details is None:
        return DailyDrill(job=job.id, level="?", ok=False, met=False)
    good = job.outcome == "ok" and details.ok
    return DailyDrill(
        job=job.id,
        level=details.level,
        ok=good,
        met=good and details.met,
        seconds=details.seconds if details.domains else None,
    )


def _worst(looks: Sequence[KnownLook], rpo: Mapping[str, float], start: Time, end: Time) -> tuple[float | None, str]:
    """The longest time of the day since a complete look, of the domain that it exceeds its objective most; None, and
    that domain, where one has not been seen whole at all."""
    seen: dict[str, list[Time]] = {}
    for look in looks:
        if look.complete and look.domain in rpo:
            seen.setdefault(look.domain, []).append(look.at)
    worst: tuple[float, float, str] | None = None
    for name, promised in rpo.items():
        times = seen.get(name)
        if not times:
            return None, name
        longest = 0.0
        for at, after in zip(times, [*times[1:], end], strict=True):
            if after > start:
                longest = max(longest, (after - at).total_seconds())
        worst = max(worst or (0.0, 0.0, ""), (longest / max(promised, 1.0), longest, name))
    return (worst[1], worst[2]) if worst else (None, "")
