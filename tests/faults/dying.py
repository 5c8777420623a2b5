"""Runs `rw` again and again in forks of one process, each of which may die, or lose its restic, at a chosen step.

A step is an event of Python's audit hooks that changes something outside: a file renamed, removed or opened for
writing, a folder made, a child started. So a loop over all steps is a loop over all of them, not over examples.

`python -m tests.faults.dying` reads one JSON request a line and answers each with one.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Any

CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "subprocess.Popen", "sqlite3.connect"}
)
WRITING = os.O_WRONLY | os.O_RDWR


def children() -> list[int]:
    """The pids of our own children, of whichever thread."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


class Fate:
    """Counts steps and acts on the chosen one, `delay` seconds later.

    `victim`: `rw` (restic lives on, an orphan), `restic` (rw lives on), or `both`. With `file`, a pattern, it waits
    for one more file of that name before it counts the delay.
    """

    def __init__(self, at: int, victim: str, delay: float, only: str, file: str) -> None:
        self.steps = 0
        self._at, self._victim, self._delay, self._only, self._file = at, victim, delay, only, file
        self._mutex = threading.RLock()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITING or arguments[0] == "/dev/null":
                return
        elif event not in CHANGES:
            return
        if self._only and event != self._only:
            return
        with self._mutex:
            self.steps += 1
            if self.steps != self._at:
                return
        if self._delay or self._file:
            threading.Thread(target=self._later, args=(len(self._files()),), daemon=True).start()
        else:
            self._strike()

    def _files(self) -> list[str]:
        return glob(self._file) if self._file else []

    def _later(self, before: int) -> None:
        while self._file and len(self._files()) <= before:
            time.sleep(0.001)
        time.sleep(self._delay)
        self._strike()

    def _strike(self) -> None:
        if self._victim != "rw":
            for pid in children():
                os.kill(pid, signal.SIGKILL)
        if self._victim != "restic":
            os.kill(os.getpid(), signal.SIGKILL)


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run one request in a fork and say how it ended: its exit code (negative: a signal) and how many steps it took."""
    told = Path(request["out"]).with_suffix(".steps")
    told.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number, name in ((1, request["out"]), (2, request["err"])):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        fate = Fate(request["at"], request["victim"], request["delay"], request["only"], request["file"])
        code: Any = 1
        try:
            from resticwrap.cli.main import main

            sys.addaudithook(fate.hook)
            main(request["args"], prog_name="rw")
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            steps = fate.steps
            told.write_text(str(steps))
            os._exit(code if isinstance(code, int) else 1)
    _, status = os.waitpid(pid, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "steps": int(told.read_text()) if told.exists() else None,
    }


def main() -> None:
    """Import what commands need once, then serve."""
    import resticwrap.bootstrap
    import resticwrap.catalog.jobs
    import resticwrap.report.text
    import resticwrap.services.verify  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
