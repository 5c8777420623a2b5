"""What a drill takes, and what its times say."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.drill import DrillDetails, DrilledDomain
from resticwrap.model.objects import Entry
from resticwrap.planning import drill
from resticwrap.planning.drill import Wanted

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIZES = st.lists(st.integers(0, 50), max_size=25)


def entries(sizes: Sequence[int]) -> list[Entry]:
    """Files of these sizes, each a minute newer than the one before."""
    return [
        Entry(path=b"f%d" % n, kind="file", size=size, mtime=NOW + timedelta(minutes=n)) for n, size in enumerate(sizes)
    ]


@settings(max_examples=60)
@given(SIZES, st.integers(0, 12), st.integers(0, 50), st.integers(0, 99))
def test_a_sample(sizes: list[int], count: int, room: int, seed: int) -> None:
    """As many objects as there are, each once, none that has no room; the same for the same seed."""
    found = drill.choose(entries(sizes), drill.split(count), {}, seed, room=room)
    fit = sum(size <= room for size in sizes)
    assert len(found) == min(count, fit) == len({one.entry.path for one in found})
    assert all(one.entry.size <= room for one in found)
    assert found == drill.choose(iter(entries(sizes)), drill.split(count), {}, seed, room=room)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=25), st.integers(0, 99))
def test_named_reasons(sizes: list[int], seed: int) -> None:
    """The newest, the oldest and the largest are what they are called."""
    files = entries(sizes)
    one = {reason: drill.choose(files, Wanted(**{reason: 1}), {}, seed, room=99)[0].entry for reason in
           ("newest", "oldest", "largest")}  # fmt: skip
    assert (one["newest"], one["oldest"], one["largest"].size) == (files[-1], files[0], max(sizes))


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 99))
def test_every_object_comes_round(count: int, each: int, seed: int) -> None:
    """However few are drilled at a time: after enough drills all were, and none waits twice as long as another."""
    files, drilled = entries([1] * count), dict[bytes, datetime]()
    for turn in range(count):
        for one in drill.choose(files, drill.split(each), drilled, seed + turn, room=9):
            drilled[one.entry.path] = NOW + timedelta(days=turn)
    assert drilled.keys() == {one.path for one in files}


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 99), st.data())
def test_what_failed_is_drilled_again(count: int, each: int, seed: int, data: st.DataObject) -> None:
    """First of all, and however lately: a good drill of other objects says nothing of it."""
    files = entries([1] * count)
    drilled = {one.path: NOW for one in data.draw(st.lists(st.sampled_from(files)))}
    bad = data.draw(st.sampled_from(files)).path
    drilled[bad] = NOW + timedelta(days=1)
    found = drill.choose(files, drill.split(each), drilled, seed, room=9, failed={bad})
    assert (found[0].entry.path, found[0].reason) == (bad, "longest")
    (old,) = drill.choose(files, Wanted(oldest=1), drilled, seed, room=9, failed={bad})
    assert old.entry.path == bad


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12))
def test_every_domain_comes_round(total: int, domains: int) -> None:
    """All objects are spent; where there are fewer than domains, those that have waited longest come first."""
    last: dict[str, datetime | None] = {f"d{n}": None for n in range(domains)}
    for turn in range(domains):
        found = drill.shares(total, last)
        assert sum(found.values()) == total and max(found.values()) - min(found.values()) <= 1
        last |= dict.fromkeys(found, NOW + timedelta(days=turn))
    assert None not in last.values()


def domain(**more: object) -> DrilledDomain:
    """A domain that came back within its objectives."""
    known: dict[str, object] = {
        "domain": "exams", "priority": "P0", "snapshot": "a", "tree": "b", "job": "c", "source_time": NOW,
        "objects": 10,
        "size": 100 << 20, "failed": 0, "actual_rpo": 10.0, "actual_rto": 10.0, "rpo": 300.0, "rto": 1800.0,
        "whole": True,
    }  # fmt: skip
    return DrilledDomain(**{**known, **more})  # type: ignore[arg-type]


def test_objectives() -> None:
    """Each that was missed is named with both of its numbers; sound and on time are two questions."""
    late = domain(actual_rpo=301.0, actual_rto=1900.0)
    details = DrillDetails(level="l2", domains=(domain(domain="ok"), late), objective=60.0, seconds=61.0)
    assert [(one.what, one.domain, one.actual, one.objective) for one in drill.missed(details)] == [
        ("level", "", 61.0, 60.0), ("rpo", "exams", 301.0, 300.0), ("rto", "exams", 1900.0, 1800.0),
    ]  # fmt: skip
    assert details.ok and not details.met


def test_estimates() -> None:
    """They scale with the size, name what they are reckoned from, and a sample of a few bytes gives none."""
    told = DrillDetails(level="l2", domains=(domain(),), seconds=12.0, phases={"lock": 2.0})
    rate = drill.rate("drill_1", told)
    assert rate is not None and rate.bytes == (100 << 20) / 10
    whole, own = drill.estimate("l3", {"exams": (200 << 20, 20)}, rate)
    assert (whole.seconds, whole.domain, own.domain) == (20.0, "", "exams") and "drill_1" in whole.basis
    small = DrillDetails(level="l1", domains=(domain(whole=False, size=1000),), seconds=1.0)
    assert drill.rate("drill_2", small) is None
    assert drill.rate("drill_3", DrillDetails(level="l2", domains=(domain(failed=1),), seconds=1.0)) is None
