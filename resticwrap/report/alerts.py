"""Alerts: what fires, what was told, what came of telling it."""

import io
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.alerts import AlertsChanged, AlertsCheck, AlertsReport, AlertsTest, Delivery
from resticwrap.model.unattended import Alert
from resticwrap.planning.alertorder import named
from resticwrap.report import format as fmt
from resticwrap.report.page import FAINT, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.model.acceptance import DailyReport

MARKS = {"critical": "failed", "warning": "warn", "info": "skipped"}
WORDS = {"fired": "tell", "reminded": "remind", "resolved": "resolved"}
PLAIN = 100
"""Columns of a text that goes by mail."""


def alerts(console: "Console", report: AlertsReport, *, zone: tzinfo | None = None) -> None:
    """Each alert with since when and what to do; silences, channels that are in trouble, the history."""
    with Page(console, zone) as page:
        firing = [one for one in report.alerts if one.state == "firing"]
        page.say(
            page.mark("failed" if firing else "ok", fmt.plural(len(firing), "alert")),
            " fires" if len(firing) == 1 else " fire", ", looked at ", (page.moment(report.looked_at), FAINT),
        )  # fmt: skip
        for one in report.alerts:
            _alert(page, one)
        for silence in report.silences:
            name = f"{silence.rule}/{silence.subject}" if silence.subject else silence.rule
            why = f": {silence.reason}" if silence.reason else ""
            page.say(("silenced ", STRONG), f"{name} until {page.moment(silence.until)} by {silence.by}{why}")
        for channel in report.channels:
            if not channel.used:
                page.say(page.mark("warn", "channel"), f" {channel.name} has no URL, so nobody is told there")
            elif channel.failing_since is not None:
                since = page.moment(channel.failing_since)
                page.say(
                    page.mark("failed", channel.name), f" takes nothing since {since}: {channel.error} "
                    f"{fmt.plural(channel.waiting, 'state')} to tell",
                )  # fmt: skip
        if not report.channels:
            page.say(page.mark("warn", "no channel"), " is in alerts.yaml, so nobody is told")
        for event in report.history:
            name = f"{event.rule}/{event.subject}" if event.subject else event.rule
            by = f" by {event.by}" if event.by else ""
            page.say((f"{page.time(event.at)}  ", FAINT), f"{event.change:<12} {name}{by}: {event.message}", hang=6)
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _alert(page: Page, one: Alert) -> None:
    """One alert, with what to do."""
    where = f" ({one.target})" if one.target else ""
    page.say(page.mark(MARKS[one.severity], one.severity), " ", (named(one), STRONG), f"{where}: {one.message}")
    if one.state == "resolved":
        page.say((f"resolved {page.moment(one.resolved_at)}", FAINT), indent=2)
        return
    said = [f"since {page.moment(one.since)}"]
    if one.state == "pending":
        said.append("not told yet")
    if one.acknowledged_at is not None:
        said.append(f"acknowledged by {one.acknowledged_by}")
    if one.silenced_until is not None:
        said.append(f"silenced until {page.moment(one.silenced_until)}")
    page.say((", ".join(said), FAINT), indent=2)
    if one.hint:
        page.say(("what to do: ", STRONG), one.hint, indent=2)


def alerts_check(console: "Console", report: AlertsCheck, *, zone: tzinfo | None = None) -> None:
    """What one look found, what is new to tell, and what came of telling it."""
    with Page(console, zone) as page:
        told = fmt.plural(len(report.told), "thing")
        page.say(
            f"{', '.join(report.targets)}: ", fmt.plural(len(report.findings), "finding"),
            f", {told} {'to tell' if report.sent else 'would be told'}",
        )  # fmt: skip
        for one in report.told:
            mark = "ok" if one.what == "resolved" else MARKS[one.alert.severity]
            page.say(page.mark(mark, f"{WORDS[one.what]:<9}"), f"{named(one.alert)}: {one.alert.message}", hang=10)
        if not report.sent:
            for finding in report.findings:
                name = f"{finding.rule}/{finding.subject}" if finding.subject else finding.rule
                page.say(page.mark(MARKS[finding.severity], "holds    "), f"{name}: {finding.message}", hang=10)
        _deliveries(page, report.deliveries)
        for target, why in report.unknown.items():
            page.say(page.mark("failed", "not known"), f" of {target}: {why}")
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def alerts_test(console: "Console", report: AlertsTest) -> None:
    """What came of each channel and check."""
    with Page(console) as page:
        _deliveries(page, report.deliveries)
        for name in report.skipped:
            page.say(page.mark("warn", "skipped"), f" {name}: it has no URL")
        if not report.deliveries:
            page.say(page.mark("failed", "nobody"), " was told: no channel and no check has a URL. Set RW_ALERT_URL.")


def _deliveries(page: Page, deliveries: tuple[Delivery, ...]) -> None:
    for one in deliveries:
        took = f" ({fmt.duration(one.seconds)})"
        said = f": {one.error}" if one.error else took
        page.say(page.mark("ok" if one.ok else "failed", "sent" if one.ok else "failed"), f" {one.channel}{said}")


def alerts_changed(console: "Console", report: AlertsChanged, *, zone: tzinfo | None = None) -> None:
    """What is acknowledged or silenced now."""
    with Page(console, zone) as page:
        page.say((report.action, STRONG), f": {fmt.plural(len(report.alerts), 'alert')} that {_verb(report)}")
        for one in report.alerts:
            _alert(page, one)
        for silence in report.silences:
            name = f"{silence.rule}/{silence.subject}" if silence.subject else silence.rule
            page.say(f"{name} is silenced until {page.moment(silence.until)} by {silence.by}")


def _verb(report: AlertsChanged) -> str:
    return "fires" if len(report.alerts) == 1 else "fire"


def daily_text(report: "DailyReport") -> str:
    """A day as the text of a message."""
    from rich.console import Console

    from resticwrap.report.acceptance import daily

    text = io.StringIO()
    daily(Console(file=text, width=PLAIN, highlight=False, markup=False, emoji=False), report)
    return text.getvalue()
