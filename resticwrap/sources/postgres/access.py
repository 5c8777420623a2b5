"""How a PostgreSQL server is reached: by which programs, with which words before them, in which environment."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from resticwrap import errors, process

if TYPE_CHECKING:  # the program that makes dumps has no policies, and starts at once without what reads them
    from resticwrap.model.sources import Container, PostgresSource

PLACES = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version."""
ENV = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE", "channel_binding": "PGCHANNELBINDING",
}  # fmt: skip
"""libpq's environment variables by the parameters of its URLs (PostgreSQL's documentation, "Environment Variables")."""
OURS = ("PATH", "HOME", "PGPASSFILE", "PGSYSCONFDIR", "KRB5CCNAME")
"""What libpq and its programs may know of our own environment."""
DOCKERS = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "SSH_AUTH_SOCK")
"""And Docker's client, of where its engine is."""
SHORT = 60.0
"""Seconds that a question may take which nothing has to be read for."""


@dataclass(frozen=True)
class Access:
    """How a server's client programs are run: words before them, the folder that they lie in, their environment.
    `chosen`: an operator named that folder. `known`: the version of its pg_dump, where that was asked for."""

    env: Mapping[str, str] = field(repr=False)
    before: tuple[str, ...] = ()
    binaries: str = ""
    chosen: bool = False
    known: str = ""

    def program(self, name: str) -> tuple[str, ...]:
        return (*self.before, os.path.join(self.binaries, name) if self.binaries else name)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(value for name, value in self.env.items() if name == "PGPASSWORD")

    def of_version(self, server: str) -> "Access":
        """The same with the programs of a server's own version, else of the next later one: those of a much later one
        write what this server does not understand. Raises ClientMissing where all are older."""
        found = self if self.chosen or self.before else replace(self, binaries=nearest_binaries(server))
        found = replace(found, known=found.client())
        if major(found.known) < major(server):
            raise errors.ClientMissing(
                f"pg_dump {found.known} is too old for a PostgreSQL {server}, which it refuses.",
                hint=f"apt install postgresql-client-{major(server)}   (or name its folder as bin in domains.yaml)",
            )
        return found

    def client(self) -> str:
        """The version of its pg_dump. Raises ClientMissing."""
        if self.known:
            return self.known
        try:
            said = process.run([*self.program("pg_dump"), "--version"], env=self.env, timeout=SHORT)
        except errors.DeadlineExceeded:
            raise
        except errors.Failure as error:
            raise errors.ClientMissing(error.message, hint=MISSING) from error
        words = said.stdout.decode("utf-8", "replace").split()
        if said.code or len(words) < 3:
            where = "in the container" if self.before else f"in {self.binaries}" if self.binaries else "on the path"
            raise errors.ClientMissing(f"There is no pg_dump {where}.", hint=MISSING)
        return words[2]


WATCHED = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; (read _; kill $child) <&3 >/dev/null 2>&1 & watcher=$!; '
    "wait $child; code=$?; { kill $watcher; wait $watcher; } 2>/dev/null; exit $code"
)
"""What a shell in a container runs: the program, which is ended when our end of its input is gone. No signal of ours
reaches it there. It waits for all that it starts: what it left would become the child of the container's first process,
and where that is the server, it would take the end of such a child for a crash of its own, and cut everybody off."""


def poured(
    access: Access,
    program: str,
    words: Sequence[str],
    on_chunk: Callable[[memoryview], None],
    on_idle: Callable[[], None] | None = None,
) -> tuple[int, str]:
    """Run a program whose output is large, as `process.pour` does: it never outlives us, not in a container either."""
    argv = [*access.program(program), *words]
    if not access.before:
        return process.pour(argv, env=access.env, on_chunk=on_chunk, on_idle=on_idle)
    reading, writing = os.pipe()
    try:
        within = [*access.before, "sh", "-c", WATCHED, "sh", *argv[len(access.before) :]]
        return process.pour(within, env=access.env, on_chunk=on_chunk, stdin=reading, on_idle=on_idle)
    finally:
        os.close(reading)
        os.close(writing)


MISSING = "apt install postgresql-client   (or name its folder as bin in domains.yaml)"


def major(version: str) -> int:
    """15 of `15.18`; 0 where it is none."""
    text = version.split(".", maxsplit=1)[0]
    return int(text) if text.isdigit() else 0


