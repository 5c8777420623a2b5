"""What of the schedule is due, what has to wait, what comes next. `handled` is the moment up to which nothing of a job
is due any more: of a cron expression the last moment that was run, of `every` the start of the last run."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import NamedTuple

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.policy import PruneRule, ScheduledJob
from resticwrap.model.unattended import RunOutcome, ScheduledRun, Trigger
from resticwrap.planning import cron
from resticwrap.planning.prune import window_at

LATE = timedelta(minutes=1)
"""A moment that is noticed later than that passed while nothing ran."""
TRIES = 3
"""How often a moment is tried whose run goes down with the scheduler: it may be what takes it along."""
UNSEEN: frozenset[RunOutcome] = frozenset({"lost", "interrupted"})
"""Outcomes of a run that did not do what its moment asked for through no fault of its own: it is due again."""
MEANING: Mapping[int, RunOutcome] = {0: "ok", 3: "partial", 130: "interrupted"}
LIMITS: Mapping[str, timedelta] = {
    "backup incremental": timedelta(hours=2),
    "backup full": timedelta(hours=12),
    "verify": timedelta(hours=12),
    "copy": timedelta(hours=12),
    "forget": timedelta(hours=2),
    "prune": timedelta(hours=6),
    "drill l1": timedelta(hours=2),
    "drill l2": timedelta(hours=12),
    "drill l3": timedelta(days=1),
}
"""How long a run may take where its job says nothing."""
COMMANDS: Mapping[str, tuple[str, ...]] = {"copy": ("tier", "run")}


class Due(NamedTuple):
    """A run that should be: the moment that it stands for, and since when it has been due."""

    moment: Time
    since: Time
    trigger: Trigger


def first_handled(job: ScheduledJob, now: Time) -> Time:
    """For a job that is seen for the first time: `every` begins at once, a cron expression with its next moment."""
    return now - job.every if job.every is not None else now


def believed(job: ScheduledJob, handled: Time, now: Time) -> Time:
    """`handled`, but for what a clock that was wrong left in the future: from now on, then. A little of it stays, so
    that a clock that is put back does not run the moments of a few minutes twice."""
    slack = CLOCK_SLACK if job.cron is not None else timedelta(0)
    return now if handled > now + slack else handled


def handled_by(job: ScheduledJob, run: ScheduledRun) -> Time | None:
    """What a run that is over settles; None for nothing: it was asked for by somebody, or did not do its work through
    no fault of its own."""
    if run.trigger == "manual" or run.outcome in UNSEEN or run.outcome == "running":
        return None
    return run.started_at if job.every is not None else run.due_at


def due(
    job: ScheduledJob, handled: Time, now: Time, zone: tzinfo, *, prune: PruneRule | None = None, noticed: bool = False
) -> Due | None:
    """The one run that is due, however many moments passed; None where there is none.

    A prune stays due until its window is open. `noticed`: it was seen to be due in time, and has waited since.
    """
    if job.every is not None:
        since = moment = handled + job.every
        if since > now:
            return None
    else:
        first = cron.following(job.cron or "", zone, handled)
        if first is None or first > now:
            return None
        since = first
        moment = cron.latest(job.cron or "", zone, handled, now) or first
    if _opens(job, prune, now, zone) > now:
        return None
    return Due(moment, since, "due" if noticed or now - since <= LATE else "catch-up")


def upcoming(
    job: ScheduledJob,
    handled: Time,
    now: Time,
    zone: tzinfo,
    *,
    prune: PruneRule | None = None,
    after: Time | None = None,
) -> Time | None:
    """When it runs next: `now` where it is due, not before `after` (the end of a pause); None for never."""
    begin = now if after is None else max(now, after)
    moment = handled + job.every if job.every is not None else cron.following(job.cron or "", zone, handled)
    return None if moment is None else _opens(job, prune, max(moment, begin), zone)


def rings(job: ScheduledJob, handled: Time, now: Time, zone: tzinfo) -> Time | None:
    """The first moment later than `now`; None for never."""
    if job.every is not None:
        return handled + job.every if handled + job.every > now else now + job.every
    return cron.following(job.cron or "", zone, now)


def to_come(
    jobs: Mapping[str, ScheduledJob], first: Mapping[str, Time | None], zone: tzinfo
) -> Iterator[tuple[Time, str]]:
    """The moments of these jobs from `first` on, in their order, for ever."""
    queue = [(at, name) for name, at in first.items() if at is not None]
    heapq.heapify(queue)
    while queue:
        at, name = queue[0]
        yield at, name
        job = jobs[name]
        then = at + job.every if job.every is not None else cron.following(job.cron or "", zone, at)
        if then is None:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, (then, name))


def clash(job: ScheduledJob, other: ScheduledJob) -> bool:
    """Whether one has to wait for the other: one job of a kind works on a domain of a target at a time. An incremental
    and a full are two kinds."""
    if (job.kind, job.type, job.target) != (other.kind, other.type, other.target):
        return False
    return not job.domains or not other.domains or bool({*job.domains} & {*other.domains})


def in_turn(waiting: Iterable[tuple[str, Due]]) -> list[tuple[str, Due]]:
    """Who has waited longest comes first."""
    return sorted(waiting, key=lambda one: (one[1].since, one[0]))


def limit(job: ScheduledJob) -> timedelta:
    """How long a run may take."""
    return job.max_run or LIMITS[" ".join(part for part in (job.kind, job.type, job.level) if part)]


def command(job: ScheduledJob, folder: str) -> Sequence[str]:
    """What a run of this job hands to `rw`; `folder` is where the policies are."""
    words = list(COMMANDS.get(job.kind, (job.kind,)))
    if job.type is not None:
        words += ["--type", job.type]
    if job.level is not None:
        words += [job.level, "--scheduled"]
    words += ["--target", job.target, "--policies", folder, "--json"]
    return [*words, *(word for name in job.domains for word in ("--domain", name))]


def outcome(code: int) -> RunOutcome:
    """What an exit code of `rw` means."""
    return MEANING.get(code, "failed")


def _opens(job: ScheduledJob, prune: PruneRule | None, at: Time, zone: tzinfo) -> Time:
    """`at`, or later where a prune has to wait for its window."""
    if job.kind != "prune" or prune is None or prune.window is None:
        return at
    return max(at, window_at(prune.window, at, zone).begins)
