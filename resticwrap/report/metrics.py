"""What `rw metrics --textfile` says."""

from typing import TYPE_CHECKING

from resticwrap.model.metrics import MetricsReport
from resticwrap.report.format import plural
from resticwrap.report.page import STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def written(console: "Console", report: MetricsReport, *, dry_run: bool = False) -> None:
    """What was, or would be, written; and of which targets the records could not be read."""
    count = sum(len(family.metrics) for family in report.families)
    with Page(console, None) as page:
        said = "Would write" if dry_run else "Wrote"
        page.say(f"{said} {plural(count, 'value')} of {', '.join(report.targets)} into {report.textfile}.")
        for target, why in report.unknown.items():
            page.say(("warning: ", STRONG), f"{target}: {why}")
