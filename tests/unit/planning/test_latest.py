"""The newest complete look at every domain: what the next backup starts from."""

from datetime import UTC, datetime, timedelta

import msgspec

from resticwrap.model.job import DomainRun, Job, Latest, LatestDomain
from resticwrap.planning.backup import merged_latest

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KNOWN = LatestDomain(snapshot="5" * 64, current_id="6" * 64, tree="7" * 64, looked_at=NOW, root="x")


def run(name: str, **fields: object) -> DomainRun:
    """A complete look at a domain."""
    whole = {"domain": name, "layer": "raw", "priority": "P0", "outcome": "ok", "type": "full", "looked_at": NOW}
    return DomainRun(**{**whole, "finished_at": NOW, "snapshot": "a" * 64, "tree": "b" * 64, **fields})  # type: ignore[arg-type]


def job(*runs: DomainRun) -> Job:
    """A finished backup."""
    return Job(
        id="j",
        kind="backup",
        target="main",
        outcome="ok",
        started_at=NOW,
        host="h",
        pid=1,
        finished_at=NOW,
        domains=runs,
    )


def test_latest_takes_the_latest_complete_look() -> None:
    """Partial looks and jobs that ended late but looked early change nothing; a look in the future gives way."""
    hour = timedelta(hours=1)
    first = merged_latest(None, job(run("a")), "repo", now=NOW, unindexed=5)
    assert (first.domains["a"].snapshot, first.unindexed, first.repository) == ("a" * 64, 5, "repo")
    early = run("a", snapshot="c" * 64, looked_at=NOW - hour)
    assert merged_latest(first, job(early), "repo", now=NOW, unindexed=0).domains == first.domains
    partial = run("a", snapshot="d" * 64, outcome="partial", looked_at=NOW + hour)
    assert merged_latest(first, job(partial), "repo", now=NOW + hour, unindexed=7).unindexed == 12
    assert merged_latest(first, job(partial), "repo", now=NOW + hour, unindexed=7).domains == first.domains
    wrong = merged_latest(None, job(run("a", looked_at=NOW + 24 * hour)), "repo", now=NOW, unindexed=0)
    right = merged_latest(wrong, job(run("a", snapshot="e" * 64)), "repo", now=NOW, unindexed=0)
    assert right.domains["a"].snapshot == "e" * 64
    again = merged_latest(right, job(run("a", looked_at=NOW + 24 * hour)), "repo", now=NOW, unindexed=0)
    assert again.domains == right.domains


def test_latest_keeps_the_id_of_an_unchanged_snapshot() -> None:
    """It may have been tagged since, which gave it another id."""
    tagged = msgspec.structs.replace(KNOWN, snapshot="a" * 64)
    before = Latest(target="main", job_id="i", finished_at=NOW, domains={"a": tagged}, repository="repo")
    after = merged_latest(before, job(run("a", outcome="unchanged")), "repo", now=NOW, unindexed=0)
    assert after.domains["a"].current_id == tagged.current_id
