"""What an operator writes in `alerts.yaml`: what is told, when, how often, and to whom."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, model_validator

from resticwrap.model.alerts import SEVERITIES
from resticwrap.model.fields import CLOCK, Duration, Name, ReadOnly, Secret
from resticwrap.model.frozen import Frozen
from resticwrap.model.unattended import Severity

RuleName = Literal[
    "incrementals_failed", "backup_late", "objective", "partial", "verify_failed", "damage", "drill_overdue",
    "job_failed", "migration_failed", "lifecycle", "bucket", "quota", "disk", "clock", "backup_size", "mass_change",
    "raw_changed", "scheduler", "catalog", "target", "locks", "gate", "kit", "evidence", "policies", "undelivered",
]  # fmt: skip
RULES: tuple[RuleName, ...] = get_args(RuleName)
Weight = Literal["critical", "warning", "info", "off"]


class Rule(Frozen):
    """How grave it is, and with how much patience it is told."""

    severity: Weight = "warning"
    hold: Duration | None = Field(default=None, description="it is told once it has held for that long")
    remind: Duration | None = Field(default=None, description="instead of what holds for all rules")


class InARow(Rule):
    """Something that counts when it happens several times, one after the other."""

    in_a_row: Annotated[int, Field(ge=1, le=20)] = Field(default=2, description="so many, one after the other")


class After(Rule):
    """Something that counts when it has lasted."""

    after: Duration = Field(default=timedelta(minutes=15), description="it counts after that long")


class Fullness(Rule):
    """Something that becomes full."""

    used: Annotated[float, Field(gt=0, le=1)] = Field(default=0.9, description="the share from which on it is told")


class Unusual(Rule):
    """Against the median of the domain's own complete backups before it, and their usual distance from it."""

    runs: Annotated[int, Field(ge=3, le=200)] = Field(default=8, description="with fewer before it nothing is said")
    share: Annotated[float, Field(gt=0)] = Field(default=0.5, description="at least this share off the median")
    factor: Annotated[float, Field(gt=0)] = Field(default=8.0, description="and so many times the usual distance")


DEFAULTS: Mapping[RuleName, Mapping[str, Any]] = {
    "incrementals_failed": {"severity": "critical", "in_a_row": 2},
    "backup_late": {"severity": "critical", "after": "10m"},
    "objective": {"severity": "warning", "hold": "5m"},
    "partial": {"severity": "warning", "hold": "15m", "remind": "1d"},
    "verify_failed": {"severity": "critical", "after": "8d"},
    "damage": {"severity": "critical"},
    "drill_overdue": {"severity": "warning", "remind": "1d"},
    "job_failed": {"severity": "warning", "remind": "1d"},
    "migration_failed": {"severity": "critical"},
    "lifecycle": {"severity": "warning", "remind": "1d"},
    "bucket": {"severity": "critical"},
    "quota": {"severity": "warning", "remind": "1d", "used": 0.9},
    "disk": {"severity": "critical", "used": 0.9},
    "clock": {"severity": "critical"},
    "backup_size": {"severity": "warning", "remind": "1d"},
    "mass_change": {"severity": "critical"},
    "raw_changed": {"severity": "critical", "remind": "1d"},
    "scheduler": {"severity": "critical", "after": "15m"},
    "catalog": {"severity": "warning", "after": "15m"},
    "target": {"severity": "critical", "hold": "10m"},
    "locks": {"severity": "warning", "after": "12h"},
    "gate": {"severity": "info", "hold": "15m", "remind": "1d"},
    "kit": {"severity": "warning", "remind": "7d"},
    "evidence": {"severity": "critical"},
    "policies": {"severity": "warning", "hold": "2m"},
    "undelivered": {"severity": "warning", "after": "15m"},
}
"""What each rule is where the policy says nothing of it."""


