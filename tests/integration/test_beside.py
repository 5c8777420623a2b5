"""Files that are compared while restic is at work on others: all that can be, and nothing wrong passes for it."""

import dataclasses
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap.ports import Repository
from resticwrap.restic.repofiles import RepositoryFiles, StoreFiles
from resticwrap.services import beside, fetching
from resticwrap.services.choosing import Choice, Wish, choose
from resticwrap.services.context import Context
from tests.lab import Lab

LARGE = 3 << 20
"""More than one blob: restic cuts at 8 MiB at the latest and at 1 MiB in the mean."""


class Meddled:
    """A repository whose restores are meddled with: `early` gets each file before it is told of, `late` the folder
    when all is done."""

    def __init__(
        self,
        repository: Repository,
        early: Callable[[Path], None] = lambda _: None,
        late: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._repository, self._early, self._late = repository, early, late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)

    def restore(self, snapshot: str, to: Path, *arguments: Any, on_file: Callable[[bytes], None], **more: Any) -> Any:
        def told(path: bytes) -> None:
            self._early(to / os.fsdecode(path))
            on_file(path)

        result = self._repository.restore(snapshot, to, *arguments, on_file=told, **more)
        self._late(to)
        return result


@contextmanager
def opened(lab: Lab, **meddled: Callable[[Path], None]) -> Iterator[tuple[Context, Choice]]:
    """The domain `exams` to be restored."""
    with lab.house() as house:
        hot = cast(Repository, Meddled(house.context.hot, **meddled))
        context = dataclasses.replace(house.context, hot=hot)
        (choice,) = choose(context, Wish(("exams",)))
        yield context, choice


@pytest.fixture
def full(lab: Lab) -> Lab:
    """Files of one blob and of several, an empty one, a link, a second name, and a name that is not UTF-8."""
    lab.fill("exams", files=20)
    twice = lab.write("exams/twice.bin", secrets.token_bytes(2000))
    os.link(twice, twice.with_name("second.bin"))
    lab.write("exams/large.bin", secrets.token_bytes(LARGE))
    lab.write("exams/sub/copy.bin", (lab.data / "exams" / "exam_000.bin").read_bytes())
    lab.write("exams/empty.bin")
    (lab.data / "exams" / "link").symlink_to("large.bin")
    Path(os.fsdecode(os.fsencode(lab.data / "exams") + b"/\xff.bin")).write_bytes(b"name")
    lab.rw("backup", "--domain", "exams")
    return lab


def test_all_that_can_be(full: Lab, either_restic: Path) -> None:
    """Of 26 files all but the empty one, the one that restic cannot name, and one of two names."""
    full.restic = either_restic
    full.env["RW_RESTIC"] = str(either_restic)
    with opened(full) as (context, choice):
        for number, no_cache in enumerate((False, True)):
            found = fetching.fetch_and_check(context, choice, full.folder / f"stage{number}", no_cache=no_cache)
            assert found.good and (found.files, found.beside) == (26, 23)
            assert found.size == sum(path.lstat().st_size for path in (full.data / "exams").rglob("*.bin"))


def test_a_narrow_window(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told of far ahead of the walk is compared all the same, now or at the end."""
    monkeypatch.setattr(beside, "WINDOW", 2)
    with opened(full) as (context, choice):
        found = fetching.fetch_and_check(context, choice, full.folder / "stage")
    assert found.good and found.files == 26


def test_wrong_bytes_are_found(full: Lab) -> None:
    """Bytes that are wrong when restic tells of a file, in small ones and in large ones: both are named and set
    aside."""
    wrong = ("exam_007.bin", "large.bin")

    def flip(path: Path) -> None:
        if path.name in wrong:
            with path.open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))

    with opened(full, early=flip) as (context, choice):
        found = fetching.fetch_and_check(context, choice, full.folder / "stage")
    assert {mismatch.path: mismatch.what for mismatch in found.wrong} == {f"exams/{name}": "content" for name in wrong}
    assert not (full.folder / "stage" / "exams" / "large.bin").exists()
    assert (full.folder / "stage" / "exams" / "large.bin.rw-damaged").exists()


def rewritten(file: Path) -> None:
    """Other bytes in the same file, with the time set back to what it was."""
    status = file.stat()
    file.write_bytes(secrets.token_bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_changed_after_it_compared_well(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared well and is then written to, replaced or removed is found at the end, also where the time of
    the file is set back, and where it is another file of that name, size and time."""

    def while_restic_ends(stage: Path) -> None:
        exams = stage / "exams"
        (exams / "exam_001.bin").write_bytes(secrets.token_bytes(1000))
        other, new = exams / "exam_002.bin", exams / "new"
        new.write_bytes(secrets.token_bytes(1000))  # beside the other one, so that it gets another inode
        new.chmod(other.stat().st_mode & 0o7777)
        os.utime(new, ns=(other.stat().st_atime_ns, other.stat().st_mtime_ns))
        new.rename(other)
        (exams / "exam_003.bin").unlink()
        (exams / "exam_004.bin").chmod(0)

    def after(self: beside.Beside, heed: Callable[[], None]) -> None:
        first = not self._ended
        real(self, heed)
        if first:
            probe = full.folder / "probe"
            while not probe.exists() or probe.stat().st_ctime_ns <= self._until:
                probe.write_bytes(b"")  # the kernel's clock of files ticks some hundred times a second
                probe.touch()
            rewritten(full.folder / "stage" / "exams" / "exam_005.bin")

    real = beside.Beside.finish
    monkeypatch.setattr(beside.Beside, "finish", after)
    with opened(full, late=while_restic_ends) as (context, choice):
        found = fetching.fetch_and_check(context, choice, full.folder / "stage")
    assert {mismatch.path[-7:-4]: mismatch.what for mismatch in found.wrong} == {
        "001": "content",
        "002": "content",
        "003": "missing",
        "004": "mode",
        "005": "content",
    }


def test_trees_that_fail_meanwhile(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the walk beside the download fails, everything is compared at the end."""
    calls = 0

    def flaky(files: RepositoryFiles, *arguments: Any) -> Iterator[bytes]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("once")
        return real(files, *arguments)  # type: ignore[arg-type]

    real = StoreFiles.copies
    with opened(full) as (context, choice):
        monkeypatch.setattr(StoreFiles, "copies", flaky)
        found = fetching.fetch_and_check(context, choice, full.folder / "stage", no_cache=True)
    assert found.good and (found.files, found.beside) == (26, 0) and calls > 1
