"""Rows taken out and put back, broken in the middle: production keeps what it had, and nothing is left lying about."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import until
from tests.lab import Lab
from tests.servers.postgres import Postgres

ROWS = 3000


@pytest.fixture
def small(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[tuple[Lab, Postgres, str]]:
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute("CREATE TABLE cards (id int PRIMARY KEY, name text)")
        connection.execute(f"INSERT INTO cards SELECT n, 'card ' || n FROM generate_series(1, {ROWS}) n")
    url = postgres_server.url(name, user=postgres_server.user)
    domain = {"layer": "serving", "priority": "P0", "source": {"type": "postgres", "url": url}}
    yield make_lab("local", domains={"app_db": domain}), postgres_server, name
    postgres_server.drop(name)


def waiting(server: Postgres, name: str) -> list[int]:
    """The backends that wait for a lock there."""
    with server.admin() as connection:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        return [pid for (pid,) in connection.execute(sql, (name,)).fetchall()]


def csv(lab: Lab) -> Path:
    file = lab.folder / "rows.csv"
    file.write_text("id,name\n" + "".join(f"{number},row {number}\n" for number in range(10_000, 10_100)))
    return file


@pytest.mark.parametrize("how", ["kill", "interrupt", "server"])
def test_a_put_back_that_is_cut_off(small: tuple[Lab, Postgres, str], how: str) -> None:
    """It was killed, interrupted, or its connection broke while it waited for the table: no row is there, nobody waits
    any more, and the same command puts all of them back."""
    lab, server, name = small
    words = ("db", "put-back", "app_db", "cards", "--from", str(csv(lab)))
    with server.admin(name) as connection, connection.transaction():
        connection.execute("LOCK TABLE cards IN SHARE MODE")
        child = lab.start(*words)
        until(lambda: waiting(server, name))
        (backend,) = waiting(server, name)
        assert lab.rw(*words, code=11).out == ""  # two at once
        if how == "server":
            with server.admin() as other:
                other.execute("SELECT pg_terminate_backend(%s)", (backend,))
        else:
            child.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
        _, said = child.communicate(timeout=60)
        assert child.returncode == {"kill": -9, "interrupt": 130, "server": 1}[how]
        assert b"Traceback" not in said
    until(lambda: not waiting(server, name))
    until(lambda: _alone(server, name))
    with server.admin(name) as connection:
        assert connection.execute("SELECT count(*) FROM cards").fetchone() == (ROWS,)
    assert lab.json(*words)["result"]["inserted"] == 100
    jobs = lab.json("history", "--domain", "app_db")["jobs"]
    ended = {"kill": "interrupted", "interrupt": "interrupted", "server": "failed"}[how]
    assert [job["outcome"] for job in jobs] == ["ok", ended]


def _alone(server: Postgres, name: str) -> bool:
    with server.admin() as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone()
    return found == (0,)


def test_an_extraction_that_is_killed(small: tuple[Lab, Postgres, str]) -> None:
    """Its server goes with it; its folder goes with the next one, and no file is there."""
    lab, _, _ = small
    lab.rw("backup")
    scratch = lab.state / "scratch"
    file = lab.folder / "rows.csv"
    child = lab.start("db", "extract", "app_db", "cards", "--out", str(file))
    until(lambda: _runs(scratch))
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)
    assert list(scratch.iterdir())
    until(lambda: not _runs(scratch))
    assert lab.json("db", "extract", "app_db", "cards", "--out", str(file))["rows"] == ROWS
    assert list(scratch.iterdir()) == [] and len(file.read_text().splitlines()) == ROWS + 1


def _runs(scratch: Path) -> bool:
    """Whether a server of a scratch folder runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(scratch) in path.read_bytes():
                return True
        except OSError:
            continue
    return False
