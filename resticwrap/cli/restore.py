"""`rw restore`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.bucket import ThawSpeed
    from resticwrap.model.reports import RestoreReport
    from resticwrap.model.snapshot import TierName
    from resticwrap.model.thaw import ThawPlan


@click.command(
    epilog=epilog(
        "rw restore --domain student_profiles --to /tmp/back\n"
        "rw restore s_0042.json --domain student_profiles --at 2026-11-20T12:00\n"
        "rw restore --domain student_profiles --in-place\n"
        "rw restore --domain student_profiles --at 2026-06-01 --to /tmp/back --thaw",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not compare",
    )
)
@common
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--job", metavar="ID", help="What this backup job left, domain by domain.")
@click.option("--tier", type=click.Choice(["hot", "cold"]), help="[default: hot where it is there, else cold]")
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
@click.option("--thaw", is_flag=True, help="Ask for frozen packs to be thawed, and wait for them, without a question.")
@click.option("--yes", is_flag=True, help="The same as --thaw.")
@click.option(
    "--thaw-days",
    type=click.IntRange(1, 365),
    default=7,
    show_default=True,
    help="For how many days what is thawed stays readable.",
)
@click.option(
    "--thaw-speed",
    type=click.Choice(["expedited", "standard", "bulk"]),
    default="standard",
    show_default=True,
    help="How fast to thaw: faster is dearer.",
)
@click.option("--dry-run", is_flag=True, help="Show which snapshots would be restored where; write nothing.")
def command(
    common: Common,
    paths: tuple[str, ...],
    snapshot: str,
    at: datetime | None,
    job: str | None,
    tier: "TierName | None",
    to: Path | None,
    in_place: bool,
    undo: str | None,
    accept: str | None,
    force: bool,
    thaw: bool,
    yes: bool,
    thaw_days: int,
    thaw_speed: "ThawSpeed",
    dry_run: bool,
) -> None:
    """Bring back PATHs of a domain, whole domains, or everything, and compare every file with its content id.

    Into an empty folder by default. In place, what is live is backed up first, the new tree is restored beside it,
    compared, and exchanged for the old one, which is kept.

    Packs in a class that must be thawed are told of first. With --thaw, or where somebody at the terminal agrees,
    exactly those that are needed are asked for and waited for; after an interruption the same command goes on.
    """
    from resticwrap.report import text
    from resticwrap.services import restore as service
    from resticwrap.services import restoreplace
    from resticwrap.services.choosing import Wish
    from resticwrap.services.thaw import Thawing

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
        wish = Wish(common.domains, paths, snapshot, at, job, tier)
        how = Thawing(thaw_days, thaw_speed, lambda plan: thaw or yes or agreed(common, plan))
        if in_place:
            return (restoreplace.preview if dry_run else restoreplace.restore)(
                house.context, wish, force=force, how=how
            )
        place = (to or Path(f"restore-{house.clock.now():%Y%m%dT%H%M%SZ}")).absolute()
        return (service.preview if dry_run else service.restore)(house.context, wish, place, how)

    def code(report: "RestoreReport") -> int:
        return errors.OK if all(service.good(restored) for restored in report.domains) else errors.PARTIAL

    run(common, work, text.restore, code)


def agreed(common: Common, plan: "ThawPlan") -> bool:
    """Ask at the terminal, where there is one; nobody answers in a pipe."""
    if common.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from resticwrap.planning.thaw import sentences

    for said in sentences(plan):
        click.echo(said, err=True)
    return click.confirm("Ask for them and wait?", err=True)
