"""Brings an older catalogue to the schema of this code, with Alembic. Imported only when there is need."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from resticwrap.errors import CatalogUnavailable

SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(connection: Connection, scripts: Path = SCRIPTS) -> None:
    """Run what is missing inside the transaction of `connection`, which the caller commits.

    Raises CatalogUnavailable where the catalogue is of a schema that has no way to this one.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CatalogUnavailable(
            "The catalogue is of a schema that this rw does not know.",
            hint="Move it aside and run: rw catalog rebuild",
        ) from error
