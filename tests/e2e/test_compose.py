"""The image and the compose file for real: built, brought up, used as docs/docker.md says, and killed."""

import json
import re
import secrets
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import docs
from tests.lab import tree
from tests.servers import engine
from tests.servers.stack import USER, Stack, start_stack

DOCUMENT = "docs/docker.md"
ONE_SHOTS = {"backup-runner", "backup-daily-full", "backup-verify", "backup-restore"}
BACKUP = {"backup-scheduler", *ONE_SHOTS}
DEVELOPMENT = {"dev-s3", "prometheus", "grafana"}
AS_ROOT = {"RW_UID": "0", "RW_GID": "0"}
OWN_FOLDERS = ("/var/lib/resticwrap", "/var/cache/resticwrap", "/var/tmp")
BARE_RESTIC = """
    export AWS_SECRET_ACCESS_KEY=$(cat $AWS_SECRET_ACCESS_KEY_FILE)
    restic -r s3:http://dev-s3:8333/school/teaching/hot snapshots --json --no-lock
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose target has its repositories and a first backup."""
    with start_stack(tmp_path_factory.mktemp("stack")) as stack:
        follow(stack, "First start")
        yield stack


def follow(stack: Stack, section: str) -> None:
    """Do what a section of docs/docker.md says, and see what it shows."""
    blocks = [one for one in docs.blocks(DOCUMENT) if (one.mark, one.section) == ("docker", section)]
    assert blocks
    for step in (step for block in blocks for step in docs.steps(block)):
        words = shlex.split(step.command)
        assert words[:2] == ["docker", "compose"]
        said = stack.compose(*words[2:], code=None)
        assert all(docs.shown(line, said.stdout) for line in step.shows), (step, said.stdout, said.stderr)


def config(env_file: Path, profile: str = "*") -> dict[str, Any]:
    """What compose makes of the file, by service."""
    done = engine.docker(
        *("compose", "--env-file", str(env_file), "-f", str(engine.COMPOSE_FILE)),
        *("--profile", profile, "config", "--format", "json"),
        env={"RW_ENV_FILE": str(env_file)},
    )
    assert not done.stderr, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def run_of(report: Any) -> Any:
    """What became of the only domain of a backup."""
    (run,) = report["job"]["domains"]
    return run


def wait_for_restic(container: str) -> None:
    until = time.monotonic() + 20
    while "restic" not in engine.docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/comm", check=False).stdout:
        running = engine.docker("inspect", "-f", "{{.State.Running}}", container).stdout.strip() == "true"
        assert running and time.monotonic() < until, engine.docker("logs", container)
        time.sleep(0.1)


def test_the_file_holds_with_and_without_variables(tmp_path: Path) -> None:
    """Without any .env, and with the shipped one, compose understands all services; `up` starts no one-shot."""
    engine.require()
    example = engine.ROOT / ".env.example"
    named = set(re.findall(r"[A-Z][A-Z0-9_]+", example.read_text("utf-8")))
    (tmp_path / "none").write_text("")
    for env_file in (tmp_path / "none", example):
        services = config(env_file)
        assert set(services) == BACKUP | DEVELOPMENT
        assert services["backup-runner"]["environment"].keys() <= named, "the shipped .env does not tell of all"
        assert set(config(env_file, profile="backup")) == {"backup-scheduler"}
        for name in BACKUP:
            service = services[name]
            assert "hostname" not in service and "container_name" not in service and "privileged" not in service
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
            writable = [mount["target"] for mount in service["volumes"] if not mount.get("read_only")]
            assert ("/srv/teaching" in writable) == (name == "backup-restore")


def test_a_backup_is_verified_and_comes_back(stack: Stack) -> None:
    """What the one-shots backed up is proven by the verify, and comes back beside the live data and in place of it, as
    docs/docker.md says. A bare restic sees the host that the policies name."""
    follow(stack, "Jobs by hand")
    snapshots = json.loads(stack.shell("backup-runner", BARE_RESTIC))
    assert {snapshot["hostname"] for snapshot in snapshots} == {"teaching"}
    assert {tag for snapshot in snapshots for tag in snapshot["tags"] if tag.startswith("type=")} == {"type=full"}

    follow(stack, "Restore")
    assert tree(stack.restored / "student_profiles") == tree(stack.data / "serving" / "student_profiles")

    live = stack.data / "serving" / "tenant_config" / "tenant.json"
    before = live.read_bytes()
    stack.shell("backup-restore", "echo spoilt > /srv/teaching/serving/tenant_config/tenant.json")
    assert live.read_bytes() == b"spoilt\n"
    stack.run("backup-restore", "restore", "--domain", "tenant_config", "--in-place", "--force")
    assert live.read_bytes() == before


def test_a_runner_can_write_nothing_but_its_own(stack: Stack) -> None:
    """Sources, policies and the image are read-only, the user is unprivileged, nothing gives it rights back, and no
    build tool is left."""
    script = """
        for folder in /srv/teaching /etc/resticwrap/policies /usr /opt/resticwrap /home/resticwrap; do
          touch $folder/written 2>/dev/null && echo written $folder
        done
        for folder in /var/lib/resticwrap /var/cache/resticwrap /var/backups/resticwrap /var/tmp /tmp; do
          touch $folder/written && rm $folder/written || echo not written $folder
        done
        grep -E "^(CapEff|CapPrm|NoNewPrivs)" /proc/self/status | tr -d "\t"; id -u; command -v gcc pip pip3
    """
    said = stack.shell("backup-runner", script, code=None).split()
    user = stack.env.get("RW_UID", str(USER))
    assert said == ["CapPrm:0000000000000000", "CapEff:0000000000000000", "NoNewPrivs:1", user]


