"""Which snapshot a restore takes, and that no path leaves its domain."""

from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import restore as planning
from resticwrap.planning.restore import inside
from tests.unit.restic.scene import TAGS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
choose = partial(planning.choose, now=NOW + timedelta(days=9))


def snapshot(name: str, hours: float, domain: str = "exams", original: str = "") -> Snapshot:
    """A snapshot so many hours after NOW."""
    return Snapshot(
        id=name, original=original or name, time=NOW + timedelta(hours=hours), tree="t", host="lab", paths=(),
        tags=msgspec.structs.replace(TAGS, domain=domain),
    )  # fmt: skip


ALL = [
    snapshot("aa11", 1),
    snapshot("aa22", 2),
    snapshot("bb33", 3),  # partial
    snapshot("aaff", 9, domain="profiles"),
    msgspec.structs.replace(snapshot("aa99", 9), tags=None),
]


def complete(one: Snapshot) -> bool:
    """All but one."""
    return one.id != "bb33"


def test_latest_is_complete() -> None:
    """A partial snapshot is nobody's latest, and other people's are none of ours."""
    assert choose(ALL, "exams", complete=complete).id == "aa22"
    assert choose(list(reversed(ALL)), "exams", complete=complete).id == "aa22"


@pytest.mark.parametrize(("hours", "name"), [(1, "aa11"), (1.99, "aa11"), (2, "aa22"), (3, "aa22"), (99, "aa22")])
def test_at_a_time(hours: float, name: str) -> None:
    """A snapshot stands for the time until its domain's next one, its own instant included."""
    assert choose(ALL, "exams", at=NOW + timedelta(hours=hours), complete=complete).id == name


def test_before_the_first() -> None:
    """There is nothing as it stood then, and the hint says where to look."""
    with pytest.raises(errors.NotFound, match=r"no complete snapshot at or before 2026-11-23 12:59:00 UTC") as caught:
        choose(ALL, "exams", at=NOW + timedelta(minutes=59), complete=complete)
    assert caught.value.hint.startswith("rw snapshots --domain exams")


def test_by_id() -> None:
    """Its beginning will do where it is one; an id means that snapshot, partial or not."""
    assert choose(ALL, "exams", wanted="aa1", complete=complete).id == "aa11"
    assert choose(ALL, "exams", wanted="bb", complete=complete).id == "bb33"
    with pytest.raises(errors.NotFound, match="more than one"):
        choose(ALL, "exams", wanted="aa", complete=complete)
    with pytest.raises(errors.NotFound, match="no snapshot whose id"):
        choose(ALL, "exams", wanted="aaff", complete=complete)


def test_whose_an_id_is() -> None:
    """Of one snapshot, by either of its ids; where its beginning fits several, nobody guesses."""
    of = [snapshot("aa1", 1), snapshot("ab2", 2, "profiles"), snapshot("cc3", 3, "profiles", original="aa9")]
    assert planning.owner(of, "ab") == "profiles" and planning.owner(of, "cc") == "profiles"
    assert planning.owner([*of, snapshot("dd4", 4, original="aa1")], "aa1") == "exams", "twice the same one"
    for wanted, said in (("a", "more than one"), ("aa", "more than one"), ("ff", "no snapshot of ours")):
        with pytest.raises(errors.NotFound, match=said):
            planning.owner(of, wanted)


def test_by_the_first_id() -> None:
    """A snapshot that was retagged keeps its name; two copies of one are not ambiguous."""
    again = [*ALL, snapshot("cc44", 2, original="aa22")]
    assert choose(again, "exams", wanted="aa22", complete=complete).original == "aa22"
    assert choose(again, "exams", wanted="cc44", complete=complete).id == "cc44"


PATHS = st.text(st.sampled_from("ab./\\ \udcff\n*"), max_size=12)


@given(st.sampled_from([b"exams", b"a b", b"\xff"]), PATHS)
def test_inside_never_leaves(root: bytes, path: str) -> None:
    """Whatever is asked for stands below the root or is refused."""
    try:
        found = inside(root, path)
    except errors.UsageError:
        refused = True
        found = root
    else:
        refused = False
    assert refused == (".." in path.split("/"))
    assert found == root or found.startswith(root + b"/")
    assert not {b"", b".", b".."} & set(found.split(b"/"))


