"""What `rw status` says of verifies: how much is covered now, and how the last one ended."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from resticwrap.model.job import Job
from resticwrap.model.reports import TierStatus
from resticwrap.model.verified import VerifyDetails, verify_details
from resticwrap.planning import verify as planning
from resticwrap.services.status import tier_status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PACKS = {"00aa": (10, NOW - 50 * DAY), "00bb": (5, NOW - 3 * DAY), "01aa": (7, NOW - 50 * DAY)}
READS = {0x00: NOW - 4 * DAY, 0x01: NOW - 2 * DAY}
"""00bb was written after its part had been read."""


def job(outcome: str = "ok", at: datetime = NOW - 2 * DAY, details: VerifyDetails | None = None) -> Job:
    """A verify that ended at `at`."""
    told = (details or VerifyDetails(tier="hot")).builtins()
    return Job(
        id="verify", kind="verify", target="main", outcome=outcome, started_at=at, finished_at=at, host="h", pid=1,  # type: ignore[arg-type]
        details=told,
    )  # fmt: skip


def listed(at: datetime = NOW - 2 * DAY) -> VerifyDetails:
    """What a verify two days ago wrote down."""
    sums = planning.by_first_byte(PACKS, READS)
    covered = planning.coverage(sums, at, READS, at, 35)
    return VerifyDetails(tier="hot", days=35, packs=sums, stored=22, coverage=covered)


def status(now: datetime, reads: dict[int, datetime], *verifies: Job) -> TierStatus:
    return tier_status("hot", "id", {}, verifies or [job(details=listed())], reads, now)


@pytest.mark.parametrize(
    ("later", "packs", "size"), [(0 * DAY, 2, 17), (30 * DAY, 2, 17), (32 * DAY, 1, 7), (34 * DAY, 0, 0)]
)
def test_coverage_falls_while_nobody_verifies(later: timedelta, packs: int, size: int) -> None:
    """What was read longest ago drops out first, and after the window nothing is covered any more."""
    found = status(NOW + later, READS).coverage
    assert found is not None
    assert (found.packs_read, found.packs_total, found.bytes_read, found.bytes_total) == (packs, 3, size, 22)
    assert found.days == 35


def test_what_was_read_since_counts_whole() -> None:
    """A part that was read again after its packs were listed is read with all of them."""
    found = status(NOW, {**READS, 0x00: NOW - DAY}).coverage
    assert found is not None and (found.packs_read, found.bytes_read) == (3, 22)


def test_a_catalogue_without_reads_covers_nothing() -> None:
    """The record of a verify alone does not vouch for what the catalogue does not know."""
    found = status(NOW, {}).coverage
    assert found is not None and (found.packs_read, found.packs_total) == (0, 3)


def test_a_verify_that_could_not_begin_is_the_last_one() -> None:
    """It failed, and what an earlier one listed goes on being counted."""
    found = status(NOW, READS, job("failed", NOW - DAY), job(details=listed()))
    assert (found.last_verify, found.last_verify_ok, found.stored) == (NOW - DAY, False, 22)
    assert found.coverage is not None


def test_a_verify_of_another_repository_says_nothing() -> None:
    """The one that was there before; one that does not say which it was of still counts."""
    other = msgspec.structs.replace(listed(), repository="another")
    found = status(NOW, READS, job("ok", NOW - DAY, other))
    assert (found.last_verify, found.last_verify_ok, found.coverage, found.stored) == (None, None, None, 0)
    found = status(NOW, READS, job("ok", NOW - DAY, other), job("failed", details=listed()))
    assert (found.last_verify, found.last_verify_ok) == (NOW - 2 * DAY, False)


@pytest.mark.parametrize("outcome", ["running", "interrupted"])
def test_a_verify_without_an_end_says_nothing(outcome: str) -> None:
    """The one before it does."""
    found = status(NOW, READS, job(outcome, NOW - DAY), job(details=listed()))
    assert (found.last_verify, found.last_verify_ok) == (NOW - 2 * DAY, True)


def test_details_come_back_as_they_were() -> None:
    """Through the job that carries them; what is none of them is passed over."""
    details = listed()
    assert verify_details(job(details=details)) == details
    other = Job(id="x", kind="verify", target="main", outcome="ok", started_at=NOW, host="h", pid=1, details={"a": 1})
    assert verify_details(other) is None
