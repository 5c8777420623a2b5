"""`rw db undo` and `rw db accept`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

CODES = "0 1 2 11 12 22 130"


@click.command(epilog=epilog("rw db undo restore_20261120T120000Z_0a1b2c", CODES))
@common
@click.argument("job", metavar="JOB")
def undo(common: Common, job: str) -> None:
    """Exchange back what a restore JOB put over a live database: what was live before has its name again.

    What is live now is kept under another name, since somebody may have written to it; `rw db accept` drops that.
    """
    from resticwrap.report import text
    from resticwrap.services.databases import restoring

    run(common, lambda house: restoring.undo(house.context, job), text.db_restore, whole=True)


@click.command(epilog=epilog("rw db accept restore_20261120T120000Z_0a1b2c", CODES))
@common
@click.argument("job", metavar="JOB")
@click.option("--force", is_flag=True, help="Though no snapshot has all that is dropped.")
def accept(common: Common, job: str, force: bool) -> None:
    """Drop the database that a restore JOB (or its undo) put aside, where a snapshot has every row of it."""
    from resticwrap.report import text
    from resticwrap.services.databases import restoring

    run(common, lambda house: restoring.accept(house.context, job, force=force), text.db_restore, whole=True)
