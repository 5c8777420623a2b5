"""`rw alerts`."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.gate import Span
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.alerts import AlertsCheck, AlertsTest
    from resticwrap.services.alerting import Alerting

DRY = click.option("--dry-run", is_flag=True, help="Say what would be changed; change nothing.")


@click.group()
def group() -> None:
    """Alerts: what fires, whom it is told, and who has seen it. Rules and channels are in alerts.yaml."""


def desk(house: "House") -> "Alerting":
    """Who looks after alerts."""
    from resticwrap.report.alerts import daily_text

    return house.alerting(daily_text)


@group.command("list", epilog=epilog("rw alerts list\nrw alerts list --history", "0 1 2"))
@common
@click.option("--all", "everything", is_flag=True, help="What is over too, as long as it is remembered.")
@click.option("--history", is_flag=True, help="What became of alerts, newest first.")
def listed(common: Common, everything: bool, history: bool) -> None:
    """What fires, the gravest first, and what is pending: since when, seen by whom, and what to do.

    Shows what the last look found; rw alerts check looks now.
    """
    from resticwrap.report import text
    from resticwrap.services import alertbook

    run(
        common,
        lambda house: alertbook.listed(desk(house), everything=everything, history=history),
        text.alerts,
        whole=True,
    )


@group.command(
    epilog=epilog(
        "rw alerts check --dry-run\nrw alerts check --quiet",
        "0 1 2 11",
        code_0="looked, and told what was to be told",
        code_1="failed, or a channel took nothing",
        code_11="another process has been at it for too long",
    )
)
@common
@click.option("--dry-run", is_flag=True, help="Say what holds and what would be told; write and send nothing.")
def check(common: Common, dry_run: bool) -> None:
    """Look at every rule once, and tell what is new: for those who schedule with systemd or cron.

    The scheduler does this by itself. Reads records, state files and this machine; the target is not asked.
    """
    from resticwrap.report import text

    def code(report: "AlertsCheck") -> int:
        return errors.OK if all(one.ok for one in report.deliveries) else errors.FAILED

    run(common, lambda house: desk(house).check(dry_run=dry_run), text.alerts_check, code, whole=True)


@group.command(
    epilog=epilog("rw alerts test\nrw alerts test operators", "0 1 2 11", code_1="a channel or a check did not take it")
)
@common
@click.argument("channel", required=False)
def test(common: Common, channel: str | None) -> None:
    """Send a message to every channel, and a log line to every check; or to CHANNEL alone.

    It is really sent. What came of each is said, and never with its URL.
    """
    from resticwrap.report import text

    def code(report: "AlertsTest") -> int:
        return errors.OK if report.ok else errors.FAILED

    run(common, lambda house: desk(house).test(channel), text.alerts_test, code, whole=True)


@group.command(epilog=epilog("rw alerts ack backup_late\nrw alerts ack disk/'cache space'", "0 1 2 11"))
@common
@click.argument("names", nargs=-1, metavar="[RULE[/SUBJECT]]...")
@DRY
def ack(common: Common, names: tuple[str, ...], dry_run: bool) -> None:
    """Say that you have seen what fires: all of it, or what is named. No reminders until it is over, or graver."""
    from resticwrap.report import text
    from resticwrap.services import alertbook

    run(
        common,
        lambda house: alertbook.acknowledge(desk(house), names, dry_run=dry_run),
        text.alerts_changed,
        whole=True,
    )


@group.command(epilog=epilog("rw alerts silence backup_late --for 2h --reason moving", "0 1 2 11"))
@common
@click.argument("name", metavar="RULE[/SUBJECT]")
@click.option("--for", "span", type=Span(), metavar="TIME", default="2h", show_default=True, help="At most 31d.")
@click.option("--reason", metavar="TEXT", default="", help="Why; it stands in the list and in the history.")
@DRY
def silence(common: Common, name: str, span: timedelta, reason: str, dry_run: bool) -> None:
    """Tell nothing of a rule for a while, or of one subject of it. What still holds then is told."""
    from resticwrap.report import text
    from resticwrap.services import alertbook

    run(
        common,
        lambda house: alertbook.silence(desk(house), name, span, reason, dry_run=dry_run),
        text.alerts_changed,
        whole=True,
    )


@group.command(epilog=epilog("rw alerts unsilence backup_late", "0 1 2 11"))
@common
@click.argument("name", metavar="RULE[/SUBJECT]")
@DRY
def unsilence(common: Common, name: str, dry_run: bool) -> None:
    """Take a silence away again: what holds is told at the next look."""
    from resticwrap.report import text
    from resticwrap.services import alertbook

    run(
        common,
        lambda house: alertbook.unsilence(desk(house), name, dry_run=dry_run),
        text.alerts_changed,
        whole=True,
    )
