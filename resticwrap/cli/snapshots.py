"""`rw snapshots`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw snapshots --domain exam_uploads --json",
        "0 1 2 10 11 12 22",
    )
)
@common
@click.option("--tier", type=click.Choice(["hot", "cold", "all"]), default="all", show_default=True)
def command(common: Common, tier: str) -> None:
    """List the snapshots that the repositories of a target hold, oldest first."""
    from resticwrap.report import text
    from resticwrap.services import listing

    tiers = ["hot", "cold"] if tier == "all" else [tier]
    run(common, lambda house: listing.snapshots(house.context, tiers, common.domains), text.snapshots)
