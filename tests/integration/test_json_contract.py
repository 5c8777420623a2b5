"""What `--json` prints is a contract: one document (or one a line) and nothing else, with at least these fields.

A field may be added. One that is renamed, removed or changes its kind breaks somebody's script, and this test.
"""

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from tests.conftest import MakeLab
from tests.lab import Lab, Run

NUMBER = (int, float)
ERROR = {"kind": str, "message": str, "hint": str, "exit_code": int}
RUN = {
    "domain": str, "layer": str, "priority": str, "outcome": str, "type": str, "looked_at": str, "finished_at": str,
    "snapshot": str, "parent": None, "tree": str, "root": str, "files": int, "size": int, "added": int,
    "files_new": int, "files_changed": int, "files_removed": int, "duration": NUMBER, "missed": list,
    "missed_count": int, "bitrot": list, "schema_versions": dict, "error": None,
}  # fmt: skip
JOB = {
    "id": str, "kind": str, "target": str, "outcome": str, "started_at": str, "host": str, "pid": int,
    "finished_at": None, "type": None, "domains": list, "bytes_done": int, "error": None, "details": dict,
    "manifest": None,
}  # fmt: skip
SNAPSHOT = {
    "id": str, "original": str, "time": str, "tree": str, "host": str, "paths": list, "raw_tags": list,
    "parent": None, "files": int, "size": int, "added": int,
    "tags": {"domain": str, "layer": str, "priority": str, "job": str, "type": str, "tier": str,
             "expire_after_days": int},
}  # fmt: skip
RESTORED = {
    "domain": str, "snapshot": str, "time": str, "place": str, "files": int, "size": int, "compared": int,
    "mismatches": list, "unreadable": list, "tier": str,
}  # fmt: skip
RESTORE = {
    "job": JOB, "mode": str, "domains": [RESTORED], "restored": str, "kept": list, "safety": dict, "notes": list,
    "thaw": list, "thawed": list,
}  # fmt: skip
PIN = {
    "id": str, "target": str, "snapshots": list, "reason": str, "by": str, "created_at": str, "kind": str,
    "until": None, "released_at": None, "pin_version": int,
}  # fmt: skip
PINS = {"target": str, "action": str, "pins": list, "notes": list}
PLAN = {
    "target": str, "at": str, "tiers": list, "suspended": dict, "strangers": int, "warnings": list,
    "verdicts": [{"tier": str, "domain": str, "original": str, "id": str, "time": str, "keep": bool, "reasons": list}],
}  # fmt: skip
COVERAGE = {"days": int, "bytes_read": int, "bytes_total": int, "packs_read": int, "packs_total": int}
SPACE = {
    "snapshots": int, "logical": int, "blobs": int, "stored": int, "plain": int, "dedup": None, "compression": None,
    "lost": int,
}  # fmt: skip
GROWTH = {"domain": str, "added": list, "per_day": NUMBER}
REPAIR_PLAN = {
    "target": str, "tier": str, "at": str, "bad": list, "steps": list, "affected": list, "lost": list,
    "allow_loss": bool, "notes": list,
}  # fmt: skip
PRUNE_PLAN = {
    "target": str, "window": None, "open": bool, "opens": None, "seconds": NUMBER, "limit": str,
    "tiers": [{"tier": str, "packs": int, "stored": int, "max_unused": str, "cacheable_only": bool, "max_repack": None,
               "why": str, "would": list}],
}  # fmt: skip

PLANNED = {
    "target": str, "provider": str, "changes": list, "diff": str, "seen": str, "document": None, "problems": list,
    "refused": list, "notes": list,
}  # fmt: skip

