"""`rw unlock`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw unlock --target s3",
        "0 1 2 10 11 12 22",
        code_11="a lock named with --id is not known to be dead",
    )
)
@common
@click.option("--id", "ids", metavar="LOCK", multiple=True, help="Only this lock; may be repeated.")
@click.option("--stale", is_flag=True, help="Also locks of others that were not renewed for 30 minutes.")
def command(common: Common, ids: tuple[str, ...], stale: bool) -> None:
    """Show the locks of a target's repositories and remove those whose holder is known to be gone.

    Nothing alive is ever unlocked.
    """
    from resticwrap.report import text
    from resticwrap.services.repositories import unlock

    run(common, lambda house: unlock(house.context, ids, stale=stale), text.locks, whole=True)
