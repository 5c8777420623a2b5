"""PostgreSQL: by pg_dump, psql and initdb of the version that the server asks for."""

import os
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpOrder, DumpSaid, Engine, PutBack
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import PostgresSource, secret_of
from resticwrap.ports import BackupResult, Look, Material

PLACES = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version."""
ENV = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "sslcrl": "PGSSLCRL", "options": "PGOPTIONS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "gssencmode": "PGGSSENCMODE", "channel_binding": "PGCHANNELBINDING",
}  # fmt: skip
"""libpq's environment variables by the parameters of its URLs (PostgreSQL's documentation, "Environment Variables")."""
THROWN_AWAY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "4GB", "jit": "off"}
"""What a cluster need not do that is thrown away."""
AS_NOT_ROOT: tuple[str, ...] = (
    ()
    if os.geteuid()
    else ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--", "setpriv", "--pdeathsig", "QUIT", "--")
)
"""PostgreSQL refuses to run as root. In a user namespace of its own it is somebody else who owns the same files."""
ASK = 60.0
"""Seconds that a short question may take."""


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


class PostgresServer:
    """The `Server` port over psql."""

    def __init__(self, access: Access, place: str, cancel: Cancel) -> None:
        self._access, self._place, self._cancel = access, place, cancel

    @property
    def place(self) -> str:
        return self._place

    def version(self) -> str:
        return self._ask("postgres", "SHOW server_version").split()[0]

    def databases(self) -> Sequence[str]:
        sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname"
        return self._ask("postgres", sql).splitlines()

    def create(self, head: DatabaseHead, name: str) -> None:
        options = " ".join(f"{word} {value}" for word, value in head.options.items())
        self._ask("postgres", f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {options}")
        for sql in head.after:
            self._ask("postgres", sql.replace("{}", quoted(name)))

    def drop(self, name: str) -> None:
        self._ask("postgres", f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:  # noqa: ARG002
        for _ in body:
            pass
        return ()

    def load(self, name: str, body: Iterable[bytes]) -> None:
        argv = [*self._access.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", name]
        result = self._fed(argv, body)
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{name} was not loaded: {said}."))

    def value(self, name: str, sql: str) -> str | None:
        return self._ask(name, sql)

    def facts(self, name: str) -> DatabaseFacts:
        from resticwrap.planning.dumps import PostgresDigest

        digest = PostgresDigest(name)
        code, said = process.pour(
            [*self._access.program("pg_dump"), "-d", name], env=self._access.env, on_chunk=digest.feed
        )
        if code or not digest.complete:
            raise failure(said, self._place, lambda said: errors.DumpFailed(f"{name} cannot be read whole: {said}."))
        return digest.facts()

    def tables(self, name: str) -> Sequence[str]:
        raise NotImplementedError

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        raise NotImplementedError

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        raise NotImplementedError

    def exchange(self, live: str, beside: str, kept: str) -> None:
        raise NotImplementedError

    def _ask(self, database: str, sql: str) -> str:
        argv = [*self._access.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]
        result = self._fed(argv, [sql.encode()], timeout=ASK)
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{self._place} says: {said}."))
        return result.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def _fed(self, argv: Sequence[str], body: Iterable[bytes], timeout: float = 12 * 3600) -> process.Result:
        """Run a client that reads `body`. What goes wrong while that is made is raised, not what the client makes of
        it."""
        reading, writing = os.pipe()
        trouble: list[BaseException] = []

        def feed() -> None:
            try:
                with open(writing, "wb", buffering=0) as pipe:
                    for piece in body:
                        rest = memoryview(piece)
                        while rest:
                            rest = rest[pipe.write(rest) or 0 :]
            except BrokenPipeError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
                trouble.append(error)
                with suppress(OSError):
                    os.close(reading)

        feeder = threading.Thread(target=feed, daemon=True)
        try:
            feeder.start()
            result = process.run(
                argv,
                env=self._access.env,
                timeout=timeout,
                stdin=reading,
                secrets=self._access.secrets,
                cancel=self._cancel,
            )
        finally:
            with suppress(OSError):
                os.close(reading)
            feeder.join()
        if trouble:
            raise trouble[0]
        return result


class PostgresDomain:
    """One domain's database: how it is captured (the `Source` port), and its servers (the `Engine` port)."""

    def __init__(self, domain: str, source: PostgresSource, cancel: Cancel) -> None:
        self._domain, self._source, self._cancel = domain, source, cancel
        self._access = Access(env_of(source), (), newest_binaries(source.bin))

    @property
    def engine(self) -> Engine:
        return "postgres"

    @property
    def name(self) -> str | None:
        return self._source.name

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
        raise NotImplementedError

    def live(self) -> PostgresServer:
        return PostgresServer(self._access, self._source.place, self._cancel)

    @contextmanager
    def scratch(self, folder: Path, version: str) -> Iterator[PostgresServer]:
        with scratch_server(folder, version, self._source.scratch.bin, self._cancel) as server:
            yield server

    def look(self) -> Look:
        return Look(cwd=b"/", name=f"{self._domain}.sql".encode(), identity=())

    def empty(self, path: bytes) -> bool:  # noqa: ARG002
        return False

    def measure(self) -> BackupResult:
        name = self._source.name or "postgres"
        size = int(self.live().value(name, "SELECT pg_database_size(current_database())") or 0)
        return BackupResult(complete=True, snapshot=None, files=1, size=size, would_read=(1, size))

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:  # noqa: ARG002
        order = DumpOrder(
            engine="postgres",
            domain=self._domain,
            binaries=self._access.binaries,
            before=self._access.before,
            env=dict(self._access.env),
            databases=(self._source.name,) if self._source.name else (),
            exclude_data=self._source.exclude_data,
        )
        with told(order) as (command, fds, said):

            def settle() -> None:
                heard = said()
                if not heard.ok:
                    raise named(heard, self._domain)

            yield Material(cwd=b"/", name=self.look().name, command=command, fds=fds, settle=settle)


