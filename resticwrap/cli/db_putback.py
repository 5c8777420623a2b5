"""`rw db put-back`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbrows import PutBackReport


@click.command(
    "put-back",
    epilog=epilog(
        "rw db put-back app_db agent_cards --from deleted.csv --dry-run\n"
        "rw db put-back app_db agent_cards --from deleted.csv",
        "0 1 2 3 11 130",
        code_1="failed, or keys are taken: nothing was put back",
        code_3="the server took fewer rows than it was given",
    ),
)
@common
@click.argument("domain_name", metavar="DOMAIN")
@click.argument("table", metavar="TABLE")
@click.option(
    "--from", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", required=True,
    help="The rows, as rw db extract wrote them.",
)  # fmt: skip
@click.option("--database", metavar="NAME", help="Which database, where the domain has several.")
@click.option("--skip-conflicts", is_flag=True, help="Leave out rows whose keys are taken, and put back the others.")
@click.option("--dry-run", is_flag=True, help="Look what is in the way; insert nothing.")
def put_back(
    common: Common,
    domain_name: str,
    table: str,
    file: Path,
    database: str | None,
    skip_conflicts: bool,
    dry_run: bool,
) -> None:
    """Insert rows of a file into a TABLE of a DOMAIN's live database, in one transaction: all of them or none.

    Rows that are there already, the same in every column, are left out. Where another row has the key of one, nothing
    is inserted and all such are listed. Triggers run as they do for any row.
    """
    from resticwrap.report import dbrows
    from resticwrap.services.databases import puttingback

    if database == "":
        raise click.UsageError("--database needs a name.")

    def work(house: "House") -> "PutBackReport":
        rows = puttingback.Rows(domain_name, table, file, database)
        return puttingback.put_back(house.context, rows, skip_conflicts=skip_conflicts, dry_run=dry_run)

    run(common, work, dbrows.put_back, lambda report: code(report, skip_conflicts), whole=True)


def code(report: "PutBackReport", skip_conflicts: bool) -> int:
    """1 where keys are taken, 3 where not every row was taken."""
    if report.planned:
        return errors.FAILED if report.result.conflict_count and not skip_conflicts else errors.OK
    return {"ok": errors.OK, "partial": errors.PARTIAL}.get(report.job.outcome, errors.FAILED)
