"""What jobs that crashed had done by then is made to count, by whichever command comes next."""

from collections.abc import Mapping, Sequence

import msgspec

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.planning import backup as planning
from resticwrap.services import manifest, raw
from resticwrap.services.context import Context

LATEST_WAIT = 30.0


def close(context: Context) -> Sequence[Job]:
    """Close the records that a crash left open. Of a backup, the domains that were finished get their manifest and are
    the next parents; what was read of the others may have been uploaded, and is remembered until a `repair index`.

    That comes before the record is closed: nobody asks again about one that is.
    """

    def made_to_count(job: Job) -> None:
        if job.kind == "backup" and context.pinned:
            # Before the next backup compares with what this one left; but into no other target.
            if raw.found(job):
                context.check_pin("hot")
            for warning in raw.keep(context, job):
                context.watcher.note(warning)
            remember(context, job)
            if job.domains:
                _keep_manifest(context, job)
        if job.kind == "upgrade":
            context.watcher.note(f"{job.id} ended before its last step: rw upgrade --status says what was left")

    return context.close_interrupted(made_to_count)


def remember(
    context: Context,
    job: Job,
    mounts: Mapping[str, tuple[str, ...]] | None = None,
    excludes: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Bring `latest` up to date with a job; may be repeated. Raises Locked, and what the state directory raises."""
    finished = sum(run.size for run in job.domains if run.snapshot)
    with context.locks.hold(f"latest {context.target_name}", wait=LATEST_WAIT):
        latest = context.latest(everyones=True)
        again = latest is not None and latest.job_id == job.id
        context.state.put_latest(
            planning.merged_latest(
                latest,
                job,
                context.pins()["hot"].repository_id,
                now=context.clock.now(),
                unindexed=0 if again else max(job.bytes_done - finished, 0),
                mounts=mounts,
                excludes=excludes,
                host=context.settings.host,
            )
        )


def indexed(context: Context) -> None:
    """A `repair index` worked: nothing is unindexed any more."""
    with context.locks.hold(f"latest {context.target_name}", wait=LATEST_WAIT):
        latest = context.latest(everyones=True)
        if latest:
            context.state.put_latest(msgspec.structs.replace(latest, unindexed=0))


def _keep_manifest(context: Context, job: Job) -> None:
    """Unless one of it waits already: a job that was killed at its very end knew more than we do."""
    if any(one.job_id == job.id for one in context.state.kept(context.target_name)):
        return
    try:
        context.state.keep(manifest.of_job(context, job, {}))
    except errors.Failure as error:
        context.watcher.note(f"{job.id} gets no manifest: {error.message}")
