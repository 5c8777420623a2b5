"""`rw init`."""

from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.reports import InitReport


@click.command(
    epilog=epilog(
        "rw init --target local",
        "0 1 2 10 12 22",
    )
)
@common
def command(common: Common) -> None:
    """Make a target's hot and cold repository, or adopt what is there, and pin their ids.

    Adopting reads the catalogue back out of the target, as `rw catalog rebuild` does.

    Without a configured password a strong one is generated. Without it nobody, you included, reads the backups again.
    """
    from resticwrap.planning.owners import name_taken
    from resticwrap.report import text
    from resticwrap.services import owners
    from resticwrap.services.rebuild import rebuild
    from resticwrap.services.repositories import init

    def work(house: "House") -> "InitReport":
        report = init(house.context, house.password)
        if report.password_created and (common.json or common.quiet):
            click.echo(f"KEEP THIS PASSWORD ELSEWHERE TOO: {report.password_file}", err=True)
        if report.adopted:
            for line in rebuild(house.context).skipped:
                house.teller.note(line)
            for domain, owner in owners.taken(house.context, list(house.settings.domains)).items():
                failure = name_taken(domain, house.target_name, owner, house.settings.host)
                house.teller.note(f"{failure.message} {failure.hint}")
        return report

    run(common, work, text.init, whole=True)
