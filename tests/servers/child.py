"""Free ports, and child processes that are stopped by their own id."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the kernel's range for outgoing connections (32768 and up), so that no client's socket can sit on a port
# that a stopped server wants back; low enough that port + 10000 is below it too.
_FIRST_PORT, _LAST_PORT = 10300, 22000


class ServerFailed(RuntimeError):
    """A server of the tests did not start, died, or does not answer; the text carries the end of its log."""


def is_free(port: int) -> bool:
    """Whether a listener could take this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int, *, offsets: tuple[int, ...] = (0,)) -> list[int]:
    """`count` different loopback ports of which every `port + offset` is free.

    Nothing holds them until the server listens: start again with others when it says that one is taken.
    """
    chosen: list[int] = []
    source = random.SystemRandom()
    for _ in range(2000):
        port = source.randrange(_FIRST_PORT, _LAST_PORT)
        if port not in chosen and all(is_free(port + offset) for offset in offsets):
            chosen.append(port)
            if len(chosen) == count:
                return chosen
    raise ServerFailed(f"found no {count} free loopback ports")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, or a note that there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def wait_until(
    ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path, *, what: str, seconds: float = 20.0
) -> None:
    """Poll `ready` until it is true. Raises ServerFailed when the child ends first or the time is up."""
    deadline = time.monotonic() + seconds
    while not ready():
        code = child.poll()
        if code is not None:
            raise ServerFailed(f"{what} ended with exit code {code}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{what} did not answer within {seconds:g} s:\n{tail(log)}")
        time.sleep(0.05)


def end(child: subprocess.Popen[bytes], *, patience: float = 8.0) -> None:
    """Terminate a child, wait, and kill it if it does not go. Safe to call on one that has ended."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
