"""SIGKILL at every step of the scheduler, with and without what it had started. The next one does exactly what is due:
every moment is settled once, nothing is run twice, nothing stays open."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from resticwrap.catalog.state import FolderState
from resticwrap.clock import SystemClock
from resticwrap.errors import INTERRUPTED
from resticwrap.host.children import RunChildren
from resticwrap.host.locks import FlockLocks
from resticwrap.host.timer import ApTimer
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning.schedule import outcome
from resticwrap.services.schedule.attending import Attended
from resticwrap.services.schedule.ledger import Bookkeeper, Ledger
from resticwrap.services.schedule.scheduler import Parts, Scheduler
from tests.faults.dying import CHANGES, WRITING, children
from tests.faults.machine import until
from tests.simulated import World

Victim = Literal["scheduler", "both"]
WORK = """echo "begin $RW_SCHEDULED_RUN" >>'{log}'; sleep 0.15; echo "end $RW_SCHEDULED_RUN" >>'{log}'
echo '{{"job": {{"id": "snapshot_1", "outcome": "ok"}}}}'
"""


class Gone(World):
    """A world with real children: a program that takes a moment, and notes when it begins and when it has done all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"often": {"every": "1h"}, "full": {"kind": "backup", "type": "full", "every": "1h"}})
        self.log, self.work = folder / "log", folder / "work.sh"
        self.log.touch()
        self.work.write_text(WORK.format(log=self.log))
        self.real = SystemClock()

    def real_scheduler(self) -> Scheduler:
        ledger = Ledger(self.files, FolderState(self.state), lambda: self.catalog, lambda: "vm", self.real)
        locks = FlockLocks(self.state, self.real)
        made = RunChildren(
            self.state / "schedule" / "children",
            locks,
            {"PATH": os.environ["PATH"]},
            self.real,
            outcome=outcome,
            variable="RW_SCHEDULED_RUN",
            say=lambda run, line: None,
            rw=["/bin/sh", str(self.work)],
        )
        return Scheduler(
            parts=Parts(
                policies=self.policies,
                ledger=ledger,
                children=made,
                timer=ApTimer(self.real),
                attended=Attended([Bookkeeper(ledger)]),
                locks=locks,
                clock=self.real,
                machine="vm",
                pid=os.getpid(),
                version="1",
            ),
            settings=self.load(),
        )

    def fork(self, call: Callable[[Scheduler], object], at: int, victim: Victim) -> tuple[int, int]:
        """Run a scheduler in a process of its own, which is killed at a step; how it ended, and how many there were."""
        self.catalog.close()
        told = self.folder / "steps"
        told.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                steps = [0]

                def hook(event: str, arguments: tuple[object, ...]) -> None:
                    if event == "open":
                        flags = arguments[2]
                        if not isinstance(flags, int) or not flags & WRITING or arguments[0] == "/dev/null":
                            return
                    elif event not in CHANGES:
                        return
                    steps[0] += 1
                    if steps[0] == at:
                        if victim == "both":
                            for child in children():
                                os.killpg(child, signal.SIGKILL)
                        os.kill(os.getpid(), signal.SIGKILL)

                scheduler = self.real_scheduler()
                sys.addaudithook(hook)
                call(scheduler)
                code = 0
                told.write_text(str(steps[0]))
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), int(told.read_text()) if told.exists() else 0

    def settled(self) -> None:
        """Both moments were worked on to the end, once, and every run of the books is closed and true."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        ended = {run for word, run in lines if word == "end"}
        runs = {run.id: run for run in self.runs()}
        assert self.files.spooled() == [] and self.catalog.open_runs("vm") == []
        assert Counter(run.name for run in runs.values() if run.outcome == "ok") == {"often": 1, "full": 1}, runs
        assert {run.id for run in runs.values() if run.outcome == "ok"} <= ended
        # Where only the scheduler died, no work is done twice; where its child died too, it was not done before.
        assert Counter(runs[run].name for run in ended) == {"often": 1, "full": 1}, lines
        assert {run.outcome for run in runs.values()} <= {"ok", "lost"}
        assert not list((self.state / "schedule" / "children").iterdir())


def once(scheduler: Scheduler) -> None:
    runs: Sequence[ScheduledRun] = scheduler.once()
    assert all(run.outcome in ("ok", "lost") for run in runs)


def die_at(folder: Path, steps: Sequence[int], victim: Victim) -> int:
    """How many of these steps there were."""
    hit = 0
    for at in steps:
        place = folder / f"{victim}-{at}"
        here = Gone(place)
        code, _ = here.fork(once, at, victim)
        hit += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
        code, _ = here.fork(once, 0, victim)
        assert code == 0
        here.settled()
        here.catalog.close()
    return hit


def all_steps(folder: Path) -> int:
    here = Gone(folder / "all")
    code, steps = here.fork(once, 0, "scheduler")
    assert code == 0 and steps > 20
    here.settled()
    here.catalog.close()
    return steps


@pytest.mark.parametrize("victim", ["scheduler", "both"])
def test_killed_at_a_step(tmp_path: Path, victim: Victim) -> None:
    """At every few steps: the next scheduler watches on, closes, or does again, and each moment is settled once."""
    steps = all_steps(tmp_path)
    chosen = range(3 if victim == "both" else 1, steps, max(steps // 6, 1))
    assert die_at(tmp_path, chosen, victim) >= 4


@pytest.mark.soak
@pytest.mark.parametrize("victim", ["scheduler", "both"])
def test_killed_at_every_step(tmp_path: Path, victim: Victim) -> None:
    """The same at all of them."""
    steps = all_steps(tmp_path)
    assert die_at(tmp_path, range(1, steps), victim) > steps * 0.8


def test_killed_while_it_only_waits(tmp_path: Path) -> None:
    """Long after a run began: it is found alive, is not begun again, and ends as what it is."""
    here = Gone(tmp_path)
    here.work.write_text(WORK.format(log=here.log).replace("0.15", "1.5"))
    here.catalog.close()
    pid = os.fork()
    if pid == 0:
        try:
            here.real_scheduler().run()
        finally:
            os._exit(1)
    until(lambda: here.log.read_text().count("begin") == 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [run.outcome for run in here.files.spooled()] == ["running", "running"]
    code, _ = here.fork(once, 0, "scheduler")
    assert code == 0
    here.settled()
    assert {run.outcome for run in here.runs()} == {"ok"} and len(here.runs()) == 2


def test_asked_to_end(tmp_path: Path) -> None:
    """SIGTERM interrupts what runs and waits for it; the runs are closed as interrupted, and due when one begins
    again."""
    here = Gone(tmp_path)
    work = here.work.read_text()
    here.work.write_text(f"trap 'exit {INTERRUPTED}' INT; echo begin x >>'{here.log}'; while :; do sleep 0.02; done")
    here.catalog.close()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            scheduler = here.real_scheduler()
            signal.signal(signal.SIGTERM, lambda *_: scheduler.stop())
            scheduler.run()
            code = 0
        finally:
            os._exit(code)
    until(lambda: here.log.read_text().count("begin") == 2)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [run.outcome for run in here.runs()] == ["interrupted"] * 2 and here.files.spooled() == []
    heartbeat = here.files.heartbeat()
    assert heartbeat is not None and heartbeat.ended_at is not None and heartbeat.running == ()
    here.work.write_text(work)
    here.log.write_text("")
    assert here.fork(once, 0, "scheduler")[0] == 0
    assert Counter(run.outcome for run in here.runs()) == {"interrupted": 2, "ok": 2}
