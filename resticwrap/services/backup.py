"""`rw backup`: one snapshot per domain, domains side by side, a manifest of what was written.

Order of things: the record is opened, what a crash left is closed, the target is asked whether it still has the pinned
repository, then restic runs; while it does, nobody has imported the catalogue yet.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from resticwrap import errors
from resticwrap.model.job import DomainRun, Job, Latest, LatestDomain
from resticwrap.model.policy import Domain
from resticwrap.model.reports import BackupPlan, BackupReport, PlannedDomain
from resticwrap.model.snapshot import SnapshotType
from resticwrap.planning import backup as planning
from resticwrap.services import manifest
from resticwrap.services.capture import Capture
from resticwrap.services.context import Context, side_by_side

REPAIR_WAIT = 10.0
LATEST_WAIT = 30.0


def plan(context: Context, type: SnapshotType, domains: Mapping[str, Domain]) -> BackupPlan:
    """What a backup would do now."""
    if not domains:
        raise errors.UsageError("There is no domain to back up.", hint="Write one into domains.yaml: docs/policies.md")
    latest = context.latest()
    return planning.plan_backup(
        context.target_name, type, domains, latest.domains if latest else {}, side_by_side(context)
    )


def measure(context: Context, plan: BackupPlan) -> BackupPlan:
    """The same plan with the files and bytes that restic would read, from restic's own dry run."""
    context.check_pin("hot")
    run = Capture(context, context.new_job("backup", plan.type), plan)

    def counted(planned: PlannedDomain) -> PlannedDomain:
        result = run.restic(planned, context.sources(context.settings.domains[planned.domain]).look(), dry_run=True)
        return msgspec.structs.replace(planned, files=result.files, size=result.size)

    with ThreadPoolExecutor(max(plan.parallel, 1)) as pool:
        return msgspec.structs.replace(plan, domains=tuple(pool.map(counted, plan.domains)))


def backup(context: Context, plan: BackupPlan) -> BackupReport:
    """Execute a plan. Failures of domains are in the report; raises only where the job as a whole cannot begin."""
    job = context.new_job("backup", plan.type)
    warnings: list[str] = []
    left_open = context.close_interrupted()
    with context.running(job):
        context.check_pin("hot")
        latest = context.latest()
        unindexed = [latest.unindexed] if latest else []
        unindexed += [old.bytes_done for old in left_open if old.kind == "backup"]
        if sum(unindexed) > planning.RESUME_BYTES:
            _resume(context, warnings)
        run = Capture(context, job, plan)
        runs = run.all()
        return _finish(context, run, runs, warnings)


def _resume(context: Context, warnings: list[str]) -> None:
    """Make packs count that an interrupted job uploaded: restic writes its index only at the end (measured)."""
    context.watcher.note("the last backup was interrupted: making what it uploaded count (repair index)")
    try:
        with context.locks.hold(f"maintenance {context.hot.url}", wait=REPAIR_WAIT):
            had = context.hot.repair_index(REPAIR_WAIT)
    except errors.Locked:
        had = False
    if not had:
        warnings.append("The repository was busy, so what an interrupted job uploaded may be uploaded again.")


def _finish(context: Context, run: Capture, runs: tuple[DomainRun, ...], warnings: list[str]) -> BackupReport:
    job = msgspec.structs.replace(
        run.job,
        outcome=planning.outcome_of(runs),
        finished_at=context.clock.now(),
        domains=runs,
        bytes_done=run.bytes_done,
    )
    written = manifest.of_job(context, job, run.changes)
    with context.locks.hold(f"latest {context.target_name}", wait=LATEST_WAIT):
        context.state.put_latest(_latest(context, job, run))
    key, trouble = manifest.publish(context, written)
    if trouble is not None:
        warnings.append(trouble)
        if job.outcome == "ok":
            job = msgspec.structs.replace(job, outcome="partial")
    job = msgspec.structs.replace(job, manifest=key)
    if late := context.recorder.close(job, run.snapshots):
        warnings.append(late)
    return BackupReport(job=job, warnings=tuple(warnings))


def _latest(context: Context, job: Job, capture: Capture) -> Latest:
    """The newest complete look at every domain. What is known already stays where this job did not look, did not see
    everything, or where another job that ended before this one has looked later."""
    before = context.latest()
    domains = dict(before.domains) if before else {}
    for run in job.domains:
        known = domains.get(run.domain)
        if not run.complete or not run.snapshot or not run.tree or (known and known.looked_at > run.looked_at):
            continue
        made = capture.snapshots.get(run.domain)
        domains[run.domain] = LatestDomain(
            snapshot=run.snapshot,
            current_id=made.id if made else capture.parents[run.domain],
            tree=run.tree,
            looked_at=run.looked_at,
            root=run.root,
        )
    assert job.finished_at is not None
    return Latest(
        target=context.target_name,
        job_id=job.id,
        finished_at=job.finished_at,
        domains=domains,
        repository=context.pins()["hot"].repository_id,
        unindexed=sum(capture.unfinished(run) for run in job.domains),
    )


def exit_code(report: BackupReport) -> int:
    """0, 3 for partial, 130 interrupted; the failure's own where all domains failed for one reason."""
    return planning.exit_code_of(report.job.outcome, report.job.domains)
