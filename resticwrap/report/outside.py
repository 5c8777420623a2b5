"""A schedule that is handed to systemd or cron: jobs, files, and what is left to do."""

from typing import TYPE_CHECKING

from resticwrap.model.outside import OutsideReport
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part, cells
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

DONE = {"add": "written", "change": "written anew", "remove": "removed", "keep": "as it was"}
WOULD = {"add": "would be new", "change": "would change", "remove": "would go", "keep": "stays as it is"}
DIFF = {"+": GOOD, "-": BAD, "@": FAINT}
JOBS = (Column("Job", least=12, style=NAME), Column("Kind", rank=2), Column("Target", rank=1), Column("When", least=12))


def outside(console: "Console", report: OutsideReport) -> None:
    """Before: whole files, as differences. After: what was done with each."""
    planned = report.mode == "planned"
    with Page(console) as page:
        if planned:
            page.say(("Dry run: ", STRONG), f"the schedule, kept by {report.keeper}. Nothing is written.")
        rows: list[list[Part]] = [
            ["" if at else job.name, "" if at else job.kind, "" if at else job.target, when]
            for job in report.jobs
            for at, when in enumerate(job.when)
        ]
        if rows:
            page.table(JOBS, rows)
            page.blank()
        for file in report.files if planned else ():
            for line in file.diff.splitlines():
                _line(page, fmt.clean(line), DIFF.get(line[:1], ""))
            if file.diff:
                page.blank()
        for file in report.files:
            words = (WOULD if planned else DONE)[file.action]
            page.say(page.mark("" if planned or file.action == "keep" else "ok", words), ": ", file.path)
        if not report.files:
            page.say("Nothing of ours is there.")
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")
        if report.next:
            page.listing([("What is left to do:", STRONG)], report.next)


def _line(page: Page, line: str, style: str) -> None:
    """With its indentation; only a line that is too wide is wrapped."""
    if page.width is None or cells(line) <= page.width:
        page.lines.append([(line, style)])
    else:
        page.say((line, style))
