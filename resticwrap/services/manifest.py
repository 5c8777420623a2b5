"""The manifest of a backup job: made, published in the target's store, read back, and its objects listed."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from resticwrap import errors
from resticwrap.model.job import DomainRun, ErrorInfo, Job, Manifest, ManifestDomain, ObjectList
from resticwrap.model.objects import Change, Entry, ObjectRow, object_row
from resticwrap.model.verified import Written
from resticwrap.services import audit
from resticwrap.services.context import Context, check_domains


def of_job(context: Context, job: Job, changes: Mapping[str, Sequence[Change]]) -> Manifest:
    """The manifest of a finished backup job.

    Sealed, it costs by the number of domains: the object list is the snapshot's tree itself. Plain, it lists the
    objects: whole where the domain was read in full, else what changed.
    """
    assert job.finished_at is not None and job.type is not None
    pins = context.pins()
    return Manifest(
        job_id=job.id,
        target=context.target_name,
        target_provider=context.target.provider,
        namespace=context.target.namespace,
        repositories={tier: pin.repository_id for tier, pin in pins.items()},
        chunker=pins["hot"].chunker,
        host=context.settings.host,
        outcome=job.outcome,
        started_at=job.started_at,
        finished_at=job.finished_at,
        snapshot_type=job.type,
        domains=tuple(_domain(context, run) for run in job.domains),
        object_list=_objects(context, job, changes),
        schema_versions={run.domain: run.schema_versions for run in job.domains if run.schema_versions},
        restore_entrypoint=f"rw restore --target {context.target_name} --job {job.id} --to FOLDER",
        tool_versions=dict(context.versions),
        evidence=audit.head(context),
    )


def _domain(context: Context, run: DomainRun) -> ManifestDomain:
    return ManifestDomain(
        run=run if context.target.manifests == "plain" and not _secret(context, run) else sealed(run),
        tree=run.tree,
        object_digest=f"sha256:{run.tree}" if run.tree else None,
        objects=run.files,
        bytes=run.size,
        restore=f"rw restore --target {context.target_name} --domain {run.domain} --snapshot {run.snapshot} --to FOLDER"
        if run.snapshot
        else "",
    )


def _secret(context: Context, run: DomainRun) -> bool:
    """Whether names and checksums of a domain's files are nobody's business, whatever the target says: a checksum
    gives a weak password away."""
    domain = context.settings.domains.get(run.domain)
    return domain is not None and domain.is_secret


def sealed(run: DomainRun) -> DomainRun:
    """The run as it may lie in the target: counts, but no names of files, of which sentences are full too. Sealed
    again it is the same."""
    error = run.error and ErrorInfo(
        kind=run.error.kind,
        message=f"{run.error.kind}; what it said is in the record on its machine.",
        exit_code=run.error.exit_code,
    )
    return msgspec.structs.replace(run, missed=(), bitrot=(), raw=(), error=error)


def _objects(context: Context, job: Job, changes: Mapping[str, Sequence[Change]]) -> ObjectList:
    if context.target.manifests == "sealed":
        return ObjectList(mode="sealed")
    chunker = context.hot.trees().chunker
    now: list[ObjectRow] = []
    gone: list[ObjectRow] = []
    for run in (one for one in job.domains if not _secret(context, one)):
        if run.type == "full" and run.tree:
            now += [object_row(entry, run.domain, chunker) for entry in files_of(context, run)]
            continue
        for change in changes.get(run.domain, ()):
            if change.new is not None and change.new.kind == "file":
                now.append(object_row(_inside(change.new), run.domain, chunker))
            elif change.new is None and change.old is not None and change.old.kind == "file":
                gone.append(object_row(_inside(change.old), run.domain, chunker))
    whole = all(run.type == "full" and run.tree for run in job.domains)
    return ObjectList(mode="plain", whole=whole, objects=tuple(now), removed=tuple(gone))


def files_of(context: Context, run: DomainRun) -> Iterator[Entry]:
    """The files of a domain as a job left it, with paths relative to the domain's root."""
    assert run.tree is not None and run.snapshot is not None
    for entry in context.hot.entries(run.snapshot, run.tree):
        if entry.kind == "file":
            yield _inside(entry)


