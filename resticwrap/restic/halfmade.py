"""What a killed `restic init` leaves: it writes a key, then the config, and refuses to start where it finds a key."""

import socket

from resticwrap import errors
from resticwrap.restic import messages
from resticwrap.restic.runner import Setting

UNFINISHED = "-tmp-"
"""In the names of files that restic was still writing into a folder."""


def clear_half_made(setting: Setting) -> None:
    """Remove such keys, so that the repository can be made. Call it where no config is, under the lock of init.

    Only keys that this host made, and only where they can open nothing: no other object is there, and no restic of
    ours is at work. Any other key stays, and restic refuses: a repository may only have lost its config.
    """
    found = list(setting.store.list(f"{setting.prefix}/"))
    keys = [item.key for item in found if item.key.startswith(f"{setting.prefix}/keys/")]
    if len(keys) != len(found) or any(lease.held for lease in setting.locks.leases(setting.url)):
        return
    if all(UNFINISHED in key or _made_here(setting, key) for key in keys):
        for key in keys:
            setting.store.delete(key)


def _made_here(setting: Setting, key: str) -> bool:
    try:
        return messages.decode(setting.store.get(key), messages.KeyFile).hostname == socket.gethostname()
    except (errors.ResticFailed, errors.ObjectMissing):
        return False
