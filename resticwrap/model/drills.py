"""What the commands about drills return and `--json` shows. Bytes are bytes, durations seconds, times UTC."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.drill import DrillDetails, Estimate, Level, Reason
from resticwrap.model.job import Job
from resticwrap.model.snapshot import Priority, TierName


class PlannedObject(Value, frozen=True):
    """One object of an L1's sample, as it will be restored. `path` is relative to its domain."""

    domain: str
    path: str
    snapshot: str
    size: int
    reason: Reason
    path_b64: str | None = None


class PlannedDrill(Value, frozen=True):
    """One domain of a drill: which snapshot is taken, and when its data was looked at. `objects` and `size` (bytes) are
    what comes back: of an L2 all of it, as far as the snapshot's own counts tell."""

    domain: str
    priority: Priority
    snapshot: str
    time: Time
    source_time: Time
    job: str
    objects: int
    size: int


class DrillPlan(Value, frozen=True):
    """What a drill will restore, and where; `--dry-run` shows it, a run with this seed executes it. `spread`: seconds
    between the oldest and the newest look that an L2 puts together."""

    target: str
    level: Level
    tier: TierName
    seed: int
    declared_at: Time
    scratch: str
    room: int
    domains: tuple[PlannedDrill, ...]
    objects: tuple[PlannedObject, ...] = ()
    size: int = 0
    spread: float = 0.0
    canary: bool = True
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class Missed(Value, frozen=True):
    """An objective that was not met: of a domain, or of the level (`domain` is empty). Seconds."""

    what: Literal["rpo", "rto", "level"]
    actual: float
    objective: float
    domain: str = ""


class DrillReport(Value, frozen=True):
    """How a drill ended. `ok`: everything came back as it was, and the canary was caught. `met`: within all objectives,
    which is another question."""

    job: Job
    drill: DrillDetails
    ok: bool
    met: bool
    missed: tuple[Missed, ...] = ()
    notes: tuple[str, ...] = ()


class DrillRow(Value, frozen=True):
    """One drill of the history: the worst that it measured of any domain, against that domain's objective."""

    job: str
    level: Level
    tier: TierName
    time: Time
    outcome: str
    scheduled: bool
    met: bool
    domains: int
    objects: int
    size: int
    seconds: float
    objective: float
    actual_rpo: float | None = None
    rpo: float | None = None
    actual_rto: float | None = None
    rto: float | None = None
    canary: bool | None = None
    """Whether it was sound and caught; None where none was tried."""
    error: str = ""
    phases: dict[str, float] = {}
    """Seconds."""


class DueLevel(Value, frozen=True):
    """When a level was last drilled with success, and when the next one is due (None: none is asked for)."""

    level: Level
    last: Time | None
    last_outcome: str | None
    due: Time | None
    overdue: bool


class DrillHistory(Value, frozen=True):
    """The drills of a target, newest first, what is due, and estimates for levels not drilled at full size."""

    target: str
    at: Time
    rows: tuple[DrillRow, ...]
    due: tuple[DueLevel, ...]
    estimates: tuple[Estimate, ...] = ()
