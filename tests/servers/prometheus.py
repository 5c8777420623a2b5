"""A real Prometheus (Debian's package) on a free loopback port, with the shipped configuration and rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .child import LOOPBACK, ServerFailed, end, free_ports, tail, wait_until

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


@dataclass(frozen=True)
class Prometheus:
    """Where it answers."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API. Raises AssertionError with what it says of a wrong query."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def wait_for(self, expression: str, seconds: float = 15) -> list[Any]:
        """The same, once there is something."""
        deadline = time.monotonic() + seconds
        while not (found := self.query(expression)):
            if time.monotonic() > deadline:
                raise ServerFailed(f"nothing within {seconds:g} s: {expression}")
            time.sleep(0.1)
        return found


@contextmanager
def start_prometheus(folder: Path, scraped: int) -> Iterator[Prometheus]:
    """With the shipped configuration, but that it scrapes this loopback port, every half second."""
    program = shutil.which("prometheus")
    if program is None:
        raise ServerFailed("prometheus is needed: apt-get install --no-install-recommends prometheus")
    settings = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    settings["rule_files"] = [str(SHIPPED / pattern) for pattern in settings["rule_files"]]
    (scrape,) = settings["scrape_configs"]
    scrape["static_configs"] = [{"targets": [f"{LOOPBACK}:{scraped}"]}]
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(yaml.safe_dump(settings))
    (port,) = free_ports(1)
    command = [
        program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={LOOPBACK}:{port}", "--log.level=warn",
    ]  # fmt: skip
    with log.open("wb") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=folder)
    server = Prometheus(f"http://{LOOPBACK}:{port}")
    try:
        wait_until(lambda: _ready(server), child, log, what="prometheus")
        yield server
        assert child.poll() is None, tail(log)
    finally:
        end(child)


def _ready(server: Prometheus) -> bool:
    try:
        with urllib.request.urlopen(f"{server.url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
