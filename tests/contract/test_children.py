"""The port `Children` on this machine: programs in place of `rw` say how runs begin, end, outlive us and are found."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from resticwrap.clock import SystemClock
from resticwrap.host.children import RunChildren
from resticwrap.host.locks import FlockLocks
from resticwrap.model.base import from_json
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning.schedule import outcome
from resticwrap.services.schedule_ports import Ended
from tests.faults.machine import until

CLOCK = SystemClock()
GOOD = """echo '{"job": {"id": "snapshot_1", "outcome": "ok", "domains": []}}'"""
ERROR = {"kind": "Locked", "message": "Somebody else has it.", "exit_code": 11}
MISSED = {"id": "snapshot_2", "outcome": "partial", "domains": [{"error": None}, {"error": ERROR}]}
PARTIAL = f"echo '{json.dumps({'job': MISSED})}'; exit 3"
REFUSED = f"echo '{json.dumps({'error': ERROR, 'problems': []})}'; exit 11"


@dataclass
class Nursery:
    folder: Path
    script: Path
    ended: dict[str, Ended] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    number: int = 0

    def children(self) -> RunChildren:
        """As of a scheduler that begins."""
        return RunChildren(
            self.folder / "children",
            FlockLocks(self.folder, CLOCK),
            {"PATH": os.environ["PATH"], "SECRET": "handed on"},
            CLOCK,
            outcome=outcome,
            variable="RW_SCHEDULED_RUN",
            say=lambda run, line: self.lines.append(line),
            rw=["/bin/sh", str(self.script)],
        )

    def run(self) -> ScheduledRun:
        self.number += 1
        now = datetime.now(UTC)
        return ScheduledRun(
            id=f"run_{self.number}", host="vm", name="job", target="main", kind="backup", trigger="due", due_at=now,
            started_at=now,
        )  # fmt: skip

    def started(
        self, children: RunChildren, script: str, *, limit: float = 60, command: tuple[str, ...] = ()
    ) -> ScheduledRun:
        self.script.write_text(script)
        run = children.ready(self.run())
        children.start(run, command, limit, lambda ended: self.ended.__setitem__(run.id, ended))
        return run

    def done(self, children: RunChildren, run: ScheduledRun) -> Ended:
        assert children.wait(20)
        return self.ended[run.id]

    def began(self, run: ScheduledRun) -> None:
        """Wait until its program says that it is there."""
        until((self.folder / "began").exists)
        (self.folder / "began").unlink()

    @property
    def begin(self) -> str:
        return f"touch '{self.folder}/began'\n"


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    yield Nursery(tmp_path, tmp_path / "rw.sh")
    assert not [lease for lease in FlockLocks(tmp_path, CLOCK).leases("schedule") if lease.held], "something lives on"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (GOOD, Ended(outcome="ok", code=0, job="snapshot_1")),
        (PARTIAL, Ended(outcome="partial", code=3, job="snapshot_2", message="Somebody else has it.")),
        (REFUSED, Ended(outcome="failed", code=11, message="Somebody else has it.")),
        ("echo first >&2; echo last >&2; exit 1", Ended(outcome="failed", code=1, message="last")),
        ("exit 7", Ended(outcome="failed", code=7, message="It exited 7 and said nothing.")),
        ("kill -SEGV $$", Ended(outcome="failed", code=-11, message="It was ended by SIGSEGV.")),
        ("exit 130", Ended(outcome="interrupted", code=130, message="It exited 130 and said nothing.")),
    ],
)
def test_how_it_ends(nursery: Nursery, script: str, expected: Ended) -> None:
    """By its exit code and by what it says of itself; and what is left of it can be removed, twice."""
    children = nursery.children()
    run = nursery.started(children, script)
    assert nursery.done(children, run) == expected
    assert not children.alive(run)
    for _ in range(2):
        children.forget(run)
    assert list((nursery.folder / "children").iterdir()) == []
    assert children.left(run) is None


def test_what_it_gets_and_says(nursery: Nursery) -> None:
    """It gets its words, our environment and its run's id; each line of its stderr is handed on, once."""
    children = nursery.children()
    script = 'echo "$RW_SCHEDULED_RUN $SECRET $*" >&2; sleep 0.3; printf "no end" >&2'
    run = nursery.started(children, script, command=("backup", "--target", "a b"))
    assert nursery.done(children, run).outcome == "ok"
    assert nursery.lines == [f"{run.id} handed on backup --target a b", "no end"]
    children.forget(run)


def test_a_program_that_is_not_there(nursery: Nursery) -> None:
    """Whatever goes wrong is an end, and nothing is raised."""
    children = nursery.children()
    children._rw = ["/nowhere/rw"]
    run = nursery.started(children, "")
    ended = nursery.done(children, run)
    assert (ended.outcome, ended.code) == ("failed", 127) and "rw" in ended.message
    children.forget(run)


