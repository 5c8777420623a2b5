"""Locks: our own dead ones go, one by one; whatever lives, and whatever is somebody else's, stays and is waited for."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from resticwrap.clock import FixedClock
from resticwrap.ports import LeaseInfo
from resticwrap.restic.crypto import MasterKey
from resticwrap.restic.locks import judge
from resticwrap.services.repositories import unlock
from tests.broken import refused
from tests.conftest import MakeLab
from tests.faults.machine import lock_files, locks, logged, pids, snapshot_files, sound, unlogged, until
from tests.handmade import seal
from tests.lab import Lab

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ELSEWHERE = "elsewhere"
REPAIR = """
import sys
from pathlib import Path
from resticwrap.bootstrap import house
from resticwrap.report.progress import QuietWatcher
with house(Path(sys.argv[1]), None, QuietWatcher()) as built:
    sys.exit(0 if built.context.hot.repair_index(0) else 11)
"""


def repair(lab: Lab) -> "subprocess.Popen[bytes]":
    """Start what takes an exclusive lock, as `rw` does before it resumes."""
    return subprocess.Popen(
        [sys.executable, "-c", REPAIR, str(lab.folder / "policies")], env=lab.env, start_new_session=True
    )


@contextmanager
def foreign(lab: Lab, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A restic of another host that holds its lock, paused; goes on afterwards and ends cleanly."""
    before = set(lock_files(lab))
    url = str(lab.store / lab.namespace / "hot")
    script = f"hostname {ELSEWHERE}; exec {lab.restic} -r {url} --no-cache {' '.join(command)}"
    process = subprocess.Popen(
        ["unshare", "-ru", "sh", "-c", script], env=lab.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: set(lock_files(lab)) - before, pause=0.001)
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.wait(30)


@contextmanager
def orphan(lab: Lab) -> Iterator[int]:
    """A restic of ours that lives, paused in the middle of `repair index`, while its `rw` was killed."""
    log = logged(lab)
    process = repair(lab)
    until(lambda: lock_files(lab), pause=0.001)
    (pid,) = pids(log, "repair")
    os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.wait()
    unlogged(lab)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def small(make_lab: MakeLab) -> Lab:
    """A lab with a backup, which waits for locks no longer than two seconds."""
    lab = make_lab("local", lock_wait="2s")
    lab.fill("exams", 3)
    lab.rw("backup")
    return lab


def dead_exclusive(lab: Lab) -> None:
    """What a killed `repair index` leaves."""
    with orphan(lab):
        pass
    (lock,) = lock_files(lab)
    until(lambda: locks(lab)[0].state == "dead")
    assert lock_files(lab) == [lock] and locks(lab)[0].exclusive


@pytest.mark.parametrize("command", [["backup"], ["verify"], ["restore", "--to", "back"]])
def test_own_dead_lock(small: Lab, command: list[str]) -> None:
    """An exclusive lock of our own killed restic stops nobody, and goes as soon as it is in somebody's way."""
    lab = small
    dead_exclusive(lab)
    lab.fill("profiles", 2)
    lab.rw(*command)
    sound(lab)


def test_only_the_dead_one_goes(make_lab: MakeLab) -> None:
    """Of several locks only our dead one is removed: never all of them."""
    lab = make_lab("local", lock_wait="1s")
    lab.fill("exams", 3)
    lab.rw("backup")
    with foreign(lab, "backup", "--host", "x", "/etc/hostname"):
        (theirs,) = lock_files(lab)
        with lab.house() as built:
            key = built.context.hot._key  # type: ignore[attr-defined]
            lease = built.context.locks.lease(built.context.hot.url)
            lease.started(999_999)
            lease.close()
        ours = plant(lab, key, socket.gethostname(), 999_999, datetime.now(UTC))
        lab.rw("backup", "--type", "full")
        assert set(lock_files(lab)) == {theirs, lab.store / lab.namespace / "hot" / "locks" / ours}
        report = lab.json("unlock")
        states = {lock["id"]: (lock["state"], lock["removed"]) for lock in report["locks"]}
        assert states == {ours: ("dead", True), theirs.name: ("foreign", False)}
        assert lock_files(lab) == [theirs]


