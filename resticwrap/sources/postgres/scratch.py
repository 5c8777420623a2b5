"""A PostgreSQL server that is thrown away."""

import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.host.confine import confined
from resticwrap.host.launch import TRUNCATES, landlock_version
from resticwrap.sources.postgres.access import PLACES, SHORT, Access, major
from resticwrap.sources.postgres.server import PostgresServer

THROWN_AWAY = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off", "jit": "off",
    "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "4GB", "maintenance_work_mem": "256MB",
    "lc_messages": "C",
}  # fmt: skip
"""What a cluster need not do that is thrown away."""
SUPERUSER = "resticwrap_scratch"
"""Who loads. Not postgres: a dump may hold a role of that name which is less than that."""
DYING = ("setpriv", "--pdeathsig", "QUIT", "--")
"""What ends a server with us."""
UNSHARED = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
AMBIENT = ("--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--")


@cache
def not_root() -> tuple[tuple[str, ...], int | None]:
    """The words before a server's programs, and whom its folders have to belong to (None: to us). PostgreSQL refuses to
    run as root.

    In a user namespace of its own it is somebody else who owns the same files. Where none may be made, as in many
    containers, it becomes another user, who may pass through folders of ours.
    """
    if os.geteuid():
        return DYING, None
    env = {"PATH": os.defpath}
    with suppress(errors.Failure):
        if process.run([*UNSHARED, "true"], env=env, timeout=SHORT).code == 0:
            return (*UNSHARED, *DYING), None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", *AMBIENT)
            return (*become, *DYING), user.pw_uid
    raise errors.LoadFailed("There is no user that PostgreSQL could run as.", hint="useradd --system postgres")


def _parts(before: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of these words comes before a confinement, and what within: who is somebody else in a namespace of users
    must be it before, and who becomes another user may make no namespace after."""
    return (UNSHARED, before[len(UNSHARED) :]) if before[: len(UNSHARED)] == UNSHARED else ((), before)


@cache
def can_confine() -> bool:
    """Whether a server may be kept from all but its folder here: it takes Landlock, and namespaces of mounts."""
    if landlock_version() < TRUNCATES:
        return False
    outer, inner = _parts(not_root()[0])
    env = {"PATH": os.defpath}
    with tempfile.TemporaryDirectory(prefix="rw-pg-") as folder, suppress(errors.Failure):
        probe = confined([*inner, "true"], Path(folder), env, before=outer)
        with probe.stdin() as stdin:
            return process.run(probe.argv, env=env, timeout=SHORT, stdin=stdin).code == 0
    return False


@contextmanager
def _serving(
    argv: Sequence[str],
    before: tuple[str, ...],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    *,
    confinable: bool,
) -> Iterator[Callable[[], bool]]:
    """A server that may write into its folder alone, where that can be had: what a dump makes runs in it as superuser,
    who may start programs (`COPY … TO PROGRAM`), and each of its checks is run over every row."""
    if not (confinable and can_confine()) or folder.is_relative_to("/run"):
        with process.serve([*before, *argv], env=env, log=log) as alive:
            yield alive
        return
    outer, inner = _parts(before)
    # Shared memory in its folder: /dev/shm is everybody's.
    server = confined([*inner, *argv, "-c", "dynamic_shared_memory_type=mmap"], folder, env, before=outer)
    with server.stdin() as stdin, process.serve(server.argv, env=env, log=log, stdin=stdin) as alive:
        yield alive


def own(*places: Path) -> None:
    """Give folders, with all in them, to whom a server runs as."""
    owner = not_root()[1]
    if owner is not None:
        for place in places:
            for one in (place, *place.rglob("*")):
                os.chown(one, owner, -1, follow_symlinks=False)


@contextmanager
def scratch_server(folder: Path, version: str, given: Path | None, cancel: Cancel) -> Iterator[PostgresServer]:
    """A cluster of the version of a dump, or of a later one, below `folder`: on a socket of its own and on no address.

    Raises ClientMissing where no such PostgreSQL is installed, LoadFailed where it does not start.
    """
    binaries = server_binaries(version, given)
    before, _ = not_root()
    env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    data, spaces, sockets = folder / "data", folder / "tablespaces", _for_sockets(folder)
    try:
        for place in (data, spaces, sockets):
            place.mkdir(mode=0o700, exist_ok=True)
        own(data, spaces, sockets)
        made = process.run(
            [*before, str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            env=env, timeout=SHORT * 5, cancel=cancel,
        )  # fmt: skip
        if made.code:
            raise errors.LoadFailed(f"initdb failed: {' '.join(made.stderr.strip().splitlines()[-1:])}.")
        settings = {"listen_addresses": "", "unix_socket_directories": str(sockets), **THROWN_AWAY}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = folder / "postgres.log"
        argv = [str(binaries / "postgres"), "-D", str(data), *words]
        with _serving(argv, before, env, folder, log, confinable=sockets.parent == folder) as alive:
            access = Access(
                {**env, "PGHOST": str(sockets), "PGUSER": SUPERUSER, "PGAPPNAME": "resticwrap"}, (), str(binaries), True
            )
            until_up(access, alive, log, cancel)
            yield PostgresServer(access, f"a scratch server of {version_of(binaries)}", cancel, spaces=spaces)
    finally:
        for place in (sockets, data, spaces):
            shutil.rmtree(place, ignore_errors=True)


def _for_sockets(folder: Path) -> Path:
    """A private folder: below the server's own wherever a socket's path, of 107 bytes at most, lets it."""
    inside = folder / "s"
    if len(os.fsencode(inside)) + len("/.s.PGSQL.5432.lock") > 107:
        return Path(tempfile.mkdtemp(prefix="rw-pg-"))
    inside.mkdir(mode=0o700)
    return inside


def until_up(access: Access, alive: Callable[[], bool], log: Path, cancel: Cancel) -> None:
    """Wait until a server lets us in. Raises LoadFailed with its last words where it ends instead."""
    while process.run([*access.program("pg_isready"), "-q"], env=access.env, timeout=SHORT).code != 0:
        cancel.check()
        if not alive():
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise errors.LoadFailed(f"The scratch server did not start: {' '.join(last)}.")
        time.sleep(0.05)


def server_binaries(version: str, given: Path | None) -> Path:
    """The folder with initdb and postgres of this major version, else of the next later one. Raises ClientMissing."""
    if given is not None and (given / "initdb").is_file():
        return given
    if given is not None:
        raise errors.ClientMissing(
            f"{given} has no initdb, which it takes to load this database.",
            hint="Name the folder with PostgreSQL's server programs as scratch.bin in domains.yaml.",
        )
    wanted = major(version)
    found = sorted((float(path.parents[1].name), path.parent) for path in PLACES.glob("*/bin/initdb"))
    for number, folder in found:
        if number >= wanted:
            return folder
    raise errors.ClientMissing(
        f"No PostgreSQL {version} is installed here, which it takes to load this database.",
        hint=f"apt install postgresql-{wanted or ''}   (or name its folder as scratch.bin in domains.yaml)",
    )


def version_of(binaries: Path) -> str:
    """The version that a folder of Debian's is named for."""
    return binaries.parent.name
