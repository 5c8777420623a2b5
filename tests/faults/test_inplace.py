"""In-place restores, killed and broken at every single step: live data is the old tree or the new one, whole."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.host.exchange import Exchange, place_of, renameat2
from resticwrap.host.journals import FileJournals
from resticwrap.model.reports import Mismatch
from resticwrap.model.swap import STAGE_PREFIX, Holder, HolderReport, Journal, Piece, Safety, Unsaved
from resticwrap.services.inplace import InPlace

ROOT = Path(__file__).resolve().parents[2]
JOB = "20250301T020000Z-r-0001"
Tree = dict[str, tuple[str, int, bytes]] | None
CLOSED = {"failed", "accepted", "kept", "undone", "reverted"}


class Killed(BaseException):
    """The process is dead: nothing that it would do from here on happens."""


class Faults:
    """Counts steps: one before and one after each effect. At step `at` it kills (for good) or fails (once)."""

    def __init__(self, at: int | None = None, error: Callable[[], BaseException] = Killed) -> None:
        self.at = at
        self.step = 0
        self._error = error
        self._dead = False

    def tick(self) -> None:
        self.step += 1
        if self._dead:
            raise Killed
        if self.step == self.at:
            error = self._error()
            self._dead = isinstance(error, Killed)
            raise error

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = call(*args, **kwargs)
            self.tick()
            return result

        return faulty


class Faulty:
    """A port of which every call may be the last."""

    def __init__(self, port: object, faults: Faults) -> None:
        self._port, self._faults = port, faults

    def __getattr__(self, name: str) -> Any:
        return self._faults.around(getattr(self._port, name))


def read_tree(path: Path) -> Tree:
    """What stands at a path; None where nothing does. Staging folders are not part of it."""
    if not os.path.lexists(path):
        return None
    found: dict[str, tuple[str, int, bytes]] = {}
    waiting = [path]
    while waiting:
        one = waiting.pop()
        mode = one.lstat().st_mode
        if stat.S_ISLNK(mode):
            entry = ("link", 0, os.fsencode(one.readlink()))
        elif stat.S_ISDIR(mode):
            entry = ("folder", stat.S_IMODE(mode), b"")
            waiting += [child for child in one.iterdir() if not child.name.startswith(STAGE_PREFIX)]
        else:
            entry = ("file", stat.S_IMODE(mode), one.read_bytes())
        found[str(one.relative_to(path))] = entry
    return found


def write_tree(path: Path, tree: Tree) -> None:
    """The other way round."""
    for name, (kind, mode, content) in sorted((tree or {}).items()):
        place = path / name if name != "." else path
        if kind == "folder":
            place.mkdir(exist_ok=True)
        elif kind == "link":
            place.symlink_to(os.fsdecode(content))
        else:
            place.write_bytes(content)
        if kind != "link":
            place.chmod(mode)


def folder(mode: int = 0o755, **files: bytes) -> Tree:
    """A small tree with a link, a nested folder and the given files."""
    tree: dict[str, tuple[str, int, bytes]] = {
        ".": ("folder", mode, b""),
        "sub": ("folder", 0o750, b""),
        "sub/deep": ("file", 0o600, repr(files).encode()),
        "link": ("link", 0, b"sub/deep"),
    }
    return tree | {name: ("file", 0o644, content) for name, content in files.items()}


@dataclass
class Scene:
    """Live places with their old trees, and the new trees that a snapshot has for them."""

    base: Path
    pieces: dict[str, tuple[Tree, Tree]]
    inside: bool = False
    lie: bool = False  # the new tree is damaged once it is live
    complete: bool = True
    holders: tuple[Holder, ...] = ()
    unseen: int = 0
    owned: tuple[Path, ...] = ()
    safety: list[str] = field(default_factory=list)

    def build(self) -> "Scene":
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        (self.base / "srv").mkdir()
        for name, (old, _) in self.pieces.items():
            write_tree(self.base / "srv" / name, old)
        return self

    # The ports that know repositories and processes.
    def snapshot_live(self, piece: Piece) -> Safety:
        self.safety.append(piece.domain)
        return Safety(snapshot="5afe" + piece.domain, complete=self.complete)

    def restore_to(self, piece: Piece, folder: Path) -> Path:
        place = folder / os.path.basename(os.fsdecode(piece.live))
        write_tree(place, self.pieces[piece.domain][1])
        return place

    def compare(self, piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        live = STAGE_PREFIX not in str(place)
        if read_tree(place) == self.pieces[piece.domain][1] and not (self.lie and live):
            return ()
        return (Mismatch(domain=piece.domain, path="a", why="other content"),)

    def unsaved(
        self, piece: Piece, place: Path, *, safety: str | None = None, live: bytes = b"", names_only: bool = False
    ) -> Unsaved:
        saved = (self.pieces[piece.domain][0 if safety else 1]) or {}
        found = [
            name
            for name, entry in (read_tree(place) or {}).items()
            if (name not in saved if names_only else saved.get(name) != entry) and entry[0] != "folder"
        ]
        return Unsaved(count=len(found), named=tuple(found))

    def own(self) -> Sequence[Path]:
        return self.owned

    def find(self, path: Path, *, renamed: bool) -> HolderReport:
        return HolderReport(holders=self.holders, unseen=self.unseen)

    def free(self, path: Path) -> int:
        return 1 << 40

    def device(self, path: Path) -> int:
        return 1

    def engine(self, faults: Faults | None = None) -> InPlace:
        faults = faults or Faults()
        exchange = Exchange(always_inside=self.inside, rename=faults.around(renameat2))
        return InPlace(
            journals=Faulty(FileJournals(self.base / "state"), faults),
            exchanger=Faulty(exchange, faults),
            holders=Faulty(self, faults),
            space=self,
            work=Faulty(self, faults),
            clock=FixedClock(datetime(2025, 3, 1, 2, tzinfo=UTC)),
        )

    def piece(self, name: str, live: Path, size: int = 10) -> Piece:
        return Piece(domain=name, snapshot="aa", inside=b"", root=os.fsencode(live), live=os.fsencode(live), size=size)

    def wanted(self) -> list[Piece]:
        return [self.piece(name, self.base / "srv" / name) for name in self.pieces]

    def run(self, faults: Faults | None = None, job: str = JOB) -> None:
        self.engine(faults).run(job, "local", self.wanted())

    def live(self) -> str:
        """Whether the old or the new trees are live, all of them; anything else fails the test."""
        now = {name: read_tree(self.base / "srv" / name) for name in self.pieces}
        if now == {name: old for name, (old, _) in self.pieces.items()}:
            return "old"
        assert now == {name: new for name, (_, new) in self.pieces.items()}
        return "new"

    def journal(self) -> Journal | None:
        return FileJournals(self.base / "state").read(JOB)

    def phase(self) -> str:
        journal = self.journal()
        return journal.phase if journal else "none"

    def left(self) -> set[Path]:
        return set((self.base / "srv").rglob(f"{STAGE_PREFIX}*"))

    def check(self) -> str:
        """Everything is closed, live is whole, and only stages that a closed journal keeps are there."""
        live, phase, journal = self.live(), self.phase(), self.journal()
        assert phase in CLOSED | {"none"}
        assert live == ("new" if phase in {"kept", "accepted"} else "old") or (phase == "accepted")
        known = {Path(os.fsdecode(piece.stage)) for piece in journal.pieces} if journal else set()
        assert self.left() == (known if phase in {"kept", "undone", "reverted"} else set())
        assert not list((self.base / "state" / "journals").glob("*.tmp")) or journal is None or phase in CLOSED
        return phase


OLD, NEW = folder(0o700, a=b"old", only_old=b"1", same=b"s"), folder(0o755, a=b"new", only_new=b"2", same=b"s")
FILE_OLD: Tree = {".": ("file", 0o600, b"old")}
FILE_NEW: Tree = {".": ("file", 0o644, b"new")}
SCENES: dict[str, tuple[dict[str, tuple[Tree, Tree]], bool]] = {
    "folder": ({"data": (OLD, NEW)}, False),
    "file": ({"conf": (FILE_OLD, FILE_NEW)}, False),
    "missing": ({"data": (None, NEW)}, False),
    "becomes a file": ({"data": (OLD, FILE_NEW)}, False),
    "entries": ({"data": (OLD, NEW)}, True),
    "two": ({"data": (OLD, NEW), "gone": (None, FILE_NEW)}, False),
}


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    pieces, inside = SCENES[request.param]
    return Scene(tmp_path / "scene", pieces, inside)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut does is not tested here, and thousands of flushes take minutes on a slow disk."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def every_step(scene: Scene, act: Callable[[Faults], object], error: Callable[[], BaseException]) -> Iterator[int]:
    """Build the scene anew for each step of `act`, fail there, and let the caller look; ends when all were done."""
    for at in count(1):
        faults = Faults(at, error)
        try:
            act(faults)
        except (Killed, errors.Failure):
            assert faults.step >= at, "it failed by itself"
            yield at
        else:
            assert at > 10
            return


@pytest.mark.parametrize("again", [False, True], ids=["once", "recovery-killed-too"])
def test_killed_at_every_step_of_a_restore(scene: Scene, again: bool) -> None:
    """Recovery closes it: whole old trees, or whole new ones with the old ones kept, which an undo then puts back."""
    seen = set()
    for at in every_step(scene, lambda faults: scene.build().run(faults), Killed):
        before = scene.phase()
        if again:
            # Each crash of the restore gets another crash of its recovery, so that all pairs of phases occur.
            with contextlib.suppress(Killed):
                scene.engine(Faults(3 + at * 7 % 31)).recover()
        assert not [one.error for one in scene.engine().recover() if one.error]
        phase = scene.check()
        seen.add((before, phase))
        assert scene.engine().recover() == []
        if phase == "kept":
            assert scene.engine().undo(JOB).phase == "undone"
            assert scene.live() == "old"
            scene.engine().accept(JOB)
            assert scene.live() == "old" and not scene.left()
    # Nothing exchanged yet, all of it; where there is more than one name, some of it as well.
    assert {("none", "none"), ("staging", "failed"), ("exchanging", "failed")} <= seen
    assert {("exchanging", "kept"), ("exchanged", "kept")} <= seen
    assert (("exchanging", "reverted") in seen) == (scene.inside or len(scene.pieces) > 1)


def test_killed_at_every_step_of_going_back(tmp_path: Path, scene: Scene) -> None:
    """The new tree turns out wrong once it is live. Going back, begun, is finished; after the exchange a later start
    does not begin it: it was used since. Both trees are there in each case."""
    scene.lie = True
    seen = set()
    for _ in every_step_back(scene):
        before = scene.phase()
        recovered = scene.engine().recover()
        assert not [one.error for one in recovered if one.error]
        after = scene.check()
        seen.add((before, after))
        assert scene.live() == ("new" if after == "kept" else "old")
        if after == "kept":
            assert "other content" in recovered[0].reason
            assert scene.engine().undo(JOB).phase == "undone"
            assert scene.live() == "old"
    assert {
        ("none", "none"),
        ("staging", "failed"),
        ("exchanging", "failed"),
        ("exchanging", "kept"),
        ("exchanged", "kept"),
        ("reverting", "reverted"),
        ("reverted", "reverted"),
    } == seen - {("exchanging", "reverted")}


def every_step_back(scene: Scene) -> Iterator[int]:
    for at in count(1):
        try:
            scene.build().run(Faults(at))
        except Killed:
            yield at
        except errors.VerifyFailed:
            assert scene.check() == "reverted"
            return


def test_an_error_at_every_step_of_a_restore(scene: Scene) -> None:
    """Without a crash there is nothing to recover: the failed run itself leaves the old trees live, and beside them
    only new ones that were live for a moment, until they are accepted."""
    seen = set()
    for _ in every_step(scene, lambda faults: scene.build().run(faults), lambda: errors.DiskFull("full")):
        assert scene.live() == "old"
        seen.add(scene.check())
        if scene.phase() == "reverted":
            scene.engine().accept(JOB)
            assert scene.live() == "old" and not scene.left()
    assert seen == {"failed", "none", "reverted"}


@pytest.mark.parametrize("error", [Killed, lambda: errors.DiskFull("full")], ids=["killed", "error"])
def test_every_step_of_an_undo(scene: Scene, error: Callable[[], BaseException]) -> None:
    """Killed: done, or taken back by recovery. An error: the new trees stay. Then the undo can be repeated."""

    def act(faults: Faults) -> None:
        scene.build().run()
        scene.engine(faults).undo(JOB)

    for _ in every_step(scene, act, error):
        if error is Killed:
            scene.engine().recover()
        else:
            assert scene.phase() == "kept"
        if scene.check() == "kept":
            scene.engine().undo(JOB)
        assert scene.check() == "undone"
        assert scene.live() == "old"


@pytest.mark.parametrize("undone", [False, True])
def test_killed_at_every_step_of_an_accept(scene: Scene, undone: bool) -> None:
    """The kept tree is there or gone, never the live one; an accepted restore points to its safety snapshot."""

    def act(faults: Faults) -> None:
        scene.build().run()
        if undone:
            scene.engine().undo(JOB)
        scene.engine(faults).accept(JOB)

    live = "old" if undone else "new"
    for at in count(1):
        try:
            act(Faults(at))
        except Killed:
            scene.engine().recover()
            assert scene.live() == live
            if scene.check() in {"kept", "undone"}:
                scene.engine().accept(JOB)
            assert scene.check() == "accepted"
            assert scene.live() == live
        else:
            break
    with pytest.raises(errors.RestoreRefused) as refused:
        scene.engine().undo(JOB)
    if any(old is not None for old, _ in scene.pieces.values()):
        assert "rw restore --in-place" in refused.value.hint and "5afe" in refused.value.hint


def test_a_half_removed_stage_is_removed_by_the_next_start(tmp_path: Path) -> None:
    """Killed in the middle of removing a read-only restored tree: the next start removes the rest."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    scene.run()
    (stage,) = scene.left()
    shutil.rmtree(stage / "data" / "sub")
    journals = FileJournals(scene.base / "state")
    journal = journals.read(JOB)
    assert journal is not None
    import msgspec

    journals.write(msgspec.structs.replace(journal, phase="accepting"))
    (recovered,) = scene.engine().recover()
    assert (recovered.was, recovered.now) == ("accepting", "accepted")
    assert not scene.left() and scene.live() == "new"


