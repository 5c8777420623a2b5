"""`examples/demo.sh`, which is what `make demo` runs."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.docs import ROOT
from tests.lab import tree


def demo(project: Path, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", str(project / "examples/demo.sh"), *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


def checkout(folder: Path) -> Path:
    """A project like a newcomer's, with this Python as its `.venv`."""
    folder.mkdir()
    for name in ("examples", "policies", "resticwrap"):
        (folder / name).mkdir() if name == "examples" else (folder / name).symlink_to(ROOT / name)
    for name in ("demo.sh", "teaching", "data"):
        (folder / "examples" / name).symlink_to(ROOT / "examples" / name)
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    for name, call in (("python", '"$@"'), ("rw", '-m resticwrap "$@"')):
        (binaries / name).write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {call}\n")
        (binaries / name).chmod(0o755)
    return folder


def test_the_demo_ends_with_everything_restored(tmp_path: Path, restic_binary: Path) -> None:
    """In a pipe, with a real backup's variables set: it takes none of them, ends well, and what it says is so."""
    project = checkout(tmp_path / "project")
    wrong = {"BACKUP_TARGET_DEFAULT": "s3", "RESTIC_PASSWORD": "not this one", "RW_STATE_DIR": str(tmp_path / "real")}
    done = demo(project, env={**wrong, "RW_RESTIC": str(restic_binary)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert not (tmp_path / "real").exists()
    folder = project / ".demo"
    live = folder / "teaching/serving"
    assert tree(folder / "restored/student_profiles") == tree(live / "student_profiles")
    assert tree(folder / "bare/exam_manifests") == tree(live / "exam_manifests")
    domains = yaml.safe_load((ROOT / "policies/domains.yaml").read_text())["domains"]
    assert f"{len(domains)} of {len(domains)} domains within their objective" in done.stdout
    assert "100 % of the store" in done.stdout
    for tier in ("hot", "cold"):
        assert (folder / "store/teaching" / tier / "config").exists()
    assert len(list((folder / "store/backups").rglob("backup_manifest.json"))) == 2


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """A folder that is named is never emptied."""
    (tmp_path / "mine").write_text("mine")
    done = demo(ROOT, str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_failure_says_why(tmp_path: Path) -> None:
    """Progress goes into a file in a pipe; when something fails, the file is shown."""
    done = demo(checkout(tmp_path / "project"), env={"RW_RESTIC": "/nowhere/restic"})
    assert done.returncode != 0
    assert "/nowhere/restic" in done.stderr
