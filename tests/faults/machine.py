"""What the fault suites share: a stage on which `rw` dies at a chosen step, and what must hold afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resticwrap.model.reports import LockInfo
from tests.lab import PASSWORD, Lab, Run

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """A running `tests.faults.dying`, for one lab."""

    lab: Lab
    process: "subprocess.Popen[bytes]"

    def rw(
        self,
        *arguments: str,
        at: int = 0,
        victim: str = "both",
        delay: float = 0,
        only: str = "",
        file: str = "",
        env: Mapping[str, str] | None = None,
    ) -> tuple[Run, int | None]:
        """Run `rw`; at step `at` its fate strikes (see `dying.Fate`). Returns how it ended, and how many steps it took
        if it ended."""
        out, err = self.lab.folder / "stage.out", self.lab.folder / "stage.err"
        request = {
            "args": arguments,
            "env": {**self.lab.env, **(env or {})},
            "cwd": str(self.lab.folder),
            "out": str(out),
            "err": str(err),
            "at": at,
            "victim": victim,
            "delay": delay,
            "only": only,
            "file": file,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        run = Run(answer["code"], out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))
        assert "Traceback" not in run.err, run.err
        assert "did not foresee" not in run.out + run.err, run.err + run.out
        assert PASSWORD not in run.out + run.err
        return run, answer["steps"]

    def well(self, *arguments: str) -> Run:
        """Run `rw` to its end; it must exit 0."""
        run, _ = self.rw(*arguments)
        assert run.code == 0, f"rw {arguments} exited {run.code}\n{run.out}\n{run.err}"
        return run


@contextmanager
def stage(lab: Lab) -> Iterator[Stage]:
    """A stage for one lab."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.dying"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Stage(lab, process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def logged(lab: Lab, script: str = "") -> Path:
    """Put a script before restic: it notes `PID arguments` in the log (returned), runs `script`, and becomes restic."""
    wrapper, log = lab.folder / "restic-logged", lab.folder / "restic.log"
    log.touch()
    wrapper.write_text(
        f"#!/bin/sh\ncase \" $* \" in *' version '*) exec '{lab.restic}' \"$@\";; esac\n"
        f"echo \"$$ $*\" >> '{log}'\n{script}\nexec '{lab.restic}' \"$@\"\n"
    )
    wrapper.chmod(0o755)
    lab.env["RW_RESTIC"] = str(wrapper)
    return log


def unlogged(lab: Lab) -> None:
    """restic itself again."""
    lab.env["RW_RESTIC"] = str(lab.restic)


def pids(log: Path, word: str) -> list[int]:
    """The pids of the restics that were started with this word among their arguments."""
    return [int(line.split()[0]) for line in log.read_text().splitlines() if word in line.split()[1:]]


def until(what: Callable[[], object], seconds: float = 20, pause: float = 0.005) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(pause)


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def lock_files(lab: Lab, tier: str = "hot") -> list[Path]:
    """The lock objects of a local repository; one that is still being written is none yet."""
    folder = lab.store / lab.namespace / tier / "locks"
    return sorted(path for path in folder.iterdir() if len(path.name) == 64) if folder.is_dir() else []


def snapshot_files(lab: Lab, tier: str = "hot") -> set[str]:
    """The snapshots of a local repository."""
    return {path.name for path in (lab.store / lab.namespace / tier / "snapshots").iterdir()}


def packs(lab: Lab) -> list[Path]:
    """The packs of a local hot repository."""
    return [path for path in (lab.store / lab.namespace / "hot" / "data").rglob("*") if path.is_file()]


def locks(lab: Lab, tier: str = "hot") -> list[LockInfo]:
    """The locks as `rw` judges them."""
    with lab.house() as built:
        return list(built.context.repositories[tier].locks())


def running(lab: Lab) -> list[str]:
    """The jobs whose records are open."""
    with lab.house() as built:
        spooled = [job.id for job in built.state.spooled() if job.outcome == "running"]
        return spooled + [job.id for job in built.catalog.open_jobs("main") if job.id not in spooled]


def outcomes(lab: Lab, kind: str) -> list[str]:
    """How the jobs of a kind ended, newest first."""
    with lab.house() as built:
        return [job.outcome for job in built.catalog.jobs("main", kind=kind)]


def sound(lab: Lab, earlier: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """All earlier snapshots are there, everything reads back, nothing of ours blocks an exclusive command."""
    assert earlier <= snapshot_files(lab)
    assert not running(lab)
    with lab.house() as built:
        assert built.context.hot.repair_index(30)  # an orphan of the kill may still be ending
    assert lock_files(lab) == []
    lab.bare("check", "--read-data")


def restored(lab: Lab, snapshot: str) -> Path:
    """A snapshot, restored by bare restic."""
    place = lab.folder / f"bare-{snapshot[:8]}-{os.urandom(2).hex()}"
    lab.bare("restore", snapshot, "--target", str(place))
    return place


@contextmanager
def paused(lab: Lab, word: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`rw COMMAND` at work, with its restic that has this word among its arguments paused; goes on afterwards."""
    log = logged(lab)
    process = lab.start(*command)
    until(lambda: pids(log, word), pause=0.001)
    pid = pids(log, word)[0]
    os.kill(pid, signal.SIGSTOP)
    unlogged(lab)
    try:
        yield process
    finally:
        os.kill(pid, signal.SIGCONT)
