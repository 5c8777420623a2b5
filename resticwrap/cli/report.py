"""`rw report`."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.model.acceptance import AcceptanceReport


@click.group()
def group() -> None:
    """Reports out of the records: what was promised against what was measured, and a day in a few lines."""


@group.command(
    epilog=epilog(
        "rw report acceptance --days 30 --csv > acceptance.csv",
        "0 1 2 20",
        code_20="something that was promised was missed",
    )
)
@common
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far back, with today.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def acceptance(common: Common, days: int, as_csv: bool) -> None:
    """The acceptance table: each promise, what was measured, and whether it was met.

    What was not measured is `unknown`, which is no pass. Reads records alone.
    """
    from resticwrap.report import acceptance as screen
    from resticwrap.services import acceptance as service

    if as_csv and common.json:
        raise click.UsageError("--csv and --json exclude each other.")

    def render(console: "Console", report: "AcceptanceReport") -> None:
        if as_csv:
            console.file.write(screen.acceptance_csv(report))
        else:
            screen.acceptance(console, report)

    run(
        common,
        lambda house: service.acceptance(house.records, days),
        render,
        lambda report: errors.VERIFY_FAILED if any(row.verdict == "missed" for row in report.rows) else errors.OK,
        whole=True,
    )


@group.command(epilog=epilog("rw report daily --date 2026-11-27", "0 1 2"))
@common
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Which day [default: today]."
)
def daily(common: Common, day: datetime | None) -> None:
    """One day in a few lines: jobs, worst lag, drills, the gate as it is now, and the head of the evidence.

    A mail's archive that keeps it vouches for the chain: `rw audit verify --head` compares with it.
    """
    from resticwrap.report import acceptance as screen
    from resticwrap.services import acceptance as service

    run(
        common,
        lambda house: service.daily(house.records, day.date() if day else None),
        screen.daily,
        whole=True,
    )
