"""A PostgreSQL database, out of its server into a snapshot and back."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.postgres import Postgres


@pytest.fixture
def dumped(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[tuple[Lab, Postgres, str]]:
    """A lab with one database of a few rows, and its name."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute("CREATE TABLE agent_cards (id int PRIMARY KEY, name text)")
        connection.execute("INSERT INTO agent_cards SELECT n, 'card ' || n FROM generate_series(1, 1000) n")
    url = postgres_server.url(name, user=postgres_server.user)
    source: dict[str, Any] = {"type": "postgres", "url": url}
    domain = {"layer": "serving", "priority": "P0", "source": source}
    yield make_lab("local", domains={"app_db": domain}), postgres_server, name
    postgres_server.drop(name)


def test_round_trip(dumped: tuple[Lab, Postgres, str]) -> None:
    """What is dumped comes back into a new database, and compares; production is as it was."""
    lab, server, name = dumped
    report = lab.json("backup")
    (run,) = report["job"]["domains"]
    assert (run["outcome"], run["files"]) == ("ok", 1)
    restored = lab.json("db", "restore", "app_db", "--into", f"{name}_back")
    (one,) = restored["databases"]
    assert (one["name"], one["rows"], one["wrong"]) == (f"{name}_back", 1000, [])
    with server.admin(f"{name}_back") as connection:
        assert connection.execute("SELECT count(*), max(name) FROM agent_cards").fetchone() == (1000, "card 999")
    server.drop(f"{name}_back")


def test_a_failed_dump_is_no_snapshot(dumped: tuple[Lab, Postgres, str]) -> None:
    """Nothing is stored of a database that is not there, and the run says why."""
    lab, server, name = dumped
    server.drop(name)
    report = lab.json("backup", code=1)
    (run,) = report["job"]["domains"]
    assert run["outcome"] == "failed" and run["error"]["kind"] == "NotFound"
    assert lab.json("snapshots") == []
