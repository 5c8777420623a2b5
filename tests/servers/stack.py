"""The compose file brought up for a test: a project of its own, with data, secrets and an S3 server of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import engine
from .child import free_ports

SECONDS = 120
USER = 10001
"""The image's own user, to whom the data is given where we may; else the user that we are runs the containers."""
DOMAINS = ("exam_uploads", "ocr_texts", "score_sheets", "student_profiles", "tenant_config", "rw_state")
"""As many of the shipped domains as tests need."""
NOTHING: Mapping[str, str] = {}


@dataclass
class Stack:
    """One project of docker compose. `files` lie over the compose file, `env` is its .env."""

    folder: Path
    env: dict[str, str]
    files: list[Path] = field(default_factory=list)
    project: str = field(default_factory=lambda: f"rw-test-{os.getpid()}-{secrets.token_hex(3)}")
    hidden: list[str] = field(default_factory=list, repr=False)
    """Secrets that may show up nowhere."""

    @property
    def data(self) -> Path:
        return self.folder / "teaching"

    @property
    def restored(self) -> Path:
        return self.folder / "restored"

    def secret(self, name: str) -> str:
        """Put a new secret where the containers can read it, below a folder that is private. Returns its place."""
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        self.hidden.append(secrets.token_urlsafe(24))
        path.write_text(f"{self.hidden[-1]}\n")
        path.chmod(0o644)
        return str(path)

    def write_policy(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a policy file of the test's own over a shipped one."""
        (self.folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump(dict(content), sort_keys=False))

    def policy(self, name: str) -> dict[str, Any]:
        """A policy file as it is now."""
        content: dict[str, Any] = yaml.safe_load((self.folder / "policies" / f"{name}.yaml").read_text("utf-8"))
        return content

    def compose(
        self,
        *arguments: str,
        code: int | None = 0,
        timeout: float = SECONDS,
        env: Mapping[str, str] = NOTHING,
    ) -> subprocess.CompletedProcess[str]:
        """Run docker compose; asserts its exit code unless it is None, and that no secret is in what it says."""
        written = self.folder / "env"
        values = {**self.env, **env, "RW_ENV_FILE": str(written)}
        written.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        files = [word for file in (engine.COMPOSE_FILE, *self.files) for word in ("-f", str(file))]
        command = ("compose", "-p", self.project, "--env-file", str(written), *files, *arguments)
        done = engine.docker(*command, timeout=timeout, check=False)
        self.hides_secrets(done.stdout + done.stderr)
        assert code is None or done.returncode == code, (
            f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def run(
        self,
        service: str,
        *arguments: str,
        options: tuple[str, ...] = (),
        code: int | None = 0,
        env: Mapping[str, str] = NOTHING,
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm SERVICE …`, as an operator types it."""
        return self.compose("run", "--rm", "-T", *options, service, *arguments, code=code, env=env)

    def json(self, service: str, *arguments: str, code: int | None = 0, env: Mapping[str, str] = NOTHING) -> Any:
        """The document that a one-shot prints with `--json`."""
        return json.loads(self.run(service, *arguments, "--json", code=code, env=env).stdout)

    def shell(self, service: str, script: str, *, code: int | None = 0, env: Mapping[str, str] = NOTHING) -> str:
        """What a shell script prints in a one-shot's container."""
        return self.run(service, "-c", script, options=("--entrypoint", "sh"), code=code, env=env).stdout

    def start(self, service: str, *arguments: str, env: Mapping[str, str] = NOTHING) -> str:
        """Start a one-shot in the background; its container's id."""
        return self.compose("run", "-d", "-T", service, *arguments, env=env).stdout.strip()

    def containers(self) -> dict[str, list[str]]:
        """The states of the project's containers by service, those of one-shots among them."""
        listed = self.compose("--profile", "*", "ps", "--orphans", "--all", "--format", "json").stdout
        found: dict[str, list[str]] = {}
        for container in map(json.loads, listed.splitlines()):
            found.setdefault(container["Service"], []).append(container["State"])
        return found

    def hides_secrets(self, text: str) -> None:
        """Asserts that none of the secrets is in a text; says which one it is, not what it is."""
        assert not [place for place, secret in enumerate(self.hidden) if secret in text]

    def down(self) -> None:
        """Take everything down, one-shots and volumes too."""
        own = f"label=com.docker.compose.project={self.project}"
        if left := engine.docker("ps", "-aq", "--filter", own, check=False).stdout.split():
            engine.docker("rm", "-f", "-v", *left, check=False)
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "1", code=None)


@contextmanager
def start_stack(folder: Path, **env: str) -> Iterator[Stack]:
    """A stack with the example data and an S3 server that answers; skips the test where there is no Docker.

    `env` goes into its .env. Nothing of rw was run yet.
    """
    engine.require()
    engine.build()
    stack = Stack(folder, {})
    make_data(stack.data)
    stack.restored.mkdir()
    stack.restored.chmod(0o777)
    (folder / "policies").mkdir()
    for shipped in (engine.ROOT / "policies").glob("*.yaml"):
        (folder / "policies" / shipped.name).write_bytes(shipped.read_bytes())
    domains = stack.policy("domains")
    stack.write_policy("domains", {**domains, "domains": {name: domains["domains"][name] for name in DOMAINS}})
    stack.write_policy("schedule", {**stack.policy("schedule"), "verify": {"share": "1/2", "sample": 6}})
    key, secret_file = f"rw{secrets.token_hex(6)}", stack.secret("aws")
    identity = {
        "name": "rw",
        "credentials": [{"accessKey": key, "secretKey": stack.hidden[-1]}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    stack.env = {
        "RW_IMAGE": engine.IMAGE,
        "DEV_S3_IMAGE": engine.DEV_S3_IMAGE,
        "DEV_S3_CONFIG": str(folder / "s3.json"),
        "DEV_S3_PORT": str(free_ports(1)[0]),
        "BACKUP_TARGET_DEFAULT": "s3",
        "S3_BUCKET": "school",
        "S3_REGION": "us-east-1",
        "S3_ENDPOINT": "http://dev-s3:8333",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY_FILE": secret_file,
        "RESTIC_PASSWORD_FILE": stack.secret("restic"),
        "TEACHING_ROOT": str(stack.data),
        "RW_POLICIES": str(folder / "policies"),
        "RW_RESTORE_DIR": str(stack.restored),
        **({} if os.getuid() == 0 else {"RW_UID": str(os.getuid())}),
        **env,
    }
    try:
        stack.compose("--profile", "dev-s3", "up", "-d", "--wait")
        yield stack
    finally:
        stack.down()


def make_data(folder: Path) -> None:
    """The example data, owned by the user of the image where that can be."""
    make = engine.ROOT / "examples" / "teaching" / "make.py"
    subprocess.run([sys.executable, str(make), str(folder)], check=True, stdout=subprocess.DEVNULL, timeout=60)
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, USER, 0, follow_symlinks=False)
