"""The only wall clock. Everything else takes time as an argument, so tests never sleep."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

CLOCK_SLACK = timedelta(minutes=10)
"""What lies further in the future was recorded while a clock was wrong, and says nothing about now."""


class Clock(Protocol):
    """Now, and waiting."""

    def now(self) -> datetime:
        """The time, in UTC with its zone."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, for durations."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class FixedClock:
    """A clock that moves only when told or slept on; for tests and simulations."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self._passed += seconds
