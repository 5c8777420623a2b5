"""Every domain as it stood at a time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.planning.window import Look, choose

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def look(domain: str, job: int, second: int = 0) -> Look:
    """A look of the job that began so many minutes after NOW."""
    at = NOW + timedelta(minutes=job, seconds=second)
    return Look(domain, at, f"{domain}{job}", f"job{job:03d}")


LOOKS = st.lists(st.builds(look, st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 5)), max_size=20)


@settings(max_examples=100)
@given(LOOKS, st.integers(0, 40))
def test_a_window(looks: list[Look], minutes: int) -> None:
    """Nothing later than asked for; every domain that has anything; one job, or the newest of each."""
    at = NOW + timedelta(minutes=minutes)
    found = choose(looks, at)
    before = [one for one in looks if one.at <= at]
    assert found.looks.keys() == {one.domain for one in before}
    assert all(one in before and name == one.domain for name, one in found.looks.items())
    if found.job is not None:
        assert {one.job for one in found.looks.values()} == {found.job} and found.spread == 0
    else:
        for name, one in found.looks.items():
            assert one.at == max(other.at for other in before if other.domain == name)
        if found.looks:
            times = [one.at for one in found.looks.values()]
            assert found.spread == (max(times) - min(times)).total_seconds()


def test_one_job_rather_than_the_newest() -> None:
    """A later job that missed a domain does not tear the domains apart."""
    found = choose([look("a", 0), look("b", 0, 3), look("a", 4)], NOW + timedelta(minutes=5))
    assert found.job == "job000" and found.looks["a"].snapshot == "a0"


def test_not_at_the_price_of_a_week() -> None:
    """Where one domain has failed for long, the others are taken as new as they are, and the spread is told."""
    week = 7 * 24 * 60
    found = choose([look("a", 0), look("b", 0), look("a", week)], NOW + timedelta(days=8))
    assert found.job is None and found.looks["a"].snapshot == f"a{week}"
    assert found.spread == week * 60 and "168 hours" in found.why
