"""A cluster whose log is kept, and a table of it in which each row's moment is known."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from tests.lab import Lab
from tests.servers.child import free_ports
from tests.servers.postgres import Postgres

SETTINGS = {"wal_level": "replica", "max_wal_senders": "6", "full_page_writes": "on"}
NUMBERS = count(1)


class Scene:
    """A lab with one domain, the cluster with a table of its own, and when each row of it was there."""

    def __init__(self, lab: Lab, server: Postgres, name: str, slot: str) -> None:
        self.lab, self.server, self.name, self.slot = lab, server, name, slot
        self.last: dict[int, datetime] = {}
        with server.admin(name) as connection:
            connection.execute("CREATE TABLE ticks (n int PRIMARY KEY)")

    def write(self, *numbers: int, switch: bool = False) -> None:
        """Rows, each in a transaction of its own; `last` is an instant before which it was committed."""
        with self.server.admin(self.name) as connection:
            for number in numbers:
                connection.execute("INSERT INTO ticks VALUES (%s)", (number,))
                self.last[number] = self.now(connection)
                if switch:
                    connection.execute("SELECT pg_switch_wal()")

    def now(self, connection: "psycopg.Connection[Any]") -> datetime:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        found: datetime = row[0]
        return found

    def ask(self, sql: LiteralString) -> Any:
        with self.server.admin() as connection:
            cursor = connection.execute(sql)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def drop_slot(self) -> None:
        """As if the server had given it up; one that is not there is no error."""
        with self.server.admin() as connection:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                (self.slot,),
            )

    def backup(self, *more: str, code: int = 0) -> Any:
        (run,) = self.lab.json("backup", *more, code=code)["job"]["domains"]
        return run

    def rows(self, *more: str) -> list[int]:
        """What comes back."""
        into = f"back_{next(NUMBERS)}"
        report = self.lab.json("db", "restore", "app_db", "--into", into, *more)
        assert not any(one["wrong"] for one in report["databases"])
        with self.server.admin(into) as connection:
            found = [number for (number,) in connection.execute("SELECT n FROM ticks ORDER BY n")]
        self.server.drop(into)
        return found

    @property
    def staged(self) -> Sequence[str]:
        return sorted(os.listdir(self.lab.state / "wal" / "app_db" / "main" / "app_db.wal"))


def received(lab: Lab) -> Path:
    return lab.state / "wal" / "app_db" / "received"


def base_of(lab: Lab) -> str:
    """The base that the newest log names."""
    newest = max((one["snapshot"] for one in lab.json("snapshots")), key=lambda one: str(one["time"]))
    found: str = newest["tags"]["base"]
    return found


@contextmanager
def new_server(like: Postgres) -> Iterator[Postgres]:
    """A server of the same users that has no data yet."""
    folder = Path(tempfile.mkdtemp(prefix="rw-postgres-"))
    folder.chmod(0o711)
    server = Postgres(folder, like.binaries, free_ports(1)[0], like.user, like.plain, like.password)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