HEAD = {"installation": str, "seq": int, "digest": str, "at": str}
AUDIT = {
    "target": str, "at": str, "ok": bool, "findings": list, "records": int, "manifests": int, "waiting": int,
    "notes": list,
    "chains": [{"installation": str, "records": int, "head": HEAD, "own": bool, "witnessed": int, "witnesses": list}],
}  # fmt: skip
EVIDENCE = {
    "installation": str, "target": str, "seq": int, "previous": str, "evidence_version": int,
    "event": {"id": str, "kind": str, "at": str, "by": str, "host": str, "job": str, "versions": dict, "body": dict},
}  # fmt: skip
TIER_PLAN = {
    "target": str, "read_back": str, "copies": list, "counts": list, "unlabelled": None, "unknown": int,
}  # fmt: skip
TIER_COPY = {
    "original": str, "domain": str, "host": str, "time": str, "type": str, "size": int, "action": str, "reasons": list,
}  # fmt: skip
KIT = {
    "file": str, "digest": str, "size": int, "made_at": str, "by": str, "host": str, "target": str, "provider": str,
    "namespace": str, "policies": list, "variables": list, "credentials": str, "needs": list, "where": str,
    "repositories": dict, "keys": dict, "head": None, "versions": dict, "secrets": list, "page": str,
    "notes": list,
}  # fmt: skip
SYSTEM = {
    "target": str, "place": str, "job": str, "started_at": str, "declared_at": str, "mode": str, "phases": dict,
    "seconds": NUMBER, "core_seconds": None, "started": None, "healthy": None, "missing": list, "failures": list,
    "notes": list, "next": list,
    "domains": [{"domain": str, "priority": str, "tier": str, "snapshot": str, "tree": str, "job": str, "time": str,
                 "source_time": str, "rpo": NUMBER, "files": int, "size": int, "back": NUMBER, "place": str,
                 "core": bool, "whole": bool, "manifest": bool, "failures": list, "resumed": bool}],
}  # fmt: skip
KEYS = {
    "target": str, "action": str, "added": dict, "removed": dict, "password_file": None, "notes": list,
    "keys": [{"tier": str, "id": str, "user": str, "host": str, "created": str, "current": bool}],
}  # fmt: skip
DUE = {"level": str, "last": None, "last_outcome": None, "due": None, "overdue": bool}
DRILL_PLAN = {
    "target": str, "level": str, "tier": str, "seed": int, "declared_at": str, "scratch": str, "room": int, "size": int,
    "spread": NUMBER, "canary": bool, "notes": list, "failures": list,
    "domains": [{"domain": str, "priority": str, "snapshot": str, "time": str, "source_time": str, "job": str,
                 "objects": int, "size": int}],
}  # fmt: skip
DRILL = {
    "job": JOB, "ok": bool, "met": bool, "missed": list, "notes": list,
    "drill": {
        "level": str, "tier": str, "scheduled": bool, "repository": str, "seed": int, "declared_at": str,
        "phases": dict, "sample": list, "digest": str, "spread": NUMBER, "objective": NUMBER, "seconds": NUMBER,
        "canary": {"snapshot": str, "sound": bool, "caught": bool, "offset": int, "why": str}, "estimates": list,
        "failures": list, "scratch": str,
        "domains": [{"domain": str, "priority": str, "snapshot": str, "tree": str, "job": str, "source_time": str,
                     "objects": int, "size": int, "failed": int, "actual_rpo": NUMBER, "actual_rto": NUMBER,
                     "rpo": NUMBER, "rto": NUMBER, "manifest": bool, "whole": bool, "failures": list}],
    },
}  # fmt: skip
GATE = {
    "target": str, "at": str, "open": bool, "reasons": list, "proof_within": NUMBER, "backup_within": NUMBER,
    "proof_age": None, "backup_age": None, "rpo_lag": None, "rpo": None, "overrides": list, "notes": list,
    "checked": [{"kind": str, "verdict": str, "sentence": str}],
}  # fmt: skip
ALERT = {
    "rule": str, "target": str, "severity": str, "state": str, "since": str, "message": str, "hint": str,
    "subject": str, "fired_at": None, "told_at": None, "resolved_at": None, "acknowledged_by": str,
    "acknowledged_at": None, "silenced_until": None,
}  # fmt: skip
FINDING = {
    "rule": str, "target": str, "severity": str, "message": str, "hint": str, "subject": str, "since": None,
}  # fmt: skip
CHECKED = {
    "at": str, "targets": list, "findings": list, "told": list, "deliveries": list, "unknown": dict, "notes": list,
    "sent": bool,
}  # fmt: skip
UPGRADE = {
    "step": str, "command": str, "snapshot_job": str, "pin": str, "gate_open": None, "exit_code": None, "drill": str,
    "drill_ok": None, "rollback": str, "rolled_back": bool, "released": bool,
}  # fmt: skip
COMING = {"at": str, "time_zone": str, "runs": list}
NEXT = {"at": str, "name": str, "kind": str, "target": str}
SCHEDULED = {
    "id": str, "host": str, "name": str, "target": str, "kind": str, "trigger": str, "due_at": str, "started_at": str,
    "outcome": str, "finished_at": str, "exit_code": int, "job": str, "message": str, "lease": str,
}  # fmt: skip
RUNS = {"runs": list, "planned": dict, "refused": dict, "waiting": list, "warnings": list}
PAUSES = {"changed": list, "pauses": dict, "planned": bool}
HEARTBEAT = {
    "pid": int, "host": str, "version": str, "started_at": str, "beat_at": str, "policies": str, "in_force": str,
    "ended_at": None, "problem": str, "running": list, "next": dict,
}  # fmt: skip
SCHEDULE = {
    "at": str, "time_zone": str, "alive": bool, "heartbeat": HEARTBEAT, "warnings": list,
    "rows": [{"name": str, "kind": str, "target": str, "when": str, "state": str, "variety": str, "domains": list,
              "excepted": list, "pause": None, "last": None, "next": str}],
}  # fmt: skip
DB_RESTORE = {
    "job": JOB, "domain": str, "snapshot": str, "time": None, "notes": list, "databases": list, "mode": str,
    "source": str, "place": str, "restored": str, "safety": str, "kept": list,
}  # fmt: skip
DB_RESTORED = {
    "database": str, "name": str, "tables": int, "rows": int, "wrong": list, "definitions": bool, "unexpected": list,
}  # fmt: skip
DB_KEPT = {"name": str, "kept": str, "job": str, "since": str, "command": str, "undo": str}
CONTRACT: dict[str, Any] = {
    "db list": {"target": str, "rows": list, "notes": list},
    "init": {
        "target": str, "repositories": {"hot": str, "cold": str}, "created": list, "adopted": list,
        "password_file": str, "password_created": bool,
    },
    "backup --dry-run": {
        "target": str, "type": str, "parallel": int,
        "domains": [{"domain": str, "priority": str, "layer": str, "type": str, "root": str, "parent": None,
                     "after": list, "why": str, "files": int, "size": int}],
    },
    "backup": {"job": {**JOB, "domains": [RUN], "manifest": str, "finished_at": str, "type": str}, "warnings": list},
    "snapshots": [{"snapshot": SNAPSHOT, "tier": str, "complete": bool, "proven_at": None}],
    "history": {
        "target": str, "time_zone": str,
        "rows": [{"job": str, "kind": str, "time": str, "domain": str, "type": str, "outcome": str, "files_new": int,
                  "files_changed": int, "files_removed": int, "added": int, "size": int, "duration": NUMBER,
                  "snapshot": str, "error": str}],
        "days": [{"day": str, "domain": str, "jobs": int, "failed": int, "partial": int, "full": int, "added": int}],
    },
    "repair": {
        "job": JOB, "tier": str, "ok": bool, "plan": REPAIR_PLAN, "done": list, "healed": list, "lost": list,
        "cut": list, "left": list, "notes": list,
    },
    "repair --dry-run": REPAIR_PLAN,
    "verify --share 1": {
        "job": JOB, "tier": str, "ok": bool, "share": str, "bucket": int, "seed": int, "coverage": COVERAGE,
        "damages": list, "proven": list, "notes": list, "read_packs": int, "detects": dict,
        "sampled": [{"domain": str, "snapshot": str, "path": str, "size": int, "ok": bool, "why": str}],
    },
    "audit verify": AUDIT,
    "audit log": [EVIDENCE],
    "audit show 0": EVIDENCE,
    "audit export": {
        "target": str, "at": str, "since": None, "until": None, "records": [EVIDENCE], "audit": AUDIT, "digests": dict,
    },
    "logs": {
        "target": str,
        "jobs": [{"job": str, "running": bool, "size": int, "kind": str, "outcome": str, "started_at": str,
                  "finished_at": str, "error": None}],
    },
    "status --all-hosts": {
        "at": str, "notes": list,
        "hosts": [{"host": str, "target": str, "domains": int, "within": int, "worst": str, "worst_lag": NUMBER,
                   "last_job": str, "last_outcome": str, "last_at": str, "failed": int, "last_verify": None,
                   "last_verify_ok": None, "last_drill": None, "last_drill_ok": None, "heard_at": str,
                   "rows": [{"domain": str, "layer": str, "priority": str, "rpo": NUMBER, "rpo_lag": NUMBER,
                             "within": bool, "last_outcome": str, "last_looked_at": str}]}],
    },
    "status": {
        "target": str, "provider": str, "at": str, "open_jobs": list, "notes": list, "gate": GATE, "running": list,
        "alerts": list,
        "space": [{"what": str, "path": str, "free": int, "total": int}],
        "domains": [{"domain": str, "layer": str, "priority": str, "rpo": NUMBER, "rpo_lag": NUMBER, "within": bool,
                     "last_outcome": str, "last_looked_at": str, "snapshots": int, "files": int, "size": int,
                     "stored": int, "proven_at": None, "rto": NUMBER, "drilled_at": None, "drill_level": None,
                     "actual_rpo": None, "actual_rto": None}],
        "drills": [DUE],
        "tiers": [{"tier": str, "repository": str, "snapshots": int, "logical": int, "stored": int, "ratio": None,
                   "last_verify": None, "last_verify_ok": None, "coverage": None}],
    },
    "metrics": {
        "at": str, "targets": list, "unknown": dict, "textfile": str,
        "families": [{"name": str, "type": str, "unit": str, "help": str, "metrics": list}],
    },
    "gate": GATE,
    "alerts check --dry-run": CHECKED,
    "alerts check": {**CHECKED, "findings": [FINDING], "told": [{"what": str, "alert": ALERT}]},
    "alerts list --history": {
        "target": str, "at": str, "alerts": [ALERT], "silences": list, "channels": list, "looked_at": str,
        "notes": list,
        "history": [{"id": str, "host": str, "target": str, "rule": str, "subject": str, "change": str, "at": str,
                     "severity": str, "message": str, "by": str}],
    },
    "alerts ack": {"action": str, "alerts": [ALERT], "silences": list},
    "alerts silence kit --for 2h": {
        "action": str, "alerts": [ALERT],
        "silences": [{"rule": str, "subject": str, "until": str, "at": str, "by": str, "reason": str}],
    },
    "alerts unsilence kit": {"action": str, "alerts": [ALERT], "silences": list},
    "pre-upgrade": {"job": JOB, "pin": PIN, "notes": list},
    "upgrade --dry-run -- true": {"target": str, "command": str, "backup": dict, "steps": list, "gate": GATE},
    "upgrade -- true": {
        "job": JOB, "upgrade": UPGRADE, "verdict": str, "gate": GATE, "next": list, "notes": list,
    },
    "upgrade --status": {
        "target": str, "released": list, "notes": list,
        "left": [{"pin": PIN, "job": str, "at": str, "running": bool, "said": str, "next": list}],
    },
    "report acceptance": {
        "target": str, "at": str, "time_zone": str, "since": str, "days": list, "notes": list,
        "rows": [{"what": str, "objective": str, "actual": str, "verdict": str, "how": str}],
    },
    "report daily": {
        "target": str, "day": str, "time_zone": str, "at": str, "added": int, "lag": None, "lag_domain": str,
        "rpo": None, "drills": list, "gate": GATE, "head": None, "waiting": int, "notes": list,
        "jobs": [{"kind": str, "ok": int, "partial": int, "failed": int, "interrupted": int, "running": int}],
    },
    "stats": {
        "target": str, "at": str, "time_zone": str, "days": list, "notes": list,
        "tiers": [{"tier": str, "repository": str, "packs": None, "domains": list, "space": SPACE}],
        "growth": [GROWTH], "total": GROWTH,
        "limits": [{"what": str, "limit": int, "used": None, "per_day": NUMBER, "days": None}],
    },
    "prune --dry-run": PRUNE_PLAN,
    "prune": {
        "job": {**JOB, "finished_at": str}, "plan": PRUNE_PLAN, "notes": list,
        "tiers": [{"tier": str, "ended": bool, "packs": int, "stored": int, "packs_after": int, "stored_after": int,
                   "said": list, "error": None}],
    },
    "doctor": {"target": str, "checks": [{"name": str, "verdict": str, "detail": str, "hint": str}]},
    "lifecycle plan": PLANNED,
    "lifecycle apply --dry-run": PLANNED,
    "lifecycle remove --dry-run": PLANNED,
    "lifecycle status": {
        "target": str, "provider": str, "at": str, "versioning": str, "in_effect": bool, "rules": list,
        "problems": list, "lock": None, "usage": list, "overdue": int, "overdue_bytes": int, "overdue_sample": list,
        "astray": int, "astray_sample": list, "unlabelled": int, "notes": list,
    },
    "unlock": {"target": str, "locks": list},
    "restore --dry-run": {**RESTORE, "mode": str},
    "restore --to back": {**RESTORE, "job": {**JOB, "finished_at": str}},
    "restore object exams a --to one": RESTORE,
    "restore window --at NOW --to then": RESTORE,
    "restore system --to whole": SYSTEM,
    "drill l1 --dry-run": {**DRILL_PLAN, "objects": [{"domain": str, "path": str, "snapshot": str, "size": int,
                                                      "reason": str, "path_b64": None}]},
    "drill l1": DRILL,
    "drill l2": DRILL,
    "drill l3": DRILL,
    "drill show DRILL": DRILL,
    "drill history": {
        "target": str, "at": str, "due": [DUE], "estimates": list,
        "rows": [{"job": str, "level": str, "tier": str, "time": str, "outcome": str, "scheduled": bool, "met": bool,
                  "domains": int, "objects": int, "size": int, "seconds": NUMBER, "objective": NUMBER,
                  "actual_rpo": NUMBER, "rpo": NUMBER, "actual_rto": NUMBER, "rto": NUMBER, "canary": bool,
                  "error": str}],
    },
    "policy check": {"ok": bool, "folder": str, "not_usable_yet": list},
    "policy show": {
        "folder": str, "state_dir": str, "cache_dir": str, "host": str, "formerly": list, "default_target": str,
        "targets": dict, "domains": dict, "tiers": dict, "schedule": dict,
    },
    "policy schema": {"$schema": str, "title": str, "anyOf": list, "$defs": dict},
    "tier plan": {**TIER_PLAN, "copies": [TIER_COPY], "counts": [{"tier": str, "now": int, "at_most": None}]},
    "tier run --dry-run": TIER_PLAN,
    "tier run": {
        "job": {**JOB, "finished_at": str}, "left": dict, "warnings": list,
        "details": {"read_back": str, "copied": list, "marked": list, "packs_read": int, "bytes_read": int,
                    "packs_looked": int, "labelled": int, "bad": list},
    },
    "pin --list": PINS,
    "pin SNAPSHOT --reason audit": {**PINS, "pins": [PIN]},
    "unpin PIN": {**PINS, "pins": [{**PIN, "released_at": str}]},
    "forget --dry-run": {"plan": PLAN, "job": None, "removed": list, "left": list, "looked": list, "notes": list},
    "forget": {"plan": PLAN, "job": JOB, "removed": list, "left": list, "looked": list, "notes": list},
    "forget --looked exams": {"plan": None, "job": JOB, "looked": list},
    "key list": KEYS,
    "key add --dry-run --new-password-file none": KEYS,
    "key rotate --dry-run": KEYS,
    "key remove 12345678 --dry-run": KEYS,
    "kit export --dry-run": KIT,
    "schedule run --dry-run": COMING,
    "schedule list": {**SCHEDULE, "heartbeat": None, "rows": list},
    "schedule next": COMING,
    "schedule history": RUNS,
    "schedule pause --all --dry-run": PAUSES,
    "schedule pause --all": PAUSES,
    "schedule resume --all": PAUSES,
    "catalog rebuild": {
        "target": str, "manifests": int, "jobs": int, "snapshots": int, "without_manifest": int, "skipped": list,
    },
}  # fmt: skip
RECOVER_PLAN = {
    "target": str, "at": str, "versioning": str,
    "parts": [{"name": str, "prefix": str, "deleted": int, "overwritten": int, "size": int, "newer": int, "same": int,
               "keys": list, "gone": list}],
    "notes": list,
}  # fmt: skip
PUT_BACK = {
    "job": JOB, "domain": str, "place": str, "database": str, "table": str, "file": str, "planned": bool, "notes": list,
    "result": {"rows": int, "inserted": int, "same": int, "conflicts": list, "conflict_count": int, "notes": list},
}  # fmt: skip
ELSEWHERE: dict[str, Any] = {
    "db restore": {**DB_RESTORE, "databases": [DB_RESTORED], "kept": [DB_KEPT]},
    "db receive": {},
    "db undo": {**DB_RESTORE, "kept": [DB_KEPT]},
    "db accept": DB_RESTORE,
    "db copy": {**DB_RESTORE, "databases": [DB_RESTORED], "kept": [DB_KEPT]},
    "db list: with rows": {
        "target": str, "notes": list,
        "rows": [{"domain": str, "engine": str, "place": str, "version": str, "error": str, "hint": str,
                  "databases": [{"name": str, "size": None}], "snapshot": None, "time": None, "since": None,
                  "until": None, "kept": list}],
    },
    "db extract": {
        "job": JOB, "domain": str, "snapshot": str, "time": str, "database": str, "table": str, "read": int,
        "rows": int, "size": int, "out": str, "command": str, "planned": bool, "notes": list,
    },
    "db put-back": PUT_BACK,
    "db put-back --dry-run": PUT_BACK,
    "recover-deleted": {
        "job": {**JOB, "finished_at": str}, "plan": RECOVER_PLAN, "brought_back": int, "notes": list,
        "tiers": [{"tier": str, "ok": bool, "snapshots": int, "lost": list, "errors": int, "messages": list,
                   "problem": None}],
    },
    "recover-deleted --dry-run": RECOVER_PLAN,
    "alerts test": {
        "at": str, "skipped": list,
        "deliveries": [{"channel": str, "ok": bool, "told": int, "seconds": NUMBER, "error": str}],
    },
    "kit export": KIT,
    "kit show": KIT,
    "kit secrets": {
        "target": str, "made_at": str, "place": str, "planned": bool,
        "files": [{"domain": str, "path": str, "mode": str, "size": int}],
    },
    "kit restore": SYSTEM,
    "schedule install": {
        "keeper": str, "mode": str, "folder": str, "next": list, "notes": list,
        "jobs": [{"name": str, "kind": str, "target": str, "when": list, "command": list}],
        "files": [{"path": str, "action": str, "content": str, "diff": str}],
    },
    "schedule run": {**RUNS, "runs": [SCHEDULED]},
    "schedule list": SCHEDULE,
    "schedule next": {**COMING, "runs": [NEXT]},
    "schedule run-now": {**RUNS, "runs": [SCHEDULED]},
    "schedule run-now --dry-run": RUNS,
    "schedule history": {**RUNS, "runs": [SCHEDULED]},
    "schedule health": {"alive": bool, "why": str, "age": NUMBER, "heartbeat": HEARTBEAT},
}  # fmt: skip
"""What needs more than a folder: `test_recover.py`, `test_kit.py`, `test_alerts.py`, `test_schedule*.py` compare it."""
LINES: dict[str, list[Any]] = {
    "ls": [
        {"domain": str, "snapshot": str, "path": str, "kind": str, "size": int, "mode": str, "mtime": str,
         "content_id": None, "link": None, "path_b64": None},
    ],
    "logs --last": [
        {"job": str, "running": bool, "record": JOB, "missing": None},
        {"time": str, "level": str, "message": str, "job": str, "logger": str},
    ],
    "manifest show latest": [
        {"job_id": str, "target": str, "target_provider": str, "namespace": str, "repositories": dict, "chunker": str,
         "host": str, "outcome": str, "started_at": str, "finished_at": str, "snapshot_type": str,
         "domains": [{"run": RUN, "tree": str, "object_digest": str, "objects": int, "bytes": int, "restore": str}],
         "object_list": {"mode": str, "whole": bool, "objects": list, "removed": list}, "schema_versions": dict,
         "restore_entrypoint": str, "tool_versions": dict, "manifest_version": int},
        {"path": str, "size": int, "content_id": str, "domain": str, "path_b64": None},
    ],
}  # fmt: skip
"""The kinds of the first line and of those that follow."""


