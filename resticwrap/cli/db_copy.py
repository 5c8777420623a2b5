"""`rw db copy`."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from resticwrap.cli.db_restore import choosing, code, one_of
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbreports import DbRestoreReport
    from resticwrap.model.snapshot import TierName


@click.command(epilog=epilog("rw db copy app_db app_db_test", "0 1 2 10 11 12 20 22 130"))
@common
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
@choosing
@click.option(
    "--force",
    is_flag=True,
    help="Though definitions or queries are not as expected, though what TO has cannot be backed up, or though the "
    "snapshot is not known to be complete.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be loaded where; change nothing.")
def copy(
    common: Common,
    source: str,
    to: str,
    snapshot: str,
    at: datetime | None,
    tier: "TierName | None",
    only: str | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Put what a snapshot of domain FROM holds over the database of domain TO, such as production over test.

    FROM's own server is not touched. TO is backed up first, and its old database is kept until `rw db accept`; `rw db
    undo` puts it back.
    """
    from resticwrap.report import text
    from resticwrap.services.choosing import Wish
    from resticwrap.services.databases import copying, restoring

    one_of(snapshot, at)

    def work(house: "House") -> "DbRestoreReport":
        if not dry_run:
            restoring.recover(house.context)
        wish = Wish((source,), snapshot=snapshot, at=at, tier=tier)
        return copying.copy(house.context, wish, to, only=only, force=force, dry_run=dry_run)

    run(common, work, text.db_restore, code, whole=True)
