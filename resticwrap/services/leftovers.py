"""What jobs that were killed left outside of the repositories: unfinished restores, and the samples of a verify."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.model.swap import BESIDE_PREFIX
from resticwrap.services.context import Context

SCRATCH = "rw-"


def stage_of(to: Path, job: Job) -> Path:
    """Where an unfinished restore lies; its name says that it is unfinished."""
    return to / f"{BESIDE_PREFIX}{job.id}"


def dead_stages(context: Context, to: Path) -> list[Path]:
    """The stages in `to` that restores into this very folder left when they ended without finishing.

    Call it after `close_interrupted`: a job that is still recorded as running lives. What the record does not prove to
    be one is left alone.
    """
    return [path for path in to.glob(f"{BESIDE_PREFIX}*") if _is_dead(context, path)]


def _is_dead(context: Context, stage: Path) -> bool:
    job_id = stage.name.removeprefix(BESIDE_PREFIX)
    job = _recorded(context, job_id)
    if job is None or job.kind != "restore" or job.outcome == "running" or not isinstance(job.details.get("to"), str):
        return False
    return os.path.realpath(job.details["to"]) == os.path.realpath(stage.parent) and not _journaled(context, job_id)


def _journaled(context: Context, job_id: str) -> bool:
    """Whether an in-place restore bears that id; one whose journal cannot be read may."""
    try:
        return context.journals.read(job_id) is not None
    except errors.Failure:
        return True


def clear_stage(stage: Path, *, finished: bool) -> None:
    """Empty a stage and remove it. Of an unfinished restore its folder stays, as a mark beside what was finished."""
    if stage.is_symlink() or not stage.is_dir():
        return
    for path in stage.iterdir():
        shutil.rmtree(path, ignore_errors=True)
    if finished or len(list(stage.parent.iterdir())) == 1:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def scratch(job: Job) -> Iterator[Path]:
    """A private folder that is gone afterwards."""
    place = tempfile.mkdtemp(prefix=f"{SCRATCH}{job.id}-")
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def clear_scratch(context: Context) -> None:
    """Remove the folders of killed verifies: restored data should not lie about. As `dead_stages`."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}verify_*"):
        job_id = path.name.removeprefix(SCRATCH).rsplit("-", 1)[0]
        if _ours(path) and ended(context, job_id):
            shutil.rmtree(path, ignore_errors=True)


def _ours(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid()


def ended(context: Context, job_id: str) -> bool:
    """Whether a job by that id is recorded here, and not as running. Of a job of elsewhere nobody here can say."""
    recorded = _recorded(context, job_id)
    return recorded is not None and recorded.outcome != "running"


def _recorded(context: Context, job_id: str) -> Job | None:
    """The record of exactly that job; None also where the catalogue cannot say."""
    for job in context.state.spooled():
        if job.id == job_id:
            return job
    try:
        recorded = context.catalog().job(job_id)
    except (errors.CatalogUnavailable, errors.DiskFull, errors.NotFound):
        return None
    return recorded if recorded is not None and recorded.id == job_id else None
