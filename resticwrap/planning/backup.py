"""Which domains a backup runs, in which order, what waits for what, and how the job is judged."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from resticwrap.clock import CLOCK_SLACK
from resticwrap.errors import FAILED, INTERRUPTED, OK, PARTIAL
from resticwrap.model.base import Time
from resticwrap.model.job import DomainRun, Job, Latest, LatestDomain, Outcome
from resticwrap.model.policy import Domain
from resticwrap.model.reports import BackupPlan, PlannedDomain
from resticwrap.model.snapshot import SnapshotType

RESUME_BYTES = 256 << 20
"""An interrupted job that had read more than this is worth a `repair index`, so that its uploads count."""


def plan_backup(
    target: str,
    type: SnapshotType,
    domains: Mapping[str, Domain],
    latest: Mapping[str, LatestDomain],
    parallel: int,
    roots: Mapping[str, Path],
) -> BackupPlan:
    """P0 first, then by name. `roots` are where the domains really lie, symlinks resolved; databases have none.

    A domain waits for every earlier one whose root overlaps its own, since two runs side by side do not deduplicate
    against each other (measured). Without a parent an incremental is a full.
    """
    order = sorted(domains.items(), key=lambda item: (item[1].priority, item[0]))
    planned: list[PlannedDomain] = []
    for name, domain in order:
        parent = latest.get(name)
        planned.append(
            PlannedDomain(
                domain=name,
                priority=domain.priority,
                layer=domain.layer,
                type="incremental" if parent and type == "incremental" else "full",
                root=domain.source.place,
                parent=parent.snapshot if parent else None,
                after=tuple(p.domain for p in planned if _meet(roots, name, p.domain)),
                why=_why(type, parent),
            )
        )
    return BackupPlan(target=target, type=type, parallel=parallel, domains=tuple(planned))


def _meet(roots: Mapping[str, Path], one: str, other: str) -> bool:
    return one in roots and other in roots and overlap(roots[one], roots[other])


def _why(type: SnapshotType, parent: LatestDomain | None) -> str:
    if type == "full":
        return "a full reads every byte again"
    if parent is None:
        return "no complete snapshot yet, so every byte is read"
    return f"against {parent.snapshot[:8]}"


def overlap(one: Path, other: Path) -> bool:
    """Whether one root is, or lies inside, the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def startable(plan: BackupPlan, started: Collection[str], done: Collection[str]) -> list[PlannedDomain]:
    """What may start now, in order, within the limit of domains side by side."""
    room = plan.parallel - (len(started) - len(done))
    ready = [d for d in plan.domains if d.domain not in started and all(name in done for name in d.after)]
    return ready[: max(room, 0)]


def outcome_of(runs: Sequence[DomainRun]) -> Outcome:
    """The job's outcome: ok only when every domain was looked at completely."""
    if any(run.outcome == "interrupted" for run in runs):
        return "interrupted"
    if all(run.complete for run in runs):
        return "ok"
    if any(run.complete or run.outcome == "partial" for run in runs):
        return "partial"
    return "failed"


def exit_code_of(outcome: Outcome, runs: Sequence[DomainRun]) -> int:
    """restic's codes: 0, 3 for partial, 130 interrupted; when all failed for one and the same reason, its code."""
    fixed = {"ok": OK, "partial": PARTIAL, "interrupted": INTERRUPTED}
    if outcome in fixed:
        return fixed[outcome]
    codes = {run.error.exit_code for run in runs if run.error}
    return codes.pop() if len(codes) == 1 else FAILED


def merged_latest(
    before: Latest | None,
    job: Job,
    repository: str,
    *,
    now: Time,
    unindexed: int,
    mounts: Mapping[str, tuple[str, ...]] | None = None,
    excludes: Mapping[str, tuple[str, ...]] | None = None,
    host: str = "",
) -> Latest:
    """The newest complete look at every domain, after a job.

    What is known already stays where this job did not look or did not see everything, and where another job that ended
    before this one has looked later; but not where that look lies in the future, for then a clock was wrong. Nor does
    a look of the future take the place of one that does not. `mounts`: by domain, what the job saw; `excludes`: what
    the policy left out; unknown, what was known before stays. `host`: whose snapshots they are.
    """
    domains, until = dict(before.domains) if before else {}, now + CLOCK_SLACK
    for run in job.domains:
        if not run.complete or not run.snapshot or not run.tree:
            continue
        known = domains.get(run.domain)
        if known and (run.looked_at < known.looked_at <= now or known.looked_at <= until < run.looked_at):
            continue
        same = known is not None and known.snapshot == run.snapshot
        domains[run.domain] = LatestDomain(
            snapshot=run.snapshot,
            # A new snapshot has no other id yet; an old one may have been tagged since.
            current_id=known.current_id if known and same else run.snapshot,
            tree=run.tree,
            looked_at=run.looked_at,
            root=run.root,
            files=run.files,
            mounts=(mounts or {}).get(run.domain, known.mounts if known else ()),
            excludes=(excludes or {}).get(run.domain, known.excludes if known else None),
            host=host,
        )
    return Latest(
        target=job.target,
        job_id=job.id,
        finished_at=job.finished_at or now,
        domains=domains,
        repository=repository,
        unindexed=(before.unindexed if before else 0) + unindexed,
    )
