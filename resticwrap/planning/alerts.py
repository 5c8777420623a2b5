"""From what holds now and what was known before to what is known now, and what is to be told.

pending → firing → reminded → resolved. Nothing is told twice of one state within the time of a reminder; what was told
is told to be over exactly once; what comes and goes is over only after a while that doubles each time it comes back.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from resticwrap.model.alerting import RULES, Alerts, RuleName
from resticwrap.model.alerts import SEVERITIES, AlertBook, ChannelState, Finding, Silence, Telling, ToldAs, Watched
from resticwrap.model.base import Time
from resticwrap.model.unattended import Alert, AlertChange, AlertEvent, Severity
from resticwrap.planning.alertorder import named

Key = tuple[str, str, str]
MOST_WAITING = 200
"""A channel that is dead for months is owed no more than the newest of these."""
RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
MOST_FLAPS = 16


@dataclass(frozen=True)
class Looked:
    """One look: what holds, and of which rules and targets it says something. Of all others nobody knows."""

    findings: Sequence[Finding]
    rules: frozenset[str]
    targets: frozenset[str]

    def says(self, alert: Alert) -> bool:
        return alert.rule in self.rules and alert.target in self.targets


@dataclass
class Step:
    """What one look leads to."""

    watched: list[Watched] = field(default_factory=list)
    events: list[AlertEvent] = field(default_factory=list)
    tell: list[Telling] = field(default_factory=list)


def advance(book: AlertBook, looked: Looked, policy: Alerts, now: Time, host: str) -> Step:
    """The next state of every alert. `now` may lie before the times in the book: then a clock was set back, and what
    lies in the future counts as now."""
    found = {one.key: one for one in looked.findings}
    known = {one.key: _not_later(one, now) for one in book.watched}
    mover = _Mover(policy, [one for one in book.silences if one.until > now], now, host)
    for key in sorted({*found, *known}):
        before, finding = known.get(key), found.get(key)
        if finding is not None:
            mover.holds(before, finding)
        elif before is not None and looked.says(before.alert):
            mover.holds_not(before)
        elif before is not None:
            mover.step.watched.append(before)
    return mover.step


def _not_later(one: Watched, now: Time) -> Watched:
    """With no time that has not come yet."""
    names = ("since", "fired_at", "told_at", "resolved_at", "acknowledged_at")
    late = {name: now for name in names if (at := getattr(one.alert, name)) is not None and at > now}
    cleared = min(one.cleared_at, now) if one.cleared_at else None
    return msgspec.structs.replace(one, alert=msgspec.structs.replace(one.alert, **late), cleared_at=cleared)


class _Mover:
    def __init__(self, policy: Alerts, silences: Sequence[Silence], now: Time, host: str) -> None:
        self.policy, self.silences, self.now, self.host = policy, silences, now, host
        self.step = Step()

    def holds(self, before: Watched | None, finding: Finding) -> None:
        """The rule holds for the subject of the finding."""
        now, flaps = self.now, before.flaps if before else 0
        if before is not None and before.alert.state == "resolved":
            assert before.alert.resolved_at is not None
            again = now - before.alert.resolved_at <= self._remind(finding.rule)
            flaps, before = (min(flaps + 1, MOST_FLAPS) if again else 0), None
        since = min(finding.since or now, now)
        if before is not None:
            # What comes back in time was never away: it began when it began.
            since = min(since, before.alert.since)
        alert = before.alert if before else Alert(
            rule=finding.rule, target=finding.target, subject=finding.subject, severity=finding.severity,
            state="pending", since=since, message=finding.message,
        )  # fmt: skip
        alert = msgspec.structs.replace(
            alert, severity=finding.severity, message=finding.message, hint=finding.hint, since=since,
            silenced_until=self._silenced(alert),
        )  # fmt: skip
        if alert.state == "pending":
            own = self.policy.rules.of(_rule(finding.rule)).hold or timedelta()
            if now - since < max(own, timedelta(seconds=finding.hold)):
                self.step.watched.append(Watched(alert=alert, flaps=flaps))
                return
            alert = msgspec.structs.replace(alert, state="firing", fired_at=now)
            self._event("fired", alert)
        told = before.told if before else None
        self.step.watched.append(self._told(Watched(alert=alert, told=told, flaps=flaps)))

    def _told(self, one: Watched) -> Watched:
        """A firing alert, and told if there is something to tell of it."""
        alert, now = one.alert, self.now
        if alert.silenced_until is not None:
            return one
        if one.told is None or graver(alert.severity, one.told):
            if one.told is not None:
                self._event("fired", alert)
            alert = msgspec.structs.replace(alert, told_at=now, acknowledged_by="", acknowledged_at=None)
            return self._tell("fired", one, alert)
        due = alert.told_at is None or now - alert.told_at >= self._remind(alert.rule)
        if due and alert.acknowledged_at is None:
            alert = msgspec.structs.replace(alert, told_at=now)
            self._event("reminded", alert)
            return self._tell("reminded", one, alert)
        return one

    def holds_not(self, before: Watched) -> None:
        """The rule holds no more, or did not before."""
        alert, now = before.alert, self.now
        if alert.state == "pending":
            return
        if alert.state == "resolved":
            assert alert.resolved_at is not None
            if now - alert.resolved_at <= self._remind(alert.rule):
                self.step.watched.append(before)
            return
        cleared = before.cleared_at or now
        if now - cleared < self._settle(before):
            quiet = msgspec.structs.replace(alert, silenced_until=self._silenced(alert))
            self.step.watched.append(msgspec.structs.replace(before, alert=quiet, cleared_at=cleared))
            return
        alert = msgspec.structs.replace(alert, state="resolved", resolved_at=now, silenced_until=None)
        self._event("resolved", alert)
        if before.told is not None:
            # To those who were told, as grave as they were told.
            self.step.tell.append(Telling(what="resolved", alert=msgspec.structs.replace(alert, severity=before.told)))
        self.step.watched.append(Watched(alert=alert, flaps=before.flaps))

    def _settle(self, one: Watched) -> timedelta:
        """For how long it must not hold before it is over: never longer than the time of a reminder."""
        settle = self.policy.settle
        longest = max(settle, self._remind(one.alert.rule))
        return min(settle * float(2**one.flaps), longest)

    def _remind(self, rule: str) -> timedelta:
        return self.policy.rules.of(_rule(rule)).remind or self.policy.remind

    def _silenced(self, alert: Alert) -> Time | None:
        return max((one.until for one in self.silences if covers(one, alert)), default=None)

    def _tell(self, what: ToldAs, one: Watched, alert: Alert) -> Watched:
        gravest = alert.severity if one.told is None or graver(alert.severity, one.told) else one.told
        self.step.tell.append(Telling(what=what, alert=alert))
        return msgspec.structs.replace(one, alert=alert, told=gravest)

    def _event(self, change: AlertChange, alert: Alert) -> None:
        self.step.events.append(event(change, alert, self.now, self.host))


def _rule(name: str) -> RuleName:
    """A rule of the policy; an alert of one that another version knew is treated as a failed job."""
    return name if name in RULES else "job_failed"


def graver(one: Severity, other: Severity) -> bool:
    """Whether one is worse than the other."""
    return SEVERITIES.index(one) < SEVERITIES.index(other)


def covers(silence: Silence, alert: Alert) -> bool:
    """Whether nothing is told of the alert because of it."""
    return silence.rule == alert.rule and silence.subject in ("", alert.subject)


def event(change: AlertChange, alert: Alert, at: Time, host: str, by: str = "") -> AlertEvent:
    """A line of the history. What happened at one time to one alert has one id."""
    words = (host, alert.target, alert.rule, alert.subject, change, at.isoformat(), by)
    return AlertEvent(
        id=hashlib.sha256("\0".join(words).encode()).hexdigest()[:24],
        host=host, target=alert.target, rule=alert.rule, subject=alert.subject, change=change, at=at,
        severity=alert.severity, message=alert.message, by=by,
    )  # fmt: skip


def owed(
    channels: Mapping[str, Sequence[Severity]], states: Mapping[str, ChannelState], tell: Sequence[Telling]
) -> list[ChannelState]:
    """The channels, with what each is to be told now added to what waits for it. Of one alert a channel waits for one
    telling of a kind, the newest; that it takes nothing is told to the others."""
    found = []
    for name, severities in channels.items():
        state = states.get(name, ChannelState(name=name))
        waiting = {(one.what, _key(one.alert)): one for one in state.waiting}
        for one in tell:
            if one.alert.severity not in severities or (one.alert.rule, one.alert.subject) == ("undelivered", name):
                continue
            waiting.pop((one.what, _key(one.alert)), None)
            waiting[one.what, _key(one.alert)] = one
        found.append(msgspec.structs.replace(state, waiting=tuple(waiting.values())[-MOST_WAITING:]))
    return found


def _key(alert: Alert) -> Key:
    return alert.rule, alert.target, alert.subject


def resting(state: ChannelState, now: Time) -> bool:
    """Whether a channel is left alone for a while after a failure. A time further away than the longest while was set
    by a clock that was wrong."""
    return state.next_try is not None and now < state.next_try <= now + LONGEST_RETRY


def due(states: Iterable[ChannelState], now: Time) -> list[ChannelState]:
    """Those that have something to be told, and are not left alone."""
    return [one for one in states if one.waiting and not resting(one, now)]


def delivered(state: ChannelState, now: Time, error: str) -> ChannelState:
    """A channel after a try that told it all that waited; `error` is empty where that went well."""
    if not error:
        return ChannelState(name=state.name, last_ok=now)
    wait = min(RETRY * 2 ** min(state.failures, 10), LONGEST_RETRY)
    since = min(state.failing_since, now) if state.failing_since else now
    return msgspec.structs.replace(
        state, failures=state.failures + 1, next_try=now + wait, failing_since=since, error=error
    )


def healed(state: ChannelState, now: Time) -> ChannelState:
    """A channel that took something else than what waits: that is told at the next look."""
    return msgspec.structs.replace(state, next_try=None, failures=0, error="", failing_since=None, last_ok=now)


def matching(watched: Iterable[Watched], wanted: Sequence[str]) -> list[Watched]:
    """The firing alerts that somebody means by `RULE` or `RULE/SUBJECT`; all where nothing is named."""
    firing = [one for one in watched if one.alert.state == "firing"]
    return [one for one in firing if not wanted or {one.alert.rule, named(one.alert)} & {*wanted}]


WORDS: Mapping[ToldAs, str] = {"fired": "", "reminded": "still ", "resolved": "RESOLVED "}


def message(host: str, tellings: Sequence[Telling]) -> tuple[str, str, Severity, bool]:
    """Title, body, how grave, and whether all of it is good news: everything that a channel is to be told, in one."""
    bad = [one for one in tellings if one.what != "resolved"]
    over = len(tellings) - len(bad)
    counts = [f"{n} {word}" for word in SEVERITIES if (n := sum(one.alert.severity == word for one in bad))]
    counts += [f"{over} resolved"] if over else []
    lines = []
    for one in sorted(tellings, key=lambda one: (one.what == "resolved", SEVERITIES.index(one.alert.severity))):
        alert = one.alert
        where = f" ({alert.target})" if alert.target else ""
        lines.append(f"{WORDS[one.what]}{alert.severity} {named(alert)}{where}: {alert.message}")
        if one.what != "resolved":
            since = alert.since.isoformat(timespec="seconds")
            lines.append(f"  since {since}" + (f"; what to do: {alert.hint}" if alert.hint else ""))
    gravest: Severity = next((word for word in SEVERITIES if any(one.alert.severity == word for one in bad)), "info")
    return f"resticwrap on {host}: {', '.join(counts)}", "\n".join(lines), gravest, not bad
