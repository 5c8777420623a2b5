"""What the program that makes dumps is told, and what it says: over descriptors, since an order holds secrets."""

import os
import secrets
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resticwrap import errors, pipes
from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DumpOrder, DumpSaid


@contextmanager
def told(order: DumpOrder) -> Iterator[tuple[tuple[str, ...], tuple[int, int], Callable[[], DumpSaid]]]:
    """The command that makes a dump of this order, the descriptors that it inherits (its order, which holds secrets,
    and the place for its last words), and how to read those."""
    asking = os.memfd_create("resticwrap-order")
    answering = os.memfd_create("resticwrap-said")
    try:
        os.write(asking, to_json(order))
        command = (sys.executable, "-P", "-m", "resticwrap.sources.produce", str(asking), str(answering))

        def said() -> DumpSaid:
            text = os.pread(answering, os.fstat(answering).st_size, 0)
            try:
                return from_json(DumpSaid, text) if text else DumpSaid()
            except ValueError:
                return DumpSaid()

        yield command, (asking, answering), said
    finally:
        os.close(asking)
        os.close(answering)


def named(said: DumpSaid, domain: str) -> errors.Failure:
    """What the program that makes dumps said went wrong, as an error."""
    kind = getattr(errors, said.kind, errors.DumpFailed) if said.kind else errors.DumpFailed
    message = said.message or f"The dump of {domain} ended before it was whole."
    found: errors.Failure = kind(message, hint=said.hint)
    return found


def nonce() -> str:
    """What no row can hold: made after the dump's view of the data was taken, or known to nobody who writes rows."""
    return secrets.token_hex(8)


class Sink:
    """Standard output, written whole."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        pipes.widen(fd)

    def check(self) -> None:
        """Raises BrokenPipeError where restic has gone, which else shows when there is something to write."""
        poll = select.poll()
        poll.register(self._fd, 0)
        if any(events & select.POLLERR for _, events in poll.poll(0)):
            raise BrokenPipeError

    def write(self, data: bytes | memoryview) -> None:
        """Raises BrokenPipeError where restic has gone."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
