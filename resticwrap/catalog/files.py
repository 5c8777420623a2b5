"""Small files of the state directory, each written whole or not at all: what all that is kept there is made of."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from resticwrap.errors import DiskFull, Failure
from resticwrap.model.base import from_json

UNREADABLE = ".unreadable"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
T = TypeVar("T")


class Files:
    """Files below the state directory: 0600, folders 0700. Raises DiskFull where there is no room, Failure where the
    folder cannot be used."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir

    def _read_all(self, kind: type[T], folder: Path) -> Iterator[tuple[Path, T]]:
        """Every file of a folder with what it holds; one that does not hold that is set aside."""
        with self._guarded(folder):
            try:
                files = sorted(folder.iterdir())
            except FileNotFoundError:
                return
        for file in files:
            if file.name.startswith(".") or file.suffix != ".json":
                continue
            if not os.access(file, os.R_OK) and file.exists():
                continue  # another user's, whose own `rw` will see to it
            value = self._read(kind, file)
            if value is None:
                self._set_aside(file)
            else:
                yield file, value

    def _read(self, kind: type[T], file: Path) -> T | None:
        """None where there is no file, or not one of this kind."""
        with self._guarded(file):
            try:
                return from_json(kind, file.read_bytes())
            except (FileNotFoundError, ValueError):
                return None

    def _set_aside(self, record: Path) -> None:
        """Another process may have taken it away, or set it aside, since we looked: then there is nothing to do."""
        aside = record.with_name(record.name + UNREADABLE)
        if aside.exists():
            aside = record.with_name(f"{record.name}.{secrets.token_hex(4)}{UNREADABLE}")
        with self._guarded(record):
            try:
                record.rename(aside)
            except FileNotFoundError:
                return

    def _write(self, file: Path, data: bytes, *, flush: bool = True) -> None:
        """Write a file whole or not at all."""
        with self._guarded(file):
            self._make_folder(file.parent)
            beside = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    if flush:
                        os.fsync(descriptor)
                beside.rename(file)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
            if flush:
                _sync_folder(file.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder == self._root:
            # Only the last of several folders gets its mode; what is above the state directory is not ours.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            self._make_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)

    @contextmanager
    def _guarded(self, file: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in NO_ROOM:
                raise DiskFull(
                    f"There is no room left for {file}.", hint="Make room on the disk of the state directory."
                ) from error
            raise Failure(
                f"The state directory cannot be used: {file}: {error.strerror}.",
                hint="Look at its owner and mode, or choose another with RW_STATE_DIR.",
            ) from error


def plain(name: str) -> str:
    """A name that is one file and no other. Raises Failure."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise Failure(f"{name!r} cannot be the name of a target or a job.", hint="Names begin with a letter or digit.")
    return name


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
