"""What somebody writes into a descriptor, read piece by piece by somebody else."""

import os
import threading
from collections.abc import Callable, Generator

PIECE = 1 << 20
"""The most bytes that are read at once; a pipe itself holds less unless it is told to."""


def read(write: Callable[[int], object]) -> Generator[bytes, None, None]:
    """The bytes that `write`, in a thread of its own, writes into the descriptor that it is given, which is closed
    after it. Raises what it raises, at the latest after its last piece. Where nobody wants the rest, its writes fail.
    """
    reading, writing = os.pipe()
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
