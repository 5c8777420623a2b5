"""Every way in which a restored path can differ from what was backed up."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest

from resticwrap.model.objects import Entry, Kind
from resticwrap.ports import Trees
from resticwrap.services.compare import BATCH, compare, excused


class Lengths:
    """The one thing that is asked of the trees: how long a file's pieces are."""

    def __init__(self, **lengths: int) -> None:
        self.lengths, self.asked = lengths, 0

    def blob_lengths(self, blobs: Iterable[str]) -> Mapping[str, int]:
        self.asked += 1
        return {blob: self.lengths[blob] for blob in blobs if blob in self.lengths}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file(name: str, content: bytes, mode: int = 0o644) -> Entry:
    """A file that restic kept as one blob."""
    return Entry(
        path=name.encode(), kind="file", size=len(content), mode=mode, content=(sha(content),) if content else ()
    )


def why(place: Path, entry: Entry, lengths: Mapping[str, int] | None = None, *, modes: bool = True) -> str | None:
    """What is wrong with one entry."""
    ((_, found),) = compare(cast(Trees, Lengths(**(lengths or {}))), [entry], os.fsencode(place), "exams", modes=modes)
    assert found is None or (found.domain == "exams" and found.path)
    return found.why if found else None


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file `a`, a link `l`, a folder `d`, a fifo `p`."""
    (tmp_path / "a").write_bytes(b"hello")
    (tmp_path / "a").chmod(0o644)
    (tmp_path / "l").symlink_to("a")
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    os.mkfifo(tmp_path / "p")
    (tmp_path / "p").chmod(0o644)
    (tmp_path / "e").write_bytes(b"")
    (tmp_path / "e").chmod(0o644)
    return tmp_path


def test_as_it_was(place: Path) -> None:
    """Nothing is wrong with what came back whole."""
    assert why(place, file("a", b"hello")) is None
    assert why(place, file("e", b"")) is None
    assert why(place, Entry(path=b"l", kind="symlink", link=b"a", mode=0o777)) is None
    assert why(place, Entry(path=b"l", kind="symlink", link=None)) is None, "a link whose target nobody told"
    assert why(place, Entry(path=b"d", kind="dir", mode=0o755)) is None
    assert why(place, Entry(path=b"p", kind="fifo", mode=0o644)) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (file("gone", b"x"), "cannot be looked at: No such file or directory"),
        (file("a/below", b"x"), "cannot be looked at: Not a directory"),
        (file("d", b"x"), "is a dir, was a file"),
        (file("l", b"hello"), "is a symlink, was a file"),
        (Entry(path=b"a", kind="dir", mode=0o755), "is a file, was a dir"),
        (Entry(path=b"l", kind="symlink", link=b"elsewhere"), "points elsewhere"),
        (file("a", b"hello", mode=0o600), "has mode 644, had 600"),
        (Entry(path=b"d", kind="dir", mode=0o2755), "has mode 755, had 2755"),
        (file("a", b"hell"), "has 5 bytes, had 4"),
        (file("a", b"hellO"), "has other content"),
        (file("e", b"x"), "has 0 bytes, had 1"),
    ],
)
def test_differences(entry: Entry, says: str, place: Path) -> None:
    """Each is told in words."""
    assert why(place, entry) == says


def test_modes_can_be_left_out(place: Path) -> None:
    """Where the file system keeps none."""
    assert why(place, file("a", b"hello", mode=0o600), modes=False) is None


@pytest.mark.parametrize("kind", ["file", "dir", "symlink", "fifo", "socket", "dev", "chardev", "irregular"])
def test_every_kind_is_told_from_a_file(kind: Kind, place: Path) -> None:
    """A file stands where something else was."""
    found = why(place, Entry(path=b"a", kind=kind, size=5, mode=0o644, content=(sha(b"hello"),)))
    assert found == (None if kind == "file" else f"is a file, was a {kind}")
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
    assert why(Path("/dev"), Entry(path=b"null", kind="chardev", mode=0o666), modes=False) is None


def test_owners_and_times(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owner and group of anything, the time of a file to the second; an owner that we may not set is told apart, and
    never hides that something else is wrong."""
    found = (place / "a").stat()
    when = datetime.fromtimestamp(found.st_mtime, UTC)
    right = msgspec.structs.replace(file("a", b"hello"), uid=found.st_uid, gid=found.st_gid, mtime=when)

    def what(entry: Entry) -> tuple[str | None, bool]:
        trees = cast(Trees, Lengths())
        ((_, wrong),) = compare(trees, [entry], os.fsencode(place), "exams", owners=True)
        return wrong.what if wrong else None, excused(entry, wrong)

    another = msgspec.structs.replace(right, uid=found.st_uid + 1)
    link = Entry(path=b"l", kind="symlink", link=b"a", uid=found.st_uid, gid=found.st_gid + 1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert what(right) == (None, False)
    assert what(another) == ("owner", False) and what(link) == ("owner", False)
    assert what(msgspec.structs.replace(right, mtime=when + timedelta(seconds=0.5))) == (None, False)
    assert what(msgspec.structs.replace(right, mtime=when - timedelta(seconds=3))) == ("time", False)
    assert why(place, msgspec.structs.replace(another, mtime=when - timedelta(days=1))) is None, "not asked for"
    monkeypatch.setattr(os, "geteuid", lambda: found.st_uid + 7)
    assert what(another) == ("owner", True)
    assert what(msgspec.structs.replace(another, mode=0o600)) == ("mode", False)
    monkeypatch.setattr(os, "geteuid", lambda: found.st_uid + 1)
    monkeypatch.setattr(os, "getgroups", lambda: [found.st_gid])
    assert what(another) == ("owner", False)


def test_several_blobs(place: Path) -> None:
    """Cut at the blobs' lengths; in their order, to the last byte, and none whose length nobody knows."""
    first, second = sha(b"hel"), sha(b"lo")
    both = Entry(path=b"a", kind="file", size=5, mode=0o644, content=(first, second))
    assert why(place, both, {first: 3, second: 2}) is None
    assert why(place, both, {first: 3}) == "has other content"
    assert why(place, both, {first: 2, second: 3}) == "has other content"
    swapped = Entry(path=b"a", kind="file", size=5, mode=0o644, content=(second, first))
    assert why(place, swapped, {first: 3, second: 2}) == "has other content"
    short = Entry(path=b"a", kind="file", size=5, mode=0o644, content=(first, first))
    assert why(place, short, {first: 3}) == "has 5 bytes, had 6"
    # Holes where restic could not read: as long as it was, and not the same.
    (place / "a").write_bytes(b"hel\0\0")
    assert why(place, both, {first: 3, second: 2}) == "has other content"


def test_grown_while_it_was_read(place: Path) -> None:
    """The zeros that restic's restore adds to a file that grew meanwhile are cut off, and only what it added: the file
    counts as what was kept, with its mode and its time, and a file of any other length is left as it is."""
    kept = Entry(path=b"a", kind="file", size=8, mode=0o400, content=(sha(b"hel"), sha(b"lo")))
    lengths = {sha(b"hel"): 3, sha(b"lo"): 2}

    def after(content: bytes, *, cut: bool) -> tuple[str | None, bytes]:
        (place / "a").unlink()
        (place / "a").write_bytes(content)
        os.utime(place / "a", ns=(7, 1_000_000_007))
        (place / "a").chmod(0o400)
        trees = cast(Trees, Lengths(**lengths))
        ((_, found),) = compare(trees, [kept], os.fsencode(place), "exams", cut=cut)
        assert (place / "a").stat().st_mtime_ns == 1_000_000_007
        assert stat.S_IMODE((place / "a").stat().st_mode) == 0o400
        return found.why if found else None, (place / "a").read_bytes()

    assert after(b"hello\0\0\0", cut=True) == (None, b"hello")
    assert after(b"hello", cut=False) == (None, b"hello")
    assert after(b"hello\0\0\0", cut=False) == ("has 8 bytes, had 5", b"hello\0\0\0")
    assert after(b"hello\0\0", cut=True) == ("has 7 bytes, had 5", b"hello\0\0")
    assert after(b"hellO\0\0\0", cut=True) == ("has other content", b"hellO")


def test_lengths_are_asked_for_many_at_once(place: Path) -> None:
    """One look into the index for a batch, and none where no file is in pieces."""
    trees = Lengths()
    entries = [file("a", b"hello")] * (BATCH + 1)
    assert len(list(compare(cast(Trees, trees), entries, os.fsencode(place), "exams"))) == BATCH + 1
    assert trees.asked == 0
    split = Entry(path=b"a", kind="file", size=5, mode=0o644, content=("x", "y"))
    list(compare(cast(Trees, trees), [split] * (BATCH + 1), os.fsencode(place), "exams"))
    assert trees.asked == 2


def test_names_are_bytes(tmp_path: Path) -> None:
    """A name that is not UTF-8 is compared and shown."""
    with open(os.fsencode(tmp_path) + b"/\xff", "wb") as out:
        out.write(b"other")
    entry = Entry(path=b"\xff", kind="file", size=5, mode=0o644, content=(sha(b"hello"),))
    ((_, found),) = compare(cast(Trees, Lengths()), [entry], os.fsencode(tmp_path), "exams", modes=False)
    assert found is not None and (found.path, found.why) == ("\\xff", "has other content")
