"""The scheduler of the compose file for real: it works by itself, is scraped, and goes on after it was killed."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.servers import engine
from tests.servers.child import ServerFailed
from tests.servers.stack import Stack, start_stack

UP = ("--profile", "backup", "--profile", "observability", "up", "-d", "--wait", "backup-scheduler", "prometheus")
ASK = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that backs one domain up every few seconds, scraped by a Prometheus of this machine's."""
    program = shutil.which("prometheus")
    if program is None:
        raise ServerFailed("prometheus is needed: apt-get install --no-install-recommends prometheus")
    with start_stack(tmp_path_factory.mktemp("stack")) as stack:
        job = {"kind": "backup", "type": "incremental", "target": "s3", "domains": ["tenant_config"], "every": "3s"}
        stack.write_policy("schedule", {**stack.policy("schedule"), "jobs": {"incremental": job}})
        quick = {"interval": "1s", "start_period": "30s", "retries": 30}
        services = {
            "backup-scheduler": {"healthcheck": quick},
            "prometheus": {
                "image": engine.DEV_S3_IMAGE,  # any that has a wget
                "entrypoint": ["/usr/local/bin/prometheus"],
                "volumes": [f"{program}:/usr/local/bin/prometheus:ro"],
            },
        }
        stack.files = [stack.folder / "quick.json"]
        stack.files[0].write_text(yaml.safe_dump({"services": services}))
        stack.env["PROMETHEUS_PORT"] = "0"
        stack.run("backup-runner", "init")
        stack.compose(*UP)
        yield stack


def until(what: Callable[[], Any]) -> Any:
    """Ask until the answer is truthy."""
    end = time.monotonic() + PATIENCE
    while not (answer := what()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return answer


def successes(stack: Stack) -> int:
    runs = stack.json("backup-runner", "schedule", "history", "--limit", "200")["runs"]
    return sum(run["outcome"] == "ok" for run in runs)


def asked(stack: Stack, url: str) -> str:
    """What a server of the stack's network answers."""
    return stack.compose("exec", "-T", "backup-scheduler", "/opt/resticwrap/bin/python", "-c", ASK, url).stdout


def test_it_works_and_is_scraped(stack: Stack) -> None:
    """The schedule runs by itself, and its health check says so; Prometheus, as it is shipped, finds it up and its own
    rules in order."""
    until(lambda: successes(stack) >= 2)
    assert "resticwrap_" in asked(stack, "http://127.0.0.1:9823/metrics")
    api = "http://prometheus:9090/api/v1/"
    up = until(lambda: json.loads(asked(stack, f"{api}query?query=resticwrap_up"))["data"]["result"])
    assert [one["value"][1] for one in up] == ["1"]
    groups = json.loads(asked(stack, f"{api}rules"))["data"]["groups"]
    assert groups and {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}


def test_a_killed_scheduler_goes_on(stack: Stack) -> None:
    """Killed with what it runs, it starts again and goes on; nothing is left open. Stopped, it ends well."""
    (container,) = stack.compose("ps", "-q", "backup-scheduler").stdout.split()
    engine.docker("kill", "--signal", "KILL", container)
    before = successes(stack)
    stack.compose(*UP)
    until(lambda: successes(stack) > before)
    stack.compose("stop", "backup-scheduler")
    (container,) = stack.compose("ps", "-aq", "backup-scheduler").stdout.split()
    assert engine.docker("inspect", "-f", "{{.State.ExitCode}}", container).stdout.strip() == "0"
    runs = stack.json("backup-runner", "schedule", "history", "--limit", "200")["runs"]
    assert "running" not in {run["outcome"] for run in runs}
