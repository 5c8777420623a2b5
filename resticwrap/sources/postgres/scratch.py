"""A PostgreSQL server that is thrown away."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.sources.postgres.access import PLACES, Access
from resticwrap.sources.postgres.server import ASK, PostgresServer

THROWN_AWAY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "4GB", "jit": "off"}
"""What a cluster need not do that is thrown away."""
AS_NOT_ROOT: tuple[str, ...] = (
    ()
    if os.geteuid()
    else ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--", "setpriv", "--pdeathsig", "QUIT", "--")
)
"""PostgreSQL refuses to run as root. In a user namespace of its own it is somebody else who owns the same files."""


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
