"""In which order alerts are shown, and what they are called."""

from collections.abc import Iterable

from resticwrap.model.alerts import SEVERITIES
from resticwrap.model.unattended import Alert


def ordered(alerts: Iterable[Alert]) -> list[Alert]:
    """Firing ones first, then pending ones; the gravest first, and of those the oldest."""
    states = ("firing", "pending", "resolved")
    return sorted(
        alerts,
        key=lambda one: (states.index(one.state), SEVERITIES.index(one.severity), one.since, one.rule, one.subject),
    )


def named(alert: Alert) -> str:
    """`RULE/SUBJECT`, or `RULE` where it has none."""
    return f"{alert.rule}/{alert.subject}" if alert.subject else alert.rule
