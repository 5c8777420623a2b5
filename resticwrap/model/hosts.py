"""What `rw status --all-hosts` shows: all machines of a catalogue, by what each promises."""

from resticwrap.model.base import Time, Value
from resticwrap.model.job import DomainOutcome
from resticwrap.model.snapshot import Layer, Priority


class HostDomainStatus(Value, frozen=True):
    """One domain of a machine. `rpo` and `rpo_lag` are seconds; no lag: no complete look of which the snapshot is
    known."""

    domain: str
    layer: Layer
    priority: Priority
    rpo: float
    rpo_lag: float | None
    within: bool
    last_outcome: DomainOutcome | None
    last_looked_at: Time | None


class HostStatus(Value, frozen=True):
    """One machine and target. `within` counts the domains within their objective; `worst` is the one that is furthest
    beyond it, or nearest to it, and `worst_lag` its lag in seconds (None: never backed up). `failed` counts the backup
    jobs of the last 24 hours that failed or were interrupted. Verifies and drills are of the target, whoever ran them.
    `heard_at` is when the machine last said what it promises, which each backup does at its end."""

    host: str
    target: str
    domains: int
    within: int
    worst: str
    worst_lag: float | None
    last_job: str | None
    last_outcome: DomainOutcome | None
    last_at: Time | None
    failed: int
    last_verify: Time | None
    last_verify_ok: bool | None
    last_drill: Time | None
    last_drill_ok: bool | None
    heard_at: Time
    rows: tuple[HostDomainStatus, ...]


class HostsReport(Value, frozen=True):
    """All machines of the catalogue, the ones with something late first."""

    at: Time
    hosts: tuple[HostStatus, ...]
    notes: tuple[str, ...] = ()
