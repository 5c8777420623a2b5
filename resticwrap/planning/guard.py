"""When nothing may be forgotten: a clock that cannot be right, a change of a domain that is too large to be usual."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import Held, KnownRun
from resticwrap.model.base import Time
from resticwrap.model.policy import Guard

IDLE = timedelta(days=7)
"""Longer than that without any job, and it may be the clock that has moved."""
WINDOW = timedelta(days=1)
"""What goes little by little within that time is one change."""
HEAVY = 64 << 20
"""A domain of fewer files than the policy looks at is looked at all the same for the bytes, if it has that many."""


def clock_fault(now: Time, store_time: Time | None, newest_record: Time | None) -> str | None:
    """Why this machine's clock cannot be trusted with ages, None where nothing speaks against it.

    `store_time` is what the store called now at the same moment (None: it has no clock of its own), `newest_record` the
    latest time in the records of jobs. Snapshots are no such record: one of the future is never removed anyway, and
    must not stop everything until then.
    """
    if store_time is not None and abs(now - store_time) > CLOCK_SLACK:
        way = "ahead of" if now > store_time else "behind"
        return f"the clock of this machine is {_minutes(now, store_time)} {way} that of the store"
    if store_time is None and newest_record is not None and now - newest_record > IDLE:
        return (
            f"the newest record is of {newest_record.isoformat(timespec='seconds')}, {(now - newest_record).days} days "
            "ago, and this target has no clock of its own to tell whether that is so"
        )
    if newest_record is not None and newest_record - now > CLOCK_SLACK:
        return (
            f"the clock of this machine is {_minutes(now, newest_record)} behind the newest record, "
            f"which is of {newest_record.isoformat(timespec='seconds')}"
        )
    return None


def _minutes(one: Time, other: Time) -> str:
    return f"{round(abs(one - other).total_seconds() / 60):,} minutes"


def suspended(
    runs: Iterable[KnownRun],
    held: Sequence[Held],
    guard: Guard,
    looked: Mapping[str, Time],
    steady: Collection[str] = (),
    own: Mapping[str, Guard] | None = None,
    streams: Collection[str] = (),
) -> dict[str, str]:
    """By domain, why nothing of it is forgotten until somebody looks.

    `runs` are the complete ones that wrote a snapshot, sorted by domain and time. One in which more than
    `guard.changed` of the files changed or went, or after which more than `guard.shrunk` of the bytes or of the files
    that there were within a day before are gone, suspends its domain, unless somebody has `looked` since, or nothing is
    left from before it. In `steady` domains, whose files are only added to, what went within a day counts together.
    `own`: by domain, another guard. Domains of fewer than `guard.least` files are passed over unless they are heavy,
    and so are runs of which no count of files is known. Of `streams`, which are one file that is another each time,
    the bytes count and nothing else, however few they are: an emptied table is known by them alone.
    """
    files = {one.original: one.files for one in held if one.files}
    host_of = {one.original: one.host for one in held}
    hosts: dict[str, set[str]] = {}
    oldest: dict[str, Time] = {}
    for one in held:
        hosts.setdefault(one.domain, set()).add(one.host)
        oldest[one.domain] = min(oldest.get(one.domain, one.time), one.time)
    found: dict[str, str] = {}
    for domain, of_domain in groupby(runs, key=lambda run: run.domain):
        if domain not in oldest:
            continue
        since = max(looked.get(domain, oldest[domain]), oldest[domain])
        # Two machines may have a domain of one name: each is compared with itself.
        only = next(iter(hosts[domain])) if len(hosts[domain]) == 1 else ""
        days: dict[str, _Day] = {}
        for run in of_domain:
            rule = (own or {}).get(domain, guard)
            day = days.setdefault(
                host_of.get(run.snapshot, only), _Day(rule, steady=domain in steady, stream=domain in streams)
            )
            why = day.take(run, files.get(run.snapshot), since)
            if why and run.at > since:
                found[domain] = f"{why} in the backup of {run.at.isoformat(timespec='seconds')} ({run.job})"
    return found


@dataclass(frozen=True)
class _Past:
    """A run of the last day: how many files and bytes there were after it (None: not known), how many files
    changed and how many went."""

    at: Time
    files: int | None
    size: int
    changed: int
    removed: int


class _Day:
    """The runs of one domain and host within a day before the one that is looked at."""

    def __init__(self, guard: Guard, *, steady: bool, stream: bool) -> None:
        self._guard, self._steady, self._stream = guard, steady, stream
        self._past: deque[_Past] = deque()

    def take(self, run: KnownRun, after: int | None, since: Time) -> str:
        """Add a run; returns what is unusual about it. What lies before `since` but for the last run is not compared
        with: somebody has looked at it."""
        past, guard = self._past, self._guard
        while len(past) > 1 and (past[0].at < run.at - WINDOW or past[1].at <= since):
            past.popleft()
        before = past[-1] if past else None
        were = before.files if before else None
        if were is None and after is not None:
            # The snapshot before is gone: the counts of the run itself tell how many files it had.
            were = after - run.new + run.removed
        touched = run.changed + run.removed
        counts = [one.files for one in past if one.files is not None]
        most = max([*counts, *([were] if were is not None else [])], default=None)
        largest = max((one.size for one in past), default=None)
        # The first of them has been compared with what came before it. One file may change in every run, so of what
        # changed only the most counts; what went is gone once.
        together = touched
        if self._steady:
            day = list(past)[1:]
            together = run.removed + sum(one.removed for one in day)
            together += max([run.changed, *(one.changed for one in day)])
        past.append(_Past(run.at, after, run.size, run.changed, run.removed))
        if after is None and were is not None:
            after = were + run.new - run.removed
        if self._stream:
            return self._shrunk(run.size, largest)
        if were is None or after is None or most is None:
            return ""
        if were >= guard.least:
            if touched > guard.changed * were:
                return f"{touched:,} of {were:,} files changed or went"
            if together > guard.changed * most:
                return f"{together:,} of {most:,} files changed or went within a day, the last of them"
            if after < (1 - guard.shrunk) * most:
                return f"of {most:,} files {after:,} were left"
        heavy = largest is not None and (were >= guard.least or largest >= HEAVY)
        return self._shrunk(run.size, largest) if heavy else ""

    def _shrunk(self, size: int, largest: int | None) -> str:
        if largest is not None and size < (1 - self._guard.shrunk) * largest:
            return f"of {largest:,} bytes {size:,} were left"
        return ""
