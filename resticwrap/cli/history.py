"""`rw history`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw history --days 14",
        "0 1 2",
    )
)
@common
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How far to look back.")
@click.option("--limit", type=click.IntRange(0), default=40, show_default=True, help="Rows in the table; 0: all.")
def command(common: Common, days: int, limit: int) -> None:
    """What was backed up when: a calendar of days by domain, and the jobs as a table.

    Reads the catalogue alone; the target is not asked.
    """
    from resticwrap.report import text
    from resticwrap.services import listing

    run(
        common,
        lambda house: listing.history(
            house.records, common.domains, days=days, limit=limit or None, now=house.clock.now()
        ),
        text.history,
    )
