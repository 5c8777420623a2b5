"""`rw db restore`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.dbreports import DbRestoreReport
    from resticwrap.model.snapshot import TierName

F = TypeVar("F", bound=Callable[..., Any])


def choosing(function: F) -> F:
    """Which snapshot, and what of it."""
    for option in reversed(
        (
            click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest."),
            click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time."),
            click.option(
                "--tier", type=click.Choice(["hot", "cold"]), help="[default: hot where it is there, else cold]"
            ),
            click.option("--only", metavar="DATABASE", help="Only this one, where a snapshot has several."),
        )
    ):
        function = option(function)
    return function


def one_of(snapshot: str, at: datetime | None, job: str | None = None) -> None:
    """Raises UsageError where several options say which snapshot."""
    if sum((snapshot != "latest", at is not None, job is not None)) > 1:
        raise click.UsageError("--snapshot, --at and --job exclude each other.")
    if not snapshot:
        raise click.UsageError("--snapshot needs an id.")


@click.command(
    epilog=epilog(
        "rw db restore app_db\nrw db restore app_db --at 2026-11-20T12:00 --into test\nrw db restore app_db --replace",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not compare, and is there to be looked into",
        code_20="something did not compare, so nothing was replaced",
    )
)
@common
@click.argument("domain_name", metavar="DOMAIN")
@choosing
@click.option("--job", metavar="ID", help="What this backup job left.")
@click.option("--into", metavar="NAME", help="The name of the new database [default: one of its own].")
@click.option("--replace", is_flag=True, help="Over the live one (or over NAME), which is kept until `rw db accept`.")
@click.option(
    "--force",
    is_flag=True,
    help="With --replace: though definitions or queries are not as expected, though what is live cannot be backed up, "
    "or though the snapshot is not known to be complete.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, resolve_path=True),
    metavar="FOLDER",
    help="The data of the whole server into this new folder, where its log is kept (mode: wal).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be loaded where; change nothing.")
def restore(
    common: Common,
    domain_name: str,
    snapshot: str,
    at: datetime | None,
    job: str | None,
    tier: "TierName | None",
    only: str | None,
    into: str | None,
    replace: bool,
    force: bool,
    to: "Path | None",
    dry_run: bool,
) -> None:
    """Load a DOMAIN's database out of a snapshot into a new one, and compare every table with what the dump held.

    With --replace what is live is backed up first; the dump is loaded beside it, compared, and asked the policy's
    queries; then the two exchange their names. Whoever is connected is disconnected for a moment. The old one is kept.
    """
    from resticwrap.report import text
    from resticwrap.services.choosing import Wish
    from resticwrap.services.databases import clusters, restoring

    one_of(snapshot, at, job)
    if into == "":
        raise click.UsageError("--into needs a name.")
    if force and not replace:
        raise click.UsageError("--force belongs to --replace.")
    if to is not None and (into or replace or only or dry_run):
        raise click.UsageError("--to takes the whole server; --into, --replace, --only and --dry-run are of databases.")

    def work(house: "House") -> "DbRestoreReport":
        wish = Wish((domain_name,), snapshot=snapshot, at=at, job=job, tier=tier)
        if to is not None:
            return clusters.restore(house.context, wish, to)
        goal = restoring.Into(into, over=replace, only=only)
        if dry_run:
            return restoring.preview(house.context, wish, goal, force=force)
        restoring.recover(house.context)
        return restoring.restore(house.context, wish, goal, force=force)

    run(common, work, text.db_restore, code, whole=True)


def code(report: "DbRestoreReport") -> int:
    """3 where something did not compare."""
    return errors.OK if all(one.ok for one in report.databases) else errors.PARTIAL
