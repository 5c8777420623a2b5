"""Metrics of real backups: by hand, as a file, and through a real Prometheus into every panel of the dashboard."""

import json
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from resticwrap.clock import SystemClock
from resticwrap.model.alerts import AlertBook, Watched
from resticwrap.model.schedule import Heartbeat
from resticwrap.model.unattended import Alert, AlertState, ScheduledRun
from resticwrap.planning.series import SERIES
from tests import docs
from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.child import free_ports
from tests.servers.prometheus import start_prometheus

DEPLOY = docs.ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana/dashboards/resticwrap.json"
RULES = DEPLOY / "prometheus/rules/resticwrap.yml"
OF_RULES = re.compile(r"\bresticwrap:\w+:\w+\b")
FILLED = {"$target": ".*", "$__rate_interval": "1m"}
NOT_IN_THE_LAB = {"resticwrap_domain_quota_snapshots", "resticwrap_target_quota_snapshots"}
"""Series without a value in the lab below, which bounds no number of snapshots."""
FIGURES = {
    "resticwrap_up": 1,
    "resticwrap_alerts_firing": 1,
    "resticwrap_restore_success_ratio": 1,
    "resticwrap_scheduled_job_last_ok": 1,
    'resticwrap_jobs_total{kind="backup", type="incremental", outcome="ok"}': 2,
    'resticwrap_domain_objects{domain="exams"}': 3,
    'resticwrap_tier_snapshots{tier="hot"}': 2,
    'resticwrap_verify_coverage_ratio{tier="hot"}': 1,
    'resticwrap_domain_runs_total{domain="exams", outcome="unchanged"}': 1,
}


class Hurried(SystemClock):
    """So that what was collected is fresh for half a second only."""

    def monotonic(self) -> float:
        return time.monotonic() * 20


class Untouchable:
    """Stands in for what no scrape may touch."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def page_of(text: str) -> dict[str, float]:
    """The values of a page by name and labels."""
    return {f"{one.name}{one.labels}": one.value for family in parse(text) for one in family.samples}


def a_year_in_a_minute(make_lab: MakeLab, port: int) -> Lab:
    """A lab in which one of everything has happened, whose scheduler would answer on this port."""
    lab = make_lab("local", quota={"max_bytes": "1GiB"})
    lab.domains["exams"]["quota"] = {"max_bytes": "1GiB"}
    lab.write_policies()
    schedule = {
        "verify": {"share": "1/1", "sample": 2},
        "metrics": {"listen": f"127.0.0.1:{port}"},
        "jobs": {"often": {"kind": "backup", "type": "incremental", "target": "main", "every": "4m"}},
    }
    (lab.folder / "policies/schedule.yaml").write_text(yaml.safe_dump(schedule))
    lab.fill("exams", files=3)
    lab.fill("profiles", files=2)
    for command in ("backup", "verify", "drill l1 --no-canary"):
        lab.rw(*command.split())
    now = datetime.now(UTC)
    ran = ScheduledRun(
        id="run-1", host="lab", name="often", target="main", kind="backup", trigger="due", due_at=now, started_at=now,
        finished_at=now, outcome="ok",
    )  # fmt: skip
    states: list[tuple[str, AlertState]] = [("a", "firing"), ("b", "resolved")]
    watched = tuple(
        Watched(
            alert=Alert(
                rule="disk", target="main", subject=subject, severity="warning", state=state, since=now, message="…"
            )
        )
        for subject, state in states
    )
    with lab.house() as built:
        built.catalog.put_run(ran)
        built.state.put_alert_book(AlertBook(watched=watched))
    return lab


def beat() -> Heartbeat:
    now = datetime.now(UTC)
    return Heartbeat(
        pid=1, host="lab", version="0", started_at=now, beat_at=now, policies="p", in_force="p", next={"often": now}
    )


def test_the_command(make_lab: MakeLab) -> None:
    """It prints what Prometheus parses, writes a file whole for node_exporter, and says when the catalogue is away:
    then `resticwrap_up` is 0, the policy's side is there, the exit code is 1, and counters went on from where they were
    once it is back."""
    lab = make_lab("local")
    lab.fill("exams")
    lab.rw("backup")
    lab.rw("backup")
    page = page_of(lab.rw("metrics").out)
    backups = "resticwrap_jobs_total{'kind': 'backup', 'outcome': 'ok', 'target': 'main', 'type': 'incremental'}"
    assert page[backups] == 2 and page["resticwrap_up{'target': 'main'}"] == 1
    file = lab.folder / "rw.prom"
    said = lab.rw("metrics", "--textfile", str(file), "--dry-run").out
    assert said.startswith("Would write") and not file.exists()
    lab.rw("metrics", "--textfile", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert page_of(file.read_text()).keys() == page.keys()
    assert "would not read" in lab.rw("metrics", "--textfile", str(lab.folder / "rw.txt"), code=2).err
    catalog = lab.state / "catalog.sqlite"
    catalog.rename(lab.folder / "away")
    gone = lab.rw("metrics", code=1)
    left = page_of(gone.out)
    assert left["resticwrap_up{'target': 'main'}"] == 0 and backups not in left
    assert left["resticwrap_domain_rpo_objective_seconds{'domain': 'exams', 'target': 'main'}"] == 300
    assert "rw catalog" not in gone.out and "catalogue is not there" in gone.err
    assert list(lab.json("metrics", code=1)["unknown"]) == ["main"]
    (lab.folder / "away").rename(catalog)
    lab.rw("backup")
    assert page_of(lab.rw("metrics").out)[backups] == 3


def expressions() -> Iterator[tuple[str, str]]:
    """Of every panel every expression, with the variables filled in."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in FILLED.items():
                text = text.replace(name, value)
            assert "$" not in text, text
            yield panel["title"], text


