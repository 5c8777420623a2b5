"""A stopwatch for drills and restores: seconds by phase."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from resticwrap.clock import Clock
from resticwrap.model.drill import Phase


class Stopwatch:
    """Counts from when it is made. A phase that comes again adds up; phases that run side by side overlap, so their
    sum may be more than what went by."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self.phases: dict[str, float] = {}
        self._adding = threading.Lock()

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """The time in which a phase runs; it counts also where it raises."""
        begun = self._clock.monotonic()
        try:
            yield
        finally:
            self.add(name, self._clock.monotonic() - begun)

    def add(self, name: Phase, seconds: float) -> None:
        """Add to a phase what was measured elsewhere."""
        with self._adding:
            self.phases[name] = self.phases.get(name, 0.0) + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._start
