"""Which processes use something below a path: open files, working folders, programs, mapped files, mounts elsewhere.

Paths in /proc are as the process's own mount namespace names them, so both sides are turned into "path inside a file
system" by their mounts. A process in a container is then recognised by the same means as one beside us.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from resticwrap.host import mounts
from resticwrap.host.mounts import Mount
from resticwrap.model.swap import Holder, HolderReport

FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the machine's own PID namespace (PROC_PID_INIT_INO of the kernel)."""
KERNEL_THREAD = 0x00200000
DELETED = b" (deleted)"
PER_PROCESS = 5
"""So many of one process's uses are named."""


class ProcHolders:
    """The `Holders` port of `services/inplace.py`."""

    def find(self, path: Path, *, renamed: bool) -> HolderReport:
        return find(path, renamed=renamed)


def find(path: Path, *, renamed: bool = True) -> HolderReport:
    """Who uses a path or what lies below it; ourselves left out. Nothing is there: nobody does, seen or unseen.

    With `renamed` the path itself will be renamed, so a mount of exactly it elsewhere (a container's volume) counts
    as well: it would go on showing the old tree.
    """
    if not os.path.lexists(path):
        return HolderReport()
    real = os.path.join(os.path.realpath(os.fsencode(path.parent)), os.fsencode(path.name))
    ours = mounts.read()
    place = mounts.locate(ours, real)
    search = _Search(real, place, ours, renamed)
    found: list[Holder] = []
    unseen = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            found += search.process(name)
        except PermissionError:
            unseen += not _is_kernel_thread(name)
        except OSError:
            continue  # It ended while we looked.
    return HolderReport(holders=tuple(found), unseen=unseen, namespaced=_namespaced())


class _Search:
    """One look over all processes for uses of `real`, which lies at `place` (file system, path inside it)."""

    def __init__(self, real: bytes, place: tuple[bytes, bytes] | None, ours: Sequence[Mount], renamed: bool) -> None:
        self._real, self._place, self._renamed = real, place, renamed
        own = _namespace("self")
        self._namespaces: dict[str | None, Sequence[Mount]] = {own: ours}
        self._looked_for_mounts: set[str | None] = set()

    def process(self, pid: str) -> list[Holder]:
        """Its uses, a few of each. Raises PermissionError where we may not look."""
        table = self._mounts_of(pid)
        found = list(self._mounted(pid, table))
        for what, path in _uses(pid):
            if len(found) >= PER_PROCESS:
                break
            if self._is_below(table, path):
                found.append(Holder(pid=int(pid), command=_command(pid), what=what, path=os.fsdecode(path)))
        return found

    def _mounts_of(self, pid: str) -> Sequence[Mount]:
        namespace = _namespace(pid)
        if namespace not in self._namespaces:
            self._namespaces[namespace] = mounts.read(pid)
        return self._namespaces[namespace]

    def _is_below(self, table: Sequence[Mount], path: bytes) -> bool:
        if not path.startswith(b"/"):
            return False  # A pipe, a socket, an anonymous inode.
        place = mounts.locate(table, path.removesuffix(DELETED))
        if place is None or self._place is None:
            return mounts.inside(path, self._real)
        return place[0] == self._place[0] and mounts.inside(place[1], self._place[1])

    def _mounted(self, pid: str, table: Sequence[Mount]) -> Iterator[Holder]:
        """Mounts of the place or of parts of it; told once per mount namespace, by the first process that has it."""
        namespace = _namespace(pid)
        if self._place is None or namespace in self._looked_for_mounts:
            return
        self._looked_for_mounts.add(namespace)
        for mount in table:
            same = mount.device == self._place[0] and mounts.inside(mount.root, self._place[1])
            if not same or (mount.root == self._place[1] and not self._renamed):
                continue
            yield Holder(pid=int(pid), command=_command(pid), what="mount", path=os.fsdecode(mount.point))


def _uses(pid: str) -> Iterator[tuple[str, bytes]]:
    """What a process uses. Raises PermissionError where we may not look, and OSError when it ends meanwhile."""
    folder = f"/proc/{pid}/fd".encode()
    for number in os.listdir(folder):
        yield from _link("fd", folder + b"/" + number)
    for what in ("cwd", "root", "exe"):
        yield from _link(what, f"/proc/{pid}/{what}".encode())
    seen: set[bytes] = set()
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            fields = line.rstrip(b"\n").split(None, 5)
            if len(fields) == 6 and fields[5].startswith(b"/") and fields[5] not in seen:
                seen.add(fields[5])
                yield "map", mounts.unescape(fields[5])


def _link(what: str, path: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        yield what, os.readlink(path)
    except FileNotFoundError:
        return  # Closed meanwhile, or a kernel thread's `exe`.


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except FileNotFoundError:
        return None


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _is_kernel_thread(pid: str) -> bool:
    """Kernel threads have no files of anybody's."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True  # It ended.
    fields = stat.rpartition(b")")[2].split()
    return len(fields) > 6 and bool(int(fields[6]) & KERNEL_THREAD)


def _namespaced() -> bool:
    return os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE
