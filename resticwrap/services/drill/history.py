"""What drills measured, over time, and what is due: out of records alone."""

from collections.abc import Sequence

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.drill import LEVELS, DrillDetails, Level, drill_details
from resticwrap.model.drills import DrillHistory, DrillReport, DrillRow, DueLevel
from resticwrap.model.job import Job
from resticwrap.planning import drill as planning
from resticwrap.services.context import Records
from resticwrap.settings import Settings

LOOKED_AT = 1000


def history(records: Records, domains: Sequence[str], limit: int | None, now: Time) -> DrillHistory:
    """The drills of a target, newest first; of some domains, only what concerns those."""
    records.settings.select_domains(domains)
    told = drills(records, now)
    rows = [row(job, details, domains) for job, details in told]
    rows = [one for one in rows if not domains or one.domains]
    newest = next((details for _, details in told if details.estimates), None)
    return DrillHistory(
        target=records.target_name,
        at=now,
        rows=tuple(rows[:limit]),
        due=due(records.settings, told, now),
        estimates=newest.estimates if newest else (),
    )


def show(records: Records, job_id: str) -> DrillReport:
    """One drill as it ended. Raises NotFound."""
    job = records.known().job(job_id)
    details = drill_details(job) if job is not None and job.kind == "drill" else None
    if job is None or details is None:
        raise errors.NotFound(f"There is no drill {job_id}.", hint="rw drill history")
    return DrillReport(
        job=job,
        drill=details,
        ok=job.outcome == "ok" and details.ok,
        met=met(details),
        missed=planning.missed(details),
    )


def drills(records: Records, now: Time, limit: int = LOOKED_AT) -> list[tuple[Job, DrillDetails]]:
    """The drills that have ended, newest first. Raises CatalogUnavailable."""
    jobs = records.known().jobs(records.target_name, kind="drill", until=now + CLOCK_SLACK, limit=limit)
    return [(job, told) for job in jobs if job.outcome != "running" and (told := drill_details(job)) is not None]


def met(details: DrillDetails) -> bool:
    """Within all objectives; a drill that restored nothing met none."""
    return bool(details.domains) and details.met


def row(job: Job, details: DrillDetails, domains: Sequence[str] = ()) -> DrillRow:
    """One drill in a line: of each measure the domain that is worst against its own objective."""
    own = [one for one in details.domains if not domains or one.domain in domains]
    rpo = max(own, key=lambda one: one.actual_rpo / max(one.rpo, 1), default=None)
    rto = max(own, key=lambda one: one.actual_rto / max(one.rto, 1), default=None)
    return DrillRow(
        job=job.id,
        level=details.level,
        tier=details.tier,
        time=job.started_at,
        outcome=job.outcome,
        scheduled=details.scheduled,
        met=met(msgspec.structs.replace(details, domains=tuple(own))),
        domains=len(own),
        objects=sum(one.objects for one in own),
        size=sum(one.size for one in own),
        seconds=details.seconds,
        objective=details.objective,
        actual_rpo=rpo.actual_rpo if rpo else None,
        rpo=rpo.rpo if rpo else None,
        actual_rto=rto.actual_rto if rto else None,
        rto=rto.rto if rto else None,
        canary=details.canary.ok if details.canary else None,
        error=job.error.message if job.error else "",
        phases=dict(details.phases),
    )


def due(settings: Settings, told: Sequence[tuple[Job, DrillDetails]], now: Time) -> tuple[DueLevel, ...]:
    """By level, when it was last drilled with success, over all domains, and whether that is too long ago."""
    rule = settings.recovery.drills
    within = {"l1": rule.due_l1, "l2": rule.due_l2, "l3": rule.due_l3}

    def of(level: Level) -> DueLevel:
        own = [job for job, details in told if details.level == level and _counts(settings, details)]
        last = next((job.started_at for job in own if job.outcome == "ok"), None)
        span = within[level]
        at = None if span is None else last + span if last else now
        return DueLevel(
            level=level,
            last=last,
            last_outcome=own[0].outcome if own else None,
            due=at,
            overdue=at is not None and at <= now,
        )

    return tuple(of(level) for level in LEVELS)


def _counts(settings: Settings, details: DrillDetails) -> bool:
    """An L2 of a few domains says nothing of all of them. One that failed counts as it is."""
    return details.level != "l2" or not details.ok or settings.domains.keys() <= {one.domain for one in details.domains}
