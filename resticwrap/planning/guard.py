"""When nothing may be forgotten: a clock that cannot be right, a change of a domain that is too large to be usual."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import Held, KnownRun
from resticwrap.model.base import Time
from resticwrap.model.policy import Guard


def clock_fault(now: Time, store_time: Time | None, newest_record: Time | None) -> str | None:
    """Why this machine's clock cannot be trusted with ages, None where nothing speaks against it.

    `store_time` is what the store called now at the same moment (None: it has no clock of its own), `newest_record` the
    latest time in the records of jobs. Snapshots are no such record: one of the future is never removed anyway, and
    must not stop everything until then.
    """
    if store_time is not None and abs(now - store_time) > CLOCK_SLACK:
        way = "ahead of" if now > store_time else "behind"
        return f"the clock of this machine is {_minutes(now, store_time)} {way} that of the store"
    if newest_record is not None and newest_record - now > CLOCK_SLACK:
        return (
            f"the clock of this machine is {_minutes(now, newest_record)} behind the newest record, "
            f"which is of {newest_record.isoformat(timespec='seconds')}"
        )
    return None


def _minutes(one: Time, other: Time) -> str:
    return f"{round(abs(one - other).total_seconds() / 60):,} minutes"


def suspended(
    runs: Iterable[KnownRun], held: Sequence[Held], guard: Guard, looked: Mapping[str, Time]
) -> dict[str, str]:
    """By domain, why nothing of it is forgotten until somebody looks.

    `runs` are the complete ones that wrote a snapshot, sorted by domain and time. One in which more than
    `guard.changed` of the files changed or went, or after which more than `guard.shrunk` of the bytes or of the files
    were gone, suspends its domain, unless somebody has `looked` since, or nothing is left from before it. Domains of
    fewer than `guard.least` files are passed over, and so are runs of which no count of files is known.
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
        before: dict[str, KnownRun] = {}
        for run in of_domain:
            host = host_of.get(run.snapshot, only)
            if run.at > since and (why := _unusual(before.get(host), run, files, guard)):
                found[domain] = f"{why} in the backup of {run.at.isoformat(timespec='seconds')} ({run.job})"
            before[host] = run
    return found


def _unusual(before: KnownRun | None, run: KnownRun, files: Mapping[str, int], guard: Guard) -> str:
    after = files.get(run.snapshot)
    were = files.get(before.snapshot) if before else None
    if were is None and after is not None:
        # The snapshot before is gone: the counts of the run itself tell how many files it had.
        were = after - run.new + run.removed
    if were is None or were < guard.least:
        return ""
    touched = run.changed + run.removed
    if touched > guard.changed * were:
        return f"{touched:,} of {were:,} files changed or went"
    if after is None:
        after = were + run.new - run.removed
    if after < (1 - guard.shrunk) * were:
        return f"of {were:,} files {after:,} were left"
    if before is not None and run.size < (1 - guard.shrunk) * before.size:
        return f"of {before.size:,} bytes {run.size:,} were left"
    return ""
