"""Whether git tracks a file, held against git itself."""

import os
import subprocess
from pathlib import Path

import pytest

from resticwrap.host.gitindex import Unreadable, tracker

NAMES = (".env", ".env.prod", "a" * 200, "conf/ä ö.key", "conf/deep/" + "x" * 90 + "/k", "conf/db.key", "z")


def git(folder: Path, *words: str) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    command = ("git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.org", *words)
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)


def filled(folder: Path, *options: str) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", *options)
    for name in (*NAMES, "free"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    git(folder, "add", "--", *NAMES)
    return folder


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index(tmp_path: Path, version: str) -> None:
    """What is tracked is found, by whatever path, and nothing else is."""
    tree = filled(tmp_path / "tree")
    if version == "3":
        git(tree, "update-index", "--skip-worktree", "z")
    else:
        git(tree, "update-index", "--index-version", version)
    assert [tracker(tree / name) for name in NAMES] == [tree] * len(NAMES)
    assert tracker(tree / "free") is None and tracker(tmp_path / "outside") is None
    (tmp_path / "link").symlink_to(tree / "conf")
    assert tracker(tmp_path / "link/db.key") == tree
    git(tree, "rm", "-q", "--cached", ".env")
    assert tracker(tree / ".env") is None


def test_ids_of_another_length(tmp_path: Path) -> None:
    tree = filled(tmp_path / "tree", "--object-format=sha256")
    assert [tracker(tree / name) for name in (*NAMES, "free")] == [*[tree] * len(NAMES), None]


def test_a_second_working_tree(tmp_path: Path) -> None:
    """Its index is elsewhere, and a file says where."""
    tree = filled(tmp_path / "tree")
    git(tree, "commit", "-qm", "x")
    git(tree, "worktree", "add", "-q", str(tmp_path / "second"))
    assert tracker(tmp_path / "second/.env") == tmp_path / "second"
    (tmp_path / "second/new").write_text("")
    assert tracker(tmp_path / "second/new") is None


def test_what_is_not_understood_is_not_taken_for_no(tmp_path: Path) -> None:
    """An index that shares entries with another one, and one that is cut off."""
    tree = filled(tmp_path / "tree")
    whole = (tree / ".git/index").read_bytes()
    git(tree, "update-index", "--split-index")
    with pytest.raises(Unreadable):
        tracker(tree / "free")
    for data in (whole[:100], b"", b"DIRC\0\0\0\x09\0\0\0\0"):
        (tree / ".git/index").write_bytes(data)
        with pytest.raises(Unreadable):
            tracker(tree / "free")
