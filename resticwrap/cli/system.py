"""`rw restore system`: the group in `cli/restore.py` takes it in."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import run
from resticwrap.cli.kit import code, system_options, wanted_of
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.kit import SystemReport


@click.command(
    name="system",
    epilog=epilog(
        "rw restore system --to /srv/recovered",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not come back whole, or is not healthy; it is named",
    ),
)
@common
@system_options
def command(common: Common, to: Path, no_start: bool, failure_at: datetime | None, thaw: bool, dry_run: bool) -> None:
    """Bring the whole system back into an empty folder, as `rw kit restore` does, where the policies are still there.

    Live data, this machine's state and its catalogue are not touched: the folder gets an installation of its own.
    """
    from resticwrap.report import text
    from resticwrap.services import kit, system

    def work(house: "House") -> "SystemReport":
        context = house.context
        wanted = wanted_of(common, failure_at or house.clock.now(), no_start=no_start, thaw=thaw)
        act = system.preview if dry_run else system.restore
        return act(kit.gather(context), to.absolute(), wanted, context.recovery.elsewhere, house.clock)

    run(common, work, text.system, code, whole=True)
