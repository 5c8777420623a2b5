"""Databases: how a restore of one ended, and what there is."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.dbreports import DbListReport, DbRestoreReport, ListedDatabase, RestoredDatabase
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

WHAT = {
    "new": "Restore of a database",
    "replace": "Restore over a database",
    "copy": "Copy of a database",
    "undo": "Undo of a restore over a database",
    "accept": "Acceptance of a restore over a database",
    "folder": "Restore of a database server's data",
}


def db_restore(console: "Console", report: DbRestoreReport, *, zone: tzinfo | None = None) -> None:
    """By database: its name, and whether every table is what the dump held; then what was put aside."""
    with Page(console, zone) as page:
        if report.mode == "planned":
            page.say(("Dry run: ", STRONG), f"snapshot {page.id(report.snapshot)} of {report.source} would be loaded, "
                     f"at {report.place}. Nothing is changed.")  # fmt: skip
        else:
            headline(page, WHAT[report.mode], report.job)
        if report.databases:
            _restored(page, report)
        if report.mode not in ("planned", "undo", "accept"):
            page.say(
                f"From snapshot {page.id(report.snapshot)} of {report.source}, {page.moment(report.time)}, "
                f"into {report.place}."
            )
        for one in report.databases:
            _trouble(page, one)
        if report.mode == "accept":
            page.say(f"What {report.restored} had put aside is gone.")
        _kept(page, report)
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")


def _restored(page: Page, report: DbRestoreReport) -> None:
    planned = report.mode == "planned"
    columns = [
        Column("Database", least=10, cut="middle", style=NAME),
        Column("Would be" if planned else "Loaded as", least=12, cut="middle"),
        Column("Tables", right=True, rank=1),
        Column("Rows", right=True),
        *([] if planned else [Column("Compared")]),
    ]
    page.table(columns, [_row(one, planned) for one in report.databases])


def _row(one: RestoredDatabase, planned: bool) -> list[Part]:
    row: list[Part] = [one.database, one.name, fmt.count(one.tables), fmt.count(one.rows)]
    if planned:
        return row
    wrong = len(one.wrong) + len(one.unexpected) + (not one.definitions)
    return [*row, ("all the same", GOOD) if one.ok else (f"{wrong} wrong", BAD)]


def _trouble(page: Page, one: RestoredDatabase) -> None:
    if one.wrong:
        page.listing([(f"Not what the dump held, in {one.name}", BAD)], one.wrong)
    if not one.definitions:
        page.say((f"{one.name} is not defined as it was dumped", BAD), ", though its rows may be the same.")
    if one.unexpected:
        page.listing([(f"Not what the policy expects, of {one.name}", BAD)], one.unexpected)


def _kept(page: Page, report: DbRestoreReport) -> None:
    if not report.kept:
        return
    planned, undone = report.mode == "planned", report.mode == "undo"
    what = "What was restored is kept as" if undone else "What was live before is kept as"
    page.listing([("What is live would be kept as" if planned else what, STRONG)], [one.kept for one in report.kept])
    if not planned:
        _commands(page, [one.undo for one in report.kept], "puts it back")
        _commands(page, [one.command for one in report.kept], "drops it")


def _commands(page: Page, commands: Sequence[str], what: str) -> None:
    for command in dict.fromkeys(filter(None, commands)):
        page.say(f"{command}  {what}.", indent=2)


def db_list(console: "Console", report: DbListReport, *, zone: tzinfo | None = None) -> None:
    """Every domain with its server; then its databases, and what is kept of which restore."""
    with Page(console, zone) as page:
        if not report.rows:
            page.say("The policy names no database: docs/policies.md says how one is written down.")
        for row in report.rows:
            _listed(page, row)
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")


def _listed(page: Page, row: ListedDatabase) -> None:
    state = page.mark("failed", "does not answer") if row.error and not row.version else (row.version, GOOD)
    page.say((row.domain, NAME), f"  {row.engine} ", state, f"  {row.place}")
    if row.error:
        page.say((row.error, BAD), indent=2)
    for one in row.databases:
        size = "size not known" if one.size is None else fmt.size(one.size)
        page.say(f"{one.name}  {size}", indent=2)
    newest = f"{page.id(row.snapshot)}, {page.moment(row.time)}" if row.snapshot else "none"
    page.say((f"newest snapshot: {newest}", "" if row.snapshot else BAD), indent=2)
    if row.since or row.until:
        page.say(f"to any moment from {page.moment(row.since)} to {page.moment(row.until)}", indent=2)
    for kept in row.kept:
        page.say(f"kept: {kept.kept}, since {page.moment(kept.since)}", indent=2)
        if kept.undo:
            page.say(f"{kept.undo}  puts it back.", indent=4)
        page.say(f"{kept.command}  drops it.", indent=4)
    if row.hint and row.error:
        page.say((row.hint, FAINT), indent=2)
