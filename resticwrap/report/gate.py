"""What the gate says: for people, and as the one line that monitoring reads."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.gate import GateReason, GateReport
from resticwrap.report import format as fmt
from resticwrap.report.page import FAINT, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"ok": "ok", "warn": "warn", "block": "failed", "off": "skipped", "overridden": "warn"}
OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""Exit codes and states of the Monitoring Plugins guidelines."""


def gate(console: "Console", report: GateReport, *, zone: tzinfo | None = None, explain: bool = False) -> None:
    """Open or closed, each reason with what to run; with `explain` everything that was looked at."""
    with Page(console, zone) as page:
        verdict = page.mark("ok", "open") if report.open else page.mark("failed", "CLOSED")
        page.say(("Gate of ", ""), (report.target, STRONG), ": ", verdict, ", ", (page.moment(report.at), FAINT))
        for reason in report.reasons:
            _reason(page, reason)
        for one in report.overrides:
            page.say(
                page.mark("warn", "override"), f" until {page.moment(one.until)} by {one.by}: {one.reason} "
                f"({', '.join(one.keys)})",
            )  # fmt: skip
        if explain:
            page.blank()
            for check in report.checked:
                page.say(page.mark(MARKS[check.verdict], f"{check.kind:<10}"), check.sentence, hang=12)
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _reason(page: Page, reason: GateReason) -> None:
    word = "overridden" if reason.overridden else "closed" if reason.closes else "warning"
    page.say(page.mark("failed" if reason.closes else "warn", f"{word} ({reason.kind})"), f": {reason.sentence}")
    if reason.hint and not reason.overridden:
        page.say(("what to do: ", STRONG), reason.hint, indent=2)


def line(report: GateReport) -> tuple[str, tuple[str, str]]:
    """What one line says of it: `open`, `CLOSED` or `open, with a warning`, and the first reason."""
    if first := report.first:
        more = len(report.reasons) - 1
        rest = f" (and {more} more)" if more else ""
        word = "CLOSED" if not report.open else "open"
        return ("failed" if not report.open else "warn"), (word, f"{first.sentence}{rest}")
    return "ok", ("open", "")


def state(report: GateReport) -> int:
    """CRITICAL where it is closed, WARNING where there is something to say, else OK."""
    return CRITICAL if not report.open else WARNING if report.reasons else OK


def nagios(report: GateReport) -> str:
    """`RESTICWRAP OK - the gate is open | proof_age=3600s;;604800;0 …`, one line as the guidelines have it."""
    first = report.first
    said = f"gate {'open' if report.open else 'closed'} for {report.target}"
    if first:
        more = len(report.reasons) - 1
        said += f": {first.sentence}" + (f" (and {more} more)" if more else "")
    ages = [
        ("proof_age", report.proof_age, report.proof_within),
        ("backup_age", report.backup_age, report.backup_within),
        ("rpo_lag", report.rpo_lag, report.rpo),
    ]
    data = [f"{name}={_number(value)}s;;{_number(limit)};0" for name, value, limit in ages if value is not None]
    closing = sum(reason.closes for reason in report.reasons)
    data += [f"reasons={closing};;0;0", f"warnings={len(report.reasons) - closing};0;;0"]
    return told(state(report), said, data)


def told(state: int, said: str, data: list[str] | None = None) -> str:
    """One line of a plugin. What is said may hold neither a line end nor the bar that ends it."""
    text = fmt.clean(said).replace("|", "/")
    return f"RESTICWRAP {STATES[state]} - {text}" + (f" | {' '.join(data)}" if data else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{max(value, 0):.0f}"