@pytest.mark.parametrize(
    ("path", "found"),
    [("", b"r"), ("/", b"r"), (".", b"r"), ("a/b", b"r/a/b"), ("/a//b/./", b"r/a/b"), ("...", b"r/..."),
     ("\udcff", b"r/\xff"), ("a\\b", b"r/a\\b")],
)  # fmt: skip
def test_inside(path: str, found: bytes) -> None:
    """A leading slash means the domain's root, names are bytes."""
    assert inside(b"r", path) == found


def test_what_lies_in_the_future_is_not_the_latest() -> None:
    """It was made while a clock was wrong; asked for by its id it is still given."""
    now = NOW + timedelta(hours=1)
    assert planning.choose(ALL, "exams", now=now, complete=complete).id == "aa11"
    assert planning.choose(ALL, "exams", now=now, wanted="aa22", complete=complete).id == "aa22"


def test_what_nothing_is_known_of() -> None:
    """It is taken only where no snapshot is known to be complete and nobody could be asked, and never a partial one."""
    unknown = partial(planning.choose, ALL, "exams", now=NOW + timedelta(days=9))
    assert unknown(complete=lambda s: True if s.id == "aa11" else None, unknown=True).id == "aa11"
    assert unknown(complete=lambda s: False if s.id == "bb33" else None, unknown=True).id == "aa22"
    with pytest.raises(errors.NotFound):
        unknown(complete=lambda s: None)


def test_a_clock_that_was_ahead() -> None:
    """What this host made last is its latest, though an older one bears a later date by now; both are named."""
    ahead, last = snapshot("c1", 48), msgspec.structs.replace(snapshot("c2", 1), parent="c1")
    now = NOW + timedelta(hours=2)
    for later in (now, NOW + timedelta(hours=49)):
        chosen = planning.choose([last, ahead], "exams", now=later, complete=complete, last="c2", host="lab")
        assert chosen.id == "c2"
        (said,) = planning.doubts([last, ahead], "exams", chosen, now=later, complete=complete)
        assert "c1" in said and "clock was wrong" in said


@pytest.mark.parametrize(
    "newest",
    [
        msgspec.structs.replace(snapshot("d9", 5), parent="d5"),  # stands on the last one
        msgspec.structs.replace(snapshot("d9", 5), host="another"),
    ],
    ids=["an heir", "of another host"],
)
def test_what_was_really_made_later(newest: Snapshot) -> None:
    """A state directory may be behind: what stands on its last snapshot, or comes from elsewhere, is newer."""
    between = msgspec.structs.replace(snapshot("d5", 4), parent="d1")
    own = [snapshot("d1", 1), between, newest]
    now = NOW + timedelta(hours=6)
    assert planning.choose(own, "exams", now=now, complete=complete, last="d1", host="lab").id == "d9"
    assert planning.choose(own, "exams", now=now, complete=complete, last="gone", host="lab").id == "d9"
    assert planning.doubts(own, "exams", newest, now=now, complete=complete) == []


def test_doubts_about_a_partial_one() -> None:
    """Named, whichever way it was asked for; a complete one gives no reason for a word."""
    partial_one = ALL[2]
    (said,) = planning.doubts(ALL, "exams", partial_one, wanted="bb33", now=NOW, complete=complete)
    assert "bb33" in said and "not known to be complete" in said
    later = NOW + timedelta(days=9)
    assert planning.doubts(ALL, "exams", ALL[1], now=later, complete=complete) == []


def test_a_marked_copy_hides_the_unmarked_one() -> None:
    """A crash between mark and removal leaves both; what has no marked one stays."""
    one, two = ALL[0], ALL[1]
    assert one.tags is not None
    marked = msgspec.structs.replace(one, id="ff00", tags=msgspec.structs.replace(one.tags, tier="cold"))
    assert planning.marked_first([one, marked, two]) == [marked, two]
    assert planning.unmarked("exams", marked) == [] and "never proven" in planning.unmarked("exams", two)[0]
