"""The schedule for a long time: thousands of runs on a clock of its own, hundreds of real ones; nothing grows, and
nothing is left out."""

import itertools
import os
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.lab import Lab
from tests.simulated import NOON, World

RUNS, REAL = 2000, 200
GROWTH = 8 << 20
"""Bytes that a process may grow by between the first quarter and the end: what an allocator keeps, and no more."""


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def things(pid: int) -> tuple[int, int]:
    """Open files, and threads."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


@pytest.mark.soak
def test_two_thousand_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a clock of its own, over five days with restarts and downtime: every moment is run once or caught up once."""
    here = World(tmp_path, {
        "often": {"every": "4m"},
        "full": {"kind": "backup", "type": "full", "cron": "0 2 * * *"},
        "forget": {"kind": "forget", "cron": "30 4 * * *"},
    })  # fmt: skip
    sizes: list[int] = []
    begun = time.monotonic()
    while len(here.runs("often")) < RUNS:
        here.run(11, look=60)
        here.clock.sleep(3600)
        sizes.append(resident(os.getpid()))
    took = time.monotonic() - begun
    runs = here.runs()
    assert here.catalog.open_runs("vm") == [] and here.files.spooled() == []
    # What a stop interrupted was run again, and counts once.
    moments = Counter((run.name, run.due_at) for run in runs if run.outcome == "ok")
    assert set(moments.values()) == {1}
    days = (here.clock.now() - NOON) / timedelta(days=1)
    for name in ("full", "forget"):
        done = [run for run in runs if run.name == name and run.outcome == "ok"]
        assert abs(len(done) - days) <= 1, name
    often = [run for run in runs if run.name == "often" and run.outcome == "ok"]
    gaps = [after.started_at - before.started_at for before, after in itertools.pairwise(often)]
    assert set(Counter(gap > timedelta(minutes=5) for gap in gaps)) == {False, True}
    assert sum(gap > timedelta(minutes=5) for gap in gaps) <= len(sizes)
    quarter, end = sizes[len(sizes) // 4], sizes[-1]
    with capsys.disabled():
        print(f"\n{len(runs)} runs on a clock of their own in {took:.0f} s, {days:.1f} days: resident "
              f"{quarter / 1e6:.1f} MB after a quarter, {end / 1e6:.1f} MB at the end")  # fmt: skip
    assert end - quarter < GROWTH


@pytest.mark.soak
def test_two_hundred_real_runs(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Real backups by a real scheduler, one after the other and side by side: all went well, and its memory, its open
    files and its threads are what they were."""
    lab.fill("exams", 3)
    lab.fill("profiles", 3)
    file = lab.folder / "policies" / "schedule.yaml"
    content = yaml.safe_load(file.read_text())
    job = {"kind": "backup", "type": "incremental", "target": "main", "every": "1s"}
    content["jobs"] = {name: {**job, "domains": [name]} for name in ("exams", "profiles")}
    file.write_text(yaml.safe_dump(content))
    log = lab.folder / "scheduler.log"
    pid = os.fork()
    if pid == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.chdir(lab.folder)
        os.execvpe(lab.command()[0], lab.command("schedule", "run"), lab.env)
    sizes: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []
    begun = time.monotonic()
    try:
        ended = 0
        while ended < REAL:
            assert time.monotonic() - begun < 3000 and os.waitpid(pid, os.WNOHANG) == (0, 0), log.read_text()[-2000:]
            time.sleep(1)
            lab.write(f"exams/new_{ended % 7}.bin", os.urandom(500))
            ended = log.read_text().count(": ok after")
            sizes.append((ended, resident(pid)))
            seen.append(things(pid))
    finally:
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    took = time.monotonic() - begun
    assert os.waitstatus_to_exitcode(status) == 0
    with lab.house() as built:
        runs = built.catalog.runs("lab", limit=1000)
    outcomes = Counter(run.outcome for run in runs)
    assert outcomes["ok"] >= REAL and set(outcomes) <= {"ok", "interrupted"} and outcomes["interrupted"] <= 2
    steps = [next(size for done, size in sizes if done >= REAL * part // 8) for part in range(1, 9)]
    quarter, end = steps[1], sizes[-1][1]
    files, threads = max(one[0] for one in seen), max(one[1] for one in seen)
    shown = ", ".join(f"{size / 1e6:.1f}" for size in steps)
    with capsys.disabled():
        print(f"\n{outcomes['ok']} real runs in {took:.0f} s: resident {shown} MB after each eighth; "
              f"at most {files} open files, {threads} threads")  # fmt: skip
    assert end - quarter < GROWTH and files < 64 and threads < 40
    lab.bare("check", "--read-data")