def plant(
    lab: Lab,
    key: MasterKey,
    host: str,
    pid: int,
    time: datetime,
    *,
    exclusive: bool = False,
    written: datetime | None = None,
) -> str:
    """Write a lock by hand, as of its own time or when it was `written`."""
    document = {
        "time": time.isoformat(),
        "exclusive": exclusive,
        "hostname": host,
        "username": "x",
        "pid": pid,
        "uid": 0,
        "gid": 0,
    }
    parts = (key._encrypt, key._mac_k, key._mac_r)
    sealed = seal(json.dumps(document).encode(), *parts)
    name = hashlib.sha256(sealed).hexdigest()
    file = lab.store / lab.namespace / "hot" / "locks" / name
    file.write_bytes(sealed)
    os.utime(file, (time.timestamp(), (written or time).timestamp()))
    return name


def test_own_live_lock(small: Lab) -> None:
    """A restic that outlived its `rw` is respected: its lock stays, and we fail in seconds with what to do."""
    lab = small
    with orphan(lab):
        (lock,) = lock_files(lab)
        assert locks(lab)[0].state == "alive"
        run = lab.rw("backup", code=11)
        assert "locked" in run.err + run.out and "rw unlock" in run.err + run.out
        report = lab.json("unlock")
        assert [(lock["state"], lock["removed"]) for lock in report["locks"]] == [("alive", False)]
        lab.rw("unlock", "--stale")
        lab.rw("unlock", "--id", lock.name[:8], code=11)
        refused(lab, "unlock", "--id", "beef" if lock.name[0] != "b" else "cafe", code=1, kind="NotFound")
        assert lock_files(lab) == [lock]
    until(lambda: locks(lab)[0].state == "dead")
    lab.rw("backup")
    sound(lab)


def test_other_pid_namespace(small: Lab) -> None:
    """From another PID namespace with the same host name we leave a live lock, which restic's own `unlock` removes."""
    lab = small
    inside = ["unshare", "-rpf", "--mount-proc"]
    with orphan(lab):
        (lock,) = lock_files(lab)
        done = subprocess.run([*inside, *lab.command("unlock")], env=lab.env, cwd=lab.folder, capture_output=True)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([*inside, *lab.command("backup")], env=lab.env, cwd=lab.folder, capture_output=True)
        assert done.returncode == 11, done.stderr
        assert lock_files(lab) == [lock]
        # The same from restic itself, so that this test is known to show something.
        url = str(lab.store / lab.namespace / "hot")
        subprocess.run([*inside, str(lab.restic), "-r", url, "unlock"], env=lab.env, capture_output=True, check=True)
        assert lock_files(lab) == []


def test_foreign_lock(small: Lab) -> None:
    """Somebody else's exclusive lock is waited for as long as the policy says; then 11, a hint, and it is left."""
    lab = small
    with foreign(lab, "repair", "index"):
        (lock,) = lock_files(lab)
        run = lab.rw("backup", "--domain", "exams", code=11)
        assert "locked by somebody else" in run.out + run.err
        assert "rw unlock" in run.out + run.err
        lab.rw("unlock", "--stale")
        lab.rw("unlock", "--id", lock.name[:8], code=11)
        refused(lab, "unlock", "--id", "beef" if lock.name[0] != "b" else "cafe", code=1, kind="NotFound")
        assert lock_files(lab) == [lock]
    lab.rw("backup", "--domain", "exams")
    sound(lab)


def test_foreign_lock_waited_for(make_lab: MakeLab) -> None:
    """When the other one ends in time, the waiting job goes on and succeeds."""
    lab = make_lab("local", lock_wait="30s")
    lab.fill("exams", 3)
    with foreign(lab, "repair", "index") as other:
        log = logged(lab)
        process = lab.start("backup", "--domain", "exams")
        until(lambda: len(pids(log, "backup")) > 0)
        other.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, out + err
    unlogged(lab)
    assert len(snapshot_files(lab)) == 1
    sound(lab)


def test_stale_foreign_lock(small: Lab) -> None:
    """Only a person removes a lock of others, and only one that nobody has renewed for half an hour."""
    lab = small
    with lab.house() as built:
        key = built.context.hot._key  # type: ignore[attr-defined]
    old = datetime.now(UTC) - timedelta(minutes=45)
    young = datetime.now(UTC) - timedelta(minutes=15)
    stale = plant(lab, key, ELSEWHERE, 77, old, exclusive=True)
    fresh = plant(lab, key, ELSEWHERE, 78, young, exclusive=True)
    lab.rw("backup", code=11)
    lab.rw("unlock")
    assert {path.name for path in lock_files(lab)} == {stale, fresh}
    lab.rw("unlock", "--stale")
    assert {path.name for path in lock_files(lab)} == {fresh}
    lab.rw("unlock", "--id", fresh, code=11)
    again = plant(lab, key, ELSEWHERE, 79, old, exclusive=True)
    lab.rw("unlock", "--id", again[:10])
    assert {path.name for path in lock_files(lab)} == {fresh}


