"""The contract of `HostLocks`: locks and leases live exactly as long as their holders.

Those of this machine, and the same under those of all machines that share a catalogue; what passes between machines
is in `tests/unit/catalog/test_locks.py`.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.catalog.locks import SharedLocks
from resticwrap.clock import Clock, FixedClock, SystemClock
from resticwrap.host.locks import FlockLocks, file_name
from resticwrap.ports import HostLocks, Lease

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2025, 3, 1, 2, tzinfo=UTC)
REPOSITORY = "s3:https://host/bucket/hot"

OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from resticwrap.clock import SystemClock
from resticwrap.host.locks import FlockLocks
locks = FlockLocks(Path(sys.argv[1]), SystemClock())
if url := os.environ.get("URL"):
    from resticwrap.catalog.locks import SharedLocks
    locks = SharedLocks(locks, url, lambda name: name, SystemClock())
if sys.argv[2] == "hold":
    with locks.hold("job", shared=sys.argv[3] == "shared"):
        print("held", flush=True)
        signal.pause()
lease = locks.lease(sys.argv[3])
child = subprocess.Popen(["sleep", "600"], pass_fds=[lease.fd], stdout=subprocess.DEVNULL, start_new_session=True)
lease.started(child.pid)
lease.close()
print(child.pid, flush=True)
signal.pause()
"""


@dataclass
class Machine:
    """Makes the locks of one state directory; with `url` those that other machines see too."""

    state: Path
    url: str = ""
    made: list[SharedLocks] = field(default_factory=list)

    def __call__(self, clock: Clock | None = None, check: Callable[[], None] = lambda: None) -> HostLocks:
        clock = clock or FixedClock(NOW)
        own = FlockLocks(self.state, clock, check)
        if not self.url:
            return own
        self.made.append(SharedLocks(own, self.url, lambda name: name, clock, check=check))
        return self.made[-1]


