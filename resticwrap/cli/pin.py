"""`rw pin` and `rw unpin`."""

from datetime import datetime
from typing import Any

import click

from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

CODES = "0 1 2 10 11 12 20 22 130"
DAMAGED = "a pin in the bucket cannot be read"


@click.command(
    epilog=epilog(
        "rw pin 3f9a1c20 --reason 'before the upgrade to 4.2'\nrw pin --list",
        CODES,
        code_20=DAMAGED,
    )
)
@common
@click.argument("snapshots", nargs=-1)
@click.option("--reason", metavar="TEXT", help="Why they are to be kept; whoever looks at the plan reads it.")
@click.option(
    "--kind",
    type=click.Choice(["manual", "upgrade", "migration", "incident"]),
    default="manual",
    show_default=True,
    help="What they are kept for.",
)
@click.option("--until", type=TIME, metavar="TIME", help="When the pin ends by itself [default: never].")
@click.option("--list", "listing", is_flag=True, help="Show the pins that hold.")
@click.option("--all", "everything", is_flag=True, help="With --list: released and expired ones too.")
@click.option("--dry-run", is_flag=True, help="Say what would be pinned; write nothing.")
def command(
    common: Common,
    snapshots: tuple[str, ...],
    reason: str | None,
    kind: Any,
    until: datetime | None,
    listing: bool,
    everything: bool,
    dry_run: bool,
) -> None:
    """Keep snapshots, in whichever tier they lie, whatever the policy says.

    SNAPSHOTS are ids as `rw snapshots` shows them. The pin lies in the target as well as in the catalogue.
    """
    from resticwrap.report import text
    from resticwrap.services import pins

    if listing and (snapshots or reason or until or dry_run):
        raise click.UsageError("--list shows the pins, and pins nothing.")
    if everything and not listing:
        raise click.UsageError("--all goes with --list.")
    if listing:
        run(common, lambda house: pins.listed(house.context, everything=everything), text.pins, whole=True)
    if not snapshots or not reason:
        raise click.UsageError("Give at least one snapshot, and --reason; or --list.")
    run(
        common,
        lambda house: pins.pin(house.context, snapshots, reason, kind=kind, until=until, dry_run=dry_run),
        text.pins,
        whole=True,
    )


@click.command(epilog=epilog("rw unpin pin_20261128T012030Z_3fa9c1", CODES, code_20=DAMAGED))
@common
@click.argument("pin")
@click.option("--dry-run", is_flag=True, help="Say which pin would be released; write nothing.")
def unpin(common: Common, pin: str, dry_run: bool) -> None:
    """Release a pin: from then on the policy decides about its snapshots again."""
    from resticwrap.report import text
    from resticwrap.services import pins

    run(common, lambda house: pins.unpin(house.context, pin, dry_run=dry_run), text.pins, whole=True)
