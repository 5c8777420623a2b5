"""Reports for people: one function per report, each taking a console and the report.

rich itself is imported only when something is shown.
"""

from resticwrap.report.alerts import alerts, alerts_changed, alerts_check, alerts_test
from resticwrap.report.audit import audit, evidence, evidence_record
from resticwrap.report.backup import backup, plan
from resticwrap.report.console import console
from resticwrap.report.database import db_list, db_restore
from resticwrap.report.drill import drill, drill_history, drill_plan
from resticwrap.report.errors import show_failure
from resticwrap.report.forget import forget
from resticwrap.report.gate import gate
from resticwrap.report.history import history
from resticwrap.report.kit import files as kit_files
from resticwrap.report.kit import keys, kit, system
from resticwrap.report.lifecycle import lifecycle_plan, lifecycle_report, lifecycle_status
from resticwrap.report.pins import pins
from resticwrap.report.prune import prune, prune_plan
from resticwrap.report.recover import recover, recover_plan
from resticwrap.report.repair import repair, repair_plan
from resticwrap.report.restore import restore
from resticwrap.report.setup import doctor, init, locks, policy, rebuild
from resticwrap.report.snapshots import ls, manifest, objects, snapshots
from resticwrap.report.stats import stats
from resticwrap.report.status import status
from resticwrap.report.tiering import tier, tier_plan
from resticwrap.report.verify import verify

__all__ = [
    "alerts",
    "alerts_changed",
    "alerts_check",
    "alerts_test",
    "audit",
    "backup",
    "console",
    "db_list",
    "db_restore",
    "doctor",
    "drill",
    "drill_history",
    "drill_plan",
    "evidence",
    "evidence_record",
    "forget",
    "gate",
    "history",
    "init",
    "keys",
    "kit",
    "kit_files",
    "lifecycle_plan",
    "lifecycle_report",
    "lifecycle_status",
    "locks",
    "ls",
    "manifest",
    "objects",
    "pins",
    "plan",
    "policy",
    "prune",
    "prune_plan",
    "rebuild",
    "recover",
    "recover_plan",
    "repair",
    "repair_plan",
    "restore",
    "show_failure",
    "snapshots",
    "stats",
    "status",
    "system",
    "tier",
    "tier_plan",
    "verify",
]  # fmt: skip
