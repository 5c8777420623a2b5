"""The benchmarks run: a smoke run of all of them on little data. What it measures means nothing and is not judged."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.measure import Row

REPO = Path(__file__).parents[2]
FIGURES = {
    "gate",
    "start-version",
    "start-help",
    "history",
    "history-all",
    "retention",
    "retention-memory",
    "unchanged",
    "unchanged-inside",
    "restore-small",
    "restore-large",
    "restore-one",
    "restore-one-inside",
    "copy",
    "dump",
    "load",
    "dump-next-day",
    "dump-random",
    "eight",
    "eight-unchanged",
    "first",
    "first-inside",
    "memory-first",
    "memory-incremental",
}
FIELDS = {"name", "what", "measured", "unit", "limit", "verdict", "machine", "restic", "load", "details"}


def test_every_benchmark_runs(tmp_path: Path, restic_binary: Path) -> None:
    """A smoke run measures every figure, prints a table, and writes them as JSON."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--restic", str(restic_binary)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--out", str(tmp_path / "results")],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "results").iterdir()
    written = json.loads(file.read_text())
    rows = {row["name"]: row for row in written["rows"]}
    assert set(rows) == FIGURES
    assert all(set(row) == FIELDS and row["measured"] != 0 for row in rows.values()), rows
    assert {row["verdict"] for row in rows.values()} == {"not judged"}
    assert written["machine"]["processors"] and written["restic"].count(".") == 2
    assert str(file) in done.stdout.replace("\n", "") and all(name[:7] in done.stdout for name in CASES)
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "it cleans up after itself"


def test_a_missed_limit_is_told() -> None:
    """A figure is judged by its limit, and only when it is no smoke run and has one."""
    over = Row("one", "something", 151, "ms", 150)
    assert over.verdict(quick=False) == "missed"
    assert over.verdict(quick=True) == "not judged"
    assert Row("one", "something", 150, "ms", 150).verdict(quick=False) == "ok"
    assert Row("one", "something", 150, "ms", None).verdict(quick=False) == "not judged"
