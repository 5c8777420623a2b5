"""From facts to series, and from series to what Prometheus parses."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from resticwrap.metrics import exposition
from resticwrap.model.metrics import (
    Firing,
    Holding,
    JobTally,
    Known,
    LastJob,
    LevelDrill,
    Measured,
    MetricsFacts,
    MetricsReport,
    PlannedJob,
    Promise,
    Room,
    RunTally,
    TargetFacts,
)
from resticwrap.model.schedule import Heartbeat
from resticwrap.planning.metrics import report
from resticwrap.planning.series import SERIES, unit_of
from tests.unit.report import samples

NOW = datetime(2026, 11, 28, 12, 0, 0, 250_000, tzinfo=UTC)
OPEN = "application/openmetrics-text; version=1.0.0"


def known(domain: str = "exams", **changes: Any) -> Known:
    """One of everything."""
    values: dict[str, Any] = {
        "status": samples.status(),
        "jobs": (
            JobTally(kind="backup", type="full", outcome="ok", count=3, seconds=30.5, last_at=NOW),
            JobTally(kind="migrate", type="", outcome="failed", count=2, seconds=1, last_at=NOW),
        ),
        "last": (LastJob(kind="backup", type="full", outcome="failed", seconds=9),),
        "runs": (RunTally(domain=domain, outcome="ok", count=3, added=700),),
        "day": {domain: 70},
        "held": (Holding(domain=domain, tier="hot", snapshots=3, stored=700),),
        "running": {"backup": 1},
        "drills": (
            LevelDrill(level="l1", at=NOW, ok=False, met=False, seconds=9, objects=4, failed=1, phases={"load": 2.0}),
        ),
        "measured": (Measured(domain=domain, level="l1", rpo=100, rto=9),),
        "alerts": (Firing(rule="rpo", severity="critical", count=1),),
    }
    return Known(**{**values, **changes})


def facts(target: str = "main", domain: str = "exams", /, **changes: Any) -> MetricsFacts:
    beat = Heartbeat(
        pid=1, host="h", version="1", started_at=NOW, beat_at=NOW, policies="p", in_force="p", next={"full": NOW}
    )
    one = {
        "target": target,
        "provider": "local",
        "known": known(domain),
        "promises": (Promise(domain=domain, layer="raw", priority="P0", rpo=300, rto=1800, quota_bytes=10**13),),
        "levels": {"l1": 600.0},
        "disk": Room(free=1, total=2),
        "spooled": 0,
        **changes,
    }
    return MetricsFacts(
        at=NOW,
        version="0.1.0",
        targets=(TargetFacts(**one),),
        rooms={"state": Room(free=3, total=4)},
        beat=beat,
        jobs=(PlannedJob(name="full", target=target, kind="backup", enabled=True, last=NOW, ok=True),),
    )


def values(made: MetricsReport) -> dict[str, dict[tuple[str, ...], float]]:
    return {one.name: {tuple(m.labels.values()): m.value for m in one.metrics} for one in made.families}


ANY = st.text(st.characters(exclude_categories=()), min_size=1)
"""Halves of surrogates too."""


def lines(found: Iterable[tuple[str, Mapping[str, str], float]]) -> list[tuple[str, list[tuple[str, str]], float]]:
    """Values with their labels, in an order of their own."""
    return sorted((name, sorted(labels.items()), float(value)) for name, labels, value in found)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(ANY, ANY, st.floats(allow_nan=False, width=32), st.integers(0, 2**63))
def test_whatever_the_names_it_parses(target: str, domain: str, lag: float, count: int) -> None:
    """Both formats give back every value with its labels, also for names and numbers that no policy would let in."""
    jobs = (JobTally(kind="verify", type="", outcome="ok", count=count, seconds=abs(lag), last_at=NOW),)
    measured = (Measured(domain=domain, level="l1", rpo=lag, rto=lag),)
    made = report(facts(target, domain, known=known(domain, jobs=jobs, measured=measured)))
    shown = {name: name.encode("utf-8", "backslashreplace").decode() for name in (target, domain)}
    told = lines(
        (family.name, {key: shown.get(value, value) for key, value in metric.labels.items()}, metric.value)
        for family in made.families
        for metric in family.metrics
    )
    for parser, accept in ((parse, ""), (parse_open, OPEN)):
        page = exposition.negotiated(made, accept)[0].decode()
        read = [sample for family in parser(page) for sample in family.samples]
        assert lines((sample.name, sample.labels, sample.value) for sample in read) == told


def test_names_follow_the_rules_of_prometheus() -> None:
    """promtool finds nothing to complain of, and names say type and unit."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: apt-get install prometheus"
    page = exposition.text(report(facts()))
    told = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=20)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")
    for name, series in SERIES.items():
        assert name.startswith("resticwrap_")
        assert (series.type == "counter") == name.endswith("_total"), name
        assert (series.type == "info") == name.endswith("_info"), name
        assert not name.endswith(("_ms", "_minutes", "_percent", "_mib")), name
        assert "time" not in name or unit_of(name) == "seconds", name


