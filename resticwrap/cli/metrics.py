"""`rw metrics`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.bootstrap import House
    from resticwrap.model.metrics import MetricsReport


@click.command(
    epilog=epilog(
        "rw metrics\nrw metrics --textfile /var/lib/prometheus/node-exporter/resticwrap.prom",
        "0 1 2",
        code_1="records could not be read: resticwrap_up is 0, the rest is there",
    )
)
@common
@click.option("--textfile", type=click.Path(path_type=Path), metavar="FILE", help="Write them into this .prom file.")
@click.option("--dry-run", is_flag=True, help="With --textfile: say what would be written; write nothing.")
def command(common: Common, textfile: Path | None, dry_run: bool) -> None:
    """Metrics as Prometheus reads them: of the default target and of all that the schedule names, or of --target.

    Reads records alone; neither the target nor restic is asked. The scheduler answers the same at /metrics.
    """
    if dry_run and textfile is None:
        raise click.UsageError("--dry-run belongs to --textfile.")

    def work(house: "House") -> "MetricsReport":
        return collected(house, common.target, textfile, dry_run=dry_run)

    def render(console: "Console", report: "MetricsReport") -> None:
        show(console, report, dry_run=dry_run)

    run(common, work, render, lambda report: errors.FAILED if report.unknown else errors.OK, whole=True)


def collected(house: "House", target: str | None, textfile: Path | None, *, dry_run: bool) -> "MetricsReport":
    """The report; with a file it is written there. Raises UsageError, Failure."""
    import msgspec

    from resticwrap.metrics import exposition
    from resticwrap.metrics import textfile as files
    from resticwrap.planning.metrics import report as series
    from resticwrap.services.metrics import collect, targets_of

    if textfile is not None:
        files.check(textfile)
    targets = (house.target_name,) if target else targets_of(house.settings) or (house.target_name,)
    report = series(collect(house.watched(house.settings), targets, house.clock.now()))
    if textfile is None:
        return report
    if not dry_run:
        files.write(textfile, exposition.text(report))
    return msgspec.structs.replace(report, textfile=str(textfile))


def show(console: "Console", report: "MetricsReport", *, dry_run: bool) -> None:
    """The series as text; of a file what became of it. What is not known is said on stderr."""
    from resticwrap.metrics import exposition
    from resticwrap.report import metrics as screen

    if report.textfile:
        screen.written(console, report, dry_run=dry_run)
        return
    console.file.write(exposition.text(report).decode())
    for target, why in report.unknown.items():
        print(f"{target}: {why}", file=sys.stderr)
