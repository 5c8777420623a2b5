"""`rw catalog`."""

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog


@click.group()
def group() -> None:
    """The catalogue of jobs and snapshots."""


@group.command(
    epilog=epilog(
        "rw catalog rebuild --target oss",
        "0 1 2 3 10 11 12 22 130",
        code_3="something in the target could not be read; it is named",
    )
)
@common
def rebuild(common: Common) -> None:
    """Write the catalogue anew out of the target's repositories and manifests, also on a bare machine."""
    from resticwrap.report import text
    from resticwrap.services.rebuild import rebuild as service

    run(
        common,
        lambda house: service(house.context),
        text.rebuild,
        lambda report: errors.PARTIAL if report.skipped else errors.OK,
        whole=True,
    )
