"""What is due, what waits, what comes next."""

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.policy import PruneRule, ScheduledJob, ScheduleFile
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning import cron
from resticwrap.planning import schedule as planning
from resticwrap.settings import crosscheck

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


def job(**more: Any) -> ScheduledJob:
    kind = {"kind": "backup", "type": "incremental"} if "kind" not in more else {}
    return ScheduledJob.model_validate({"target": "main", **kind, **more})


RHYTHMS = st.sampled_from([
    job(every="4m"), job(every="1h"), job(every="90s"), job(cron="*/5 * * * *"), job(cron="0 2 * * *"),
    job(cron="30 2 * * 0"), job(cron="15,45 1-3 * * *"), job(cron="0 */6 * * *"),
])  # fmt: skip
CHANGES = [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), NOW]


def handled_after(one: ScheduledJob, due: planning.Due, now: datetime) -> datetime:
    """As the service records it: through a run that ended well."""
    run = ScheduledRun(
        id="run", host="vm", name="job", target="main", kind=one.kind, trigger=due.trigger, due_at=due.moment,
        started_at=now, outcome="ok",
    )  # fmt: skip
    handled = planning.handled_by(one, run)
    assert handled is not None
    return handled


def moments(one: ScheduledJob, since: datetime, until: datetime) -> Sequence[datetime]:
    assert one.cron is not None
    return [at for at in cron.between(one.cron, BERLIN, since, until) if at > since]


@given(RHYTHMS, st.sampled_from(CHANGES), st.lists(st.integers(1, 3 * 86400), min_size=1, max_size=12))
def test_each_moment_once(one: ScheduledJob, begin: datetime, gaps: list[int]) -> None:
    """Whenever somebody looks, there is one run where moments have passed since the last one and none where not; it
    stands for the newest of them, and then nothing is due until the next."""
    handled = planning.first_handled(one, begin)
    now = begin
    for gap in gaps:
        now += timedelta(seconds=gap)
        due = planning.due(one, handled, now, BERLIN)
        if one.cron is not None:
            passed = moments(one, handled, now)
            assert (due is None) == (not passed)
            if due is not None:
                assert (due.since, due.moment) == (passed[0], passed[-1])
        else:
            assert one.every is not None
            assert (due is None) == (now - handled < one.every)
        if due is None:
            continue
        assert due.trigger == ("due" if now - due.since <= planning.LATE else "catch-up")
        handled = handled_after(one, due, now)
        assert planning.due(one, handled, now, BERLIN) is None
        coming = planning.upcoming(one, handled, now, BERLIN)
        assert coming is not None and coming > now
        assert planning.due(one, handled, coming - timedelta(seconds=1), BERLIN) is None
        assert planning.due(one, handled, coming, BERLIN) is not None


@given(RHYTHMS, st.lists(st.integers(-86400, 86400), min_size=1, max_size=15))
def test_a_clock_that_jumps(one: ScheduledJob, jumps: list[int]) -> None:
    """Put back by up to ten minutes, no moment runs twice; put back further, a job is silent for no longer than its own
    rhythm from then on; put forward, there is one run."""
    now = NOW
    handled = planning.first_handled(one, now)
    ran: set[datetime] = set()
    for jump in jumps:
        now += timedelta(seconds=jump)
        believed = planning.believed(one, handled, now)
        if believed != handled:
            assert believed == now < handled
            ran = {moment for moment in ran if moment <= now}
        handled = believed
        due = planning.due(one, handled, now, BERLIN)
        if due is not None:
            assert due.moment <= now
            assert one.every is not None or due.moment not in ran
            ran.add(due.moment)
            handled = handled_after(one, due, now)
        coming = planning.upcoming(one, handled, now, BERLIN)
        assert coming is not None
        longest = one.every if one.every is not None else CLOCK_SLACK + timedelta(days=7, hours=1)
        assert coming - now <= longest


def test_a_year_away_is_not_walked_through() -> None:
    """A year of moments costs no more than one, and the run stands for the last of them."""
    one = job(cron="*/4 * * * *")
    cron.moments_of.cache_clear()
    begun = time.process_time()
    due = planning.due(one, NOW - timedelta(days=365), NOW, BERLIN)
    assert due == planning.Due(NOW, NOW - timedelta(days=365) + 4 * MINUTE, "catch-up")
    assert time.process_time() - begun < 0.1


