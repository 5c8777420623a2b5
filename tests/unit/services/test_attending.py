"""Those who look on have threads of their own: one that hangs, or raises, holds nobody up."""

import threading
import time
from datetime import UTC, datetime

import pytest

from resticwrap.model.base import Time
from resticwrap.model.unattended import ScheduledRun
from resticwrap.services.schedule.attending import Attended

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def run(number: int) -> ScheduledRun:
    return ScheduledRun(
        id=f"run_{number}", host="vm", name="job", target="main", kind="backup", trigger="due", due_at=NOW,
        started_at=NOW,
    )  # fmt: skip


class Guest:
    """Notes what it is told, and waits at every tick until it may go on."""

    def __init__(self, name: str, *, hangs: bool = False) -> None:
        self.name = name
        self.told: list[str] = []
        self.go, self.ticking = threading.Event(), threading.Event()
        if not hangs:
            self.go.set()

    def begin(self) -> None:
        self.told.append("begin")

    def tick(self, now: Time) -> None:
        self.told.append("tick")
        self.ticking.set()
        self.go.wait(20)

    def after(self, run: ScheduledRun) -> None:
        self.told.append(run.id)

    def end(self) -> None:
        self.told.append("end")


def test_a_slow_one_holds_up_nobody() -> None:
    """It misses ticks and nothing else, in the order in which things were; the others hear all at once."""
    slow, quick = Guest("slow", hangs=True), Guest("quick")
    attended = Attended([slow, quick])
    attended.begin()
    attended.tick(NOW)
    assert slow.ticking.wait(20)
    for number in range(3):
        attended.after(run(number))
        attended.tick(NOW)
    slow.go.set()
    attended.end()
    assert slow.told == ["begin", "tick", "run_0", "run_1", "run_2", "end"]
    assert [one for one in quick.told if one != "tick"] == ["begin", "run_0", "run_1", "run_2", "end"]


def test_one_that_hangs_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """The end waits for all of them for a time, not for each, and names who did not come to an end."""
    guests = [Guest(name, hangs=True) for name in ("one", "two")]
    attended = Attended([*guests, Guest("quick")])
    attended.tick(NOW)
    for guest in guests:
        assert guest.ticking.wait(20)
    begun = time.monotonic()
    attended.end(0.3)
    assert time.monotonic() - begun < 5
    assert "one did not end in time" in caplog.text and "two did not" in caplog.text
    assert "quick" not in caplog.text
    for guest in guests:
        guest.go.set()
