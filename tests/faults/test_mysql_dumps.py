"""Dumps of MariaDB that break off: nothing is stored, the reason is told, and no password shows."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.child import end
from tests.servers.mariadb import Mariadb

PATIENCE = 40.0


@contextmanager
def stuck(server: Mariadb, name: str) -> Iterator[None]:
    """Whoever reads the table waits, until the block ends."""
    holder = server.session(name)
    assert holder.stdin is not None and holder.stdout is not None
    try:
        holder.stdin.write(b"LOCK TABLES t WRITE; SELECT 'held';\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.stdin.close()
        end(holder)
        holder.stdout.close()


def dumping(name: str) -> int:
    """The process that dumps the database, once it is there and waits."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith((b"mariadb-dump", b"mysqldump")) and name.encode() in words:
                return int(entry.parent.name)
        time.sleep(0.02)
    raise AssertionError("no dump began")


def arguments() -> bytes:
    """What the list of processes shows of all of them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


@pytest.fixture
def filled(mariadb_server: Mariadb) -> Iterator[str]:
    name = mariadb_server.database("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
    yield name
    mariadb_server.start()
    mariadb_server.drop(name)


@pytest.mark.parametrize("what", ["client", "server"])
def test_what_dies(make_lab: MakeLab, mariadb_server: Mariadb, filled: str, what: str) -> None:
    """The client or the server, in the middle of a dump: no snapshot, and the next backup is whole."""
    source = {"type": "mysql", "url": mariadb_server.url(filled)}
    lab: Lab = make_lab("local", domains={"shop": {"layer": "serving", "priority": "P0", "source": source}})
    with stuck(mariadb_server, filled):
        backup = lab.start("backup", "--json")
        dump = dumping(filled)
        shown = arguments()
        if what == "client":
            os.kill(dump, signal.SIGKILL)
        else:
            mariadb_server.kill()
        out, err = backup.communicate(timeout=PATIENCE)
    assert backup.returncode == 1, err
    assert mariadb_server.password.encode() not in shown + out + err
    assert b'"kind":"DumpFailed"' in out or b'"kind":"DatabaseUnavailable"' in out, out
    mariadb_server.start()
    assert lab.json("snapshots") == []
    assert lab.json("backup")["job"]["domains"][0]["outcome"] == "ok"


def test_a_stop_is_heeded(make_lab: MakeLab, mariadb_server: Mariadb, filled: str) -> None:
    """A backup that is interrupted leaves no dump behind that goes on."""
    source = {"type": "mysql", "url": mariadb_server.url(filled)}
    lab: Lab = make_lab("local", domains={"shop": {"layer": "serving", "priority": "P0", "source": source}})
    with stuck(mariadb_server, filled):
        backup = lab.start("backup")
        dump = dumping(filled)
        backup.send_signal(signal.SIGINT)
        backup.communicate(timeout=PATIENCE)
        deadline = time.monotonic() + 5
        while Path(f"/proc/{dump}/cmdline").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not Path(f"/proc/{dump}").exists()
    assert backup.returncode == 130
    assert lab.json("snapshots") == []
