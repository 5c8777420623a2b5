"""`rw recover-deleted`."""

from datetime import UTC, datetime

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

TIERS = {"hot": ("hot",), "cold": ("cold",), "both": ("hot", "cold")}


@click.command(
    epilog=epilog(
        "rw recover-deleted --at 2026-11-27T23:00 --dry-run",
        "0 1 2 11 12 20 22 130",
        code_20="brought back, but something is still missing",
    )
)
@common
@click.option("--at", type=TIME, required=True, metavar="TIME", help="How it stood then, such as 2026-11-27T23:00.")
@click.option(
    "--tier", type=click.Choice(list(TIERS)), default="both", show_default=True, help="Which of the repositories."
)
@click.option("--dry-run", is_flag=True, help="Show what would be brought back; write nothing.")
def command(common: Common, at: datetime, tier: str, dry_run: bool) -> None:
    """Bring repositories and manifests back to how they stood at a time, where the bucket keeps versions.

    For when somebody deleted or overwrote objects. What was added since stays, and nothing is destroyed. Needs a key
    that may list and read versions and remove delete markers.
    """
    from resticwrap.report import text
    from resticwrap.services import recover

    time, tiers = at.astimezone(UTC), TIERS[tier]
    if dry_run:
        run(
            common,
            lambda house: recover.plan(house.context, tiers, time, house.clock.now()).shown,
            text.recover_plan,
            whole=True,
        )
    run(
        common,
        lambda house: recover.recover(house.context, tiers, time),
        text.recover,
        lambda report: errors.OK if report.job.outcome == "ok" else errors.VERIFY_FAILED,
        whole=True,
    )
