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
    from resticwrap.model.hosts import HostsReport
    from resticwrap.model.reports import StatusReport


@click.command(
    epilog=epilog(
        "rw status --svg status.svg\nrw status --all-hosts --verbose",
        "0 1 2",
    )
)
@common
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also draw it into this file.")
@click.option("--all-hosts", is_flag=True, help="All machines that share the catalogue; -v shows each domain.")
def command(common: Common, svg: Path | None, all_hosts: bool) -> None:
    """One screen: per domain the RPO lag against its objective, last verify, space and dedup ratio.

    Reads records alone; neither the target nor restic is asked.
    """
    if all_hosts:
        if svg is not None:
            raise click.UsageError("--svg draws one target, and not --all-hosts.")
        machines(common)
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


def machines(common: Common) -> None:
    """All machines of the catalogue; of one target, where one is named."""
    from resticwrap.report import hosts as screen
    from resticwrap.services.hosts import hosts

    def work(house: "House") -> "HostsReport":
        targets = [house.target_name] if common.target else []
        return hosts(house.catalog, targets, common.domains, house.clock.now())

    def render(console: "Console", report: "HostsReport") -> None:
        screen.hosts(console, report, everything=common.verbose)

    run(common, work, render)


def draw(report: "StatusReport", file: Path) -> None:
    """Draw the screen into a file. Raises Failure where it cannot be written."""
    from resticwrap.report.svg import status_svg

    try:
        file.write_text(status_svg(report))
    except OSError as error:
        raise errors.Failure(f"{file} cannot be written: {error.strerror}.", hint="Give another file.") from error
