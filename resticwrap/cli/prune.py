"""`rw prune`."""

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

TIERS = ("hot", "cold")


@click.command(
    epilog=epilog(
        "rw prune --tier cold --dry-run",
        "0 1 2 3 10 11 12 20 21 22 130",
        code_2="usage or policy error, or outside the window",
        code_3="ended by its deadline; the next one goes on",
        code_20="the index names packs that are not there",
        code_21="gate closed: damage that a verify found is open",
    )
)
@common
@click.option("--tier", type=click.Choice(TIERS), help="Only this repository [default: both].")
@click.option("--now", "at_once", is_flag=True, help="Whatever the hour: do not look at the window of the policy.")
@click.option("--dry-run", is_flag=True, help="Show the plan and what restic would do; remove nothing.")
def command(common: Common, tier: str | None, at_once: bool, dry_run: bool) -> None:
    """Clean out what no snapshot needs any more, in the quiet hours of tiers.yaml and until the deadline.

    It removes no snapshot: that is `rw forget`. Where packs lie in a cold class, or will, none of them is repacked.
    """
    from resticwrap.report import text
    from resticwrap.services import prune

    tiers = (tier,) if tier else TIERS
    if dry_run:
        run(
            common,
            lambda house: prune.dry_run(house.context, tiers, house.clock.now(), at_once=at_once),
            text.prune_plan,
            whole=True,
        )
    run(
        common,
        lambda house: prune.prune(house.context, tiers, at_once=at_once),
        text.prune,
        lambda report: _code(report.job.outcome, report.job.error.exit_code if report.job.error else errors.FAILED),
        whole=True,
    )


def _code(outcome: str, failed: int) -> int:
    return {"ok": errors.OK, "partial": errors.PARTIAL}.get(outcome, failed)
