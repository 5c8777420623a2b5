"""What runs at this moment, and the room that is left for it."""

from resticwrap.model.base import Time, Value
from resticwrap.model.job import JobKind
from resticwrap.model.snapshot import SnapshotType


class PieceProgress(Value, frozen=True):
    """How far one piece of a job is: a domain, or a step. `outcome` is null while it runs or waits; a total is null
    where it is not known."""

    name: str
    started_at: Time | None = None
    finished_at: Time | None = None
    outcome: str | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    files_done: int = 0
    files_total: int | None = None
    seconds_left: float | None = None
    errors: int = 0


class JobProgress(Value, frozen=True):
    """How far a running job is, as it said itself at `updated_at`; before it has said anything, its record alone."""

    job: str
    kind: JobKind
    target: str
    host: str
    pid: int
    started_at: Time
    updated_at: Time
    type: SnapshotType | None = None
    phase: str = ""
    pieces: tuple[PieceProgress, ...] = ()


class DiskSpace(Value, frozen=True):
    """Room on a disk of this machine, in bytes: of a local target, and of the state directory."""

    what: str
    path: str
    free: int
    total: int
