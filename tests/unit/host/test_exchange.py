"""Exchanging names between two folders, and telling from inodes how far it got."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.host import exchange
from resticwrap.host.exchange import apply, plan_swap, renameat2, revert, state
from resticwrap.model.base import from_json, to_json
from resticwrap.model.swap import Swap, SwapEntry
from resticwrap.planning import inplace as decide

inodes = st.none() | st.integers(1, 4)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Live with a, both and a kept stage; the stage's tree with both and b."""
    live, staged = tmp_path / "live", tmp_path / "live" / ".rw-restore-J" / "live"
    staged.mkdir(parents=True)
    for place, names in ((live, ("a", "both")), (staged, ("b", "both", "\udcff\n"))):
        for name in names:
            (place / name).write_text(f"{place.parent.name}/{name}".encode("utf-8", "replace").decode())
    live.chmod(0o750)
    staged.chmod(0o711)
    os.utime(staged, (5, 5))
    return live, staged


def listing(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_entries_there_and_back(folders: tuple[Path, Path]) -> None:
    """Forward and back again restores names, contents, mode and times; both may be repeated."""
    live, staged = folders
    before, new = listing(live), listing(staged)
    times = live.stat().st_mtime_ns
    swap = plan_swap(live, staged, whole=False)
    swap = from_json(Swap, to_json(swap))
    assert state(swap) == "before"
    for _ in range(2):
        apply(swap)
        assert state(swap) == "after"
        assert (listing(live), listing(staged)) == (new, before)
        assert (live.stat().st_mode & 0o777, live.stat().st_mtime) == (0o711, 5)
    for _ in range(2):
        revert(swap)
        assert state(swap) == "before"
        assert (listing(live), listing(staged)) == (before, new)
        assert (live.stat().st_mode & 0o777, live.stat().st_mtime_ns) == (0o750, times)


@pytest.mark.parametrize("stop", range(5))
def test_between(folders: tuple[Path, Path], stop: int) -> None:
    """Stopped after some renames, the state says so and either direction can be taken."""
    live, staged = folders
    before, new = listing(live), listing(staged)
    swap = plan_swap(live, staged, whole=False)
    for go, finish, wanted in ((apply, apply, new), (revert, revert, before), (apply, revert, before)):
        start = state(swap)
        left = stop

        def rename(*args: object) -> None:
            nonlocal left
            if left == 0:
                raise OSError(5, "I/O error")
            left -= 1
            renameat2(*args)  # type: ignore[arg-type]

        if stop < 4:
            with pytest.raises(errors.Failure, match="I/O error"):
                go(swap, rename)
            assert state(swap) == ("between" if stop else start)
        finish(swap)
        assert listing(live) == wanted


def test_whole_with_another_name(tmp_path: Path) -> None:
    """A folder is one entry in its parent, whatever the restored one is called."""
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "old").touch()
    (tmp_path / "stage" / "data").mkdir(parents=True)
    swap = plan_swap(tmp_path / "live", tmp_path / "stage" / "data", whole=True)
    apply(swap)
    assert os.listdir(tmp_path / "live") == [] and exchange.all_kept(swap)
    assert os.listdir(tmp_path / "stage" / "data") == ["old"]
    (tmp_path / "stage" / "data" / "old").unlink()
    (tmp_path / "stage" / "data").rmdir()
    assert not exchange.all_kept(swap)


def test_strange_is_left_alone(tmp_path: Path) -> None:
    """The new tree is gone: nothing is moved, live stays."""
    (tmp_path / "live").touch()
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "new").touch()
    swap = plan_swap(tmp_path / "live", tmp_path / "stage" / "new", whole=True)
    (tmp_path / "stage" / "new").unlink()
    with pytest.raises(errors.Failure, match="changed by somebody else"):
        apply(swap)
    assert (tmp_path / "live").exists()


