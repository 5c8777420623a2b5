"""The port `Timer`: APScheduler on the machine's clock, and the simulated one that other tests stand on."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from resticwrap.clock import Clock, FixedClock, SystemClock
from resticwrap.host.timer import ApTimer
from resticwrap.model.base import Time
from resticwrap.services.schedule_ports import Timer
from tests.simulated import SimTimer

STEP = timedelta(milliseconds=60)


@dataclass
class Setting:
    timer: Timer
    clock: Clock

    def after(self, steps: float) -> Callable[[Time], Time | None]:
        """Once, so many steps from now."""
        at = self.clock.now() + STEP * steps
        return lambda now: at if now < at else None

    def stop_after(self, steps: float) -> None:
        self.timer.add("stop", self.after(steps), self.timer.stop)


@pytest.fixture(params=["apscheduler", "simulated"])
def here(request: pytest.FixtureRequest) -> Setting:
    if request.param == "apscheduler":
        clock = SystemClock()
        return Setting(ApTimer(clock), clock)
    fixed = FixedClock(datetime(2026, 11, 28, tzinfo=UTC))
    return Setting(SimTimer(fixed), fixed)


def test_calls_at_their_times(here: Setting) -> None:
    """In the order of their times, not before them, and what answers None is never called."""
    told: list[tuple[str, Time]] = []
    begun = here.clock.now()
    for name, steps in (("late", 4), ("early", 1)):
        here.timer.add(name, here.after(steps), lambda name=name: told.append((name, here.clock.now())))  # type: ignore[misc]
    here.timer.add("never", lambda now: None, lambda: told.append(("never", here.clock.now())))
    here.stop_after(7)
    here.timer.run()
    assert [name for name, _ in told] == ["early", "late"]
    assert [at - begun >= STEP * steps for (_, at), steps in zip(told, (1, 4), strict=True)] == [True, True]


def test_asked_again_and_replaced_and_removed(here: Setting) -> None:
    """`again` has the time taken anew, also of one that had none; one of the same name is replaced; one that is removed
    is not called; names that are not there do not matter."""
    told: list[str] = []
    moved: list[Callable[[Time], Time | None]] = []
    here.timer.add("moved", lambda now: moved[0](now) if moved else None, lambda: told.append("moved"))
    here.timer.add("twice", here.after(2), lambda: told.append("old"))
    here.timer.add("twice", here.after(2), lambda: told.append("new"))
    here.timer.add("gone", here.after(2), lambda: told.append("gone"))
    here.timer.remove("gone")
    here.timer.remove("nobody")
    here.timer.again("nobody")
    moved.append(here.after(4))
    here.timer.add("mover", here.after(1), lambda: here.timer.again("moved"))
    here.stop_after(8)
    here.timer.run()
    assert told == ["new", "moved"]


def test_a_rhythm_goes_on(here: Setting) -> None:
    """It is called again and again, though another call raises, and though `when` answers with what is past."""
    counts = {"rhythm": 0, "past": 0}

    def count(name: str) -> None:
        counts[name] += 1

    def broken() -> None:
        raise ValueError

    begun = here.clock.now()
    here.timer.add("broken", here.after(1), broken)
    here.timer.add("rhythm", lambda now: now + STEP, lambda: count("rhythm"))
    here.timer.add("past", lambda now: begun if counts["past"] < 3 else None, lambda: count("past"))
    here.stop_after(10)
    here.timer.run()
    assert 4 <= counts["rhythm"] <= 11 and counts["past"] >= 3


def test_stop_waits_for_what_goes_on(here: Setting) -> None:
    """`run` returns when no call is going on any more; stopping twice, or before, is no error."""
    ended: list[str] = []

    def long() -> None:
        here.timer.stop()
        here.timer.stop()
        here.clock.sleep(0.3)
        ended.append("long")

    here.timer.add("long", here.after(1), long)
    here.timer.run()
    assert ended == ["long"]


def test_never_two_at_once() -> None:
    """A call that takes longer than its rhythm is not made a second time beside itself. (The simulated one makes one
    call at a time in any case.)"""
    clock, mutex = SystemClock(), threading.Lock()
    timer = ApTimer(clock)
    collided: list[bool] = []

    def slow() -> None:
        collided.append(not mutex.acquire(blocking=False))
        clock.sleep(0.2)
        mutex.release()

    timer.add("slow", lambda now: now + timedelta(milliseconds=20), slow)
    at = clock.now() + timedelta(seconds=0.7)
    timer.add("stop", lambda now: at if now < at else None, timer.stop)
    timer.run()
    assert len(collided) >= 2 and not any(collided)


class _PutBack(SystemClock):
    """The machine's clock, until somebody puts it back."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> Time:
        return super().now() - self.by


def test_a_clock_put_back_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rhythm goes on at once, and not when the clock has caught up."""
    clock = _PutBack()

    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Moved":
            at = clock.now().astimezone(tz)
            return cls(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, tz)

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Moved)
    timer = ApTimer(clock)
    limit = threading.Timer(5, timer.stop)
    calls: list[timedelta] = []

    def call() -> None:
        calls.append(clock.by)
        if len(calls) == 3:
            clock.by = timedelta(hours=1)
        elif len(calls) == 6:
            timer.stop()

    timer.add("rhythm", lambda now: now + STEP, call)
    limit.start()
    timer.run()
    limit.cancel()
    assert [by.total_seconds() for by in calls] == [0, 0, 0, 3600, 3600, 3600]
