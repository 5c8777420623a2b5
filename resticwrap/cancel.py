"""A wish to stop, set once and seen by all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from resticwrap import errors


class Cancel:
    """Set once by a signal handler or a supervisor; every running child is then interrupted and waited for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._own = threading.local()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is set; whether it is."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raises Interrupted when set."""
        if self.is_set and not getattr(self._own, "deaf", False):
            raise errors.Interrupted("Interrupted.", hint="Run the same command again: what was stored stays stored.")

    @contextmanager
    def unheeded(self) -> Iterator[None]:
        """A while in which `check` raises nothing in this thread: what is half done is taken back though somebody
        wishes to stop."""
        self._own.deaf = True
        try:
            yield
        finally:
            self._own.deaf = False
