"""Every screen by name, drawn into a string."""

import io
import os
from collections.abc import Callable, Mapping
from datetime import UTC, date
from unittest import mock
from zoneinfo import ZoneInfo

from rich.console import Console

from resticwrap.errors import CatalogUnavailable, PolicyError, Problem
from resticwrap.report import acceptance, dbrows, hosts, logs, metrics, outside, schedule, text, upgrade, watch
from resticwrap.report.page import Page
from resticwrap.services.watching import Look
from tests.unit.report import alert_samples, database_samples, row_samples, samples, schedule_samples, secret_samples

SHANGHAI = ZoneInfo("Asia/Shanghai")
PROBLEMS = PolicyError(
    [
        Problem("policies/targets.yaml", 12, "targets.oss.endpoint", "must be https: OSS refuses uploads over http"),
        Problem("policies/domains.yaml", 3, "host", "is \x1b[31mmissing"),
    ]
)


def watched(console: Console) -> None:
    """One screen of a watch, of a catalogue that is away."""
    with Page(console, UTC) as page:
        away = CatalogUnavailable("The catalogue is locked.", hint="Try again.")
        watch.compose(page, Look(None, away, samples.busy()), page.height)


SCREENS: dict[str, Callable[[Console], None]] = {
    "plan": lambda console: text.plan(console, samples.plan()),
    "backup": lambda console: text.backup(console, samples.backup(), zone=SHANGHAI),
    "snapshots": lambda console: text.snapshots(console, samples.snapshots(), zone=SHANGHAI),
    "ls": lambda console: text.ls(console, samples.entries(), "chunker", zone=UTC),
    "history": lambda console: text.history(console, samples.history(), today=date(2026, 8, 2)),
    "restore": lambda console: text.restore(console, samples.restore(), zone=UTC),
    "db_restore": lambda console: text.db_restore(console, database_samples.restored(), zone=UTC),
    "db_restore_bad": lambda console: text.db_restore(console, database_samples.restored("new", False), zone=UTC),
    "db_restore_plan": lambda console: text.db_restore(console, database_samples.restored("planned"), zone=UTC),
    "db_undo": lambda console: text.db_restore(console, database_samples.restored("undo"), zone=UTC),
    "db_accept": lambda console: text.db_restore(console, database_samples.restored("accept"), zone=UTC),
    "db_list": lambda console: text.db_list(console, database_samples.listed(), zone=UTC),
    "restore_bad": lambda console: text.restore(console, samples.restore(good=False), zone=UTC),
    "verify": lambda console: text.verify(console, samples.verify(), zone=UTC),
    "verify_bad": lambda console: text.verify(console, samples.verify(good=False), zone=UTC),
    "drill": lambda console: text.drill(console, samples.drill(), zone=UTC),
    "drill_bad": lambda console: text.drill(console, samples.drill(good=False), zone=UTC),
    "drill_plan": lambda console: text.drill_plan(console, samples.drill_plan(), zone=UTC),
    "drill_history": lambda console: text.drill_history(console, samples.drill_history(), zone=UTC),
    "status": lambda console: text.status(console, samples.status(), zone=UTC),
    "hosts": lambda console: hosts.hosts(console, samples.hosts(), zone=UTC, everything=True),
    "status_busy": lambda console: text.status(console, samples.busy(), zone=UTC),
    "watch": watched,
    "logs": lambda console: logs.logs(console, samples.logs(), zone=UTC),
    "story": lambda console: logs.lines(console, samples.story(), samples.STORY_JOB, zone=UTC),
    "story_head": lambda console: logs.head(console, samples.story_head(), zone=UTC),
    "story_gone": lambda console: logs.head(console, samples.story_head(kept=False), zone=UTC),
    "alerts": lambda console: text.alerts(console, alert_samples.alerts(), zone=UTC),
    "alerts_check": lambda console: text.alerts_check(console, alert_samples.check(), zone=UTC),
    "alerts_check_dry": lambda console: text.alerts_check(console, alert_samples.check(sent=False), zone=UTC),
    "alerts_test": lambda console: text.alerts_test(console, alert_samples.tried()),
    "alerts_test_none": lambda console: text.alerts_test(console, alert_samples.tried(used=False)),
    "alerts_changed": lambda console: text.alerts_changed(console, alert_samples.changed(), zone=UTC),
    "gate": lambda console: text.gate(console, samples.gate(), zone=UTC, explain=True),
    "gate_open": lambda console: text.gate(console, samples.gate(closed=False), zone=UTC),
    "upgrade": lambda console: upgrade.upgrade(console, samples.upgrade(), zone=UTC),
    "upgrade_plan": lambda console: upgrade.plan(console, samples.upgrade_plan(), zone=UTC),
    "upgrade_status": lambda console: upgrade.status(console, samples.upgrade_status(), zone=UTC),
    "pre_upgrade": lambda console: upgrade.pre_upgrade(console, samples.pre_upgrade(), zone=UTC),
    "pre_upgrade_bad": lambda console: upgrade.pre_upgrade(console, samples.pre_upgrade(pinned=False), zone=UTC),
    "acceptance": lambda console: acceptance.acceptance(console, samples.acceptance(), zone=UTC),
    "daily": lambda console: acceptance.daily(console, samples.daily(), zone=UTC),
    "metrics": lambda console: metrics.written(console, samples.metrics(known=False)),
    "metrics_plan": lambda console: metrics.written(console, samples.metrics(), dry_run=True),
    "doctor": lambda console: text.doctor(console, samples.doctor()),
    "lifecycle_plan": lambda console: text.lifecycle_plan(console, samples.lifecycle_plan()),
    "lifecycle_report": lambda console: text.lifecycle_report(console, samples.lifecycle_report()),
    "lifecycle_status": lambda console: text.lifecycle_status(console, samples.lifecycle_status(), zone=UTC),
    "locks": lambda console: text.locks(console, samples.locks(), zone=UTC),
    "init": lambda console: text.init(console, samples.init()),
    "init_again": lambda console: text.init(console, samples.init(created=False)),
    "rebuild": lambda console: text.rebuild(console, samples.rebuild()),
    "kit": lambda console: text.kit(console, samples.kit(), zone=UTC),
    "kit_files": lambda console: text.kit_files(console, secret_samples.kit_files(), zone=UTC),
    "kit_files_plan": lambda console: text.kit_files(console, secret_samples.kit_files(planned=True), zone=UTC),
    "kit_plan": lambda console: text.kit(console, samples.kit(written=False), zone=UTC),
    "system": lambda console: text.system(console, samples.system(), zone=UTC),
    "system_plan": lambda console: text.system(console, samples.system(done=False), zone=UTC),
    "keys": lambda console: text.keys(console, samples.keys()),
    "manifest": lambda console: text.manifest(console, samples.manifest(), samples.objects(), zone=UTC),
    "objects": lambda console: text.objects(console, samples.objects(), ["exam_uploads"]),
    "pins": lambda console: text.pins(console, samples.pins(), zone=UTC),
    "forget": lambda console: text.forget(console, samples.forget(), zone=UTC),
    "forget_plan": lambda console: text.forget(console, samples.forget(done=False), zone=UTC),
    "tier_plan": lambda console: text.tier_plan(console, samples.tier_plan(), zone=UTC),
    "tier": lambda console: text.tier(console, samples.tier(), zone=UTC),
    "stats": lambda console: text.stats(console, samples.stats()),
    "prune_plan": lambda console: text.prune_plan(console, samples.prune_plan(), zone=UTC),
    "prune": lambda console: text.prune(console, samples.prune(), zone=UTC),
    "audit": lambda console: text.audit(console, samples.audit(), zone=UTC),
    "audit_bad": lambda console: text.audit(console, samples.audit(good=False), zone=UTC),
    "evidence": lambda console: text.evidence(console, samples.evidence(), zone=UTC),
    "evidence_record": lambda console: text.evidence_record(console, samples.evidence()[0], zone=UTC),
    "recover_plan": lambda console: text.recover_plan(console, samples.recover_plan(), zone=UTC),
    "recover": lambda console: text.recover(console, samples.recover(), zone=UTC),
    "repair_plan": lambda console: text.repair_plan(console, samples.repair_plan(), zone=UTC),
    "repair": lambda console: text.repair(console, samples.repair(), zone=UTC),
    "outside_plan": lambda console: outside.outside(console, samples.outside_report()),
    "outside": lambda console: outside.outside(console, samples.outside_report(planned=False)),
    "schedule": lambda console: schedule.listed(console, schedule_samples.schedule()),
    "schedule_dead": lambda console: schedule.listed(console, schedule_samples.schedule(alive=False)),
    "coming": lambda console: schedule.coming(console, schedule_samples.coming()),
    "scheduled_runs": lambda console: schedule.runs(console, schedule_samples.scheduled_runs(), zone=UTC),
    "scheduled_history": lambda console: schedule.history(console, schedule_samples.scheduled_runs(), zone=UTC),
    "pauses": lambda console: schedule.pauses(console, schedule_samples.pauses(), zone=UTC),
    "health": lambda console: schedule.health(console, schedule_samples.health()),
    "health_bad": lambda console: schedule.health(console, schedule_samples.health(alive=False)),
    "extract": lambda console: dbrows.extract(console, row_samples.extracted(), zone=UTC),
    "extract_plan": lambda console: dbrows.extract(console, row_samples.extracted(planned=True), zone=UTC),
    "put_back": lambda console: dbrows.put_back(console, row_samples.put_back(), zone=UTC),
    "put_back_bad": lambda console: dbrows.put_back(console, row_samples.put_back(good=False), zone=UTC),
    "put_back_plan": lambda console: dbrows.put_back(console, row_samples.put_back(planned=True), zone=UTC),
    "error": lambda console: text.show_failure(console, PROBLEMS),
}


class Stream(io.StringIO):
    """A stream that says whether it is a terminal, and in what encoding."""

    def __init__(self, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    def isatty(self) -> bool:
        return self._terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def draw(
    show: Callable[[Console], None],
    *,
    width: int = 80,
    height: int = 24,
    terminal: bool = True,
    encoding: str = "utf-8",
    environ: Mapping[str, str] | None = None,
) -> str:
    """What `show` prints on a terminal (or a pipe) of these properties."""
    stream = Stream(terminal, encoding)
    plain = {"TERM": "xterm-256color"} | dict(environ or {})
    with mock.patch.dict(os.environ, plain, clear=True):
        show(Console(file=stream, width=width, height=height, highlight=False, markup=False, emoji=False))
    return stream.getvalue()
