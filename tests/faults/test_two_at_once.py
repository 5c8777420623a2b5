"""Two commands at once on one repository: each does its work, or says in seconds why not; nothing is stored wrongly."""

import json
import os
import signal
import subprocess

from tests.conftest import MakeLab
from tests.faults.machine import (
    lock_files,
    logged,
    outcomes,
    paused,
    pids,
    running,
    snapshot_files,
    sound,
    unlogged,
    until,
)
from tests.faults.test_locks import repair
from tests.lab import Lab


def result(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """How it ended; never with a traceback."""
    out, err = process.communicate(timeout=60)
    text = (out + err).decode()
    assert "Traceback" not in text and "did not foresee" not in text, text
    return process.returncode, text


def test_backup_while_verify_runs(lab: Lab) -> None:
    """An incremental finishes while a verify is in the middle of its long read, which then ends well too."""
    lab.fill("exams", 5)
    lab.rw("backup")
    with paused(lab, "check", "verify", "--share", "1") as verify:
        lab.fill("profiles", 3)
        report = lab.json("backup")
        assert report["job"]["outcome"] == "ok"
        assert verify.poll() is None
    code, text = result(verify)
    assert code == 0, text
    assert outcomes(lab, "verify") == ["ok"]
    sound(lab)


def test_same_domain(lab: Lab) -> None:
    """Of two incrementals of one domain at once one works and the other says at once that it is being done."""
    lab.fill("exams", 5)
    with paused(lab, "backup", "backup", "--domain", "exams") as first:
        run = lab.rw("backup", "--domain", "exams", code=11)
        assert "what to do" in run.err or "locked by process" in run.out + run.err
    assert result(first)[0] == 0
    assert len(snapshot_files(lab)) == 1
    assert outcomes(lab, "backup").count("ok") == 1
    sound(lab)


def test_same_domain_by_chance(lab: Lab) -> None:
    """Started at the same moment, at least one of two works, whichever it is, and none leaves anything open."""
    for _ in range(3):
        lab.fill("exams", 2)
        both = [lab.start("backup", "--domain", "exams") for _ in range(2)]
        codes = sorted(result(process)[0] for process in both)
        assert codes in ([0, 0], [0, 11])
        assert not running(lab)
    sound(lab)


def test_different_domains(lab: Lab) -> None:
    """Two jobs of different domains pass each other, and the next one starts from what both wrote."""
    lab.fill("exams", 5)
    lab.fill("profiles", 5)
    with paused(lab, "backup", "backup", "--domain", "exams") as first:
        lab.rw("backup", "--domain", "profiles")
    assert result(first)[0] == 0
    latest = json.loads((lab.state / "latest_main.json").read_text())
    assert set(latest["domains"]) == {"exams", "profiles"}
    report = lab.json("backup")
    assert [run["outcome"] for run in report["job"]["domains"]] == ["unchanged", "unchanged"]
    sound(lab)


def test_incremental_beside_full(lab: Lab) -> None:
    """An incremental need not wait for a full of its own domain, and its later look is the one that counts."""
    lab.fill("exams", 5)
    lab.rw("backup", "--domain", "exams")
    with paused(lab, "backup", "backup", "--type", "full", "--domain", "exams") as full:
        lab.fill("exams", 6)
        report = lab.json("backup", "--domain", "exams")
    assert result(full)[0] == 0
    latest = json.loads((lab.state / "latest_main.json").read_text())
    assert latest["domains"]["exams"]["snapshot"] == report["job"]["domains"][0]["snapshot"]
    sound(lab)


def test_two_verifies(lab: Lab) -> None:
    """Two verifies at once both end well."""
    lab.fill("exams", 5)
    lab.rw("backup")
    with paused(lab, "check", "verify") as first:
        lab.rw("verify")
    assert result(first)[0] == 0
    assert outcomes(lab, "verify") == ["ok", "ok"]


def test_two_inits(make_lab: MakeLab) -> None:
    """Two `rw init` at once make one pair of repositories; whoever came second adopts it, or says to try again."""
    lab = make_lab("local", ready=False)
    both = [lab.start("init") for _ in range(2)]
    ends = [result(process) for process in both]
    assert 0 in [code for code, _ in ends], ends
    lab.rw("init")
    lab.fill("exams", 2)
    lab.rw("backup")
    lab.bare("check")


def test_backup_while_the_index_is_repaired(make_lab: MakeLab) -> None:
    """A backup waits for our own exclusive lock, and works once its holder has ended."""
    lab = make_lab("local", lock_wait="30s")
    lab.fill("exams", 3)
    lab.rw("backup")
    log = logged(lab)
    process = repair(lab)
    until(lambda: lock_files(lab), pause=0.001)
    (pid,) = pids(log, "repair")
    os.kill(pid, signal.SIGSTOP)
    lab.fill("profiles", 3)
    backup = lab.start("backup", "--domain", "profiles")
    until(lambda: pids(log, "backup"))
    os.kill(pid, signal.SIGCONT)
    assert process.wait(30) == 0
    code, text = result(backup)
    assert code == 0, text
    unlogged(lab)
    sound(lab)
