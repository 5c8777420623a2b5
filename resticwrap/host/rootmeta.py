"""A folder's own metadata, copied where the folder itself cannot be exchanged."""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence

from resticwrap.model.swap import RootMeta


def read_root(path: bytes) -> RootMeta:
    """A folder's own metadata. Raises OSError."""
    found = os.stat(path)
    names: Sequence[str] = ()
    with contextlib.suppress(OSError):
        names = os.listxattr(path)
    return RootMeta(
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        atime_ns=found.st_atime_ns,
        mtime_ns=found.st_mtime_ns,
        xattrs=tuple(sorted((os.fsencode(name), os.getxattr(path, name)) for name in names)),
    )


def write_root(path: bytes, wanted: RootMeta) -> None:
    """Make a folder's metadata the wanted one; touches only what differs. Raises OSError."""
    now = read_root(path)
    if (now.uid, now.gid) != (wanted.uid, wanted.gid):
        os.chown(path, wanted.uid, wanted.gid)
    old, new = dict(now.xattrs), dict(wanted.xattrs)
    for name in {*old, *new}:
        if old.get(name) != new.get(name):
            _set_xattr(path, name, new.get(name))
    if stat.S_IMODE(os.stat(path).st_mode) != wanted.mode:  # chown and access lists may have changed it
        os.chmod(path, wanted.mode)
    os.utime(path, ns=(wanted.atime_ns, wanted.mtime_ns))


def _set_xattr(path: bytes, name: bytes, value: bytes | None) -> None:
    try:
        if value is None:
            os.removexattr(path, name)
        else:
            os.setxattr(path, name, value)
    except OSError as error:
        # Labels of the security modules are theirs to give; an ordinary user cannot set them.
        theirs = name.startswith((b"security.", b"trusted.", b"system.")) and error.errno == errno.EPERM
        if not theirs and error.errno != errno.ENOTSUP:
            raise


def same_root(found: RootMeta | None, wanted: RootMeta | None) -> bool:
    """Whether mode and owner are as wanted; times and labels change by themselves."""
    if found is None or wanted is None:
        return True
    return (found.mode, found.uid, found.gid) == (wanted.mode, wanted.uid, wanted.gid)
