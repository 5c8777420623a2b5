"""`rw db extract`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import TIME, built, guarded, run, signals
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbrows import ExtractReport


@click.command(
    epilog=epilog(
        "rw db extract app_db agent_cards --where \"name='X'\" --out deleted.csv\n"
        "rw db extract app_db agent_cards --at 2026-11-20T12:00 --count\n"
        'rw db extract app_db notes --with cards --where "$condition" --out -',
        "0 1 2 3 10 11 12 20 22 130",
    )
)
@common
@click.argument("domain_name", metavar="DOMAIN")
@click.argument("table", metavar="TABLE")
@click.option("--where", metavar="SQL", help="Only rows for which this is true [default: all].")
@click.option("--with", "beside", multiple=True, metavar="TABLE", help="Load this one too: --where asks it.")
@click.option("--out", metavar="FILE", help="A new file for the rows, as CSV; - is standard output.")
@click.option("--count", is_flag=True, help="Say how many there are; write none.")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--database", metavar="NAME", help="Which database, where the domain has several.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the rows are loaded to be asked [default: in the state directory].",
)
@click.option("--force", is_flag=True, help="Write over the file.")
@click.option("--dry-run", is_flag=True, help="Look what would be loaded; load and write nothing.")
def extract(
    common: Common,
    domain_name: str,
    table: str,
    where: str | None,
    beside: tuple[str, ...],
    out: str | None,
    count: bool,
    snapshot: str,
    at: datetime | None,
    database: str | None,
    scratch: Path | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Take rows of a TABLE out of a DOMAIN's snapshot, without touching production.

    The definitions and the rows of that table are loaded into a server that is made for it and thrown away. The rows go
    into a CSV file that rw db put-back takes: NULL is an empty field, an empty text is "".
    """
    from resticwrap.report import dbrows
    from resticwrap.services.choosing import Wish
    from resticwrap.services.databases import extracting

    if snapshot != "latest" and at is not None:
        raise click.UsageError("--snapshot and --at exclude each other.")
    if "" in (out, where, database, *beside):
        raise click.UsageError("An option is empty.")
    if (out is None) == (not count):
        raise click.UsageError("Give either --out or --count.")
    if out == "-" and common.json:
        raise click.UsageError("Rows and a document would mix: with --json give a file.")
    question = extracting.Question(table, where, beside, database)
    place = extracting.Out(
        file=Path(out) if out not in (None, "-") else None, write=_write if out == "-" else None, force=force
    )

    def work(house: "House") -> "ExtractReport":
        wish = Wish((domain_name,), snapshot=snapshot, at=at)
        return extracting.extract(house.context, wish, question, place, scratch=scratch, dry_run=dry_run)

    if out != "-":
        run(common, work, dbrows.extract, whole=True)
    with guarded(common):
        with built(common) as house, signals(house.cancel):
            report = work(house)
        if not common.quiet:
            from resticwrap.report.console import console

            dbrows.extract(console(stderr=True), report)


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
