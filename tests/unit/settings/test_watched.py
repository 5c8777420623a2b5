"""Policies that are edited while somebody works by them."""

import shutil
from pathlib import Path

import pytest

from resticwrap.errors import Failure, PolicyError
from resticwrap.settings import Watched

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    return Watched(tmp_path / "policies", tmp_path / "copies", {"RW_STATE_DIR": str(tmp_path / "state")})


def edit(watched: Watched, old: str, new: str) -> None:
    file = watched.folder / "schedule.yaml"
    file.write_text(file.read_text().replace(old, new))


def test_what_is_read_stays(watched: Watched) -> None:
    """The folder of what was read holds it, whatever becomes of the files; and they are for their owner alone."""
    read = watched.read()
    assert read.folder.parent == watched.folder.parent / "copies"
    edit(watched, "every: 4m", "every: never")
    with pytest.raises(PolicyError):
        watched.read()
    assert "every: 4m" in (read.folder / "schedule.yaml").read_text()
    assert {oct(file.stat().st_mode & 0o777) for file in read.folder.iterdir()} == {"0o600"}
    assert read.folder.stat().st_mode & 0o777 == 0o700


def test_the_stamp(watched: Watched) -> None:
    """Another one when a file changed, came or went; the same where nothing did, also after it was read."""
    before = watched.stamp()
    watched.read()
    assert watched.stamp() == before
    edit(watched, "every: 4m", "every: 5m")
    changed = watched.stamp()
    (watched.folder / "gates.yaml").unlink()
    assert len({before, changed, watched.stamp()}) == 3


def test_copies_do_not_pile_up(watched: Watched) -> None:
    """Those in force and those before stay, which somebody may just be reading."""
    folders = []
    for minutes in range(5, 12):
        edit(watched, f"every: {minutes - 1}m", f"every: {minutes}m")
        folders.append(watched.read().folder)
    assert set(folders[0].parent.iterdir()) == set(folders[-2:])
    assert watched.read().folder == folders[-1]


def test_no_room_for_a_copy(watched: Watched) -> None:
    """A failure with a sentence, and not a crash."""
    (watched.folder.parent / "copies").write_text("a file where the folder should be")
    with pytest.raises(Failure, match="cannot be copied"):
        watched.read()