def _inside(entry: Entry) -> Entry:
    """The entry with its path relative to the domain's root: `exams/a.json` becomes `a.json`."""
    _, slash, rest = entry.path.partition(b"/")
    return msgspec.structs.replace(entry, path=rest if slash else entry.path)


def publish(context: Context, written: Written) -> tuple[str | None, str | None]:
    """Write a manifest or a record into the store, and what earlier jobs could not write. Returns its key (None: it is
    not there yet), and what could not be written and why.

    That is kept in the state directory, and the next job of the target writes it. A state directory that is full keeps
    nothing out of the target.
    """
    unkept = _unkept(context, written)
    key, trouble = None, None
    # Its own first: what stands in the way of an older one need not stand in its way.
    for one in (written, *_waiting(context, written.job_id)):
        own = one.job_id == written.job_id
        try:
            where = _put(context, one)
            key = where if own else key
            # What stays there is written again by the next job, which is no error.
            with contextlib.suppress(errors.Failure):
                context.state.drop(one)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            name = "manifest" if isinstance(one, Manifest) else "record"
            what = f"The {name}" if own else f"The {name} of {one.job_id}"
            kept = f", nor kept here ({unkept.message})" if own and unkept else " and is kept for the next job"
            trouble = trouble or f"{what} could not be written to the target{kept}: {error.message}"
            if isinstance(error, errors.TargetUnreachable | errors.TargetRefused):
                break
    return key, trouble


def _unkept(context: Context, written: Written) -> errors.Failure | None:
    """Keep it until it is in the target; returns what is in the way of that."""
    try:
        context.state.keep(written)
    except errors.Failure as error:
        return error
    return None


def _waiting(context: Context, job_id: str) -> list[Written]:
    """What other jobs than this one left behind."""
    try:
        return [one for one in context.state.kept(context.target_name) if one.job_id != job_id]
    except errors.Failure:
        return []


def _put(context: Context, one: Written) -> str:
    """Write one. Where a job wrote its own before it was killed, that stays: what was made of its remains says less."""
    try:
        return context.manifests.put(one)
    except errors.ObjectExists:
        there = context.manifests.find(one.job_id) if isinstance(one, Manifest) else None
        if there is None or (isinstance(one, Manifest) and one.outcome != "interrupted"):
            raise
        return there


def resolve(context: Context, job: str) -> str:
    """A job's whole id: `latest` means the newest backup, a beginning of at least six characters will do."""
    context.pins()
    if job == "latest":
        latest = context.latest()
        if latest is None:
            raise errors.NotFound(f"Target {context.target_name} has no backup yet.", hint="rw backup")
        return latest.job_id
    try:
        known = context.catalog().job(job)
    except errors.CatalogUnavailable:
        return job
    return known.id if known else job


def load(context: Context, job_id: str) -> Manifest:
    """A job's manifest from the store. Raises NotFound."""
    key = context.manifests.find(job_id)
    if key is None:
        raise errors.NotFound(
            f"Target {context.target_name} has no manifest of a job {job_id}.",
            hint=f"rw history --target {context.target_name}   (it lists the jobs)",
        )
    return context.manifests.get(key)


def rows(context: Context, manifest: Manifest, domains: Sequence[str]) -> Iterator[ObjectRow]:
    """The whole object list of a job, out of the snapshots' own trees, whatever the manifest's mode."""
    check_domains(context.settings, domains, {listed.run.domain for listed in manifest.domains})
    chunker = context.hot.trees().chunker
    return (
        object_row(entry, run.domain, chunker)
        for run in (listed.run for listed in manifest.domains)
        if run.tree and (not domains or run.domain in domains)
        for entry in files_of(context, run)
    )
