"""A MariaDB or MySQL server that is thrown away."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.sources.mysql.access import PLACES, Access
from resticwrap.sources.mysql.server import MysqlServer

SERVERS, INSTALLERS = ("mariadbd", "mysqld"), ("mariadb-install-db", "mysql_install_db")
THROWN_AWAY = (
    "--skip-networking", "--skip-log-bin", "--loose-performance-schema=OFF", "--innodb-flush-log-at-trx-commit=0",
    "--loose-innodb-doublewrite=OFF", "--event-scheduler=OFF", "--max-allowed-packet=1G", "--skip-name-resolve",
    "--innodb-fast-shutdown=2", "--loose-innodb-log-file-size=64M",
)  # fmt: skip
"""On no address; nothing that a server need not do that is thrown away; and no event of a dump's runs."""
DYING = ("setpriv", "--pdeathsig", "KILL", "--")
"""What ends a server with us."""
START = 120.0
"""Seconds that making one, and its coming up, may take."""


@contextmanager
def scratch_server(folder: Path, given: Path | None, clients: str, cancel: Cancel) -> Iterator[MysqlServer]:
    """A server below `folder`: on a socket in a folder of its own, and on no address.

    Raises ClientMissing where no server is installed.
    """
    env = {"PATH": os.pathsep.join(PLACES), "LC_ALL": "C.UTF-8"}
    program = server_program(given)
    data, sockets = folder / "data", Path(tempfile.mkdtemp(prefix="rw-my-"))  # a socket's path may have 107 bytes
    user = ["--user=root"] if os.geteuid() == 0 else []
    log = folder / "server.log"
    try:
        _install(program, given, data, user, env, cancel)
        socket = sockets / "socket"
        argv = [*DYING, program, "--no-defaults", *user, f"--datadir={data}", f"--socket={socket}",
                f"--pid-file={sockets / 'pid'}", f"--tmpdir={sockets}", *THROWN_AWAY]  # fmt: skip
        with process.serve(argv, env=env, log=log) as alive:
            access = Access(("--user=root", f"--socket={socket}"), env, (), clients)
            server = MysqlServer(access, "a scratch server", cancel)
            begun = time.monotonic()
            while True:
                cancel.check()
                try:
                    server.version()
                    break
                except errors.DatabaseUnavailable:
                    if not alive() or time.monotonic() - begun > START:
                        last = log.read_text(errors="replace").strip().splitlines()[-1:]
                        raise errors.LoadFailed(f"The scratch server did not start: {' '.join(last)}") from None
                    time.sleep(0.05)
            yield server
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)


def _install(
    program: str, given: Path | None, data: Path, user: list[str], env: dict[str, str], cancel: Cancel
) -> None:
    """Make the server's own tables."""
    try:
        argv = [_found(INSTALLERS, given), "--no-defaults", *user, f"--datadir={data}",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]  # fmt: skip
    except errors.ClientMissing:  # MySQL's server makes them itself
        argv = [program, "--no-defaults", *user, f"--datadir={data}", "--initialize-insecure"]
    made = process.run(argv, env=env, timeout=START, cancel=cancel)
    if made.code:
        last = made.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        raise errors.LoadFailed(f"The scratch server could not be made: {last[0]}.")


def server_program(given: Path | None) -> str:
    """The server that is started here. Raises ClientMissing."""
    return _found(SERVERS, given)


def _found(names: tuple[str, ...], given: Path | None) -> str:
    path = str(given) if given is not None else os.pathsep.join(PLACES)
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise errors.ClientMissing(
        f"No {' or '.join(names)} is installed here, which it takes to load this database.",
        hint="apt install mariadb-server   (or name its folder as scratch.bin in domains.yaml)",
    )
