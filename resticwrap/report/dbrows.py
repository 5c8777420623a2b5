"""Rows of databases: what was found in a snapshot, and what was put back."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.dbrows import ExtractReport, PutBackReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline
from resticwrap.report.page import BAD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def extract(console: "Console", report: ExtractReport, *, zone: tzinfo | None = None) -> None:
    """How many rows there were, and where they are now."""
    with Page(console, zone) as page:
        if report.planned:
            page.say(("Dry run: ", STRONG), "nothing is loaded and nothing is written.")
        else:
            headline(page, "Rows", report.job)
        page.say(
            (report.table, NAME), f" of {report.database}, in snapshot {page.id(report.snapshot)} of {report.domain}, "
            f"taken {page.moment(report.time)}",
        )  # fmt: skip
        page.say(f"{fmt.size(report.read)} of the dump {'would be' if report.planned else 'were'} loaded.", indent=2)
        if report.rows is not None and report.size is not None:
            where = f", {fmt.size(report.size)}, in {report.out}" if report.out not in (None, "-") else ""
            page.say((fmt.plural(report.rows, "row"), STRONG), where, indent=2)
        if report.command:
            page.say(f"{report.command}  puts them back.", indent=2)
        for note in report.notes:
            page.say(note)


def put_back(console: "Console", report: PutBackReport, *, zone: tzinfo | None = None) -> None:
    """How many rows are in the table again, and what was in the way of the others."""
    result = report.result
    with Page(console, zone) as page:
        if report.planned:
            page.say(("Dry run: ", STRONG), "nothing is inserted.")
        else:
            headline(page, "Put back", report.job)
        page.say((report.table, NAME), f" of {report.database}, {report.place}")
        free = result.rows - result.same - result.conflict_count
        done = f"{free:,} would be inserted" if report.planned else f"{result.inserted:,} inserted"
        page.say((fmt.plural(result.rows, "row"), STRONG), f" in {report.file}: {done}", indent=2)
        if result.same:
            page.say(f"{result.same:,} {_are(result.same)} there already, unchanged", indent=2)
        if result.conflict_count:
            has = (
                "has a key that another row has now"
                if result.conflict_count == 1
                else "have keys that other rows have now"
            )
            title = f"{result.conflict_count:,} {has}"
            more = result.conflict_count - len(result.conflicts)
            page.listing(
                [(title, BAD if report.job.error or report.planned else POOR)], result.conflicts, indent=2, more=more
            )
        for note in report.notes:
            page.say(note)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
