"""`rw stats`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

TIERS = ("hot", "cold")


@click.command(
    epilog=epilog(
        "rw stats --tier hot --domain exam_uploads",
        "0 1 2 10 12 20 22 130",
        code_20="what is read is damaged: rw verify says how far",
    )
)
@common
@click.option("--tier", type=click.Choice(TIERS), help="Only this repository [default: both].")
def command(common: Common, tier: str | None) -> None:
    """What is stored: sizes, dedup and compression, growth by domain and day, and when a quota or the disk is full.

    Reads index and trees of the repositories, and the catalogue for the growth. Writes nothing.
    """
    from resticwrap.report import text
    from resticwrap.services.stats import stats

    tiers = (tier,) if tier else TIERS
    run(common, lambda house: stats(house.context, tiers, common.domains, house.clock.now()), text.stats)
