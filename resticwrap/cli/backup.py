"""`rw backup`."""

from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.reports import BackupPlan, BackupReport


@click.command(
    epilog=epilog(
        "rw backup --target s3 --domain exam_uploads",
        "0 1 2 3 10 11 12 22 130",
    )
)
@common
@click.option(
    "--type",
    "--snapshot-type",
    "kind",
    type=click.Choice(["incremental", "full"]),
    default="incremental",
    show_default=True,
    help="incremental: against the last snapshot; full: read every byte again.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and what would be read; write nothing.")
def command(common: Common, kind: str, dry_run: bool) -> None:
    """Back domains up to one target: a snapshot each, and a manifest of the job.

    An unchanged domain is recorded as looked at and gets no new snapshot. A full reports bytes that changed under an
    unchanged date.
    """
    from resticwrap.report import text
    from resticwrap.services import backup as service
    from resticwrap.services import restoreplace
    from resticwrap.services.databases import restoring

    def plan(house: "House") -> "BackupPlan":
        domains = house.settings.select_domains(common.domains)
        return service.plan(house.context, kind, domains)  # type: ignore[arg-type]

    def work(house: "House") -> "BackupReport":
        restoreplace.recover(house.context)
        restoring.recover(house.context)
        return service.backup(house.context, plan(house))

    if dry_run:
        run(common, lambda house: service.measure(house.context, plan(house)), text.plan, service.plan_exit_code)
    else:
        run(common, work, text.backup, service.exit_code)
