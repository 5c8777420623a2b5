"""Advisory locks of this machine: flock(2) on files of the state directory. They die with their holder, never before.

A lease is a locked file whose descriptor a child inherits. The lock belongs to the open file, not to a process, so it
stays until the last holder of that descriptor is gone: also after we were killed, also seen from another PID namespace.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time, Value, from_json, to_json
from resticwrap.ports import LeaseInfo

POLL_SECONDS = 0.2
PATIENCE = 1.0
"""So many seconds are waited in any case: what a job writes at its end, also when it is to stop, takes no longer."""
LEASE_BYTES = 512
"""A lease is written with one call of one length, so that nobody reads half an old and half a new one."""
LEASE_KEPT = timedelta(days=1)
NAME_LIMIT = 200
_NO_FLOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class _Owner(Value, frozen=True):
    """What a lock file or a lease says of its holder. `namespace` is the inode of its PID namespace."""

    pid: int | None
    host: str
    created: Time
    namespace: int


class FileLease:
    """A lease; `fd` goes to the child through `pass_fds`."""

    def __init__(self, fd: int, owner: _Owner, path: Path) -> None:
        self._fd = fd
        self._owner = owner
        self._path = path

    @property
    def fd(self) -> int:
        return self._fd

    @property
    def name(self) -> str:
        return self._path.stem

    def started(self, pid: int) -> None:
        self._owner = _Owner(
            pid=pid, host=self._owner.host, created=self._owner.created, namespace=self._owner.namespace
        )
        _write_owner(self._fd, self._owner)

    def close(self) -> None:
        # Closed, not unlocked: unlocking would take the lock from the child, which shares it.
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()


class FlockLocks:
    """The `HostLocks` port. Lock files are never removed, so that nobody locks a file that has lost its name."""

    def __init__(self, state_dir: Path, clock: Clock, check: Callable[[], None] = lambda: None) -> None:
        """`check` raises Interrupted where somebody wishes to stop; it is asked while a lock is waited for."""
        self._locks = state_dir / "locks"
        self._leases = state_dir / "leases"
        self._clock = clock
        self._check = check

    def hold(self, name: str, *, shared: bool = False, wait: float = 0) -> AbstractContextManager[None]:
        return self._hold(name, shared, wait)

    @contextlib.contextmanager
    def _hold(self, name: str, shared: bool, wait: float) -> Iterator[None]:
        path = self._locks / file_name(name)
        fd = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            until = self._clock.monotonic() + wait
            while not _try_lock(fd, path, shared=shared):
                left = until - self._clock.monotonic()
                if left <= 0:
                    raise _locked(name, path, fd, wait)
                if wait - left > PATIENCE:
                    self._check()
                self._clock.sleep(min(POLL_SECONDS, left))
            _write_owner(fd, self._owner(os.getpid()))
            try:
                yield
            finally:
                # Unlocked and not just closed: a child that another thread is starting may hold a copy for a moment.
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def check(self) -> None:
        """They cannot be lost."""

    def lease(self, repository: str) -> FileLease:
        """Raises Failure where the state directory cannot be written or its file system has no flock."""
        folder = self._folder(repository)
        name = str(uuid.uuid4())
        beside, path = folder / f"{name}.tmp", folder / f"{name}.json"
        fd = _open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            if not _try_lock(fd, beside, shared=False):
                raise errors.Failure(f"The new lease {beside} is locked by somebody else.")
            owner = self._owner(None)
            _write_owner(fd, owner)
            # Under its final name a lease is locked from the first moment on, so nobody takes a new one for a dead one.
            os.rename(beside, path)
        except BaseException as error:
            os.close(fd)
            beside.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _unusable(path, error) from error
            raise
        return FileLease(fd, owner, path)

    def leases(self, repository: str) -> Sequence[LeaseInfo]:
        """Oldest first; one that is removed on the way is still in this list."""
        folder = self._folder(repository)
        try:
            paths = [path for path in folder.iterdir() if path.suffix in {".json", ".tmp"}]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _unusable(folder, error) from error
        found = [info for path in paths if (info := self._look(path)) is not None]
        return sorted(found, key=lambda info: info.created)

    def _look(self, path: Path) -> LeaseInfo | None:
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            # Shared, so that two who look at the same time do not take each other for the holder.
            free = _try_lock(fd, path, shared=True)
            owner = _read_owner(fd)
            created = owner.created if owner else datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
            if free and created < self._clock.now() - LEASE_KEPT:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)
        if path.suffix == ".tmp":
            return None
        return LeaseInfo(
            name=path.stem,
            host=owner.host if owner else "",
            pid=owner.pid if owner else None,
            created=created,
            held=not free,
            near=owner is not None and owner.namespace == _namespace(),
        )

    def _folder(self, repository: str) -> Path:
        return self._leases / hashlib.sha256(repository.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def _owner(self, pid: int | None) -> _Owner:
        return _Owner(pid=pid, host=socket.gethostname(), created=self._clock.now(), namespace=_namespace())


def _namespace() -> int:
    """Of the PIDs that we see."""
    return os.stat("/proc/self/ns/pid").st_ino


def file_name(lock: str) -> str:
    """The file of a lock: readable, any characters allowed, different for different locks."""
    name = quote(lock, safe=" ", errors="surrogateescape")
    if len(name) > NAME_LIMIT:
        # quote() never leaves a % before an s, so a hashed name is nobody's quoted one.
        name = "%sha256-" + hashlib.sha256(name.encode()).hexdigest()
    return f"{name}.lock"


def _open(path: Path, flags: int) -> int:
    try:
        make_private(path.parent)
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it, each for its owner only: mkdir gives its mode to the last alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _try_lock(fd: int, path: Path, *, shared: bool) -> bool:
    """Lock, or say that somebody else has it. Raises Failure where the file system knows no flock."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise _unusable(path, error) from error
    return True


def _write_owner(fd: int, owner: _Owner) -> None:
    """Say who holds it. The lock itself does not depend on these bytes, so a full disk does not matter here."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, to_json(owner).ljust(LEASE_BYTES), 0)


def _read_owner(fd: int) -> _Owner | None:
    try:
        return from_json(_Owner, os.pread(fd, LEASE_BYTES, 0).strip())
    except (OSError, ValueError):
        return None


def _locked(name: str, path: Path, fd: int, wait: float) -> errors.Locked:
    owner = _read_owner(fd)
    who = "another process"
    if owner is not None:
        since = owner.created.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = f"process {owner.pid} on {owner.host} since {since}"
    waited = f" after {wait:.0f} seconds" if wait >= 1 else ""
    return errors.Locked(
        f"{name!r} is locked by {who}{waited}.", hint=f"Wait for it to end. `fuser -v '{path}'` shows who holds it now."
    )


def _unusable(path: Path, error: OSError) -> errors.Failure:
    if error.errno in _NO_FLOCK:
        return errors.Failure(
            f"The file system of {path.parent} cannot lock files ({error.strerror}).",
            hint="Set RW_STATE_DIR to a folder on a local disk.",
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return errors.DiskFull(f"There is no room to write {path}.", hint=f"df -h {path.parent}")
    return errors.Failure(f"{path} cannot be used: {error.strerror}.", hint="Check RW_STATE_DIR and who owns it.")
