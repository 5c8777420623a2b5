"""What a capture counts of the change between two trees."""

import pytest

from resticwrap.model.objects import Change, Entry, Kind
from resticwrap.services.capture import NAMED, Counts


def change(what: str, kind: Kind = "file", path: bytes = b"x/a") -> Change:
    """One path that differs."""
    entry = Entry(path=path, kind=kind)
    old, new = (None if what == "added" else entry), (None if what == "removed" else entry)
    return Change(path=path, what=what, old=old, new=new)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "counted"),
    [
        ("added", (1, 0, 0, 0)),
        ("changed", (0, 1, 0, 0)),
        ("removed", (0, 0, 1, 0)),
        ("bitrot", (0, 1, 0, 1)),
        ("metadata", (0, 0, 0, 0)),
    ],
)
def test_every_kind_of_change(what: str, counted: tuple[int, int, int, int]) -> None:
    """Folders are not counted; a link is like a file."""
    counts = Counts()
    kinds: list[Kind] = ["file", "dir", "symlink"]
    for kind in kinds:
        counts.take(change(what, kind), keep=False)
    found = (counts.added, counts.changed, counts.removed, counts.bitrot_count)
    assert found == tuple(2 * number for number in counted)
    assert counts.changes == []


def test_rot_is_named_up_to_a_bound() -> None:
    """The count is whole, the names are not, and names are for people."""
    counts = Counts()
    for number in range(NAMED + 5):
        counts.take(change("bitrot", path=b"x/\xff%d" % number), keep=False)
    assert (len(counts.bitrot), counts.bitrot_count) == (NAMED, NAMED + 5)
    assert counts.bitrot[0] == "x/\\xff0"


def test_changes_are_kept_for_a_plain_manifest() -> None:
    """What is in it, and not metadata alone."""
    counts = Counts()
    for what in ("added", "metadata", "removed"):
        counts.take(change(what), keep=True)
    assert [kept.what for kept in counts.changes] == ["added", "removed"]


def test_a_change_of_nothing() -> None:
    """A path that is on neither side counts nothing."""
    counts = Counts()
    counts.take(Change(path=b"x", what="changed"), keep=True)
    assert (counts.changed, counts.changes) == (0, [])
