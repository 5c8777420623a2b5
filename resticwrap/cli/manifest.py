"""`rw manifest`."""

import click

from resticwrap.cli.edge import put, run_lines, unless
from resticwrap.cli.options import Common, common, epilog


@click.group()
def group() -> None:
    """What backup jobs wrote."""


@group.command(
    short_help="Show a job's manifest and its object list.",
    epilog=epilog(
        "rw manifest show latest",
        "0 1 2 10 11 12 22 130",
    ),
)
@common
@click.argument("job")
@click.option("--no-objects", is_flag=True, help="Leave the object list out.")
def show(common: Common, job: str, no_objects: bool) -> None:
    """Show the manifest of JOB (latest: the newest), with its object list: path, size, content id, domain.

    The list is read from the snapshots' own trees. With --json, the manifest is the first line and each object a
    line of its own.
    """
    from resticwrap.report import text
    from resticwrap.services import manifest

    with run_lines(common) as house:
        found = manifest.load(house.context, manifest.resolve(house.context, job))
        rows = iter(()) if no_objects else unless(house, manifest.rows(house.context, found, common.domains))
        if common.json:
            put(found)
            for row in rows:
                put(row)
        else:
            text.manifest(text.console(), found, rows)