class AlertRules(Frozen):
    """Every rule; `severity: off` is not looked at."""

    incrementals_failed: InARow = Field(default_factory=InARow, description="incrementals failed one after the other")
    backup_late: After = Field(default_factory=After, description="no domain was seen whole for that long")
    objective: Rule = Field(default_factory=Rule, description="a domain's lag, or its newest drill, missed a promise")
    partial: Rule = Field(default_factory=Rule, description="the newest backup of a domain did not see everything")
    verify_failed: After = Field(default_factory=After, description="the newest verify failed, or is too long ago")
    damage: Rule = Field(default_factory=Rule, description="damage that nothing has cleared")
    drill_overdue: Rule = Field(default_factory=Rule, description="a level was not drilled well for too long")
    job_failed: Rule = Field(default_factory=Rule, description="the newest job of another kind failed")
    migration_failed: Rule = Field(default_factory=Rule, description="the newest migration failed")
    lifecycle: Rule = Field(default_factory=Rule, description="the rules that the policy wants are not in the bucket")
    bucket: Rule = Field(default_factory=Rule, description="lifecycle rules would delete live objects")
    quota: Fullness = Field(default_factory=Fullness, description="a quota is nearly used up")
    disk: Fullness = Field(default_factory=Fullness, description="a disk that is written to is nearly full")
    clock: Rule = Field(default_factory=Rule, description="this machine's clock cannot be right")
    backup_size: Unusual = Field(default_factory=Unusual, description="a backup of nothing, or of unusual size")
    mass_change: Rule = Field(default_factory=Rule, description="more of a domain changed or went than is usual")
    raw_changed: Rule = Field(default_factory=Rule, description="raw data changed or vanished")
    scheduler: After = Field(default_factory=After, description="the scheduler is silent, or a job is overdue")
    catalog: After = Field(default_factory=After, description="the catalogue cannot be used, or takes no records")
    target: Rule = Field(default_factory=Rule, description="the newest job could not reach the target")
    locks: After = Field(default_factory=After, description="a job has run for that long, or one was locked out")
    gate: Rule = Field(default_factory=Rule, description="the gate is closed")
    kit: Rule = Field(default_factory=Rule, description="no recovery kit, or one that is too old")
    evidence: Rule = Field(default_factory=Rule, description="the chain of evidence does not hold")
    policies: Rule = Field(default_factory=Rule, description="the policies do not hold")
    undelivered: After = Field(default_factory=After, description="a channel has not taken a message for that long")

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        """Each rule with what it is by default, whatever of it the operator changes."""
        if not isinstance(data, Mapping):
            return data
        given = {name: data.get(name, {}) for name in RULES}
        return dict(data) | {
            name: {**DEFAULTS[name], **rule} for name, rule in given.items() if isinstance(rule, Mapping)
        }

    def of(self, name: RuleName) -> Rule:
        """One rule by its name."""
        rule = getattr(self, name)
        assert isinstance(rule, Rule)
        return rule


def _http(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("https://", "http://")):
        raise ValueError("must be a URL that begins with https:// or http://")
    return value


def _scheme(value: SecretStr) -> SecretStr:
    scheme, colon, rest = value.get_secret_value().partition("://")
    if not colon or not rest or not scheme.isalnum():
        raise ValueError("must be an Apprise URL such as mailto://… or slack://…")
    return value


class Channel(Frozen):
    """Somebody to tell. Without a `url` (its variable is not set) nobody is told there."""

    url: Annotated[Secret, AfterValidator(_scheme)] | None = Field(default=None, description="an Apprise URL")
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = SEVERITIES
    timeout: Duration = Field(default=timedelta(seconds=20), description="after that long it counts as not delivered")


CheckUrl = Annotated[Secret, AfterValidator(_http)]


class Healthchecks(Frozen):
    """Pings as healthchecks.io takes them. `alive` is the dead-man's switch: it calls you when nothing here can."""

    alive: CheckUrl | None = Field(default=None, description="is pinged for as long as alerts are looked after")
    alive_every: Duration = timedelta(minutes=5)
    runs: CheckUrl | None = Field(default=None, description="the check of scheduled jobs that have none of their own")
    jobs: Annotated[Mapping[Name, CheckUrl], *ReadOnly] = Field(
        default_factory=dict, description="by job of the schedule, the check that its starts and ends are sent to"
    )
    timeout: Duration = timedelta(seconds=10)


class Summary(Frozen):
    """The day before, as `rw report daily` tells it, once a day."""

    at: Annotated[str, Field(pattern=CLOCK)] = Field(default="08:00", description="in the schedule's time zone")
    channels: tuple[Name, ...] = Field(default=(), description="nobody where not given")


class Alerts(Frozen):
    """What is told, when, and to whom."""

    every: Duration = Field(default=timedelta(minutes=1), description="how often it is looked")
    remind: Duration = Field(default=timedelta(hours=6), description="what still holds is told again after that long")
    settle: Duration = Field(
        default=timedelta(minutes=3), description="it is over once it has not held so long; twice that each time"
    )
    rules: AlertRules = Field(default_factory=AlertRules)
    channels: Annotated[Mapping[Name, Channel], *ReadOnly] = Field(default_factory=dict)
    healthchecks: Healthchecks = Field(default_factory=Healthchecks)
    summary: Summary = Field(default_factory=Summary)


class AlertsFile(Frozen):
    """`alerts.yaml`"""

    alerts: Alerts = Field(default_factory=Alerts)
