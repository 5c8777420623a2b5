"""The schedule, as it stands and as it ran."""

from datetime import tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from resticwrap.model.base import Time
from resticwrap.model.schedule import HealthReport, NextRuns, PauseReport, RunsReport, ScheduleList, ScheduleRow
from resticwrap.model.unattended import ScheduledRun
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

STATES = {"on": GOOD, "running": NAME, "paused": POOR, "off": FAINT}
BAD_ENDS = frozenset({"failed", "overran", "lost", "interrupted"})


def listed(console: "Console", report: ScheduleList) -> None:
    """Every job, then who runs them."""
    zone = _zone(report.time_zone)
    with Page(console, zone) as page:
        if not report.rows:
            page.say("There is no job of that kind in schedule.yaml.")
        else:
            times = [row.next for row in report.rows]
            columns = (
                Column("Job", least=10, style=NAME),
                Column("Kind", rank=4),
                Column("Target", rank=6),
                Column("When", rank=5),
                Column("Domains", rank=7),
                Column("State"),
                Column("Last run", rank=3),
                Column("Outcome"),
                Column(page.time_title("Next", times), rank=1),
            )
            page.table(columns, [_job(page, row) for row in report.rows])
        for row in report.rows:
            if row.pause is not None:
                _paused(page, row)
        if report.alive and report.heartbeat is not None:
            beat = report.heartbeat
            page.say(("A scheduler runs here", GOOD), f" since {page.moment(beat.started_at)}, as process {beat.pid}.")
        for warning in report.warnings:
            page.say(("note: ", STRONG), warning)


def _job(page: Page, row: ScheduleRow) -> list[Part]:
    last = row.last
    return [
        row.name, f"{row.kind} {row.variety}".strip(), row.target, row.when, _domains(row),
        (row.state, STATES[row.state]),
        page.time(last.started_at) if last else "-", _outcome(page, last) if last else "-",
        page.time(row.next, "-" if row.state in ("off", "paused") else "never"),
    ]  # fmt: skip


def _domains(row: ScheduleRow) -> str:
    if row.excepted:
        return f"all but {', '.join(row.excepted)}"
    return ", ".join(row.domains) or "all"


def _paused(page: Page, row: ScheduleRow) -> None:
    assert row.pause is not None
    end = f"until {page.moment(row.pause.until)}" if row.pause.until else "until rw schedule resume"
    why = f": {row.pause.reason}" if row.pause.reason else ""
    page.say((f"{row.name} is paused", POOR), f" by {row.pause.by} {end}{why}")


def coming(console: "Console", report: NextRuns) -> None:
    """The moments, in their order."""
    with Page(console, _zone(report.time_zone)) as page:
        if not report.runs:
            page.say("Nothing comes.")
            return
        columns = (
            Column(page.time_title("When", [run.at for run in report.runs])),
            Column("In", right=True),
            Column("Job", least=10, style=NAME),
            Column("Kind", rank=2),
            Column("Target", rank=3),
        )
        rows: list[list[Part]] = [
            [page.time(run.at), _until(run.at, report.at), run.name, run.kind, run.target] for run in report.runs
        ]
        page.table(columns, rows)


def _until(at: Time, now: Time) -> str:
    seconds = (at - now).total_seconds()
    return fmt.age(seconds) if seconds >= 1 else "now"


def runs(console: "Console", report: RunsReport, *, zone: tzinfo | None = None) -> None:
    """What came of a wish, or of what was due."""
    with Page(console, zone) as page:
        _runs(page, report)
        if not (report.runs or report.planned or report.refused or report.waiting or report.warnings):
            page.say("Nothing was due.")


def history(console: "Console", report: RunsReport, *, zone: tzinfo | None = None) -> None:
    """The runs that were."""
    with Page(console, zone) as page:
        if not report.runs:
            page.say("There was no run yet.")
        _runs(page, report)


def _runs(page: Page, report: RunsReport) -> None:
    if report.runs:
        columns = (
            Column(page.time_title("Started", [run.started_at for run in report.runs])),
            Column("Job", least=10, style=NAME),
            Column("Outcome"),
            Column("Took", right=True),
            Column("Why", rank=3),
            Column("Target", rank=5),
            Column("What it did", rank=4),
            Column("Message", least=16, rank=6),
        )
        page.table(columns, [_run(page, run) for run in report.runs])
        if not page.plain:
            for run in report.runs:
                if run.message and run.outcome != "ok":
                    page.say((f"{run.name}: ", STRONG), run.message)
    for name, command in report.planned.items():
        page.say((f"{name}: ", STRONG), command)
    for name, why in report.refused.items():
        page.say((f"{name} was not run: ", BAD), why)
    for name in report.waiting:
        page.say(f"{name} was handed to the scheduler; rw schedule history tells how it ends.")
    for warning in report.warnings:
        page.say(("note: ", STRONG), warning)


def _run(page: Page, run: ScheduledRun) -> list[Part]:
    took = fmt.duration((run.finished_at - run.started_at).total_seconds()) if run.finished_at else "-"
    return [
        page.time(run.started_at), run.name, _outcome(page, run), took, run.trigger, run.target, run.job or "-",
        run.message or "-",
    ]  # fmt: skip


def _outcome(page: Page, run: ScheduledRun) -> Part:
    return page.mark("failed", run.outcome) if run.outcome in BAD_ENDS else page.mark(run.outcome)


def pauses(console: "Console", report: PauseReport, *, zone: tzinfo | None = None) -> None:
    """What is paused now."""
    with Page(console, zone) as page:
        if not report.pauses:
            page.say("Nothing is paused.")
        else:
            columns = (
                Column("Job", style=NAME),
                Column(page.time_title("Since", [one.since for one in report.pauses.values()]), rank=2),
                Column("Until"),
                Column("By", rank=3),
                Column("Reason", least=10),
            )
            rows: list[list[Part]] = [
                [
                    name or "all of them",
                    page.time(one.since),
                    page.time(one.until, "resumed"),
                    one.by,
                    one.reason or "-",
                ]
                for name, one in report.pauses.items()
            ]
            page.table(columns, rows)
        if report.planned:
            page.say("Dry run: nothing was written.")


def health(console: "Console", report: HealthReport) -> None:
    """One sentence."""
    with Page(console) as page:
        age = f" Its last sign of life was {fmt.age(report.age)} ago." if report.age is not None else ""
        page.say((report.why, GOOD if report.alive else BAD), age)


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
