"""What people do with alerts: see them, acknowledge them, silence a rule for a while."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from resticwrap import errors
from resticwrap.model.alerting import RULES
from resticwrap.model.alerts import AlertBook, AlertsChanged, AlertsReport, ChannelReport, ChannelState, Silence
from resticwrap.model.base import Time
from resticwrap.model.unattended import Alert, AlertEvent, Severity
from resticwrap.planning import alerts as planning
from resticwrap.planning.alertorder import ordered
from resticwrap.services import audit
from resticwrap.services.alerting import LOCK, LOCK_WAIT, Alerting, kept

LONGEST = timedelta(days=31)
"""A silence is for the matter at hand; what lasts longer belongs into the policy."""
HISTORY = 100
Change = Callable[[AlertBook, Time], tuple[AlertBook, AlertsChanged]]


def listed(desk: Alerting, *, everything: bool = False, history: bool = False) -> AlertsReport:
    """What fires and what is pending, with `everything` what is over too. Writes nothing. Where the catalogue does not
    answer, the history is only what has not reached it."""
    book, now = desk.state.alert_book(), desk.clock.now()
    targets = ("", *desk.targets)
    shown = [one.alert for one in book.watched if one.alert.target in targets]
    shown = [one for one in shown if everything or one.state != "resolved"]
    events, note = _history(desk, book, targets) if history else ((), "")
    return AlertsReport(
        target=desk.targets[0],
        at=now,
        alerts=tuple(ordered(shown)),
        silences=tuple(one for one in book.silences if one.until > now),
        channels=_channels(desk, book),
        looked_at=book.looked_at,
        history=tuple(events),
        notes=(note,) if note else (),
    )


def _history(desk: Alerting, book: AlertBook, targets: Sequence[str]) -> tuple[Sequence[AlertEvent], str]:
    found = {one.id: one for one in book.events if one.target in targets}
    note = ""
    try:
        for target in targets:
            found |= {one.id: one for one in desk.records[0].catalog().alert_events(target, limit=HISTORY)}
    except errors.CatalogUnavailable as error:
        note = f"What was before cannot be read: {error.message}"
    return sorted(found.values(), key=lambda one: (one.at, one.id), reverse=True)[:HISTORY], note


def _channels(desk: Alerting, book: AlertBook) -> tuple[ChannelReport, ...]:
    states = {one.name: one for one in book.channels}
    found = [
        _channel(states.get(name, ChannelState(name=name)), channel.severities, used=channel.url is not None)
        for name, channel in desk.policy.channels.items()
    ]
    named = [ping.check for ping in desk.checks("log", "")]
    return (*found, *(_channel(states.get(name, ChannelState(name=name)), ()) for name in named))


def _channel(state: ChannelState, severities: Sequence[Severity], *, used: bool = True) -> ChannelReport:
    return ChannelReport(
        name=state.name, used=used, severities=tuple(severities), waiting=len(state.waiting),
        failing_since=state.failing_since, last_ok=state.last_ok, error=state.error,
    )  # fmt: skip


def acknowledge(desk: Alerting, wanted: Sequence[str], *, dry_run: bool = False) -> AlertsChanged:
    """Somebody has seen these firing alerts: no reminders until they are over, or graver. Raises NotFound."""
    by = audit.user()

    def change(book: AlertBook, now: Time) -> tuple[AlertBook, AlertsChanged]:
        found = {one.key for one in planning.matching(book.watched, wanted)}
        if not found:
            raise errors.NotFound("No alert of that name fires.", hint="rw alerts list")
        watched, alerts = [], []
        for one in book.watched:
            if one.key in found:
                alert = msgspec.structs.replace(one.alert, acknowledged_by=by, acknowledged_at=now)
                one = msgspec.structs.replace(one, alert=alert)
                alerts.append(alert)
            watched.append(one)
        events = [planning.event("acknowledged", alert, now, desk.machine, by) for alert in alerts]
        new = msgspec.structs.replace(book, watched=tuple(watched), events=kept((*book.events, *events)))
        return new, AlertsChanged(action="acknowledged", alerts=tuple(ordered(alerts)))

    return _changed(desk, change, dry_run)


def silence(desk: Alerting, name: str, span: timedelta, reason: str = "", *, dry_run: bool = False) -> AlertsChanged:
    """Tell nothing of `RULE` or `RULE/SUBJECT` for so long. Raises UsageError."""
    rule, _, subject = name.partition("/")
    if rule not in RULES:
        raise errors.UsageError(f"There is no rule {rule!r}.", hint=f"the rules are: {', '.join(RULES)}")
    if not timedelta() < span <= LONGEST:
        raise errors.UsageError(f"A silence lasts at most {LONGEST.days} days.", hint="--for 2h")
    by = audit.user()

    def change(book: AlertBook, now: Time) -> tuple[AlertBook, AlertsChanged]:
        made = Silence(rule=rule, subject=subject, until=now + span, by=by, at=now, reason=reason.strip())
        others = [one for one in book.silences if (one.rule, one.subject) != (rule, subject)]
        book = _silenced(book, (*others, made), now)
        alert = _of(made, now)
        events = kept((*book.events, planning.event("silenced", alert, now, desk.machine, by)))
        return msgspec.structs.replace(book, events=events), _about(book, made, "silenced")

    return _changed(desk, change, dry_run)


def unsilence(desk: Alerting, name: str, *, dry_run: bool = False) -> AlertsChanged:
    """Take a silence away again. Raises NotFound."""
    rule, _, subject = name.partition("/")
    by = audit.user()

    def change(book: AlertBook, now: Time) -> tuple[AlertBook, AlertsChanged]:
        gone = next((one for one in book.silences if (one.rule, one.subject) == (rule, subject)), None)
        if gone is None:
            raise errors.NotFound(f"Nothing silences {name}.", hint="rw alerts list")
        book = _silenced(book, tuple(one for one in book.silences if one != gone), now)
        events = kept((*book.events, planning.event("unsilenced", _of(gone, now), now, desk.machine, by)))
        return msgspec.structs.replace(book, events=events), _about(book, gone, "unsilenced")

    return _changed(desk, change, dry_run)


def _silenced(book: AlertBook, silences: tuple[Silence, ...], now: Time) -> AlertBook:
    """The book with these silences, as each alert shows them."""
    watched = []
    for one in book.watched:
        until = max((s.until for s in silences if s.until > now and planning.covers(s, one.alert)), default=None)
        watched.append(msgspec.structs.replace(one, alert=msgspec.structs.replace(one.alert, silenced_until=until)))
    return msgspec.structs.replace(book, watched=tuple(watched), silences=silences)


def _of(silence: Silence, now: Time) -> Alert:
    """What a line of the history says of a silence."""
    said = f"until {silence.until.isoformat(timespec='seconds')}" + (f": {silence.reason}" if silence.reason else "")
    return Alert(
        rule=silence.rule, target="", subject=silence.subject, severity="info", state="firing", since=now, message=said
    )


def _about(book: AlertBook, silence: Silence, action: str) -> AlertsChanged:
    firing = [one.alert for one in book.watched if one.alert.state == "firing" and planning.covers(silence, one.alert)]
    return AlertsChanged(
        action="silenced" if action == "silenced" else "unsilenced",
        alerts=tuple(ordered(firing)),
        silences=book.silences,
    )


def _changed(desk: Alerting, change: Change, dry_run: bool) -> AlertsChanged:
    """Change the book; a dry run says what would be changed."""
    if dry_run:
        _, report = change(desk.state.alert_book(), desk.clock.now())
        return msgspec.structs.replace(report, action="planned")
    with desk.locks.hold(LOCK, wait=LOCK_WAIT):
        book, report = change(desk.state.alert_book(), desk.clock.now())
        book, _ = desk.settle(book)
        desk.state.put_alert_book(book)
    return report
