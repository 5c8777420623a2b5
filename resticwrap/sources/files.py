"""Files below one root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors
from resticwrap.host import mounts
from resticwrap.model.snapshot import SnapshotType
from resticwrap.ports import Look, Material


class FilesSource:
    """A folder (or a single file), backed up by its own name from its parent directory.

    A root that is a symlink stands for what it points to: restic would otherwise store the link and nothing else.
    """

    def __init__(self, domain_root: Path) -> None:
        self._root = domain_root

    def look(self) -> Look:
        real = os.path.realpath(os.fsencode(self._root))
        try:
            stat = os.lstat(real)
        except OSError as error:
            raise errors.NotFound(
                f"The source {self._root} cannot be looked at: {error.strerror}.",
                hint="Is it mounted, and is the variable that names it right? rw policy show",
            ) from error
        cwd, name = os.path.split(real)
        return Look(
            cwd=cwd, name=name, identity=(stat.st_dev, stat.st_ino), empty=_empty(real), mounts=_mounts_below(real)
        )

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:  # noqa: ARG002
        look = self.look()
        yield Material(cwd=look.cwd, name=look.name)

    def measure(self) -> None:
        return None

    def empty(self, path: bytes) -> bool:
        return _empty(os.path.join(os.path.realpath(os.fsencode(self._root)), path))


def _mounts_below(root: bytes) -> tuple[bytes, ...]:
    try:
        found = mounts.below(mounts.read(), root)
    except OSError:
        return ()
    return tuple(sorted({os.path.relpath(point, root) for point in found}))


def _empty(root: bytes) -> bool:
    """Whether a folder holds nothing at all. One that may not be listed is restic's to complain about."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return False
