"""Policies that somebody may change while we run."""

from collections.abc import Mapping
from pathlib import Path

from resticwrap.settings.loading import FILES, Settings, load


class Watched:
    """The policies of a folder, and whether they are still the same."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, env

    def stamp(self) -> object:
        """Another one whenever one of the files has changed, come or gone."""
        return tuple(_stamp(self._folder / name) for name in FILES)

    def read(self) -> Settings:
        """Raises PolicyError."""
        return load(self._folder, self._env)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
