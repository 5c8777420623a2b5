"""What is particular to a catalogue on PostgreSQL: the way there, its limits, and what its errors mean.

The driver is psycopg 3, of the extra `postgres`. Every parameter of libpq may stand in the address (`sslmode`,
`sslrootcert`, `target_session_attrs`, …); what stands there is taken, and only the rest is set here.
"""

import hashlib
import os
import socket
from collections.abc import Iterable
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from resticwrap.errors import CatalogFull, CatalogUnavailable, Failure

DRIVER = "postgresql+psycopg"
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 120
"""No statement of ours takes as long, but for a rebuild's largest; a server that hangs is not waited for."""
IDLE_SECONDS = 120
"""A machine that stops in the middle of a transaction keeps the others waiting no longer."""
LIMITS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    # A cable that was cut says nothing: without these a write would wait a quarter of an hour.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "utf8",
}
MAKING = "schema"
"""Under this name one machine makes or changes the tables, and all others wait."""
SENTENCES = {
    "25006": (
        "is a standby, or may only be read",
        "Name the primary: target_session_attrs=primary.",
    ),
    "42501": ("does not let this role do that", "docs/many-machines.md says what the role has to be granted."),
    "53300": ("has too many connections", "Raise max_connections there, or the role's CONNECTION LIMIT."),
    "55P03": ("is busy: another machine has held what is needed for {busy:g} s", "Try again when that has ended."),
    "57014": (f"took longer than {STATEMENT_SECONDS} s to answer", "Look at the server's load, then run it again."),
    "40P01": ("let another transaction go first", "Run it again."),
    "40001": ("let another transaction go first", "Run it again."),
}
"""What SQLSTATEs mean, and what to do: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
NO_ROOM = "53100"
NO_CONNECTION = ("08", "57P")
"""The classes of errors after which there is no connection any more."""


def is_postgres(url: URL) -> bool:
    """Whether an address is of PostgreSQL, by either of its names."""
    return url.drivername in ("postgres", "postgresql", DRIVER)


def open_engine(url: URL, busy_timeout: float, name: str = "") -> Engine:
    """Nothing is connected yet. Raises ImportError where the driver is not installed. `name`: how the connection is
    called on the server."""
    given = {*url.query}
    from resticwrap.catalog.patience import PatientConnection

    limits = {key: value for key, value in LIMITS.items() if key not in given}
    if "application_name" not in given:
        limits["application_name"] = name or application_name()
    engine = create_engine(
        url.set(drivername=DRIVER),
        hide_parameters=True,
        connect_args=limits,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=6,
        pool_timeout=busy_timeout,
    )

    def set_up(connection: Any, entry: ConnectionPoolEntry) -> None:
        del entry
        with connection.cursor() as cursor:
            # By a statement and not by the start's `options`, which poolers of connections do not pass on.
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false), "
                "set_config('idle_in_transaction_session_timeout', %s, false)",
                (f"{int(busy_timeout * 1000)}ms", f"{STATEMENT_SECONDS}s", f"{IDLE_SECONDS}s"),
            )
        connection.commit()
        connection.patience = STATEMENT_SECONDS + CONNECT_SECONDS

    event.listen(engine, "do_connect", lambda *args: PatientConnection.connect(*args[-2], **args[-1]))
    event.listen(engine, "connect", set_up)
    return engine


def reader(engine: Engine) -> Engine:
    """The same for who only reads: all that is asked through one connection is of one moment."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def application_name(job: str = "") -> str:
    """Who we are, for whoever looks at the server: at most the 63 bytes that it keeps."""
    return f"rw {socket.gethostname()[:30]} {os.getpid()} {job}".strip()[:63]


def queue(connection: Connection, names: Iterable[str]) -> None:
    """Wait until nobody else writes under any of these names, to the end of the transaction.

    Writers of one target follow each other, as they do in SQLite, so that two of them can neither write one row twice
    nor wait for each other. Readers wait for nobody.
    """
    for name in sorted(set(names)):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": number(f"rw catalogue {name}")})


def number(name: str) -> int:
    """The number of an advisory lock by its name: 64 bits, with a sign."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], signed=True)


def failure(error: Exception, url: URL, busy_timeout: float) -> Failure:
    """What an error of driver or server means. Of a connection that failed the driver gives no code, only the server's
    own words, which are passed on."""
    where = f"The catalogue {shown(url)}"
    original = error.orig if isinstance(error, DBAPIError) else None
    state = getattr(original, "sqlstate", None) or ""
    said = masked(" ".join(str(original or error).split()), url)[:300]
    if state == NO_ROOM:
        return CatalogFull(f"{where} has no room left on its disk.", hint="Make room on the server, then run it again.")
    if state in SENTENCES:
        what, hint = SENTENCES[state]
        return CatalogUnavailable(f"{where} {what.format(busy=busy_timeout)}.", hint=hint)
    if not state or state.startswith(NO_CONNECTION):
        return CatalogUnavailable(
            f"{where} cannot be reached: {said}",
            hint=f"Is the server up (pg_isready -h {url.host or 'HOST'} -p {url.port or 5432}), and are user, password "
            "and database in RW_CATALOG_URL right?",
        )
    return CatalogUnavailable(f"{where} cannot be used: {said}", hint="Look at the server's log: docs/many-machines.md")


def shown(url: URL) -> str:
    """The address without password and parameters, as operators write it."""
    return url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def masked(said: str, url: URL) -> str:
    """The words without the password, should anybody have put it there."""
    secret = url.password
    return said.replace(str(secret), "***") if secret else said


def clock(connection: Connection) -> float:
    """The server's clock, in seconds since 1970."""
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
