"""`rw ls`."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import TIME, put, run_lines, unless
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.model.snapshot import TierName


@click.command(
    epilog=epilog(
        "rw ls --domain exam_uploads --snapshot latest exam_042",
        "0 1 2 10 11 12 22 130",
        code_1="failed, or no such path",
    )
)
@common
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--tier", type=click.Choice(["hot", "cold"]), help="[default: hot where it is there, else cold]")
def command(
    common: Common, paths: tuple[str, ...], snapshot: str, at: datetime | None, tier: "TierName | None"
) -> None:
    """List what a snapshot holds, with content ids. PATHs are relative to the domain's root.

    With --json, one line of JSON for each object.
    """
    from resticwrap.report import text
    from resticwrap.services import listing
    from resticwrap.services.choosing import Wish

    with run_lines(common) as house:
        for found in listing.ls(house.context, Wish(common.domains, paths, snapshot, at, tier=tier)):
            if common.json:
                for entry in unless(house, found.entries):
                    put(listing.row(entry, found))
            else:
                if len(common.domains) != 1:
                    click.echo(f"{found.domain} {found.snapshot}")
                text.ls(text.console(), unless(house, found.entries), found.chunker)
