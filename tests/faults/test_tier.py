"""Copies to cold that die at any step, or meet one another: nothing is marked that is not proven, nothing is lost."""

import os
from collections.abc import Iterator, Sequence

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import Stage, locks, outcomes, paused, running, snapshot_files, stage
from tests.faults.test_two_at_once import result
from tests.lab import RAW, Lab, tree
from tests.past import originals

KILLED = -9


@pytest.fixture
def theatre(make_lab: MakeLab) -> Iterator[Stage]:
    """A lab of one domain with a full in hot."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 5)
    lab.rw("backup", "--type", "full")
    with stage(lab) as built:
        yield built


def changed(lab: Lab) -> None:
    """One more full, of other data."""
    lab.write("exams/new.bin", os.urandom(20_000))
    lab.rw("backup", "--type", "full")


def marked_are_whole(lab: Lab) -> None:
    """Every snapshot that bears the mark can be restored from cold alone, and hot lost nothing."""
    for original in originals(lab, "cold", tier="cold"):
        assert original in originals(lab, "hot")
    lab.bare("check", "--read-data", "--no-lock", tier="cold")


def die(theatre: Stage, steps: Sequence[int], victims: Sequence[str]) -> None:
    lab = theatre.lab
    for count, at in enumerate(steps):
        run, ended = theatre.rw("tier", "run", at=at, victim=victims[count % len(victims)])
        assert (run.code == KILLED) == (ended is None) or victims[count % len(victims)] == "restic", run.err
        if ended is not None:
            changed(lab)
        if count % 6 == 5 or count == len(steps) - 1:
            theatre.well("tier", "run")
            assert not running(lab)
            marked_are_whole(lab)
            changed(lab)


def test_killed_at_each_step(theatre: Stage) -> None:
    """Every third step in one loop, `rw` alone and with its restic in turn: the next run goes on from there."""
    _, steps = theatre.rw("tier", "run")
    assert steps is not None and steps > 20
    changed(theatre.lab)
    die(theatre, range(1, steps + 1, 3), ("both", "rw"))


def test_restic_dies_at_each_of_its_starts(theatre: Stage) -> None:
    """The job is recorded as failed or goes on; nothing bears the mark that is not proven."""
    lab = theatre.lab
    _, starts = theatre.rw("tier", "run", only="subprocess.Popen")
    assert starts is not None and starts >= 4
    for at in range(1, starts + 1):
        changed(lab)
        theatre.rw("tier", "run", at=at, victim="restic", only="subprocess.Popen", delay=0.05)
        marked_are_whole(lab)
    theatre.well("tier", "run")
    assert lab.json("tier", "plan")["copies"] == [] and originals(lab, "cold", tier="cold")
    assert set(outcomes(lab, "copy")) <= {"ok", "failed", "interrupted", "partial"}
    assert all(lock.state == "dead" for tier in ("hot", "cold") for lock in locks(lab, tier))


def test_two_at_once_on_one_machine(theatre: Stage) -> None:
    """The second waits for the first and has nothing left to do."""
    lab = theatre.lab
    with paused(lab, "copy", "tier", "run", "--json") as first:
        second = lab.start("tier", "run", "--json")
    assert [result(process)[0] for process in (first, second)] == [0, 0]
    assert originals(lab, "cold", tier="cold") == originals(lab, "hot")
    assert len(snapshot_files(lab, "cold")) == 1


def test_two_machines_copy_at_once(theatre: Stage) -> None:
    """Each has a state directory of its own, so neither sees the other's lock: a copy too much at the worst."""
    lab = theatre.lab
    other = {"RW_STATE_DIR": str(lab.folder / "other"), "RESTIC_CACHE_DIR": str(lab.folder / "other-cache")}
    lab.rw("init", env=other)
    lab.rw("catalog", "rebuild", env=other)
    with paused(lab, "copy", "tier", "run", "--json") as first:
        done = lab.rw("tier", "run", "--json", env=other)
        assert done.json["left"] == {}
    assert result(first)[0] == 0
    assert originals(lab, "cold", tier="cold") == originals(lab, "hot")
    marked_are_whole(lab)
    assert lab.json("tier", "plan")["copies"] == []


def test_what_is_in_cold_is_what_was_in_hot(theatre: Stage) -> None:
    """Bare restic restores the copy: the same bytes."""
    lab = theatre.lab
    lab.rw("tier", "run")
    (id_,) = snapshot_files(lab, "cold")
    place = lab.folder / "from-cold"
    lab.bare("restore", id_, "--target", str(place), tier="cold")
    assert tree(place / "exams") == tree(lab.data / "exams")
