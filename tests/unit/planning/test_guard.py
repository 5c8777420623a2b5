"""A clock that cannot be right, and changes that are too large to be usual."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resticwrap.model.aging import Held, KnownRun
from resticwrap.model.policy import Guard
from resticwrap.planning.guard import clock_fault, suspended

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("store", "newest", "said"),
    [
        (None, None, None),
        (NOW + 9 * MINUTE, NOW + 9 * MINUTE, None),
        (NOW + 11 * MINUTE, None, "11 minutes behind that of the store"),
        (NOW - 90 * MINUTE, None, "90 minutes ahead of that of the store"),
        (None, NOW + 11 * MINUTE, "11 minutes behind the newest record"),
        (NOW, NOW + 11 * MINUTE, "11 minutes behind the newest record"),
        (None, NOW - timedelta(days=6), None),
        (None, NOW - timedelta(days=8), "8 days ago, and this target has no clock of its own"),
        (NOW, NOW - timedelta(days=400), None),
    ],
)
def test_the_clock(store: Any, newest: Any, said: str | None) -> None:
    fault = clock_fault(NOW, store, newest)
    assert fault is None if said is None else fault is not None and said in fault


def held(days: float, name: str, files: int = 100, **more: Any) -> Held:
    fields: dict[str, Any] = {
        "original": name, "domain": "exams", "host": "lab", "time": NOW - timedelta(days=days), "type": "incremental",
        "tree": name, "complete": True, "hot": name, "files": files, "size": files * 10,
    }  # fmt: skip
    return Held(**{**fields, **more})


def ran(days: float, snapshot: str, size: int = 1000, **more: Any) -> KnownRun:
    fields: dict[str, Any] = {
        "domain": "exams", "at": NOW - timedelta(days=days), "job": f"job-{snapshot}", "snapshot": snapshot, "new": 0,
        "changed": 0, "removed": 0, "size": size,
    }  # fmt: skip
    return KnownRun(**{**fields, **more})


GUARD = Guard()
BEFORE, RAN = held(5, "a"), ran(5, "a", new=100)


@pytest.mark.parametrize(
    ("run", "files", "said"),
    [
        ({"changed": 50}, 100, ""),
        ({"changed": 51}, 100, "51 of 100 files changed or went"),
        ({"changed": 30, "removed": 30, "new": 30}, 100, "60 of 100"),
        ({"new": 5000}, 5100, ""),
        ({"removed": 50}, 50, ""),
        ({"size": 500}, 100, ""),
        ({"size": 499}, 100, "of 1,000 bytes 499 were left"),
    ],
)
def test_a_change_that_is_unusual(run: dict[str, Any], files: int, said: str) -> None:
    """Suspends until somebody has looked since, or until nothing is left from before it."""
    runs, there = [RAN, ran(2, "b", **run)], [BEFORE, held(2, "b", files), held(1, "c", files)]
    found = suspended(runs, there, GUARD, {})
    assert (found != {}) == bool(said)
    if said:
        assert said in found["exams"] and "job-b" in found["exams"]
    assert suspended(runs, there, GUARD, {"exams": NOW - timedelta(days=1)}) == {}
    assert suspended(runs, there, GUARD, {"exams": NOW - timedelta(days=3)}) == found
    assert suspended(runs, there[1:], GUARD, {}) == {}


def test_a_shrinkage_by_files_without_a_count_of_what_went() -> None:
    found = suspended([RAN, ran(2, "b")], [BEFORE, held(2, "b", 49)], GUARD, {})
    assert "of 100 files 49 were left" in found["exams"]


def test_the_snapshot_before_may_be_gone() -> None:
    """Then the run's own counts say how many files there were; an older snapshot is what is at stake."""
    runs = [ran(9, "old", new=100), RAN, ran(2, "b", changed=80)]
    assert "80 of 100" in suspended(runs, [held(9, "old"), held(2, "b")], GUARD, {})["exams"]


def test_small_domains_and_first_backups_are_not_looked_at() -> None:
    small = [held(5, "a", 19), held(2, "b", 19)]
    assert suspended([ran(5, "a", new=19), ran(2, "b", changed=19)], small, GUARD, {}) == {}
    assert suspended([RAN], [held(6, "x"), BEFORE], GUARD, {}) == {}


def test_a_domain_that_goes_little_by_little() -> None:
    """What shrinks within a day is compared with the most there was; where files are only added, what went adds up."""
    minutes = [ran(1 - step / 360, f"s{step}", removed=10, new=10) for step in range(10)]
    there = [held(5, "a"), *(held(1 - step / 360, f"s{step}") for step in range(10))]
    assert suspended([RAN, *minutes], there, GUARD, {}) == {}
    found = suspended([RAN, *minutes], there, GUARD, {}, steady={"exams"})
    assert "of 100 files changed or went within a day" in found["exams"]
    appended = [ran(1 - step / 360, f"s{step}", changed=1) for step in range(300)]
    logged = [held(5, "a"), *(held(1 - step / 360, f"s{step}") for step in range(300))]
    assert suspended([RAN, *appended], logged, GUARD, {}, steady={"exams"}) == {}  # one log that grows all day
    own = {"exams": Guard(changed=1)}
    assert suspended([RAN, *minutes], there, GUARD, {}, steady={"exams"}, own=own) == {}
    assert suspended([RAN, *minutes], there, GUARD, {"exams": NOW}, steady={"exams"}) == {}
    sizes = [100, 80, 64, 51, 41]
    shrinking = [ran(1 - step / 360, f"s{step}", removed=0) for step in range(5)]
    there = [held(5, "a"), *(held(1 - step / 360, f"s{step}", files) for step, files in enumerate(sizes))]
    assert "of 100 files 41 were left" in suspended([RAN, *shrinking], there, GUARD, {})["exams"]


def test_few_files_that_are_heavy_are_looked_at_for_their_bytes() -> None:
    there = [held(5, "a", 2), held(2, "b", 2)]
    heavy = [ran(5, "a", 100 << 20, new=2), ran(2, "b", 10)]
    assert "10 were left" in suspended(heavy, there, GUARD, {})["exams"]
    assert suspended([ran(5, "a", 1000, new=2), ran(2, "b", 10)], there, GUARD, {}) == {}


def test_two_machines_with_a_domain_of_one_name_are_not_compared() -> None:
    there = [held(5, "a"), held(4, "b", 5000, host="big"), held(3, "c"), held(2, "d", 5000, host="big")]
    runs = [ran(5, "a", 1000), ran(4, "b", 50_000), ran(3, "c", 1000), ran(2, "d", 50_000)]
    assert suspended(runs, there, GUARD, {}) == {}


def test_an_emptied_database() -> None:
    """One file that is another each time: the bytes count however few they are, and that it changed does not."""
    there = [held(5, "a", 1), held(2, "b", 1)]
    runs = [ran(5, "a", new=1), ran(2, "b", size=499, changed=1)]
    assert suspended(runs, there, Guard(least=1), {}, streams={"exams"})["exams"].startswith("of 1,000 bytes 499")
    assert suspended(runs, there, GUARD, {}) == {}
    assert suspended([runs[0], ran(2, "b", size=501, changed=1)], there, Guard(least=1), {}, streams={"exams"}) == {}
