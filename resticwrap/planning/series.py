"""Every series that is exported: its type, its labels, what it means. `docs/metrics.md` says the same, and a test holds
both together. Names follow Prometheus's rules: base units, `_total` for what only grows, `_info` for facts in labels.

Labels are names out of the policies and words of ours, never ids, paths or hosts: their number is bounded.
"""

from collections.abc import Mapping
from typing import NamedTuple

from resticwrap.model.metrics import MetricType

UNITS = ("seconds", "bytes", "ratio")


class Series(NamedTuple):
    """One series."""

    type: MetricType
    labels: tuple[str, ...]
    help: str


def unit_of(name: str) -> str:
    """The unit that a name ends in; "" where it has none."""
    last = name.removesuffix("_total").rsplit("_", 1)[-1]
    return last if last in UNITS else ""


T, D = ("target",), ("target", "domain")
TIER, LEVEL, JOB = ("target", "tier"), ("target", "level"), ("target", "kind", "type")
PLANNED = ("target", "name", "kind")

SERIES: Mapping[str, Series] = {
    "resticwrap_build_info": Series("info", ("version",), "The rw that made these series."),
    "resticwrap_up": Series("gauge", T, "Whether the records of the target could be read (1), or not (0)."),
    "resticwrap_collected_timestamp_seconds": Series("gauge", (), "When these facts were collected."),
    "resticwrap_collect_duration_seconds": Series("gauge", (), "How long it took to collect them."),
    "resticwrap_target_info": Series("info", ("target", "provider"), "A target and what provides it."),
    # Jobs
    "resticwrap_jobs_total": Series("counter", (*JOB, "outcome"), "Jobs that have ended, out of the catalogue."),
    "resticwrap_job_run_seconds_total": Series("counter", JOB, "What those jobs took, all together."),
    "resticwrap_job_last_success_timestamp_seconds": Series("gauge", JOB, "When the last job that went well ended."),
    "resticwrap_job_last_ok": Series("gauge", JOB, "Whether the last job that ended went well."),
    "resticwrap_job_last_duration_seconds": Series("gauge", JOB, "How long the last job that ended took."),
    "resticwrap_jobs_running": Series("gauge", ("target", "kind"), "Jobs that run now."),
    "resticwrap_migrations_total": Series("counter", ("target", "outcome"), "Schema migrations that have ended."),
    # Domains
    "resticwrap_domain_info": Series("info", (*D, "layer", "priority"), "A domain of the policies."),
    "resticwrap_domain_rpo_lag_seconds": Series("gauge", D, "Time since the start of the last complete look."),
    "resticwrap_domain_last_complete_timestamp_seconds": Series("gauge", D, "When the last complete look began."),
    "resticwrap_domain_rpo_objective_seconds": Series("gauge", D, "How much time of data may be lost."),
    "resticwrap_domain_rto_objective_seconds": Series("gauge", D, "How long it may take to get it back."),
    "resticwrap_domain_actual_rpo_seconds": Series("gauge", (*D, "level"), "The RPO that the newest drill measured."),
    "resticwrap_domain_actual_rto_seconds": Series("gauge", (*D, "level"), "The RTO that the newest drill measured."),
    "resticwrap_domain_runs_total": Series("counter", (*D, "outcome"), "Looks of backup jobs, by how they ended."),
    "resticwrap_domain_objects": Series("gauge", D, "Files of the newest complete snapshot."),
    "resticwrap_domain_size_bytes": Series("gauge", D, "Size of the newest complete snapshot."),
    "resticwrap_domain_snapshots": Series("gauge", (*D, "tier"), "Snapshots in a tier."),
    "resticwrap_domain_stored_bytes": Series("gauge", (*D, "tier"), "What those snapshots added when they were made."),
    "resticwrap_domain_added_bytes_total": Series("counter", D, "What backups have stored of the domain."),
    "resticwrap_domain_added_last_day_bytes": Series("gauge", D, "What the backups of the last 24 hours have stored."),
    "resticwrap_domain_proven_timestamp_seconds": Series("gauge", D, "When a snapshot in hot was last proven."),
    "resticwrap_domain_quota_bytes": Series("gauge", D, "What may be stored of the domain, where that is bounded."),
    "resticwrap_domain_quota_snapshots": Series("gauge", D, "How many snapshots it may have, where that is bounded."),
    # Space
    "resticwrap_tier_snapshots": Series("gauge", TIER, "Snapshots of all domains, also of former ones."),
    "resticwrap_tier_logical_bytes": Series("gauge", TIER, "The sizes of all snapshots, summed."),
    "resticwrap_tier_stored_bytes": Series("gauge", TIER, "What the repository takes, as last measured."),
    "resticwrap_tier_dedup_ratio": Series("gauge", TIER, "Logical over stored bytes."),
    "resticwrap_target_quota_bytes": Series("gauge", T, "What may be stored in both tiers, where that is bounded."),
    "resticwrap_target_quota_snapshots": Series("gauge", T, "How many snapshots there may be, where bounded."),
    "resticwrap_target_disk_free_bytes": Series("gauge", T, "Room on the disk of a local target."),
    "resticwrap_target_disk_size_bytes": Series("gauge", T, "The size of that disk."),
    "resticwrap_disk_free_bytes": Series("gauge", ("place",), "Room on the disk of the state directory or the cache."),
    "resticwrap_disk_size_bytes": Series("gauge", ("place",), "The size of that disk."),
    # Proof
    "resticwrap_verify_last_timestamp_seconds": Series("gauge", TIER, "When the last verify began."),
    "resticwrap_verify_last_ok": Series("gauge", TIER, "Whether it found no damage."),
    "resticwrap_verify_coverage_ratio": Series("gauge", TIER, "The share of the bytes read back of late."),
    "resticwrap_drill_last_timestamp_seconds": Series("gauge", LEVEL, "When the last drill began."),
    "resticwrap_drill_last_success_timestamp_seconds": Series("gauge", LEVEL, "When the last that went well began."),
    "resticwrap_drill_last_ok": Series("gauge", LEVEL, "Whether everything came back as it was."),
    "resticwrap_drill_last_met": Series("gauge", LEVEL, "Whether it went well and kept to all objectives."),
    "resticwrap_drill_last_duration_seconds": Series("gauge", LEVEL, "How long it took."),
    "resticwrap_drill_last_phase_seconds": Series("gauge", (*LEVEL, "phase"), "How long each of its phases took."),
    "resticwrap_drill_objective_seconds": Series("gauge", LEVEL, "How long a drill of this level may take."),
    "resticwrap_drill_due_timestamp_seconds": Series("gauge", LEVEL, "When the next is due, where one is asked for."),
    "resticwrap_drill_overdue": Series("gauge", LEVEL, "Whether that time has passed."),
    "resticwrap_restore_success_ratio": Series("gauge", LEVEL, "The share of objects that came back as they were."),
    "resticwrap_proof_timestamp_seconds": Series("gauge", T, "When the newest verify or drill that went well began."),
    "resticwrap_gate_open": Series("gauge", T, "Whether the gate is open."),
    "resticwrap_gate_reasons": Series(
        "gauge", ("target", "reason", "verdict"), "Reasons that block, warn, or are overridden."
    ),
    # What needs a look
    "resticwrap_alerts_firing": Series("gauge", ("target", "rule", "severity"), "For how many subjects a rule holds."),
    "resticwrap_spooled_records": Series("gauge", T, "Records that wait for the catalogue, or of running jobs."),
    "resticwrap_waiting_manifests": Series("gauge", T, "Manifests and records of verifies that wait for the target."),
    "resticwrap_waiting_evidence": Series("gauge", T, "Evidence that waits for the target."),
    # The scheduler
    "resticwrap_scheduler_heartbeat_timestamp_seconds": Series("gauge", (), "When the scheduler last said it lives."),
    "resticwrap_scheduler_start_timestamp_seconds": Series("gauge", (), "When it was started."),
    "resticwrap_scheduled_job_enabled": Series("gauge", PLANNED, "Whether a job of the schedule is enabled."),
    "resticwrap_scheduled_job_last_run_timestamp_seconds": Series("gauge", PLANNED, "When its last run began."),
    "resticwrap_scheduled_job_last_ok": Series("gauge", PLANNED, "Whether its last run that ended went well."),
    "resticwrap_scheduled_job_next_run_timestamp_seconds": Series("gauge", PLANNED, "When it runs next."),
}
