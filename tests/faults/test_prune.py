"""A prune that is killed, ended, crowded or out of room: nothing that is needed is lost, and the next one works."""

import os
import shutil
import time
from dataclasses import replace

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import (
    lock_files,
    logged,
    outcomes,
    packs,
    pids,
    running,
    snapshot_files,
    sound,
    stage,
    unlogged,
    until,
)
from tests.faults.test_full_disk import room
from tests.integration.test_prune import MIB, rule, stored
from tests.lab import Lab, tree


def waste(lab: Lab) -> None:
    """A snapshot that shares its packs with one that is forgotten."""
    before = snapshot_files(lab)
    for number in range(4):
        lab.write(f"exams/kept_{number}.bin", os.urandom(100_000))
        lab.write(f"exams/old_{number}.bin", os.urandom(150_000))
    lab.rw("backup", "--domain", "exams")
    old = snapshot_files(lab) - before
    for number in range(4):
        (lab.data / "exams" / f"old_{number}.bin").unlink()
    lab.rw("backup", "--domain", "exams")
    lab.bare("forget", *old)


@pytest.fixture
def wasteful(lab: Lab) -> Lab:
    waste(lab)
    rule(lab, max_unused="0%")
    return lab


def whole(lab: Lab) -> None:
    """All that was backed up last comes back."""
    place = lab.folder / f"back-{os.urandom(3).hex()}"
    lab.rw("restore", "--domain", "exams", "--to", str(place))
    assert tree(place / "exams") == tree(lab.data / "exams")


@pytest.mark.parametrize("victim", ["both", "rw", "restic"])
def test_killed_anywhere(wasteful: Lab, victim: str) -> None:
    """Backup, verify and prune work again after it."""
    lab = wasteful
    with stage(lab) as theatre:
        for delay in (0.05, 0.15, 0.3):
            theatre.rw("prune", "--tier", "hot", at=1, only="subprocess.Popen", delay=delay, victim=victim)
        for at in (2, 7, 12) if victim == "rw" else ():
            theatre.rw("prune", "--tier", "hot", at=at, victim=victim)
        lab.write("exams/more.bin", os.urandom(5000))
        theatre.well("backup")
        theatre.well("verify", "--share", "1")
        theatre.well("prune")
    assert not running(lab)
    whole(lab)
    sound(lab, snapshot_files(lab))


def test_ended_by_its_deadline(make_lab: MakeLab) -> None:
    """In the middle of a repack it is interrupted cleanly: it says so, exits 3, leaves no lock; the next goes on."""
    lab = make_lab("local")
    waste(lab)
    lab.target["limit_upload"] = 40
    lab.write_policies()
    before = stored(lab)
    rule(lab, max_unused="0%", deadline="2s")
    started = time.monotonic()
    run = lab.rw("prune", "--tier", "hot", code=3)
    assert time.monotonic() - started < 15
    assert "after 2s, as prune.deadline says; nothing is lost" in " ".join(run.out.split())
    assert outcomes(lab, "prune") == ["partial"] and not running(lab)
    del lab.target["limit_upload"]
    lab.write_policies()
    whole(lab)
    lab.rw("verify", "--share", "1", "--tier", "hot")
    rule(lab, max_unused="0%")
    assert lab.json("prune")["job"]["outcome"] == "ok"
    assert stored(lab) < before
    sound(lab, snapshot_files(lab))


def test_interrupted(wasteful: Lab) -> None:
    """Ctrl-C in the middle of a repack: 130, recorded as interrupted, no lock left, and the next one works."""
    lab = wasteful
    lab.target["limit_upload"] = 40
    lab.write_policies()
    rule(lab, max_unused="0%")
    log = logged(lab)
    process = lab.start("prune", "--tier", "hot")
    until(lambda: pids(log, "prune"))
    time.sleep(1.5)
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert outcomes(lab, "prune") == ["interrupted"] and lock_files(lab) == []
    unlogged(lab)
    del lab.target["limit_upload"]
    lab.write_policies()
    lab.rw("prune")
    whole(lab)
    sound(lab, snapshot_files(lab))


def other_machine(lab: Lab) -> Lab:
    """The same target and data, another state directory and cache."""
    other = replace(lab, folder=lab.folder / "other", env={})
    shutil.copytree(lab.folder / "policies", other.folder / "policies", dirs_exist_ok=True)
    other.rw("init")
    return other


@pytest.mark.parametrize("machines", [1, 2])
def test_two_at_once(wasteful: Lab, machines: int) -> None:
    """The second waits for the first; both end well."""
    lab = wasteful
    before = stored(lab)
    other = other_machine(lab) if machines == 2 else lab
    both = [one.start("prune", "--tier", "hot") for one in (lab, other)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)
    assert stored(lab) < before
    whole(lab)
    sound(lab, snapshot_files(lab))


def test_a_verify_is_waited_for(wasteful: Lab) -> None:
    """No prune begins while a verify of this machine reads the repository."""
    lab = wasteful
    log = logged(lab)
    with lab.house() as built:
        url = built.context.hot.url
        with built.context.locks.hold(f"maintenance {url}", shared=True):
            process = lab.start("prune", "--tier", "hot")
            time.sleep(1.5)
            assert " prune" not in log.read_text()
    process.communicate(timeout=60)
    assert process.returncode == 0
    until(lambda: " prune" in log.read_text())
    unlogged(lab)


def test_hardly_any_room(wasteful: Lab) -> None:
    """On a disk that is nearly full nothing is repacked, but what nothing needs makes room; full, it says so."""
    lab = wasteful
    lab.write("exams/large.bin", os.urandom(3 * MIB))
    known = snapshot_files(lab)
    lab.rw("backup", "--domain", "exams")
    (lab.data / "exams" / "large.bin").unlink()
    lab.rw("backup", "--domain", "exams")
    newest = sorted(lab.store.rglob("snapshots/*"), key=lambda path: path.stat().st_mtime_ns)[-1].name
    large = snapshot_files(lab) - known - {newest}
    lab.bare("forget", *large)
    with room(lab, lab.store, "12m") as disk:
        report = disk.rw("prune", "--json").json
        hot = report["plan"]["tiers"][0]
        assert hot["cacheable_only"] and "nearly full" in hot["why"]
        assert report["tiers"][0]["stored_after"] < report["tiers"][0]["stored"]
        disk.fill()
        disk.rw("prune", code=1)
        disk.make_room()
        disk.rw("prune")
        disk.rw("verify", "--share", "1")
    assert len(packs(lab)) > 0
