"""`rw catalog rebuild`: the catalogue, the pins and the latest snapshots, all out of the target itself.

It only ever adds to what is known: what is in the catalogue and cannot be read in the target now stays, but for
snapshots that are gone. Backups may run meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time, convert, from_json
from resticwrap.model.drill import DrillDetails
from resticwrap.model.evidence import Evidence
from resticwrap.model.job import DomainRun, Job, Latest, Manifest, Outcome, Pin
from resticwrap.model.reports import RebuildReport
from resticwrap.model.snapshot import CANARY, Snapshot
from resticwrap.model.verified import VerifyDetails, VerifyRecord, verify_details
from resticwrap.planning.backup import merged_latest
from resticwrap.ports import Catalog
from resticwrap.services import audit, auditor
from resticwrap.services import pins as snapshot_pins
from resticwrap.services.context import Context
from resticwrap.services.interrupted import LATEST_WAIT
from resticwrap.services.manifest import sealed
from resticwrap.services.repositories import exists

ALL = 1_000_000
"""More verifies than anybody has made."""
FETCHED_AT_ONCE = 8
W = TypeVar("W")


@dataclass
class Read:
    """What the target, and the state directory on its way there, have of the jobs; `skipped` could not be read."""

    backups: list[Job] = field(default_factory=list)
    verifies: list[tuple[Job, VerifyDetails]] = field(default_factory=list)
    manifests: int = 0
    repositories: Mapping[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def rebuild(context: Context) -> RebuildReport:
    """Read every manifest and record and both repositories, and write the catalogue anew. Needs the policies and the
    password.

    A snapshot without a manifest counts as partial, unless the catalogue knows better: nobody else can say that it saw
    everything. Raises NoRepository where a pinned repository is not there, OtherRepository where another one is.
    """
    pins = _pins(context)
    context.state.put_pins(context.target_name, pins)
    catalog = context.catalog()
    context.recorder.settle()
    # First what is known, then the repositories, then the manifests: a backup that ends meanwhile goes the other way,
    # so nothing of it is taken for gone.
    known = {tier: set(catalog.snapshots(context.target_name, tier)) for tier in pins}
    found = {tier: [one for one in context.repositories[tier].snapshots() if one.domain != CANARY] for tier in pins}
    read = _read(context, pins)
    complete = {(run.snapshot, run.tree) for job in read.backups for run in job.domains if run.complete}
    _none_read(context, read, found["hot"])
    _other_repositories(context, read.repositories, pins)
    catalog.close_jobs(_as_known(job, catalog) for job in _untold(context, catalog, read.backups))
    for tier, snapshots in found.items():
        catalog.forget_snapshots(context.target_name, tier, known[tier] - {one.original for one in snapshots})
        # restic keeps the original id of what it has rewritten, and that is another tree. What is complete comes last.
        told_complete = [(one, (one.original, one.tree) in complete) for one in snapshots]
        catalog.put_snapshots(context.target_name, tier, sorted(told_complete, key=lambda pair: pair[1]))
    _forget_reads(context.target_name, catalog, pins)
    _verified(context.target_name, catalog, read.verifies, context.clock.now() + CLOCK_SLACK)
    if read.backups:
        _latest(context, read.backups, found["hot"], pins["hot"].repository_id)
    told = {run.snapshot for job in read.backups for run in job.domains}
    held = _snapshot_pins(context, read)
    records, drills = _evidence(context, catalog, pins, read)
    return RebuildReport(
        target=context.target_name,
        manifests=read.manifests,
        jobs=len(read.backups) + len(read.verifies) + drills,
        snapshots=sum(len(snapshots) for snapshots in found.values()),
        without_manifest=sum(s.original not in told for snapshots in found.values() for s in snapshots),
        skipped=tuple(read.skipped),
        pins=held,
        evidence=records,
    )


def _untold(context: Context, catalog: Catalog, jobs: Sequence[Job]) -> Iterator[Job]:
    """All but the jobs of other machines that are known already: what those recorded themselves says more than their
    manifests do."""
    hosts, known = context.settings.hosts, set[str]()
    if any(job.host not in hosts for job in jobs):
        ended = catalog.jobs(context.target_name, kind="backup", limit=ALL)
        known = {job.id for job in ended if job.outcome != "running"}
    yield from (job for job in jobs if job.host in hosts or job.id not in known)


def _evidence(context: Context, catalog: Catalog, pins: Mapping[str, Pin], read: Read) -> tuple[int, int]:
    """Bring the evidence back, and the drills that it tells of; how many of each. What is known stays as it was first:
    an audit tells where the target has another record of that number."""
    found, strange = auditor.chains(context)
    read.skipped += strange
    good: list[Evidence] = []
    for installation, records in found.items():
        for seq, body in records.items():
            try:
                one = from_json(Evidence, body)
            except ValueError:
                read.skipped.append(f"{audit.key(context, installation, seq)}: it is no record of evidence.")
                continue
            if (one.installation, one.seq) != (installation, seq):
                read.skipped.append(f"{audit.key(context, installation, seq)}: it says that it is another record.")
                continue
            good.append(one)
            catalog.put_evidence([body], target=context.target_name)
    drills = [job for one in good if (job := _drill(context.target_name, one, pins)) is not None]
    known = {job.id for job in catalog.jobs(context.target_name, kind="drill", limit=ALL) if job.outcome != "running"}
    catalog.close_jobs(job for job in drills if job.id not in known)
    return len(good), len(drills)


def _drill(target: str, one: Evidence, pins: Mapping[str, Pin]) -> Job | None:
    """The job of a drill of these repositories, as its evidence tells of it: without the names of what it sampled."""
    event, body = one.event, dict(one.event.body)
    if event.kind != "drill" or not event.job:
        return None
    try:
        outcome = msgspec.convert(body.pop("outcome", None), Outcome)
        started = msgspec.convert(body.pop("started_at", None), Time)
        finished = msgspec.convert(body.pop("finished_at", None), Time | None)
        details = convert(DrillDetails, body)
    except msgspec.ValidationError:
        return None
    if details.repository and details.repository not in {pin.repository_id for pin in pins.values()}:
        return None
    return Job(
        id=event.job,
        kind="drill",
        target=target,
        outcome=outcome,
        started_at=started,
        finished_at=finished or event.at,
        host=event.host,
        pid=0,
        details=details.builtins(),
    )


def _snapshot_pins(context: Context, read: Read) -> int:
    """Bring the pins of snapshots back; how many of them hold. While one cannot be read, forget refuses to work."""
    try:
        return sum(pin.holds(context.clock.now()) for pin in snapshot_pins.pins(context))
    except errors.Damaged as error:
        read.skipped.append(error.message)
        return 0


def _pins(context: Context) -> dict[str, Pin]:
    """The repositories by tier: pinned ones must be there, others are pinned now."""
    known = context.state.pins(context.target_name)
    if "hot" not in known:
        context.hot.config_digest()
    found: dict[str, Pin] = {}
    for tier, repository in context.repositories.items():
        if "hot" in known and tier in known:
            found[tier] = context.check_pin(tier)
        elif exists(repository):
            found[tier] = repository.config()
            if tier in known and known[tier].repository_id != found[tier].repository_id:
                raise errors.OtherRepository(
                    f"The {tier} repository of target {context.target_name} is another one than was pinned.",
                    hint="Look where the target points to: rw policy show",
                )
    return {**known, **found}


def _read(context: Context, pins: Mapping[str, Pin]) -> Read:
    """Every manifest and record of these repositories, oldest first; kept ones before those that the store has."""
    read, hot = Read(), pins["hot"].repository_id
    manifests: dict[str, tuple[Manifest, str | None]] = {}
    records: dict[str, VerifyRecord] = {}
    for written in context.state.kept(context.target_name):
        if isinstance(written, Manifest):
            manifests[written.job_id] = (written, None)
        else:
            records[written.job_id] = written
    store = context.manifests
    for key, manifest in _fetched(context, store.keys(), store.get, read.skipped):
        manifests[manifest.job_id] = (manifest, key)
    for _, record in _fetched(context, store.record_keys(), store.record, read.skipped):
        records[record.job_id] = record
    ours = [one for one in manifests.values() if one[0].repositories.get("hot") == hot]
    for manifest, where in sorted(ours, key=lambda one: (one[0].started_at, one[0].job_id)):
        read.backups.append(_job(context.target_name, manifest, where))
        read.repositories = manifest.repositories
    read.manifests = len(ours)
    for record in sorted(records.values(), key=lambda one: (one.job.started_at, one.job_id)):
        details = verify_details(record.job)
        if details and details.tier in pins and details.repository == pins[details.tier].repository_id:
            read.verifies.append((msgspec.structs.replace(record.job, target=context.target_name), details))
    return read


def _fetched(
    context: Context, keys: Iterable[str], get: Callable[[str], W], skipped: list[str]
) -> Iterator[tuple[str, W]]:
    """What lies by these keys, several fetched at a time: a year of jobs every four minutes left 131,000, and each
    costs a round trip. What cannot be read is `skipped`."""
    left = iter(keys)
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        while batch := list(islice(left, FETCHED_AT_ONCE * 4)):
            context.heed()
            for key, future in [(key, pool.submit(get, key)) for key in batch]:
                try:
                    yield key, future.result()
                except (errors.Damaged, errors.ObjectMissing) as error:
                    skipped.append(f"{key}: {error.message}")


def _none_read(context: Context, read: Read, snapshots: Sequence[Snapshot]) -> None:
    """Snapshots of ours and not one manifest: most likely the manifests lie elsewhere."""
    if not read.manifests and any(snapshot.domain for snapshot in snapshots):
        target = context.target
        read.skipped.append(
            f"backups/{target.environment or target.namespace}/: no manifest of this repository, though it holds "
            f"{len(snapshots)} snapshots. Is the `environment` of target {context.target_name} still the same?"
        )


def _other_repositories(context: Context, told: Mapping[str, str], pins: Mapping[str, Pin]) -> None:
    """Say where the newest manifest knew a repository that is not there."""
    for tier, repository_id in told.items():
        if tier not in pins or pins[tier].repository_id != repository_id:
            context.watcher.note(
                f"The newest manifest knows a {tier} repository {repository_id[:8]}, which this target does not have."
            )


def _job(target: str, manifest: Manifest, key: str | None) -> Job:
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


def _as_known(job: Job, catalog: Catalog) -> Job:
    """The job with what only the catalogue knows of it: a sealed manifest names no file that was missed or rotten."""
    if not any(_unnamed(run) for run in job.domains):
        return job
    known = catalog.job(job.id)
    here = {run.domain: run for run in known.domains} if known else {}

    def fuller(run: DomainRun) -> DomainRun:
        own = here.get(run.domain)
        return own if own and sealed(own) == sealed(run) else run

    return msgspec.structs.replace(job, domains=tuple(fuller(run) for run in job.domains))


def _unnamed(run: DomainRun) -> bool:
    """Whether there is something of a run that only its own machine can name."""
    return bool(run.missed_count or run.bitrot_count or run.raw_changed or run.raw_removed or run.error)


def _forget_reads(target: str, catalog: Catalog, pins: Mapping[str, Pin]) -> None:
    """What the last verify of a tier read back of another repository says nothing of the one that is there."""
    told = [verify_details(job) for job in catalog.jobs(target, kind="verify", limit=ALL)]
    for tier, pin in pins.items():
        of = next((one.repository for one in told if one and one.tier == tier and one.reads), "")
        if of and of != pin.repository_id:
            catalog.forget_reads(target, tier)


def _verified(target: str, catalog: Catalog, verifies: Iterable[tuple[Job, VerifyDetails]], until: Time) -> None:
    """What verifies proved and read back, but for what is later than `until`. A record of them that is whole here says
    more than the one in the target."""
    whole = {job.id for job in catalog.jobs(target, kind="verify", limit=ALL) if job.outcome in ("ok", "failed")}
    for job, details in verifies:
        if job.id not in whole:
            catalog.close_job(job)
        if details.read_at is not None and details.read_at <= until:
            catalog.record_reads(target, details.tier, details.reads, details.read_at, until)
        if details.proven_at is not None and details.proven_at <= until:
            catalog.mark_proven(target, details.proven, details.proven_at, tier=details.tier, until=until)


def _latest(context: Context, jobs: Iterable[Job], snapshots: Sequence[Snapshot], repository: str) -> None:
    """Of every domain of this host the newest complete look whose snapshot is still in the repository. Backups that
    ended meanwhile have written theirs there: what is newer stays. Looks of the future count where there is no
    other."""
    there = {snapshot.original: snapshot for snapshot in snapshots}
    until = context.clock.now() + CLOCK_SLACK
    with context.locks.hold(f"latest {context.target_name}", wait=LATEST_WAIT):
        before = latest = context.latest(everyones=True)
        if latest:
            held = {
                name: one
                for name, one in latest.domains.items()
                if one.snapshot in there or context.hot.holds(one.current_id)
            }
            latest = msgspec.structs.replace(latest, domains=held)
        own = [job for job in jobs if job.host in context.settings.hosts]
        for job in sorted(own, key=lambda job: job.started_at <= until):
            runs = tuple(run for run in job.domains if run.snapshot in there)
            job = msgspec.structs.replace(job, domains=runs)
            now = context.clock.now()
            latest = merged_latest(latest, job, repository, now=now, unindexed=0, host=context.settings.host)
        if latest:
            newer = before and latest.finished_at < before.finished_at <= until
            context.state.put_latest(_current(latest, before if newer else None, there))


def _current(latest: Latest, newest: Latest | None, there: Mapping[str, Snapshot]) -> Latest:
    """With the ids that the snapshots have now, and the job that is the newest where these do not tell of it."""
    domains = {
        name: msgspec.structs.replace(one, current_id=there[one.snapshot].id) if one.snapshot in there else one
        for name, one in latest.domains.items()
    }
    newest = newest or latest
    return msgspec.structs.replace(latest, domains=domains, job_id=newest.job_id, finished_at=newest.finished_at)
