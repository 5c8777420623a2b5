"""A PostgreSQL server that is thrown away, in a container."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.sources.postgres.access import DOCKERS, OURS, SHORT, Access
from resticwrap.sources.postgres.scratch import SUPERUSER, THROWN_AWAY, until_up
from resticwrap.sources.postgres.server import PostgresServer

SOCKETS = "/tmp"
"""In the container."""
SETTINGS = {"listen_addresses": "", "unix_socket_directories": SOCKETS, **THROWN_AWAY}
WORDS = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
SCRIPT = f"""\
exec 3<&0
PATH="$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')"
data=$(mktemp -d)
initdb -D "$data" -U {SUPERUSER} -A trust -E UTF8 --no-sync >/dev/null || exit 1
postgres -D "$data" {WORDS} </dev/null 3<&- & server=$!
(cat; kill -QUIT $server) <&3 >/dev/null 2>&1 &
wait $server
"""
"""The server ends when our end of its input is gone, however we end."""


@contextmanager
def contained_server(image: str, folder: Path, cancel: Cancel) -> Iterator[PostgresServer]:
    """A cluster of this image's in a container without a network, which is removed after the block.

    Raises ClientMissing where Docker does not answer, LoadFailed where it does not start.
    """
    env = docker_env()
    name = f"resticwrap-scratch-{secrets.token_hex(6)}"
    run = [
        "docker",
        "run",
        "-i",
        "--rm",
        "--name",
        name,
        "--network",
        "none",
        "--user",
        "postgres",
        "--entrypoint",
        "sh",
    ]
    log = folder / "postgres.log"
    reading, writing = os.pipe()
    try:
        with process.serve([*run, "--entrypoint", "sh", image, "-c", SCRIPT], env=env, log=log, stdin=reading) as alive:
            inside = {"PGUSER": SUPERUSER, "PGHOST": SOCKETS, "LC_ALL": "C.UTF-8", "PGAPPNAME": "resticwrap"}
            names = [word for one in inside for word in ("-e", one)]
            access = Access({**env, **inside}, ("docker", "exec", "-i", *names, name))
            until_up(access, alive, log, cancel)
            yield PostgresServer(access, f"a scratch server in a container of {image}", cancel)
            os.close(writing)
            writing = -1
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
        process.run(["docker", "rm", "-f", name], env=env, timeout=SHORT)


def image_of(container: str, env: Mapping[str, str]) -> str:
    """The image that a container was made of. Raises DatabaseUnavailable."""
    result = process.run(["docker", "inspect", "--format", "{{.Image}}", container], env=env, timeout=SHORT)
    if result.code:
        raise errors.DatabaseUnavailable(f"There is no container {container}: {result.stderr.strip()}.")
    return result.stdout.decode().strip()


def docker_env() -> dict[str, str]:
    """What Docker's client may see of our environment."""
    return {"PATH": os.defpath, **{name: os.environ[name] for name in (*OURS[:2], *DOCKERS) if name in os.environ}}
