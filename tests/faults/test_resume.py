"""A first backup that was killed half-way: what it had uploaded counts, and is not uploaded again."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import lock_files, logged, packs, pids, snapshot_files, sound, unlogged, until
from tests.faults.test_locks import foreign
from tests.lab import Lab

MIB = 1 << 20
LINE = 60 << 10
"""KiB a second to the store, so that a kill meets the half and not the end, on any machine."""


def random_file(path: Path, size: int) -> None:
    """Bytes that do not compress, written piece by piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def stored(lab: Lab) -> int:
    """Bytes in packs, also in unfinished ones."""
    total = 0
    for path in packs(lab):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            pass
    return total


def killed_half_way(lab: Lab, size: int, victims: str = "both") -> int:
    """Back the domain up, and kill when half of it lies in the store. Returns what lies there then."""
    lab.target["limit_upload"] = LINE
    lab.write_policies()
    log = logged(lab)
    process = lab.start("backup", "--domain", "exams")
    until(lambda: stored(lab) >= size * 0.52, seconds=120, pause=0.02)
    if victims == "both":
        process.kill()
    for pid in pids(log, "backup"):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert snapshot_files(lab) == set()
    unlogged(lab)
    del lab.target["limit_upload"]
    lab.write_policies()
    return stored(lab)


def resumed(lab: Lab, size: int, victims: str = "both") -> float:
    """The share of the data that the next run uploads again."""
    before = killed_half_way(lab, size, victims)
    report = lab.json("backup", "--domain", "exams")
    assert report["warnings"] == []
    (run,) = report["job"]["domains"]
    assert run["outcome"] == "ok"
    return (stored(lab) - before) / size


def test_resume(make_lab: MakeLab) -> None:
    """Killed half-way, at most 60 % is uploaded again."""
    lab = make_lab("local", compression="off")
    size = 640 * MIB
    random_file(lab.data / "exams" / "scan.tar", size)
    assert resumed(lab, size) <= 0.6
    sound(lab)


def test_resume_of_a_small_one(lab: Lab) -> None:
    """Below 256 MiB nothing is repaired first: uploading it again is quicker than waiting for a quiet repository."""
    size = 64 * MIB
    random_file(lab.data / "exams" / "scan.tar", size)
    killed_half_way(lab, size)
    log = logged(lab)
    lab.rw("backup", "--domain", "exams")
    assert pids(log, "repair") == []


def test_resume_in_a_busy_repository(make_lab: MakeLab) -> None:
    """Where somebody else is at work the job does not wait for long: it says so, goes on, and uploads again."""
    lab = make_lab("local", lock_wait="30s")
    lab.fill("exams", 3)
    lab.rw("backup", "--domain", "exams")
    latest = lab.state / "latest_main.json"
    # As a large one that was interrupted leaves it.
    latest.write_text(json.dumps({**json.loads(latest.read_text()), "unindexed": 300 * MIB}))
    lab.fill("exams", 5)
    with foreign(lab, "backup", "--host", "x", "/etc/hostname"):
        theirs = lock_files(lab)
        report = lab.json("backup", "--domain", "exams")
        assert any("busy" in warning for warning in report["warnings"]), report["warnings"]
        assert report["job"]["domains"][0]["outcome"] == "ok"
        assert lock_files(lab) == theirs
    # It is made up for as soon as the repository is quiet, and then no more.
    log = logged(lab)
    lab.rw("backup", "--domain", "exams")
    lab.rw("backup", "--domain", "exams")
    assert len(pids(log, "repair")) == 1
    sound(lab)


@pytest.mark.soak
@pytest.mark.parametrize("victims", ["both", "restic"])
def test_resume_of_three_gib(make_lab: MakeLab, victims: str) -> None:
    """The same in full size, with and without `rw` itself."""
    lab = make_lab("local")
    size = 3072 * MIB
    random_file(lab.data / "exams" / "scan.tar", size)
    share = resumed(lab, size, victims)
    print(f"{share:.0%} was uploaded again")
    assert share <= 0.6
    sound(lab)
