"""Files that hold secrets: these alone of a folder, and each as the file that it is."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from resticwrap import errors
from resticwrap.model.objects import show_path
from resticwrap.model.snapshot import SnapshotType
from resticwrap.ports import Look, Material, MissedItem
from resticwrap.sources.files import FilesSource

GONE = "is not there"


class SecretFiles(FilesSource):
    """Some files below a root, and nothing else of it. One that cannot be backed up is told, and keeps no other out.

    restic would store a symlink and nothing of what it points to, and of a folder whatever is in it by then; so neither
    counts as a file of secrets, but for a link to another one of them.
    """

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        super().__init__(root)
        self._files = tuple(os.fsencode(file) for file in files)

    def look(self) -> Look:
        return structs.replace(super().look(), empty=False, mounts=())

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:  # noqa: ARG002
        look = self.look()
        wrong = {file: why for file in self._files if (why := self._wrong(os.path.join(look.cwd, look.name), file))}
        good = tuple(os.path.join(look.name, file) for file in self._files if file not in wrong)
        if not good:
            first, why = next(iter(wrong.items()))
            raise errors.NotFound(
                f"None of the files of {show_path(look.name)} can be backed up: {show_path(first)} {why}.",
                hint="Are their names right in domains.yaml? rw policy show",
            )
        root = os.path.join(look.cwd, look.name)
        missed = tuple(MissedItem(item=show_path(os.path.join(root, file)), message=why) for file, why in wrong.items())
        yield Material(cwd=look.cwd, name=look.name, parts=good, missed=missed)

    def _wrong(self, root: bytes, file: bytes) -> str:
        """Why a file cannot be backed up by its name; empty where it can."""
        path = os.path.join(root, file)
        if (folder := os.path.dirname(path)) != os.path.realpath(folder):
            return "lies behind a symlink: name the folder that it really lies in as root"
        try:
            mode = os.lstat(path).st_mode
        except OSError as error:
            return GONE if isinstance(error, FileNotFoundError) else f"cannot be looked at: {error.strerror}"
        if stat.S_ISLNK(mode):
            real = os.path.realpath(path)
            known = [os.path.join(root, other) for other in self._files]
            if real in known and os.path.isfile(real):
                return ""
            return "is a symlink, and what it points to is not among the files: name that one"
        return "" if stat.S_ISREG(mode) else "is no file: name each file"
