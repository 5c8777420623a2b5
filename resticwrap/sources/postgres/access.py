"""How a PostgreSQL server is reached: by which programs, with which words before them, in which environment."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from resticwrap import errors
from resticwrap.model.sources import PostgresSource, secret_of

PLACES = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version."""
ENV = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE", "channel_binding": "PGCHANNELBINDING",
}  # fmt: skip
"""libpq's environment variables by the parameters of its URLs (PostgreSQL's documentation, "Environment Variables")."""


@dataclass(frozen=True)
class Access:
    """How a server's client programs are run: words before them, the folder that they lie in, their environment."""

    env: Mapping[str, str] = field(repr=False)
    before: tuple[str, ...] = ()
    binaries: str = ""

    def program(self, name: str) -> tuple[str, ...]:
        return (*self.before, os.path.join(self.binaries, name) if self.binaries else name)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value for name, value in self.env.items() if name == "PGPASSWORD")


def env_of(source: PostgresSource) -> dict[str, str]:
    """libpq's variables for a source. A password is in there and nowhere else."""
    found = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "resticwrap"}
    if source.url is not None:
        parts = urlsplit(source.url.get_secret_value())
        given = {
            "host": unquote(parts.hostname or ""),
            "port": str(parts.port or ""),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "dbname": unquote(parts.path.lstrip("/")),
            **dict(parse_qsl(parts.query)),
        }
        found |= {ENV[name]: value for name, value in given.items() if name in ENV and value}
    if source.user:
        found["PGUSER"] = source.user
    if source.name:
        found["PGDATABASE"] = source.name
    if source.password is not None:
        found["PGPASSWORD"] = secret_of(source.password)
    return found


def newest_binaries(given: Path | None, needed: str = "pg_dump") -> str:
    """The folder of the newest client programs; empty where the path must do. Raises ClientMissing."""
    if given is not None:
        return str(given)
    versions = sorted(PLACES.glob(f"*/bin/{needed}"), key=lambda path: float(path.parents[1].name))
    return str(versions[-1].parent) if versions else ""


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a literal of SQL, whatever `standard_conforming_strings` says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def failure(said: str, place: str, otherwise: Callable[[str], errors.Failure]) -> errors.Failure:
    """What a client's last words mean."""
    last = next((line for line in reversed(said.strip().splitlines()) if re.search(r"error|fatal", line, re.I)), "")
    last = re.sub(r"^\S*(pg_dump|pg_dumpall|psql|pg_basebackup|pg_receivewal): (error: )?", "", last or said.strip())
    if re.search(r"authentication failed|no password supplied|permission denied|no pg_hba.conf entry", said):
        return errors.DatabaseRefused(f"{place} refuses us: {last}.")
    if re.search(r"could not connect|Connection refused|server closed the connection|does not exist", said):
        return errors.DatabaseUnavailable(f"{place} does not answer: {last}.")
    return otherwise(last)
