"""`rw status`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.bootstrap import House
    from resticwrap.model.reports import StatusReport


@click.command(
    epilog=epilog(
        "rw status --svg status.svg",
        "0 1 2",
    )
)
@common
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also draw it into this file.")
def command(common: Common, svg: Path | None) -> None:
    """One screen: per domain the RPO lag against its objective, last verify, space and dedup ratio.

    Reads records alone; neither the target nor restic is asked.
    """
    from resticwrap.report import text
    from resticwrap.services.status import status

    def work(house: "House") -> "StatusReport":
        report = status(house.records, common.domains, house.clock.now())
        if svg is not None:
            draw(report, svg)
        return report

    def render(console: "Console", report: "StatusReport") -> None:
        text.status(console, report, everything=bool(common.verbose))

    run(common, work, render)


def draw(report: "StatusReport", file: Path) -> None:
    """Draw the screen into a file. Raises Failure where it cannot be written."""
    from resticwrap.report.svg import status_svg

    try:
        file.write_text(status_svg(report))
    except OSError as error:
        raise errors.Failure(f"{file} cannot be written: {error.strerror}.", hint="Give another file.") from error
