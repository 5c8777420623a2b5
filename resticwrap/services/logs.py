"""`rw logs`: the stories of jobs, with what the records say around them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.model.story import LoggedJob, LogLine, LogsReport, StoryHead
from resticwrap.planning import stories as planning
from resticwrap.services.context import Records
from resticwrap.services.story_ports import Stories

SHORTEST = 6
"""A job may be named by so many characters of the beginning of its id."""


def listing(records: Records, stories: Stories, limit: int | None) -> LogsReport:
    """The last jobs of the target that have a story; jobs of which no record is known count as its own."""
    spooled = _spooled(records)
    found: list[LoggedJob] = []
    for job in stories.ids():
        if limit is not None and len(found) >= limit:
            break
        record = _record(records, spooled, job)
        info = stories.info(job)
        if info is None or (record is not None and record.target != records.target_name):
            continue
        found.append(
            LoggedJob(
                job=job,
                running=info.running,
                size=info.size,
                kind=record.kind if record else None,
                outcome=record.outcome if record else None,
                started_at=record.started_at if record else planning.began(job),
                finished_at=record.finished_at if record else None,
                error=record.error.message if record and record.error else None,
            )
        )
    return LogsReport(target=records.target_name, jobs=tuple(found))


def named(records: Records, stories: Stories, name: str) -> str:
    """The job that is meant: an id, or the beginning of one. Raises NotFound where there is none, or several."""
    known = [*stories.ids(), *_spooled(records)]
    if name in known:
        return name
    found = {job for job in known if job.startswith(name)} if len(name) >= SHORTEST else set()
    try:
        record = records.catalog().job(name)
    except errors.CatalogUnavailable:
        record = None
    if record is not None:
        found.add(record.id)
    if len(found) > 1:
        one, other = sorted(found)[:2]
        raise errors.NotFound(f"{len(found)} jobs begin with {name}.", hint=f"Write more of it: {one}, {other}, …")
    if not found:
        raise errors.NotFound(f"No job is called {name}.", hint="rw logs, or rw history, lists the last ones.")
    return found.pop()


def newest(records: Records, stories: Stories, *, running: bool) -> str:
    """The newest job of the target that has a story, or that runs. Raises NotFound."""
    spooled = _spooled(records)
    for job in stories.ids():
        if running and not stories.running(job):
            continue
        record = _record(records, spooled, job)
        if record is None or record.target == records.target_name:
            return job
    what = "runs now" if running else "has a log here"
    raise errors.NotFound(f"No job of target {records.target_name} {what}.", hint="rw logs, or rw history")


def head(records: Records, stories: Stories, job: str) -> StoryHead:
    """What the records say of a job, and why there is no story of it where there is none."""
    record = _record(records, _spooled(records), job)
    info = stories.info(job)
    missing = None
    if info is None:
        where = f" on {record.host}, where it ran," if record else ""
        missing = (
            f"None of it is kept here. Logs are kept{where} for {planning.KEPT.days} days, the last {planning.MOST:,}."
        )
    return StoryHead(job=job, running=info is not None and info.running, record=record, missing=missing)


def lines(stories: Stories, job: str, wait: Callable[[], bool] | None = None) -> Iterator[Sequence[LogLine]]:
    """The lines of a story, as they come. With `wait`, which says whether to go on, until the job ends."""
    offset = 0
    while True:
        # Asked before the look, so that what came last is seen.
        more = wait is not None and stories.running(job)
        read = stories.read(job, offset)
        if read is None:
            return
        found, offset = read
        if found:
            yield found
        if not more or wait is None or not wait():
            return


def _spooled(records: Records) -> Mapping[str, Job]:
    return {job.id: job for job in records.state.spooled()}


def _record(records: Records, spooled: Mapping[str, Job], job: str) -> Job | None:
    """What is spooled is newer than what the catalogue has; None too where the catalogue is away."""
    if job in spooled:
        return spooled[job]
    try:
        return records.catalog().job(job)
    except errors.CatalogUnavailable:
        return None
