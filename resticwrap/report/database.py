"""Databases: how a restore of one ended."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.dbreports import DbRestoreReport, RestoredDatabase
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, GOOD, Page

if TYPE_CHECKING:
    from rich.console import Console


def db_restore(console: "Console", report: DbRestoreReport, *, zone: tzinfo | None = None) -> None:
    """By database: the name it was loaded under, and whether every table is what the dump held."""
    with Page(console, zone) as page:
        headline(page, "Restore of a database", report.job)
        columns = [
            Column("database"),
            Column("loaded as"),
            Column("tables", True),
            Column("rows", True),
            Column("compared"),
        ]
        page.table(columns, [_row(one) for one in report.databases])
        for one in report.databases:
            if one.wrong:
                page.listing([(f"Not what the dump held, in {one.name}", BAD)], one.wrong)
        for note in report.notes:
            page.say(note)


def _row(one: RestoredDatabase) -> list[Part]:
    verdict: Part = ("all the same", GOOD) if one.ok else (f"{len(one.wrong)} wrong", BAD)
    return [one.database, one.name, fmt.count(one.tables), fmt.count(one.rows), verdict]
