"""`rw restore`."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, Fallback, common, epilog
from resticwrap.cli.system import command as system_command

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.bucket import ThawSpeed
    from resticwrap.model.reports import RestoreReport
    from resticwrap.model.snapshot import TierName
    from resticwrap.model.thaw import ThawPlan
    from resticwrap.services.thaw import Thawing


F = TypeVar("F", bound=Callable[..., Any])


def thawing(function: F) -> F:
    """How what is frozen is asked for."""
    for option in reversed(
        (
            click.option(
                "--thaw", is_flag=True, help="Ask for frozen packs to be thawed, and wait for them, without a question."
            ),
            click.option("--yes", is_flag=True, help="The same as --thaw."),
            click.option(
                "--thaw-days",
                type=click.IntRange(1, 365),
                default=7,
                show_default=True,
                help="For how many days what is thawed stays readable.",
            ),
            click.option(
                "--thaw-speed",
                type=click.Choice(["expedited", "standard", "bulk"]),
                default="standard",
                show_default=True,
                help="How fast to thaw: faster is dearer.",
            ),
        )
    ):
        function = option(function)
    return function


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
@thawing
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

    `rw restore object` takes keys instead of paths, `rw restore window` every domain as it stood at a time. A path of
    such a name is given as ./object.

    Into an empty folder by default. In place, what is live is backed up first, the new tree is restored beside it,
    compared, and exchanged for the old one, which is kept.

    Packs in a class that must be thawed are told of first. With --thaw, or where somebody at the terminal agrees,
    exactly those that are needed are asked for and waited for; after an interruption the same command goes on.
    """
    from resticwrap.report import text
    from resticwrap.services import restore as service
    from resticwrap.services import restoreplace
    from resticwrap.services.choosing import Wish

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
        how = asked_thaw(common, thaw=thaw, yes=yes, thaw_days=thaw_days, thaw_speed=thaw_speed)
        if in_place:
            return (restoreplace.preview if dry_run else restoreplace.restore)(
                house.context, wish, force=force, how=how
            )
        return (service.preview if dry_run else service.restore)(house.context, wish, place_of(house, to), how)

    run(common, work, text.restore, code)


def code(report: "RestoreReport") -> int:
    """3 where something did not compare."""
    from resticwrap.services.restore import good

    return errors.OK if all(good(restored) for restored in report.domains) else errors.PARTIAL


group = Fallback(command)
group.add_command(system_command)


@group.command(
    name="object",
    epilog=epilog(
        "rw restore object exams exam_042 --to /tmp/back\n"
        "rw restore object student_profiles s_0042 --at 2026-11-20T12:00 --in-place",
        "0 1 2 3 10 11 12 20 22 130",
        code_2="usage or policy error, or a key that may mean several objects",
        code_3="something did not compare",
    ),
)
@common
@click.argument("domain_name", metavar="DOMAIN")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--snapshot", default="latest", show_default=True, help="Id (or its beginning), or latest.")
@click.option("--at", type=TIME, metavar="TIME", help="As things stood at this time.")
@click.option("--tier", type=click.Choice(["hot", "cold"]), help="[default: hot where it is there, else cold]")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FOLDER", help="An empty or new folder [default: ./restore-TIME]."
)
@click.option("--in-place", is_flag=True, help="Put it where the live data is; all other objects stay untouched.")
@click.option(
    "--force",
    is_flag=True,
    help="In place: though rw cannot see who uses the place, or though the snapshot is not known to be complete.",
)
@thawing
@click.option("--dry-run", is_flag=True, help="Show what would be restored where; write nothing.")
def one(
    common: Common,
    domain_name: str,
    keys: tuple[str, ...],
    snapshot: str,
    at: datetime | None,
    tier: "TierName | None",
    to: Path | None,
    in_place: bool,
    force: bool,
    dry_run: bool,
    **thaw: Any,
) -> None:
    """Bring single objects of a DOMAIN back by their KEYs, and compare each with its content id.

    Where an object lies the domain's `object` pattern says, such as `{key}.json`. Without one it is the file or folder
    whose last name is the key, with or without extension; where several are, they are listed and nothing is restored.
    In place, only these objects are exchanged; what is next to them is not touched.
    """
    from resticwrap.services import restore as service
    from resticwrap.services import restoreplace
    from resticwrap.services.choosing import Wish
    from resticwrap.services.objects import wish_of_keys

    if to and in_place:
        raise click.UsageError("--to and --in-place exclude each other.")
    if not snapshot:
        raise click.UsageError("--snapshot needs an id.")
    if snapshot != "latest" and at is not None:
        raise click.UsageError("--snapshot and --at exclude each other.")
    if force and not in_place:
        raise click.UsageError("--force belongs to --in-place.")

    def work(house: "House") -> "RestoreReport":
        if not dry_run:
            restoreplace.recover(house.context)
        asked = Wish((domain_name,), snapshot=snapshot, at=at, tier=tier)
        wish = wish_of_keys(house.context, domain_name, keys, asked)
        how = asked_thaw(common, **thaw)
        if in_place:
            return (restoreplace.preview if dry_run else restoreplace.restore)(
                house.context, wish, force=force, how=how
            )
        return (service.preview if dry_run else service.restore)(house.context, wish, place_of(house, to), how)

    from resticwrap.report import text

    run(common, work, text.restore, code, whole=True)


@group.command(
    epilog=epilog(
        "rw restore window --at 2026-11-20T12:00 --to /tmp/back",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not compare",
    ),
)
@common
@click.option("--at", type=TIME, metavar="TIME", required=True, help="As things stood at this time.")
@click.option("--tier", type=click.Choice(["hot", "cold"]), help="[default: hot where it is there, else cold]")
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="An empty or new folder.")
@thawing
@click.option("--dry-run", is_flag=True, help="Show what would be restored; write nothing.")
def window(common: Common, at: datetime, tier: "TierName | None", to: Path, dry_run: bool, **thaw: Any) -> None:
    """Bring every domain back as it stood at a time, consistent across domains.

    The snapshots of one job, where one has complete looks of all of them at or before the time; else the newest of each
    at or before it, with the seconds that lie between them.
    """
    from resticwrap.report import text
    from resticwrap.services import restore as service
    from resticwrap.services.objects import wish_of_time

    def work(house: "House") -> "RestoreReport":
        wish = wish_of_time(house.context, common.domains, at, tier)
        how = asked_thaw(common, **thaw)
        return (service.preview if dry_run else service.restore)(house.context, wish, to.absolute(), how)

    run(common, work, text.restore, code)


def asked_thaw(common: Common, *, thaw: bool, yes: bool, thaw_days: int, thaw_speed: "ThawSpeed") -> "Thawing":
    """How the options of `thawing` say that frozen packs are asked for."""
    from resticwrap.services.thaw import Thawing

    return Thawing(thaw_days, thaw_speed, lambda plan: thaw or yes or agreed(common, plan))


def place_of(house: "House", to: Path | None) -> Path:
    """Where a restore beside goes."""
    return (to or Path(f"restore-{house.clock.now():%Y%m%dT%H%M%SZ}")).absolute()


def agreed(common: Common, plan: "ThawPlan") -> bool:
    """Ask at the terminal, where there is one; nobody answers in a pipe."""
    if common.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from resticwrap.planning.thaw import sentences

    for said in sentences(plan):
        click.echo(said, err=True)
    return click.confirm("Ask for them and wait?", err=True)
