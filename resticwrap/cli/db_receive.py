"""`rw db receive`."""

import click

from resticwrap.cli.edge import run_lines
from resticwrap.cli.options import Common, common, epilog


@click.command(
    epilog=epilog(
        "rw db receive app_db",
        "0 1 2 11 130",
        code_0="never: it goes on until it is stopped",
        code_11="another one receives it already",
    )
)
@common
@click.argument("domain_name", metavar="DOMAIN")
def receive(common: Common, domain_name: str) -> None:
    """Receive the log of a DOMAIN (mode: wal) without an end, as a service does. Backups need no receiver: each fetches
    what there is. With one, what was committed since the last backup is on this machine too."""
    from resticwrap.services.databases import moments

    with run_lines(common) as house:
        moments.archive_of(house.context, domain_name).receive()
