"""Which domains run, in which order, what waits for what, and how a job is judged."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.job import DomainOutcome, DomainRun, ErrorInfo, LatestDomain, Outcome
from resticwrap.model.policy import Domain, roots_of
from resticwrap.model.reports import BackupPlan
from resticwrap.model.snapshot import SnapshotType
from resticwrap.planning.backup import exit_code_of, outcome_of, overlap, plan_backup, startable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KNOWN = LatestDomain(snapshot="5" * 64, current_id="6" * 64, tree="7" * 64, looked_at=NOW, root="x")


def domain(root: str, priority: str = "P1") -> Domain:
    """A domain of files."""
    return Domain.model_validate({"layer": "raw", "priority": priority, "source": {"root": root}})


def planned(
    target: str, type: SnapshotType, domains: Mapping[str, Domain], latest: Mapping[str, LatestDomain], parallel: int
) -> BackupPlan:
    """The plan where no root is a link."""
    roots = roots_of(domains)
    return plan_backup(target, type, domains, latest, parallel, roots)


def test_roots_are_compared_where_they_really_lie() -> None:
    """Two names of one folder overlap; the plan shows the policy's own."""
    domains = {"a": domain("/a"), "b": domain("/link-to-a")}
    plan = plan_backup("main", "full", domains, {}, 2, {"a": Path("/a"), "b": Path("/a/x")})
    assert [one.after for one in plan.domains] == [(), ("a",)] and plan.domains[1].root == "/link-to-a"


def test_order_and_reasons() -> None:
    """P0 first, then by name; every step says why."""
    domains = {"b": domain("/b"), "a": domain("/a", "P2"), "c": domain("/c", "P0"), "d": domain("/d")}
    plan = planned("main", "incremental", domains, {"b": KNOWN}, 2)
    assert [one.domain for one in plan.domains] == ["c", "b", "d", "a"]
    assert {one.domain: one.type for one in plan.domains} == {
        "a": "full", "b": "incremental", "c": "full", "d": "full"
    }  # fmt: skip
    by_name = {one.domain: one for one in plan.domains}
    assert by_name["b"].why == "against 55555555" and by_name["b"].parent == KNOWN.snapshot
    assert by_name["c"].why == "no complete snapshot yet, so every byte is read" and by_name["c"].parent is None
    full = planned("main", "full", domains, {"b": KNOWN}, 2)
    assert {one.type for one in full.domains} == {"full"}
    assert {one.why for one in full.domains} == {"a full reads every byte again"}


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a/b/c", "/a", True),
        ("/a", "/ab", False),
        ("/a/b", "/a/c", False),
    ],
)
def test_overlap(one: str, other: str, overlaps: bool) -> None:
    """Whether one root is or holds the other; a common beginning of names is none."""
    assert overlap(Path(one), Path(other)) is overlaps is overlap(Path(other), Path(one))


ROOTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
DOMAINS = st.dictionaries(
    st.text("xyz", min_size=1, max_size=3),
    st.builds(domain, ROOTS, st.sampled_from(["P0", "P1", "P2"])),
    min_size=1,
    max_size=8,
)


@given(DOMAINS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_domain_runs_once_and_none_beside_an_overlapping_one(
    domains: dict[str, Domain], parallel: int, chance: random.Random
) -> None:
    """Whichever ends first: within the limit, never two overlapping roots side by side, nothing waits for ever."""
    plan = planned("main", "incremental", domains, {}, parallel)
    roots = roots_of(domains)
    order: list[str] = []
    done: set[str] = set()
    while len(done) < len(plan.domains):
        order += [one.domain for one in startable(plan, order, done)]
        running = [name for name in order if name not in done]
        assert 0 < len(running) <= parallel
        for one in running:
            for other in running:
                assert one == other or not overlap(roots[one], roots[other])
        done.add(chance.choice(running))
    assert sorted(order) == sorted(domains)
    assert startable(plan, order, done) == []


@given(DOMAINS, st.integers(1, 4))
def test_planning_is_a_function(domains: dict[str, Domain], parallel: int) -> None:
    """The same facts give the same plan, in whatever order they come."""
    again = dict(sorted(domains.items(), reverse=True))
    assert planned("m", "full", domains, {}, parallel) == planned("m", "full", again, {}, parallel)


def test_nothing_starts_without_room() -> None:
    """A limit that is used up lets nothing start."""
    plan = planned("main", "full", {"a": domain("/a"), "b": domain("/b")}, {}, 1)
    assert [one.domain for one in startable(plan, [], [])] == ["a"]
    assert startable(plan, ["a"], []) == []
    assert [one.domain for one in startable(plan, ["a"], ["a"])] == ["b"]
    assert startable(BackupPlan(target="t", type="full", parallel=1, domains=()), [], []) == []


def run(outcome: DomainOutcome, code: int = 0) -> DomainRun:
    """A domain that ended so; `code` is its failure's."""
    error = ErrorInfo(kind="Failure", message="m", exit_code=code) if code else None
    return DomainRun(
        domain="d", layer="raw", priority="P0", outcome=outcome, type="full", looked_at=NOW, finished_at=NOW,
        error=error,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "outcome", "code"),
    [
        ([run("ok")], "ok", 0),
        ([run("ok"), run("unchanged")], "ok", 0),
        ([run("ok"), run("partial")], "partial", 3),
        ([run("partial")], "partial", 3),
        ([run("ok"), run("failed", 1)], "partial", 3),
        ([run("partial"), run("failed", 11)], "partial", 3),
        ([run("failed", 1)], "failed", 1),
        ([run("failed", 11), run("failed", 11)], "failed", 11),
        ([run("failed", 11), run("failed", 22)], "failed", 1),
        ([run("failed", 12)], "failed", 12),
        ([run("failed")], "failed", 1),
        ([run("ok"), run("interrupted", 130)], "interrupted", 130),
        ([run("failed", 1), run("interrupted", 130)], "interrupted", 130),
        ([run("skipped")], "failed", 1),
    ],
)
def test_outcome_and_exit_code(runs: list[DomainRun], outcome: Outcome, code: int) -> None:
    """Ok is earned by looking at everything; a common cause keeps its own code."""
    assert outcome_of(runs) == outcome
    assert exit_code_of(outcome, runs) == code


@given(st.lists(st.sampled_from(["ok", "unchanged", "partial", "failed", "interrupted", "skipped"]), min_size=1))
def test_zero_is_earned(outcomes: list[DomainOutcome]) -> None:
    """Exit 0 means that every domain was looked at completely, and nothing else does."""
    runs = [run(outcome) for outcome in outcomes]
    assert (exit_code_of(outcome_of(runs), runs) == 0) == all(one.complete for one in runs)
