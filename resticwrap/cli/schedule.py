"""`rw schedule`."""

import click

from resticwrap.cli.schedule_install import install


@click.group()
def group() -> None:
    """The schedule: what runs by itself, and when."""


group.add_command(install)
