"""What somebody wishes of the schedule: a run now, a pause, its end."""

import secrets
import shlex
from collections.abc import Callable, Sequence

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time
from resticwrap.model.schedule import Pause, PauseReport, RunRequest, RunsReport
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.planning import schedule as planning
from resticwrap.ports import HostLocks
from resticwrap.services.schedule import health
from resticwrap.services.schedule.memory import holding
from resticwrap.services.schedule.scheduler import LOCK, Scheduler
from resticwrap.services.schedule_ports import ScheduleFiles
from resticwrap.settings import Settings

POLL_SECONDS = 0.2
WORST: Sequence[RunOutcome] = ("interrupted", "failed", "lost", "overran", "partial")
CODES = {"interrupted": errors.INTERRUPTED, "partial": errors.PARTIAL}


def run_now(
    settings: Settings,
    files: ScheduleFiles,
    locks: HostLocks,
    clock: Clock,
    names: Sequence[str],
    *,
    by: str,
    wait: bool,
    scheduler: Callable[[], Scheduler],
    cancelled: Callable[[], bool],
) -> RunsReport:
    """Run these jobs now: by the scheduler that runs here, else by our own hand. Raises UsageError for a job that is
    not there, and where `wait` is False and nobody is there to be asked."""
    known(settings, names)
    now = clock.now()
    requests = [_request(name, now, by) for name in dict.fromkeys(names)]
    if not _runs(locks):
        if not wait:
            raise errors.UsageError(
                "No scheduler runs here that could be asked to do it.",
                hint="Leave --no-wait out, and it is done at once; or start one: rw schedule run",
            )
        return report_of(scheduler().by_hand(requests))
    for request in requests:
        files.ask(request)
    if not wait:
        return RunsReport(waiting=tuple(request.name for request in requests))
    return _answers(files, locks, clock, requests, cancelled)


def plan(settings: Settings, names: Sequence[str]) -> RunsReport:
    """What would be run. Raises UsageError."""
    known(settings, names)
    jobs = settings.schedule.jobs
    return RunsReport(
        planned={name: shlex.join(("rw", *planning.command(jobs[name], str(settings.folder)))) for name in names}
    )


def known(settings: Settings, names: Sequence[str]) -> None:
    """Raises UsageError for a job that the schedule does not have."""
    if unknown := [name for name in names if name not in settings.schedule.jobs]:
        there = ", ".join(settings.schedule.jobs) or "none at all"
        raise errors.UsageError(f"There is no job {unknown[0]!r}.", hint=f"the jobs of schedule.yaml are: {there}")


def report_of(runs: Sequence[ScheduledRun]) -> RunsReport:
    """Newest first."""
    return RunsReport(runs=tuple(sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True)))


def code(report: RunsReport) -> int:
    """The worst of the runs; 1 where one was refused."""
    outcomes = {run.outcome for run in report.runs}
    worst = next((one for one in WORST if one in outcomes), None)
    if worst is None:
        return errors.FAILED if report.refused else errors.OK
    return CODES.get(worst, errors.FAILED)


def pause(
    settings: Settings, files: ScheduleFiles, locks: HostLocks, names: Sequence[str], new: Pause, *, dry_run: bool
) -> PauseReport:
    """Start nothing of these jobs until the pause ends; "" is all of them. What runs already goes on."""
    known(settings, [name for name in names if name])
    with locks.hold("schedule pauses", wait=10):
        pauses = {**holding(files.pauses(), new.since), **dict.fromkeys(names, new)}
        if not dry_run:
            files.put_pauses(pauses)
    return PauseReport(changed=tuple(names), pauses=pauses, planned=dry_run)


def resume(
    settings: Settings, files: ScheduleFiles, locks: HostLocks, names: Sequence[str], now: Time, *, dry_run: bool
) -> PauseReport:
    """End the pauses of these jobs; "" ends every pause. What came due meanwhile runs once, at once."""
    with locks.hold("schedule pauses", wait=10):
        before = holding(files.pauses(), now)
        known(settings, [name for name in names if name and name not in before])
        if "" in before and "" not in names:
            raise errors.UsageError(
                "All jobs are paused together, so one of them cannot be resumed alone.", hint="rw schedule resume --all"
            )
        kept = {} if "" in names else {name: one for name, one in before.items() if name not in names}
        if not dry_run:
            files.put_pauses(kept)
    return PauseReport(changed=tuple(sorted(before.keys() - kept.keys())), pauses=kept, planned=dry_run)


def _request(name: str, now: Time, by: str) -> RunRequest:
    return RunRequest(id=f"wish_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}", name=name, at=now, by=by)


def _runs(locks: HostLocks) -> bool:
    """Whether a scheduler runs here: for sure, where a sign of life may be of one that has just died."""
    try:
        with locks.hold(LOCK):
            return False
    except errors.Locked:
        return True


def _answers(
    files: ScheduleFiles, locks: HostLocks, clock: Clock, requests: Sequence[RunRequest], cancelled: Callable[[], bool]
) -> RunsReport:
    """Wait for what becomes of them. Who interrupts us withdraws what has not begun; the rest goes on."""
    waiting = {request.id: request for request in requests}
    ended: list[ScheduledRun] = []
    refused: dict[str, str] = {}
    warnings: list[str] = []
    while waiting:
        asked = {request.id: request for request in files.asked()}
        for wish in list(waiting):
            found = waiting[wish] = asked.get(wish, waiting[wish])
            if found.refused:
                refused[found.name] = found.refused
            elif found.run is not None and found.run.outcome != "running":
                ended.append(found.run)
            else:
                continue
            del waiting[wish]
            files.drop(wish)
        gone = not health.lives(files.heartbeat(), clock.now()) and not _runs(locks)
        if waiting and (cancelled() or gone):
            why = "the scheduler has gone away" if gone else "you interrupted"
            for wish, request in waiting.items():
                if request.run is None:
                    files.drop(wish)
                    refused[request.name] = f"Withdrawn, since {why}."
                else:
                    warnings.append(f"{request.name} goes on, and nobody waits for it: {request.run.id}")
            break
        clock.sleep(POLL_SECONDS)
    report = report_of(ended)
    return RunsReport(runs=report.runs, refused=refused, warnings=tuple(warnings))
