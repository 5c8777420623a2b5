"""A machine to try `rw` on: policies, data, a state directory and a target, all of one test's own.

Commands run as an operator runs them, in a process of their own, or inside this one through `house()`.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from resticwrap.bootstrap import House, house
from resticwrap.clock import Clock
from resticwrap.host.holders import find
from resticwrap.report.progress import QuietWatcher
from tests import warm
from tests.handmade import cheap_key

PASSWORD = "correct horse battery staple"
RAW = {"layer": "raw", "priority": "P0"}
SERVING = {"layer": "serving", "priority": "P1"}


@dataclass
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """One document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Lab:
    """Domains `exams` (raw) and `profiles` (serving) below `data`, target `main`. `target` is its policy."""

    folder: Path
    restic: Path
    target: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("policies", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o600)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RW_RESTIC": str(self.restic),
            "RW_POLICIES": str(self.folder / "policies"),
            "RW_STATE_DIR": str(self.state),
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
            "RESTIC_PASSWORD_FILE": str(self.folder / "password"),
            "COLUMNS": "100",
            **self.env,
        }
        if not self.domains:
            self.domains = {"exams": self.files("exams", RAW), "profiles": self.files("profiles", SERVING)}
        self.write_policies()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def store(self) -> Path:
        """The folder of a local target."""
        return Path(self.target["path"])

    def manifests(self) -> list[Path]:
        """The manifests in a local target, oldest first; ids of jobs of one second say nothing about their order."""
        return sorted(self.store.rglob("backup_manifest.json"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def namespace(self) -> str:
        return str(self.target.get("namespace", "resticwrap"))

    def files(self, name: str, like: Mapping[str, Any] = SERVING, **more: Any) -> dict[str, Any]:
        """A domain of files below `data/NAME`, which is made."""
        (self.data / name).mkdir(parents=True, exist_ok=True)
        return {**like, "source": {"root": str(self.data / name)}, **more}

    def write_policies(self) -> None:
        """Write the policies as they are in `domains` and `target` now."""
        written: dict[str, Any] = {
            "targets.yaml": {"default": "main", "targets": {"main": self.target}},
            "domains.yaml": {"host": "lab", "domains": self.domains},
            "tiers.yaml": {
                "tiers": {
                    "hot": {"days": 30, "keep": {"within": "30d"}},
                    "cold": {"days": 180, "keep": {"daily": 180}},
                }
            },
            "schedule.yaml": {"time_zone": "UTC", "verify": {"share": "1/4", "sample": 6}},
        }
        for name, content in written.items():
            (self.folder / "policies" / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def write(self, path: str, content: bytes | str = b"") -> Path:
        """Write a file below `data`."""
        file = self.data / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def fill(self, domain: str = "exams", files: int = 5, size: int = 1000) -> None:
        """A few files of random bytes."""
        for number in range(files):
            self.write(f"{domain}/exam_{number:03d}.bin", secrets.token_bytes(size))

    def command(self, *arguments: str) -> list[str]:
        exchanges = {"--in-place", "--undo"} & {*arguments} and "--force" not in arguments
        return [sys.executable, "-m", "resticwrap", *arguments, *(answer() if exchanges else ())]

    def rw(
        self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Run:
        """Run `rw`; asserts its exit code unless `code` is None. Never a traceback, whatever the code."""
        command, env = self.command(*arguments), {**self.env, **(env or {})}
        if warm.fits(env):
            done = warm.run(command[3:], env=env, cwd=self.folder, timeout=timeout)
        else:
            done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, timeout=timeout, check=False)
        run = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in run.err, run.err
        assert PASSWORD not in run.out + run.err
        assert code is None or run.code == code, f"rw {arguments} exited {run.code}\n{run.out}\n{run.err}"
        return run

    def json(self, *arguments: str, code: int | None = 0, **more: Any) -> Any:
        """Run `rw … --json` and read its document."""
        return self.rw(*arguments, "--json", code=code, **more).json

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start `rw` and let it run; in a session of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env={**self.env, **(env or {})},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @contextmanager
    def house(self, clock: Clock | None = None) -> Iterator[House]:
        """What commands build, inside this process."""
        with house(self.folder / "policies", None, QuietWatcher(), env=self.env, clock=clock) as built:
            yield built

    def bare(self, *arguments: str, tier: str = "hot", check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        """Bare restic with the same password, on the repository that `rw` made."""
        return subprocess.run(
            self.bare_command(*arguments, tier=tier),
            env=self.bare_env(),
            cwd=self.folder,
            capture_output=True,
            check=check,
            timeout=120,
        )

    def run(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        """Run what `bare_command` gave."""
        return subprocess.run(
            command, env=self.bare_env(), cwd=self.folder, capture_output=True, check=True, timeout=120
        )

    def bare_command(self, *arguments: str, tier: str = "hot") -> list[str]:
        with self.house() as built:
            access = built.store.restic_access()
        options = [word for option in access.options for word in ("-o", option)]
        if access.ca_file:
            options += ["--cacert", str(access.ca_file)]
        return [str(self.restic), "-r", access.url(tier), *options, "--no-cache", *arguments]

    def bare_env(self) -> dict[str, str]:
        with self.house() as built:
            return {**self.env, **built.store.restic_access().env}

    def copy_state_away(self) -> None:
        """As on a bare machine: no state, no cache."""
        for name in ("state", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@cache
def answer() -> tuple[str, ...]:
    """What somebody has to add where rw cannot see every process (in a container, or not as root): nothing of a lab's
    data is in use."""
    report = find(Path(sys.prefix))
    return ("--force",) if report.unseen or report.namespaced else ()


def tree(folder: Path) -> dict[str, Any]:
    """What lies below a folder: bytes, links and modes, for comparing two."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("dir", path.stat().st_mode)
        else:
            found[name] = ("file", path.stat().st_mode, path.read_bytes())
    return found


@cache
def template(restic: Path) -> Path:
    """A pair of empty repositories (hot, and cold with hot's chunker) with a key that opens in no time.

    Made once in a process; restic takes seconds to calibrate a key, and half a second to open one.
    """
    folder = Path(tempfile.mkdtemp(prefix="rw-template-"))
    lab = Lab(folder / "lab", restic, {"provider": "local", "path": str(folder / "store")})
    lab.rw("init")
    for tier in ("hot", "cold"):
        master = lab.bare("cat", "masterkey", tier=tier).stdout
        cheap_key(lab.store / lab.namespace / tier, PASSWORD, master)
    return lab.store / lab.namespace


def remove_template(restic: Path) -> None:
    """Remove what `template` made."""
    if template.cache_info().currsize:
        shutil.rmtree(template(restic).parents[1], ignore_errors=True)


def template_files(restic: Path) -> Sequence[tuple[str, bytes]]:
    """The template's files by key, for a bucket."""
    root = template(restic)
    return [(str(path.relative_to(root)), path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()]
