"""`alerts.yaml`: what it may say, what is said of a mistake in it, and that it stops nothing else."""

from pathlib import Path

import pytest
import yaml

from resticwrap.errors import PolicyError
from resticwrap.model.alerting import DEFAULTS, AlertsFile
from resticwrap.settings import check, load, show
from resticwrap.settings.used import named, used
from tests.unit.settings.samples import policies

SHIPPED = Path(__file__).parents[3] / "policies/alerts.yaml"


def problems(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    found = check(policies(folder, alerts=text), env or {}, ["here"])
    return [str(one).removeprefix("alerts.yaml:") for one in found]


def test_the_shipped_file_spells_out_the_defaults(tmp_path: Path) -> None:
    """Without it everything is as with it, but for the channels."""
    without = load(policies(tmp_path / "a"), {}).alerts
    shipped = load(policies(tmp_path / "b", alerts=SHIPPED.read_text()), {}).alerts
    assert shipped.model_copy(update={"channels": {}}) == without == AlertsFile().alerts
    assert list(yaml.safe_load(SHIPPED.read_text())["alerts"]["rules"]) == list(DEFAULTS)


def test_a_rule_keeps_what_is_not_changed_of_it(tmp_path: Path) -> None:
    read = load(policies(tmp_path, alerts="alerts: {rules: {backup_late: {after: 20m}, kit: {severity: off}}}"), {})
    late, kit = read.alerts.rules.backup_late, read.alerts.rules.kit
    assert (late.severity, late.after.seconds, kit.severity) == ("critical", 1200, "off")
    assert kit.remind is not None and kit.remind.days == 7


def test_every_mistake_is_told_without_its_value(tmp_path: Path) -> None:
    text = """\
alerts:
  channels:
    ops: {url: hunter2, severities: []}
  healthchecks:
    alive: ftp://hunter2
    jobs: {nightly: https://hc.example/hunter2}
  summary: {at: "8 o'clock"}
  rules:
    backup_late: {befor: 1m}
    disk: {used: 2}
"""
    assert problems(tmp_path / "a", text) == [
        "3: alerts.channels.ops.url: must be an Apprise URL such as mailto://… or slack://…",
        "3: alerts.channels.ops.severities: must not be empty",
        "5: alerts.healthchecks.alive: must be a URL that begins with https:// or http://",
        "7: alerts.summary.at: must be a time of the day such as 08:00",
        "9: alerts.rules.backup_late.befor: is not a known key; known: after, hold, remind, severity",
        "10: alerts.rules.disk.used: must be at most 1.0",
    ]
    names = "alerts: {summary: {channels: [boss]}, healthchecks: {jobs: {nightly: 'https://hc.example/x'}}}"
    assert problems(tmp_path / "b", names) == [
        "1: alerts.summary.channels.0: names no channel; there are none",
        "1: alerts.healthchecks.jobs.nightly: names no job of schedule.yaml",
    ]


def test_a_mistake_stops_alerts_alone(tmp_path: Path) -> None:
    """A secret's file that is gone, or a file that is no YAML: the policies load, and alerts say why they do not."""
    text = "alerts: {channels: {ops: {url: '${RW_ALERT_URL:-}'}}}"
    read = load(policies(tmp_path, alerts=text), {"RW_ALERT_URL_FILE": "/nowhere/hunter2"})
    assert "cannot be read" in str(read.problems_of_alerts[0]) and "hunter2" not in str(show(read))
    with pytest.raises(PolicyError):
        _ = read.alerts
    assert load(policies(tmp_path, alerts="alerts: ["), {}).problems_of_alerts
    assert load(policies(tmp_path, alerts=""), {}).problems_of_alerts


def test_urls_are_secrets(tmp_path: Path) -> None:
    text = """\
alerts:
  channels: {ops: {url: "${RW_ALERT_URL:-}"}, none: {url: "${OTHER:-}"}}
  healthchecks: {alive: "https://hc.example/hunter2", jobs: {often: "https://hc.example/hunter2"}}
"""
    read = load(policies(tmp_path, alerts=text), {"RW_ALERT_URL": "slack://hunter2"})
    assert "hunter2" not in str(show(read)) + repr(read) + repr(read.alerts)
    assert used(tmp_path, {"RW_ALERT_URL": "slack://hunter2"}, "here").values == {}
    assert "RW_ALERT_URL" in named(tmp_path).all - named(tmp_path).plain
    assert read.alerts.channels["none"].url is None
    assert read.alerts.channels["ops"].url is not None
