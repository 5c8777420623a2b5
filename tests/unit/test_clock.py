"""Clocks: the machine's, and one that moves only when told."""

from datetime import UTC, datetime, timedelta

from resticwrap.clock import Clock, FixedClock, SystemClock

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_machines_own() -> None:
    """UTC with its zone; durations never run backwards."""
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    first = clock.monotonic()
    clock.sleep(0)
    assert clock.monotonic() >= first


def test_a_fixed_clock_moves_when_slept_on() -> None:
    """Time passes by exactly what was slept, in both readings."""
    clock: Clock = FixedClock(START)
    assert (clock.now(), clock.now(), clock.monotonic()) == (START, START, 0)
    clock.sleep(90.5)
    assert clock.now() == START + timedelta(seconds=90.5) and clock.monotonic() == 90.5