def test_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Open files, overlapping pieces and a stage without room are refused while nothing was done yet."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    scene.holders = (Holder(pid=7, command="postgres", what="fd", path="/srv/data/a"),)
    with pytest.raises(errors.RestoreRefused, match="postgres"):
        scene.run()
    scene.holders = ()
    inner = scene.piece("x", scene.base / "srv" / "data" / "sub")
    with pytest.raises(errors.UsageError, match="lies inside"):
        scene.engine().run(JOB, "local", [*scene.wanted(), inner])
    huge = scene.piece("data", scene.base / "srv" / "data", 1 << 50)
    with pytest.raises(errors.DiskFull):
        scene.engine().run(JOB, "local", [huge])
    assert scene.check() == "none" and scene.live() == "old"


def test_an_incomplete_safety_snapshot_refuses(tmp_path: Path) -> None:
    """What is live must be wholly in a snapshot before it is moved aside."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, complete=False).build()
    with pytest.raises(errors.RestoreRefused, match="not complete"):
        scene.run()
    assert scene.check() == "failed" and scene.live() == "old"


def test_missing_parents_are_made_and_removed_again(tmp_path: Path) -> None:
    """A place whose parents do not exist is restored to; a failed restore leaves no empty folders behind, once what
    was live for a moment is accepted."""
    scene = Scene(tmp_path / "s", {"data": (None, NEW)}).build()
    live = scene.base / "srv" / "x" / "y" / "data"
    piece = scene.piece("data", live)
    scene.lie = True
    with pytest.raises(errors.VerifyFailed):
        scene.engine().run(JOB, "local", [piece])
    assert not live.exists()
    scene.engine().accept(JOB)
    assert not (scene.base / "srv" / "x").exists()
    scene.lie = False
    scene.engine().run("20250301T030000Z-r-0002", "local", [piece])
    assert read_tree(live) == NEW


@pytest.mark.parametrize("inside", [False, True])
def test_an_undo_keeps_what_was_written_since(tmp_path: Path, inside: bool) -> None:
    """Services replaced, added and removed files since the restore: undo brings the old tree, the rest is kept."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside).build()
    scene.run()
    data = scene.base / "srv" / "data"
    (data / "fresh").write_bytes(b"after the restore")
    (data / "a.tmp").write_bytes(b"replaced")
    (data / "a.tmp").replace(data / "a")
    (data / "same").unlink()
    result = scene.engine().undo(JOB)
    assert scene.live() == "old"
    (kept,) = result.kept
    assert (Path(kept) / "fresh").read_bytes() == b"after the restore"
    assert (Path(kept) / "a").read_bytes() == b"replaced"


