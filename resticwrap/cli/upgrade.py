"""`rw pre-upgrade` and `rw upgrade`."""

from typing import TYPE_CHECKING, Any

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House


@click.command(
    epilog=epilog(
        "rw pre-upgrade --reason release-4.2",
        "0 1 2 3 10 11 12 22 130",
        code_3="partial: not every domain was seen whole, so nothing is pinned",
    )
)
@common
@click.option("--reason", default="", metavar="TEXT", help="What it is taken for; whoever looks at the pin reads it.")
@click.option("--dry-run", is_flag=True, help="Show what would be backed up; write nothing.")
def pre_upgrade(common: Common, reason: str, dry_run: bool) -> None:
    """Back every domain up in full, pin that, and print the id of the job for the release ticket.

    The pin holds until `rw upgrade --release JOB` or `rw unpin` gives it up.
    """
    from resticwrap.report import text
    from resticwrap.report import upgrade as screen
    from resticwrap.services import backup, upgrade

    if dry_run:
        run(
            common,
            lambda house: backup.measure(
                house.context, backup.plan(house.context, "full", house.settings.select_domains(common.domains))
            ),
            text.plan,
            backup.plan_exit_code,
        )
    run(
        common,
        lambda house: upgrade.pre_upgrade(house.context, house.settings.select_domains(common.domains), reason),
        screen.pre_upgrade,
        upgrade.pre_upgrade_code,
    )


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog=epilog(
        "rw upgrade --target s3 -- ./release.sh 4.2\n"
        "rw upgrade --rollback -- docker compose up -d --wait\n"
        "rw upgrade --status",
        "0 1 2 10 11 12 20 21 22 130",
        code_1="the command failed, or something else did",
        code_20="the drill after the command failed",
        code_21="gate closed: the command was not run",
    ),
)
@common
@click.argument("words", nargs=-1, metavar="-- COMMAND [ARGS]...", type=click.UNPROCESSED)
@click.option("--reason", default="", metavar="TEXT", help="What it is done for; it stands in the pin.")
@click.option("--rollback", is_flag=True, help="Where command or drill fails, restore everything in place.")
@click.option("--force", is_flag=True, help="With --rollback: though rw cannot see who uses the live data.")
@click.option("--status", "status", is_flag=True, help="Show what upgrades left, and what to run.")
@click.option("--release", metavar="JOB", help="Give up the pin of an upgrade, or of a pre-upgrade.")
@click.option("--dry-run", is_flag=True, help="Show the steps, and what the gate says now; write nothing.")
def command(
    common: Common,
    words: tuple[str, ...],
    reason: str,
    rollback: bool,
    force: bool,
    status: bool,
    release: str | None,
    dry_run: bool,
) -> None:
    """Run a COMMAND that one can go back on.

    A full snapshot of every domain is pinned; the gate is asked, also for that snapshot; the command runs with your
    environment, its output passed through; a drill shows that the snapshot still comes back; then the pin is released.
    Where the gate is closed the command is not run. Where command or drill fails the pin stays.
    """
    from resticwrap.report import upgrade as screen
    from resticwrap.services import upgrade

    if sum((bool(words), status, release is not None)) != 1:
        raise click.UsageError("Give a command after --, or --status, or --release JOB.")
    if release == "":  # a script's empty variable
        raise click.UsageError("--release needs the id of a job.")
    if (status or release) and (rollback or force or reason or dry_run):
        raise click.UsageError("--status and --release go with no other option.")
    if force and not rollback:
        raise click.UsageError("--force belongs to --rollback.")
    if common.domains:
        raise click.UsageError("An upgrade works on every domain; rw pre-upgrade takes --domain.")
    if status:
        run(common, lambda house: upgrade.status(house.context), screen.status)
    if release is not None:
        run(common, lambda house: upgrade.release(house.context, release), screen.status)
    if dry_run:
        run(
            common,
            lambda house: upgrade.plan(house.context, words, rollback=rollback),
            screen.plan,
            lambda plan: errors.OK if plan.gate.open else errors.GATE_CLOSED,
        )

    def work(house: "House") -> Any:
        return upgrade.upgrade(
            house.context,
            words,
            house.commands(to_stderr=common.json),
            upgrade.sampled,
            reason=reason,
            rollback=rollback,
            force=force,
        )

    run(common, work, screen.upgrade, upgrade.exit_code)
