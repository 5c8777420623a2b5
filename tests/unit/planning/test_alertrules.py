"""What each rule of the alerts fires at, and that what it says to run can be run."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.cli.main import main
from resticwrap.model.alerting import DEFAULTS, RULES, AlertRules, Unusual
from resticwrap.model.alerts import ChannelState, Finding
from resticwrap.model.drills import DueLevel
from resticwrap.model.gate import BucketLook, GateReason
from resticwrap.model.job import ErrorInfo, Job, JobKind, Outcome
from resticwrap.model.policy import Guard, ScheduledJob
from resticwrap.model.reports import DomainStatus, HistoryRow
from resticwrap.planning import alertrules as planning
from resticwrap.planning.alertrules import DiskUse, Facts, MachineFacts
from resticwrap.planning.alertsizes import mass_change, mass_loss, unusual
from resticwrap.planning.overdue import due_at, overdue

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICY = AlertRules.model_validate({})
AWAY = ErrorInfo(kind="TargetUnreachable", message="The target does not answer.", hint="rw doctor")
LOCKED = ErrorInfo(kind="Locked", message="Somebody else holds it.", hint="rw unlock")


def job(kind: str = "backup", outcome: Outcome = "ok", ago: timedelta = MINUTE, **more: Any) -> Job:
    return Job(
        id=f"{kind}_{int(ago.total_seconds())}", kind=kind, target="main", outcome=outcome,  # type: ignore[arg-type]
        started_at=NOW - ago, host="vm", pid=1, **more,
    )  # fmt: skip


def row(ago: timedelta, size: int = 1000, outcome: str = "ok", **counts: int) -> HistoryRow:
    given: dict[str, Any] = {"files_new": 0, "files_changed": 0, "files_removed": 0, **counts}
    return HistoryRow(
        job="snapshot_1", kind="backup", time=NOW - ago, domain="exams", type="incremental", outcome=outcome, added=1,
        size=size, duration=1.0, snapshot="s", **given,
    )  # fmt: skip


def domain(lag: float = 60.0, **more: Any) -> DomainStatus:
    return DomainStatus(
        domain="exams", layer="raw", priority="P0", rpo=300.0, rpo_lag=lag, within=lag <= 300, last_outcome="ok",
        last_looked_at=NOW - timedelta(seconds=lag), snapshots=1, files=1, size=1, stored=1, proven_at=None,
        rto=1800.0, **more,
    )  # fmt: skip


def reason(kind: Any, subject: str = "") -> GateReason:
    return GateReason(kind=kind, weight="block", sentence=f"{kind} speaks against it.", hint="rw gate", subject=subject)


WELL = Facts(
    target="main",
    domains=[domain()],
    drills=[DueLevel(level="l1", last=NOW - DAY, last_outcome="ok", due=NOW + DAY, overdue=False)],
    bucket=BucketLook(at=NOW),
    jobs={"backup": [job(), job(ago=HOUR)], "verify": [job("verify", ago=DAY, details={"tier": "hot"})]},
    running=[job(outcome="running")],
    rows={"exams": [row(number * MINUTE) for number in range(1, 12)]},
    files={"exams": 100},
    guards={"exams": Guard()},
    beat=NOW - MINUTE,
    scheduled=True,
    first=NOW - 30 * DAY,
)
FINE = MachineFacts(disks=[DiskUse("state directory", Path("/state"), 0.5, 0.1)], channels=[ChannelState(name="ops")])
DUE = DueLevel(level="l1", last=NOW - 9 * DAY, last_outcome="ok", due=NOW - 2 * DAY, overdue=True)


def with_jobs(**jobs: list[Job]) -> Facts:
    return replace(WELL, jobs={**WELL.jobs, **jobs})


def failed(kind: JobKind | str, **more: Any) -> list[Job]:
    return [job(kind, "failed", error=ErrorInfo(kind="Failure", message="It broke.", hint="rw doctor"), **more)]


WRONG: Mapping[str, Facts | MachineFacts] = {
    "incrementals_failed": with_jobs(backup=[job(outcome="failed"), job(outcome="failed", ago=HOUR), job(ago=DAY)]),
    "backup_late": replace(WELL, domains=[domain(700.0, actual_rpo=0.0)], first=NOW - DAY),
    "objective": replace(WELL, domains=[domain(400.0)]),
    "objective/exams drill": replace(WELL, domains=[domain(actual_rpo=900.0, actual_rto=1.0, drill_level="l1")]),
    "partial": replace(WELL, rows={"exams": [row(MINUTE, outcome="partial"), *WELL.rows["exams"]]}),
    "verify_failed": with_jobs(verify=[job("verify", "failed", details={"tier": "hot"}), *WELL.jobs["verify"]]),
    "verify_failed/overdue": with_jobs(verify=[job("verify", ago=9 * DAY, details={"tier": "hot"})]),
    "damage": replace(WELL, reasons=[reason("damage", "hot 1234")]),
    "drill_overdue": replace(WELL, drills=[DUE]),
    "job_failed": with_jobs(prune=failed("prune")),
    "job_failed/drill l1": with_jobs(drill=failed("drill", details={"level": "l1"})),
    "migration_failed": with_jobs(migrate=failed("migrate")),
    "lifecycle": replace(WELL, bucket=BucketLook(at=NOW, lacks=("rule x would be added",))),
    "bucket": replace(WELL, reasons=[reason("bucket", "1234")]),
    "quota": replace(WELL, quotas=[("the target", 1000, 950)]),
    "disk": replace(FINE, disks=[DiskUse("cache", Path("/cache"), 0.2, 0.95)]),
    "clock": replace(WELL, reasons=[reason("clock")]),
    "backup_size": replace(WELL, rows={"exams": [row(timedelta(), 400), *WELL.rows["exams"]]}),
    "mass_change": replace(WELL, rows={"exams": [row(HOUR, files_changed=60), row(2 * HOUR)]}),
    "raw_changed": replace(WELL, reasons=[reason("raw", "pin_1")]),
    "scheduler": replace(WELL, beat=NOW - HOUR),
    "scheduler/often": replace(
        WELL, overdue=overdue({"often": ScheduledJob(kind="backup", type="full", target="main", every="4m")},  # type: ignore[arg-type]
                              {}, NOW - DAY, HOUR, UTC, NOW),
    ),
    "catalog": replace(FINE, catalog_fault="It is locked.", catalog_hint="rw catalog rebuild"),
    "catalog/records": replace(FINE, unspooled=NOW - HOUR, spooled=3),
    "target": with_jobs(backup=[job(outcome="failed", type="full", error=AWAY), *WELL.jobs["backup"]]),
    "locks": replace(WELL, running=[job(outcome="running", ago=DAY)]),
    "locks/backup": with_jobs(backup=[job(outcome="failed", error=LOCKED), *WELL.jobs["backup"]]),
    "gate": replace(WELL, gate_open=False, gate_says="Nothing was proven."),
    "kit": replace(WELL, reasons=[reason("kit", "1234")]),
    "evidence": replace(WELL, reasons=[reason("evidence", "1234")]),
    "policies": replace(FINE, problems=["domains.yaml:3: host: is required"]),
    "undelivered": replace(FINE, channels=[ChannelState(name="ops", failing_since=NOW - HOUR, error="Refused.")]),
}  # fmt: skip
"""One thing that is wrong, by the rule (and where it has several, the subject) that says so."""


def look(facts: Facts | MachineFacts, rules: AlertRules = POLICY) -> list[Finding]:
    if isinstance(facts, Facts):
        return planning.of_target(facts, rules, NOW)
    return planning.of_machine(facts, rules, NOW)


def test_nothing_fires_where_nothing_is_wrong() -> None:
    assert look(WELL) == [] and look(FINE) == []
    assert look(Facts(target="main", domains=[domain(0.0)])) == []


@pytest.mark.parametrize("name", WRONG)
def test_each_rule_fires_alone(name: str) -> None:
    """At what is wrong, as grave as the policy has it, and not where it is off; what to do can be done."""
    rule, _, subject = name.partition("/")
    found = [one for one in look(WRONG[name]) if not (name == "backup_late" and one.rule == "objective")]
    assert {one.rule for one in found} == {rule}, found
    assert not subject or subject in {one.subject for one in found}
    assert all(one.severity == DEFAULTS[rule]["severity"] for one in found)  # type: ignore[index]
    assert all(one.message.endswith((".", ")", "%", "d")) or rule in ("mass_change", "backup_size") for one in found)
    off = AlertRules.model_validate({rule: {"severity": "off"}})
    assert rule not in {one.rule for one in look(WRONG[name], off)}
    for one in found:
        for words in re.findall(r"\brw ([a-z][^;()]*)", one.hint):
            parse(words.split())


def parse(words: list[str]) -> None:
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    command.make_context("rw", words)


def test_a_clock_that_is_behind_hides_no_backups() -> None:
    """Where all records are of the future, nobody says that there are none."""
    facts = Facts(target="main", scheduled=True)
    assert [one.rule for one in look(facts)] == ["backup_late"]
    assert [one.rule for one in look(replace(facts, reasons=[reason("clock")]))] == ["clock"]


def test_every_rule_has_its_case() -> None:
    assert {name.partition("/")[0] for name in WRONG} == set(RULES) == set(DEFAULTS) == set(AlertRules.model_fields)


def test_a_disk_that_is_full_is_critical() -> None:
    rules = AlertRules.model_validate({"disk": {"severity": "info", "used": 0.8}})
    facts = [replace(FINE, disks=[DiskUse("cache", Path("/cache"), used)]) for used in (0.79, 0.8, 0.98)]
    assert [[one.severity for one in look(one, rules)] for one in facts] == [[], ["info"], ["critical"]]


SIZES = st.lists(st.integers(1, 10**12), min_size=9, max_size=40)


@given(SIZES, st.floats(0.9, 1.1))
def test_usual_sizes(sizes: list[int], factor: float) -> None:
    """What lies near the median is never unusual, however the sizes lie; nothing at all always is."""
    rows = [row(number * MINUTE, size) for number, size in enumerate(sizes, 1)]
    middle = sorted(sizes)[len(sizes) // 2]
    assert (
        unusual(
            [row(timedelta(), int(middle * factor) or 1), *[row(MINUTE, middle)] * 9], Unusual(), may_be_empty=False
        )
        == ""
    )
    assert "nothing" in unusual([row(timedelta(), 0), *rows], Unusual(), may_be_empty=False)
    assert unusual([row(timedelta(), 0), *rows], Unusual(), may_be_empty=True) == ""
    empty = [row(timedelta(), 0)] * (len(rows) + 2)
    assert "nothing" in unusual([*empty, *rows], Unusual(), may_be_empty=False), "nothing has become usual"
    assert unusual(empty, Unusual(), may_be_empty=False) == ""


def test_unusual_sizes() -> None:
    """By the share of the median, unless the domain always varies that much; partial looks and few say nothing."""
    steady = [row(number * MINUTE, 1000 + number) for number in range(1, 20)]
    restless = [row(number * MINUTE, 500 + 500 * (number % 3)) for number in range(1, 20)]
    newest = row(timedelta(), 400)
    assert unusual([row(timedelta(), 1600), *steady], Unusual(), may_be_empty=False) == ""
    large = [row(number * MINUTE, 10**9) for number in range(1, 20)]
    assert unusual([row(timedelta(), 2 * 10**9), *large], Unusual(), may_be_empty=False)
    assert "median of 19" in unusual([newest, *steady], Unusual(), may_be_empty=False)
    assert unusual([newest, *restless], Unusual(), may_be_empty=False) == ""
    assert unusual([newest, *steady[:5]], Unusual(), may_be_empty=False) == ""
    assert unusual([row(timedelta(), 0, "partial"), *steady], Unusual(), may_be_empty=False) == ""


def test_mass_changes() -> None:
    """In any one backup of the last day, counted back from what is there now; not once somebody has looked."""
    rows = [row(MINUTE, files_new=10), row(HOUR, files_removed=60, files_new=5), row(30 * HOUR, files_changed=90)]
    found = mass_change(rows, 60, Guard(), None, NOW)
    assert found is not None and "60 of 105 files" in found[0] and found[1] == NOW - HOUR
    assert mass_change(rows, 60, Guard(), NOW - HOUR, NOW) is None
    assert mass_change(rows[2:], 60, Guard(), None, NOW) is None
    assert mass_change(rows, 60, Guard(least=1000), None, NOW) is None


def test_what_is_overdue() -> None:
    """Who began in time, whoever began it, is not; nor is what was due before anything was backed up."""
    nightly = ScheduledJob(kind="backup", type="full", target="main", cron="0 2 * * *")
    at = NOW.replace(hour=2)
    first = NOW - 30 * DAY
    assert due_at(nightly, None, first, 15 * MINUTE, UTC, NOW) == at
    assert due_at(nightly, at + MINUTE, first, 15 * MINUTE, UTC, NOW) is None
    assert due_at(nightly, at - HOUR, first, 15 * MINUTE, UTC, NOW) == at
    assert due_at(nightly, None, NOW - HOUR, 15 * MINUTE, UTC, NOW) is None
    assert due_at(nightly, at - DAY, first, 15 * MINUTE, UTC, at + 14 * MINUTE) is None
    yearly = ScheduledJob(kind="verify", target="main", cron="0 2 29 2 *")
    assert due_at(yearly, None, first, 15 * MINUTE, UTC, NOW) is None


def test_an_emptied_database() -> None:
    """One file that is another each time: its bytes tell, in any one backup of the last day; not once somebody has
    looked."""
    rows = [row(MINUTE, 450), row(HOUR, 400, "ok"), row(2 * HOUR, 1000), row(3 * HOUR, 900)]
    found = mass_loss(rows, Guard(), None, NOW)
    assert found is not None and "of 1,000 bytes 400 were left" in found[0] and found[1] == NOW - HOUR
    assert mass_loss(rows, Guard(), NOW - HOUR, NOW) is None
    assert mass_loss(rows, Guard(shrunk=0.7), None, NOW) is None
    assert mass_loss([row(30 * HOUR, 400), row(31 * HOUR, 1000)], Guard(), None, NOW) is None