def env_of(source: "PostgresSource", environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """libpq's variables for a source. A password is in there and nowhere else."""
    environ = os.environ if environ is None else environ
    found = {"PATH": os.defpath, **{name: environ[name] for name in OURS if name in environ}}
    return found | {"LC_ALL": "C.UTF-8"} | _of_source(source)


def _of_source(source: "PostgresSource") -> dict[str, str]:
    found = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "resticwrap"}
    if source.url is not None:
        parts = urlsplit(source.url.get_secret_value())
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        # Several of them may be given, with commas: libpq's list, which its variables take as they are.
        hosts = [_host(one) for one in parts.netloc.rpartition("@")[2].split(",")]
        given = {
            "host": ",".join(host for host, _ in hosts),
            "port": ",".join(port for _, port in hosts).strip(","),
            "user": unquote(user),
            "password": unquote(password),
            "dbname": unquote(parts.path.lstrip("/")),
            **dict(parse_qsl(parts.query)),
        }
        found |= {ENV[name]: value for name, value in given.items() if name in ENV and value}
    if source.user:
        found["PGUSER"] = source.user
    if source.name:
        found["PGDATABASE"] = source.name
    if source.password is not None:
        found["PGPASSWORD"] = source.password.get_secret_value()
    return found


def _host(text: str) -> tuple[str, str]:
    """A host and its port of a URL; an address of IPv6 stands in brackets there."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.lstrip(":")
    host, _, port = text.partition(":")
    return unquote(host), port


def access_of(source: "PostgresSource", environ: Mapping[str, str] | None = None) -> Access:
    """How a source's server is reached. Raises ClientMissing, and DatabaseUnavailable where its container is not up."""
    environ = os.environ if environ is None else environ
    if source.container is None:
        env, binaries = env_of(source, environ), newest_binaries(source.bin, "psql")
        found = os.path.exists(Path(binaries) / "psql") if binaries else shutil.which("psql", path=env["PATH"])
        if not found:
            where = binaries or "the path"
            raise errors.ClientMissing(f"There is no psql in {where}, nor below {PLACES}.", hint=MISSING)
        return Access(env, (), binaries, chosen=source.bin is not None)
    inside = {"PGUSER": "postgres", "LC_ALL": "C.UTF-8"} | _of_source(source)
    client = {name: environ[name] for name in (*OURS[:2], *DOCKERS) if name in environ}
    env = {"PATH": os.defpath, **client, **inside}
    # By name alone: docker takes the values from its own environment, so none stands in the list of processes.
    names = [word for name in inside for word in ("-e", name)]
    before = ("docker", "exec", "-i", *names, container_of(source.container, env))
    return Access(env, before, str(source.bin or ""), chosen=source.bin is not None)


def container_of(container: "Container", env: Mapping[str, str]) -> str:
    """The name or id of a container. Of a service: its first one of those that run, as `docker compose exec` takes it.

    Found by the labels that compose sets, so the project's file is not read, whose variables we do not know. Raises
    DatabaseUnavailable where none runs.
    """
    if container.name is not None:
        return container.name
    labels = ("com.docker.compose.project.working_dir", "com.docker.compose.container-number")
    shown = "\t".join(("{{.ID}}", *(f'{{{{.Label "{label}"}}}}' for label in labels)))
    result = process.run(
        ["docker", "ps", "--no-trunc", "--filter", f"label=com.docker.compose.service={container.service}",
         "--filter", "label=com.docker.compose.oneoff=False", "--format", shown],
        env=env, timeout=SHORT,
    )  # fmt: skip
    if result.code:
        raise errors.DatabaseUnavailable(f"Docker does not answer: {result.stderr.strip()}.", hint="docker info")
    rows = [line.split("\t") for line in result.stdout.decode().splitlines()]
    wanted = os.path.realpath(container.project or "")
    ours = sorted((int(row[2] or 0), row[0]) for row in rows if len(row) == 3 and os.path.realpath(row[1]) == wanted)
    if not ours:
        raise errors.DatabaseUnavailable(
            f"No container of the service {container.service} in {container.project} is up.",
            hint=f"docker compose --project-directory {container.project} up -d {container.service}",
        )
    return ours[0][1]


def _versions(needed: str) -> list[tuple[float, str]]:
    """The versions of Debian's that have a program, and their folders; oldest first."""
    return sorted((float(path.parents[1].name), str(path.parent)) for path in PLACES.glob(f"*/bin/{needed}"))


def newest_binaries(given: Path | None, needed: str = "pg_dump") -> str:
    """The folder of the newest client programs; empty where the path must do."""
    if given is not None:
        return str(given)
    versions = _versions(needed)
    return versions[-1][1] if versions else ""


def nearest_binaries(server: str, needed: str = "pg_dump") -> str:
    """The folder of the client programs of this version or of the next later one; empty where the path must do."""
    return next((folder for number, folder in _versions(needed) if int(number) >= major(server)), "")


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a literal of SQL, whatever `standard_conforming_strings` says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def conninfo(name: str) -> str:
    """A database as `-d` takes it, whatever its name: bare, one with `=` in it would be read as more than a name."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
