"""Names and verdicts of restores of databases."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.model.databases import DatabaseFacts, TableFacts
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.planning import dbrestore

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
JOB = "restore_20260301T020000Z_0a1b2c"
NAMES = st.lists(
    st.text(min_size=1, max_size=63).filter(lambda name: len(name.encode()) <= 63), unique=True, min_size=1
)


def journal(phase: str = "kept", **more: object) -> DbJournal:
    made = DbJournal(
        job=JOB, target="main", domain="app", place="here", source="app", snapshot="aa", phase="kept", started_at=NOW,
        changed_at=NOW, pieces=(DbPiece(database="app", live="app", beside="rw_x_0", kept="app_before"),),
    )  # fmt: skip
    return msgspec.structs.replace(made, phase=phase, **more)


@given(names=NAMES, over=st.booleans())
def test_names(names: list[str], over: bool) -> None:
    """However long names are: none that is made is another's, none is cut by an engine, and each tells its job."""
    goals = dbrestore.wanted(names, domain="d", only=None, into=None, job=JOB, over=over)
    pieces = dbrestore.pieces(JOB, goals, names)
    assert [piece.database for piece in pieces] == names and len(set(goals.values())) <= len(names)
    if over:
        assert goals == {name: name for name in names}
    made = [piece.beside for piece in pieces] + [piece.kept for piece in pieces if piece.kept]
    assert len(set(made)) == len(made) and all(JOB in name and len(name.encode()) <= 63 for name in made)
    assert all(bool(piece.kept) == (piece.live in names) for piece in pieces)
    # The next dump of all databases holds none of them.
    assert all(dbrestore.of_a_restore(name) for name in made)
    assert not any(dbrestore.of_a_restore(name) for name in names)


def test_wanted() -> None:
    """One of several by its name; --into is the name of one."""
    two = {"domain": "d", "job": JOB, "over": False}
    assert dbrestore.wanted(["a", "b"], only="b", into="x", **two) == {"b": "x"}  # type: ignore[arg-type]
    assert dbrestore.wanted(["a"], only=None, into=None, **two) == {"a": "a_0a1b2c"}  # type: ignore[arg-type]
    for only, into, kind in (("c", None, errors.NotFound), (None, "x", errors.UsageError)):
        with pytest.raises(kind):
            dbrestore.wanted(["a", "b"], only=only, into=into, **two)  # type: ignore[arg-type]
    with pytest.raises(errors.NotFound):
        dbrestore.wanted([], only=None, into=None, **two)  # type: ignore[arg-type]


def test_compared() -> None:
    """Each table must be there as it was said; rows that nobody spoke of are wrong, empty tables are not."""
    one, two = (TableFacts(name=name, rows=3, size=9, digest=name) for name in ("one", "two"))
    said = DatabaseFacts(name="app", tables=(one, two), schema_digest="x")
    same = dbrestore.compared("app", "new", said, said, definitions=True)
    assert same.ok and (same.tables, same.rows) == (2, 6)
    other = DatabaseFacts(
        name="app",
        tables=(msgspec.structs.replace(one, digest="z"), TableFacts(name="more", rows=1, size=1, digest="")),
        schema_digest="y",
    )
    found = dbrestore.compared("app", "new", said, other, definitions=True)
    assert found.wrong == ("one: differs", "two: is missing", "more: has rows that the dump has not")
    assert not found.definitions and dbrestore.compared("app", "new", said, other).definitions
    empty = DatabaseFacts(name="app", tables=(one, two, TableFacts(name="more", rows=0, size=0, digest="")))
    assert dbrestore.compared("app", "new", said, empty).ok


@pytest.mark.parametrize(
    ("change", "refused", "forced"),
    [
        ({}, False, False),
        ({"wrong": ("one: differs",)}, True, True),
        ({"definitions": False}, True, False),
        ({"unexpected": ("q: gives 1",)}, True, False),
    ],
)
def test_unlike(change: dict[str, object], refused: bool, forced: bool) -> None:
    """Rows that differ reach no live name, whatever anybody says."""
    one = msgspec.structs.replace(RestoredDatabase(database="a", name="a", tables=1, rows=1), **change)
    assert (dbrestore.unlike("d", [one], force=False) is not None) == refused
    assert (dbrestore.unlike("d", [one], force=True) is not None) == forced


def test_again() -> None:
    """Who is told to look loads what did not compare: of the domain that was copied, and of that snapshot or moment."""
    copied = journal("loading", source="prod")
    assert dbrestore.again(copied) == "rw db restore prod --snapshot aa"
    copied = msgspec.structs.replace(copied, until=NOW)
    assert dbrestore.again(copied) == "rw db restore prod --at 2026-03-01T02:00:00+00:00"


def test_meanwhile() -> None:
    """A live database that has gone leaves nothing to keep; one that has come is nobody's to move."""
    piece = DbPiece(database="a", live="a", beside="b", kept="k")
    assert dbrestore.meanwhile([piece], ["a"], over=True) == (piece,)
    assert dbrestore.meanwhile([piece], [], over=True)[0].kept == ""
    for over, kept in ((True, ""), (False, "k")):
        with pytest.raises(errors.RestoreRefused):
            dbrestore.meanwhile([msgspec.structs.replace(piece, kept=kept)], ["a"], over=over)


def test_refusals() -> None:
    """What is there, what is being restored, and what was accepted or removed."""
    pieces = journal().pieces
    assert dbrestore.taken("d", pieces, "here", over=True) is None
    assert "--replace" in dbrestore.taken("d", pieces, "here", over=False).hint  # type: ignore[union-attr]
    assert dbrestore.busy([journal("exchanging")], "here", pieces) is not None
    assert dbrestore.busy([journal("exchanging")], "there", pieces) is None
    assert dbrestore.busy([journal("kept")], "here", pieces) is None
    assert dbrestore.may_undo(journal(), ["app", "app_before"]) is None
    assert "somebody removed" in dbrestore.may_undo(journal(), ["app"]).message  # type: ignore[union-attr]
    for phase in ("made", "undone", "reverted", "accepted", "failed", "loading"):
        assert dbrestore.may_undo(journal(phase), ["app_before"]) is not None
        assert (dbrestore.may_accept(journal(phase)) is None) == (phase in dbrestore.KEEPING)


def test_standing() -> None:
    """What is kept is told with both commands; what is over is not told."""
    kept = dbrestore.standing(journal())
    assert kept is not None and "app_before" in kept[0] and "undo" in kept[1] and "accept" in kept[1]
    undone = dbrestore.standing(journal("undone"))
    assert undone is not None and "rw_x_0" in undone[0] and "undo" not in undone[1]
    assert "not finished" in dbrestore.standing(journal("loading"))[0]  # type: ignore[index]
    assert all(dbrestore.standing(journal(phase)) is None for phase in ("failed", "made", "accepted"))
    assert dbrestore.lingers(journal("failed"), NOW) and not dbrestore.lingers(journal("kept"), NOW)
    assert not dbrestore.lingers(journal("failed"), NOW + timedelta(hours=1))


def test_room() -> None:
    """Only what is known to be too little is told."""
    assert dbrestore.room(10, None, "here") == dbrestore.room(10, 10, "here") == ""
    assert dbrestore.room(1_000, 10, "here") == "here has 10 bytes free, and what is loaded may need 1,000"
    assert dbrestore.same_version("15.4", "15.18") and not dbrestore.same_version("15.4", "16.1")
