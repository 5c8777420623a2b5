"""Whose a restic lock is, and whether its holder still lives.

A lock of ours was taken by a child that holds a lease (a flock that outlives a killed `rw` and is seen across PID
namespaces). When that lease is free the child is gone and the lock is dead. restic's own `unlock` judges by PID and
host name, and in another PID namespace with the same host name it removes a live lock (measured); it is never used.
"""

import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.reports import LockInfo
from resticwrap.ports import LeaseInfo, ObjectInfo
from resticwrap.restic import crypto, messages
from resticwrap.restic.halfmade import UNFINISHED
from resticwrap.restic.runner import Setting

SLACK = timedelta(seconds=2)
"""A lock is written after its lease; file systems and clocks round."""
FIRST_SECONDS = timedelta(seconds=10)


def judge(host: str, pid: int, time: Time, leases: Sequence[LeaseInfo]) -> str:
    """`alive`, `dead` or `foreign`.

    A lock is dead only when a lease of ours fits it and no fitting lease is held. A lease without a pid fits any lock
    of its first seconds: its `rw` was killed just after it had started restic.
    """
    fitting = [
        lease
        for lease in leases
        if lease.host == host
        and lease.created <= time + SLACK
        and (lease.pid == pid or (lease.pid is None and time <= lease.created + FIRST_SECONDS))
    ]
    if any(lease.held and lease.pid == pid for lease in fitting):
        return "alive"
    if not fitting or any(lease.held for lease in fitting) or _other_restic(host, pid):
        return "foreign"
    return "dead"


def _other_restic(host: str, pid: int) -> bool:
    """Whether a restic that has no lease runs here by that pid: pids are used again, soon so in containers."""
    if host != socket.gethostname():
        return False
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("restic")
    except (OSError, UnicodeDecodeError):
        return False


def judged(setting: Setting, key: crypto.MasterKey) -> list[LockInfo]:
    """Every lock of the repository, but those that vanish while we look and those that restic had not finished writing.

    The leases are read after the locks: a live lock of ours has its lease from before the lock to after it.
    """
    locks: list[tuple[ObjectInfo, str, messages.LockJson]] = []
    for item in setting.store.list(f"{setting.prefix}/locks/"):
        name = item.key.rsplit("/", 1)[-1]
        if not item.size or UNFINISHED in name:
            continue
        try:
            content = b"".join(key.open_file(setting.store.get(item.key)))
            locks.append((item, name, messages.decode(content, messages.LockJson)))
        except errors.ObjectMissing:
            continue
        except (errors.Damaged, errors.ResticFailed):
            locks.append((item, name, messages.LockJson(time=item.modified, hostname="?", username="?")))
    leases = setting.locks.leases(setting.url) if locks else ()
    return [
        LockInfo(
            id=name,
            time=lock.time,
            modified=item.modified,
            exclusive=lock.exclusive,
            host=lock.hostname,
            user=lock.username,
            pid=lock.pid,
            state=judge(lock.hostname, lock.pid, lock.time, leases),  # type: ignore[arg-type]
        )
        for item, name, lock in locks
    ]
