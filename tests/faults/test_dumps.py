"""What breaks while a database is dumped: nothing of it is stored, nobody hangs, no password shows, the next run is
fine."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import MakeLab
from tests.faults.machine import lock_files, snapshot_files, sound, until
from tests.faults.test_full_disk import full, room
from tests.lab import Lab
from tests.servers.postgres import Postgres, start_postgres

ROWS = 6000
"""Of a KiB each."""


def filled(server: Postgres, rows: int = ROWS) -> str:
    """A database of so many KiB which cannot be compressed well."""
    name = server.database()
    with server.admin(name) as connection:
        connection.execute("CREATE TABLE cards (id int, text text)")
        connection.execute(
            "INSERT INTO cards SELECT n, (SELECT string_agg(md5(random()::text || m || n), '')"
            " FROM generate_series(1, 32) m) FROM generate_series(1, %s) n",
            (rows,),
        )
    return name


def source(server: Postgres, name: str, **more: Any) -> dict[str, Any]:
    """A domain of it, as a superuser, whose password is in a variable."""
    url = {"type": "postgres", "url": server.url(name, user=server.user)}
    return {"layer": "serving", "priority": "P0", "source": {**url, **more}}


def commands() -> dict[int, bytes]:
    """The arguments of every process that may be seen."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def dumping(name: str, program: bytes = b"pg_dump\0") -> list[int]:
    """The pg_dumps (or others) at work on a database."""
    return [pid for pid, line in commands().items() if program in line and name.encode() in line]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def slow(lab: Lab, limit: int | None = 400) -> None:
    """Restic as through a thin line, so that a dump lasts."""
    lab.target.pop("limit_upload", None)
    if limit:
        lab.target["limit_upload"] = limit
    lab.write_policies()


@contextmanager
def dump(lab: Lab, name: str) -> Iterator[tuple["subprocess.Popen[bytes]", int, int]]:
    """`rw backup` in the middle of a dump: its process, the program that makes the dump, and its pg_dump."""
    process = lab.start("backup", "--json")
    try:
        until(lambda: dumping(name))
        (pid,) = dumping(name)
        maker = parent(pid)
        until(
            lambda: any(
                line.startswith("rchar: ") and int(line.split()[1]) > 2_000_000
                for line in Path(f"/proc/{maker}/io").read_text().splitlines()
            )
        )
        yield process, maker, pid
    finally:
        process.kill()
        process.communicate()


def gone(name: str) -> None:
    """Nobody is left who dumps a database."""
    until(lambda: not dumping(name) and not dumping(name, b"psql\0"), 10)


KILLS: dict[str, tuple[int, Callable[[int, int, int], tuple[int, signal.Signals]]]] = {
    "rw SIGINT": (130, lambda rw, _maker, _pid: (rw, signal.SIGINT)),
    "rw SIGTERM": (130, lambda rw, _maker, _pid: (rw, signal.SIGTERM)),
    "rw SIGKILL": (-9, lambda rw, _maker, _pid: (rw, signal.SIGKILL)),
    "the maker SIGKILL": (1, lambda _rw, maker, _pid: (maker, signal.SIGKILL)),
    "pg_dump SIGKILL": (1, lambda _rw, _maker, pid: (pid, signal.SIGKILL)),
    "pg_dump SIGTERM": (1, lambda _rw, _maker, pid: (pid, signal.SIGTERM)),
    "restic SIGKILL": (1, lambda _rw, maker, _pid: (parent(maker), signal.SIGKILL)),
}


def test_kills(
    make_lab: MakeLab, postgres_server: Postgres, either_restic: Path, restic_binaries: dict[str, Path]
) -> None:
    """Whoever is killed in the middle of a dump, no snapshot is left and no child; the next run needs nobody."""
    name, newest = filled(postgres_server), list(restic_binaries.values())[-1]
    lab = make_lab("local", restic=either_restic, domains={"app_db": source(postgres_server, name)})
    kills = KILLS if either_restic == newest else {what: KILLS[what] for what in ("rw SIGINT", "rw SIGKILL")}
    for what, (code, victim) in kills.items():
        slow(lab)
        with dump(lab, name) as (process, maker, pid):
            target, number = victim(process.pid, maker, pid)
            os.kill(target, number)
            out, err = process.communicate(timeout=20)
        assert process.returncode == code, (what, out, err)
        assert b"Traceback" not in err and postgres_server.password.encode() not in out + err
        gone(name)
        assert snapshot_files(lab) == set(), what
    slow(lab, None)
    (run,) = lab.json("backup")["job"]["domains"]
    assert run["outcome"] == "ok" and len(snapshot_files(lab)) == 1
    sound(lab, snapshot_files(lab))
    postgres_server.drop(name)


