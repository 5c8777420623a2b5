"""`rw repair`."""

import sys
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.repair import RepairReport


@click.command(
    epilog=epilog(
        "rw repair --dry-run\nrw repair --target s3 --tier hot --yes",
        "0 1 2 10 11 12 20 22 130",
        code_20="something is not healed, or lost; it is named",
    )
)
@common
@click.option("--tier", type=click.Choice(["hot", "cold"]), default="hot", show_default=True)
@click.option("--full", is_flag=True, help="Read every pack back first, and not only those that are suspected.")
@click.option(
    "--allow-loss", is_flag=True, help="At the end cut what is really lost out of the snapshots that need it."
)
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--dry-run", is_flag=True, help="Show the plan; write nothing.")
def command(common: Common, tier: str, full: bool, allow_loss: bool, yes: bool, dry_run: bool) -> None:
    """Repair a damaged repository by what is known to help, in order, and compare what was affected.

    Older versions and the cache first, then what can be saved of broken packs, the index, the other tier, the live
    source. Nothing is cut out of a snapshot without --allow-loss. Some steps need credentials that may delete.
    """
    from resticwrap.report import text
    from resticwrap.services import repair

    if dry_run:
        run(
            common,
            lambda house: repair.plan(house.context, tier, full=full, allow_loss=allow_loss),
            text.repair_plan,
            whole=True,
        )

    def work(house: "House") -> "RepairReport":
        if not yes and sys.stdin.isatty() and sys.stdout.isatty():
            from resticwrap.report.console import console

            text.repair_plan(console(stderr=True), repair.plan(house.context, tier, full=full, allow_loss=allow_loss))
            if not click.confirm("Do this?", err=True):
                raise errors.Failure("Nothing was changed.", hint="--yes does not ask.")
        return repair.repair(house.context, tier, full=full, allow_loss=allow_loss)

    run(common, work, text.repair, lambda report: errors.OK if report.ok else errors.VERIFY_FAILED, whole=True)
