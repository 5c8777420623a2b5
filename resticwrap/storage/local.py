"""A folder as a store: every object is a file, written whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.ports import ObjectInfo, ResticAccess
from resticwrap.storage.keys import check_key, check_prefix

TEMPORARY = ".rw-put-"
"""How files that are still being written begin; they are no objects."""
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
GONE = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV)
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What `link` says on file systems without hard links: FAT, exFAT, some network mounts."""


class LocalStore:
    """A folder of this machine, or a disk mounted on it. Implements Store."""

    def __init__(self, path: Path, namespace: str = "resticwrap") -> None:
        self._root = path
        self._namespace = namespace

    def restic_access(self) -> ResticAccess:
        """What restic needs: only the path."""
        return ResticAccess(base=str(self._root / self._namespace))

    def probe(self) -> None:
        """Ask whether the folder is there and lets us list and enter it."""
        with self._errors():
            if not self._root.is_dir():
                raise self._missing()
            with os.scandir(self._root) as entries:
                next(entries, None)
            if not os.access(self._root, os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def create(self) -> bool:
        """Make the folder; True when it was not there before."""
        with self._errors():
            try:
                self._root.mkdir(parents=True, mode=0o700)
            except FileExistsError:
                if not self._root.is_dir():
                    raise
                return False
            return True

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""
        path = self._path(key)
        with self._errors(key), path.open("rb") as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all: a file beside it is filled, flushed, and put in its place."""
        path = self._path(key)
        with self._errors(key):
            self._make_folders(path.parent)
            temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
            try:
                _fill(temporary, body)
                if if_absent:
                    _place_if_absent(temporary, path, key)
                else:
                    temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(path.parent)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys; one folder is in memory at a time."""
        folder, _, begin = check_prefix(prefix).rpartition("/")
        with self._errors():
            if not self._root.is_dir():
                raise self._missing()
            yield from self._walk(folder, begin)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        path = self._path(key)
        try:
            with self._errors(key):
                path.unlink()
                _flush_folder(path.parent)
        except errors.ObjectMissing:
            pass

    def time(self) -> Time | None:
        """A folder has no clock of its own."""
        return None

    def _walk(self, folder: str, begin: str) -> Iterator[ObjectInfo]:
        place = self._root / folder if folder else self._root
        try:
            with os.scandir(place) as found:
                # `a.b` comes before `a/b`: a folder takes its place in the order with its slash.
                entries = sorted(
                    (os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b""), entry)
                    for entry in found
                    if entry.name.startswith(begin) and _names_object(entry.name)
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if name.endswith(b"/"):
                yield from self._walk(key, "")
            elif entry.is_file(follow_symlinks=False):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield ObjectInfo(key=key, size=status.st_size, modified=datetime.fromtimestamp(status.st_mtime, UTC))

    def _path(self, key: str) -> Path:
        """Where a key's file is. Raises UsageError where a symbolic link on the way leads out of the folder."""
        path = self._root / check_key(key)
        root = self._root.resolve()
        if path.name.startswith(TEMPORARY) or not path.resolve().is_relative_to(root):
            raise errors.UsageError(f"{key!r} cannot be the key of an object of {self._root}.")
        return path

    def _make_folders(self, folder: Path) -> None:
        """The folders above an object, but never the store's own: that would fill the disk below a missing mount."""
        if not self._root.is_dir():
            raise self._missing()
        current = self._root
        for part in folder.relative_to(self._root).parts:
            parent, current = current, current / part
            try:
                current.mkdir(mode=0o700)
            except FileExistsError:
                continue
            _flush_folder(parent)

    def _missing(self) -> errors.NoRepository:
        return errors.NoRepository(
            f"The folder {self._root} is not there.", hint="Mount the disk it lies on, or run `rw init` to make it."
        )

    @contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        """Raise what the operating system says as one of ours."""
        try:
            yield
        except OSError as error:
            raise self._translate(error, key) from error

    def _translate(self, error: OSError, key: str) -> errors.Failure:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno in FULL:
            return errors.DiskFull(
                f"There is no room left in {self._root}: {reason}.",
                hint="Free some space there, or mount a larger disk.",
            )
        if error.errno in REFUSED:
            return errors.TargetRefused(
                f"The folder {self._root} does not let us work in it: {reason}.",
                hint=f"ls -ld {self._root}; it must belong to the user that runs rw, on a disk mounted for writing.",
            )
        if error.errno in GONE:
            return errors.TargetUnreachable(
                f"The disk below {self._root} does not answer: {reason}.", hint="Look at the mount and at the disk."
            )
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            if not self._root.is_dir():
                return self._missing()
            return errors.ObjectMissing(f"There is no object {key!r} in {self._root}.")
        return errors.Failure(f"Working in {self._root} failed: {reason}.")


def _names_object(name: str) -> bool:
    """Whether a file or folder can be part of a key: not one half written, not one whose name is no valid text."""
    return not name.startswith(TEMPORARY) and not any("\ud800" <= char <= "\udfff" for char in name)


def _fill(path: Path, body: bytes | BinaryIO) -> None:
    """Write a new file and flush it to the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if isinstance(body, bytes):
            file.write(body)
        else:
            shutil.copyfileobj(body, file, 1024 * 1024)
        file.flush()
        os.fsync(file.fileno())


def _place_if_absent(temporary: Path, path: Path, key: str) -> None:
    """Give the file its name only if nothing has it: of two writers one wins. Raises ObjectExists."""
    try:
        try:
            path.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in NO_LINKS or isinstance(error, FileExistsError):
                raise
            # No hard links here: an empty file claims the name, and the full one takes its place in one step.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            temporary.replace(path)
    except FileExistsError as error:
        raise errors.ObjectExists(f"There is an object {key!r} already.") from error


def _flush_folder(folder: Path) -> None:
    """Make a new or removed name last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network mounts cannot flush a folder
            raise
    finally:
        os.close(descriptor)
