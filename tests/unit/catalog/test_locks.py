"""Locks between machines: two state directories, one catalogue."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url

from resticwrap import errors
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.catalog.locks import SharedLocks
from resticwrap.clock import FixedClock, SystemClock
from resticwrap.host.locks import FlockLocks
from tests.contract.test_host_locks import OWNER, ROOT, holds
from tests.servers.child import free_ports
from tests.servers.postgres import Postgres
from tests.unit.catalog.samples import a_job

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
Make = Callable[..., SharedLocks]


@pytest.fixture
def make(tmp_path: Path, postgres_url: str) -> Iterator[Make]:
    """The locks of a machine by its name; only what begins with `job` is everybody's."""
    made: list[SharedLocks] = []

    def one(name: str, url: str = postgres_url, **more: object) -> SharedLocks:
        clock = FixedClock(NOW)
        own = FlockLocks(tmp_path / name, clock)
        made.append(SharedLocks(own, url, lambda lock: lock if lock.startswith("job") else None, clock, **more))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for locks in made:
        locks.close()


def test_machines_keep_each_other_away(make: Make) -> None:
    """Shared ones go together, an exclusive one goes alone; what concerns one machine concerns no other."""
    one, other = make("one"), make("other")
    with one.hold("job", shared=True), other.hold("job", shared=True), one.hold("job 2"), one.hold("own"):
        assert holds(other, "own") and not holds(other, "job 2")
        assert not holds(one, "job") and not holds(other, "job")
    assert holds(one, "job") and holds(other, "job")


def test_who_holds_it_is_named_and_a_dead_machine_holds_nothing(make: Make, tmp_path: Path, postgres_url: str) -> None:
    """By host, process, and the job that it runs there."""
    catalog = SqlCatalog(postgres_url)
    other = make("other", catalog=lambda: catalog, target="oss")
    command = [sys.executable, "-c", OWNER, str(tmp_path / "one"), "hold", "alone"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "URL": postgres_url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        host = os.uname().nodename
        catalog.open_job(a_job("prune_20260301T020000Z_abcdef", kind="prune", host=host, pid=process.pid))
        with pytest.raises(errors.Locked, match=rf"process {process.pid} on {host[:30]} \(prune_2026") as locked:
            other.hold("job", wait=30).__enter__()
        assert "after 30 seconds" in locked.value.message and locked.value.exit_code == errors.LOCKED
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(100):  # the server hears of it a moment later
        if holds(other, "job"):
            break
        SystemClock().sleep(0.05)
    else:
        raise AssertionError("the dead hold it")
    catalog.close()


def test_a_lock_that_was_lost_is_noticed(postgres_server: Postgres, make: Make, postgres_url: str) -> None:
    """Before anything is removed; the lock is free for others then, and may be taken anew afterwards."""
    one, other = make("one"), make("other")
    one.check()
    with one.hold("job"):
        one.check()
        postgres_server.break_all(make_url(postgres_url).database or "")
        assert holds(other, "job")
        with pytest.raises(errors.LockLost, match="nothing is removed"):
            one.check()
        with pytest.raises(errors.LockLost), one.hold("job 2"):
            one.check()  # a new connection does not bring the old lock back
    one.check()
    with one.hold("job"):
        one.check()
        assert not holds(other, "job")


def test_a_server_that_is_away_keeps_nobody_from_reading(make: Make, postgres_url: str) -> None:
    """A shared lock is held on this machine alone, which is said; an exclusive one is not had."""
    away = make_url(postgres_url).set(port=free_ports(1)[0]).render_as_string(hide_password=False)
    said: list[str] = []
    one = make("one", away, note=said.append)
    with one.hold("job", shared=True):
        one.check()
        assert not holds(make("one"), "job")
    assert "is held on this machine alone" in said[0] and (make_url(away).password or "") not in said[0]
    with pytest.raises(errors.CatalogUnavailable):
        one.hold("job").__enter__()
    with one.hold("own"):
        one.check()
    with make("two", "postgresql://u:geheim@h:port/db", note=said.append).hold("job", shared=True):
        assert "cannot be used" in said[-1] and "geheim" not in said[-1]
