"""Alerts as states: what is told, how often, and that all of it ends."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.alerting import Alerts
from resticwrap.model.alerts import AlertBook, ChannelState, Finding, Silence, Telling
from resticwrap.model.unattended import Alert, AlertEvent, Severity
from resticwrap.planning import alerts as planning

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = Alerts.model_validate({"remind": "6h", "settle": "3m", "rules": {"target": {"hold": "10m"}}})
RULES = ("backup_late", "target", "disk")
ALL = frozenset(RULES)
T = frozenset({"main"})


def finding(rule: str = "backup_late", severity: Severity = "critical", subject: str = "") -> Finding:
    return Finding(rule=rule, target="main", severity=severity, message=f"{rule} holds", subject=subject)


class Story:
    """Looks one after the other, with all that was told on the way."""

    def __init__(self) -> None:
        self.book = AlertBook()
        self.told: list[tuple[datetime, Telling]] = []
        self.events: list[AlertEvent] = []
        self.now = NOW

    def look(
        self, *found: Finding, after: timedelta = MINUTE, rules: frozenset[str] = ALL, targets: frozenset[str] = T
    ) -> list[str]:
        self.now += after
        step = planning.advance(self.book, planning.Looked(found, rules, targets), POLICY, self.now, "vm")
        self.book = msgspec.structs.replace(self.book, watched=tuple(step.watched))
        self.told += [(self.now, one) for one in step.tell]
        self.events += step.events
        return [one.what for one in step.tell]

    @property
    def alert(self) -> Alert:
        (one,) = self.book.watched
        return one.alert


def test_one_life() -> None:
    """Told at once, reminded after the time of a reminder, over after it has not held for a while."""
    story = Story()
    assert story.look(finding()) == ["fired"]
    assert [story.look(finding(), after=timedelta(hours=1)) for _ in range(5)] == [[]] * 5
    assert story.look(finding(), after=timedelta(hours=1)) == ["reminded"]
    assert [story.look() for _ in range(5)] == [[], [], [], ["resolved"], []]
    assert story.alert.resolved_at == story.now - MINUTE
    assert [one.change for one in story.events] == ["fired", "reminded", "resolved"]
    story.look(after=timedelta(hours=7))
    assert story.book.watched == ()


def test_what_must_hold_first() -> None:
    """A rule with patience tells nothing of what passes, and counts from when it began, where that is known."""
    story = Story()
    for _ in range(9):
        assert story.look(finding("target")) == []
    assert story.look() == [] and story.book.watched == ()
    began = msgspec.structs.replace(finding("target"), since=NOW - timedelta(hours=1))
    assert story.look(began) == ["fired"] and story.alert.since == began.since


def test_an_acknowledgement() -> None:
    """No reminders until it is graver, or over; both are told."""
    story = Story()
    story.look(finding(severity="warning"))
    (one,) = story.book.watched
    seen = msgspec.structs.replace(one.alert, acknowledged_by="ada", acknowledged_at=story.now)
    story.book = msgspec.structs.replace(story.book, watched=(msgspec.structs.replace(one, alert=seen),))
    assert story.look(finding(severity="warning"), after=timedelta(days=3)) == []
    assert story.look(finding(severity="critical")) == ["fired"] and story.alert.acknowledged_at is None
    assert story.look(finding(severity="warning")) == [] and story.look(finding(severity="critical")) == []
    assert story.look() == [] and story.look(after=4 * MINUTE) == ["resolved"]


def test_a_silence() -> None:
    """Nothing is told of what it covers, and what still holds when it ends is told then."""
    story = Story()
    silence = Silence(rule="disk", subject="cache", until=NOW + timedelta(hours=1), by="ada", at=NOW)
    story.book = AlertBook(silences=(silence,))
    assert story.look(finding("disk", subject="cache"), finding("disk", subject="state")) == ["fired"]
    assert story.told[0][1].alert.subject == "state"
    silenced = next(one.alert for one in story.book.watched if one.alert.subject == "cache")
    assert silenced.state == "firing" and silenced.silenced_until == silence.until
    assert story.look(finding("disk", subject="cache"), after=timedelta(hours=1)) == ["fired"]


def test_what_nobody_looked_at_stays() -> None:
    """A look that says nothing of a rule, or of a target, ends none of its alerts."""
    story = Story()
    story.look(finding())
    for _ in range(5):
        assert story.look(after=timedelta(hours=1), rules=frozenset({"disk"})) == []
        assert story.look(after=timedelta(hours=1), targets=frozenset({"other"})) == []
    assert story.alert.state == "firing"


def test_what_comes_and_goes() -> None:
    """Five minutes on, five off, for a day: a handful of messages, and not one every five minutes."""
    story = Story()
    for number in range(288):
        story.look(*([finding()] if number % 2 else []), after=5 * MINUTE)
    assert len(story.told) <= 16


def test_a_clock_that_is_set_back() -> None:
    """What lies in the future counts as now: nothing is told twice, and reminders come in their time."""
    story = Story()
    story.look(finding())
    assert story.look(finding(), after=timedelta(days=-30)) == []
    assert story.alert.told_at is not None and story.alert.told_at <= story.now
    assert story.look(finding(), after=timedelta(hours=6)) == ["reminded"]


SEVERITY = st.sampled_from(["critical", "warning", "info"])
FINDINGS = st.lists(
    st.builds(finding, st.sampled_from(RULES), SEVERITY, st.sampled_from(["", "a", "b"])),
    max_size=4,
    unique_by=lambda one: one.key,
)
STEPS = st.lists(st.tuples(FINDINGS, st.integers(-90, 600)), max_size=30)


@given(STEPS)
def test_nothing_is_told_twice_in_the_time_of_a_reminder(steps: Sequence[tuple[list[Finding], int]]) -> None:
    """Between two tellings of an alert that goes on lies the time of a reminder, or it has become graver."""
    story = Story()
    last: dict[tuple[str, str], tuple[datetime, int]] = {}
    for found, minutes in steps:
        story.look(*found, after=timedelta(minutes=abs(minutes)))
        fresh = [one for at, one in story.told if at == story.now]
        story.told.clear()
        for one in fresh:
            key = (one.alert.rule, one.alert.subject)
            grave = ("critical", "warning", "info").index(one.alert.severity)
            if one.what == "resolved":
                del last[key]
                continue
            if key in last:
                at, before = last[key]
                assert grave < before or story.now - at >= timedelta(hours=6)
                grave = min(grave, before)
            last[key] = (story.now, grave)


@given(STEPS)
def test_what_was_told_is_told_to_be_over_once(steps: Sequence[tuple[list[Finding], int]]) -> None:
    """Whatever happens, also to the clock: when nothing holds any more, each firing that was told has one end."""
    story = Story()
    for found, minutes in steps:
        story.look(*found, after=timedelta(minutes=minutes))
    story.look(after=timedelta(days=2))
    story.look(after=timedelta(days=1))
    assert all(one.alert.state == "resolved" for one in story.book.watched)
    standing: dict[tuple[str, str], bool] = {}
    for _, one in story.told:
        key = (one.alert.rule, one.alert.subject)
        if one.what == "resolved":
            assert standing[key]
        standing[key] = one.what != "resolved"
    assert not any(standing.values())


@given(STEPS, FINDINGS)
def test_looking_twice_at_one_time_changes_nothing(
    steps: Sequence[tuple[list[Finding], int]], found: list[Finding]
) -> None:
    story = Story()
    for before, minutes in steps:
        story.look(*before, after=timedelta(minutes=minutes))
    story.look(*found)
    book, events = story.book, len(story.events)
    assert story.look(*found, after=timedelta()) == []
    assert story.book == book and len(story.events) == events


def test_a_channel_is_owed_what_it_has_not_taken() -> None:
    """Several at once go in one message, the gravest first; a failed try is followed by a longer rest each time."""
    story = Story()
    story.look(finding("disk", "warning"), finding("backup_late"))
    told = [one for _, one in story.told]
    both: list[Severity] = ["critical", "warning"]
    graves: list[Severity] = ["critical"]
    (people, pager) = planning.owed({"people": both, "pager": graves}, {}, told)
    assert [len(people.waiting), len(pager.waiting)] == [2, 1]
    title, body, gravest, good = planning.message("school", people.waiting)
    assert title == "resticwrap on school: 1 critical, 1 warning" and gravest == "critical" and not good
    assert body.index("backup_late") < body.index("disk")
    rests = []
    for _ in range(8):
        people = planning.delivered(people, story.now, "nobody answers")
        assert people.next_try is not None and planning.due([people], story.now) == []
        rests.append((people.next_try - story.now) / MINUTE)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60] and len(people.waiting) == 2
    assert planning.due([people], story.now - timedelta(days=9)) == [people]
    assert planning.delivered(people, story.now, "") == ChannelState(name="people", last_ok=story.now)
