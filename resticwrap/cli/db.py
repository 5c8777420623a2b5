"""`rw db`: databases out of snapshots, into servers and back."""

import click

from resticwrap.cli.db_copy import copy
from resticwrap.cli.db_extract import extract
from resticwrap.cli.db_list import listed
from resticwrap.cli.db_putback import put_back
from resticwrap.cli.db_receive import receive
from resticwrap.cli.db_restore import restore
from resticwrap.cli.db_swap import accept, undo


@click.group()
def group() -> None:
    """Databases: restore one beside or over the live one, take rows out of a snapshot and put them back, copy."""


for command in (listed, restore, undo, accept, copy, extract, put_back, receive):
    group.add_command(command)
