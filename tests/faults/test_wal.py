"""A log that is kept over all that breaks: SIGKILL at every step, a server that stops, files that are renamed."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.clock import SystemClock
from resticwrap.host.locks import FlockLocks
from resticwrap.model.sources import PostgresSource
from resticwrap.model.wal import BaseFacts, LogFacts
from resticwrap.sources.postgres import walfiles
from resticwrap.sources.postgres.wal import WalDomain
from resticwrap.sources.postgres.walfiles import LogFiles
from tests.conftest import MakeLab
from tests.faults.machine import running, stage
from tests.servers.postgres import Postgres, start_postgres
from tests.wal import SETTINGS, Scene

KILLED = -9
NOW = datetime(2026, 11, 28, tzinfo=UTC)
SIZE = 1 << 24


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """One that is stopped and started again by tests that bring it up themselves, with a log in small files: what is
    usual is what other tests have."""
    with start_postgres(SETTINGS, segment=1) as server:
        yield server


@pytest.fixture
def scene(make_lab: MakeLab, cluster: Postgres) -> Iterator[Scene]:
    """A base and a log of two rows."""
    name = cluster.database()
    source = {"type": "postgres", "mode": "wal", "url": cluster.url(name, user=cluster.user)}
    lab = make_lab("local", domains={"app_db": {"layer": "serving", "priority": "P0", "source": source}})
    made = Scene(lab, cluster, name, "resticwrap")
    made.write(1)
    made.backup()
    made.write(2)
    made.backup()
    yield made
    made.drop_slot()
    cluster.drop(name)


def die_at_steps(scene: Scene, **every: int) -> None:
    """Kill jobs of these kinds at each so many steps, and let the next one of the usual kind heal what that left."""
    row = 2
    moments = [row]
    with stage(scene.lab) as theatre:
        for kind, stride in every.items():
            arguments = ["backup", *(["--type", "full"] if kind == "full" else [])]
            row += 1
            scene.write(row, switch=True)
            _, steps = theatre.rw(*arguments)
            assert steps is not None
            for at in range(1, steps + 1, stride):
                row += 1
                scene.write(row, switch=row % 3 == 0)
                run, ended = theatre.rw(*arguments, at=at, victim=("both", "rw")[at % 2])
                assert run.code == KILLED or ended is not None
                theatre.well("backup")
                assert not running(scene.lab)
            moments.append(row - 1)
    assert scene.rows() == list(range(1, row + 1))
    for moment in moments:
        assert scene.rows("--at", scene.last[moment].isoformat()) == list(range(1, moment + 1))


def test_killed_at_a_step(scene: Scene) -> None:
    """Both kinds in one log, every moment of which comes back."""
    die_at_steps(scene, incremental=17, full=29)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["incremental", "full"])
def test_killed_at_each_step(scene: Scene, kind: str) -> None:
    die_at_steps(scene, **{kind: 1})


def test_the_server_is_gone_and_comes_back(scene: Scene) -> None:
    """Said, nothing is stored; and what it had committed is in the next log."""
    scene.write(3)
    scene.server.stop()
    before = len(scene.lab.json("snapshots"))
    run = scene.backup(code=1)
    assert run["error"]["kind"] == "DatabaseUnavailable" and len(scene.lab.json("snapshots")) == before
    scene.server.start()
    scene.write(4)
    assert scene.backup()["type"] == "incremental"
    assert scene.rows() == [1, 2, 3, 4]


def test_a_role_that_may_not_replicate_is_refused(scene: Scene) -> None:
    """With what the server says, and without its password."""
    source = scene.lab.domains["app_db"]["source"]
    scene.lab.domains["app_db"]["source"] = {**source, "url": scene.server.url(scene.name)}
    scene.lab.write_policies()
    run = scene.lab.rw("backup", code=1)
    assert scene.server.password not in run.out + run.err


def names(*numbers: int, partial: int = 0) -> list[str]:
    return [f"{1:08X}{0:08X}{n:08X}" for n in numbers] + ([f"{1:08X}{0:08X}{partial:08X}.partial"] if partial else [])


def facts(reached: str, snapshot: str = "b" * 64) -> LogFacts:
    base = BaseFacts(
        system="1", timeline=1, start="0/2000028", end="0/2000100", began=NOW, ended=NOW, server="15.1", segment=SIZE,
        user="u",
    )  # fmt: skip
    return LogFacts(base=base, snapshot=snapshot, reached=reached, until=NOW)


@contextmanager
def renaming(folder: Path, name: str) -> Iterator[Callable[[], None]]:
    """Each time it is called, the file that is being written gets its final name, and the next one is begun."""
    at = [int(name.removesuffix(".partial"), 16)]
    lock = threading.Lock()

    def switch() -> None:
        with lock:
            old = f"{at[0]:024X}"
            os.rename(folder / f"{old}.partial", folder / old)
            at[0] += 1
            (folder / f"{at[0]:024X}.partial").write_bytes(b"next")

    yield switch


def test_files_that_get_their_names_while_they_are_staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is written vanishes at the moment at which it is copied: it is staged under its final name."""
    files = LogFiles(tmp_path, "main", "app_db")
    for name in names(1, 2, 3, partial=4):
        (files.received / name).write_bytes(name.encode())
    real, left = walfiles._copied, [3]
    with renaming(files.received, names(partial=4)[0]) as switch:

        def copied(source: Path, to: Path) -> None:
            if left[0]:
                left[0] -= 1
                switch()
            real(source, to)

        monkeypatch.setattr(walfiles, "_copied", copied)
        files.stage(facts("0/4000100"))
    staged = sorted(os.listdir(tmp_path / "main" / "app_db.wal"))
    assert staged == [*names(2, 3, 4, 5, 6, partial=7), "base.json"]
    assert os.stat(tmp_path / "main" / "app_db.wal" / staged[0]).st_nlink == 2


