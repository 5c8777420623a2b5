"""`rw key`."""

from pathlib import Path

import click

from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

NEW = click.option(
    "--new-password-file", type=click.Path(path_type=Path), metavar="FILE", help="A file that holds the new password."
)


@click.group()
def group() -> None:
    """The keys of a target's repositories: what the password opens."""


@group.command(name="list", epilog=epilog("rw key list --target s3", "0 1 2 10 12 22 130"))
@common
def list_keys(common: Common) -> None:
    """List the keys of both repositories, and which of them the target's password opens."""
    from resticwrap.report import text
    from resticwrap.services import keys

    run(common, lambda house: keys.listed(house.context), text.keys, whole=True)


@group.command(epilog=epilog("rw key add --new-password-file /root/second", "0 1 2 10 11 12 22 130"))
@common
@click.option(
    "--new-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="A file that holds the new password.",
)
@click.option("--dry-run", is_flag=True, help="List the keys that are there; change nothing.")
def add(common: Common, new_password_file: Path, dry_run: bool) -> None:
    """Let a second password open both repositories. The target's own stays what it is."""
    from resticwrap.report import text
    from resticwrap.services import keys

    run(
        common,
        lambda house: keys.listed(house.context) if dry_run else keys.add(house.context, new_password_file),
        text.keys,
        whole=True,
    )


@group.command(epilog=epilog("rw key rotate\nrw key rotate --new-password-file /root/new", "0 1 2 10 11 12 20 22 130"))
@common
@NEW
@click.option("--dry-run", is_flag=True, help="List the keys that are there; change nothing.")
def rotate(common: Common, new_password_file: Path | None, dry_run: bool) -> None:
    """Exchange the password of both repositories.

    The new one gets a key in both and is proven to open them; then the password file is exchanged, and the old keys are
    removed. Killed anywhere, a password that opens both lies on the disk, and the same command goes on. A password that
    comes from a command or a variable must be exchanged there by a person: its keys stay until `rw key remove`.
    """
    from resticwrap.report import text
    from resticwrap.services import keys

    run(
        common,
        lambda house: keys.listed(house.context) if dry_run else keys.rotate(house.context, new_password_file),
        text.keys,
        whole=True,
    )


@group.command(epilog=epilog("rw key remove 3f2a9c01", "0 1 2 10 11 12 22 130"))
@common
@click.argument("key", metavar="ID")
@click.option("--dry-run", is_flag=True, help="List the keys that are there; change nothing.")
def remove(common: Common, key: str, dry_run: bool) -> None:
    """Remove a key. Refused for the current one, and for the last one of a repository."""
    from resticwrap.report import text
    from resticwrap.services import keys

    run(
        common,
        lambda house: keys.listed(house.context) if dry_run else keys.remove(house.context, key),
        text.keys,
        whole=True,
    )
