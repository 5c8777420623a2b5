"""SIGINT, SIGTERM and SIGHUP to `rw`, and standard streams that are closed: restic is stopped cleanly, records are."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.machine import alive, lock_files, logged, outcomes, packs, pids, running, sound, unlogged, until
from tests.lab import PASSWORD, Lab, tree

KIB = 1024


def slow(lab: Lab, kib_per_second: int | None) -> None:
    """Restic as through a thin line, so that a signal meets it at work."""
    for direction in ("limit_upload", "limit_download"):
        lab.target.pop(direction, None)
        if kib_per_second:
            lab.target[direction] = kib_per_second
    lab.write_policies()


def ended(process: "subprocess.Popen[bytes]", code: int, seconds: float = 20) -> str:
    """Wait for `rw`; its exit code and what it printed, without a traceback."""
    out, err = process.communicate(timeout=seconds)
    text = out.decode() + err.decode()
    assert process.returncode == code, text
    assert "Traceback" not in text and PASSWORD not in text
    return text


@pytest.fixture
def full(lab: Lab) -> Lab:
    """A lab with a backup of a domain that takes a slow restic long."""
    lab.write("exams/large.bin", os.urandom(3000 * KIB))
    lab.rw("backup", "--domain", "exams")
    return lab


COMMANDS = {
    "backup": (["backup", "--type", "full", "--domain", "exams"], "backup", "backup"),
    "verify": (["verify", "--share", "1"], "check", "verify"),
    "restore": (["restore", "--domain", "exams", "--to", "back"], "restore", "restore"),
}


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("backup", signal.SIGINT),
        ("backup", signal.SIGTERM),
        ("backup", signal.SIGHUP),
        ("verify", signal.SIGTERM),
        ("restore", signal.SIGINT),
    ],
)
def test_signal(full: Lab, command: str, number: signal.Signals) -> None:
    """A signal ends `rw` with 130 in seconds, also a second one: restic has gone before, with its lock."""
    lab, (words, child, kind) = full, COMMANDS[command]
    if command == "backup":
        lab.write("exams/larger.bin", os.urandom(6000 * KIB))
    slow(lab, 400)
    log = logged(lab)
    process = lab.start(*words)
    until(lambda: pids(log, child))
    (pid,) = pids(log, child)[:1]
    time.sleep(0.5)
    assert alive(pid), "restic was not at work any more"
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)
    ended(process, 130)
    assert not alive(pid)
    assert lock_files(lab) == []
    slow(lab, None)
    unlogged(lab)
    lab.rw(*words)
    assert outcomes(lab, kind)[1] == "interrupted"
    sound(lab)
    if command == "restore":
        assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")


def test_terminal(full: Lab) -> None:
    """Ctrl-C in a terminal reaches the whole group: restic is interrupted once, by us, and waited for."""
    lab = full
    slow(lab, 400)
    log = logged(lab)
    lab.write("exams/larger.bin", os.urandom(6000 * KIB))
    process = lab.start("backup", "--domain", "exams")
    until(lambda: len(packs(lab)) > 0 and pids(log, "backup") and lock_files(lab))
    os.killpg(process.pid, signal.SIGINT)
    text = ended(process, 130)
    assert "nterrupted" in text
    assert lock_files(lab) == []
    assert not running(lab)


def test_interrupted_while_waiting_for_a_lock(full: Lab) -> None:
    """Waiting for somebody else's lock ends at once too."""
    lab = full
    log = logged(lab, "case \" $* \" in *' backup '*) exit 11;; esac")
    process = lab.start("backup", "--domain", "exams")
    until(lambda: pids(log, "backup"))
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    ended(process, 130, 5)
    assert not running(lab)


def test_reader_gone(lab: Lab) -> None:
    """A reader that has seen enough ends the listing, quietly."""
    for number in range(1500):
        lab.write(f"exams/{number:04d}-{'x' * 60}.json", b"{}")
    lab.rw("backup", "--domain", "exams")
    script = " ".join(lab.command("ls", "--domain", "exams", "--json")) + " | head -1; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", script], env=lab.env, cwd=lab.folder, capture_output=True)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""
    assert done.returncode in (0, 1, 141)


@pytest.mark.parametrize("command", [["backup", "--json"], ["backup"], ["verify", "--json"]])
def test_nobody_reads(lab: Lab, command: list[str]) -> None:
    """A job whose reader went away before it ended is done and recorded as any other."""
    lab.fill("exams", 3)
    lab.rw("backup")
    lab.fill("profiles", 3)
    process = lab.start(*command)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    process.wait(30)
    assert not running(lab)
    assert outcomes(lab, command[0])[0] == "ok"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_streams_closed(lab: Lab, closed: str) -> None:
    """Without standard streams, as some init systems start programs, nothing of ours takes their places."""
    lab.fill("exams", 3)
    command = " ".join(lab.command("backup"))
    done = subprocess.run(["bash", "-c", f"{command} {closed}"], env=lab.env, cwd=lab.folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert outcomes(lab, "backup") == ["ok"]
    lab.rw("restore", "--domain", "exams", "--to", "back")
    assert tree(Path(lab.folder / "back" / "exams")) == tree(lab.data / "exams")