def test_a_gap_is_not_staged(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "main", "app_db")
    for name in names(2, 4, partial=5):
        (files.received / name).write_bytes(b"")
    with pytest.raises(errors.DumpFailed, match="is missing"):
        files.stage(facts("0/5000100"))
    assert not (tmp_path / "main" / "app_db.wal" / "base.json").exists()


def test_no_room_to_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said as that, and the next job stages it whole."""
    files = LogFiles(tmp_path, "main", "app_db")
    for name in names(2, 3, partial=4):
        (files.received / name).write_bytes(b"")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(walfiles, "_copied", full)
        with pytest.raises(errors.DiskFull):
            files.stage(facts("0/4000100"))
    files.stage(facts("0/4000100"))
    assert set(os.listdir(tmp_path / "main" / "app_db.wal")) == {*names(2, 3, partial=4), "base.json"}


@pytest.mark.parametrize("killed", [False, True])
def test_nothing_of_another_base_stays_staged(tmp_path: Path, killed: bool) -> None:
    """The segments of another server have the same names, and other bytes."""
    files = LogFiles(tmp_path, "main", "app_db")
    staged = tmp_path / "main" / "app_db.wal"
    for content in (b"old", b"new"):
        shutil.rmtree(files.received)
        for name in names(2, 3, partial=4):
            (files.received / name).write_bytes(content)
        files.stage(facts("0/4000100", content.hex()))
        if killed:
            (staged / "base.json").unlink()
    assert {(staged / name).read_bytes() for name in names(2, 3, partial=4)} == {b"new"}


def test_a_fetch_of_another_job_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full and an incremental may begin at one moment: who waits for the other's fetch goes on by itself once that
    has ended, for it need not have got as far."""
    source = PostgresSource.model_validate({"type": "postgres", "mode": "wal", "url": "postgresql://u@localhost/d"})
    domain = WalDomain("app_db", source, tmp_path, "main", Cancel())
    done: list[str] = []
    with ExitStack() as other:
        other.enter_context(FlockLocks(tmp_path, SystemClock(), lambda: None).hold("wal app_db"))

        def said(sql: str) -> str:
            done.append("asked")
            if len(done) == 3:
                other.close()
            return "0/2000000"

        monkeypatch.setattr(domain, "_said", said)
        monkeypatch.setattr(domain, "_received", lambda *words: done.extend(words))
        domain._receive_to("0/3000000")
    assert done == ["asked", "asked", "asked", "--endpos", "0/2FFFFFF"]
