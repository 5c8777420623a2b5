"""The history of a target: what each job did, and a calendar of days by domain."""

from collections.abc import Sequence
from datetime import date, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from resticwrap.model.reports import DumpShare, HistoryDay, HistoryJob, HistoryReport, HistoryRow
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.layout import Column, Line, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

CELLS = {
    "ok": ("o", "black on green"),
    "full": ("F", "bold black on bright_green"),
    "partial": ("p", "black on yellow"),
    "failed": ("X", "bold white on red"),
    "none": (".", "dim"),
}
LEGEND = {"ok": "ok", "full": "ok, a full", "partial": "partial", "failed": "failed", "none": "none"}
JOBS_SHOWN = 5
NAME_LEAST, NAME_MOST = 12, 26


def history(
    console: "Console", report: HistoryReport, *, today: date | None = None, table: bool = True, calendar: bool = True
) -> None:
    """The table, newest first, and the calendar, which ends with `today` (else with the last day there is)."""
    with Page(console, _zone(report.time_zone)) as page:
        if not report.rows and not report.days and not report.jobs:
            page.say(f"Nothing has been backed up to {report.target} yet.")
            return
        if table and report.rows:
            _table(page, report.rows)
        for share in report.dumps if table else ():
            page.say((f"{share.domain}: ", STRONG), _stored(share))
        if table and report.jobs:
            if report.rows:
                page.blank()
            _jobs(page, report.jobs)
        if table and calendar and (report.rows or report.jobs) and report.days:
            page.blank()
        if calendar and report.days:
            _calendar(page, report, today)


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _table(page: Page, rows: Sequence[HistoryRow]) -> None:
    columns = (
        Column(page.time_title("Time", [row.time for row in rows[:1]])),
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Outcome"),
        Column("Type", rank=3),
        Column("New", right=True, rank=2),
        Column("Changed", right=True),
        Column("Removed", right=True, rank=2),
        Column("Added", right=True),
        Column("Size", right=True, rank=4),
        Column("Duration", right=True),
        Column("Snapshot", rank=5),
        Column("Job", rank=6),
        Column("Error", least=12, rank=7),
    )
    marks = {outcome: page.mark(outcome) for outcome in {row.outcome for row in rows}}
    shown: list[list[Part]] = [
        [
            page.time(row.time), row.domain, marks[row.outcome], row.type, _some(row.files_new),
            _some(row.files_changed), _some(row.files_removed), fmt.size(row.added), fmt.size(row.size),
            fmt.duration(row.duration), page.id(row.snapshot), row.job, row.error or "-",
        ]
        for row in rows
    ]  # fmt: skip
    page.table(columns, shown)


def _stored(share: DumpShare) -> str:
    text = f"{fmt.size(share.added)} of its newest dump of {fmt.size(share.size)} were stored anew"
    return f"{text}, as of a first one: rows that change at random spoil every chunk." if share.spoilt else f"{text}."


def _jobs(page: Page, jobs: Sequence[HistoryJob]) -> None:
    """Restores and verifies; on a terminal the newest few, and all that wait for somebody."""
    shown = [job for number, job in enumerate(jobs) if page.plain or number < JOBS_SHOWN or job.next]
    columns = (
        Column(page.time_title("Time", [job.time for job in jobs[:1]])),
        Column("Kind"),
        Column("Outcome"),
        Column("Duration", right=True, rank=2),
        Column("Job"),
        Column("What", least=12, rank=1),
    )
    page.table(
        columns,
        [
            [
                page.time(job.time), job.kind, page.mark(job.outcome),
                "-" if job.duration is None else fmt.duration(job.duration), job.job, job.what,
            ]
            for job in shown
        ],
    )  # fmt: skip
    if left := len(jobs) - len(shown):
        page.say((f"and {fmt.plural(left, 'other job')} more: --json", FAINT))
    for job in shown:
        if job.next:
            page.say((f"{job.job}: ", STRONG), job.next, indent=2)


def _some(number: int) -> str:
    return fmt.count(number) if number else "-"


def state(day: HistoryDay | None) -> str:
    """The worst of a day: one of the keys of CELLS."""
    if day is None or not day.jobs:
        return "none"
    if day.failed:
        return "failed"
    if day.partial:
        return "partial"
    return "full" if day.full else "ok"


def _calendar(page: Page, report: HistoryReport, today: date | None) -> None:
    domains = list(dict.fromkeys(day.domain for day in report.days))
    known = {(day.domain, day.day): day for day in report.days}
    last = max([date.fromisoformat(day.day) for day in report.days] + ([today] if today else []))
    first = min(date.fromisoformat(day.day) for day in report.days)
    longest = max(map(layout.cells, domains))
    name = longest if page.width is None else max(NAME_LEAST, min(longest, NAME_MOST, page.width // 3))
    total = max(len(fmt.size(sum(day.added for day in report.days))), len("Added"))
    span = (last - first).days + 1
    if page.width is not None:
        span = max(1, min(span, (page.width - name - total - 3) // 2))
    days = [last - timedelta(days=back) for back in range(span - 1, -1, -1)]
    page.say(
        ("Calendar ", STRONG), f"of {report.target}, {days[0]} to {days[-1]}",
        "" if days[0] == first or page.plain else f" (since {first} in all)", f", days in {report.time_zone}",
    )  # fmt: skip
    page.lines.extend(_heading(days, name, total))
    for domain in domains:
        shown = layout.shorten(domain, name, "middle", page.ellipsis)
        row: Line = [(shown + " " * (name - layout.cells(shown) + 1), NAME)]
        found = [known.get((domain, day.isoformat())) for day in days]
        for day in found:
            letter, style = CELLS[state(day)]
            row.extend(((letter, style), (" ", "")))
        row.append((f"{fmt.size(sum(day.added for day in found if day)):>{total + 1}}", ""))
        page.lines.append(layout.line(row))
    legend: list[Part] = []
    for key, words in LEGEND.items():
        legend.extend([CELLS[key], f" {words}   "])
    page.say(*legend)
    _sums(page, report.days)


def _heading(days: Sequence[date], name: int, total: int) -> list[Line]:
    """Months above the first day of theirs, and the day of each Monday (and of the first day shown)."""
    months, numbers = [" "] * (2 * len(days)), [" "] * (2 * len(days))
    free = 0
    for index, day in enumerate(days):
        if index == 0 or day.day == 1:
            word = f"{day:%b %Y}" if index == 0 or day.month == 1 else f"{day:%b}"
            if index * 2 >= free and index * 2 + len(word) <= len(months):
                months[index * 2 : index * 2 + len(word)] = word
                free = index * 2 + len(word) + 1
        if index == 0 or (day.weekday() == 0 and index > 1):
            numbers[index * 2 : index * 2 + 2] = f"{day.day:<2}"
    blank = " " * (name + 1)
    return [
        [(blank, ""), ("".join(months), FAINT)],
        [(blank, ""), ("".join(numbers), FAINT), (f"{'Added':>{total + 1}}", FAINT)],
    ]


def _sums(page: Page, days: Sequence[HistoryDay]) -> None:
    jobs, failed, partial = (sum(getattr(day, name) for day in days) for name in ("jobs", "failed", "partial"))
    page.say(
        f"{fmt.plural(jobs, 'run')}: ", (fmt.count(jobs - failed - partial), GOOD), " complete, ",
        (fmt.count(partial), POOR if partial else ""), " partial, ", (fmt.count(failed), BAD if failed else ""),
        f" failed; {fmt.size(sum(day.added for day in days))} added",
    )  # fmt: skip
