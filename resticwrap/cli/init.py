"""`rw init`."""

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw init --target local",
        "0 1 2 10 12 22",
    )
)
@common
def command(common: Common) -> None:
    """Make a target's hot and cold repository, or adopt what is there, and pin their ids.

    Without a configured password a strong one is generated. Without it nobody, you included, reads the backups again.
    """
    from resticwrap.report import text
    from resticwrap.services.repositories import init

    run(common, lambda house: init(house.context, house.password.ensure), text.init)
