"""Alerts as operators see them: what fires at what, what arrives where, what is said of it."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from resticwrap.clock import FixedClock
from resticwrap.model.alerts import AlertBook, AlertsCheck
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.report.alerts import daily_text
from resticwrap.services import alert_facts
from resticwrap.services.alerting import Alerting
from resticwrap.services.attendants import AlertAttendant, PingAttendant
from tests.contract.channels import FakeChannels, FakePings
from tests.faults.machine import until
from tests.lab import Lab
from tests.servers.receiver import Receiver

SECRET = "t0ken-that-nobody-sees"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OFF = ("kit", "drill_overdue", "gate", "disk")
"""Rules that hold of every lab that has just begun, or of the disk that the tests run on."""


def policy(lab: Lab, **alerts: Any) -> None:
    """Write `alerts.yaml`."""
    alerts["rules"] = {name: {"severity": "off"} for name in OFF} | alerts.get("rules", {})
    (lab.folder / "policies/alerts.yaml").write_text(yaml.safe_dump({"alerts": alerts}))


def schedule(lab: Lab, **jobs: Any) -> None:
    """Write `schedule.yaml`."""
    (lab.folder / "policies/schedule.yaml").write_text(yaml.safe_dump({"jobs": jobs}))


class Disks:
    """The port `Disks`: as full as a test says, by a part of the path."""

    def __init__(self) -> None:
        self.shares: dict[str, tuple[float, float]] = {}

    def used(self, path: Path) -> tuple[float, float]:
        return next((share for name, share in self.shares.items() if name in str(path)), (0.1, 0.1))


class Watch:
    """Alerts of a lab with fakes at their ends, at a time of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.clock = lab, FixedClock(datetime.now(UTC))
        self.channels, self.pings, self.disks = FakeChannels(), FakePings(), Disks()

    @contextmanager
    def desk(self) -> Iterator[Alerting]:
        with self.lab.house(self.clock) as built:
            desk = built.alerting(daily_text)
            desk.channels, desk.pings, desk.disks = self.channels, self.pings, self.disks
            yield desk

    def book(self) -> AlertBook:
        with self.desk() as desk:
            return desk.state.alert_book()

    def look(self, after: timedelta = timedelta()) -> AlertsCheck:
        self.clock.sleep(after.total_seconds())
        with self.desk() as desk:
            return desk.check()

    def holds(self, after: timedelta = timedelta()) -> set[str]:
        return {f"{one.rule}/{one.subject}".rstrip("/") for one in self.look(after).findings}


def rules_of(report: AlertsCheck) -> set[str]:
    """What is new to tell."""
    return {one.alert.rule for one in report.told}


def test_from_failing_backups_to_a_message_and_back(lab: Lab, receiver: Receiver) -> None:
    """Two incrementals that fail are told once, with what to do; the status shows it; the next good backup ends it.
    The token of the channel is nowhere."""
    lab.env["RW_ALERT_URL"] = f"json://rw:{SECRET}@{receiver.at}/ops?to={SECRET}"
    rules = {"target": {"severity": "off"}}
    policy(lab, settle="1s", channels={"ops": {"url": "${RW_ALERT_URL:-}"}}, rules=rules)
    lab.fill()
    lab.rw("backup")
    assert lab.json("alerts", "check")["told"] == []
    away = lab.store.rename(lab.store.with_name("away"))
    lab.rw("backup", code=None)
    lab.rw("backup", code=None)
    (told,) = lab.json("alerts", "check")["told"]
    assert (told["what"], told["alert"]["rule"], told["alert"]["target"]) == ("fired", "incrementals_failed", "main")
    (message,) = receiver.received
    assert message.json["title"] == "resticwrap on lab: 1 critical" and message.json["type"] == "failure"
    assert "what to do: rw backup --target main" in message.json["message"]
    assert lab.json("alerts", "check")["told"] == [] and len(receiver.received) == 1
    assert "critical incrementals_failed: The last 2 incrementals failed" in lab.rw("status").out
    assert [one["rule"] for one in lab.json("status")["alerts"]] == ["incrementals_failed"]
    lab.rw("alerts", "ack", "incrementals_failed")
    assert "acknowledged by" in lab.rw("alerts", "list").out
    away.rename(lab.store)
    lab.rw("backup")
    watch = Watch(lab)
    watch.look()
    watch.look(2 * MINUTE)
    assert [one.title for one in watch.channels.sent] == ["resticwrap on lab: 1 resolved"]
    changes = [one["change"] for one in lab.json("alerts", "list", "--history")["history"]]
    assert changes == ["resolved", "acknowledged", "fired"]
    said = [lab.rw(*words).out for words in (["alerts", "list", "--all"], ["policy", "show"], ["status", "--json"])]
    kept = "".join(path.read_text(errors="replace") for path in lab.state.rglob("*.json"))
    assert SECRET not in kept + "".join(said) + lab.rw("policy", "show", "--json").out
    assert SECRET not in lab.rw("alerts", "test", "-v").err


