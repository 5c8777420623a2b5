"""`rw forget`."""

from typing import TYPE_CHECKING, Any

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.reports import ForgetReport


@click.command(
    epilog=epilog(
        "rw forget --dry-run\nrw forget --tier cold",
        "0 1 2 3 10 11 12 20 22 130",
        code_1="failed; also: the clock cannot be right, or no catalogue",
        code_3="something that was to go is still there",
        code_20="a pin or the cold repository cannot be read",
        code_22="target unreachable, or it refuses to remove anything",
    )
)
@common
@click.option("--tier", type=click.Choice(["hot", "cold", "all"]), default="all", show_default=True)
@click.option("--dry-run", is_flag=True, help="Show the plan that a run would carry out; remove nothing.")
@click.option(
    "--looked",
    multiple=True,
    metavar="DOMAIN",
    help="Record that you looked at an unusual change of this domain, and remove nothing; may be repeated.",
)
@click.option(
    "--clock-is-right", is_flag=True, help="The clock of this machine is right, and a record of the future is wrong."
)
def command(common: Common, tier: str, dry_run: bool, looked: tuple[str, ...], clock_is_right: bool) -> None:
    """Remove snapshots that neither the policy nor a pin keeps, and say why of each.

    Nothing leaves hot that cold promises and does not have proven. The room comes back with the next prune.
    """
    from resticwrap.report import text
    from resticwrap.services import forget as service

    tiers: Any = ("hot", "cold") if tier == "all" else (tier,)
    if looked and (dry_run or tier != "all" or clock_is_right or common.domains):
        raise click.UsageError("--looked records a look and does nothing else.")

    def work(house: "House") -> "ForgetReport":
        if looked:
            return service.look(house.context, looked)
        act = service.preview if dry_run else service.forget
        return act(house.context, tiers, common.domains, clock_is_right=clock_is_right)

    run(common, work, text.forget, service.exit_code)
