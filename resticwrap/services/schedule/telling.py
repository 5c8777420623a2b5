"""What the schedule is, what comes, what was: read from the policies, the state directory and the catalogue."""

from collections.abc import Callable, Sequence
from itertools import islice, takewhile

from resticwrap.model.base import Time
from resticwrap.model.fields import format_duration
from resticwrap.model.policy import ScheduledJob
from resticwrap.model.schedule import JobState, NextRun, NextRuns, Pause, RunsReport, ScheduleList, ScheduleRow
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning import schedule as planning
from resticwrap.services.schedule import health
from resticwrap.services.schedule.ledger import Ledger
from resticwrap.services.schedule.memory import holding
from resticwrap.settings import Settings

Chosen = Callable[[ScheduledJob], bool]


def chosen(target: str | None, domains: Sequence[str]) -> Chosen:
    """Which jobs are meant: those of a target, and those that work on one of these domains."""

    def meant(job: ScheduledJob) -> bool:
        on_one = not domains or not job.domains or bool({*domains} & {*job.domains})
        return target in (None, job.target) and on_one

    return meant


def listed(settings: Settings, ledger: Ledger, now: Time, meant: Chosen) -> ScheduleList:
    """Every job with its state, its last run and its next one."""
    heartbeat = ledger.files.heartbeat()
    alive = health.lives(heartbeat, now)
    pauses = holding(ledger.files.pauses(), now)
    running = {run.name for run in ledger.files.spooled() if run.outcome == "running"}
    warnings: dict[str, None] = {}
    rows = []
    for name, job in settings.schedule.jobs.items():
        if not meant(job):
            continue
        last, why = ledger.history(name=name, since=None, limit=1)
        if why:
            warnings[why] = None
        pause = pauses.get(name) or pauses.get("")
        state: JobState = "paused" if pause else "on"
        rows.append(
            ScheduleRow(
                name=name,
                kind=job.kind,
                target=job.target,
                when=when(job),
                state="running" if name in running else state if job.enabled else "off",
                variety=job.type or job.level or "",
                domains=job.domains,
                excepted=job.excepted,
                pause=pause,
                last=last[0] if last else None,
                next=_next(settings, ledger, name, job, now, pause),
            )
        )
    if heartbeat is not None and alive and heartbeat.problem:
        warnings[f"The policies were changed and cannot be used, those before hold on: {heartbeat.problem}"] = None
    if not alive:
        warnings["No scheduler runs here, so nothing of this runs by itself: rw schedule run"] = None
    return ScheduleList(
        at=now,
        time_zone=settings.schedule.time_zone,
        alive=alive,
        heartbeat=heartbeat,
        rows=tuple(rows),
        warnings=tuple(warnings),
    )


def coming(
    settings: Settings, ledger: Ledger, now: Time, meant: Chosen, *, count: int, until: Time | None = None
) -> NextRuns:
    """The moments to come. What is off, or paused without an end, is not among them."""
    pauses = holding(ledger.files.pauses(), now)
    jobs = {name: job for name, job in settings.schedule.jobs.items() if meant(job)}
    first = {
        name: _next(settings, ledger, name, job, now, pauses.get(name) or pauses.get("")) for name, job in jobs.items()
    }
    moments = planning.to_come(jobs, first, settings.schedule.zone)
    wanted = takewhile(lambda one: until is None or one[0] <= until, moments)
    return NextRuns(
        at=now,
        time_zone=settings.schedule.time_zone,
        runs=tuple(
            NextRun(at=at, name=name, kind=jobs[name].kind, target=jobs[name].target)
            for at, name in islice(wanted, count)
        ),
    )


def due(settings: Settings, ledger: Ledger, now: Time, meant: Chosen) -> NextRuns:
    """What a scheduler would start now."""
    found = coming(settings, ledger, now, meant, count=len(settings.schedule.jobs), until=now)
    return NextRuns(at=now, time_zone=found.time_zone, runs=found.runs)


def history(
    ledger: Ledger, names: Sequence[str], *, since: Time | None, limit: int, target: str | None = None
) -> RunsReport:
    """Runs that were, newest first; of these jobs, or of all."""
    found: dict[str, ScheduledRun] = {}
    warnings: dict[str, None] = {}
    for name in names or (None,):
        runs, why = ledger.history(name=name, since=since, limit=limit)
        found |= {run.id: run for run in runs if target in (None, run.target)}
        if why:
            warnings[why] = None
    newest = sorted(found.values(), key=lambda run: (run.started_at, run.id), reverse=True)
    return RunsReport(runs=tuple(newest[:limit]), warnings=tuple(warnings))


def when(job: ScheduledJob) -> str:
    """A job's rhythm in the words of the policy."""
    return f"every {format_duration(job.every)}" if job.every is not None else job.cron or ""


def _next(
    settings: Settings, ledger: Ledger, name: str, job: ScheduledJob, now: Time, pause: Pause | None
) -> Time | None:
    if not job.enabled or (pause is not None and pause.until is None):
        return None
    handled = ledger.files.handled().get(name)
    if handled is None:
        last = ledger.last(name)
        handled = (last and planning.handled_by(job, last)) or planning.first_handled(job, now)
    return planning.upcoming(
        job,
        planning.believed(job, handled, now),
        now,
        settings.schedule.zone,
        prune=settings.prune,
        after=pause.until if pause else None,
    )
