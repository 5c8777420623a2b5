"""Whose a restic lock is, and whether its holder still lives.

A lock of ours was taken by a child that holds a lease (a flock that outlives a killed `rw` and is seen across PID
namespaces). When that lease is free the child is gone and the lock is dead. restic's own `unlock` judges by PID and
host name, and in another PID namespace with the same host name it removes a live lock (measured); it is never used.
"""

from collections.abc import Sequence
from datetime import timedelta

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.reports import LockInfo
from resticwrap.ports import LeaseInfo
from resticwrap.restic import crypto, messages
from resticwrap.restic.runner import Setting

SLACK = timedelta(seconds=2)
"""A lock is written after its lease; file systems and clocks round."""


def judge(host: str, pid: int, time: Time, leases: Sequence[LeaseInfo]) -> str:
    """`alive`, `dead` or `foreign`. Pids are used again, so of the fitting leases the newest before the lock counts,
    and a lock is dead only when no fitting lease is held."""
    fitting = [lease for lease in leases if lease.host == host and lease.pid == pid and lease.created <= time + SLACK]
    if not fitting:
        return "foreign"
    return "alive" if any(lease.held for lease in fitting) else "dead"


def judged(setting: Setting, key: crypto.MasterKey) -> list[LockInfo]:
    """Every lock of the repository. One that vanishes while we look is left out."""
    found = []
    leases = setting.locks.leases(setting.url)
    for item in setting.store.list(f"{setting.prefix}/locks/"):
        try:
            content = b"".join(key.open_file(setting.store.get(item.key)))
        except errors.ObjectMissing:
            continue
        lock = messages.decode(content, messages.LockJson)
        found.append(
            LockInfo(
                id=item.key.rsplit("/", 1)[-1],
                time=lock.time,
                exclusive=lock.exclusive,
                host=lock.hostname,
                user=lock.username,
                pid=lock.pid,
                state=judge(lock.hostname, lock.pid, lock.time, leases),  # type: ignore[arg-type]
            )
        )
    return found
