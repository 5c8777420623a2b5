"""Docker as the tests use it: whether an engine answers, and the images that are built for them.

`python -m tests.servers.engine` builds them beforehand. On a machine without Docker: `make engine`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from .child import ServerFailed
from .weed import weed_binary

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
IMAGE = "resticwrap:test"
DEV_S3_IMAGE = "resticwrap-dev-s3:test"
BASE = os.environ.get("BASE_IMAGE", "debian:trixie-slim")
_INHERITED = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "BASE_IMAGE")
_BUILD_SECONDS = 600
_DEV_S3 = """\
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends busybox && ln -s /bin/busybox /usr/local/bin/wget
COPY weed /usr/local/bin/weed
"""
"""What an image of SeaweedFS has that the compose file uses: weed, and a wget for its health."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What docker may see of ours: none of the variables that the compose file reads."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(more or {})


def docker(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the docker client. Raises ServerFailed with what it said, unless `check` is off."""
    done = subprocess.run(
        ["docker", *arguments],
        env=environment(env),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode != 0:
        raise ServerFailed(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@cache
def lacking() -> str:
    """What is missing for tests with Docker; nothing where all is there."""
    if not shutil.which("docker"):
        return "there is no docker client"
    if docker("compose", "version", check=False).returncode != 0:
        return "docker has no compose plugin"
    if docker("version", check=False).returncode != 0:
        return "no Docker engine answers"
    return ""


def require() -> None:
    """Skip the test where there is no Docker: the suite on a developer's machine needs none."""
    if reason := lacking():
        pytest.skip(f"{reason}: make engine")


@cache
def build() -> None:
    """Build the images, or find them built. One process builds at a time. Raises ServerFailed."""
    with alone(), tempfile.TemporaryDirectory(prefix="rw-build-") as name:
        folder = Path(name)
        (folder / "dev-s3").mkdir()
        (folder / "dev-s3" / "Dockerfile").write_text(_DEV_S3)
        shutil.copy(weed_binary(), folder / "dev-s3" / "weed")
        args = {"BASE": BASE}
        with_context = {"services": {"dev-s3": {"build": {"context": str(folder / "dev-s3"), "args": args}}}}
        (folder / "dev-s3.json").write_text(json.dumps(with_context))
        (folder / "pip.conf").write_text(pip_configuration())
        (folder / "env").write_text("")
        docker(
            *("compose", "--env-file", str(folder / "env"), "-f", str(COMPOSE_FILE), "-f", str(folder / "dev-s3.json")),
            *("build", "--quiet", "backup-runner", "dev-s3"),
            env={
                "RW_IMAGE": IMAGE,
                "DEV_S3_IMAGE": DEV_S3_IMAGE,
                "RW_ENV_FILE": str(folder / "env"),
                "PIP_CONFIG_FILE": str(folder / "pip.conf"),
            },
            timeout=_BUILD_SECONDS,
        )


def pip_configuration() -> str:
    """What of this machine's pip configuration holds inside of a build too: indexes that are no folders of its own."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    lines = ["[global]"]
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name, values = key.rpartition(".")[2], value.strip("'\"").replace("\\n", " ").split()
        if name in ("index-url", "extra-index-url"):
            values = [address for address in values if address.startswith(("http://", "https://"))]
        elif name not in ("trusted-host", "proxy", "timeout"):
            continue
        if values:
            lines.append(f"{name} = {' '.join(values)}")
    return "\n".join([*lines, ""])


@contextmanager
def alone() -> Iterator[None]:
    """Several processes of one suite need the same images."""
    with (Path(tempfile.gettempdir()) / f"rw-images-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    if lacking():
        sys.exit(f"{lacking()}: make engine")
    build()
    from tests.servers import postgres_container

    postgres_container.build()