def test_a_lock_of_a_holder_whose_clock_is_wrong(small: Lab) -> None:
    """A lock that says it is old and was written just now is alive: both have to be old. No name is not every name."""
    lab = small
    with lab.house() as built:
        key = built.context.hot._key  # type: ignore[attr-defined]
    now = datetime.now(UTC)
    for age, written in ((45, 1), (1, 45)):
        fresh = plant(lab, key, ELSEWHERE, 77, now - timedelta(minutes=age), written=now - timedelta(minutes=written))
        lab.rw("unlock", "--stale")
        lab.rw("unlock", "--id", fresh, code=11)
        assert fresh in {path.name for path in lock_files(lab)}
    stale = plant(lab, key, ELSEWHERE, 77, now - timedelta(minutes=45))
    error = lab.json("unlock", "--stale", "--id", "", code=2)["error"]
    assert error["kind"] == "UsageError" and len(lock_files(lab)) == 3
    lab.rw("unlock", "--stale")
    assert stale not in {path.name for path in lock_files(lab)}


def test_a_live_lock_and_a_clock_of_ours_that_is_ahead(make_lab: MakeLab) -> None:
    """The store's clock says how old a lock is, where it has one."""
    lab = make_lab("s3")
    command = lab.bare_command("backup", "--stdin")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=lab.bare_env()) as holder:
        assert holder.stdin is not None
        with lab.house(FixedClock(datetime.now(UTC) + timedelta(minutes=40))) as built:
            until(built.context.hot.locks)
            (lock,) = unlock(built.context, stale=True).locks
        assert (lock.state, lock.removed) == ("foreign", False)
        holder.stdin.close()


def test_half_written_and_damaged_locks(small: Lab) -> None:
    """A lock that restic had not finished writing is none; one that nobody can read is somebody else's."""
    lab = small
    folder = lab.store / lab.namespace / "hot" / "locks"
    (folder / f"{'a' * 64}-tmp-123").write_bytes(b"half")
    (folder / ("b" * 64)).write_bytes(b"")
    assert locks(lab) == []
    lab.rw("backup")
    (folder / ("c" * 64)).write_bytes(b"x" * 200)
    assert [lock.state for lock in locks(lab)] == ["foreign"]
    assert [lock["removed"] for lock in lab.json("unlock")["locks"]] == [False]


def lease(pid: int | None, *, held: bool, seconds: float = 0, host: str = "h") -> LeaseInfo:
    """A lease that began so many seconds after NOW."""
    return LeaseInfo(name="x", host=host, pid=pid, created=NOW + timedelta(seconds=seconds), held=held)


@pytest.mark.parametrize(
    ("leases", "verdict"),
    [
        ([], "foreign"),
        ([lease(5, held=True)], "alive"),
        ([lease(5, held=False)], "dead"),
        ([lease(6, held=False)], "foreign"),
        ([lease(5, held=False, host="other")], "foreign"),
        ([lease(5, held=False, seconds=60)], "foreign"),
        ([lease(5, held=False, seconds=-600), lease(5, held=True)], "alive"),
        ([lease(5, held=False, seconds=1)], "dead"),
        ([lease(None, held=False, seconds=-1)], "dead"),
        ([lease(None, held=True, seconds=-1)], "foreign"),
        ([lease(None, held=False, seconds=-60)], "foreign"),
        ([lease(5, held=False), lease(None, held=True, seconds=-1)], "foreign"),
    ],
)
def test_judge(leases: list[LeaseInfo], verdict: str) -> None:
    """A lock is dead only where a lease of ours fits it and none that fits is held."""
    assert judge("h", 5, NOW, leases) == verdict


def test_judge_pid_used_again() -> None:
    """A live restic without a lease of ours, by a pid that one of our dead ones had, is somebody else's."""
    sleeper = subprocess.Popen(["sh", "-c", "printf restic-x > /proc/$$/comm; read _"], stdin=subprocess.PIPE)
    try:
        until(lambda: open(f"/proc/{sleeper.pid}/comm").read().startswith("restic"))  # noqa: SIM115
        host = socket.gethostname()
        assert judge(host, sleeper.pid, NOW, [lease(sleeper.pid, held=False, host=host)]) == "foreign"
    finally:
        sleeper.communicate()
    assert judge(host, sleeper.pid, NOW, [lease(sleeper.pid, held=False, host=host)]) == "dead"
