"""How MySQL's and MariaDB's client programs are found, told where the server is, and understood when they fail."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.model.sources import MysqlSource, secret_of
from resticwrap.sources.feeding import Feeding
from resticwrap.sources.postgres.access import DOCKERS, WATCHED, container_of

PASSWORD = "MYSQL_PWD"
"""The environment variable that clients take a password from: it shows in no list of processes."""
CLIENT, DUMP = ("mariadb", "mysql"), ("mariadb-dump", "mysqldump")
"""The names of one program: MariaDB's own first, which speaks to both kinds of servers."""
OPTIONS = {"socket": "--socket", "unix_socket": "--socket", "ssl-ca": "--ssl-ca", "ssl-cert": "--ssl-cert",
           "ssl-key": "--ssl-key", "ssl-mode": "--loose-ssl-mode", "connect_timeout": "--connect-timeout"}  # fmt: skip
"""Parameters of a URL by the options that they stand for."""
PLACES = (os.defpath, "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/mysql/bin")
ERROR = re.compile(r"(?:ERROR |[Ee]rror:? |\()(\d{4})\b")
"""The number of an error, as each of the programs writes it."""
REFUSED = {1044, 1045, 1130, 1142, 1143, 1227, 1370, 1410, 1698, 1820, 1862}
UNAVAILABLE = {1040, 1049, 1053, 1152, 1203, 1226, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2026}
"""Numbers of MariaDB's and MySQL's list of error codes."""
ASK = 60.0
"""Seconds that a short question may take."""


@dataclass(frozen=True)
class Access:
    """How a server's client programs are run: words before them, the folder that they lie in, what tells them where
    the server is, and their environment, which holds the password."""

    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict, repr=False)
    before: tuple[str, ...] = ()
    binaries: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.env.get(PASSWORD)]))

    def feeding(self, cancel: Cancel) -> Feeding:
        return Feeding(self.env, self.secrets, cancel)

    def client(self, *words: str) -> list[str]:
        """The client, reading SQL on its standard input. Raises ClientMissing."""
        return self.command(CLIENT, "--batch", "--loose-sandbox", "--max-allowed-packet=1G", *words)

    def command(self, names: Sequence[str], *words: str) -> list[str]:
        """The first of these programs that is there. Files of options are left alone. Raises ClientMissing."""
        return [*self.before, self._found(names), "--no-defaults", *self.arguments,
                "--default-character-set=utf8mb4", *words]  # fmt: skip

    def version(self, names: Sequence[str]) -> str:
        """What a program says of itself."""
        argv = [*self.before, self._found(names), "--version"]
        return process.run(argv, env=self.env, timeout=ASK).stdout.decode("utf-8", "replace").strip()

    def _found(self, names: Sequence[str]) -> str:
        if self.before:
            return self._inside(names)
        for name in names:
            if found := shutil.which(name, path=self.binaries or os.pathsep.join(PLACES)):
                return found
        raise errors.ClientMissing(
            f"No {' or '.join(names)} is installed here.",
            hint="apt install mariadb-client   (or name the folder of the programs as `bin` in domains.yaml)",
        )

    def _inside(self, names: Sequence[str]) -> str:
        if self.binaries:
            return os.path.join(self.binaries, names[0])
        asked = " || ".join(f"command -v {name}" for name in names)
        result = process.run([*self.before, "sh", "-c", asked], env=self.env, timeout=ASK, secrets=self.secrets)
        if found := result.stdout.decode("utf-8", "replace").strip():
            return found
        why = result.stderr.strip().splitlines()[-1:] or [f"no {' or '.join(names)} is in it"]
        raise errors.ClientMissing(f"The container cannot be asked: {why[0]}.", hint="docker ps   docker compose ps")


def access_of(source: MysqlSource) -> Access:
    """How the programs are run for a source; inside of its container where it names one. Raises DatabaseUnavailable
    where that is not up."""
    env = {"PATH": os.pathsep.join(PLACES), "LC_ALL": "C.UTF-8"}
    before: tuple[str, ...] = ()
    if source.container is not None:
        env |= {name: os.environ[name] for name in ("HOME", *DOCKERS) if name in os.environ}
        # By name alone: docker takes the value from its own environment, so it stands in no list of processes.
        before = ("docker", "exec", "-i", "-e", PASSWORD, container_of(source.container, env))
    if password := password_of(source):
        env[PASSWORD] = password
    return Access(arguments_of(source), env, before, str(source.bin or ""))


def poured(access: Access, argv: Sequence[str], on_chunk: Callable[[memoryview], None]) -> tuple[int, str]:
    """Run a program whose output is large, as `process.pour` does: it never outlives us, not in a container either."""
    if not access.before:
        return process.pour(argv, env=access.env, on_chunk=on_chunk)
    reading, writing = os.pipe()
    try:
        within = [*access.before, "sh", "-c", f"exec 3<&0; {WATCHED}", "sh", *argv[len(access.before) :]]
        return process.pour(within, env=access.env, on_chunk=on_chunk, stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)


def arguments_of(source: MysqlSource) -> tuple[str, ...]:
    """Where the server is and as whom to speak to it, without a secret."""
    if source.url is None:
        return (f"--user={source.user or 'root'}",)
    parts = urlsplit(source.url.get_secret_value())
    found = {"--host": unquote(parts.hostname or ""), "--port": str(parts.port or "")}
    found["--user"] = source.user or unquote(parts.username or "")
    for name, value in parse_qsl(parts.query):
        if name not in OPTIONS:
            raise errors.UsageError(
                f"The url of a database has a parameter that is not known: {name}.",
                hint=f"Known are {', '.join(OPTIONS)}.",
            )
        found[OPTIONS[name]] = value
    # A socket is taken only where no host is named; a port where there is no socket.
    if "--socket" in found:
        found["--host"] = found["--port"] = ""
    return tuple(f"{name}={value}" for name, value in found.items() if value)


def password_of(source: MysqlSource) -> str:
    """Its password; empty where there is none."""
    if source.password is not None:
        return secret_of(source.password)
    return unquote(urlsplit(secret_of(source.url)).password or "")


def failure(said: str, place: str, otherwise: Callable[[str], errors.Failure]) -> errors.Failure:
    """What a client's last words mean, by the number of the error in them."""
    lines = [line for line in said.strip().splitlines() if line.strip("- ")]
    last = next((line for line in reversed(lines) if ERROR.search(line)), lines[-1] if lines else "it gave no reason")
    numbers = {int(number) for number in ERROR.findall(last)}
    last = re.sub(r"^\S*(mariadb|mysql|mariadb-dump|mysqldump): ", "", last).rstrip(".")
    if numbers & REFUSED:
        return errors.DatabaseRefused(f"{place} refuses us: {last}.")
    if numbers & UNAVAILABLE:
        return errors.DatabaseUnavailable(f"{place} does not answer: {last}.")
    return otherwise(last)
