"""Reports of alerts as real looks make them."""

from datetime import UTC, datetime, timedelta

from resticwrap.model.alerts import (
    AlertsChanged,
    AlertsCheck,
    AlertsReport,
    AlertsTest,
    ChannelReport,
    Delivery,
    Finding,
    Silence,
    Telling,
)
from resticwrap.model.unattended import Alert, AlertEvent

NOW = datetime(2026, 7, 31, 14, 3, 5, tzinfo=UTC)
NASTY = "\x1b[31mred\x1b[0m\r\n[bold red]x[/]"
HOUR = timedelta(hours=1)
ALERTS = (
    Alert(
        rule="backup_late", target="local", severity="critical", state="firing", since=NOW - HOUR, fired_at=NOW,
        told_at=NOW, message="No backup has seen any domain whole since 2026-07-31 13:03 UTC.",
        hint="rw history --target local --days 1",
    ),
    Alert(
        rule="disk", target="", subject="cache space", severity="critical", state="firing", since=NOW - HOUR,
        message=f"The disk of the cache (/var/cache/{NASTY}) is 98 % full (space).", hint="df -h /var/cache/restic",
        silenced_until=NOW + HOUR,
    ),
    Alert(
        rule="objective", target="local", subject="teacher_workspaces", severity="warning", state="firing",
        since=NOW - HOUR, message="teacher_workspaces was last seen whole 65 min ago, and 5 min are promised.",
        hint="rw backup --target local --domain teacher_workspaces", acknowledged_by="ada", acknowledged_at=NOW,
    ),
)  # fmt: skip
PENDING = Alert(rule="gate", target="local", severity="info", state="pending", since=NOW, message="The gate is closed.")
OVER = Alert(
    rule="target", target="local", severity="critical", state="resolved", since=NOW - 2 * HOUR, resolved_at=NOW,
    message="The target did not answer.",
)  # fmt: skip
SILENCE = Silence(rule="disk", subject="cache space", until=NOW + HOUR, by="ada", at=NOW, reason="a larger one comes")
DELIVERIES = (
    Delivery(channel="operators", ok=True, told=3, seconds=0.31),
    Delivery(channel="on_call", ok=False, told=2, seconds=20.0, error="It was refused, with HTTP status 403."),
    Delivery(channel="check alive", ok=True, seconds=0.1),
)


def alerts() -> AlertsReport:
    channels = (
        ChannelReport(name="operators", used=True, severities=("critical", "warning", "info"), last_ok=NOW),
        ChannelReport(
            name="on_call", used=True, severities=("critical",), waiting=2, failing_since=NOW - HOUR,
            error="It was refused, with HTTP status 403.",
        ),
        ChannelReport(name="boss", used=False, severities=("critical",)),
    )  # fmt: skip
    history = (
        AlertEvent(
            id="1", host="vm", target="local", rule="backup_late", subject="", change="fired", at=NOW,
            severity="critical", message=ALERTS[0].message,
        ),
        AlertEvent(
            id="2", host="vm", target="", rule="disk", subject="cache space", change="silenced", at=NOW,
            severity="info", message="until 2026-07-31T15:03:05+00:00: a larger one comes", by="ada",
        ),
    )  # fmt: skip
    return AlertsReport(
        target="local", at=NOW, alerts=(*ALERTS, PENDING, OVER), silences=(SILENCE,), channels=channels,
        looked_at=NOW, history=history, notes=("What was before cannot be read: the catalogue is damaged.",),
    )  # fmt: skip


def check(sent: bool = True) -> AlertsCheck:
    finding = Finding(rule="disk", target="", subject="cache space", severity="critical", message=ALERTS[1].message)
    return AlertsCheck(
        at=NOW,
        targets=("local", "oss"),
        findings=(finding,),
        told=(Telling(what="fired", alert=ALERTS[0]), Telling(what="resolved", alert=OVER)),
        deliveries=DELIVERIES if sent else (),
        unknown={"oss": "The catalogue is locked."},
        notes=("3 lines of the history wait for the catalogue: it is locked.",),
        sent=sent,
    )


def tried(used: bool = True) -> AlertsTest:
    return AlertsTest(at=NOW, deliveries=DELIVERIES if used else (), skipped=("boss",))


def changed() -> AlertsChanged:
    return AlertsChanged(action="silenced", alerts=ALERTS[1:2], silences=(SILENCE,))