def test_what_can_fail_later_begins_with_zero() -> None:
    """So the first failure is an increase: of every kind of job, also of those that never ran, and of migrations."""
    found = values(report(facts(known=known(jobs=(), runs=()))))
    jobs = found["resticwrap_jobs_total"]
    assert {("main", "backup", "full", "failed"), ("main", "prune", "", "interrupted")} <= jobs.keys()
    assert set(jobs.values()) == {0.0}
    assert found["resticwrap_migrations_total"] == {
        ("main", one): 0.0 for one in ("ok", "partial", "failed", "interrupted")
    }
    assert found["resticwrap_domain_runs_total"]["main", "exams", "partial"] == 0.0
    assert found["resticwrap_gate_reasons"]["main", "clock", "block"] == 0.0


def test_what_is_not_known_has_no_value() -> None:
    """Of a target whose records cannot be read only what the policy says and the state directory."""
    one = report(facts(known=None, why="The catalogue is away.", spooled=None, disk=None))
    found = {name for name, metrics in values(one).items() if metrics}
    assert values(one)["resticwrap_up"] == {("main",): 0.0}
    assert "resticwrap_domain_rpo_objective_seconds" in found
    assert not {name for name in found if "jobs_" in name or "lag" in name or "gate" in name or "spooled" in name}
    assert one.unknown == {"main": "The catalogue is away."}
    assert [family.name for family in one.families] == list(SERIES)


def test_figures_are_those_of_the_facts() -> None:
    found = values(report(facts()))
    assert found["resticwrap_jobs_total"]["main", "backup", "full", "ok"] == 3
    assert found["resticwrap_migrations_total"]["main", "failed"] == 2
    assert found["resticwrap_job_run_seconds_total"]["main", "backup", "full"] == 30.5
    assert found["resticwrap_job_last_ok"] == {("main", "backup", "full"): 0}
    assert found["resticwrap_job_last_success_timestamp_seconds"]["main", "backup", "full"] == NOW.timestamp()
    assert found["resticwrap_domain_added_bytes_total"] == {("main", "exams"): 700}
    assert found["resticwrap_restore_success_ratio"] == {("main", "l1"): 0.75}
    assert found["resticwrap_jobs_running"]["main", "backup"] == 1
    assert found["resticwrap_scheduled_job_next_run_timestamp_seconds"] == {("main", "full", "backup"): NOW.timestamp()}
    gate = samples.status().gate
    assert gate is not None
    blocked = sum(v for (_, _, verdict), v in found["resticwrap_gate_reasons"].items() if verdict == "block")
    assert blocked == sum(reason.closes for reason in gate.reasons)


def test_labels_are_bounded_by_the_policies() -> None:
    """Domains that only the catalogue knows, and names in reasons and notes, never become labels."""
    stray = known(
        runs=(RunTally(domain="stray", outcome="ok", count=1, added=1),),
        day={"stray": 1},
        held=(Holding(domain="stray", tier="hot", snapshots=1, stored=1),),
        measured=(Measured(domain="stray", level="l1", rpo=1, rto=1),),
    )
    for family in report(facts(known=stray)).families:
        for metric in family.metrics:
            assert metric.labels.get("domain", "exams") == "exams", family.name
            assert set(metric.labels) == set(SERIES[family.name].labels)


def test_times_are_seconds_since_1970() -> None:
    made = report(MetricsFacts(at=NOW, version="1"))
    assert values(made)["resticwrap_collected_timestamp_seconds"] == {(): NOW.timestamp()}
