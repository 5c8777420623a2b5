"""SIGKILL at every step: to `rw`, to restic, to both. The next run of the same command works, and nothing is lost."""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import MakeLab
from tests.faults.machine import Stage, lock_files, outcomes, restored, running, snapshot_files, sound, stage
from tests.lab import Lab, tree

KILLED = -9
SPAWN = "subprocess.Popen"
NUMBERS = itertools.count()


@pytest.fixture
def theatre(lab: Lab) -> Iterator[Stage]:
    """A lab with two backups of two domains."""
    lab.fill("exams", 5)
    lab.fill("profiles", 3)
    lab.rw("backup")
    lab.fill("exams", 2)
    lab.rw("backup")
    with stage(lab) as built:
        yield built


def arguments(lab: Lab, command: str) -> list[str]:
    """A command that has something to do: data changed, or a folder to restore to that is new."""
    number = next(NUMBERS)
    match command:
        case "incremental":
            lab.write(f"exams/new_{number}.bin", os.urandom(1000))
            return ["backup"]
        case "full":
            lab.write(f"profiles/new_{number}.bin", os.urandom(1000))
            return ["backup", "--type", "full"]
        case "verify":
            return ["verify", "--share", "1"]
        case "restore":
            return ["restore", "--to", str(lab.folder / "back")]
        case _:
            return ["catalog", "rebuild"]


def again(lab: Lab, command: str) -> None:
    """What a person does between two runs that both did all they should: takes the restored folder away."""
    if command == "restore":
        assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")
        shutil.rmtree(lab.folder / "back")


def finished(lab: Lab, command: str) -> bool:
    """Whether a restore had done everything when it was killed: its folder is named and its stage is gone."""
    back = lab.folder / "back"
    return command == "restore" and back.is_dir() and any(back.iterdir()) and not list(back.glob(".rw-beside-*"))


def die_at(theatre: Stage, command: str, steps: Sequence[int], well_every: int) -> None:
    """Kill at each of the steps, `rw` alone and with its restic in turn; after every few the command does its work."""
    lab = theatre.lab
    for count, at in enumerate(steps, 1):
        run, ended = theatre.rw(*arguments(lab, command), at=at, victim=("both", "rw")[count % 2])
        if ended is not None:
            assert run.code == 0, run.err  # this time the work took fewer steps
            again(lab, command)
        else:
            assert run.code == KILLED
            if finished(lab, command):
                again(lab, command)
        if count % well_every == 0 or count == len(steps):
            theatre.well(*arguments(lab, command))
            again(lab, command)
            assert not running(lab)


@pytest.mark.parametrize(
    ("command", "every"), [("incremental", 1), ("full", 5), ("verify", 4), ("restore", 3), ("rebuild", 3)]
)
def test_each_step(theatre: Stage, command: str, every: int) -> None:
    """Killed before any step, the same command works the next time; what was stored before is there and sound."""
    lab = theatre.lab
    earlier = {name: tree(restored(lab, name)) for name in list(snapshot_files(lab))[:2]}
    _, steps = theatre.rw(*arguments(lab, command))
    assert steps is not None
    again(lab, command)
    die_at(theatre, command, range(1, steps + 1, every), 3)
    for name, content in earlier.items():
        assert tree(restored(lab, name)) == content
    if command in ("incremental", "full", "verify"):
        assert "interrupted" in outcomes(lab, "verify" if command == "verify" else "backup")
    sound(lab, set(earlier))


@pytest.mark.soak
@pytest.mark.parametrize("command", ["incremental", "full", "verify", "restore", "rebuild"])
@pytest.mark.parametrize("victim", ["rw", "both"])
def test_each_step_and_long_after(theatre: Stage, command: str, victim: str) -> None:
    """The same at every step and a spread of times after each child began, with a run that works after every kill."""
    lab = theatre.lab
    before = snapshot_files(lab)
    _, steps = theatre.rw(*arguments(lab, command))
    again(lab, command)
    _, children = theatre.rw(*arguments(lab, command), only=SPAWN)
    again(lab, command)
    assert steps is not None and children is not None
    fates = [(at, 0.0, "") for at in range(1, steps + 1)]
    fates += [(at, delay / 1000, SPAWN) for at in range(1, children + 1) for delay in range(10, 400, 15)]
    for at, delay, only in fates:
        _, ended = theatre.rw(*arguments(lab, command), at=at, delay=delay, only=only, victim=victim)
        if ended is not None or finished(lab, command):
            again(lab, command)
        theatre.well(*arguments(lab, command))
        again(lab, command)
        assert not running(lab)
    sound(lab, before)