def test_a_rhythm_is_kept_among_many_jobs_of_another(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs by the day is not late because hundreds of incrementals have begun since; left out of one of them, it
    is late all the same."""
    monkeypatch.setattr(alert_facts, "JOBS_LOOKED_AT", {"backup": 2})
    policy(lab)
    lab.fill()
    begun = datetime.now(UTC)
    moment = begun + MINUTE
    daily = {"target": "main", "cron": f"{moment.minute} {moment.hour} * * *"}
    schedule(
        lab,
        nightly={"kind": "backup", "type": "full", **daily},
        weekly={"kind": "backup", "type": "full", "domains": ["exams"], **daily},
        dump={"kind": "backup", "type": "incremental", "domains": ["profiles"], **daily},
        others={"kind": "backup", "type": "incremental", "except": ["exams"], **daily},
    )
    lab.rw("backup", "--domain", "exams")
    lab.rw("backup", "--type", "full")
    lab.rw("backup", "--domain", "profiles")
    for _ in range(3):
        lab.rw("backup", "--domain", "exams")
    late = {one for one in Watch(lab).holds(20 * MINUTE) if one.startswith("scheduler/")}
    assert late == set()
    late = {one for one in Watch(lab).holds(DAY + 20 * MINUTE) if one.startswith("scheduler/")}
    assert late == {"scheduler/nightly", "scheduler/weekly", "scheduler/dump", "scheduler/others"}


def test_what_each_rule_fires_at(lab: Lab) -> None:
    """One lab, and one thing after the other that goes wrong in it."""
    policy(lab, rules={name: {} for name in OFF} | {"backup_size": {"runs": 3}})
    schedule(
        lab,
        often={"kind": "backup", "type": "incremental", "target": "main", "every": "4m"},
        weekly={"kind": "verify", "target": "main", "cron": "30 3 * * 0"},
    )
    watch = Watch(lab)
    assert watch.holds() == {"backup_late"}
    assert rules_of(watch.look(9 * MINUTE)) == set(), "whoever has just begun is called late"
    assert rules_of(watch.look(MINUTE)) == {"backup_late"}
    watch = Watch(lab)
    lab.fill("exams", 30)
    lab.fill("profiles", 30)
    lab.rw("backup")
    assert watch.holds() == {"kit", "gate"}
    assert watch.holds(11 * MINUTE) >= {"backup_late", "objective/exams", "objective/profiles"}
    assert watch.holds(9 * MINUTE) >= {"scheduler/often"}
    assert watch.holds(9 * DAY) >= {"verify_failed/overdue", "drill_overdue/l1", "scheduler/weekly"}
    watch = Watch(lab)
    for number in range(28):
        (lab.data / f"profiles/exam_{number:03d}.bin").unlink()
        (lab.data / f"exams/exam_{number:03d}.bin").write_bytes(b"changed")
    for _ in range(3):
        lab.rw("backup", code=None)
    found = watch.holds()
    assert found >= {"mass_change/exams", "mass_change/profiles"}, found
    assert any(one.startswith("raw_changed/") for one in found)
    lab.rw("forget", "--looked", "profiles")
    assert "mass_change/profiles" not in watch.holds(MINUTE)
    watch.disks.shares = {"state": (0.98, 0.2), "cache": (0.2, 0.95)}
    report = watch.look()
    assert {(one.subject, one.severity) for one in report.findings if one.rule == "disk"} == {
        ("state directory space", "critical"),
        ("cache inodes", "critical"),
    }
    look = {"at": watch.clock.now().isoformat(), "unsafe": [], "lacks": ["rule x would be added"]}
    (lab.state / "bucket").mkdir(exist_ok=True)
    (lab.state / "bucket/main.json").write_text(json.dumps(look))
    assert "lifecycle" in watch.holds()
    domains = (lab.folder / "policies/domains.yaml").read_text()
    with watch.desk() as desk:
        (lab.folder / "policies/domains.yaml").write_text(domains.replace("layer: raw", "layer: rew"))
        assert "policies" in {one.rule for one in desk.check().findings}


def test_a_catalogue_that_is_gone(lab: Lab) -> None:
    """It is told, and so are late backups; nothing is over because nobody can look, and the history waits."""
    policy(lab)
    lab.fill()
    lab.rw("backup")
    watch = Watch(lab)
    assert rules_of(watch.look(20 * MINUTE)) == {"backup_late", "objective"}
    (lab.state / "catalog.sqlite").write_text("this is no database")
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (lab.state / name).unlink(missing_ok=True)
    report = watch.look(HOUR)
    assert rules_of(report) == {"catalog"} and "damaged" in report.unknown["main"]
    assert {one.rule for one in report.findings} == {"catalog", "backup_late"}
    assert "wait for the catalogue" in str(report.notes)
    firing = {one["rule"] for one in lab.json("alerts", "list")["alerts"] if one["state"] == "firing"}
    assert firing == {"catalog", "backup_late", "objective"}
    (lab.state / "catalog.sqlite").unlink()
    lab.rw("catalog", "rebuild")
    watch.look(MINUTE)
    # What had reached the lost catalogue is gone with it; what waited has arrived.
    assert "catalog" in {one["rule"] for one in lab.json("alerts", "list", "--history")["history"]}
    assert not Watch(lab).book().events


def test_a_dead_channel_is_told_to_the_others(lab: Lab) -> None:
    """What it has not taken waits for it, it is asked less and less, and gets all of it in one message in the end."""
    channels = {"ops": {"url": "json://ops"}, "boss": {"url": "json://boss", "severities": ["critical"]}}
    policy(lab, channels=channels, rules={"undelivered": {"severity": "critical"}})
    lab.fill()
    lab.rw("backup")
    watch = Watch(lab)
    watch.channels.broken = {"ops"}
    deliveries = watch.look(20 * MINUTE).deliveries
    assert {one.channel: one.ok for one in deliveries} == {"ops": False, "boss": True}
    tries = sum(bool(watch.look(MINUTE).deliveries) for _ in range(14))
    assert tries == 3  # after 1, 2 and 4 minutes, each counted from the one before
    watch.look(2 * MINUTE)
    assert "undelivered/ops" in watch.channels.sent[-1].body and watch.channels.sent[-1].channel == "boss"
    assert "ops takes nothing since" in lab.rw("alerts", "list").out
    watch.channels.broken = set()
    watch.look(HOUR)
    last = [one for one in watch.channels.sent if one.channel == "ops"]
    assert len(last) == 1 and "backup_late" in last[0].body and "objective/exams" in last[0].body
    assert "undelivered" not in last[0].body


def test_a_summary_and_a_dead_mans_switch(lab: Lab) -> None:
    """The day before goes out once a day, however often it is looked; the switch is held every five minutes."""
    policy(
        lab,
        channels={"ops": {"url": "json://ops"}},
        summary={"at": "00:00", "channels": ["ops"]},
        healthchecks={"alive": f"https://hc.example/{SECRET}"},
    )
    lab.fill()
    lab.rw("backup")
    watch = Watch(lab)
    watch.channels.broken = {"ops"}
    watch.look()
    watch.channels.broken = set()
    for _ in range(10):
        watch.look(MINUTE)
    yesterday = (datetime.now(UTC) - DAY).date().isoformat()
    (summary,) = [one for one in watch.channels.sent if one.title.endswith(yesterday)]
    assert f"Backups of main on {yesterday}" in summary.body
    assert [one.what for one in watch.pings.sent] == ["success"] * 3
    assert SECRET not in repr(watch.pings.sent)


def run_of(outcome: RunOutcome, name: str = "full") -> ScheduledRun:
    at = datetime.now(UTC)
    return ScheduledRun(id="run_1", host="vm", name=name, target="main", kind="backup", trigger="due", due_at=at,
                        started_at=at, outcome=outcome, exit_code=None if outcome == "running" else 1)  # fmt: skip


def test_attendants_of_the_scheduler(lab: Lab) -> None:
    """Runs are told to the check of their job or to the common one; rules are looked at in time, and after a run."""
    schedule(lab, full={"kind": "backup", "type": "full", "target": "main", "cron": "0 2 * * *"})
    checks = {"runs": "https://hc.example/all", "jobs": {"full": "https://hc.example/full"}}
    policy(lab, healthchecks=checks)
    watch = Watch(lab)
    with watch.desk() as desk:
        pings, alerts = PingAttendant(lambda: desk), AlertAttendant(lambda: desk)
        outcomes: list[RunOutcome] = ["running", "ok", "running", "failed", "interrupted"]
        for outcome in outcomes:
            pings.after(run_of(outcome))
        pings.after(run_of("ok", "other"))
        assert [one.what for one in watch.pings.sent] == ["start", "success", "start", "fail", "log", "success"]
        assert {one.url for one in watch.pings.sent[:5]} == {"https://hc.example/full"}
        assert watch.pings.sent[5].check == "check runs" and len({one.run for one in watch.pings.sent[:5]}) == 1
        now = watch.clock.now()
        acts: list[Callable[[], None]] = [
            lambda: alerts.tick(now),
            lambda: alerts.tick(now + MINUTE / 2),
            lambda: alerts.after(run_of("running")),
            lambda: alerts.after(run_of("failed")),
            lambda: alerts.tick(now - HOUR),
        ]
        looked = []
        for act in acts:
            watch.clock.sleep(1)
            act()
            looked.append(desk.state.alert_book().looked_at == watch.clock.now())
        assert looked == [True, False, False, True, True]


def test_a_broken_alerts_file_stops_no_backup(lab: Lab) -> None:
    """It is told by whoever looks at the policies or at alerts, and by nobody else."""
    (lab.folder / "policies/alerts.yaml").write_text("alerts: {evry: 1m, channels: {ops: {url: nonsense}}}\n")
    lab.fill()
    lab.rw("backup")
    lab.rw("status")
    failed = lab.json("alerts", "list", code=2)
    assert failed["error"]["kind"] == "PolicyError" and len(failed["problems"]) == 2
    assert "did you mean `every`" in lab.rw("policy", "check", code=2).err
    shown = lab.json("policy", "show")["alerts"]
    assert len(shown["problems"]) == 2 and "nonsense" not in str(shown)


def test_silences(lab: Lab) -> None:
    """Made, listed, planned and taken away; a wrong name is refused with the right ones."""
    policy(lab)
    assert "backup_late" in lab.rw("alerts", "silence", "no_such_rule", code=2).err
    lab.rw("alerts", "silence", "disk/cache space", "--for", "40d", code=2)
    assert lab.json("alerts", "silence", "disk", "--dry-run")["action"] == "planned"
    assert lab.json("alerts", "list")["silences"] == []
    lab.rw("alerts", "silence", "disk/cache space", "--for", "3h", "--reason", "a larger one comes")
    (one,) = lab.json("alerts", "list")["silences"]
    assert (one["rule"], one["subject"], one["reason"]) == ("disk", "cache space", "a larger one comes")
    assert "disk/cache space until" in lab.rw("alerts", "list").out
    lab.rw("alerts", "unsilence", "disk", code=1)
    lab.rw("alerts", "unsilence", "disk/cache space")
    assert lab.json("alerts", "list")["silences"] == []
    lab.rw("alerts", "ack", code=1)
    assert lab.json("alerts", "test", code=1)["deliveries"] == []
    shutil.rmtree(lab.state / "alerts")
    (lab.state / "alerts").mkdir()
    (lab.state / "alerts/book.json").write_text("half a bo")
    assert lab.json("alerts", "check")["told"] == []
    assert list((lab.state / "alerts").glob("*.unreadable"))


def test_beside_a_real_scheduler(lab: Lab, receiver: Receiver) -> None:
    """The target goes and comes back while the schedule runs: the alert fires, once, and resolves; a change of the
    policy counts at once, and a broken one is told; checks hear of the runs, and the dead-man's switch is held."""
    often = {"kind": "backup", "type": "incremental", "target": "main", "every": "2s"}
    schedule(lab, often=often)
    rules = {name: {"severity": "off"} for name in ("target", "backup_late", "objective", "locks")}
    checks = {"alive": f"{receiver.http}/alive", "runs": f"{receiver.http}/runs"}
    ops = {"ops": {"url": f"json://{receiver.at}/ops"}}
    policy(lab, every="1s", settle="1s", channels={}, healthchecks=checks, rules=rules)
    kept = shutil.copytree(lab.folder / "policies", lab.folder / "kept")
    lab.fill()
    scheduler = lab.start("schedule", "run")
    try:
        until(lambda: {"/alive", "/runs/start", "/runs"} <= {one.path for one in receiver.received}, 60)
        policy(lab, every="1s", settle="1s", channels=ops, healthchecks=checks, rules=rules)
        away = lab.store.rename(lab.store.with_name("away"))
        until(lambda: any(one.path == "/ops" for one in receiver.received), 60)
        until(lambda: any(one.path == "/runs/fail" for one in receiver.received), 60)
        domains = lab.folder / "policies/domains.yaml"
        good = domains.read_text()
        domains.write_text("domains: [")
        until(lambda: "domains.yaml" in str(lab.json("alerts", "list", "--policies", str(kept))["alerts"]), 30)
        domains.write_text(good)
        away.rename(lab.store)
        until(lambda: any("RESOLVED" in one.json["message"] for one in receiver.received if one.path == "/ops"), 60)
    finally:
        scheduler.send_signal(signal.SIGTERM)
        out, err = scheduler.communicate(timeout=60)
    told = [one.json["title"] for one in receiver.received if one.path == "/ops"]
    assert told == ["resticwrap on lab: 1 critical", "resticwrap on lab: 1 resolved"], told
    assert scheduler.returncode == 0 and b"Traceback" not in out + err, err
