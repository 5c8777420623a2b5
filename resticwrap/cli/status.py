"""`rw status`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from resticwrap import errors
from resticwrap.cli.edge import put, put_failure, run, run_lines
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.bootstrap import House
    from resticwrap.model.hosts import HostsReport
    from resticwrap.model.reports import StatusReport


@click.command(
    epilog=epilog(
        "rw status --svg status.svg\nrw status --watch --interval 5\nrw status --all-hosts --verbose",
        "0 1 2",
        code_0="ok; also where --watch was ended with Ctrl-C",
    )
)
@common
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Also draw it into this file.")
@click.option("--all-hosts", is_flag=True, help="All machines that share the catalogue; -v shows each domain.")
@click.option("--watch", is_flag=True, help="Go on looking until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 86400),
    metavar="SECONDS",
    default=2,
    show_default=True,
    help="Between two looks of --watch.",
)
def command(common: Common, svg: Path | None, all_hosts: bool, watch: bool, interval: float) -> None:
    """One screen: per domain the RPO lag against its objective, last verify, space and dedup ratio.

    Above it alerts and the jobs that run. Reads records alone; neither the target nor restic is asked. With --watch in
    a pipe, one plain screen after the other; with --json, one document a line.
    """
    if watch and (svg is not None or all_hosts):
        raise click.UsageError("--watch goes on with the screen of one target: not with --svg or --all-hosts.")
    if all_hosts:
        if svg is not None:
            raise click.UsageError("--svg draws one target, and not --all-hosts.")
        machines(common)
    if watch:
        look_on(common, interval)
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


def look_on(common: Common, interval: float) -> NoReturn:
    """Show one look after the other, for as long as nobody interrupts."""
    from resticwrap.report.console import console
    from resticwrap.report.watch import Screen
    from resticwrap.services.status import status
    from resticwrap.services.watching import looks

    with run_lines(common) as house:
        house.settings.select_domains(common.domains)

        def look() -> "StatusReport":
            return status(house.records, common.domains, house.clock.now())

        if common.json:
            for seen in looks(look, lambda: not house.cancel.wait(interval)):
                put(seen.report) if seen.failure is None else put_failure(seen.failure)
        else:
            with Screen(console()) as screen:
                for seen in looks(look, lambda: screen.wait(house.cancel, interval)):
                    screen.show(seen)
    sys.exit(errors.OK)


def draw(report: "StatusReport", file: Path) -> None:
    """Draw the screen into a file. Raises Failure where it cannot be written."""
    from resticwrap.report.svg import status_svg

    try:
        file.write_text(status_svg(report))
    except OSError as error:
        raise errors.Failure(f"{file} cannot be written: {error.strerror}.", hint="Give another file.") from error
