"""`rw catalog rebuild`: the catalogue, the pins and the latest snapshots, all out of the target itself."""

from collections.abc import Sequence

from resticwrap import errors
from resticwrap.model.job import Job, Latest, LatestDomain, Manifest
from resticwrap.model.reports import RebuildReport
from resticwrap.model.snapshot import Snapshot
from resticwrap.services.context import Context
from resticwrap.services.repositories import exists


def rebuild(context: Context) -> RebuildReport:
    """Read every manifest and both repositories, and write the catalogue anew. Needs the policies and the password.

    A snapshot without a manifest counts as partial: nobody can say that it saw everything. Proofs are kept where the
    catalogue still has them.
    """
    pins = {tier: repository.config() for tier, repository in context.repositories.items() if exists(repository)}
    if "hot" not in pins:
        context.hot.config_digest()
    known = context.state.pins(context.target_name)
    for tier, pin in pins.items():
        if tier in known and known[tier].repository_id != pin.repository_id:
            raise errors.OtherRepository(
                f"The {tier} repository of target {context.target_name} is another one than was pinned.",
                hint="Look where the target points to: rw policy show",
            )
    manifests, skipped = _manifests(context, pins["hot"].repository_id)
    jobs = [_job(context.target_name, manifest, key) for key, manifest in manifests]
    found = {tier: context.repositories[tier].snapshots() for tier in pins}
    complete = {run.snapshot for job in jobs for run in job.domains if run.complete and run.snapshot}
    catalog = context.catalog()
    catalog.forget_target(context.target_name)
    catalog.close_jobs(jobs)
    for tier, snapshots in found.items():
        catalog.put_snapshots(
            context.target_name, tier, [(snapshot, snapshot.original in complete) for snapshot in snapshots]
        )
    context.state.put_pins(context.target_name, pins)
    if latest := _latest(context, jobs, found["hot"], pins["hot"].repository_id):
        context.state.put_latest(latest)
    told = {run.snapshot for job in jobs for run in job.domains}
    return RebuildReport(
        target=context.target_name,
        manifests=len(manifests),
        jobs=len(jobs),
        snapshots=sum(len(snapshots) for snapshots in found.values()),
        without_manifest=sum(s.original not in told for snapshots in found.values() for s in snapshots),
        skipped=tuple(skipped),
    )


def _manifests(context: Context, hot: str) -> tuple[list[tuple[str, Manifest]], list[str]]:
    """The manifests of this target's repository, oldest first, and the keys of those that cannot be read."""
    found, skipped = [], []
    for key in context.manifests.keys():  # noqa: SIM118
        try:
            manifest = context.manifests.get(key)
        except (errors.Damaged, errors.ObjectMissing) as error:
            skipped.append(f"{key}: {error.message}")
            continue
        if manifest.repositories.get("hot") == hot:
            found.append((key, manifest))
    return sorted(found, key=lambda item: item[1].started_at), skipped


def _job(target: str, manifest: Manifest, key: str) -> Job:
    runs = tuple(listed.run for listed in manifest.domains)
    return Job(
        id=manifest.job_id,
        kind="backup",
        target=target,
        outcome=manifest.outcome,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        host=manifest.host,
        pid=0,
        type=manifest.snapshot_type,
        domains=runs,
        bytes_done=sum(run.size for run in runs),
        manifest=key,
    )


def _latest(context: Context, jobs: list[Job], snapshots: Sequence[Snapshot], repository: str) -> Latest | None:
    """Of every domain the newest complete run whose snapshot is still in the repository."""
    by_original = {snapshot.original: snapshot for snapshot in snapshots}
    domains: dict[str, LatestDomain] = {}
    for job in jobs:
        for run in job.domains:
            there = by_original.get(run.snapshot or "")
            if run.complete and there is not None:
                domains[run.domain] = LatestDomain(
                    snapshot=there.original,
                    current_id=there.id,
                    tree=there.tree,
                    looked_at=run.looked_at,
                    root=run.root,
                )
    if not jobs:
        return None
    last = jobs[-1]
    return Latest(
        target=context.target_name,
        job_id=last.id,
        finished_at=last.finished_at or last.started_at,
        domains=domains,
        repository=repository,
    )
