"""A real repository and its runner, and wrappers around the real restic for faults at an exact point."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resticwrap.host.locks import FlockLocks
from resticwrap.model.snapshot import Tags
from resticwrap.ports import BackupRequest
from resticwrap.restic.repository import ResticRepository
from resticwrap.restic.runner import Runner, Setting
from tests.lab import Lab

TAGS = Tags(domain="exams", layer="raw", priority="P0", job="snapshot_1", type="full", tier="hot", expire_after_days=30)


@contextmanager
def setting_of(lab: Lab, **changed: Any) -> Iterator[Setting]:
    """What the lab's hot repository is run with, with something changed."""
    with lab.house() as house:
        hot = house.context.hot
        assert isinstance(hot, ResticRepository)
        limits = dataclasses.replace(hot._setting.limits, **changed.pop("limits", {}))
        yield dataclasses.replace(hot._setting, limits=limits, **changed)


@contextmanager
def runner_of(lab: Lab, on_locked: Callable[[], bool] = lambda: False, **changed: Any) -> Iterator[Runner]:
    """A runner that removes no locks."""
    with setting_of(lab, **changed) as setting:
        yield Runner(setting, on_locked)


@contextmanager
def repository_of(lab: Lab, **changed: Any) -> Iterator[ResticRepository]:
    """The lab's hot repository."""
    with setting_of(lab, **changed) as setting:
        yield ResticRepository(setting)


def script(folder: Path, body: str) -> Path:
    """A program in restic's place."""
    file = folder / f"restic-{len(list(folder.glob('restic-*')))}"
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)
    return file


def request(lab: Lab, **changed: Any) -> BackupRequest:
    """A backup of the domain `exams`."""
    fields: dict[str, Any] = {"cwd": os.fsencode(lab.data), "name": b"exams", "tags": TAGS, "host": "lab", **changed}
    return BackupRequest(**fields)


def pid_of(setting: Setting) -> int:
    """The restic that works on the repository now."""
    assert isinstance(setting.locks, FlockLocks)
    (pid,) = [lease.pid for lease in setting.locks.leases(setting.url) if lease.held]
    assert pid is not None
    return pid
