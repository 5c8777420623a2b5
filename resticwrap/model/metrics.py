"""What is told of a target to those who watch it: counts out of the catalogue, facts, and the series made of them.
Bytes are bytes, durations seconds."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.drill import Level
from resticwrap.model.reports import StatusReport
from resticwrap.model.schedule import Heartbeat
from resticwrap.model.snapshot import Layer, Priority
from resticwrap.model.unattended import Severity

MetricType = Literal["counter", "gauge", "info"]


class JobTally(Value, frozen=True):
    """The jobs of a kind, type ("" where they have none) and outcome that have ended. `seconds`: what they took, all
    together. `last_at`: when the last of them ended."""

    kind: str
    type: str
    outcome: str
    count: int
    seconds: float
    last_at: Time


class LastJob(Value, frozen=True):
    """How the last job of a kind and type ended, and how many seconds it took."""

    kind: str
    type: str
    outcome: str
    seconds: float


class RunTally(Value, frozen=True):
    """The runs of a domain that ended so. `added`: bytes that they stored."""

    domain: str
    outcome: str
    count: int
    added: int


class Room(Value, frozen=True):
    """A disk: what an ordinary user may still write there, and how large it is."""

    free: int
    total: int


class Promise(Value, frozen=True):
    """What the policy says of a domain."""

    domain: str
    layer: Layer
    priority: Priority
    rpo: float
    rto: float
    quota_bytes: int | None = None
    quota_snapshots: int | None = None


class Holding(Value, frozen=True):
    """The snapshots of a domain in a tier, and what they added when they were written."""

    domain: str
    tier: str
    snapshots: int
    stored: int


class LevelDrill(Value, frozen=True):
    """The newest drill of a level that has ended. `failed` of its `objects` did not come back as they were."""

    level: Level
    at: Time
    ok: bool
    met: bool
    seconds: float
    objects: int
    failed: int
    phases: dict[str, float] = {}


class Measured(Value, frozen=True):
    """What the newest drill of a level that brought a domain back measured."""

    domain: str
    level: Level
    rpo: float
    rto: float


class Firing(Value, frozen=True):
    """For how many subjects a rule holds; 0 for one that held before."""

    rule: str
    severity: Severity
    count: int


class Known(Value, frozen=True):
    """What the catalogue knows of a target. `day`: bytes by domain that the last 24 hours have stored. `running`: jobs
    by kind."""

    status: StatusReport
    jobs: tuple[JobTally, ...] = ()
    last: tuple[LastJob, ...] = ()
    runs: tuple[RunTally, ...] = ()
    day: dict[str, int] = {}
    held: tuple[Holding, ...] = ()
    running: dict[str, int] = {}
    drills: tuple[LevelDrill, ...] = ()
    measured: tuple[Measured, ...] = ()
    alerts: tuple[Firing, ...] = ()


class TargetFacts(Value, frozen=True):
    """One target. `known` is None where its records could not be read, and `why` says that in a sentence. `spooled`,
    `manifests` and `events` are records, manifests and evidence that wait in the state directory; None: not known."""

    target: str
    provider: str = ""
    known: Known | None = None
    why: str = ""
    promises: tuple[Promise, ...] = ()
    levels: dict[str, float] = {}
    """How long a drill of each level may take."""
    quota_bytes: int | None = None
    quota_snapshots: int | None = None
    disk: Room | None = None
    spooled: int | None = None
    manifests: int | None = None
    events: int | None = None


class PlannedJob(Value, frozen=True):
    """A job of the schedule, with its last run. `ok` is None while none has ended."""

    name: str
    target: str
    kind: str
    enabled: bool
    last: Time | None = None
    ok: bool | None = None


class MetricsFacts(Value, frozen=True):
    """All that the series are made of. `seconds`: how long it took to collect. `rooms`: disks by what lies there.
    `beat`: what a scheduler last said of itself, None where none runs."""

    at: Time
    version: str
    seconds: float = 0.0
    targets: tuple[TargetFacts, ...] = ()
    rooms: dict[str, Room] = {}
    beat: Heartbeat | None = None
    jobs: tuple[PlannedJob, ...] = ()


class Metric(Value, frozen=True):
    """One value of a series, with its labels."""

    labels: dict[str, str]
    value: float


class MetricFamily(Value, frozen=True):
    """A series by name. `unit` is "" where it has none."""

    name: str
    type: MetricType
    unit: str
    help: str
    metrics: tuple[Metric, ...] = ()


class MetricsReport(Value, frozen=True):
    """Every series as it stands. `unknown` says of which target the records could not be read, and why; `textfile` is
    the file that they were written into."""

    at: Time
    targets: tuple[str, ...]
    families: tuple[MetricFamily, ...]
    unknown: dict[str, str] = {}
    textfile: str = ""
