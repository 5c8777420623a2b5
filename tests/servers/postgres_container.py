"""A real PostgreSQL in a container, of Debian's package, which asks for its password on its socket too."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import engine
from .child import ServerFailed

_DOCKERFILE = """\
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \\
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
USER postgres
CMD ["sh", "-c", "umask 077 && echo \\"$POSTGRES_PASSWORD\\" >/tmp/pw && initdb -D /tmp/data -A scram-sha-256 \
--pwfile /tmp/pw --no-sync -E UTF8 \
>/dev/null && echo host all all all scram-sha-256 >>/tmp/data/pg_hba.conf \
&& exec postgres -D /tmp/data -c fsync=off -c listen_addresses=* \
-c wal_level=minimal -c max_wal_senders=0"]
"""
IMAGE = f"resticwrap-postgres:test-{hashlib.sha256(_DOCKERFILE.encode()).hexdigest()[:12]}"


@dataclass
class Contained:
    """One container, as a service of a compose project would be labelled."""

    name: str
    project: Path
    password: str = field(repr=False)

    def sql(self, text: str, database: str = "postgres") -> str:
        """What the superuser gets of a statement."""
        env = {"PGPASSWORD": self.password}
        words = ("-e", "PGPASSWORD", self.name, "psql", "-XqAt", "-U", "postgres", "-d", database, "-c", text)
        return engine.docker("exec", *words, env=env).stdout.strip()

    @property
    def address(self) -> str:
        """Its address on Docker's bridge."""
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return engine.docker("inspect", "--format", shown, self.name).stdout.strip()

    def processes(self) -> str:
        """What runs in it, with its arguments."""
        return engine.docker("top", self.name, "-eo", "pid,args").stdout


def build() -> None:
    """Build the image, or find it built. Raises ServerFailed."""
    with engine.alone(), tempfile.TemporaryDirectory(prefix="rw-build-") as folder:
        if engine.docker("image", "inspect", IMAGE, check=False).returncode == 0:
            return
        (Path(folder) / "Dockerfile").write_text(_DOCKERFILE)
        engine.docker("build", "--quiet", "--build-arg", f"BASE={engine.BASE}", "-t", IMAGE, folder, timeout=600)


@contextmanager
def start_contained(project: Path) -> Iterator[Contained]:
    """A container for the block, labelled as the service `db` of the compose project in this folder."""
    build()
    made = Contained(f"rw-test-pg-{secrets.token_hex(4)}", project, secrets.token_urlsafe(12))
    labels = {
        "com.docker.compose.service": "db",
        "com.docker.compose.project.working_dir": str(project),
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.container-number": "1",
    }
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    engine.docker(
        *("run", "-d", "--rm", "--name", made.name, "-e", "POSTGRES_PASSWORD", *words, IMAGE),
        env={"POSTGRES_PASSWORD": made.password},
    )
    try:
        deadline = time.monotonic() + 60
        while engine.docker("exec", made.name, "pg_isready", "-q", check=False).returncode:
            if time.monotonic() > deadline:
                raise ServerFailed(f"it is not up: {engine.docker('logs', made.name, check=False).stderr[-500:]}")
            time.sleep(0.1)
        yield made
    finally:
        engine.docker("rm", "-f", made.name, check=False)
