"""The whole life of data with the real tools: what a policy promises can be restored, whatever was killed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from resticwrap.catalog.database import default_url
from tests.conftest import MakeLab
from tests.faults.machine import Stage, lock_files, logged, pids, stage, unlogged, until
from tests.faults.test_two_at_once import result
from tests.lab import RAW, Lab
from tests.past import backed_up, ids, keep_in_hot, originals

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def old(make_lab: MakeLab) -> Lab:
    """One domain; hot keeps the last snapshot only, cold one a day."""
    lab = make_lab("local", lock_wait="30s")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    keep_in_hot(lab, {"last": 1})
    lab.fill("exams", 3, 5000)
    return lab


def day(lab: Lab, ago: int) -> str:
    """A full of so many days ago, with a file that says so; returns its id."""
    lab.write("exams/today.txt", f"{ago} days ago")
    return backed_up(lab, "exams", NOON - timedelta(days=ago))


def as_of(lab: Lab, ago: int) -> str:
    """What `rw restore --at` the end of that day brings back."""
    place = lab.folder / f"at-{ago}-{os.urandom(2).hex()}"
    end = (NOON - timedelta(days=ago)).replace(hour=23, minute=59)
    lab.rw("restore", "--domain", "exams", "--at", end.isoformat(), "--to", str(place))
    return next(place.rglob("today.txt")).read_text()


def test_a_copy_that_died_anywhere_and_then_a_forget(old: Lab) -> None:
    """What is not proven in cold does not leave hot, at no step; in the end every day can be restored."""
    days = {ago: day(old, ago) for ago in range(12, 0, -1)}
    with stage(old) as theatre:
        steps = _steps(theatre)
        for at in range(1, steps + 1, max(steps // 10, 1)):
            theatre.rw("tier", "run", at=at, victim=("both", "rw")[at % 2])
            theatre.rw("forget")
            proven = originals(old, "cold", tier="cold")
            gone = set(days.values()) - originals(old, "hot")
            assert gone <= proven
            old.bare("check", "--read-data", "--no-lock", tier="cold")
        theatre.well("tier", "run")
        theatre.well("forget")
        theatre.well("prune", "--now")
    assert len(ids(old)) < len(days)
    assert [as_of(old, ago) for ago in (12, 7, 1)] == ["12 days ago", "7 days ago", "1 days ago"]


def _steps(theatre: Stage) -> int:
    """How many steps such a run takes; on a lab that is left as it was."""
    _, steps = theatre.rw("tier", "plan")
    assert steps is not None
    return steps + 40


def test_unchanged_for_forty_days(old: Lab) -> None:
    """Then it changes: each of the 30 days of hot, and of the 180 of cold, still stands."""
    keep_in_hot(old, {"within": "1d", "within_hourly": "7d", "within_daily": "30d"})
    first = day(old, 45)
    second = day(old, 40)
    old.write("exams/today.txt", "now")
    old.rw("backup")
    for _ in range(2):
        for command in (["tier", "run"], ["forget"], ["prune", "--now"]):
            old.rw(*command)
    assert second in originals(old, "hot") and first not in originals(old, "hot")
    assert [as_of(old, ago) for ago in (44, 41, 39, 29, 15, 1)] == ["45 days ago"] * 2 + ["40 days ago"] * 4


@contextmanager
def holding(lab: Lab, word: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`rw COMMAND` at work, its restic paused once it holds its lock in cold; goes on afterwards."""
    log = logged(lab)
    process = lab.start(*command)
    until(lambda: pids(log, word) and lock_files(lab, "cold"), pause=0.001)
    pid = pids(log, word)[0]
    os.kill(pid, signal.SIGSTOP)
    unlogged(lab)
    try:
        yield process
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("first", ["copy", "prune"])
def test_two_machines_prune_and_copy_at_once(old: Lab, first: str) -> None:
    """Two state directories and one catalogue: whoever is second waits for restic's lock, and nothing is lost."""
    days = {ago: day(old, ago) for ago in (3, 2, 1)}
    other = {
        "RW_STATE_DIR": str(old.folder / "other"),
        "RESTIC_CACHE_DIR": str(old.folder / "other-cache"),
        "RW_CATALOG_URL": default_url(old.state),
    }
    old.rw("init", env=other)
    commands = {"copy": ["tier", "run"], "prune": ["prune", "--now", "--tier", "cold"]}
    second = commands["prune" if first == "copy" else "copy"]
    with holding(old, first, *commands[first]) as one:
        two = old.start(*second, env=other)
        with pytest.raises(subprocess.TimeoutExpired):
            two.wait(3)
    assert result(one)[0] == 0
    code, text = result(two)
    assert code == 0, text
    old.rw("tier", "run")
    old.rw("forget")
    old.rw("prune", "--now")
    assert originals(old, "cold", tier="cold") == set(days.values())
    old.bare("check", "--read-data", tier="cold")
    assert [as_of(old, ago) for ago in days] == [f"{ago} days ago" for ago in days]
