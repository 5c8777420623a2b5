"""How a root is looked at before it is backed up."""

import os
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.sources.files import FilesSource


def test_by_its_name_from_its_parent(tmp_path: Path) -> None:
    """So that a snapshot has the root's own mode, and paths begin with its name."""
    (tmp_path / "exams").mkdir()
    look = FilesSource(tmp_path / "exams").look()
    assert (look.cwd, look.name, look.root) == (os.fsencode(tmp_path), b"exams", "exams")


def test_a_link_stands_for_what_it_points_to(tmp_path: Path) -> None:
    """restic would keep the link and nothing else."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert FilesSource(tmp_path / "link").look() == FilesSource(tmp_path / "real").look()


def test_folders_below_the_root(tmp_path: Path) -> None:
    """Whether they are there and hold nothing; nothing is mounted on any of these."""
    root = tmp_path / "exams"
    (root / "a b").mkdir(parents=True)
    (root / "full").mkdir()
    (root / "full" / "x").touch()
    source = FilesSource(root)
    assert [source.empty(name) for name in (b"a b", b"full", b"gone", b"full/x")] == [True, False, False, False]
    assert source.look().mounts == () and b"sys" in FilesSource(Path("/")).look().mounts


def test_identity_changes_with_the_thing(tmp_path: Path) -> None:
    """The same as long as it is the same, another when something else stands there."""
    root = tmp_path / "exams"
    root.mkdir()
    source = FilesSource(root)
    before = source.look()
    (root / "new").write_text("x")
    assert source.look().identity == before.identity
    assert (before.empty, source.look().empty) == (True, False)
    root.rename(tmp_path / "old")
    root.mkdir()
    assert source.look().identity != before.identity


def test_a_single_file_and_names_of_bytes(tmp_path: Path) -> None:
    """A file is a root like a folder."""
    name = b"\xffile"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
        pass
    look = FilesSource(tmp_path / os.fsdecode(name)).look()
    assert (look.name, look.root) == (name, "\\xffile")


@pytest.mark.parametrize("name", ["gone", "dangling", "x" * 300])
def test_not_there(name: str, tmp_path: Path) -> None:
    """A sentence with the reason, and where to look."""
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(errors.NotFound, match="cannot be looked at") as caught:
        FilesSource(tmp_path / name).look()
    assert "rw policy show" in caught.value.hint