def test_an_undo_needs_the_whole_kept_tree(tmp_path: Path) -> None:
    """Somebody removed the kept tree by hand: live stays, and the hint names the safety snapshot."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    scene.run()
    shutil.rmtree(next(iter(scene.left())))
    with pytest.raises(errors.RestoreRefused) as refused:
        scene.engine().undo(JOB)
    assert refused.value.hint == "rw restore --in-place --domain data --snapshot 5afedata"
    assert scene.live() == "new"


def test_a_comparison_that_cannot_be_made_settles_nothing(tmp_path: Path) -> None:
    """The target is away when a crash is recovered: both trees stay, and a later start settles it."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    for at in count(1):
        with contextlib.suppress(Killed):
            scene.build().run(Faults(at))
        if scene.phase() == "exchanged":
            break

    def away(piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        raise errors.TargetUnreachable("s3 does not answer.", hint="rw doctor")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "compare", away)
        (recovered,) = scene.engine().recover()
    assert recovered.error == "s3 does not answer." and recovered.now == "exchanged" and scene.live() == "new"
    with pytest.raises(errors.RestoreRefused, match="not finished"):
        scene.run(job="20250301T030000Z-r-0002")
    assert [one.now for one in scene.engine().recover()] == ["kept"]
    assert scene.check() == "kept"


