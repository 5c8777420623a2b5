"""The numbers of the status screen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from resticwrap.model.job import Job
from resticwrap.model.policy import Domain
from resticwrap.model.reports import Coverage, HistoryRow
from resticwrap.model.verified import PackSums, VerifyDetails
from resticwrap.ports import DomainSums
from resticwrap.services.status import domain_status, tier_status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOMAIN = Domain.model_validate({"layer": "raw", "priority": "P0", "source": {"root": "/srv/x"}, "rpo": "5m"})
COVERAGE = Coverage(days=35, bytes_read=1, bytes_total=2, packs_read=1, packs_total=2)


def row(outcome: str) -> HistoryRow:
    """The newest run of a domain."""
    return HistoryRow(
        job="j", kind="backup", time=NOW, domain="exams", type="incremental", outcome=outcome, files_new=0,
        files_changed=0, files_removed=0, added=0, size=0, duration=1, snapshot=None,
    )  # fmt: skip


@pytest.mark.parametrize(("ago", "within"), [(0, True), (299, True), (300, True), (300.1, False), (86400, False)])
def test_lag_against_its_objective(ago: float, within: bool) -> None:
    """Counted from the start of the last complete look, changed or not."""
    status = domain_status("exams", DOMAIN, (row("unchanged"), NOW - timedelta(seconds=ago)), None, NOW)
    assert (status.rpo, status.rpo_lag, status.within) == (300, ago, within)


def test_a_partial_run_does_not_count() -> None:
    """The lag goes on growing; how the last run ended is shown beside it."""
    status = domain_status("exams", DOMAIN, (row("partial"), NOW - timedelta(hours=1)), None, NOW)
    assert (status.rpo_lag, status.within, status.last_outcome) == (3600, False, "partial")


@pytest.mark.parametrize("run", [None, (row("failed"), None)])
def test_never_looked_at(run: Any) -> None:
    """No lag is not a lag of nothing: it is outside its objective."""
    status = domain_status("exams", DOMAIN, run, None, NOW)
    assert (status.rpo_lag, status.within, status.last_looked_at) == (None, False, None)
    assert (status.snapshots, status.files, status.size, status.proven_at) == (0, 0, 0, None)


def test_sums_of_a_domain() -> None:
    """Files and size of the newest complete snapshot, what all of them stored."""
    sums = DomainSums(snapshots=7, complete=6, logical=700, added=50, files=3, size=100, newest_at=NOW, proven_at=NOW)
    status = domain_status("exams", DOMAIN, (row("ok"), NOW), sums, NOW)
    assert (status.snapshots, status.files, status.size, status.stored) == (7, 3, 100, 50)
    assert status.proven_at == NOW


def verify(outcome: str, days: float, /, *, tier: str = "hot", **details: Any) -> Job:
    """A verify so many days ago; one that could not run has no details."""
    job = Job(
        id=f"v{days}", kind="verify", target="main", outcome="ok", started_at=NOW - timedelta(days=days), host="h",
        pid=1, details={"tier": tier, **details},
    )  # fmt: skip
    return msgspec.structs.replace(job, outcome=outcome)


def test_a_tier() -> None:
    """Stored is what was added or what a verify has measured, whichever is more; the ratio is logical over stored."""
    sums = {"a": DomainSums(snapshots=2, logical=600, added=100), "b": DomainSums(snapshots=1, logical=400, added=50)}
    added = tier_status("hot", "id", sums, [], {}, NOW)
    assert (added.snapshots, added.logical, added.stored) == (3, 1000, 150)
    assert added.ratio == pytest.approx(1000 / 150)
    assert (added.last_verify, added.last_verify_ok, added.coverage) == (None, None, None)
    packs = {"00": PackSums(packs=2, size=2, packs_read=1, size_read=1)}
    details = VerifyDetails(tier="", days=35, stored=250, packs=packs, coverage=COVERAGE)
    measured = {key: value for key, value in details.builtins().items() if key != "tier"}
    newest = [
        verify("failed", 1, tier="cold", **measured),
        verify("failed", 2, **measured),
        verify("ok", 3, **measured),
    ]
    status = tier_status("hot", "id", sums, newest, {0: NOW - timedelta(days=2)}, NOW)
    assert (status.stored, status.ratio, status.coverage) == (250, 4.0, COVERAGE)
    assert (status.last_verify, status.last_verify_ok) == (NOW - timedelta(days=2), False)


def test_an_empty_tier() -> None:
    """No ratio where nothing is stored."""
    status = tier_status("cold", "id", {}, [], {}, NOW)
    assert (status.snapshots, status.stored, status.ratio) == (0, 0, None)
