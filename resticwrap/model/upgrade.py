"""Upgrades that can be gone back on: a pinned snapshot, the gate, the command, a drill."""

from typing import Any, Literal

import msgspec

from resticwrap.model.aging import SnapshotPin
from resticwrap.model.base import Time, Value, convert, from_json, to_json
from resticwrap.model.gate import GateReport
from resticwrap.model.job import Job
from resticwrap.model.reports import BackupPlan

Step = Literal["snapshot", "pin", "gate", "command", "drill", "rollback", "release", "done"]
STEPS: tuple[Step, ...] = ("snapshot", "pin", "gate", "command", "drill", "rollback", "release", "done")
"""In their order; a rollback only where command or drill failed."""


class UpgradeDetails(Value, frozen=True):
    """`details` of an upgrade's job. `step` is what it is at, or ended at: what comes before it is done.

    `command` is the name of what was run, without its arguments, which may hold secrets; `pid` its process. `gate` are
    the keys of the reasons that closed it. `rollback` is the restore that brought the old data back.
    """

    step: Step = "snapshot"
    command: str = ""
    reason: str = ""
    snapshot_job: str = ""
    pin: str = ""
    gate_open: bool | None = None
    gate: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()
    pid: int | None = None
    command_at: Time | None = None
    exit_code: int | None = None
    drill: str = ""
    drill_ok: bool | None = None
    rollback: str = ""
    rolled_back: bool = False
    released: bool = False

    def builtins(self) -> dict[str, Any]:
        """As a job carries them, and as they come back with it."""
        return from_json(dict[str, Any], to_json(self))


def upgrade_details(job: Job) -> UpgradeDetails | None:
    """The details of an upgrade's job, None where it has none that can be read."""
    try:
        return convert(UpgradeDetails, job.details)
    except msgspec.ValidationError:
        return None


class PreUpgradeReport(Value, frozen=True):
    """The snapshot before an upgrade. `job` is the backup's, whose id goes into the release ticket. Without a `pin`
    where not every domain was seen whole: there is nothing safe to go back to."""

    job: Job
    pin: SnapshotPin | None = None
    notes: tuple[str, ...] = ()


class UpgradePlan(Value, frozen=True):
    """What an upgrade would do: the backup, then these steps; and what the gate says now, before that backup."""

    target: str
    command: str
    backup: BackupPlan
    steps: tuple[str, ...]
    gate: GateReport


class UpgradeReport(Value, frozen=True):
    """How an upgrade ended. `next` are the commands to run, first things first."""

    job: Job
    upgrade: UpgradeDetails
    verdict: Literal["ok", "gate_closed", "command_failed", "drill_failed", "interrupted", "failed"]
    gate: GateReport | None = None
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class UpgradeLeft(Value, frozen=True):
    """A pin that an upgrade (or a snapshot before one) holds, what was left to do, and how."""

    pin: SnapshotPin
    job: str
    at: Time
    running: bool
    said: str
    next: tuple[str, ...]


class UpgradeStatus(Value, frozen=True):
    """What upgrades of a target left. `released` are pins that were given up just now."""

    target: str
    left: tuple[UpgradeLeft, ...] = ()
    released: tuple[SnapshotPin, ...] = ()
    notes: tuple[str, ...] = ()
