"""Exchange what is live with what was restored beside it, name by name, each atomically (renameat2(2)).

A folder or file whose parent lets us rename is one name in that parent. A mount point cannot be renamed (EBUSY), so
the names inside it are exchanged, with the stage inside the mount as well, and the folder's own metadata is copied.
Every step may be repeated after a crash at any point: inode numbers say which names were exchanged already.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from resticwrap import errors
from resticwrap.host import mounts
from resticwrap.host.rootmeta import read_root, same_root, write_root
from resticwrap.model.swap import OWN_PREFIXES, STAGE_PREFIX, Place, RootMeta, Swap, SwapEntry, SwapState
from resticwrap.planning import inplace as decide

_NOREPLACE = 1
_EXCHANGE = 2
_OWN = tuple(os.fsencode(prefix) for prefix in OWN_PREFIXES)
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

Rename = Callable[[int, bytes, int, bytes, int], None]
"""renameat2: folder, name, folder, name, flags. Raises OSError."""


def renameat2(from_folder: int, old: bytes, to_folder: int, new: bytes, flags: int) -> None:
    """renameat2(2), which Python lacks. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "this C library has no renameat2")
    if libc.renameat2(from_folder, old, to_folder, new, ctypes.c_uint(flags)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def place_of(live: Path, *, always_inside: bool = False) -> Place:
    """How a live path can be exchanged. Raises RestoreRefused where it cannot."""
    name = os.fsencode(live.name)
    if not live.is_absolute() or not name or live.name == "..":
        raise errors.RestoreRefused(f"{live} cannot be exchanged.", hint="Name the full path of a folder or a file.")
    parent = os.path.realpath(os.fsencode(live.parent))
    path = os.path.join(parent, name)
    table = mounts.read()
    inner = mounts.below(table, path)
    if inner:
        raise errors.RestoreRefused(
            f"{os.fsdecode(inner[0])} is a mount point inside {live}, which an exchange would move away.",
            hint="Unmount it first, or restore beside the live data.",
        )
    missing = _missing_parents(parent)
    if missing:
        return Place(live=path, whole=True, container=parent, missing=missing)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return Place(live=path, whole=True, container=parent)
    fixed = found.st_dev != os.stat(parent).st_dev or mounts.is_point(table, path)
    if not fixed and not always_inside and os.access(parent, os.W_OK | os.X_OK):
        return Place(live=path, whole=True, container=parent)
    if not stat.S_ISDIR(found.st_mode):
        why = "a mount point" if fixed else f"in {os.fsdecode(parent)}, where we may not write,"
        raise errors.RestoreRefused(
            f"{live} is a single file that is {why} and cannot be exchanged.", hint="Restore beside the live data."
        )
    return Place(live=path, whole=False, container=path)


def overlap(one: Path, other: Path) -> bool:
    """Whether one is the other or lies inside it: by their real paths, or inside one file system by another mount."""
    first, second = (os.path.realpath(os.fsencode(path)) for path in (one, other))
    if mounts.inside(first, second) or mounts.inside(second, first):
        return True
    table = mounts.read()
    a, b = mounts.locate(table, first), mounts.locate(table, second)
    return a is not None and b is not None and a[0] == b[0] and (mounts.inside(a[1], b[1]) or mounts.inside(b[1], a[1]))


def plan_swap(live: Path, staged: Path, *, whole: bool, new_root: RootMeta | None = None) -> Swap:
    """What exchanging the two means, from what is there now; either may be missing where the exchange is `whole`.

    `new_root` is what a live folder that stays gets as its own metadata, instead of the staged one's (for an undo).
    """
    live_path, staged_path = os.fsencode(live), os.fsencode(staged)
    if whole:
        entry = SwapEntry(
            name=os.path.basename(live_path),
            staged=os.path.basename(staged_path),
            live=_inode(live_path),
            new=_inode(staged_path),
        )
        return Swap(container=os.path.dirname(live_path), stage=os.path.dirname(staged_path), entries=(entry,))
    if not staged.is_dir() or staged.is_symlink():
        raise errors.RestoreRefused(
            f"{live} is a folder that cannot be renamed, and what was restored is no folder.",
            hint="Restore beside the live data.",
        )
    here, there = _inodes(live_path), _inodes(staged_path)
    entries = tuple(
        SwapEntry(name=name, staged=name, live=here.get(name), new=there.get(name)) for name in sorted({*here, *there})
    )
    return Swap(
        container=live_path,
        stage=staged_path,
        entries=entries,
        old_root=read_root(live_path),
        new_root=read_root(staged_path) if new_root is None else new_root,
    )


def state(swap: Swap) -> SwapState:
    """How far a swap is. Raises Failure where an entry is neither here nor there."""
    with _folders(swap) as (container, stage):
        sides = {"before" if side == "back" else side for side in _sides(swap, container, stage)}
    if len(sides) > 1:
        return "between"
    root = read_root(swap.container) if swap.new_root else None
    if sides == {"before"}:
        return "before" if same_root(root, swap.old_root) else "between"
    return "after" if same_root(root, swap.new_root) else "between"


def progress(swap: Swap) -> SwapState:
    """How many of its names were exchanged. A name that is on neither side any more says nothing, and the folder's own
    metadata counts only where there are no names: what is written to a folder changes it.

    Raises Failure where an entry is neither here nor there.
    """
    with _folders(swap) as (container, stage):
        sides = {
            side
            for entry, side in zip(swap.entries, _sides(swap, container, stage), strict=True)
            if _inode(entry.name, container) is not None or _inode(entry.staged, stage) is not None
        }
    if not swap.entries and swap.new_root:
        return "after" if same_root(read_root(swap.container), swap.new_root) else "before"
    return "before" if sides <= {"before"} else "after" if sides == {"after"} else "between"


def apply(swap: Swap, rename: Rename = renameat2) -> None:
    """Exchange what is not exchanged yet. May be repeated. Raises Failure; then some entries may be exchanged."""
    _move(swap, "before", swap.new_root, rename)


def revert(swap: Swap, rename: Rename = renameat2) -> None:
    """Exchange back what was exchanged. May be repeated. Raises Failure."""
    _move(swap, "after", swap.old_root, rename)


def _move(swap: Swap, which: str, root: RootMeta | None, rename: Rename) -> None:
    with _folders(swap) as (container, stage):
        # All are looked at before the first is moved: one that is strange leaves the others where they are.
        sides = _sides(swap, container, stage)
        if which == "before" and "back" in sides:
            raise _strange(swap, swap.entries[sides.index("back")])
        for entry in [entry for entry, side in zip(swap.entries, sides, strict=True) if side == which]:
            try:
                _toggle(container, stage, entry, rename)
            except OSError as error:
                raise _not_exchanged(os.path.join(swap.container, entry.name), error) from error
        if root is not None:
            try:
                write_root(swap.container, root)
            except OSError as error:
                raise _not_exchanged(swap.container, error) from error
        _sync(container)
        _sync(stage)


def _toggle(container: int, stage: int, entry: SwapEntry, rename: Rename) -> None:
    """Move the entry to its other side; what is on the other side now comes to this one."""
    live, staged = _inode(entry.name, container), _inode(entry.staged, stage)
    if live is not None and staged is not None:
        rename(container, entry.name, stage, entry.staged, _EXCHANGE)
    elif live is not None:
        rename(container, entry.name, stage, entry.staged, _NOREPLACE)
    elif staged is not None:
        rename(stage, entry.staged, container, entry.name, _NOREPLACE)


def _sides(swap: Swap, container: int, stage: int) -> list[str]:
    found: list[str] = []
    for entry in swap.entries:
        found.append(decide.side(entry, _inode(entry.name, container), _inode(entry.staged, stage)))
        if found[-1] == "strange":
            raise _strange(swap, entry)
    return found


def _strange(swap: Swap, entry: SwapEntry) -> errors.Failure:
    return errors.Failure(
        f"{os.fsdecode(os.path.join(swap.container, entry.name))} was changed by somebody else during an exchange.",
        hint=f"What was restored or live before is in {os.fsdecode(swap.stage)}; move what you want by hand.",
    )


def all_kept(swap: Swap) -> bool:
    """Whether everything that was live before the swap still stands in its stage."""
    try:
        with _folders(swap) as (_, stage):
            return all(entry.live is None or _inode(entry.staged, stage) == entry.live for entry in swap.entries)
    except errors.Failure:
        return False


def make_stage(stage: Path, missing: Sequence[bytes] = ()) -> None:
    """Make an empty staging folder that only we can enter, and its missing parents; see that exchanging works there.

    Raises RestoreRefused where it does not, Failure where the folder cannot be made or is there already.
    """
    try:
        for parent in missing:
            with contextlib.suppress(FileExistsError):
                os.mkdir(parent)
        with _keeping_times(stage.parent):
            stage.mkdir(mode=0o700)
        _probe(stage)
        _sync_path(stage.parent)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise errors.RestoreRefused(
                f"The file system of {stage.parent} cannot exchange two names at once ({error.strerror}).",
                hint="Restore beside the live data.",
            ) from error
        raise errors.Failure(
            f"{stage} cannot be made: {error.strerror}.", hint=f"Restoring in place needs to write in {stage.parent}."
        ) from error


def _probe(stage: Path) -> None:
    """Try both ways of renaming between two folders, on names of our own."""
    one, two = stage / "one", stage / "two"
    (one / "a").mkdir(parents=True)
    (two / "a").mkdir(parents=True)
    first, second = os.open(one, os.O_DIRECTORY), os.open(two, os.O_DIRECTORY)
    try:
        renameat2(first, b"a", second, b"a", _EXCHANGE)
        renameat2(first, b"a", second, b"b", _NOREPLACE)
    finally:
        os.close(first)
        os.close(second)
        shutil.rmtree(one)
        shutil.rmtree(two)


def discard(stage: Path, missing: Sequence[bytes] = ()) -> None:
    """Remove a staging folder and all in it, then the parents made for it where empty. May be repeated.

    Raises Failure where something is mounted below it or it cannot be removed.
    """
    if not stage.name.startswith(STAGE_PREFIX):
        raise errors.Failure(f"{stage} is no staging folder.")
    real = os.path.join(os.path.realpath(os.fsencode(stage.parent)), os.fsencode(stage.name))
    mounted = mounts.below(mounts.read(), real)
    if mounted:
        raise errors.Failure(f"{os.fsdecode(mounted[0])} is a mount point.", hint="Unmount it first.")
    try:
        if os.path.lexists(stage):
            with _keeping_times(stage.parent):
                _remove(stage)
            _sync_path(stage.parent)
    except OSError as error:
        raise errors.Failure(f"{stage} cannot be removed: {error.strerror}.", hint=f"ls -la '{stage}'") from error
    for parent in reversed(missing):
        with contextlib.suppress(OSError):
            os.rmdir(parent)


def _remove(stage: Path) -> None:
    try:
        shutil.rmtree(stage)
    except PermissionError:
        # Restored folders may be read-only, which keeps their owner (though not root) from emptying them.
        for folder, names, _ in os.walk(stage):
            for name in names:
                child = os.path.join(folder, name)
                if not os.path.islink(child):
                    os.chmod(child, 0o700)
        shutil.rmtree(stage)


def flush(path: Path) -> None:
    """Bring all that was written to the file system of `path` to its disk: an exchange must not outlive its content."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise errors.Failure(f"{path} could not be flushed to disk: {os.strerror(number)}.", hint=f"df -h '{path}'")
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _folders(swap: Swap) -> Iterator[tuple[int, int]]:
    """Both folders, opened. Raises Failure where one is gone or they no longer share a file system."""
    with contextlib.ExitStack() as stack:
        opened = []
        for path in (swap.container, swap.stage):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError as error:
                raise _not_exchanged(path, error) from error
            stack.callback(os.close, descriptor)
            if os.path.realpath(path) != path:
                raise errors.RestoreRefused(
                    f"{os.fsdecode(path)} leads to {os.fsdecode(os.path.realpath(path))} by a symlink made meanwhile.",
                    hint="Nothing was moved through it. Put the folder back where the link is.",
                )
            opened.append(descriptor)
        container, stage = opened
        if os.fstat(container).st_dev != os.fstat(stage).st_dev:
            raise errors.RestoreRefused(
                f"{os.fsdecode(swap.stage)} is on another file system than {os.fsdecode(swap.container)}.",
                hint="Is something not mounted that was? findmnt",
            )
        yield container, stage


@contextlib.contextmanager
def _keeping_times(folder: Path) -> Iterator[None]:
    """Do something in a folder that leaves its times as they were, where we may set them."""
    before = folder.stat()
    yield
    with contextlib.suppress(OSError):
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def _missing_parents(parent: bytes) -> tuple[bytes, ...]:
    missing: list[bytes] = []
    while not os.path.lexists(parent):
        missing.insert(0, parent)
        parent = os.path.dirname(parent)
    return tuple(missing)


def _inode(path: bytes, folder: int | None = None) -> int | None:
    try:
        return os.stat(path, dir_fd=folder, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def _inodes(folder: bytes) -> dict[bytes, int]:
    # DirEntry.inode() is the directory's idea of it, which is another one on overlay file systems.
    with os.scandir(folder) as found:
        return {
            entry.name: entry.stat(follow_symlinks=False).st_ino for entry in found if not entry.name.startswith(_OWN)
        }


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without fsync for folders
            raise errors.Failure(f"A folder could not be flushed to disk: {error.strerror}.") from error


def _sync_path(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _not_exchanged(path: bytes, error: OSError) -> errors.Failure:
    return errors.Failure(
        f"{os.fsdecode(path)} cannot be exchanged: {error.strerror}.",
        hint="Restore beside the live data, or look at who owns it and how it is mounted.",
    )


class Exchange:
    """The `Exchanger` port of `services/inplace.py`. `always_inside` and `rename` are for tests."""

    def __init__(self, *, always_inside: bool = False, rename: Rename = renameat2) -> None:
        self._always_inside = always_inside
        self._rename = rename

    def place(self, live: Path) -> Place:
        return place_of(live, always_inside=self._always_inside)

    def overlap(self, one: Path, other: Path) -> bool:
        return overlap(one, other)

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def make_stage(self, stage: Path, missing: Sequence[bytes]) -> None:
        make_stage(stage, missing)

    def plan(self, live: Path, staged: Path, *, whole: bool, new_root: RootMeta | None = None) -> Swap:
        try:
            return plan_swap(live, staged, whole=whole, new_root=new_root)
        except OSError as error:
            raise _not_exchanged(os.fsencode(live), error) from error

    def flush(self, path: Path) -> None:
        flush(path)

    def apply(self, swap: Swap) -> None:
        apply(swap, self._rename)

    def revert(self, swap: Swap) -> None:
        revert(swap, self._rename)

    def progress(self, swap: Swap) -> SwapState:
        return progress(swap)

    def all_kept(self, swap: Swap) -> bool:
        return all_kept(swap)

    def discard(self, stage: Path, missing: Sequence[bytes]) -> None:
        discard(stage, missing)
