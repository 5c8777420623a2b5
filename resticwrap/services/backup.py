"""`rw backup`: one snapshot per domain, domains side by side, a manifest of what was written.

Order of things: the record is opened, what a crash left is closed, the target is asked whether it still has the pinned
repository, then restic runs; while it does, what is needed after it is made ready.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.job import DomainRun
from resticwrap.model.policy import Domain, roots_of
from resticwrap.model.reports import BackupPlan, BackupReport, PlannedDomain
from resticwrap.model.snapshot import SnapshotType
from resticwrap.planning import backup as planning
from resticwrap.services import audit, interrupted, manifest, owners, raw
from resticwrap.services.capture import Capture
from resticwrap.services.context import Context, info, side_by_side
from resticwrap.services.databases import bases
from resticwrap.settings import crosscheck

REPAIR_WAIT = 10.0


def plan(context: Context, type: SnapshotType, domains: Mapping[str, Domain]) -> BackupPlan:
    """What a backup would do now. Raises PolicyError where the target really lies inside what is backed up to it."""
    if not domains:
        raise errors.UsageError("There is no domain to back up.", hint="Write one into domains.yaml: docs/policies.md")
    if problems := crosscheck.really_apart(context.target_name, context.target, domains):
        raise errors.PolicyError(problems, hint="ls -ld shows where a link leads: move the target, or exclude it there")
    latest = context.latest()
    roots = {name: Path(os.path.realpath(root)) for name, root in roots_of(domains).items()}
    known = latest.domains if latest else {}
    made = planning.plan_backup(context.target_name, type, domains, known, side_by_side(context), roots)
    return msgspec.structs.replace(made, domains=tuple(bases.planned_base(context, one) for one in made.domains))


def measure(context: Context, plan: BackupPlan) -> BackupPlan:
    """The same plan with the files and bytes that restic would read, from restic's own dry run."""
    context.check_pin("hot")
    run = Capture(context, context.new_job("backup", plan.type), plan, owners.taken(context, _names(plan)))

    def counted(planned: PlannedDomain) -> PlannedDomain:
        try:
            result = run.measured(planned)
        except errors.Failure as error:
            return msgspec.structs.replace(planned, error=info(error))
        files, size = result.would_read
        return msgspec.structs.replace(
            planned, files=files, size=size, total_files=result.files, total_size=result.size
        )

    with ThreadPoolExecutor(max(plan.parallel, 1)) as pool:
        return msgspec.structs.replace(plan, domains=tuple(pool.map(counted, plan.domains)))


def backup(context: Context, plan: BackupPlan) -> BackupReport:
    """Execute a plan. Failures of domains are in the report; raises only where the job as a whole cannot begin."""
    job = context.new_job("backup", plan.type)
    warnings: list[str] = []
    interrupted.close(context)
    with context.running(job) as job:
        context.check_pin("hot")
        latest = context.latest()
        if latest and latest.unindexed > planning.RESUME_BYTES:
            _resume(context, warnings)
        run = Capture(context, job, plan, owners.taken(context, _names(plan), claim=True))
        with _ahead(context, plan):
            runs = run.all()
        return _finish(context, run, runs, warnings)


def _names(plan: BackupPlan) -> list[str]:
    return [planned.domain for planned in plan.domains]


@contextmanager
def _ahead(context: Context, plan: BackupPlan) -> Iterator[None]:
    """Beside restic: load the catalogue's library, and open the repository where a snapshot will be written for sure.

    An incremental that finds nothing new needs no key, and half a second of processor time is too much to guess. What
    goes wrong here goes wrong again where it is needed, and is told there.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="ahead") as pool:
        pool.submit(context.catalog)
        if any(planned.type == "full" for planned in plan.domains):
            pool.submit(context.hot.open)
        yield


def _resume(context: Context, warnings: list[str]) -> None:
    """Make packs count that an interrupted job uploaded: restic writes its index only at the end (measured)."""
    context.watcher.note("the last backup was interrupted: making what it uploaded count (repair index)")
    try:
        with context.locks.hold(f"maintenance {context.hot.url}", wait=REPAIR_WAIT):
            had = context.hot.repair_index(REPAIR_WAIT)
        if had:
            interrupted.indexed(context)
    except (errors.Locked, errors.CatalogUnavailable):
        had = False
    except errors.ResticFailed as error:
        # A writer that may not delete adds the new index and cannot remove the old one: no reason not to back up.
        warnings.append(f"What an interrupted job uploaded may be uploaded again: {error.message}")
        return
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
    # What follows is told when it fails, and does not undo what restic has stored: neither is a reason to leave out the
    # other, and the record is closed in any case.
    key = None
    # Before anything compares with these snapshots: a crash from here on is made good by the next start.
    warnings += [*run.warnings, *raw.keep(context, job)]
    if why := audit.settle(context):
        warnings.append(why)
    try:
        excludes = {domain.domain: context.settings.domains[domain.domain].excludes for domain in runs}
        interrupted.remember(context, job, run.mounts, excludes)
    except errors.Failure as error:
        warnings.append(f"{error.message} {error.hint}".strip())
    try:
        key, trouble = manifest.publish(context, manifest.of_job(context, job, run.changes))
    except errors.Failure as error:
        trouble = f"{error.message} {error.hint}".strip()
    if trouble is not None:
        warnings.append(trouble)
    job = msgspec.structs.replace(
        job, manifest=key, outcome="partial" if key is None and job.outcome == "ok" else job.outcome
    )
    if late := context.recorder.close(job, run.snapshots):
        warnings.append(late)
    else:
        warnings += _promised(context)
    return BackupReport(job=job, warnings=tuple(warnings))


def _promised(context: Context) -> list[str]:
    """Tell whoever looks at all machines what this one promises, and that it was heard of."""
    try:
        owners.promise(context)
    except (errors.CatalogUnavailable, errors.DiskFull) as error:
        return [f"{error.message} {error.hint}".strip()]
    return []


def exit_code(report: BackupReport) -> int:
    """0, 3 for partial, 130 interrupted; the failure's own where all domains failed for one reason."""
    return planning.exit_code_of(report.job.outcome, report.job.domains)


def plan_exit_code(plan: BackupPlan) -> int:
    """0, or 3 where a domain of the plan cannot be read."""
    return errors.PARTIAL if any(planned.error for planned in plan.domains) else errors.OK
