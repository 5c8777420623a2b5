"""Alerts as they are kept, told and shown. Durations are seconds."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.unattended import Alert, AlertEvent, Severity

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""The gravest first."""
ToldAs = Literal["fired", "reminded", "resolved"]


class Finding(Value, frozen=True):
    """A rule holds now for a subject. `since`: when that began, where it is known; `hold`: it is told once it was found
    for so many seconds, however short the rule's own `hold` is."""

    rule: str
    target: str
    severity: Severity
    message: str
    hint: str = ""
    subject: str = ""
    since: Time | None = None
    hold: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.rule, self.target, self.subject


class Silence(Value, frozen=True):
    """Nothing is told of a rule (of one `subject` alone, where one is given) until a time."""

    rule: str
    until: Time
    by: str
    at: Time
    subject: str = ""
    reason: str = ""


class Watched(Value, frozen=True):
    """An alert with what is needed to tell each state of it once. `cleared_at`: it has not held since; `told`: how
    grave it was when it was told (None: nobody knows of it); `flaps`: how often it came back soon after it was over."""

    alert: Alert
    cleared_at: Time | None = None
    told: Severity | None = None
    flaps: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.alert.rule, self.alert.target, self.alert.subject


class Telling(Value, frozen=True):
    """A state of an alert that somebody is to be told."""

    what: ToldAs
    alert: Alert


class ChannelState(Value, frozen=True):
    """How a channel or a check has fared. `waiting` is what it has not taken yet; `failing_since` when it began to take
    nothing. `error` is a reason without a secret."""

    name: str
    waiting: tuple[Telling, ...] = ()
    failing_since: Time | None = None
    failures: int = 0
    next_try: Time | None = None
    last_ok: Time | None = None
    error: str = ""


class AlertBook(Value, frozen=True):
    """`alerts/book.json` of the state directory: all that is known of alerts here. `events` wait for the catalogue,
    `summed` is by channel the day on which it was given a summary last."""

    watched: tuple[Watched, ...] = ()
    silences: tuple[Silence, ...] = ()
    channels: tuple[ChannelState, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    looked_at: Time | None = None
    summed: dict[str, str] = {}
    alive_at: Time | None = None
    book_version: int = 1


class ChannelReport(Value, frozen=True):
    """A channel as a person sees it. `used` is False where its URL is not set; `waiting` is how many tellings."""

    name: str
    used: bool
    severities: tuple[Severity, ...]
    waiting: int = 0
    failing_since: Time | None = None
    last_ok: Time | None = None
    error: str = ""


class AlertsReport(Value, frozen=True):
    """What fires, the gravest first, what is pending, and with `--all` what is over. `history` is newest first."""

    target: str
    at: Time
    alerts: tuple[Alert, ...]
    silences: tuple[Silence, ...] = ()
    channels: tuple[ChannelReport, ...] = ()
    looked_at: Time | None = None
    history: tuple[AlertEvent, ...] = ()
    notes: tuple[str, ...] = ()


class Delivery(Value, frozen=True):
    """What came of telling one channel, or of one ping. `told`: of how many states. `error` says why not."""

    channel: str
    ok: bool
    told: int = 0
    seconds: float = 0.0
    error: str = ""


class AlertsCheck(Value, frozen=True):
    """One look at all rules. `told` is what is new to tell, `unknown` says by target why nobody could look at it.
    `sent` is False of a dry run."""

    at: Time
    targets: tuple[str, ...]
    findings: tuple[Finding, ...]
    told: tuple[Telling, ...]
    deliveries: tuple[Delivery, ...] = ()
    unknown: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    sent: bool = True


class AlertsTest(Value, frozen=True):
    """What came of a message to each channel and of a ping to each check. `skipped` are channels without a URL."""

    at: Time
    deliveries: tuple[Delivery, ...]
    skipped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return bool(self.deliveries) and all(one.ok for one in self.deliveries)


class AlertsChanged(Value, frozen=True):
    """What an acknowledgement or a silence changed, or (`planned`) would change."""

    action: Literal["acknowledged", "silenced", "unsilenced", "planned"]
    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
