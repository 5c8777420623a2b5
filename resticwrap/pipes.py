"""What somebody writes into a descriptor, read piece by piece by somebody else."""

import fcntl
import os
import threading
from collections.abc import Callable, Generator
from contextlib import suppress

PIECE = 1 << 20
"""Bytes: the most that is read at once, and that Linux lets anybody's pipe hold."""


def widen(fd: int) -> None:
    """Let a pipe hold so much: who writes and who reads then wake each other less often. What is no pipe stays as it
    is, and so does one where the system grants no more."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIECE)


def read(write: Callable[[int], object]) -> Generator[bytes, None, None]:
    """The bytes that `write`, in a thread of its own, writes into the descriptor that it is given, which is closed
    after it. Raises what it raises, at the latest after its last piece. Where nobody wants the rest, its writes fail.
    """
    reading, writing = os.pipe()
    widen(writing)
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            write(writing)
        except BaseException as error:  # noqa: BLE001 - raised again below, where it is waited for
            trouble.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=work, name="pipe", daemon=True)
    thread.start()
    ended = False
    try:
        while piece := os.read(reading, PIECE):
            yield piece
        ended = True
    finally:
        os.close(reading)
        thread.join()
    if ended and trouble:
        raise trouble[0]