def fits(shape: Any, found: Any, where: str) -> None:
    """Whether a value has the shape: `None` is anything, a list is a list of at least one such."""
    if shape is None:
        return
    if isinstance(shape, dict):
        assert isinstance(found, dict), where
        assert set(shape) <= set(found), f"{where} lacks {set(shape) - set(found)}"
        for key, inner in shape.items():
            fits(inner, found[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(found, list) and found, where
        for inner in found:
            fits(shape[0], inner, f"{where}[]")
    else:
        assert isinstance(found, shape), f"{where} is {found!r}"


def run(lab: Lab, command: str, *more: str, code: int | None = 0) -> Run:
    """A command with --json."""
    before, dashes, after = command.partition(" -- ")
    return lab.rw(*before.split(), "--json", *more, *(["--", *after.split()] if dashes else []), code=code)


def named(lab: Lab, command: str) -> str:
    """The command with the ids that a lab has now."""
    if "SNAPSHOT" in command:
        return command.replace("SNAPSHOT", lab.json("snapshots")[0]["snapshot"]["id"])
    if "DRILL" in command:
        return command.replace("DRILL", lab.json("drill", "history")["rows"][0]["job"])
    command = command.replace("NOW", datetime.now(UTC).isoformat())
    return command.replace("PIN", lab.json("pin", "--list")["pins"][0]["id"]) if "PIN" in command else command


def test_every_command(lab: Lab) -> None:
    """One document, and it is what scripts rely on. On stderr nothing: there is nothing to say."""
    lab.write("exams/a", secrets.token_bytes(100))
    lab.write("profiles/b", "b")
    for command, shape in CONTRACT.items():
        done = run(lab, named(lab, command))
        fits(shape, done.json, command)
        assert done.err == "", command
        if command.startswith("policy"):
            continue
        assert done.out.count("\n") == 1 and done.out.endswith("\n"), command
    for command, (first, *rest) in LINES.items():
        head, *tail = run(lab, command).lines
        fits(first, head, command)
        assert tail
        for line in tail:
            fits(rest[0] if rest else first, line, command)


def test_every_command_is_in_the_contract() -> None:
    """A new command needs its shape here."""
    from tests.unit.cli.test_help import ALL

    pinned = [*CONTRACT, *LINES, *ELSEWHERE]
    assert [name for name in ALL if not any(command.startswith(name) for command in pinned)] == []


FAILURE = {"error": ERROR, "problems": list}


def test_a_failure_of_every_command(make_lab: MakeLab) -> None:
    """The same shape everywhere where the policies are not there; the exit code is in it."""
    lab = make_lab("local", ready=False)
    for command in [*CONTRACT, *LINES]:
        if command == "policy schema":  # it describes the files, not anybody's
            continue
        done = run(lab, command.replace("NOW", "2026-01-01"), "--policies", "nowhere", code=2)
        fits(FAILURE, done.json, command)
        assert done.json["error"]["exit_code"] == 2 and done.json["error"]["hint"]
        assert done.err.startswith("error: ")


def test_failures_that_carry_a_code(make_lab: MakeLab) -> None:
    """Each has the exit code of the process in it."""
    fresh = make_lab("local", ready=False)
    for code, command, env in (
        (10, "backup", {}),
        (2, "backup --domain nope", {}),
        (2, "backup --target nope", {}),
        (1, "history", {"RW_STATE_DIR": "/dev/null/x"}),
        (12, "init", {"RESTIC_PASSWORD_FILE": "/nowhere/password"}),
    ):
        done = fresh.rw(*command.split(), "--json", code=code, env=env)
        fits(FAILURE, done.json, command)
        assert done.json["error"]["exit_code"] == code == done.code
        assert json.dumps(done.json["error"]["message"])[1:-1].split("\\n")[0][:20] in json.dumps(done.err)
