"""Restores of databases, killed and broken at every step: live names lead to the old data or to the new, whole."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.host.journals import DatabaseJournals
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.planning import dbrestore as decide
from resticwrap.services.database_ports import Server
from resticwrap.services.databases.swapping import Swapper
from tests.faults.test_inplace import Faults, Faulty, Killed

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
        faults = faults or Faults()
        server, scene = Faulty(self, faults), self

        class Work:
            def server(self, journal: DbJournal) -> Any:
                return server

            def load(self, journal: DbJournal, server: Server) -> Sequence[RestoredDatabase]:
                done = []
                for piece in journal.pieces:
                    faults.tick()
                    scene.live[piece.beside] = "half of it"
                    faults.tick()
                    scene.live[piece.beside] = NEW[piece.database]
                    wrong = ("cards: differs",) if scene.wrong else ()
                    done.append(
                        RestoredDatabase(database=piece.database, name=piece.live, tables=1, rows=1, wrong=wrong)
                    )
                return done

            def __getattr__(self, name: str) -> Any:
                return getattr(scene, name)

        return Swapper(
            journals=cast(Any, Faulty(DatabaseJournals(self.folder), faults)),
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
