"""Ways to break things in a lab, and what must be true of every failure."""

import secrets
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.lab import Lab

SECONDS = 15.0
"""What "in seconds, not minutes" means for a command on a loaded machine with two processors."""


def refused(
    lab: Lab,
    *arguments: str,
    code: int,
    kind: str,
    env: Mapping[str, str] | None = None,
    within: float = SECONDS,
) -> dict[str, Any]:
    """Run a command that must fail in time with this code and kind of error: a sentence, a hint, no secret."""
    begun = time.monotonic()
    run = lab.rw(*arguments, "--json", code=code, env=env, timeout=120)
    took = time.monotonic() - begun
    assert took < within, f"{took:.1f} s"
    error = run.json["error"] if "error" in run.json else job_error(run.json)
    told(lab, error, run.out + run.err, env)
    assert (error["kind"], error["exit_code"]) == (kind, code), error
    return dict(error)


def job_error(report: Any) -> Any:
    """The error of a job that ended with a report: all of its domains failed for one reason."""
    errors = [run["error"] for run in report["job"]["domains"] if run["error"]]
    assert errors, report
    return errors[0]


def told(lab: Lab, error: Mapping[str, Any], said: str, env: Mapping[str, str] | None = None) -> None:
    """A sentence, a hint with something to do, and none of the lab's secrets anywhere."""
    assert error["message"].rstrip().endswith((".", "?")) and " " in error["message"], error
    assert error["hint"], error
    assert "did not foresee" not in error["message"], error
    for name, value in {**lab.env, **(env or {})}.items():
        if name in ("LAB_SECRET", "LAB_TOKEN"):
            assert value not in said


def faulty_restic(lab: Lab, script: str, *, on: str = "backup") -> dict[str, str]:
    """An environment in which `restic ON` is this shell script; "$@" are its arguments, `restic` calls the real one.

    Every other command goes straight to the real one.
    """
    wrapper = lab.folder / f"restic-{secrets.token_hex(3)}"
    wrapper.write_text(
        "#!/bin/bash\n"
        f'restic() {{ "{lab.restic}" "$@"; }}\n'
        f'for word in "$@"; do if [ "$word" = "{on}" ]; then\n{script}\nfi; done\n'
        f'exec "{lab.restic}" "$@"\n'
    )
    wrapper.chmod(stat.S_IRWXU)
    return {"RW_RESTIC": str(wrapper)}


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)


def repository_files(lab: Lab, kind: str, tier: str = "hot") -> list[Path]:
    """The files of one kind (data, index, snapshots, keys) of a local repository, oldest first."""
    folder = lab.store / lab.namespace / tier / kind
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)


def flip(file: Path, at: int | None = None) -> None:
    """Change one bit in the middle of a file, or at an offset; restic makes its files read-only."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
