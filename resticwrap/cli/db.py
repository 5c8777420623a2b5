"""`rw db`: databases out of snapshots, into servers and back."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbreports import DbRestoreReport


@click.group()
def group() -> None:
    """Databases: restore one beside or over the live one, take rows out of a snapshot and put them back, copy."""


@group.command(
    epilog=epilog(
        "rw db restore app_db\nrw db restore app_db --at 2026-11-20T12:00 --into test",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not compare",
    )
)
@common
@click.argument("domain_name", metavar="DOMAIN")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--into", metavar="NAME", help="The name of the new database [default: one of its own].")
def restore(common: Common, domain_name: str, snapshot: str, at: datetime | None, into: str | None) -> None:
    """Load a DOMAIN's database out of a snapshot into a new one, and compare every table with what the dump held."""
    from resticwrap.report import text
    from resticwrap.services.choosing import Wish
    from resticwrap.services.databases import restoring

    if snapshot != "latest" and at is not None:
        raise click.UsageError("--snapshot and --at exclude each other.")
    if into == "":
        raise click.UsageError("--into needs a name.")

    def work(house: "House") -> "DbRestoreReport":
        wish = Wish((domain_name,), snapshot=snapshot, at=at)
        return restoring.restore(house.context, wish, restoring.Into(into))

    run(common, work, text.db_restore, code, whole=True)


def code(report: "DbRestoreReport") -> int:
    """3 where something did not compare."""
    return errors.OK if all(one.ok for one in report.databases) else errors.PARTIAL