def test_the_server_stops(make_lab: MakeLab) -> None:
    """A server that stops in the middle of a dump fails it as one that does not answer; once back, it is dumped."""
    with start_postgres() as server:
        name = filled(server)
        lab = make_lab("local", domains={"app_db": source(server, name)})
        slow(lab)
        with dump(lab, name) as (process, _, _):
            server.stop()
            out, _ = process.communicate(timeout=20)
        assert process.returncode == 1 and b'"DatabaseUnavailable"' in out, out
        gone(name)
        (run,) = lab.json("backup", code=1)["job"]["domains"]
        assert run["error"]["kind"] == "DatabaseUnavailable" and snapshot_files(lab) == set()
        slow(lab, None)
        server.start()
        lab.json("backup")
        assert len(snapshot_files(lab)) == 1 and lock_files(lab) == []


def test_refusals_and_secrets(make_lab: MakeLab, postgres_server: Postgres) -> None:
    """A wrong password, rows that are hidden, tables that may not be read: refused, each by its name. No password in
    arguments, logs or errors, the wrong one neither."""
    name = filled(postgres_server, 2000)
    with postgres_server.admin(name) as connection:
        connection.execute("CREATE TABLE hidden (a int)")
    lab = make_lab("local", domains={"app_db": source(postgres_server, name, url=postgres_server.url(name))})
    (run,) = lab.json("backup", code=1)["job"]["domains"]
    assert run["error"]["kind"] == "DatabaseRefused" and "public.cards, public.hidden" in run["error"]["message"]
    with postgres_server.admin(name) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO rw")
        connection.execute("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY")
    (run,) = lab.json("backup", code=1)["job"]["domains"]
    assert run["error"]["kind"] in ("DatabaseRefused", "DumpFailed") and "hidden" in run["error"]["message"]
    wrong = "wrong-password-of-old"
    lab.domains["app_db"] = source(
        postgres_server, name, url=postgres_server.url(name, password=""), password="${DB_PASSWORD}"
    )
    lab.write_policies()
    said = lab.rw("backup", "-v", "--json", env={"DB_PASSWORD": wrong}, code=1)
    assert said.json["job"]["domains"][0]["error"]["kind"] == "DatabaseRefused"
    assert wrong not in said.out + said.err
    lab.domains["app_db"]["source"]["url"] = postgres_server.url(name, user=postgres_server.user, password="")
    lab.write_policies()
    seen: set[bytes] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.update(commands().values())
            time.sleep(0.005)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        said = lab.rw("backup", "-v", "--json", env={"DB_PASSWORD": postgres_server.password})
    finally:
        ended.set()
        watcher.join()
    ours = [line for line in seen if name.encode() in line]
    assert any(b"pg_dump\0" in line for line in ours) and any(b"psql\0" in line for line in ours)
    assert not [line for line in seen if postgres_server.password.encode() in line]
    assert postgres_server.password not in said.out + said.err
    stories = b"".join(path.read_bytes() for path in (lab.state / "logs").rglob("*") if path.is_file())
    assert b"app_db" in stories and postgres_server.password.encode() not in stories and wrong.encode() not in stories
    postgres_server.drop(name)


def test_the_store_fills_up(make_lab: MakeLab, postgres_server: Postgres) -> None:
    """A full store ends a dump at once as it ends any backup, and nothing of it stays; with room again it is dumped."""
    name = filled(postgres_server, 12_000)
    lab = make_lab("local", domains={"app_db": source(postgres_server, name)})
    with room(lab, lab.store, "5m") as disk:
        full(disk.rw("backup", code=1), lab.store)
        gone(name)
        disk.make_room()
        disk.rw("backup")
        disk.keep()
    assert len(list((lab.folder / "kept" / lab.namespace / "hot" / "snapshots").iterdir())) == 1
    postgres_server.drop(name)


def test_two_at_once(make_lab: MakeLab, postgres_server: Postgres) -> None:
    """A second dump of the same domain is refused while the first is at work, and does not disturb it."""
    name = filled(postgres_server, 4000)
    lab = make_lab("local", domains={"app_db": source(postgres_server, name)})
    slow(lab, 800)
    process = lab.start("backup", "--json")
    until(lambda: dumping(name))
    slow(lab, None)
    (run,) = lab.json("backup", code=None)["job"]["domains"]
    assert run["outcome"] == "failed" and run["error"]["kind"] == "Locked"
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)
    assert len(snapshot_files(lab)) == 1
    postgres_server.drop(name)