def test_no_rename_over_what_is_there(tmp_path: Path) -> None:
    """The flags reach the kernel: nothing is ever overwritten."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    folder = os.open(tmp_path, os.O_DIRECTORY)
    try:
        with pytest.raises(FileExistsError):
            renameat2(folder, b"a", folder, b"b", 1)
        with pytest.raises(FileNotFoundError):
            renameat2(folder, b"a", folder, b"c", 2)
    finally:
        os.close(folder)


def test_places(tmp_path: Path) -> None:
    """A plain folder by its name; missing parents are named; the root, and relative paths, cannot be exchanged."""
    place = exchange.place_of(tmp_path / "x" / "y" / "z")
    assert place.whole and place.container == os.fsencode(tmp_path / "x" / "y")
    assert place.missing == (os.fsencode(tmp_path / "x"), os.fsencode(tmp_path / "x" / "y"))
    (tmp_path / "link").symlink_to(tmp_path)
    assert exchange.place_of(tmp_path / "link" / "d").live == os.fsencode(tmp_path / "d")
    for bad in (Path("/"), Path("data"), Path("/srv/..")):
        with pytest.raises(errors.RestoreRefused):
            exchange.place_of(bad)


def test_only_stages_are_removed(tmp_path: Path) -> None:
    """Read-only folders inside do not keep a stage; anything else by another name is refused."""
    stage = tmp_path / ".rw-restore-J"
    exchange.make_stage(stage)
    assert stage.stat().st_mode & 0o777 == 0o700 and not list(stage.iterdir())
    with pytest.raises(errors.Failure, match="cannot be made"):
        exchange.make_stage(stage)
    (stage / "a" / "b").mkdir(parents=True)
    (stage / "a" / "b" / "file").touch()
    (stage / "a" / "b").chmod(0o500)
    (stage / "a").chmod(0o500)
    (tmp_path / "outside").mkdir(mode=0o555)
    (stage / "link").symlink_to(tmp_path / "outside")
    exchange.discard(stage)
    exchange.discard(stage)
    assert not stage.exists() and (tmp_path / "outside").stat().st_mode & 0o777 == 0o555
    with pytest.raises(errors.Failure, match="no staging folder"):
        exchange.discard(tmp_path)


def test_file_systems_that_cannot_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out before anything is restored."""

    def no_exchange(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(exchange, "renameat2", no_exchange)
    with pytest.raises(errors.RestoreRefused, match="cannot exchange two names"):
        exchange.make_stage(tmp_path / ".rw-restore-J")


def test_going_back_twice_with_changes_between(tmp_path: Path) -> None:
    """Services replaced, removed and added names while the new tree was live: each goes back once, and all is kept."""
    live, staged = tmp_path / "live", tmp_path / "stage"
    old = {"both": "old", "replaced": "old", "removed": "old", "only_old": "old", "again": "old"}
    new = {
        "both": "new",
        "replaced": "new",
        "removed": "new",
        "only_new": "new",
        "new_gone": "new",
        "new_replaced": "new",
    }
    for folder, files in ((live, old), (staged, new)):
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    swap = plan_swap(live, staged, whole=False)
    apply(swap)
    (live / "removed").unlink()
    (live / "new_gone").unlink()
    (live / "again").write_text("service")
    for name in ("replaced", "new_replaced"):
        (live / "tmp").write_text("service")
        (live / "tmp").replace(live / name)
    for _ in range(2):
        exchange.revert(swap)
        assert {path.name: path.read_text() for path in live.iterdir()} == old
        assert {path.name: path.read_text() for path in staged.iterdir()} == {
            "both": "new",
            "replaced": "service",
            "only_new": "new",
            "new_replaced": "service",
            "again": "service",
        }
    with pytest.raises(errors.Failure, match="changed by somebody else"):
        apply(swap)
    assert {path.name: path.read_text() for path in live.iterdir()} == old


def test_one_place_by_two_names(tmp_path: Path) -> None:
    """A place overlaps with itself, what it holds and what holds it, through a symlink too; not with its neighbour."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    for one, other in (("a", "a"), ("a", "a/b"), ("a/b", "a"), ("link", "a"), ("a/b/not there yet", "link")):
        assert exchange.overlap(tmp_path / one, tmp_path / other)
    assert not exchange.overlap(tmp_path / "a", tmp_path / "ab")


@given(live=inodes, new=inodes, at_live=inodes, at_stage=inodes)
def test_a_side_is_never_guessed(live: int | None, new: int | None, at_live: int | None, at_stage: int | None) -> None:
    """`before` only while what would go in is in the stage, so that applying never just moves live data away."""
    entry = SwapEntry(name=b"a", staged=b"a", live=live, new=new)
    found = decide.side(entry, at_live, at_stage)
    if found == "before" and new is not None:
        assert at_stage == new
    if new is None:
        assert found != "strange"
    if found == "after" and new is not None:
        assert at_live == new or at_stage == live