def crashed(scene: Scene, phase: str) -> None:
    """Kill a restore so that its journal stays in this phase, with everything of that phase done."""
    last = None
    for at in count(1):
        with contextlib.suppress(Killed):
            scene.build().run(Faults(at))
        if scene.phase() == phase:
            last = at
        elif last is not None:
            break
    with contextlib.suppress(Killed):
        scene.build().run(Faults(last))
    assert scene.phase() == phase


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "entries"])
@pytest.mark.parametrize("phase", ["exchanging", "exchanged"])
def test_what_was_written_after_a_crash_stays(tmp_path: Path, phase: str, inside: bool) -> None:
    """Killed after the exchange, the machine ran on for a day: the next start keeps what was written, and says so."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside)
    crashed(scene, phase)
    data = scene.base / "srv" / "data"
    (data / "upload").write_bytes(b"a day's work")
    (data / "a.tmp").write_bytes(b"edited")
    (data / "a.tmp").replace(data / "a")
    (recovered,) = scene.engine().recover()
    assert recovered.now == "kept" and recovered.reason and f"rw restore --undo {JOB}" in recovered.hint
    assert (data / "upload").read_bytes() == b"a day's work" and (data / "a").read_bytes() == b"edited"
    assert read_tree(Path(recovered.kept[0])) == OLD or inside
    (kept,) = scene.engine().undo(JOB).kept
    assert scene.live() == "old"
    assert (Path(kept) / "upload").read_bytes() == b"a day's work" and (Path(kept) / "a").read_bytes() == b"edited"
    # And it goes only when somebody says so twice.
    with pytest.raises(errors.RestoreRefused, match="upload"):
        scene.engine().accept(JOB)
    assert (Path(kept) / "upload").exists() and scene.phase() == "undone"
    scene.engine().accept(JOB, force=True)
    assert not scene.left() and scene.live() == "old"


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "entries"])
def test_what_was_written_while_it_was_compared_stays(tmp_path: Path, inside: bool) -> None:
    """A service writes to the new tree before it is compared: the old tree is back, the upload kept and named."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside).build()
    data = scene.base / "srv" / "data"
    compare = scene.compare

    def written(piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        if place == data:
            (data / "upload").write_bytes(b"new")
            (data / "only_new").unlink()
            (data / "only_old").write_bytes(b"again")
            (data / "a.tmp").write_bytes(b"edited")
            (data / "a.tmp").replace(data / "a")
        return compare(piece, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "compare", written)
        with pytest.raises(errors.VerifyFailed) as failed:
            scene.run()
    assert scene.phase() == "reverted"
    (stage,) = scene.left()
    assert str(stage / "data") in failed.value.hint and f"rw restore --accept {JOB}" in failed.value.hint
    found = {name: content for name, (_, _, content) in (read_tree(stage / "data") or {}).items()}
    assert found["a"] == b"edited"
    # In a mount point names that nobody planned stay where they are.
    assert (data if inside else stage / "data").joinpath("upload").read_bytes() == b"new"
    assert (b"again" in found.values()) and read_tree(data) == (OLD or {}) | (
        {"upload": ("file", 0o644, b"new")} if inside else {}
    )
    with pytest.raises(errors.RestoreRefused):
        scene.engine().undo(JOB)
    with pytest.raises(errors.RestoreRefused, match="would be lost"):
        scene.engine().accept(JOB)
    assert (stage / "data" / "a").read_bytes() == b"edited"


def test_a_new_tree_in_use_is_not_taken_away(tmp_path: Path) -> None:
    """It does not compare and somebody uses it already: it stays live, both trees are kept, and the error says so."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, lie=True).build()
    compare = scene.compare

    def used(piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        if STAGE_PREFIX not in str(place):
            scene.holders = (Holder(pid=7, command="postgres", what="fd", path="/srv/data/a"),)
        return compare(piece, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "compare", used)
        with pytest.raises(errors.VerifyFailed) as failed:
            scene.run()
    assert scene.check() == "kept" and scene.live() == "new"
    assert "in use" in failed.value.hint and f"--undo {JOB}" in failed.value.hint


def half_done(scene: Scene, phase: str, *, force: bool = False) -> None:
    """Kill a restore (exchanging, reverting) or its undo (undoing) right after the first of its several renames."""
    for at in count(1):
        scene.build()
        if phase == "undoing":
            scene.run()
        before = read_tree(scene.base / "srv" / "data")
        with contextlib.suppress(Killed):
            if phase == "undoing":
                scene.engine(Faults(at)).undo(JOB)
            else:
                scene.engine(Faults(at)).run(JOB, "local", scene.wanted(), force=force)
        if scene.phase() == phase and read_tree(scene.base / "srv" / "data") not in (before, NEW, OLD):
            return


@pytest.mark.parametrize("phase", ["exchanging", "reverting", "undoing"])
def test_recovery_leaves_what_is_in_use(tmp_path: Path, phase: str) -> None:
    """Services run again when a crash is recovered: nothing is exchanged under them, and a later start does it."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside=True, lie=phase == "reverting")
    half_done(scene, phase)
    before = read_tree(scene.base / "srv")
    scene.holders = (Holder(pid=7, command="postgres", what="fd", path="/srv/data/a"),)
    for _ in range(2):
        (recovered,) = scene.engine().recover()
        assert "postgres" in recovered.error and recovered.now == phase
        assert read_tree(scene.base / "srv") == before
    scene.holders = ()
    (recovered,) = scene.engine().recover()
    assert not recovered.error and scene.check() == ("kept" if phase == "undoing" else "reverted")


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "entries"])
def test_an_exchange_that_had_not_begun_is_not_begun_later(tmp_path: Path, inside: bool) -> None:
    """Killed before the first rename, days of work followed: they stay, what was never live goes, used or not."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside)
    for at in count(1):
        with contextlib.suppress(Killed):
            scene.build().run(Faults(at))
        if scene.phase() == "exchanging":
            break
    data = scene.base / "srv" / "data"
    (data / "day1").write_bytes(b"work")
    (data / "a.tmp").write_bytes(b"edited")
    (data / "a.tmp").replace(data / "a")
    (data / "only_old").unlink()
    before = read_tree(data)
    scene.holders = (Holder(pid=7, command="postgres", what="fd", path="/srv/data/a"),)
    (recovered,) = scene.engine().recover()
    assert (recovered.now, recovered.error) == ("failed", "") and "before anything was exchanged" in recovered.reason
    assert read_tree(data) == before and not scene.left()


@pytest.mark.parametrize("inside", [False, True], ids=["whole", "entries"])
def test_an_undo_that_had_not_begun_is_not_begun_later(tmp_path: Path, inside: bool) -> None:
    """The same of an undo: what is live stays, and the undo can be asked for again."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside)
    for at in count(1):
        scene.build().run()
        with contextlib.suppress(Killed):
            scene.engine(Faults(at)).undo(JOB)
        if scene.phase() == "undoing":
            break
    data = scene.base / "srv" / "data"
    (data / "day1").write_bytes(b"work")
    before = read_tree(data)
    (recovered,) = scene.engine().recover()
    assert (recovered.now, recovered.error) == ("kept", "") and "taken back" in recovered.reason
    assert read_tree(data) == before
    (kept,) = scene.engine().undo(JOB).kept
    assert scene.live() == "old" and (Path(kept) / "day1").read_bytes() == b"work"


