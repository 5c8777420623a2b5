"""The scratch place of a drill: private, apart from everything that lives, and gone afterwards.

Nothing that a drill does may write outside of it, so it is looked at before anything is restored, and links inside of
what was restored are never followed.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resticwrap import errors
from resticwrap.model.drill import drill_details
from resticwrap.model.job import Job
from resticwrap.model.policy import LocalTarget, roots_of
from resticwrap.services.context import Context
from resticwrap.services.leftovers import SCRATCH, ended

PREFIX = f"{SCRATCH}drill_"
JOBS_LOOKED_AT = 50
MARGIN = 64 << 20
"""Bytes that a drill leaves free in any case: a disk that is full stops more than a drill."""


@dataclass(frozen=True)
class Place:
    """The private folder of one drill (mode 700, empty at first), and how many bytes it may fill."""

    folder: Path
    room: int


def base(scratch: Path | None) -> Path:
    """Where scratch folders are made: what was asked for, else where temporary files go."""
    return Path(os.path.realpath(scratch if scratch is not None else tempfile.gettempdir()))


def check(context: Context, scratch: Path | None) -> Path:
    """The base, which is a folder apart from everything that lives. Raises RestoreRefused."""
    folder = base(scratch)
    if not folder.is_dir():
        raise errors.RestoreRefused(f"{folder} is not a folder.", hint="Give another one with --scratch.")
    for what, root in _living(context):
        if inside(folder, root):
            raise errors.RestoreRefused(
                f"A drill restores nothing into {folder}: {what} lies there.",
                hint="Give a folder apart from it with --scratch.",
            )
    return folder


def room(folder: Path) -> int:
    """How many bytes a drill may fill there: half of what is free, so that nothing else on that disk runs full."""
    return max(shutil.disk_usage(folder).free // 2 - MARGIN, 0)


def refuse_full(folder: Path, size: int, may: int) -> None:
    """Raises DiskFull where so many bytes have no room."""
    if size > may:
        raise errors.DiskFull(
            f"The drill restores {size:,} bytes, and may fill {may:,} at {folder}: half of what is free there.",
            hint="Give a larger place with --scratch FOLDER, or fewer domains with --domain.",
        )


def inside(path: Path, root: Path) -> bool:
    """Whether a path is a folder or lies below it; both are resolved first."""
    real, of = os.path.realpath(path), os.path.realpath(root)
    return real == of or real.startswith(of.rstrip("/") + "/")


def _living(context: Context) -> Iterator[tuple[str, Path]]:
    settings = context.settings
    for name, root in roots_of(settings.domains).items():
        yield f"the live data of {name}", root
    yield "rw's state directory", settings.state_dir
    yield "restic's cache", settings.cache_dir
    if isinstance(context.target, LocalTarget):
        yield f"target {context.target_name}", context.target.path


@contextmanager
def opened(context: Context, job: Job, scratch: Path | None) -> Iterator[Place]:
    """A private folder for one drill, removed afterwards whatever happens. Raises RestoreRefused, DiskFull."""
    folder = check(context, scratch)
    try:
        made = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{job.id}-", dir=folder))
    except OSError as error:
        raise errors.RestoreRefused(
            f"Nothing can be made in {folder}: {error.strerror}.", hint="Give another folder with --scratch."
        ) from error
    try:
        yield Place(made, room(folder))
    finally:
        remove(made)


def remove(folder: Path) -> None:
    """Remove a scratch folder with all that was restored there, also what has no mode that would let us in. Links are
    removed and not followed."""
    for parent, names, _ in os.walk(folder, onerror=None):
        for name in names:
            path = os.path.join(parent, name)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def clear(context: Context, scratch: Path | None) -> None:
    """Remove what killed drills left: where temporary files go, in the place asked for, and where their records say."""
    places = {base(None), base(scratch)}
    try:
        jobs = context.catalog().jobs(context.target_name, kind="drill", limit=JOBS_LOOKED_AT)
    except (errors.CatalogUnavailable, errors.DiskFull):
        jobs = ()
    places |= {Path(told.scratch) for job in jobs if (told := drill_details(job)) is not None and told.scratch}
    for place in places:
        for left in place.glob(f"{PREFIX}*"):
            if _ours(left) and ended(context, left.name.removeprefix(SCRATCH).rsplit("-", 1)[0]):
                remove(left)


def _ours(path: Path) -> bool:
    """Whether it is a folder of ours and no link to one."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
