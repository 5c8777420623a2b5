"""`rw tier`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.group()
def group() -> None:
    """What cold promises: copied out of hot, proven, marked and labelled."""


@group.command(epilog=epilog("rw tier plan --target s3", "0 1 2 10 12 22 130"))
@common
def plan(common: Common) -> None:
    """Show what would be copied to cold, and how many snapshots each tier holds."""
    from resticwrap.report import text
    from resticwrap.services import tiering

    run(common, lambda house: tiering.plan(house.context, common.domains), text.tier_plan)


@group.command(
    "run",
    epilog=epilog(
        "rw tier run\nrw tier run --dry-run",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="only a part could be proven",
        code_20="something of a copy is damaged",
    ),
)
@common
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option("--relabel", is_flag=True, help="Set every label again: somebody may have taken some away.")
def run_tier(common: Common, dry_run: bool, relabel: bool) -> None:
    """Copy to cold what it promises, read it back, compare, mark it tier=cold, label its packs.

    Only then may hot forget it. A run that is killed goes on the next time.
    """
    from resticwrap.report import text
    from resticwrap.services import tiering

    if dry_run:
        run(common, lambda house: tiering.plan(house.context, common.domains), text.tier_plan)
    run(
        common,
        lambda house: tiering.run(house.context, tiering.plan(house.context, common.domains), relabel=relabel),
        text.tier,
        tiering.exit_code,
    )
