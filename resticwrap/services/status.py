"""`rw status`: one screen out of records alone. It asks neither the target nor restic."""

from collections.abc import Mapping, Sequence

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.drill import DrillDetails
from resticwrap.model.job import Job
from resticwrap.model.policy import Domain, LocalTarget
from resticwrap.model.reports import Coverage, DomainStatus, HistoryRow, StatusReport, TierStatus
from resticwrap.model.running import DiskSpace, JobProgress
from resticwrap.model.snapshot import TIERS
from resticwrap.model.verified import VerifyDetails, verify_details
from resticwrap.planning import dbrestore, inplace
from resticwrap.planning import verify as planning
from resticwrap.ports import Catalog, DomainSums
from resticwrap.services import gate
from resticwrap.services.context import Records
from resticwrap.services.drill.history import drills, due
from resticwrap.services.firing import firing

VERIFIES_LOOKED_AT = 50
JOBS_LOOKED_AT = 5
DRILLS_LOOKED_AT = 100
MEASURE = ("copy", "forget", "prune")
"""The kinds of jobs that say in their details how much the packs take that are `stored`, by tier."""


def status(records: Records, domains: Sequence[str], now: Time) -> StatusReport:
    """Per domain `rpo_lag` against its objective, per repository space, dedup ratio, last verify and coverage."""
    catalog = records.known()
    target = records.target_name
    until = now + CLOCK_SLACK
    runs = catalog.last_runs(target, until)
    sums: dict[str, Mapping[str, DomainSums]] = {tier: catalog.sums(target, tier, until) for tier in TIERS}
    drilled = drills(records, now, DRILLS_LOOKED_AT)
    wanted = records.settings.select_domains(domains)
    verifies = catalog.jobs(target, kind="verify", until=until, limit=VERIFIES_LOOKED_AT)
    others = [job for kind in MEASURE for job in catalog.jobs(target, kind=kind, until=until, limit=JOBS_LOOKED_AT)]
    try:
        pins = records.pins()
        notes: list[str] = []
    except errors.NoRepository as error:
        pins, notes = {}, [f"{error.message} {error.hint}"]
    waiting = records.state.kept(target)
    if waiting:
        notes.append(f"{len(waiting)} manifest(s) wait in the state directory for the target to answer.")
    notes += kept_restores(records)
    return StatusReport(
        target=target,
        provider=records.target.provider,
        at=now,
        domains=tuple(
            with_drill(domain_status(name, domain, runs.get(name), sums["hot"].get(name), now), drilled)
            for name, domain in wanted.items()
        ),
        tiers=tuple(
            tier_status(
                tier,
                pin.repository_id,
                sums[tier],
                verifies,
                catalog.reads(target, tier, until),
                now,
                _measured(catalog, target, tier, others),
            )
            for tier, pin in pins.items()
        ),
        open_jobs=tuple(job.id for job in open_jobs(records, catalog)),
        notes=tuple(notes),
        drills=due(records.settings, drilled, now),
        gate=gate.ask(records),
        running=running(records),
        space=space(records),
        alerts=firing(records),
    )


def running(records: Records) -> tuple[JobProgress, ...]:
    """The jobs of this machine on the target that live. Each is spooled from its first moment to its last."""
    spooled = [job for job in records.state.spooled() if job.outcome == "running"]
    return tuple(one for one in records.board.running(spooled) if one.target == records.target_name)


def space(records: Records) -> tuple[DiskSpace, ...]:
    """What is free on the disks of this machine that backups need."""
    places = {"state": str(records.settings.state_dir)}
    if isinstance(records.target, LocalTarget):
        places["target"] = str(records.target.path)
    return tuple(
        DiskSpace(what=what, path=places[what], free=free, total=total)
        for what, (free, total) in records.room.of(places).items()
    )


def with_drill(status: DomainStatus, drilled: Sequence[tuple[Job, DrillDetails]]) -> DomainStatus:
    """With what the newest drill (they are newest first) that brought the domain back as it was measured."""
    for job, details in drilled:
        for one in details.domains:
            if one.domain == status.domain and one.ok:
                return msgspec.structs.replace(
                    status,
                    drilled_at=job.started_at,
                    drill_level=details.level,
                    actual_rpo=one.actual_rpo,
                    actual_rto=one.actual_rto,
                )
    return status


