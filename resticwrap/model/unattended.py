"""What runs by itself: runs of the schedule, alerts with their history, and the machines that share a catalogue."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.snapshot import Layer, Priority

Trigger = Literal["due", "catch-up", "manual"]
"""Why a run began: its time had come; its time passed while nothing ran; somebody asked for it."""
RunOutcome = Literal["running", "ok", "partial", "failed", "interrupted", "overran", "lost"]
"""`overran`: it was stopped after its maximum run time. `lost`: the scheduler went away before it could see the end."""
Severity = Literal["critical", "warning", "info"]
AlertState = Literal["pending", "firing", "resolved"]
AlertChange = Literal["fired", "reminded", "resolved", "acknowledged", "silenced", "unsilenced", "undelivered"]


class ScheduledRun(Value, frozen=True):
    """One run of a job of the schedule on one host. `due_at` is the moment of the schedule that it stands for (of a
    manual one, when it was asked for). `job` is the id of what it did, where it came so far; `lease` is what its
    process holds for as long as it lives."""

    id: str
    host: str
    name: str
    target: str
    kind: str
    trigger: Trigger
    due_at: Time
    started_at: Time
    outcome: RunOutcome = "running"
    finished_at: Time | None = None
    exit_code: int | None = None
    job: str | None = None
    message: str = ""
    lease: str = ""


class Alert(Value, frozen=True):
    """A rule that holds, or held, for one `subject` (a domain, a tier, a job of the schedule, a channel; "" where the
    rule has none). `since` is when it began to hold, `fired_at` when it was told first."""

    rule: str
    target: str
    severity: Severity
    state: AlertState
    since: Time
    message: str
    hint: str = ""
    subject: str = ""
    fired_at: Time | None = None
    told_at: Time | None = None
    resolved_at: Time | None = None
    acknowledged_by: str = ""
    acknowledged_at: Time | None = None
    silenced_until: Time | None = None


class AlertEvent(Value, frozen=True):
    """What became of an alert: a line of its history. `id` makes putting it twice harmless."""

    id: str
    host: str
    target: str
    rule: str
    subject: str
    change: AlertChange
    at: Time
    severity: Severity
    message: str
    by: str = ""


class HostDomain(Value, frozen=True):
    """A domain as one machine promises it, for those who see all machines. Durations are seconds."""

    host: str
    target: str
    domain: str
    layer: Layer
    priority: Priority
    rpo: float
    rto: float
    seen_at: Time
    repository: str = ""
    """The id of the hot repository that this machine calls by the target's name."""