def test_too_long(nursery: Nursery) -> None:
    """After its limit it is interrupted, and says so."""
    children = nursery.children()
    run = nursery.started(children, "trap 'exit 130' INT; while :; do sleep 0.05; done", limit=0.3)
    ended = nursery.done(children, run)
    assert ended.outcome == "overran" and "max_run" in ended.message
    children.forget(run)


def test_interrupted_and_hurried(nursery: Nursery) -> None:
    """All are asked to end; who does not end is left two seconds when asked again; what one says last counts."""
    children = nursery.children()
    say = f"say() {{ {GOOD}; exit 0; }}\ntrap say INT\n"
    good = nursery.started(children, f"{say}{nursery.begin} while :; do sleep 0.05; done")
    nursery.began(good)
    deaf = nursery.started(children, f"trap '' INT; {nursery.begin} while :; do sleep 0.05; done")
    nursery.began(deaf)
    assert not children.wait(0.05)
    children.interrupt()
    children.interrupt()
    assert children.wait(20)
    assert nursery.ended[good.id] == Ended(outcome="ok", job="snapshot_1")
    assert nursery.ended[deaf.id].outcome == "interrupted"
    children.forget(good)
    children.forget(deaf)


ORPHAN = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.contract.test_children import Nursery
nursery = Nursery(Path({folder!r}), Path({folder!r}) / "rw.sh")
children = nursery.children()
run = nursery.started(children, {script!r})
nursery.began(run)
from resticwrap.model.base import to_json
print(to_json(run).decode(), flush=True)
os.kill(os.getpid(), 9)
"""


def orphaned(nursery: Nursery, script: str) -> ScheduledRun:
    """A run whose scheduler was killed as soon as it had begun."""
    root = str(Path(__file__).resolve().parents[2])
    code = ORPHAN.format(root=root, folder=str(nursery.folder), script=script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return from_json(ScheduledRun, done.stdout.encode())


def test_it_outlives_its_scheduler(nursery: Nursery) -> None:
    """Though nobody reads what it says any more; another scheduler finds it, watches it to its end and knows that."""
    go = nursery.folder / "go"
    wait = f"while ! test -e '{go}'; do sleep 0.02; done"
    run = orphaned(nursery, f"{nursery.begin} {wait}; echo said later >&2; {GOOD}")
    children = nursery.children()
    assert children.alive(run) and children.left(run) is None
    children.adopt(run, 60, lambda ended: nursery.ended.__setitem__(run.id, ended))
    go.touch()
    assert nursery.done(children, run) == Ended(outcome="ok", job="snapshot_1")
    assert nursery.lines == ["said later"]
    assert not children.alive(run) and children.left(run) == Ended(outcome="ok", job="snapshot_1")
    children.forget(run)


def test_one_in_another_container(nursery: Nursery) -> None:
    """Its pid is somebody else's here: that one gets no signal, and nobody waits for the run when we end."""
    bystander = subprocess.Popen(["sleep", "60"])
    locks = FlockLocks(nursery.folder, CLOCK)
    lease = locks.lease("schedule")
    lease._owner = msgspec.structs.replace(lease._owner, namespace=1)
    lease.started(bystander.pid)
    run = msgspec.structs.replace(nursery.run(), lease=lease.name)
    (nursery.folder / "children").mkdir()
    (nursery.folder / "children" / f"{run.id}.pid").write_text(str(bystander.pid))
    children = nursery.children()
    children.adopt(run, 0.1, lambda ended: nursery.ended.__setitem__(run.id, ended))
    assert not children.wait(0.7)
    children.interrupt()
    assert nursery.done(children, run).outcome == "lost" and children.alive(run)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    lease.close()


@pytest.mark.parametrize("how", ["interrupt", "limit", "hurry", "killed"])
def test_an_orphan_is_ended(nursery: Nursery, how: str) -> None:
    """When we are to end, when it takes too long, and when it does not listen; one that was killed left no word."""
    trap = "trap '' INT" if how == "hurry" else "trap 'exit 130' INT"
    run = orphaned(nursery, f"{trap}; {nursery.begin} while :; do sleep 0.05; done")
    children = nursery.children()
    children.adopt(run, 0.1 if how == "limit" else 60, lambda ended: nursery.ended.__setitem__(run.id, ended))
    if how == "killed":
        os.kill(int((nursery.folder / "children" / f"{run.id}.pid").read_text()), signal.SIGKILL)
    elif how != "limit":
        for _ in range(2 if how == "hurry" else 1):
            children.interrupt()
    expected = {"limit": "overran", "killed": "lost"}.get(how, "interrupted")
    assert nursery.done(children, run).outcome == expected
    children.forget(run)
