"""A cluster to a moment: rows written one by one while bases and logs are taken, and those that stood come back."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import until
from tests.lab import Lab
from tests.servers.postgres import Postgres, start_postgres
from tests.wal import NUMBERS, SETTINGS, Scene, base_of, new_server, received


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """One whose log can be kept, for all tests that leave it running."""
    with start_postgres(SETTINGS) as server:
        yield server


@pytest.fixture
def scene(make_lab: MakeLab, cluster: Postgres) -> Iterator[Scene]:
    name, slot = cluster.database(), f"rw_{next(NUMBERS)}"
    source = {"type": "postgres", "mode": "wal", "url": cluster.url(name, user=cluster.user), "wal": {"slot": slot}}
    lab = make_lab("local", domains={"app_db": {"layer": "serving", "priority": "P0", "source": source}})
    made = Scene(lab, cluster, name, slot)
    yield made
    cluster.drop(name)
    made.drop_slot()


def test_exactly_what_stood_at_a_moment(scene: Scene) -> None:
    """Row by row, over ends of segments and a second base: at each instant those rows and no other."""
    scene.write(1)
    assert scene.backup()["type"] == "full"  # there was no base yet
    scene.write(2, 3, 4)
    assert scene.backup()["type"] == "incremental"
    scene.write(5, 6, switch=True)
    run = scene.backup()
    assert run["outcome"] == "ok" and run["parent"]
    scene.write(7)
    scene.backup("--type", "full")
    scene.write(8)
    scene.backup()
    assert scene.rows() == [1, 2, 3, 4, 5, 6, 7, 8]
    for number in (4, 5):
        assert scene.rows("--at", scene.last[number].isoformat()) == list(range(1, number + 1))
    words = ("db", "extract", "app_db", "ticks", "--where", "n > 2", "--count")
    assert scene.lab.json(*words, "--at", scene.last[4].isoformat())["rows"] == 2
    assert not list((scene.lab.state / "scratch").iterdir())


def test_what_is_put_aside_is_nobodys(scene: Scene) -> None:
    """A drill of the whole server loads no copy that a restore keeps, and misses none. What was restored to a moment,
    of a snapshot that holds more, is held against that moment before it is dropped."""
    url = scene.server.url("", user=scene.server.user).rstrip("/")
    scene.lab.domains["app_db"]["source"] |= {"url": url, "all": True}
    scene.lab.write_policies()
    scene.write(1)
    scene.backup()
    scene.write(2, 3)
    scene.backup()
    words = ("restore", "app_db", "--at", scene.last[2].isoformat(), "--only", scene.name)
    done = scene.lab.json("db", *words, "--replace")
    scene.backup()
    scene.lab.rw("drill", "l2")
    scene.lab.json("db", "undo", done["restored"])
    scene.lab.json("db", "accept", done["restored"])


def test_what_cannot_be_reached_is_said(scene: Scene) -> None:
    """Before the first base: refused, with the first moment that there is. After the end: all of it, and a note."""
    before = datetime.now(UTC) - timedelta(hours=1)
    scene.write(1)
    scene.backup()
    scene.write(2)
    scene.backup()
    run = scene.lab.rw("db", "restore", "app_db", "--at", before.isoformat(), "--json", code=1)
    assert run.json["error"]["kind"] == "NotFound" and "first moment" in run.json["error"]["message"]
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    report = scene.lab.json("db", "restore", "app_db", "--at", later, "--into", "later")
    assert report["databases"][0]["rows"] == 2 and "its log ends at" in report["notes"][0]
    scene.server.drop("later")


def test_a_drill_of_a_log(scene: Scene, tmp_path: Path) -> None:
    """Base and log become a server in the scratch place, which is dumped, loaded, compared and asked: a query that
    fails fails the drill."""
    scene.write(1)
    scene.backup()
    scene.write(2, 3)
    scene.backup()
    source, scratch = scene.lab.domains["app_db"]["source"], tmp_path / "scratch"
    scratch.mkdir()
    for wanted, code in ((3, 0), (2, 20)):
        source["queries"] = [{"sql": "SELECT count(*) FROM ticks", "database": scene.name, "equals": wanted}]
        scene.lab.write_policies()
        report = scene.lab.json("drill", "l2", "--no-canary", "--scratch", str(scratch), code=code)
        (one,) = report["drill"]["domains"]
        assert one["loaded"]["queries"] == 1 and one["loaded"]["rows"] == 3, report
        assert [*scratch.iterdir()] == [] and not (scene.lab.state / "moments").exists()
    with scene.lab.house() as built:
        known = built.catalog.snapshots("main", "hot").values()
        assert len(known) == 2 and all(one.proven_at is not None for one in known)  # the base as well


def test_a_base_alone_comes_back(scene: Scene) -> None:
    """With all that was committed before it ended, and no log beside it."""
    scene.write(1, 2)
    scene.backup("--type", "full")
    assert scene.rows() == [1, 2]


def test_the_log_goes_on_from_the_old_base_until_a_new_one_is_proven(scene: Scene) -> None:
    """What is trimmed here, and which base the next log names, follow the proof."""
    scene.write(1)
    old = scene.backup("--type", "full")["snapshot"]
    scene.write(2, switch=True)
    scene.backup()
    first = scene.staged[0]
    new = scene.backup("--type", "full")["snapshot"]
    scene.write(3, switch=True)
    scene.backup()
    assert scene.staged[0] == first and base_of(scene.lab) == old
    with scene.lab.house() as built:
        built.catalog.mark_proven("main", [new], datetime.now(UTC))
    scene.write(4)
    scene.backup()
    assert scene.staged[0] > first and base_of(scene.lab) == new
    assert not any(name == first for name in os.listdir(received(scene.lab)))
    assert scene.rows("--at", scene.last[2].isoformat()) == [1, 2]  # from what the old one left


def test_a_base_that_is_proven_before_the_log_has_come_to_it(scene: Scene) -> None:
    """The log goes on from the older one once more: else no moment between its end and the new base came back."""
    scene.write(1)
    old = scene.backup("--type", "full")["snapshot"]
    scene.write(2, 3)
    new = scene.backup("--type", "full")["snapshot"]
    with scene.lab.house() as built:
        built.catalog.mark_proven("main", [new], datetime.now(UTC))
    for base in (old, new):
        scene.backup()
        assert base_of(scene.lab) == base
    assert scene.rows("--at", scene.last[2].isoformat()) == [1, 2]


def test_a_lost_slot_begins_a_new_base(scene: Scene) -> None:
    """Said and healed by the next job; what was there before still comes back."""
    scene.write(1)
    scene.backup()
    scene.write(2)
    scene.backup()
    scene.drop_slot()
    scene.write(3, switch=True)
    run = scene.lab.rw("backup", "-v")
    assert "no replication slot" in run.err
    assert scene.rows() == [1, 2, 3]
    assert scene.backup()["type"] == "incremental"
    assert scene.rows("--at", scene.last[2].isoformat()) == [1, 2]


def test_another_server_begins_a_new_base(scene: Scene) -> None:
    """Its log does not go on with ours."""
    scene.write(1)
    scene.backup()
    origin = scene.lab.state / "wal" / "app_db" / "origin.json"
    origin.write_text(origin.read_text().replace('"timeline":1', '"timeline":7'))
    assert scene.backup()["type"] == "full"
    assert scene.backup()["type"] == "incremental"


def lose_all(folder: Path) -> None:
    """As on a machine where the state directory came back without what was received."""
    shutil.rmtree(folder)


def lose_a_segment(folder: Path) -> None:
    (folder / sorted(os.listdir(folder))[1]).unlink()


def lose_the_end(folder: Path) -> None:
    for name in sorted(os.listdir(folder))[-3:]:
        (folder / name).unlink()


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lose_all, marks=pytest.mark.soak),
        lose_a_segment,
        pytest.param(lose_the_end, marks=pytest.mark.soak),
    ],
)
def test_a_log_with_a_hole_begins_a_new_base(scene: Scene, lose: Callable[[Path], None]) -> None:
    """By itself, at the next job: a log with a gap would not replay, and nobody is asked to do anything about it."""
    scene.write(1)
    scene.backup()
    scene.write(2, 3, 4, switch=True)
    scene.backup()
    scene.backup()  # each fetch tells the server how far the one before it got
    lose(received(scene.lab))
    scene.write(5, switch=True)
    scene.ask("CHECKPOINT")  # the server removes what was fetched
    run = scene.backup()
    assert (run["type"], run["outcome"]) == ("full", "ok")
    scene.write(6)
    assert scene.backup()["type"] == "incremental"
    assert scene.rows() == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_leaves_half_a_segment(scene: Scene) -> None:
    """pg_receivewal refuses to go on with it, so it is fetched again."""
    scene.write(1)
    scene.backup()
    scene.write(2)
    scene.backup()
    (partial,) = received(scene.lab).glob("*.partial")
    os.truncate(partial, 3 * 8192)
    scene.write(3)
    assert scene.backup()["type"] == "incremental"
    assert scene.rows() == [1, 2, 3]


def test_the_slot_has_a_bound_or_a_warning(scene: Scene) -> None:
    """A slot without one fills the disk of the server while nobody fetches."""
    assert "max_slot_wal_keep_size" in scene.lab.json("backup")["warnings"][0]
    assert unbounded(scene.lab)
    scene.ask("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
    scene.ask("SELECT pg_reload_conf()")
    try:
        assert scene.lab.json("backup", "--type", "full")["warnings"] == []
        assert not unbounded(scene.lab)
    finally:
        scene.ask("ALTER SYSTEM RESET max_slot_wal_keep_size")
        scene.ask("SELECT pg_reload_conf()")


def test_the_data_of_a_whole_server(scene: Scene) -> None:
    """At a moment, shut down in order: a server starts on it, and has its own settings. Nothing is written over."""
    scene.write(1)
    scene.backup()
    scene.write(2, 3)
    scene.backup()
    with new_server(scene.server) as other:
        data = other.folder / "data"
        arguments = ("db", "restore", "app_db", "--at", scene.last[2].isoformat(), "--to", str(data))
        report = scene.lab.json(*arguments)
        assert report["mode"] == "folder" and "PostgreSQL 15" in report["notes"][-1]
        assert {"recovery.signal", "backup_label"}.isdisjoint(os.listdir(data))
        assert scene.lab.json(*arguments, code=1)["error"]["kind"] == "RestoreRefused"
        other.own()
        other.start()
        with other.admin(scene.name) as connection:
            assert connection.execute("SELECT array_agg(n ORDER BY n) FROM ticks").fetchone() == ([1, 2],)


def test_a_receiver_all_the_time(scene: Scene) -> None:
    """A job waits until it has received what is needed, and does not fetch itself; there is one, and it stops."""
    scene.write(1)
    scene.backup()
    receiver = scene.lab.start("db", "receive", "app_db")
    try:
        active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{scene.slot}'"
        until(lambda: scene.ask(active))
        assert scene.lab.json("db", "receive", "app_db", code=11)["error"]["kind"] == "Locked"
        scene.write(2, 3, switch=True)
        assert scene.backup()["type"] == "incremental"
        assert scene.backup("--type", "full")["outcome"] == "ok"
        assert scene.ask(active)
    finally:
        receiver.terminate()
        assert receiver.wait(30) == 130
    assert scene.backup()["type"] == "incremental"
    (row,) = scene.lab.json("db", "list")["rows"]
    assert row["since"] < row["until"]
    assert scene.rows("--at", scene.last[2].isoformat()) == [1, 2]


def unbounded(lab: Lab) -> bool:
    """Whether the doctor warns of the slot."""
    checks = lab.json("doctor", code=None)["checks"]
    assert any("of the server's log for us" in one["detail"] for one in checks)
    return any(one["verdict"] == "warn" and "nothing bounds" in one["detail"] for one in checks)
