"""A real MariaDB on loopback and on a socket, out of Debian's package, spoken to by its own client."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .child import LOOPBACK, ServerFailed, end, free_ports, wait_until

PLACES = "/usr/sbin:/usr/bin"
SMALL = (
    "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF", "--skip-name-resolve", "--max-connections=40", "--innodb-doublewrite=OFF",
)  # fmt: skip


@dataclass
class Mariadb:
    """One server. `user` may do everything; `plain` may do so in the databases that are made here."""

    folder: Path
    port: int
    user: str = "rw_admin"
    plain: str = "rw"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "mariadb.log"

    def url(self, database: str, *, user: str = "", password: str | None = None, socket: bool = False) -> str:
        """The address of a database, as an operator writes it."""
        secret = quote(self.password if password is None else password, safe="")
        place = f"{LOOPBACK}:{self.port}/{quote(database)}"
        if socket:
            place = f"localhost/{quote(database)}?socket={self.socket}"
        return f"mysql://{user or self.user}:{secret}@{place}"

    def make(self) -> None:
        """Make the server's tables and its two users."""
        command = ["mariadb-install-db", "--no-defaults", *_root(), f"--datadir={self.folder / 'data'}",
                   "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]  # fmt: skip
        done = subprocess.run(command, cwd=self.folder, capture_output=True, env={"PATH": PLACES})
        if done.returncode:
            raise ServerFailed(f"mariadb-install-db: {done.stderr.decode(errors='replace')[-500:]}")
        self.start()
        self._client(
            f"CREATE USER {self.user}@'%' IDENTIFIED BY '{self.password}';"
            f"GRANT ALL ON *.* TO {self.user}@'%' WITH GRANT OPTION;"
            f"CREATE USER {self.plain}@'%' IDENTIFIED BY '{self.password}'",
            "--user=root",
        )

    def start(self) -> None:
        """Bring it up and wait until it answers. Does nothing when it is up."""
        if self._child and self._child.poll() is None:
            return
        command = [
            "mariadbd", "--no-defaults", *_root(), f"--datadir={self.folder / 'data'}", f"--socket={self.socket}",
            f"--port={self.port}", f"--bind-address={LOOPBACK}", f"--pid-file={self.folder / 'pid'}", *SMALL,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={"PATH": PLACES},
            )  # fmt: skip
        try:
            wait_until(self._ready, self._child, self.log, what="mariadbd")
        except ServerFailed:
            self.stop()
            raise

    def stop(self) -> None:
        """Take it down at once; what it stored stays. Fine when down."""
        if self._child:
            end(self._child)
            self._child = None

    def kill(self) -> None:
        """As a power cut does."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()
        self._child = None

    def run(self, sql: str, database: str = "") -> list[list[str]]:
        """The rows that SQL gives, as the client writes them."""
        text = self._client(sql, f"--user={self.user}", *([f"--database={database}"] if database else []))
        return [line.split("\t") for line in text.splitlines()]

    def database(self, sql: str = "", name: str = "") -> str:
        """Make a database that `plain` may do everything in, with what this SQL makes; returns its name."""
        name = name or f"rw_{secrets.token_hex(5)}"
        self.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4; GRANT ALL ON `{name}`.* TO {self.plain}@'%'")
        if sql:
            self.run(sql, name)
        return name

    def drop(self, *names: str) -> None:
        """Remove databases."""
        for name in names:
            self.run(f"DROP DATABASE IF EXISTS `{name}`")

    def databases(self) -> Sequence[str]:
        return [row[0] for row in self.run("SHOW DATABASES")]

    def session(self, database: str) -> subprocess.Popen[bytes]:
        """A client that says at once what comes of what it is told."""
        return subprocess.Popen(
            [*self._command(), "--unbuffered", f"--user={self.user}", f"--database={database}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": PLACES, "MYSQL_PWD": self.password},
        )

    def _command(self) -> list[str]:
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--default-character-set=utf8mb4"]
        return [*command, "--batch", "--raw", "--skip-column-names"]

    def _client(self, sql: str, *words: str) -> str:
        command = [*self._command(), *words]
        env = {"PATH": PLACES, "MYSQL_PWD": "" if "--user=root" in words else self.password}
        done = subprocess.run(command, input=sql.encode(), capture_output=True, env=env, timeout=60)
        if done.returncode:
            raise ServerFailed(done.stderr.decode(errors="replace"))
        return done.stdout.decode()

    def _ready(self) -> bool:
        try:
            self._client("SELECT 1", "--user=root")
        except ServerFailed as error:
            return "1045" in str(error)  # it answers, if only to refuse
        return True


def _root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


@contextmanager
def start_mariadb() -> Iterator[Mariadb]:
    """A server in a folder of its own, up for the length of the block, and removed after it.

    Raises ServerFailed when it does not come up, or is not installed.
    """
    if shutil.which("mariadbd", path=PLACES) is None:
        raise ServerFailed("no mariadbd: apt-get install mariadb-server")
    folder = Path(tempfile.mkdtemp(prefix="rw-mariadb-"))
    server = Mariadb(folder, free_ports(1)[0])
    try:
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
