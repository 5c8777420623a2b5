"""`rw db list`."""

from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbreports import DbListReport


@click.command(name="list", epilog=epilog("rw db list", "0 1 2 3 10 130", code_3="a server does not answer"))
@common
def listed(common: Common) -> None:
    """List the databases of the policy: where they are, whether they answer, the newest snapshot, what is kept."""
    from resticwrap.report import text
    from resticwrap.services.databases import listing, restoring

    def work(house: "House") -> "DbListReport":
        restoring.recover(house.context)
        return listing.listed(house.context, common.domains)

    run(common, work, text.db_list, code, whole=True)


def code(report: "DbListReport") -> int:
    """3 where a server does not answer."""
    return errors.PARTIAL if any(row.error for row in report.rows) else errors.OK
