"""Stories and progress in the state directory: private, bounded, and never in the way of a job."""

import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resticwrap.clock import FixedClock, SystemClock
from resticwrap.host.locks import FlockLocks
from resticwrap.host.stories import LIMIT, FileBoard, FileStories, NoStory
from resticwrap.model.job import Job
from resticwrap.model.running import JobProgress
from resticwrap.model.story import LogLine
from resticwrap.planning import stories as planning
from resticwrap.services.context import JOBS

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
JOB = "snapshot_20261128T115500Z_3f9c2a"


def line(message: str) -> LogLine:
    return LogLine(time=NOW, level="info", message=message, job=JOB)


def stories(folder: Path) -> FileStories:
    return FileStories(folder, FixedClock(NOW))


def messages(folder: Path) -> list[str]:
    read = stories(folder).read(JOB)
    assert read is not None
    return [one.message for one in read[0]]


def test_a_story(tmp_path: Path) -> None:
    """Private; it runs until it is closed; what comes after that is not kept; it can be gone on with."""
    known = stories(tmp_path / "deep" / "state")
    story = known.begin(JOB)
    story.write(line("one"))
    assert known.running(JOB) and known.ids() == [JOB]
    read = known.read(JOB)
    assert read is not None and [one.message for one in read[0]] == ["one"]
    story.close(line("two"))
    story.write(line("late"))
    assert not known.running(JOB)
    later = known.read(JOB, read[1])
    assert later is not None and [one.message for one in later[0]] == ["two"]
    again = known.begin(JOB)
    again.close(line("three"))
    assert messages(tmp_path / "deep" / "state") == ["one", "two", "three"]
    assert known.read("snapshot_nobody") is None and known.info("snapshot_nobody") is None
    for path in (tmp_path / "deep").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_long_story(tmp_path: Path) -> None:
    """At its limit a line says so, and then only the last one is kept."""
    story = stories(tmp_path).begin(JOB)
    for number in range(LIMIT // 8000 + 50):
        story.write(line(f"{number} {'x' * 8000}"))
    story.close(line("the end"))
    *kept, told, last = messages(tmp_path)
    assert [int(one.split()[0]) for one in kept] == list(range(len(kept))) and len(kept) > LIMIT // 9000
    assert "limit" in told and last == "the end"
    info = stories(tmp_path).info(JOB)
    assert info is not None and info.size < LIMIT + 2000


def test_no_room(tmp_path: Path) -> None:
    """A full disk, a folder that is none and an id that is none: nothing raises, and nothing is kept."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{JOB}.jsonl").symlink_to("/dev/full")
    story = stories(tmp_path).begin(JOB)
    story.write(line("one"))
    story.close(line("two"))
    (tmp_path / "file").write_text("")
    for broken in (stories(tmp_path / "file").begin(JOB), stories(tmp_path).begin("../x")):
        assert isinstance(broken, NoStory)
        broken.write(line("one"))
        broken.close(line("two"))
    stories(tmp_path / "file").prune(NOW)
    board = FileBoard(tmp_path / "file", FlockLocks(tmp_path, SystemClock()), SystemClock())
    board.put(JobProgress(job=JOB, kind="backup", target="t", host="h", pid=1, started_at=NOW, updated_at=NOW))
    board.drop(JOB)
    assert board.running([]) == []


def test_half_a_line_costs_only_itself(tmp_path: Path) -> None:
    """What room was left took half of a line: the next one stands on a line of its own."""
    story = stories(tmp_path).begin(JOB)
    story.write(line("one"))
    with (tmp_path / "logs" / f"{JOB}.jsonl").open("ab") as file:
        file.write(b'{"time":"2026-11-')
    # As after a crash, which is how a story is gone on with.
    story.close(line("lost with it"))
    again = stories(tmp_path).begin(JOB)
    again.close(line("two"))
    assert messages(tmp_path) == ["one", "two"]


def test_pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is old goes, but never the story of a job that runs; a name that says no time goes by its file."""
    known = stories(tmp_path)
    running = known.begin("verify_20260101T000000Z_000001")
    for job in ("verify_20260101T000000Z_000002", JOB, "odd", "old-and-odd"):
        known.begin(job).close(line("x"))
    for job, age in (("odd", 1), ("old-and-odd", 40)):
        then = (NOW - timedelta(days=age)).timestamp()
        os.utime(tmp_path / "logs" / f"{job}.jsonl", (then, then))
    known.prune(NOW)
    assert set(known.ids()) == {"verify_20260101T000000Z_000001", JOB, "odd"}
    running.close(line("x"))
    monkeypatch.setattr(planning.superfluous, "__defaults__", (timedelta(days=30), 2, 1))
    monkeypatch.setattr(planning.crowded, "__defaults__", (timedelta(days=30), 2))
    known.prune(NOW)
    assert known.ids() == [JOB]


HOLDER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from resticwrap.clock import SystemClock
from resticwrap.host.locks import FlockLocks
from resticwrap.host.stories import FileBoard, FileStories
from resticwrap.model.running import JobProgress
from resticwrap.model.story import LogLine
state, clock = Path(sys.argv[1]), SystemClock()
locks = FlockLocks(state, clock)
lease = locks.lease("jobs")
FileStories(state, clock).begin(sys.argv[2]).write(LogLine(time=clock.now(), level="info", message="at work"))
FileBoard(state, locks, clock).put(JobProgress(job=sys.argv[2], kind="backup", target="t", host="h", pid=1,
    started_at=clock.now(), updated_at=clock.now(), phase="reading"))
print(lease.name, flush=True)
time.sleep(100)
"""


def test_a_killed_process(tmp_path: Path) -> None:
    """Its story stays readable and runs no more; its progress counts no more, and is removed."""
    assert JOBS == "jobs"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path, JOB], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        lease = holder.stdout.readline().strip()
        job = Job(
            id=JOB, kind="backup", target="t", outcome="running", started_at=NOW, host="h", pid=1, lease=lease
        )  # fmt: skip
        other = Job(id="x", kind="backup", target="t", outcome="running", started_at=NOW, host="h", pid=1, lease="no")
        locks = FlockLocks(tmp_path, SystemClock())
        board, known = FileBoard(tmp_path, locks, SystemClock()), FileStories(tmp_path, SystemClock())
        assert [one.phase for one in board.running([job, other])] == ["reading"] and known.running(JOB)
        (tmp_path / "progress" / f"{JOB}.json").write_bytes(b"{")
        assert [one.phase for one in board.running([job])] == [""]  # the record counts
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert not known.running(JOB) and messages(tmp_path) == ["at work"]
    assert board.running([job]) == []
    late = FixedClock(SystemClock().now() + timedelta(minutes=2))
    assert FileBoard(tmp_path, locks, late).running([job]) == []
    assert list((tmp_path / "progress").iterdir()) == []