def test_seen_for_the_first_time() -> None:
    """`every` begins at once; a cron expression waits for its next moment."""
    every, at_two = job(every="4m"), job(cron="0 2 * * *")
    assert planning.due(every, planning.first_handled(every, NOW), NOW, UTC) is not None
    assert planning.due(at_two, planning.first_handled(at_two, NOW), NOW, UTC) is None
    assert planning.upcoming(at_two, planning.first_handled(at_two, NOW), NOW, UTC) == NOW + timedelta(hours=14)


def test_a_prune_waits_for_its_window() -> None:
    """One that was missed runs when the quiet hours begin, and not at noon."""
    one, rule = job(kind="prune", cron="0 5 * * *"), PruneRule(window="01:00-06:00")
    handled, opens = NOW - timedelta(days=2), NOW + timedelta(hours=13)
    assert planning.due(one, handled, NOW, UTC, prune=rule) is None
    assert planning.upcoming(one, handled, NOW, UTC, prune=rule) == opens
    assert planning.due(one, handled, opens, UTC, prune=rule) is not None


def test_a_pause_puts_off() -> None:
    """What comes due in a pause runs once when it ends; what comes later anyway is not moved."""
    one = job(cron="0 13 * * *")
    assert planning.upcoming(one, NOW, NOW, UTC, after=NOW + timedelta(hours=3)) == NOW + timedelta(hours=3)
    assert planning.upcoming(one, NOW, NOW, UTC, after=NOW + timedelta(minutes=5)) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("one", "other", "clashes"),
    [
        (job(every="4m"), job(every="1h"), True),
        (job(every="4m"), job(type="full", kind="backup", every="1h"), False),
        (job(every="4m"), job(every="1h", target="other"), False),
        (job(every="4m", domains=["a"]), job(every="1h", domains=["b"]), False),
        (job(every="4m", domains=["a"]), job(every="1h", domains=["b", "a"]), True),
        (job(every="4m", domains=["a"]), job(every="1h"), True),
        (job(kind="drill", level="l1", every="1d"), job(kind="drill", level="l3", every="1d"), True),
        (job(kind="copy", every="1d"), job(kind="forget", every="1d"), False),
    ],
)
def test_one_of_a_kind_on_a_domain(one: ScheduledJob, other: ScheduledJob, clashes: bool) -> None:
    assert planning.clash(one, other) == planning.clash(other, one) == clashes


def test_the_moments_to_come() -> None:
    """All jobs together, in the order of time, none left out; a job without a moment says nothing."""
    jobs = {"a": job(every="4m"), "b": job(cron="*/5 * * * *"), "c": job(cron="0 0 30 2 *")}
    first = {name: planning.upcoming(one, NOW, NOW, UTC) for name, one in jobs.items()}
    found = [(int((at - NOW) / MINUTE), name) for at, name in itertools.islice(planning.to_come(jobs, first, UTC), 6)]
    assert found == [(4, "a"), (5, "b"), (8, "a"), (10, "b"), (12, "a"), (15, "b")]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (job(every="4m"), "backup --type incremental --target main --policies /p --json"),
        (job(kind="copy", every="1d", domains=["a", "b"]),
         "tier run --target main --policies /p --json --domain a --domain b"),
        (crosscheck.resolved(ScheduleFile(jobs={"a": job(every="4m", **{"except": ["b"]})}), ["a", "b", "c"]).jobs["a"],
         "backup --type incremental --target main --policies /p --json --domain a --domain c"),
        (job(kind="drill", level="l2", every="1d"), "drill l2 --scheduled --target main --policies /p --json"),
    ],
)  # fmt: skip
def test_what_a_run_hands_to_rw(one: ScheduledJob, words: str) -> None:
    assert " ".join(planning.command(one, "/p")) == words


def test_every_kind_has_a_limit() -> None:
    """A job's own, or that of its kind."""
    kinds: list[dict[str, str]] = [{"kind": kind} for kind in ("verify", "copy", "forget", "prune")]
    kinds += [{"kind": "backup", "type": kind} for kind in ("incremental", "full")]
    kinds += [{"kind": "drill", "level": level} for level in ("l1", "l2", "l3")]
    for kind in kinds:
        assert planning.limit(job(every="1d", **kind)) >= timedelta(hours=1)
        assert planning.limit(job(every="1d", max_run="90s", **kind)) == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(0, "ok"), (3, "partial"), (130, "interrupted"), (1, "failed"), (22, "failed"), (-9, "failed")],
)
def test_what_an_exit_code_means(code: int, outcome: str) -> None:
    assert planning.outcome(code) == outcome
