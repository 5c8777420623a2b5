"""Journals on disk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.host.journals import DatabaseJournals, FileJournals
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.model.swap import Journal, JournalPiece, Piece, Place, Swap, SwapEntry

NOW = datetime(2025, 3, 1, 2, tzinfo=UTC)


def journal(job: str, at: datetime = NOW) -> Journal:
    entry = SwapEntry(name=b"\xff\n", staged=b"x", live=1 << 63, new=None)
    piece = JournalPiece(
        piece=Piece(domain="d", snapshot="aa", inside=b"\xfe", root=b"/srv/\xff", live=b"/srv/\xff", size=3),
        place=Place(live=b"/srv/\xff", whole=True, container=b"/srv"),
        stage=b"/srv/.rw-restore-J",
        swap=Swap(container=b"/srv", stage=b"/srv/.rw-restore-J", entries=(entry,)),
    )
    return Journal(job=job, target="local", phase="staging", started_at=at, changed_at=at, pieces=(piece,))


def test_round_trip(tmp_path: Path) -> None:
    """Names that are no UTF-8 and large inodes come back; the list is in the order of their start."""
    journals = FileJournals(tmp_path)
    assert journals.all() == () and journals.read("a") is None
    first, second = journal("b"), journal("a", NOW + timedelta(seconds=1))
    journals.write(second)
    journals.write(first)
    journals.write(first)
    assert list(journals.all()) == [first, second]
    assert [path.name for path in sorted((tmp_path / "journals").iterdir())] == ["a.json", "b.json"]


def test_faults(tmp_path: Path) -> None:
    """Unreadable and unwritable journals are told; a job's id is not a path."""
    journals = FileJournals(tmp_path)
    for job in ("", "../x", ".x"):
        with pytest.raises(errors.UsageError):
            journals.read(job)
    (tmp_path / "journals").mkdir()
    (tmp_path / "journals" / "a.json").write_bytes(b"{")
    with pytest.raises(errors.Damaged, match="cannot be read"):
        journals.all()
    (tmp_path / "file").touch()
    with pytest.raises(errors.Failure, match="cannot be written"):
        FileJournals(tmp_path / "file").write(journal("a"))


def test_journals_of_databases_are_apart(tmp_path: Path) -> None:
    """Neither kind is taken for the other, and one that cannot be read says what to look for."""
    databases = DatabaseJournals(tmp_path)
    one = DbJournal(
        job="r", target="local", domain="app", place="here", source="app", snapshot="aa", phase="kept", started_at=NOW,
        changed_at=NOW, pieces=(DbPiece(database="app", live="app", beside="rw_r_0", kept="app_before_r"),),
    )  # fmt: skip
    databases.write(one)
    FileJournals(tmp_path).write(journal("a"))
    assert (databases.all(), databases.read("r")) == ((one,), one)
    assert [found.job for found in FileJournals(tmp_path).all()] == ["a"]
    (tmp_path / "journals" / "databases" / "r.json").write_bytes(b"{")
    with pytest.raises(errors.Damaged) as caught:
        databases.read("r")
    assert "names with r in them" in caught.value.hint