def test_every_panel_shows_something(make_lab: MakeLab, tmp_path: Path) -> None:
    """A real Prometheus scrapes what real backups left, of one who may touch neither target nor restic: each series and
    each expression of the dashboard has data, every rule can be evaluated, and a backup between two scrapes counts."""
    (port,) = free_ports(1)
    lab = a_year_in_a_minute(make_lab, port)
    with lab.house(Hurried()) as built:
        for name in ("store", "bucket", "binary", "context", "password"):
            built.__dict__[name] = Untouchable()
        built.ledger.files.put_heartbeat(beat())
        attendant = built.metrics_attendant(lambda: built.settings)
        attendant.begin()
        try:
            with start_prometheus(tmp_path, port) as prometheus:
                prometheus.wait_for("count_over_time(resticwrap_up[1m]) >= 2")
                lab.rw("backup")
                prometheus.wait_for('increase(resticwrap_jobs_total{kind="backup",outcome="ok"}[1m]) > 0')
                prometheus.wait_for("resticwrap:job_success:ratio1d")
                nothing = [f"{title}: {text}" for title, text in expressions() if not prometheus.query(text)]
                assert nothing == []
                assert {name for name in SERIES if not prometheus.query(name)} == NOT_IN_THE_LAB
                figures = {text: float(prometheus.query(text)[0]["value"][1]) for text in FIGURES}
                assert figures == FIGURES
                rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
                assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
                assert {one["health"] for one in prometheus.ask("targets")["activeTargets"]} == {"up"}
        finally:
            attendant.end()


def rules_of(key: str) -> set[str]:
    """The names of the shipped rules: `alert` or `record`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule[key] for group in groups for rule in group["rules"] if key in rule}


def test_rules_fire_and_resolve() -> None:
    """promtool finds rules and configuration in order, and each alert fires in its test, and is over in it."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: apt-get install --no-install-recommends prometheus"
    tests = sorted((DEPLOY / "prometheus/tests").glob("*.yml"))
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", *map(str, tests)]):
        done = subprocess.run([promtool, *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    cases = [
        one for file in tests for test in yaml.safe_load(file.read_text())["tests"] for one in test["alert_rule_test"]
    ]
    fired = {one["alertname"] for one in cases if one["exp_alerts"]}
    over = {one["alertname"] for one in cases if not one["exp_alerts"]}
    assert fired == over == rules_of("alert")


def test_every_series_is_documented_and_none_is_made_up() -> None:
    """docs/metrics.md has each with its type, unit and labels; dashboard and rules name no other."""
    table = {
        docs.code_in(row[0])[0]: (row[1], row[2], tuple(docs.code_in(row[3])))
        for row in docs.rows("docs/metrics.md")
        if row[0].startswith("`resticwrap_")
    }
    assert table == {name: (one.type, unit_in(name), one.labels) for name, one in SERIES.items()}
    used = RULES.read_text() + "\n".join(text for _, text in expressions())
    assert set(re.findall(r"\bresticwrap_\w+", used)) <= SERIES.keys()
    assert set(OF_RULES.findall(used)) == rules_of("record")


def unit_in(name: str) -> str:
    """The unit that the name ends in."""
    return next((unit for unit in ("seconds", "bytes", "ratio") if re.search(rf"_{unit}(_total)?$", name)), "")
