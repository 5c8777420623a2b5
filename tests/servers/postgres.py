"""A real PostgreSQL on loopback, out of Debian's package, with a fresh database for whoever asks.

It sorts as people do (ICU), which is not how bytes sort, and asks for passwords.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from .child import LOOPBACK, ServerFailed, end, free_ports, wait_until

PLACES = Path("/usr/lib/postgresql")
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""What a cluster that is thrown away need not do. What it said to have committed it keeps over a stop."""


def postgres_bin() -> Path | None:
    """Where the newest `postgres` and `initdb` lie; None where PostgreSQL is not installed."""
    versions = sorted(PLACES.glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@dataclass
class Postgres:
    """One cluster. `user` is its superuser; `plain` may make tables in the databases that are made here, no more."""

    folder: Path
    binaries: Path
    port: int
    user: str = "rw_admin"
    plain: str = "rw"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Besides those of all of them here, or in their place."""
    segment: int = 16
    """MiB of each file of its log."""
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "postgres.log"

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is stopped."""
        return self._child.pid if self._child else None

    def url(self, database: str, *, user: str = "", password: str | None = None, scheme: str = "postgresql") -> str:
        """The address of a database, as an operator writes it."""
        secret = quote(self.password if password is None else password, safe="")
        return f"{scheme}://{user or self.plain}:{secret}@{LOOPBACK}:{self.port}/{quote(database)}"

    def make(self) -> None:
        """Make the cluster and its two users."""
        self.folder.chmod(0o711)
        secret = self.folder / "secret"
        secret.write_text(self.password)
        for path in (self.folder, secret):
            if owner := _unprivileged():
                os.chown(path, owner.pw_uid, owner.pw_gid)
        command = [
            *(str(self.binaries / "initdb"), "-D", str(self.folder / "data"), "-U", self.user, "--no-sync"),
            f"--wal-segsize={self.segment}",
            *("-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"),
            *("-A", "scram-sha-256", "--pwfile", str(secret)),
        ]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, **_as_owner())
        if done.returncode:
            raise ServerFailed(f"initdb: {done.stderr.decode(errors='replace')[-500:]}")
        self.start()
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(self.plain), self.password)
            )

    def own(self) -> None:
        """Give it the data that somebody else has put there."""
        if owner := _unprivileged():
            data = self.folder / "data"
            for path in (data, *data.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def start(self) -> None:
        """Bring it up and wait until it lets us in. Does nothing when it is up."""
        if self._child and self._child.poll() is None:
            return
        options = {
            **NOT_DURABLE,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "60",
            "shared_buffers": "16MB",
            "logging_collector": "off",
            "max_wal_senders": "0",
            "wal_level": "minimal",
            "jit": "off",
            **self.settings,
        }
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data")]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **_as_owner()
            )
        try:
            wait_until(self._ready, self._child, self.log, what="postgres")
        except ServerFailed:
            self.stop()
            raise

    def stop(self) -> None:
        """Take it down with all that is connected to it; what it stored stays. Fine when down."""
        if self._child:
            if self._child.poll() is None:
                self._child.send_signal(signal.SIGQUIT)
                try:
                    self._child.wait(8)
                except subprocess.TimeoutExpired:
                    end(self._child)
            self._child = None

    @contextmanager
    def admin(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A connection of the superuser, which commits each statement."""
        with psycopg.connect(self.url(database, user=self.user), autocommit=True, connect_timeout=5) as connection:
            yield connection

    def database(self, name: str = "") -> str:
        """Make an empty database that belongs to `plain`; returns its name."""
        name = name or f"rw_{secrets.token_hex(5)}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(self.plain))
            )
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        with self.admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def break_all(self, database: str) -> None:
        """Cut every connection of `plain` to a database, as a server that falls over does."""
        with self.admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                (database, self.plain),
            )

    def _ready(self) -> bool:
        try:
            with self.admin():
                return True
        except psycopg.OperationalError:
            return False


def _unprivileged() -> pwd.struct_passwd | None:
    """Who the server runs as where we are root, as whom it refuses to run."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerFailed("there is no user to run PostgreSQL as")


def _as_owner() -> dict[str, Any]:
    owner = _unprivileged()
    return {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


@contextmanager
def start_postgres(settings: Mapping[str, str] = MappingProxyType({}), segment: int = 16) -> Iterator[Postgres]:
    """A cluster in a folder of its own, up for the length of the block, and removed after it.

    Raises ServerFailed when it does not come up, or is not installed.
    """
    binaries = postgres_bin()
    if binaries is None:
        raise ServerFailed(f"no PostgreSQL below {PLACES}: apt-get install postgresql")
    # Not below pytest's folder, which is its user's alone.
    folder = Path(tempfile.mkdtemp(prefix="rw-postgres-"))
    server = Postgres(folder, binaries, free_ports(1)[0], settings=settings, segment=segment)
    try:
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
