"""Starts one command, as a script of its own: `python -I launch.py < JSON`. Nothing but the standard library.

The JSON says `argv`, `cwd`, `env`, `log` (empty: our own streams), `status` (the file that gets the exit code; empty:
none), `pid` (the file that gets ours), `confine` (a folder; empty: not confined), `detach` and `lifeline` (a
descriptor: when its other end closes, everything ends).

Confined, a command may write below that folder and nowhere else: Landlock forbids it what it would open, create,
remove or rename elsewhere, and a mount namespace of its own lays the rest of the machine out read-only, so that modes,
owners and times elsewhere are out of reach as well. `/run` is covered up, where the sockets of those lie who would do
things for it: Docker, systemd.

Exits 97 where it cannot confine what it was told to; the command was not started then.
"""

import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

CANNOT = 97
CREATE, ADD, RESTRICT, MOUNT_SETATTR = 444, 445, 446, 442
PATH_BENEATH = 1
WRITES_V3 = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14))
"""Write, remove, make of every kind, link and rename across folders, truncate: bits of the kernel's landlock.h."""
DEVICES_MADE = (1 << 6) | (1 << 11)
ON_FILES = (1 << 1) | (1 << 14)
TRUNCATES = 3
"""The first version of Landlock that also forbids truncating: an earlier one would let live data be emptied."""
SCOPES = 6
NEWNS, NEWUSER, BIND, REC, PRIVATE = 0x20000, 0x10000000, 4096, 16384, 1 << 18
RECURSIVE, AT_FDCWD, READ_ONLY, NO_DEVICES = 0x8000, -100, 1, 4
NO_NEW_PRIVS, SUBREAPER = 38, 36
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom")
libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: Any) -> int:
    return int(libc.syscall(number, *arguments))


def landlock_version() -> int:
    """0 where the kernel has none."""
    return max(call(CREATE, None, 0, 1), 0)


class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def own_namespace() -> bool:
    """A mount namespace of our own; where only root may have one, inside of a user namespace in which we are it."""
    if libc.unshare(NEWNS) == 0:
        return True
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(NEWUSER | NEWNS) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return True


def read_only_elsewhere(folder: bytes) -> str:
    """Lay out the machine read-only but for `folder`, and cover /run; what kept us from it, in words."""
    if folder.startswith(b"/run/"):
        return "its folder lies in /run, which is covered up"
    if not own_namespace():
        return "mount namespaces are not allowed here"
    # A device that was restored, or made there, leads to the disks of the machine.
    ours, others = Attributes(NO_DEVICES, READ_ONLY, 0, 0), Attributes(READ_ONLY, 0, 0, 0)
    size = ctypes.sizeof(ours)
    done = (
        libc.mount(None, b"/", None, REC | PRIVATE, None) == 0
        and (not os.path.isdir("/run") or libc.mount(b"none", b"/run", b"tmpfs", 0, None) == 0)
        and libc.mount(folder, folder, None, BIND, None) == 0
        and call(MOUNT_SETATTR, AT_FDCWD, b"/", RECURSIVE, ctypes.byref(others), size) == 0
        and call(MOUNT_SETATTR, AT_FDCWD, folder, RECURSIVE, ctypes.byref(ours), size) == 0
    )
    return "" if done else f"the machine cannot be laid out read-only: {os.strerror(ctypes.get_errno())}"


def restrict(folder: bytes) -> str:
    """Take from this process, for good, what would let it write outside `folder`; what kept us from it, in words."""
    version = landlock_version()
    if version < TRUNCATES:
        return f"Landlock {version or 'is missing'} in this kernel"
    scoped = 3 if version >= SCOPES else 0
    size = 24 if version >= SCOPES else 8
    rules = Ruleset(WRITES_V3, 0, scoped)
    ruleset = call(CREATE, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    for path, allowed in ((folder, WRITES_V3 & ~DEVICES_MADE), *((os.fsencode(path), ON_FILES) for path in DEVICES)):
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        beneath = Beneath(allowed, fd)
        if call(ADD, ruleset, PATH_BENEATH, ctypes.byref(beneath), 0) != 0 and path == folder:
            return f"Landlock: {os.strerror(ctypes.get_errno())}"
        os.close(fd)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or call(RESTRICT, ruleset, 0) != 0:
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    os.close(ruleset)
    return ""


def execute(told: dict[str, Any]) -> None:
    """Become the command. Never returns."""
    try:
        os.chdir(told["cwd"])
        os.execvpe(told["argv"][0], told["argv"], told["env"])
    except OSError as error:
        os.write(2, f"{told['argv'][0]}: {error.strerror}\n".encode())
        os._exit(127)


def children() -> list[int]:
    """Every process below this one."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [os.getpid()]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill_all() -> None:
    """SIGTERM, and SIGKILL after three seconds, to everything below."""
    for turn in range(400):
        left = children()
        reap()
        if not left:
            return
        number = signal.SIGTERM if turn == 0 else signal.SIGKILL if turn >= 60 else 0
        for pid in left:
            try:
                os.kill(pid, number)
            except OSError:
                continue
        select.select([], [], [], 0.05)


def reap() -> dict[int, int]:
    """The exit codes of children that have ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def write_status(told: dict[str, Any], code: int) -> None:
    if told["status"]:
        with open(f"{told['status']}.new", "w") as file:
            file.write(str(code))
        os.rename(f"{told['status']}.new", told["status"])


def supervise(told: dict[str, Any]) -> int:
    """Run the command, and stay for as long as anything of it lives; end it all on SIGTERM or a cut lifeline."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.append(1))
    libc.prctl(SUBREAPER, 1, 0, 0, 0)
    pid = os.fork()
    if pid == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if told["confine"] and (why := restrict(os.fsencode(os.path.realpath(told["confine"])))):
            os.write(2, f"{why}\n".encode())
            os._exit(CANNOT)
        execute(told)
    code: int | None = None
    lifeline = told["lifeline"]
    while not stopping:
        if lifeline >= 0 and select.select([lifeline], [], [], 0.1)[0]:
            break
        if lifeline < 0:
            select.select([], [], [], 0.1)
        ended = reap()
        if code is None and pid in ended:
            code = ended[pid]
            write_status(told, code)
        if code is not None and not children():
            return code
    kill_all()
    return code or 0


def main() -> int:
    told = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if told["detach"]:
        if os.fork():
            return 0
        os.setsid()
        log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        with open(told["pid"], "w") as file:
            file.write(str(os.getpid()))
    if told["confine"]:
        place = os.fsencode(os.path.realpath(told["confine"]))
        why = read_only_elsewhere(place)
        if not why and not told["detach"]:
            why = restrict(place)
        if why:
            os.write(2, f"{why}\n".encode())
            write_status(told, CANNOT)
            return CANNOT
    if told["detach"]:
        return supervise(told)
    execute(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
