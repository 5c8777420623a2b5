"""`rw schedule install`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.outside import OutsideReport


def _name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    # cron passes over files with other characters in their names.
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", value):
        raise click.BadParameter("must be lower-case letters, digits, _ and -, a letter first.", ctx, param)
    return value


@click.command(
    epilog=epilog(
        "rw schedule install --systemd --dry-run\n"
        "rw schedule install --cron --env-file /etc/resticwrap/env\n"
        "rw schedule install --systemd --remove",
        "0 1 2 130",
        code_1="refused or failed; where it was refused, nothing was changed",
    )
)
@common
@click.option("--systemd", "keeper", flag_value="systemd", help="A service and a timer for each job.")
@click.option("--cron", "keeper", flag_value="cron", help="A file of /etc/cron.d with a line for each job.")
@click.option("--daemon", is_flag=True, help="With --systemd: one service that runs the scheduler.")
@click.option("--user", is_flag=True, help="For yourself alone: your own systemd, or your own crontab.")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="NAME='value' lines that jobs read, where secrets are [default: /etc/resticwrap/env, if it is there].",
)
@click.option("--name", default="resticwrap", metavar="NAME", callback=_name, show_default=True, help="Of our files.")
@click.option("--mailto", default="root", metavar="ADDRESS", show_default=True, help="Whom cron tells of failures.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the files there; start none.")
@click.option("--remove", is_flag=True, help="Take away what was installed, and nothing else.")
@click.option("--force", is_flag=True, help="Also over files that are not ours or were changed by hand.")
@click.option("--dry-run", is_flag=True, help="Show every file and what would change; write nothing.")
def install(
    common: Common,
    keeper: Any,
    daemon: bool,
    user: bool,
    env_file: Path | None,
    name: str,
    mailto: str,
    output: Path | None,
    remove: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Hand the jobs of the schedule to systemd or cron instead of the scheduler.

    Every enabled job becomes a timer or a line of its own, at the very times of schedule.yaml. Secrets stay in the
    files that they are in. After a change of the schedule the same command brings everything up to date.
    """
    from resticwrap.report.outside import outside as render
    from resticwrap.services import outside, outside_facts

    if keeper is None:
        raise click.UsageError("Say which: --systemd or --cron.")
    if daemon and keeper != "systemd":
        raise click.UsageError("--daemon goes with --systemd.")
    if not mailto.isprintable() or not mailto.strip():
        raise click.UsageError("--mailto must be an address.")
    if common.domains or common.target:
        raise click.UsageError("Jobs name their target and domains themselves: leave --target and --domain out.")
    wish = outside.Wish(
        keeper=keeper,
        name=name,
        user=user,
        daemon=daemon,
        output=output,
        mailto=mailto,
        force=force,
        dry_run=dry_run,
    )

    def work(house: "House") -> "OutsideReport":
        if remove:
            return outside.remove(house.settings, house.keepers, wish)
        facts = outside_facts.gather(house.settings, house.keepers, wish, house.binary, env_file)
        return outside.install(house.settings, house.keepers, wish, facts, house.clock.now())

    run(common, work, render)
