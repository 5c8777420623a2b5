"""Policies that somebody may change while we run."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from resticwrap.errors import Failure
from resticwrap.settings.loading import FILES, Settings, load


class Watched:
    """The policies of a folder. What is read is a copy: it stays as it was when it was found to hold, so whoever is
    given its folder works by the same policies, whatever an edit does to the files meanwhile."""

    def __init__(self, folder: Path, copies: Path, env: Mapping[str, str]) -> None:
        self._folder, self._copies, self._env = folder, copies, env

    @property
    def folder(self) -> Path:
        """Where somebody edits them."""
        return self._folder

    def stamp(self) -> object:
        """Another one whenever one of the files has changed, come or gone."""
        return tuple(_stamp(self._folder / name) for name in FILES)

    def read(self) -> Settings:
        """The policies, of a copy. Copies of before go, but for the last one. Raises PolicyError, and Failure where no
        copy can be made."""
        try:
            contents = {name: (self._folder / name).read_bytes() for name in FILES if (self._folder / name).is_file()}
            digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:16]
            copy = self._copies / digest
            if not copy.is_dir():
                self._make(copy, contents)
        except OSError as error:
            raise Failure(
                f"The policies cannot be copied: {error.filename or self._copies}: {error.strerror}.",
                hint="Look at who owns the policies and the state directory, and whether there is room: rw doctor",
            ) from error
        found = load(copy, self._env)
        self._tidy(copy)
        return found

    def _make(self, copy: Path, contents: Mapping[str, bytes]) -> None:
        beside = copy.with_suffix(".new")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700, parents=True)
        for name, content in contents.items():
            (beside / name).touch(mode=0o600)
            (beside / name).write_bytes(content)
        beside.rename(copy)

    def _tidy(self, copy: Path) -> None:
        others = [one for one in self._copies.iterdir() if one != copy]
        for old in sorted(others, key=lambda one: one.stat().st_mtime_ns)[:-1]:
            shutil.rmtree(old, ignore_errors=True)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
