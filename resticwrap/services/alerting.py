"""Looks at every rule, keeps what is known in a book, and tells whom it concerns, once.

Alerts are guests: neither they nor their channels stop or delay a backup.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

import msgspec

from resticwrap import errors
from resticwrap.model.acceptance import DailyReport
from resticwrap.model.alerting import Alerts
from resticwrap.model.alerts import AlertBook, AlertsCheck, AlertsTest, ChannelState, Delivery, Telling
from resticwrap.model.base import Time
from resticwrap.model.unattended import Alert, AlertEvent
from resticwrap.planning import alertrules
from resticwrap.planning import alerts as planning
from resticwrap.ports import HostLocks
from resticwrap.services import acceptance, alert_facts
from resticwrap.services.alert_ports import Channels, Disks, Letter, Ping, PingKind, Pings, Pulse
from resticwrap.services.context import Records
from resticwrap.settings import Settings

LOCK, LOCK_WAIT = "alerts", 60.0
"""While one process tells, another waits: longer than the slowest channel usually may take."""
CHECK = "check "
"""How the state of a check is called among those of the channels."""
MARGIN = timedelta(seconds=30)
"""A ping so much before its time is in time: looks do not come to the second."""
KEPT_EVENTS = 2000
"""A catalogue that is gone for months is owed no more lines of the history than the newest of these."""
log = logging.getLogger(__name__)


@dataclass
class Alerting:
    """All that looks after alerts, for one machine and the targets that are watched on it (`records`, at least one).

    `draw` makes a day the text of a message; `problems` says what is wrong with the policies as they are in the folder
    now. Raises PolicyError where `alerts.yaml` does not hold.
    """

    settings: Settings
    records: Sequence[Records]
    locks: HostLocks
    channels: Channels
    pings: Pings
    disks: Disks
    draw: Callable[[DailyReport], str]
    problems: Callable[[], Sequence[str]]
    machine: str
    pulse: Pulse | None = None
    policy: Alerts = field(init=False)
    unwritten: AlertBook | None = None
    """The book as it would be, had the disk had room for it."""

    def __post_init__(self) -> None:
        self.policy = self.settings.alerts
        self.state, self.clock = self.records[0].state, self.records[0].clock

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(one.target_name for one in self.records)

    def check(self, *, dry_run: bool = False) -> AlertsCheck:
        """Look once, and tell what is to be told. A dry run shows what it would tell; it writes and sends nothing.

        Raises Locked where another process has been at it for too long.
        """
        if dry_run:
            _, report = self._look(self.read(), self.clock.now())
            return msgspec.structs.replace(report, sent=False)
        with self.alone():
            now = self.clock.now()
            book, report = self._look(self.read(), now)
            # What is owed is written down before anything is sent: whoever dies now, the next one tells it.
            self.write(book)
            book, deliveries = self._deliver(book, now)
            book, summed = self._sum_up(book, now)
            book, pinged = self._alive(book, now)
            book, waiting = self.settle(book)
            full = self.write(book)
        notes = tuple(note for note in (waiting, full) if note)
        return msgspec.structs.replace(report, deliveries=(*deliveries, *summed, *pinged), notes=notes)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else changes the book. Where the state directory cannot be used nobody can. Raises Locked."""
        with ExitStack() as held:
            try:
                held.enter_context(self.locks.hold(LOCK, wait=LOCK_WAIT))
            except errors.Locked:
                raise
            except errors.Failure as failure:
                log.warning("alerts: %s", failure.message)
            yield

    def read(self) -> AlertBook:
        """The book as it was written last, on the disk or, where that failed, in our memory; an empty one where it
        cannot be read."""
        if self.unwritten is not None:
            return self.unwritten
        try:
            return self.state.alert_book()
        except errors.Failure as failure:
            log.warning("alerts: %s", failure.message)
            return AlertBook()

    def write(self, book: AlertBook) -> str:
        """Keep the book. A disk that is full or can only be read is no reason to tell nobody of it: then it is kept in
        our memory, and that is told; a process that ends takes it with it, and the next one tells the same again."""
        try:
            self.state.put_alert_book(book)
        except errors.Failure as error:
            self.unwritten = book
            return error.message
        self.unwritten = None
        return ""

    def _look(self, book: AlertBook, now: Time) -> tuple[AlertBook, AlertsCheck]:
        """One look at this machine and at every target; the book with what has changed."""
        rules, unknown = self.policy.rules, {}
        states = [one for one in book.channels if one.name in self._used() or one.name.startswith(CHECK)]
        facts = alert_facts.of_machine(self.records, self.settings, self.disks, self.problems(), states)
        found = alertrules.of_machine(facts, rules, now)
        looks = [planning.Looked(found, frozenset(alertrules.OF_MACHINE), frozenset({""}))]
        for records in self.records:
            seen = alert_facts.of_target(records, rules, self.pulse, now)
            looks.append(planning.Looked(seen.findings, seen.rules, frozenset({records.target_name})))
            if seen.unknown:
                unknown[records.target_name] = seen.unknown
        tell: list[Telling] = []
        events = list(book.events)
        for looked in looks:
            step = planning.advance(book, looked, self.policy, now, self.machine)
            book = msgspec.structs.replace(book, watched=tuple(step.watched))
            tell += step.tell
            events += step.events
        by_name = {one.name: one for one in states}
        wanting = {name: self.policy.channels[name].severities for name in self._used()}
        checks = [one for one in states if one.name.startswith(CHECK)]
        book = msgspec.structs.replace(
            book,
            channels=(*planning.owed(wanting, by_name, tell), *checks),
            silences=tuple(one for one in book.silences if one.until > now),
            events=kept(events),
            looked_at=now,
        )
        return book, AlertsCheck(
            at=now,
            targets=self.targets,
            findings=tuple(one for looked in looks for one in looked.findings),
            told=tuple(tell),
            unknown=unknown,
        )

    def _used(self) -> list[str]:
        """The channels that have a URL."""
        return [name for name, channel in self.policy.channels.items() if channel.url is not None]

    def _deliver(self, book: AlertBook, now: Time) -> tuple[AlertBook, Sequence[Delivery]]:
        """Every channel that is owed something gets all of it in one message."""
        letters = []
        for one in planning.due(book.channels, now):
            title, body, severity, good = planning.message(self.settings.host, one.waiting)
            letters.append(
                Letter(
                    channel=one.name, title=title, body=body, severity=severity, good=good, told=len(one.waiting)
                )
            )  # fmt: skip
        deliveries = self.channels.send(letters) if letters else ()
        return self._noted(book, deliveries, now), deliveries

    def _noted(self, book: AlertBook, deliveries: Iterable[Delivery], now: Time, *, all_told: bool = True) -> AlertBook:
        """The book with what came of it. `all_told`: what was sent was all that waits."""
        states = {one.name: one for one in book.channels}
        events = list(book.events)
        for one in deliveries:
            before = states.get(one.channel, ChannelState(name=one.channel))
            healed = one.ok and not all_told
            states[one.channel] = planning.healed(before, now) if healed else planning.delivered(before, now, one.error)
            if not one.ok and before.failing_since is None:
                lost = Alert(
                    rule="undelivered", target="", subject=one.channel, severity="warning", state="firing", since=now,
                    message=one.error,
                )  # fmt: skip
                events.append(planning.event("undelivered", lost, now, self.machine))
        return msgspec.structs.replace(book, channels=tuple(states.values()), events=kept(events))

    def _sum_up(self, book: AlertBook, now: Time) -> tuple[AlertBook, Sequence[Delivery]]:
        """The day before, to each channel that wants it and has not had it today."""
        here = now.astimezone(self.settings.schedule.zone)
        today, used = here.date().isoformat(), self._used()
        states = {one.name: one for one in book.channels}
        wanting = [
            name
            for name in self.policy.summary.channels
            if name in used
            and book.summed.get(name, "") < today
            and not planning.resting(states.get(name, ChannelState(name=name)), now)
        ]
        if not wanting or f"{here:%H:%M}" < self.policy.summary.at:
            return book, ()
        title, body = self._summary(here.date() - timedelta(days=1))
        deliveries = self.channels.send(
            [Letter(channel=name, title=title, body=body, severity="info", told=1) for name in wanting]
        )
        done = {one.channel: today for one in deliveries if one.ok}
        book = msgspec.structs.replace(book, summed={**book.summed, **done})
        return self._noted(book, deliveries, now, all_told=False), deliveries

    def _summary(self, day: date) -> tuple[str, str]:
        texts = []
        for records in self.records:
            try:
                texts.append(self.draw(acceptance.daily(records, day)))
            except errors.Failure as error:
                texts.append(f"Backups of {records.target_name} on {day.isoformat()}: {error.message}\n")
        return f"resticwrap on {self.settings.host}: {day.isoformat()}", "\n".join(texts)

    def _alive(self, book: AlertBook, now: Time) -> tuple[AlertBook, Sequence[Delivery]]:
        """The dead-man's switch: says that it was looked, and that what is owed was at least tried."""
        rule, last = self.policy.healthchecks, book.alive_at
        early = last is not None and last <= now and now - last + MARGIN < rule.alive_every
        if rule.alive is None or early:
            return book, ()
        ping = Ping(check=f"{CHECK}alive", url=rule.alive.get_secret_value(), what="success")
        deliveries = self.pings.send([ping])
        book = self._noted(book, deliveries, now)
        return msgspec.structs.replace(book, alive_at=now if deliveries[0].ok else last), deliveries

    def settle(self, book: AlertBook) -> tuple[AlertBook, str]:
        """The history goes into the catalogue; where that does not answer, it waits in the book, and that is told."""
        if not book.events:
            return book, ""
        try:
            self.records[0].catalog().put_alert_events(book.events)
        except (errors.CatalogUnavailable, errors.DiskFull) as error:
            return book, f"{len(book.events)} lines of the history wait for the catalogue: {error.message}"
        return msgspec.structs.replace(book, events=()), ""

    def ping(self, pings: Sequence[Ping]) -> Sequence[Delivery]:
        """Ping, and remember how the checks fare."""
        deliveries = self.pings.send(pings)
        with self.alone():
            self.write(self._noted(self.read(), deliveries, self.clock.now()))
        return deliveries

    def test(self, name: str | None = None) -> AlertsTest:
        """Send a message to every channel and a log line to every check, or a message to this channel. Raises
        UsageError for one that there is not."""
        known, used = self.policy.channels, self._used()
        if name is not None and name not in known:
            raise errors.UsageError(
                f"There is no channel {name!r}.", hint=f"the channels are: {', '.join(known) or 'none'}"
            )
        chosen = [one for one in known if name in (None, one)]
        title = f"resticwrap on {self.settings.host}: test"
        body = "Somebody ran `rw alerts test`. Nothing is wrong, and nothing needs to be done."
        letters = [
            Letter(channel=one, title=title, body=body, severity="info", told=1) for one in chosen if one in used
        ]
        now = self.clock.now()
        deliveries = (
            *self.channels.send(letters),
            *(self.pings.send(self.checks("log", body)) if name is None else ()),
        )
        with self.alone():
            good = [one for one in deliveries if one.ok]
            self.write(self._noted(self.read(), good, now, all_told=False))
        return AlertsTest(at=now, deliveries=deliveries, skipped=tuple(one for one in chosen if one not in used))

    def checks(self, what: PingKind, body: str) -> list[Ping]:
        """A ping of this kind to every check."""
        rule = self.policy.healthchecks
        urls = {"alive": rule.alive, "runs": rule.runs, **rule.jobs}
        return [
            Ping(check=f"{CHECK}{name}", url=url.get_secret_value(), what=what, body=body)
            for name, url in urls.items()
            if url is not None
        ]


def kept(events: Sequence[AlertEvent]) -> tuple[AlertEvent, ...]:
    """The newest of what waits for the catalogue."""
    return tuple(events)[-KEPT_EVENTS:]
