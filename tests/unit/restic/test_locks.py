"""Whose a lock is: dead only where no process that could hold it is left."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.ports import LeaseInfo
from resticwrap.restic.locks import SLACK, judge

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def lease(held: bool, before: float = 1, host: str = "here", pid: int | None = 7) -> LeaseInfo:
    """A lease that was taken some seconds before the lock."""
    return LeaseInfo(name="x", host=host, pid=pid, created=NOW - timedelta(seconds=before), held=held)


@pytest.mark.parametrize(
    ("leases", "verdict"),
    [
        ([], "foreign"),
        ([lease(True)], "alive"),
        ([lease(False)], "dead"),
        ([lease(False, host="there")], "foreign"),
        ([lease(False, pid=8)], "foreign"),
        # A lease without a pid: its `rw` was killed just after it had started restic.
        ([lease(False, pid=None)], "dead"),
        ([lease(False, pid=None, before=60)], "foreign"),
        ([lease(True, pid=None)], "foreign"),
        ([lease(False), lease(True, pid=None)], "foreign"),
        ([lease(False), lease(True, host="there")], "dead"),
        ([lease(False), lease(True)], "alive"),
        # A lease after the lock is another process with the pid used again.
        ([lease(False, before=-60)], "foreign"),
        ([lease(False), lease(True, before=-60)], "dead"),
        ([lease(False, before=-SLACK.total_seconds())], "dead"),
        ([lease(True, before=3600)], "alive"),
    ],
)
def test_judgement(leases: list[LeaseInfo], verdict: str) -> None:
    """By host, pid and time."""
    assert judge("here", 7, NOW, leases) == verdict


LEASES = st.lists(
    st.builds(
        lease, st.booleans(), st.floats(-100, 100), st.sampled_from(["here", "there"]), st.sampled_from([7, 8, None])
    )
)


@given(LEASES)
def test_nothing_alive_is_called_dead(leases: list[LeaseInfo]) -> None:
    """As long as a lease that may be its own is held, and without one of our own never."""
    verdict = judge("here", 7, NOW, leases)
    own = [one for one in leases if (one.host, one.pid) == ("here", 7) and one.created <= NOW + SLACK]
    assert (verdict == "alive") == any(one.held for one in own)
    if verdict == "dead":
        assert any(one.host == "here" and one.pid in (7, None) for one in leases)
        assert not any(one.held for one in own)