def test_half_an_exchange_is_taken_back_and_what_was_written_is_kept(tmp_path: Path) -> None:
    """Days after a crash half way through: the old tree is live with what was written to it, what was written to the
    new one is kept, named, and not removed without somebody's word."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside=True)
    half_done(scene, "exchanging")
    data = scene.base / "srv" / "data"
    assert (data / "a").read_bytes() == b"new"  # the first name, in order
    (data / "a.tmp").write_bytes(b"edited")
    (data / "a.tmp").replace(data / "a")
    (data / "same").write_bytes(b"work")
    (recovered,) = scene.engine().recover()
    assert recovered.now == "reverted" and "a" in recovered.reason and f"--accept {JOB}" in recovered.hint
    assert read_tree(data) == (OLD or {}) | {"same": ("file", 0o644, b"work")}
    (kept,) = recovered.kept
    assert (Path(kept) / "a").read_bytes() == b"edited" and "1 in" in recovered.reason
    with pytest.raises(errors.RestoreRefused, match="would be lost"):
        scene.engine().accept(JOB)


def test_refused_where_users_of_the_place_cannot_be_seen(tmp_path: Path) -> None:
    """Processes that may not be looked into may use the place: a person has to say that none does, also for an undo."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, unseen=3).build()
    with pytest.raises(errors.RestoreRefused, match="3 processes") as refused:
        scene.run()
    assert "--force" in refused.value.hint and scene.check() == "none"
    result = scene.engine().run(JOB, "local", scene.wanted(), force=True)
    assert result.notes and scene.check() == "kept"
    with pytest.raises(errors.RestoreRefused, match="3 processes"):
        scene.engine().undo(JOB)
    assert scene.engine().undo(JOB, force=True).phase == "undone"


