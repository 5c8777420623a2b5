"""`rw status`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

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

    def render(console: "Console", report: "StatusReport") -> None:
        text.status(console, report, everything=bool(common.verbose))
        if svg is not None:
            from resticwrap.report.svg import status_svg

            svg.write_text(status_svg(report))

    run(common, lambda house: status(house.records, common.domains, house.clock.now()), render)