@pytest.mark.parametrize("command", ["incremental", "verify", "restore"])
def test_restic_killed(theatre: Stage, command: str) -> None:
    """A killed restic fails its job with a sentence that says so, never with a wrong result; the next run works."""
    lab = theatre.lab
    before = snapshot_files(lab)
    _, children = theatre.rw(*arguments(lab, command), only=SPAWN)
    again(lab, command)
    assert children is not None
    hits = 0
    for at, delay in itertools.product(range(2, children + 1), (0.02, 0.15)):
        run, _ = theatre.rw(*arguments(lab, command), at=at, victim="restic", delay=delay, only=SPAWN)
        assert run.code in ((0, 20, 1) if command == "verify" else (0, 1, 3)), run.err
        if run.code:
            hits += 1
            assert "SIGKILL" in run.err + run.out
        elif command == "restore":
            again(lab, command)
    theatre.well(*arguments(lab, command))
    again(lab, command)
    assert hits
    sound(lab, before)


def test_killed_long_after_a_child_began(theatre: Stage) -> None:
    """Killed while restic is at work, with the lock taken or the snapshot just written, `rw` goes on the next time."""
    lab = theatre.lab
    before = snapshot_files(lab)
    for kind, victim in itertools.product(("locks", "snapshots"), ("both", "rw")):
        made = f"{lab.store / lab.namespace / 'hot' / kind}/{'[0-9a-f]' * 64}"
        run, _ = theatre.rw(*arguments(lab, "incremental"), at=2, only=SPAWN, victim=victim, file=made)
        assert run.code == KILLED
        assert lock_files(lab) or (kind, victim) != ("locks", "both"), "a kill that leaves no lock shows nothing"
        theatre.well(*arguments(lab, "incremental"))
    sound(lab, before)


def half_made(lab: Lab, tier: str = "hot") -> None:
    """What a restic that was killed between its two writes of `init` leaves: a key, and no repository."""
    root = lab.store / lab.namespace / tier
    (root / "config").unlink()
    shutil.rmtree(lab.state)


def mark_key(lab: Lab, tier: str = "hot", **fields: str) -> Path:
    """Change the plain fields of a repository's only key."""
    (key,) = (lab.store / lab.namespace / tier / "keys").iterdir()
    key.chmod(0o600)
    key.write_text(json.dumps({**json.loads(key.read_text()), **fields}))
    return key


def test_init_half_made(lab: Lab) -> None:
    """A key without a repository, of our own host and with nothing stored under it, does not stand in the way."""
    mark_key(lab, hostname=os.uname().nodename)
    half_made(lab)
    lab.rw("init")
    lab.fill("exams", 2)
    lab.rw("backup")
    lab.bare("check", "--read-data")


@pytest.mark.parametrize("whose", ["another host's", "one with data"])
def test_init_keeps_keys(lab: Lab, whose: str) -> None:
    """A key that may be needed is never removed: another host's, or one under which something is stored."""
    if whose == "one with data":
        lab.fill("exams", 2)
        lab.rw("backup")
    key = mark_key(lab, hostname=os.uname().nodename if whose == "one with data" else "elsewhere")
    half_made(lab)
    run = lab.rw("init", code=1)
    assert key.exists() and "what to do" in run.err


def killed_inits(make_lab: MakeLab, fates: Sequence[tuple[int, float, str]]) -> None:
    for at, delay, victim in fates:
        lab = make_lab("local", ready=False)
        with stage(lab) as built:
            built.rw("init", at=at, delay=delay, only=SPAWN, victim=victim)
            built.well("init")
            lab.fill("exams", 2)
            built.well("backup")
        lab.bare("check", "--read-data")
        chunkers = {
            json.loads(lab.bare("cat", "config", tier=tier).stdout)["chunker_polynomial"] for tier in ("hot", "cold")
        }
        assert len(chunkers) == 1


def test_init_killed(make_lab: MakeLab) -> None:
    """`rw init` killed while it makes the first or the second repository is finished by the next `rw init`."""
    killed_inits(make_lab, [(2, 0.3, "both"), (4, 0.3, "rw")])


@pytest.mark.soak
def test_init_killed_often(make_lab: MakeLab) -> None:
    """The same over a spread of times."""
    spread: Callable[[int], list[float]] = lambda top: [step / 10 for step in range(top)]  # noqa: E731
    killed_inits(make_lab, [(at, delay, v) for v in ("rw", "both") for at in (2, 3, 4) for delay in spread(24)])
