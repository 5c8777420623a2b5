"""The acceptance table, and the summary of a day; both also as plain text for a mail."""

import csv
import io
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.acceptance import AcceptanceReport, DailyReport
from resticwrap.report import format as fmt
from resticwrap.report.gate import line
from resticwrap.report.page import FAINT, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"met": "ok", "missed": "failed", "unknown": "warn"}
SPREADSHEET = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def acceptance(console: "Console", report: AcceptanceReport, *, zone: tzinfo | None = None) -> None:
    """Each promise with what was measured; a day that missed is named."""
    with Page(console, zone) as page:
        missed = sum(row.verdict == "missed" for row in report.rows)
        unknown = sum(row.verdict == "unknown" for row in report.rows)
        page.say(
            "Acceptance of ", (report.target, STRONG), f" since {report.since:%Y-%m-%d} ({report.time_zone}): ",
            page.mark("failed" if missed else "ok", f"{missed} missed"), f", {unknown} unknown, "
            f"{len(report.rows) - missed - unknown} met",
        )  # fmt: skip
        for row in report.rows:
            page.say(page.mark(MARKS[row.verdict], f"{row.verdict:<8}"), (row.what, STRONG), hang=10)
            page.say(("promised: ", FAINT), row.objective, indent=10)
            page.say(("measured: ", FAINT), row.actual, indent=10)
            if row.how:
                page.say((f"({row.how})", FAINT), indent=10)
        bad = [day for day in report.days if day.verdict == "missed"]
        for day in bad:
            share = fmt.percent(day.share or 0.0)
            page.say(page.mark("failed", day.day), f": {share} ({day.succeeded:,} of {day.slots:,} slots)", indent=2)
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def acceptance_csv(report: AcceptanceReport) -> str:
    """The table, then each day of its incrementals, as CSV that no spreadsheet takes for formulas."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("what", "objective", "actual", "verdict", "how"))
    for row in report.rows:
        rows.writerow(_safe(row.what, row.objective, row.actual, row.verdict, row.how))
    for day in report.days:
        rows.writerow(
            _safe(
                f"incrementals of {day.day}",
                report.rows[0].objective,
                f"{day.succeeded} of {day.slots}",
                day.verdict,
                "",
            )
        )
    return out.getvalue()


def _safe(*cells: str) -> list[str]:
    return [f"'{cell}" if cell.startswith(SPREADSHEET) else cell for cell in cells]


def daily(console: "Console", report: DailyReport, *, zone: tzinfo | None = None) -> None:
    """One day in a few lines; the last is the head of the evidence, which a mail's archive then vouches for."""
    with Page(console, zone) as page:
        page.say("Backups of ", (report.target, STRONG), f" on {report.day} ({report.time_zone})")
        for one in report.jobs:
            counts = {
                "ok": one.ok, "partial": one.partial, "failed": one.failed, "interrupted": one.interrupted,
                "running": one.running,
            }  # fmt: skip
            told = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
            _row(page, one.kind, page.mark("failed" if one.failed else "ok", told))
        if not report.jobs:
            _row(page, "jobs", page.mark("failed", "none"))
        _row(page, "added", fmt.size(report.added))
        if report.lag is None:
            said = f"{report.lag_domain} was not seen whole" if report.lag_domain else "no domains"
            _row(page, "worst lag", page.mark("failed", said))
        else:
            late = report.rpo is not None and report.lag > report.rpo
            told = f"{fmt.age(report.lag)} ({report.lag_domain}, objective {fmt.age(report.rpo or 0)})"
            _row(page, "worst lag", page.mark("failed" if late else "ok", told))
        for drill in report.drills:
            good = "ok" if drill.ok and drill.met else "MISSED its objective" if drill.ok else "FAILED"
            took = f" in {fmt.duration(drill.seconds)}" if drill.seconds is not None else ""
            mark = page.mark("ok" if good == "ok" else "failed", good)
            _row(page, f"drill {drill.level}", mark, f"{took} ({drill.job})")
        if not report.drills:
            _row(page, "drills", "none")
        state, (word, _) = line(report.gate)
        _row(page, "gate now", page.mark(state, word))
        for reason in report.gate.reasons:
            _row(page, "", page.mark("failed" if reason.closes else "warn", reason.kind), f": {reason.sentence}")
        if report.head is not None:
            head = report.head
            page.say((f"{'evidence':<10}", FAINT), head.words, indent=2, hang=10)
        else:
            _row(page, "evidence", "none yet")
        if report.waiting:
            _row(page, "", f"{fmt.plural(report.waiting, 'event')} not written yet")
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _row(page: Page, name: str, *parts: str | tuple[str, str]) -> None:
    page.say((f"{name:<10}", FAINT), *parts, indent=2, hang=10)