def test_a_forced_restore_is_recovered(tmp_path: Path) -> None:
    """What a person said of the place holds for the recovery of that restore as well."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}, inside=True, unseen=1)
    half_done(scene, "exchanging", force=True)
    assert [one.now for one in scene.engine().recover()] == ["reverted"]


@pytest.mark.parametrize("where", [".", "sub", "sub/deep"], ids=["is", "holds a folder", "holds a file"])
def test_what_rw_lives_on_is_not_exchanged(tmp_path: Path, where: str) -> None:
    """Its state, its password, a repository: refused before anything is done, and neither is its old tree removed."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    data = scene.base / "srv" / "data"
    scene.run()
    scene.owned = (data / where,)
    with pytest.raises(errors.RestoreRefused, match="lives on"):
        scene.engine().accept(JOB, force=True)
    assert scene.check() == "kept"
    for owned in ((data / where,), (data.parent,)):
        scene.owned = owned
        with pytest.raises(errors.RestoreRefused, match="lives on"):
            scene.run(job="20250301T030000Z-r-0002")
    scene.engine().undo(JOB)
    assert scene.live() == "old"


def test_a_symlink_out_of_the_domain_is_not_followed(tmp_path: Path) -> None:
    """A folder on the way became a link to somewhere else: what is there belongs to somebody else."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    data, other = scene.base / "srv" / "data", scene.base / "other"
    shutil.copytree(data / "sub", other)
    shutil.rmtree(data / "sub")
    (data / "sub").symlink_to(other)
    piece = Piece(
        domain="data",
        snapshot="aa",
        inside=b"",
        root=os.fsencode(data),
        live=os.fsencode(data / "sub" / "deep"),
        size=1,
    )
    with pytest.raises(errors.RestoreRefused, match="outside of the domain"):
        scene.engine().run(JOB, "local", [piece])
    assert [path.name for path in other.iterdir()] == ["deep"] and scene.phase() == "none"


def test_what_no_snapshot_has_is_told_and_not_removed(tmp_path: Path) -> None:
    """Files that the safety snapshot lacks are named when they are put aside, and keep the old tree from removal."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    data = scene.base / "srv" / "data"
    (data / "cache").write_bytes(b"left out by the policy")
    result = scene.engine().run(JOB, "local", scene.wanted())
    assert len(result.notes) == 1 and "cache" in result.notes[0]
    with pytest.raises(errors.RestoreRefused, match="cache") as refused:
        scene.engine().accept(JOB)
    assert f"rw restore --accept {JOB} --force" in refused.value.hint
    (stage,) = scene.left()
    assert (stage / "data" / "cache").read_bytes() == b"left out by the policy" and scene.phase() == "kept"
    scene.engine().accept(JOB, force=True)
    assert not scene.left() and scene.live() == "new"


