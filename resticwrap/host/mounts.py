"""Mount points, as the kernel lists them in `mountinfo` (proc(5)). All paths are bytes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: `root` (a path inside file system `device`, "major:minor") is seen at `point`."""

    device: bytes
    root: bytes
    point: bytes


def read(process: str = "self") -> tuple[Mount, ...]:
    """The mounts that a process sees, in the order they were made. Raises OSError where we may not look."""
    with open(f"/proc/{process}/mountinfo", "rb") as file:
        return parse(file.read())


def parse(text: bytes) -> tuple[Mount, ...]:
    """Read the lines of a `mountinfo`."""
    found = []
    for line in text.splitlines():
        fields = line.split(b" ")
        if len(fields) >= 5:
            found.append(Mount(fields[2], unescape(fields[3]), unescape(fields[4])))
    return tuple(found)


def unescape(field: bytes) -> bytes:
    """Undo the octal escapes of /proc for space, tab, newline and backslash."""
    head, *parts = field.split(b"\\")
    out = [head]
    for part in parts:
        code = part[:3]
        if len(code) == 3 and code.isdigit() and all(48 <= digit <= 55 for digit in code) and int(code, 8) < 256:
            out.append(bytes([int(code, 8)]) + part[3:])
        else:
            out.append(b"\\" + part)
    return b"".join(out)


def inside(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder or lies below it, by name alone."""
    return path == folder or folder == b"/" or path.startswith(folder + b"/")


def locate(mounts: Sequence[Mount], path: bytes) -> tuple[bytes, bytes] | None:
    """The file system that holds an absolute path, and the path inside it: the same from every mount namespace."""
    best: Mount | None = None
    for mount in mounts:
        # A later mount at the same point covers the earlier one.
        if inside(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    if best is None:
        return None
    rest = path[len(best.point) :].lstrip(b"/")
    inner = os.path.join(best.root, rest) if rest else best.root
    return best.device, inner


def below(mounts: Sequence[Mount], path: bytes) -> tuple[bytes, ...]:
    """The mount points strictly below a path."""
    return tuple(mount.point for mount in mounts if mount.point != path and inside(mount.point, path))


def is_point(mounts: Sequence[Mount], path: bytes) -> bool:
    """Whether something is mounted at exactly this path (a bind mount has its parent's device number)."""
    return any(mount.point == path for mount in mounts)