def test_secrets_stay_in_their_files(stack: Stack) -> None:
    """No secret is in what Docker tells of a container, in its log, or in the image."""
    container = stack.start("backup-runner", "doctor", "-v")
    engine.docker("wait", container)
    log = engine.docker("logs", container)
    assert "answers and lets us in" in log.stdout
    told = [engine.docker(*words).stdout for words in (
        ("inspect", container), ("image", "inspect", engine.IMAGE), ("history", "--no-trunc", engine.IMAGE),
    )]  # fmt: skip
    for text in (log.stdout, log.stderr, *told):
        stack.hides_secrets(text)


def test_a_killed_job_is_gone_on_with(stack: Stack) -> None:
    """A job killed in its container holds nobody up: containers have names of their own, so its locks are known to be
    dead. A job that is stopped ends cleanly."""
    slow, domains = {"RW_LIMIT_UPLOAD": "400"}, ("exam_uploads", "ocr_texts")
    for domain in domains:
        (stack.data / "raw" / domain / "scan.bin").write_bytes(secrets.token_bytes(12_000_000))
    stopped, killed = (stack.start("backup-runner", "backup", "--domain", name, env=slow) for name in domains)
    for container in (stopped, killed):
        wait_for_restic(container)
    names = {engine.docker("inspect", "-f", "{{.Config.Hostname}}", one).stdout.strip() for one in (stopped, killed)}
    assert len(names) == 2
    engine.docker("kill", "--signal", "KILL", killed)
    engine.docker("stop", stopped)
    assert engine.docker("inspect", "-f", "{{.State.ExitCode}}", stopped).stdout.strip() == "130"

    again = stack.json("backup-runner", "backup", *(word for name in domains for word in ("--domain", name)))["job"]
    assert [(run["outcome"], run["files_new"]) for run in again["domains"]] == [("ok", 1), ("ok", 1)]
    assert "running" not in {row["outcome"] for row in stack.json("backup-runner", "history")["rows"]}
    stack.run("backup-runner", "prune", "--now")


def test_root_reads_all_and_writes_nothing(stack: Stack) -> None:
    """What the unprivileged user may not read makes a backup partial; root, with a single right of root's, reads it and
    writes no source. What belongs to one user is given to another by one command."""
    private = "/srv/teaching/raw/score_sheets/private"
    hide = f"mkdir {private} && echo 5 > {private}/sheet && chmod 700 {private} && chown -R 5000 {private}"
    stack.shell("backup-restore", hide, env=AS_ROOT)
    backup = ("backup", "--domain", "score_sheets")
    assert run_of(stack.json("backup-runner", *backup, code=3))["outcome"] == "partial"

    give = ("run", "--rm", "-T", "--entrypoint", "chown", "backup-restore", "-R")
    stack.compose(*give, "0:0", *OWN_FOLDERS, env=AS_ROOT)
    assert run_of(stack.json("backup-runner", *backup, env=AS_ROOT))["outcome"] == "ok"
    assert (
        "Read-only"
        in stack.run("backup-runner", f"{private}/new", options=("--entrypoint", "touch"), code=1, env=AS_ROOT).stderr
    )
    stack.compose(*give, f"{stack.env.get('RW_UID', USER)}:0", *OWN_FOLDERS, env=AS_ROOT)
    stack.shell("backup-restore", f"rm -r {private}", env=AS_ROOT)
    assert run_of(stack.json("backup-runner", *backup))["outcome"] == "ok"


def test_it_lies_over_a_stack_of_ones_own(stack: Stack, tmp_path: Path) -> None:
    """Over an operator's stack, `up` starts the operator's services and the scheduler; the one-shots see the
    operator's volumes, read-only."""
    (theirs,) = [yaml.safe_load(block.body) for block in docs.blocks(DOCUMENT) if block.mark == "overlay"]
    writes = "echo rows > /var/tmp/table && exec sleep 1000"
    theirs["services"]["platform"] |= {"image": engine.IMAGE, "entrypoint": ["sh", "-c", writes]}
    theirs["services"]["platform"]["volumes"] = ["uploads:/var/tmp"]  # its user may write there
    policy, *_ = [yaml.safe_load(block.body) for block in docs.blocks(DOCUMENT) if block.kind == "yaml"]
    domains = stack.policy("domains")
    stack.write_policy("domains", {**domains, "domains": domains["domains"] | policy["domains"]})
    (tmp_path / "school.yml").write_text(yaml.safe_dump(theirs))
    stack.files = [tmp_path / "school.yml"]
    before = stack.containers().keys()
    stack.compose("--profile", "backup", "up", "-d", "--no-recreate")
    stack.compose("--profile", "backup", "stop", "backup-scheduler")
    came = stack.containers().keys() - before
    assert came == {"platform", "backup-scheduler"}
    run = run_of(stack.json("backup-runner", "backup", "--domain", "uploads"))
    assert (run["outcome"], run["files"]) == ("ok", 1)
    assert (
        "Read-only" in stack.run("backup-runner", "/srv/uploads/new", options=("--entrypoint", "touch"), code=1).stderr
    )