def kept_restores(records: Records) -> list[str]:
    """Restores over what was live here that are not over, each with what to run: both states take room until then."""
    journals, unreadable = records.journals.scan()
    said = [f"{error.message} {error.hint}" for error in unreadable.values()]
    said += [f"{what[0]}: {what[1]}" for journal in journals if (what := inplace.standing(journal))]
    databases, unreadable = records.database_journals.scan()
    said += [f"{error.message} {error.hint}" for error in unreadable.values()]
    return said + [f"{what[0]}: {what[1]}" for one in databases if (what := dbrestore.standing(one))]


def open_jobs(records: Records, catalog: Catalog) -> list[Job]:
    """Jobs that are recorded as running, in the spool or in the catalogue."""
    found = {job.id: job for job in catalog.open_jobs(records.target_name)}
    for job in records.state.spooled():
        if job.target == records.target_name:
            found[job.id] = job
    return [job for job in found.values() if job.outcome == "running"]


def domain_status(
    name: str, domain: Domain, run: tuple[HistoryRow | None, Time | None] | None, sums: DomainSums | None, now: Time
) -> DomainStatus:
    """`rpo_lag` counts from the start of the last complete look, changed or not. Seconds."""
    last, complete_at = run if run else (None, None)
    lag = (now - complete_at).total_seconds() if complete_at else None
    objective = domain.rpo.total_seconds()
    return DomainStatus(
        domain=name,
        layer=domain.layer,
        priority=domain.priority,
        rpo=objective,
        rpo_lag=lag,
        within=lag is not None and lag <= objective,
        last_outcome=last.outcome if last else None,
        last_looked_at=complete_at,
        snapshots=sums.snapshots if sums else 0,
        files=sums.files if sums else 0,
        size=sums.size if sums else 0,
        stored=sums.added if sums else 0,
        proven_at=sums.proven_at if sums else None,
        rto=domain.rto.total_seconds(),
    )


def tier_status(
    tier: str,
    repository: str,
    sums: Mapping[str, DomainSums],
    verifies: Sequence[Job],
    reads: Mapping[int, Time],
    now: Time,
    measured: tuple[Time, int] | None = None,
) -> TierStatus:
    """Stored is what was `measured` last by a copy, forget or prune, with what was added since: they know better than
    any sum. Else it is what the jobs added; a verify has measured it, so the larger of the two counts. Coverage is
    counted anew: what nobody reads again falls out of it. `verifies`: newest first; those of another repository say
    nothing."""
    ended = [(job, verify_details(job)) for job in verifies if job.outcome in ("ok", "failed")]
    here = ("", repository)
    own = [(job, details) for job, details in ended if details and details.tier == tier and details.repository in here]
    listed = next(((job, details) for job, details in own if details.coverage), None)
    added = sum(one.added for one in sums.values())
    logical = sum(one.logical for one in sums.values())
    stored = max(added, listed[1].stored) if listed else added
    if measured is not None and (listed is None or (listed[0].finished_at or listed[0].started_at) <= measured[0]):
        stored = measured[1]
    return TierStatus(
        tier=tier,
        repository=repository,
        snapshots=sum(one.snapshots for one in sums.values()),
        logical=logical,
        stored=stored,
        ratio=logical / stored if stored else None,
        last_verify=own[0][0].started_at if own else None,
        last_verify_ok=own[0][0].outcome == "ok" if own else None,
        coverage=coverage_now(*listed, reads, now) if listed else None,
    )


def _measured(catalog: Catalog, target: str, tier: str, jobs: Sequence[Job]) -> tuple[Time, int] | None:
    """When the packs of a tier were last measured, and what they take now: with what backups have added since."""
    found = [
        (job.finished_at or job.started_at, size)
        for job in jobs
        if isinstance(size := (job.details.get("stored") or {}).get(tier), int)
    ]
    if not found:
        return None
    at, size = max(found)
    return at, size + (catalog.added_since(target, at) if tier == "hot" else 0)


def coverage_now(job: Job, details: VerifyDetails, reads: Mapping[int, Time], now: Time) -> Coverage:
    """The coverage of the packs that this verify listed, as it is now."""
    return planning.coverage(details.packs, job.finished_at or job.started_at, reads, now, details.days)