@contextmanager
def scratch_server(folder: Path, version: str, given: Path | None, cancel: Cancel) -> Iterator[PostgresServer]:
    """A cluster of the version of a dump, or of a later one, below `folder`: on a socket in it and on no address.

    Raises ClientMissing where no such PostgreSQL is installed.
    """
    binaries = server_binaries(version, given)
    env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    data, sockets = folder / "data", Path(tempfile.mkdtemp(prefix="rw-pg-"))  # a socket's path may have 107 bytes
    try:
        made = process.run(
            [*AS_NOT_ROOT, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            env=env, timeout=ASK, cancel=cancel,
        )  # fmt: skip
        if made.code:
            raise errors.LoadFailed(f"initdb failed: {made.stderr.strip().splitlines()[-1:]}")
        settings = {"listen_addresses": "", "unix_socket_directories": str(sockets), **THROWN_AWAY}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with process.serve(
            [*AS_NOT_ROOT, str(binaries / "postgres"), "-D", str(data), *words], env=env, log=folder / "postgres.log"
        ) as alive:
            access = Access({**env, "PGHOST": str(sockets), "PGUSER": "postgres"}, (), str(binaries))
            server = PostgresServer(access, f"a scratch server of {domain_version(binaries)}", cancel)
            _until_up(server, alive, folder / "postgres.log", cancel)
            yield server
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)


def _until_up(server: PostgresServer, alive: Callable[[], bool], log: Path, cancel: Cancel) -> None:
    while True:
        cancel.check()
        try:
            server.version()
            return
        except (errors.DatabaseUnavailable, errors.LoadFailed):
            if not alive():
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise errors.LoadFailed(f"The scratch server did not start: {' '.join(last)}") from None
            time.sleep(0.05)


def server_binaries(version: str, given: Path | None) -> Path:
    """The folder with initdb and postgres of this major version, else of the next later one. Raises ClientMissing."""
    if given is not None:
        return given
    wanted = float(version.split(".", maxsplit=1)[0] or 0)
    found = sorted((float(path.parents[1].name), path.parent) for path in PLACES.glob("*/bin/initdb"))
    for number, folder in found:
        if number >= wanted:
            return folder
    raise errors.ClientMissing(
        f"No PostgreSQL {version} is installed here, which it takes to load this database.",
        hint=f"apt install postgresql-{int(wanted) or ''}   (or name its folder as scratch.bin in domains.yaml)",
    )


def domain_version(binaries: Path) -> str:
    """The version that a folder of Debian's is named for."""
    return binaries.parent.name


@contextmanager
def told(order: DumpOrder) -> Iterator[tuple[tuple[str, ...], tuple[int, int], Callable[[], DumpSaid]]]:
    """The command that makes a dump of this order, the descriptors that it inherits (its order, which holds secrets,
    and the place for its last words), and how to read those."""
    asking = os.memfd_create("resticwrap-order")
    answering = os.memfd_create("resticwrap-said")
    try:
        os.write(asking, to_json(order))
        command = (sys.executable, "-P", "-m", "resticwrap.sources.produce", str(asking), str(answering))

        def said() -> DumpSaid:
            text = os.pread(answering, os.fstat(answering).st_size, 0)
            try:
                return from_json(DumpSaid, text) if text else DumpSaid()
            except ValueError:
                return DumpSaid()

        yield command, (asking, answering), said
    finally:
        os.close(asking)
        os.close(answering)


def named(said: DumpSaid, domain: str) -> errors.Failure:
    """What the program that makes dumps said went wrong, as an error."""
    kind = getattr(errors, said.kind, errors.DumpFailed) if said.kind else errors.DumpFailed
    message = said.message or f"The dump of {domain} ended before it was whole."
    found: errors.Failure = kind(message, hint=said.hint)
    return found


def nonce() -> str:
    """What no row can hold: made after the dump's view of the data was taken, or known to nobody who writes rows."""
    return secrets.token_hex(8)