@pytest.fixture(params=["flock", "postgres"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, request.getfixturevalue("postgres_url") if request.param == "postgres" else "")
    yield made
    for locks in made.made:
        locks.close()


@pytest.fixture
def locks(machine: Machine) -> HostLocks:
    return machine()


@contextlib.contextmanager
def owner(machine: Machine, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Another rw that holds something; with the line that it says once it does."""
    argv = [sys.executable, "-c", OWNER, str(machine.state), *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "URL": machine.url}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def holds(locks: HostLocks, name: str, *, shared: bool = False) -> bool:
    try:
        with locks.hold(name, shared=shared):
            return True
    except errors.Locked:
        return False


def test_it_is_the_port(locks: HostLocks) -> None:
    """The adapter has the Protocol's shape."""
    port: HostLocks = locks
    lease: Lease = port.lease(REPOSITORY)
    lease.close()


def test_exclusive_and_shared(locks: HostLocks) -> None:
    """Shared ones go together, an exclusive one goes alone, other names do not matter."""
    with locks.hold("a", shared=True):
        assert holds(locks, "a", shared=True)
        assert not holds(locks, "a")
        assert holds(locks, "b")
    with locks.hold("a"):
        assert not holds(locks, "a")
        assert not holds(locks, "a", shared=True)
    assert holds(locks, "a")


def test_released_when_the_work_fails(locks: HostLocks) -> None:
    """An error inside lets the lock go."""
    with pytest.raises(ZeroDivisionError), locks.hold("a"):
        raise ZeroDivisionError
    assert holds(locks, "a")


def test_waits_as_long_as_told(machine: Machine) -> None:
    """The clock given is the one that is waited on, to the second."""
    clock = FixedClock(NOW)
    locks = machine(clock)
    with locks.hold("a"), pytest.raises(errors.Locked, match="after 30 seconds"), locks.hold("a", wait=30):
        pass
    assert clock.monotonic() == pytest.approx(30)


def test_who_waits_may_be_told_to_stop(machine: Machine) -> None:
    """A wish to stop is heard after a second at the latest; a wait as short as that is not interrupted."""

    def stop() -> None:
        raise errors.Interrupted("Interrupted.")

    clock = FixedClock(NOW)
    locks = machine(clock, stop)
    with locks.hold("a"), pytest.raises(errors.Interrupted), locks.hold("a", wait=30):
        pass
    assert clock.monotonic() == pytest.approx(1, abs=0.5)
    with locks.hold("a"), pytest.raises(errors.Locked), locks.hold("a", wait=0.9):
        pass


def test_had_as_soon_as_it_is_free(machine: Machine) -> None:
    """A waiter gets the lock when its holder lets go."""

    class Clock(FixedClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 5:
                held.close()

    clock = Clock(NOW)
    locks = machine(clock)
    with contextlib.ExitStack() as held:
        held.enter_context(locks.hold("a"))
        with locks.hold("a", wait=60):
            assert 5 < clock.monotonic() < 6


def test_says_who_holds_it(machine: Machine) -> None:
    """The sentence names process and time; after a SIGKILL of the holder the lock is free at once."""
    locks = machine(SystemClock())
    with owner(machine, "hold", "alone") as (process, said):
        assert said == "held"
        with pytest.raises(errors.Locked) as locked, locks.hold("job"):
            pass
        assert f"process {process.pid} on" in locked.value.message
        assert f"since {datetime.now(UTC):%Y-%m-%d}" in locked.value.message
        assert locked.value.exit_code == 11
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holds(locks, "job")


def test_threads_exclude_each_other(locks: HostLocks) -> None:
    """Two threads of one process are two holders."""
    got: list[bool] = []
    with locks.hold("a"):
        thread = threading.Thread(target=lambda: got.append(holds(locks, "a")))
        thread.start()
        thread.join()
    assert got == [False]


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "ü\n\udcff %", "x" * 1000, "/"])
def test_any_name(locks: HostLocks, tmp_path: Path, name: str) -> None:
    """A name is never a path, and different names are different files."""
    with locks.hold(name):
        assert not holds(locks, name)
        assert holds(locks, name + "x")
    assert {path.parent for path in tmp_path.rglob("*.lock")} == {tmp_path / "locks"}
    assert len(file_name(name)) < 255


def test_a_lease_lives_as_long_as_the_child(machine: Machine) -> None:
    """Held while the child lives, also when its rw was killed; free when the child is gone."""
    locks = machine(SystemClock())
    with owner(machine, "lease", REPOSITORY) as (process, said):
        child = int(said)
        try:
            process.send_signal(signal.SIGKILL)
            process.wait()
            (info,) = locks.leases(REPOSITORY)
            assert (info.held, info.pid, info.host) == (True, child, os.uname().nodename)
            assert abs(info.created - datetime.now(UTC)) < timedelta(minutes=1)
        finally:
            os.kill(child, signal.SIGKILL)
        wait_until_gone(child)
        (info,) = locks.leases(REPOSITORY)
        assert (info.held, info.pid) == (False, child)
        assert locks.leases("another") == ()


def wait_until_gone(pid: int) -> None:
    """A killed process closes its files a moment after the signal."""
    for _ in range(500):
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                SystemClock().sleep(0.01)
                continue
        return
    raise AssertionError("the child does not end")


def test_closing_our_copy_leaves_the_childs(locks: HostLocks) -> None:
    """`close` may be called while the child runs, and twice."""
    lease = locks.lease(REPOSITORY)
    with subprocess.Popen(["sleep", "600"], pass_fds=[lease.fd]) as child:
        lease.started(child.pid)
        lease.close()
        lease.close()
        assert [one.held for one in locks.leases(REPOSITORY)] == [True]
        child.kill()
    assert [(one.held, one.pid) for one in locks.leases(REPOSITORY)] == [(False, child.pid)]


def test_seen_from_another_pid_namespace(tmp_path: Path) -> None:
    """A container of ours sees that the lease is held, whatever the pid means there."""
    locks = FlockLocks(tmp_path, FixedClock(NOW))
    lease = locks.lease(REPOSITORY)
    code = (
        "import sys; from pathlib import Path; from resticwrap.clock import SystemClock;"
        "from resticwrap.host.locks import FlockLocks;"
        "print([one.held for one in FlockLocks(Path(sys.argv[1]), SystemClock()).leases(sys.argv[2])])"
    )
    argv = ["unshare", "--map-root-user", "--pid", "--fork", sys.executable, "-c", code, str(tmp_path), REPOSITORY]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.stdout == "[True]\n", done.stderr
    lease.close()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n" or done.stdout == "[False]\n", done.stderr


def test_lookers_do_not_disturb_each_other(locks: HostLocks, tmp_path: Path) -> None:
    """Somebody who is looking at a free lease does not make it look held."""
    locks.lease(REPOSITORY).close()
    (path,) = tmp_path.rglob("*.json")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert [one.held for one in locks.leases(REPOSITORY)] == [False]


def test_old_free_leases_are_removed(machine: Machine) -> None:
    """After a day a free lease is told of once more and goes; a held one stays as long as it is held."""
    clock = FixedClock(NOW)
    locks = machine(clock)
    held = locks.lease(REPOSITORY)
    locks.lease(REPOSITORY).close()
    assert len(locks.leases(REPOSITORY)) == 2
    clock.sleep(86_401)
    fresh = locks.lease(REPOSITORY)
    assert len(locks.leases(REPOSITORY)) == 3
    assert [one.held for one in locks.leases(REPOSITORY)] == [True, True]
    held.close()
    fresh.close()


def test_a_lease_that_nobody_can_read_is_still_judged(locks: HostLocks, tmp_path: Path) -> None:
    """Torn or foreign bytes: held or free is told by the lock, not by the content."""
    lease = locks.lease(REPOSITORY)
    os.pwrite(lease.fd, b"\0" * 512, 0)
    assert [(one.held, one.pid) for one in locks.leases(REPOSITORY)] == [(True, None)]
    lease.close()


def test_a_state_directory_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without flock, and a place that cannot be written, are told clearly."""

    def no_flock(fd: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.Failure, match="cannot be used"), FlockLocks(tmp_path / "file", SystemClock()).hold("a"):
        pass
    monkeypatch.setattr(fcntl, "flock", no_flock)
    locks = FlockLocks(tmp_path, SystemClock())
    with pytest.raises(errors.Failure, match="cannot lock files") as failure, locks.hold("a"):
        pass
    assert "RW_STATE_DIR" in failure.value.hint
    with pytest.raises(errors.Failure, match="cannot lock files"):
        locks.lease(REPOSITORY)
    assert not list(tmp_path.rglob("*.tmp"))