def test_not_knowing_what_is_saved_removes_nothing(tmp_path: Path) -> None:
    """The safety snapshot cannot be read: accepting is refused with the reason."""
    scene = Scene(tmp_path / "s", {"data": (OLD, NEW)}).build()
    scene.run()

    def away(*args: object, **kwargs: object) -> Unsaved:
        raise errors.NotFound("The snapshot 5afe is not there any more.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "unsaved", away)
        with pytest.raises(errors.RestoreRefused, match="not there any more") as refused:
            scene.engine().accept(JOB)
    assert "--force" in refused.value.hint and scene.check() == "kept"


names = st.sampled_from(["a", "b", "c", "d", "e\n", "\udcff", "sub"])
flat = st.dictionaries(names, st.binary(max_size=3), max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=flat, new=flat, inside=st.booleans(), at=st.integers(1, 90), again=st.integers(1, 60))
def test_random_trees(
    tmp_path: Path, old: dict[str, bytes], new: dict[str, bytes], inside: bool, at: int, again: int
) -> None:
    """Whatever the names are: killed twice, live is whole and can be undone."""
    trees = [{".": ("folder", 0o755, b"")} | {k: ("file", 0o644, v) for k, v in one.items()} for one in (old, new)]
    scene = Scene(tmp_path / "s", {"data": (trees[0], trees[1])}, inside).build()
    with contextlib.suppress(Killed):
        scene.run(Faults(at))
    with contextlib.suppress(Killed):
        scene.engine(Faults(again)).recover()
    scene.engine().recover()
    if trees[0] != trees[1]:
        scene.check()
    if scene.phase() == "kept":
        scene.engine().undo(JOB)
        assert read_tree(scene.base / "srv" / "data") == trees[0]


def many(content: bytes) -> Tree:
    tree: Tree = {f"{number:03}": ("file", 0o644, content) for number in range(300)}
    return {".": ("folder", 0o755, b"")} | (tree or {})


def child(act: str, base: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), act, str(base)]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("after", [0, 1, 40, 299])
def test_a_real_sigkill_within_the_exchange(tmp_path: Path, after: int) -> None:
    """The process is really killed after so many of 300 renames; a new one finishes what it began."""
    scene = Scene(tmp_path / "s", {"data": (many(b"old"), many(b"new"))}, inside=True).build()
    with subprocess.Popen(child("run", scene.base), env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(after + 1):
            assert process.stdout.read(1) == b"."
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (recovered,) = scene.engine().recover()
    assert recovered.was in {"exchanging", "exchanged"}
    assert scene.check() == recovered.now
    if recovered.now == "kept":
        scene.engine().undo(JOB)
    else:
        assert recovered.was == "exchanging" and "half way" in recovered.reason
    assert scene.live() == "old"


def test_a_real_mount_point(tmp_path: Path) -> None:
    """A tmpfs of its own: it cannot be renamed, so its entries are exchanged, and its own mode and times follow."""
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", *child("mount", tmp_path)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("mount: good\n")


def _run_to_be_killed(base: Path) -> None:
    """One byte after each rename, so that the parent knows where we are."""

    def rename(*args: Any) -> None:
        renameat2(*args)
        os.write(1, b".")

    scene = Scene(base, {"data": (many(b"old"), many(b"new"))}, inside=True)
    scene_engine = scene.engine()
    scene_engine._exchanger = Exchange(always_inside=True, rename=rename)
    scene_engine.run(JOB, "local", scene.wanted())
    signal.pause()


def _on_a_mount(base: Path) -> None:
    """In a mount namespace of our own: restore, undo, and both refusals of mount points in the wrong place."""
    scene = Scene(base / "s", {"data": (OLD, NEW)}).build()
    data = scene.base / "srv" / "data"
    shutil.rmtree(data)
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(data)], check=True)
    write_tree(data, OLD)
    data.chmod(0o700)
    os.utime(data, (1_000_000, 1_000_000))
    assert not place_of(data).whole and scene.live() == "old"
    scene.run()
    assert scene.check() == "kept" and os.path.ismount(data)
    assert all(stage.parent == data for stage in scene.left())
    scene.engine().undo(JOB)
    assert scene.live() == "old" and data.stat().st_mtime == 1_000_000
    scene.engine().accept(JOB)
    assert not scene.left() and data.stat().st_mtime == 1_000_000

    inner = data / "sub"
    subprocess.run(["mount", "-t", "tmpfs", "none", str(inner)], check=True)
    for live in (data, data.parent):
        with pytest.raises(errors.RestoreRefused, match="mount point inside"):
            place_of(live)
    single = data / "a"
    subprocess.run(["mount", "--bind", str(data / "same"), str(single)], check=True)
    with pytest.raises(errors.RestoreRefused, match="single file"):
        place_of(single)
    bound = scene.base / "bound"
    bound.mkdir()
    (scene.base / "plain").mkdir()
    subprocess.run(["mount", "--bind", str(scene.base / "plain"), str(bound)], check=True)
    assert not place_of(bound).whole, "a bind mount has its parent's device number"
    print("mount: good", flush=True)


if __name__ == "__main__":
    {"run": _run_to_be_killed, "mount": _on_a_mount}[sys.argv[1]](Path(sys.argv[2]))
