"""`rw restore`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.reports import RestoreReport


@click.command(
    epilog=epilog(
        "rw restore --domain student_profiles --to /tmp/back\n"
        "rw restore s_0042.json --domain student_profiles --at 2026-11-20T12:00\n"
        "rw restore --domain student_profiles --in-place",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not compare",
    )
)
@common
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--job", metavar="ID", help="What this backup job left, domain by domain.")
@click.option("--tier", type=click.Choice(["hot", "cold"]), default="hot", show_default=True)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FOLDER", help="An empty or new folder [default: ./restore-TIME]."
)
@click.option("--in-place", is_flag=True, help="Put it where the live data is; the old is kept until --accept.")
@click.option("--undo", metavar="JOB", help="Exchange an in-place restore back.")
@click.option("--accept", metavar="JOB", help="Remove what an in-place restore kept.")
@click.option(
    "--force",
    is_flag=True,
    help="In place: though rw cannot see who uses the place, or though the snapshot is not known to be complete. "
    "--accept: though no snapshot has all that is removed.",
)
@click.option("--dry-run", is_flag=True, help="Show which snapshots would be restored where; write nothing.")
def command(
    common: Common,
    paths: tuple[str, ...],
    snapshot: str,
    at: datetime | None,
    job: str | None,
    tier: str,
    to: Path | None,
    in_place: bool,
    undo: str | None,
    accept: str | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Bring back PATHs of a domain, whole domains, or everything, and compare every file with its content id.

    Into an empty folder by default. In place, what is live is backed up first, the new tree is restored beside it,
    compared, and exchanged for the old one, which is kept.
    """
    from resticwrap.report import text
    from resticwrap.services import restore as service
    from resticwrap.services import restoreplace

    for option, value in (("--undo", undo), ("--accept", accept), ("--job", job), ("--snapshot", snapshot)):
        if value == "":  # a script's empty variable: not the same as an option that is not given
            raise click.UsageError(f"{option} needs an id.")
    if sum(bool(option) for option in (to, in_place, undo, accept)) > 1:
        raise click.UsageError("--to, --in-place, --undo and --accept exclude each other.")
    if dry_run and (undo or accept):
        raise click.UsageError("--dry-run does not go with --undo or --accept.")
    if force and not (in_place or undo or accept):
        raise click.UsageError("--force belongs to --in-place, --undo or --accept.")
    if (snapshot != "latest") + (at is not None) + (job is not None) > 1:
        raise click.UsageError("--snapshot, --at and --job exclude each other.")

    def work(house: "House") -> "RestoreReport":
        if not dry_run:
            restoreplace.recover(house.context)
        if undo:
            return restoreplace.undo(house.context, undo, force=force)
        if accept:
            return restoreplace.accept(house.context, accept, force=force)
        wish = service.Wish(common.domains, paths, snapshot, at, job, tier)
        if in_place:
            return (restoreplace.preview if dry_run else restoreplace.restore)(house.context, wish, force=force)
        place = (to or Path(f"restore-{house.clock.now():%Y%m%dT%H%M%SZ}")).absolute()
        return (service.preview if dry_run else service.restore)(house.context, wish, place)

    def code(report: "RestoreReport") -> int:
        return errors.OK if all(service.good(restored) for restored in report.domains) else errors.PARTIAL

    run(common, work, text.restore, code)
