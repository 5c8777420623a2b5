"""Restores of databases, killed and broken at every step: live names lead to the old data or to the new, whole."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.host.journals import DatabaseJournals
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.planning import dbrestore as decide
from resticwrap.services.database_ports import Server
from resticwrap.services.databases.swapping import Swapper
from tests.conftest import MakeLab
from tests.faults.machine import Stage, running, stage, until
from tests.faults.test_inplace import Faults, Faulty, Killed
from tests.integration.test_db_restore import ROWS, Site, source
from tests.servers.postgres import Postgres, start_postgres

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
JOB = "restore_20260301T020000Z_0a1b2c"
OLD = {"one": "old one", "two": "old two"}
NEW = {"one": "new one", "two": "new two", "three": "new three"}


@dataclass
class Scene:
    """A server in memory, with `OLD` live, and the snapshot `NEW` to be loaded: `three` is not live yet."""

    folder: Path
    live: dict[str, str] = field(default_factory=lambda: dict(OLD))
    wrong: bool = False

    # The server.
    def databases(self) -> Sequence[str]:
        return sorted(self.live)

    def drop(self, name: str) -> None:
        self.live.pop(name, None)

    def exchange(self, live: str, beside: str, kept: str) -> None:
        if beside not in self.live and kept in self.live:
            return
        assert beside in self.live and kept not in self.live
        if live in self.live:
            self.live[kept] = self.live.pop(live)
        self.live[live] = self.live.pop(beside)

    # What knows snapshots.
    def safety(self, journal: DbJournal) -> str:
        return "5afe"

    def unsaved(self, journal: DbJournal, piece: DbPiece, name: str, server: Server) -> str:
        return ""

    def unheeding(self) -> AbstractContextManager[None]:
        return nullcontext()

    def engine(self, faults: Faults | None = None) -> Swapper:
        steps = faults or Faults()
        server, scene = Faulty(self, steps), self

        class Work:
            def server(self, journal: DbJournal) -> Any:
                return server

            def load(self, journal: DbJournal, server: Server) -> Sequence[RestoredDatabase]:
                done = []
                for piece in journal.pieces:
                    steps.tick()
                    scene.live[piece.beside] = "half of it"
                    steps.tick()
                    scene.live[piece.beside] = NEW[piece.database]
                    wrong = ("cards: differs",) if scene.wrong else ()
                    done.append(
                        RestoredDatabase(database=piece.database, name=piece.live, tables=1, rows=1, wrong=wrong)
                    )
                return done

            def __getattr__(self, name: str) -> Any:
                return getattr(scene, name)

        return Swapper(
            journals=cast(Any, Faulty(DatabaseJournals(self.folder), steps)),
            work=cast(Any, Work()),
            clock=FixedClock(NOW),
        )

    def journal(self) -> DbJournal:
        return DbJournal(
            job=JOB, target="main", domain="app", place="here", source="app", snapshot="aa", phase="loading",
            started_at=NOW, changed_at=NOW, pieces=decide.pieces(JOB, {name: name for name in NEW}, self.live),
        )  # fmt: skip

    @property
    def named(self) -> dict[str, str]:
        """What the live names lead to."""
        return {name: content for name, content in self.live.items() if name in NEW}

    def phase(self) -> str:
        found = DatabaseJournals(self.folder).read(JOB)
        return found.phase if found else ""


def closed(scene: Scene) -> None:
    """What must hold after a later start, whatever was killed: one state or the other, and nothing half-loaded."""
    phase = scene.phase()
    assert scene.named == (OLD if phase in ("", "failed", "reverted", "undone") else NEW), phase
    assert "half of it" not in scene.live.values()
    asides = {"kept": set(OLD.values()), "reverted": set(NEW.values()), "undone": set(NEW.values())}
    beside = sorted(content for name, content in scene.live.items() if name not in NEW)
    assert beside == sorted(asides.get(phase, set())), phase


def every_step(folder: Path, prepare: Callable[[Scene], None], act: Callable[[Swapper, Scene], object]) -> set[str]:
    """Kill, and fail, at every step of `act`; a later start ends it, however often that is killed itself. Returns the
    phases in which it ended."""
    phases = set()
    for error in (Killed, lambda: errors.DatabaseUnavailable("It does not answer.")):
        for at in count(1):
            scene = Scene(folder / f"{at}-{error is Killed}")
            prepare(scene)
            faults = Faults(at, error)
            try:
                act(scene.engine(faults), scene)
            except (Killed, errors.DatabaseUnavailable):
                pass
            else:
                if faults.step < at:
                    assert at > 5
                    break
            for name, content in scene.named.items():
                assert content in (OLD.get(name), NEW[name])
            assert {"one", "two"} <= set(scene.named)
            for again in (3, 5, 8, 12):
                with suppress(Killed):
                    scene.engine(Faults(again)).recover()
            scene.engine().recover()
            closed(scene)
            phases.add(scene.phase())
    return phases


def ready(scene: Scene) -> None:
    """A restore has been made."""
    scene.engine().run(scene.journal(), over=True)


def test_every_step_in_memory(tmp_path: Path) -> None:
    """Of three databases, one of which was not live before: all get their names, or none; so with undo and accept."""
    run = every_step(tmp_path / "run", lambda _: None, lambda engine, scene: engine.run(scene.journal(), over=True))
    assert run == {"", "failed", "reverted", "kept"}
    undo = every_step(tmp_path / "undo", ready, lambda engine, _: engine.undo(JOB))
    assert undo == {"kept", "undone"}
    accept = every_step(tmp_path / "accept", ready, lambda engine, _: engine.accept(JOB))
    assert accept == {"kept", "accepted"}


def test_what_differs_gets_no_name(tmp_path: Path) -> None:
    """One wrong table, and nothing is exchanged; what was loaded is gone."""
    scene = Scene(tmp_path, wrong=True)
    with pytest.raises(errors.VerifyFailed, match="differs"):
        scene.engine().run(scene.journal(), over=True, force=True)
    assert (scene.live, scene.phase()) == (OLD, "failed")


def test_a_late_database_of_a_dead_client_is_dropped(tmp_path: Path) -> None:
    """A server may make a database after the client that asked for it was put away; for a while later starts look."""
    scene = Scene(tmp_path)
    with pytest.raises(Killed):
        scene.engine(Faults(4)).run(scene.journal(), over=True)
    scene.engine().recover()
    scene.live[f"rw_{JOB}_0"] = "made late"
    scene.engine().recover()
    assert (scene.live, scene.phase()) == (OLD, "failed")


class Reader:
    """A client that asks production all the time, and comes back when it is disconnected."""

    def __init__(self, site: Site) -> None:
        self._site, self.seen, self.broken = site, Counter[int](), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                with self._site.server.admin(self._site.prod) as connection:
                    while not self._over.wait(0.002):
                        found = connection.execute("SELECT count(*) FROM cards").fetchone()
                        assert found is not None
                        self.seen[found[0]] += 1
            except psycopg.OperationalError:
                self.broken += 1


FEW = 10


@pytest.fixture
def theatre(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[tuple[Stage, Site]]:
    """Production with `FEW` cards left of the `ROWS` that its snapshot has."""
    prod = postgres_server.database()
    lab = make_lab("local", domains={"app_db": source(postgres_server, prod)})
    site = Site(lab, postgres_server, prod, prod)
    site.run("CREATE TABLE cards (id int PRIMARY KEY, name text)")
    site.run(f"INSERT INTO cards SELECT n, 'card ' || n FROM generate_series(1, {ROWS}) n")
    with stage(lab) as play:
        play.well("backup")
        site.run(f"DELETE FROM cards WHERE id > {FEW}")
        yield play, site
    site.clean()


def over(site: Site) -> list[str]:
    """A restore over production, of the snapshot that has all cards."""
    return ["db", "restore", "app_db", "--replace", "--snapshot", site.first]


def ended(play: Stage, site: Site) -> str:
    """Start anything; then what a killed command left is ended. Returns the phase."""
    play.rw("db", "list")
    with site.lab.house() as built:
        journals = built.database_journals.all()
    phase = journals[-1].phase if journals else ""
    closed = phase in ("", "failed", "accepted")
    assert site.cards() == (FEW if closed or phase in ("undone", "reverted") else ROWS), phase
    if closed and len(site.names()) > 1:
        play.rw("db", "list")  # the server was still at work on what a dead client had asked last
    assert len(site.names()) == (1 if closed else 2), phase
    return phase


def put_back(play: Stage, site: Site, at: int = 0) -> None:
    """Undo and accept the newest restore, each killed at that step first."""
    with site.lab.house() as built:
        job = built.database_journals.all()[-1].job
    for words, before in ((("db", "undo", job), "kept"), (("db", "accept", job, "--force"), "undone")):
        if at:
            play.rw(*words, at=at)
        if not at or ended(play, site) == before:
            play.well(*words)


def die(play: Stage, site: Site, at: int, **fate: Any) -> str:
    """Kill a restore at this step; returns the phase in which the next start ended it, and puts production back."""
    play.rw(*over(site), at=at, **fate)
    phase = ended(play, site)
    if phase == "kept":
        put_back(play, site, 0 if fate.get("only") else at // 2)
    return phase


def test_killed_on_a_real_server(theatre: tuple[Stage, Site]) -> None:
    """Whatever is killed, production answers with its old data or with the new, and no name is left over."""
    play, site = theatre
    written = "os.rename"  # a journal or a record, before what it names is begun
    with Reader(site) as reader:
        _, steps = play.rw(*over(site), only=written)
        assert steps is not None and ended(play, site) == "kept"
        put_back(play, site)
        phases = {
            die(play, site, at, only=written, victim=victim) for at, victim in ((steps - 4, "rw"), (steps - 1, "both"))
        }
    assert not running(site.lab) and phases == {"failed", "kept"}
    assert set(reader.seen) <= {FEW, ROWS} and reader.seen[FEW] and reader.seen[ROWS]


def renaming(site: Site) -> bool:
    """Whether the server is at work on an exchange right now."""
    sql = "SELECT 1 FROM pg_stat_activity WHERE query ~ '^ALTER DATABASE .* RENAME' AND application_name = 'resticwrap'"
    with site.server.admin() as connection:
        until(lambda: connection.execute(sql).fetchone(), 30, pause=0.0005)
    return True


@pytest.mark.soak
def test_killed_in_the_middle_of_an_exchange(theatre: tuple[Stage, Site]) -> None:
    """While its psql lives on: both names are exchanged, or neither, and the next start finds out which."""
    play, site = theatre
    with Reader(site) as reader:
        for delay in range(0, 60, 6):
            child = site.lab.start(*over(site))
            renaming(site)
            time.sleep(delay / 1000)
            child.kill()
            child.communicate(timeout=60)
            if ended(play, site) == "kept":
                put_back(play, site)
    assert set(reader.seen) <= {FEW, ROWS} and reader.broken


@pytest.mark.soak
def test_killed_at_every_step_on_a_real_server(theatre: tuple[Stage, Site]) -> None:
    """The same at every step, of `rw` alone and with all that it has started in turn."""
    play, site = theatre
    with Reader(site) as reader:
        _, steps = play.rw(*over(site))
        assert steps is not None
        put_back(play, site)
        phases = {die(play, site, at, victim=("both", "rw")[at % 2]) for at in range(1, steps + 3)}
    assert {"failed"} < phases and set(reader.seen) == {FEW, ROWS}


LOADING = {
    "killed": "head -c 2000 >/dev/null; kill -9 $$",
    "full": "cat >/dev/null; echo 'psql:<stdin>:7: ERROR:  53100: could not extend file' >&2; exit 3",
    "stopped": "kill -QUIT {server}; sleep 0.5",
    "waits": "sleep 30",
}
"""What becomes of the psql that loads; then it goes on as itself, where it lives."""


def wrapped(site: Site, how: str, server: Postgres) -> None:
    """Put a script before the psql that loads."""
    folder = site.lab.folder / "bin"
    if not folder.exists():
        folder.mkdir()
        for program in server.binaries.iterdir():
            (folder / program.name).symlink_to(program)
        (folder / "psql").unlink()
        site.lab.domains["app_db"]["source"]["bin"] = str(folder)
        site.lab.write_policies()
    script = LOADING[how].format(server=server.pid) if how else ""
    (folder / "psql").write_text(
        "#!/bin/sh\n"
        f"case \"$*\" in *rw_restore_*' -f '*|*rw_restore_*' -c '*) ;; *rw_restore_*) {script or ':'};; esac\n"
        f'exec {server.binaries}/psql "$@"\n'
    )
    (folder / "psql").chmod(0o755)


def failed(play: Stage, site: Site, kind: str, code: int = 1) -> None:
    """A restore over production fails so; production has its old data, and nothing half-loaded is there."""
    run, _ = play.rw(*over(site), "--json")
    assert run.code == code, run.err
    assert run.json["error"]["kind"] == kind, run.out
    assert site.server.password not in run.out + run.err
    assert site.cards() == FEW and site.names() == {site.prod}


def test_loads_that_break(theatre: tuple[Stage, Site]) -> None:
    """The client is killed, the disk is full, the dump is cut off, somebody interrupts, another restore is at work."""
    play, site = theatre
    wrapped(site, "killed", site.server)
    failed(play, site, "LoadFailed")
    wrapped(site, "full", site.server)
    failed(play, site, "DiskFull")
    wrapped(site, "", site.server)
    restic = site.lab.env["RW_RESTIC"]
    cut = site.lab.folder / "restic-cut"
    cut.write_text(
        f'#!/bin/sh\ncase " $* " in *\' dump \'*) {restic} "$@" | head -c 3000; echo damaged >&2; exit 1;; esac\n'
        f'exec {restic} "$@"\n'
    )
    cut.chmod(0o755)
    site.lab.env["RW_RESTIC"] = str(cut)
    failed(play, site, "ResticFailed")
    site.lab.env["RW_RESTIC"] = restic
    wrapped(site, "waits", site.server)
    child = site.lab.start(*over(site), "--json")
    until(lambda: len(site.names()) == 2)
    run, _ = play.rw(*over(site), "--json")
    assert (run.code, run.json["error"]["kind"]) == (11, "Locked")
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert site.cards() == FEW and site.names() == {site.prod}


def test_the_server_stops_while_it_loads(make_lab: MakeLab) -> None:
    """Once it is up again production has its old data, and the next start drops what was half-loaded."""
    with start_postgres() as server:
        prod = server.database()
        lab = make_lab("local", domains={"app_db": source(server, prod)})
        site = Site(lab, server, prod, prod)
        site.run(f"CREATE TABLE cards AS SELECT n AS id FROM generate_series(1, {ROWS}) n")
        lab.rw("backup")
        site.run(f"DELETE FROM cards WHERE id > {FEW}")
        words = over(site)
        wrapped(site, "stopped", server)
        error = lab.json(*words, code=1)["error"]
        assert error["kind"] == "DatabaseUnavailable" and "next start" in error["hint"]
        assert lab.rw("backup", code=1).code == 1
        server.start()
        assert site.cards() == FEW and len(site.names()) == 2
        lab.rw("db", "list")
        assert site.cards() == FEW and site.names() == {prod}
