"""Space and devices of the file system below a path that may not exist yet."""

import os
from pathlib import Path

from resticwrap.host import mounts


def nearest(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user may still write there. Raises OSError."""
    stat = os.statvfs(nearest(path))
    return stat.f_bavail * stat.f_frsize


def total_bytes(path: Path) -> int:
    """The size of the file system in bytes. Raises OSError."""
    stat = os.statvfs(nearest(path))
    return stat.f_blocks * stat.f_frsize


def device(path: Path) -> int:
    """The device number of the file system. Raises OSError."""
    return nearest(path).stat().st_dev


def is_mount(path: Path) -> bool:
    """Whether a path is a mount point, bind mounts and single files included. Raises OSError."""
    real = os.path.realpath(os.fsencode(path))
    return mounts.is_point(mounts.read(), real)


class HostDisks:
    """The port `Disks` of `services/alert_ports.py`."""

    def used(self, path: Path) -> tuple[float, float]:
        """Of what an ordinary user may use: what only the superuser may fill is no room for us."""
        stat = os.statvfs(nearest(path))
        taken = stat.f_blocks - stat.f_bfree
        room = taken + stat.f_bavail
        inodes = 1 - stat.f_favail / stat.f_files if stat.f_files else 0.0
        return (taken / room if room else 1.0), max(inodes, 0.0)


class HostSpace:
    """The `Space` port of `services/inplace.py`."""

    def free(self, path: Path) -> int:
        return free_bytes(path)

    def device(self, path: Path) -> int:
        return device(path)
