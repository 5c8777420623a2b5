"""From facts to series. What is not known has no value: a miss is never told as zero."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import get_args

from resticwrap.model.base import Time
from resticwrap.model.gate import GateReport, ReasonKind
from resticwrap.model.job import DomainOutcome, JobKind
from resticwrap.model.metrics import Known, Metric, MetricFamily, MetricsFacts, MetricsReport, TargetFacts
from resticwrap.model.snapshot import SnapshotType
from resticwrap.planning.series import SERIES, unit_of

ENDS = ("ok", "partial", "failed", "interrupted")
VERDICTS = ("block", "warn", "overridden")
MIGRATION = "migrate"
"""The kind of a job that migrates schemas."""

Values = Iterator[tuple[str, tuple[str, ...], float | None]]
"""The name without its prefix, the labels in the order of the table, the value; None is left out."""


def report(facts: MetricsFacts) -> MetricsReport:
    """Every series in the order of the table; one without values is there, empty. Counters that may count later begin
    with 0, so that the first failure is an increase."""
    made: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for name, labels, value in _all(facts):
        if value is not None:
            made[f"resticwrap_{name}"][labels] = float(value)
    return MetricsReport(
        at=facts.at,
        targets=tuple(one.target for one in facts.targets),
        families=tuple(
            MetricFamily(
                name=name,
                type=series.type,
                unit=unit_of(name),
                help=series.help,
                metrics=tuple(
                    Metric(labels=dict(zip(series.labels, labels, strict=True)), value=value)
                    for labels, value in made[name].items()
                ),
            )
            for name, series in SERIES.items()
        ),
        unknown={one.target: one.why for one in facts.targets if one.known is None},
    )


def _all(facts: MetricsFacts) -> Values:
    yield "build_info", (facts.version,), 1
    yield "collected_timestamp_seconds", (), facts.at.timestamp()
    yield "collect_duration_seconds", (), facts.seconds
    for place, room in facts.rooms.items():
        yield "disk_free_bytes", (place,), room.free
        yield "disk_size_bytes", (place,), room.total
    for target in facts.targets:
        yield from _target(target)
        if target.known is not None:
            names = {one.domain for one in target.promises}
            yield from _jobs(target.target, target.known)
            yield from _domains(target.target, target.known, names)
            yield from _tiers(target.target, target.known)
            yield from _drills(target.target, target.known, names)
            yield from _gate(target.target, target.known.status.gate)
            for one in target.known.alerts:
                yield "alerts_firing", (target.target, one.rule, one.severity), one.count
    yield from _schedule(facts)


def _target(facts: TargetFacts) -> Values:
    """What is known without the catalogue."""
    target = (facts.target,)
    yield "up", target, facts.known is not None
    if facts.provider:
        yield "target_info", (facts.target, facts.provider), 1
    for one in facts.promises:
        domain = (facts.target, one.domain)
        yield "domain_info", (*domain, one.layer, one.priority), 1
        yield "domain_rpo_objective_seconds", domain, one.rpo
        yield "domain_rto_objective_seconds", domain, one.rto
        yield "domain_quota_bytes", domain, one.quota_bytes
        yield "domain_quota_snapshots", domain, one.quota_snapshots
    for level, seconds in facts.levels.items():
        yield "drill_objective_seconds", (facts.target, level), seconds
    yield "target_quota_bytes", target, facts.quota_bytes
    yield "target_quota_snapshots", target, facts.quota_snapshots
    yield "target_disk_free_bytes", target, facts.disk.free if facts.disk else None
    yield "target_disk_size_bytes", target, facts.disk.total if facts.disk else None
    yield "spooled_records", target, facts.spooled
    yield "waiting_manifests", target, facts.manifests
    yield "waiting_evidence", target, facts.events


def _jobs(target: str, known: Known) -> Values:
    kinds = {(kind, named) for kind in get_args(JobKind) if kind != "backup" for named in ("",)}
    kinds |= {("backup", named) for named in get_args(SnapshotType)} | {(one.kind, one.type) for one in known.jobs}
    counted = {(one.kind, one.type, one.outcome): one.count for one in known.jobs}
    took: dict[tuple[str, str], float] = defaultdict(float)
    for one in known.jobs:
        took[one.kind, one.type] += one.seconds
        if one.outcome == "ok":
            yield "job_last_success_timestamp_seconds", (target, one.kind, one.type), one.last_at.timestamp()
    for kind, named in sorted(kinds):
        for outcome in ENDS:
            yield "jobs_total", (target, kind, named, outcome), counted.get((kind, named, outcome), 0)
        yield "job_run_seconds_total", (target, kind, named), took[kind, named]
    for kind in sorted({kind for kind, _ in kinds}):
        yield "jobs_running", (target, kind), known.running.get(kind, 0)
    for last in known.last:
        yield "job_last_ok", (target, last.kind, last.type), last.outcome == "ok"
        yield "job_last_duration_seconds", (target, last.kind, last.type), last.seconds
    for outcome in ENDS:
        migrated = sum(one.count for one in known.jobs if (one.kind, one.outcome) == (MIGRATION, outcome))
        yield "migrations_total", (target, outcome), migrated


def _domains(target: str, known: Known, names: set[str]) -> Values:
    counted = {(one.domain, one.outcome): one for one in known.runs}
    for name in sorted(names):
        added = 0
        for outcome in get_args(DomainOutcome):
            tally = counted.get((name, outcome))
            added += tally.added if tally else 0
            yield "domain_runs_total", (target, name, outcome), tally.count if tally else 0
        yield "domain_added_bytes_total", (target, name), added
        yield "domain_added_last_day_bytes", (target, name), known.day.get(name, 0)
    for one in known.status.domains:
        if one.domain not in names:
            continue
        domain = (target, one.domain)
        yield "domain_rpo_lag_seconds", domain, one.rpo_lag
        yield "domain_last_complete_timestamp_seconds", domain, _at(one.last_looked_at)
        yield "domain_proven_timestamp_seconds", domain, _at(one.proven_at)
        if one.snapshots and one.last_looked_at is not None:
            yield "domain_objects", domain, one.files
            yield "domain_size_bytes", domain, one.size
    for held in known.held:
        if held.domain in names:
            yield "domain_snapshots", (target, held.domain, held.tier), held.snapshots
            yield "domain_stored_bytes", (target, held.domain, held.tier), held.stored


def _tiers(target: str, known: Known) -> Values:
    for one in known.status.tiers:
        tier = (target, one.tier)
        yield "tier_snapshots", tier, one.snapshots
        yield "tier_logical_bytes", tier, one.logical
        yield "tier_stored_bytes", tier, one.stored
        yield "tier_dedup_ratio", tier, one.ratio
        yield "verify_last_timestamp_seconds", tier, _at(one.last_verify)
        yield "verify_last_ok", tier, one.last_verify_ok
        yield "verify_coverage_ratio", tier, one.coverage.share if one.coverage else None


def _drills(target: str, known: Known, names: set[str]) -> Values:
    for due in known.status.drills:
        level = (target, due.level)
        yield "drill_last_success_timestamp_seconds", level, _at(due.last)
        yield "drill_due_timestamp_seconds", level, _at(due.due)
        yield "drill_overdue", level, due.overdue
    for one in known.drills:
        level = (target, one.level)
        yield "drill_last_timestamp_seconds", level, one.at.timestamp()
        yield "drill_last_ok", level, one.ok
        yield "drill_last_met", level, one.met
        yield "drill_last_duration_seconds", level, one.seconds
        for phase, seconds in one.phases.items():
            yield "drill_last_phase_seconds", (*level, phase), seconds
        if one.objects:
            yield "restore_success_ratio", level, max(one.objects - one.failed, 0) / one.objects
    for measured in known.measured:
        if measured.domain in names:
            domain = (target, measured.domain, measured.level)
            yield "domain_actual_rpo_seconds", domain, measured.rpo
            yield "domain_actual_rto_seconds", domain, measured.rto


def _gate(target: str, gate: GateReport | None) -> Values:
    if gate is None:
        return
    counted = Counter((one.kind, "overridden" if one.overridden else str(one.weight)) for one in gate.reasons)
    yield "gate_open", (target,), gate.open
    for kind in get_args(ReasonKind):
        for verdict in VERDICTS:
            yield "gate_reasons", (target, kind, verdict), counted[kind, verdict]
    if gate.proof_age is not None:
        yield "proof_timestamp_seconds", (target,), gate.at.timestamp() - gate.proof_age


def _schedule(facts: MetricsFacts) -> Values:
    if facts.beat is not None:
        yield "scheduler_heartbeat_timestamp_seconds", (), facts.beat.beat_at.timestamp()
        yield "scheduler_start_timestamp_seconds", (), facts.beat.started_at.timestamp()
    for job in facts.jobs:
        labels = (job.target, job.name, job.kind)
        yield "scheduled_job_enabled", labels, job.enabled
        yield "scheduled_job_last_run_timestamp_seconds", labels, _at(job.last)
        yield "scheduled_job_last_ok", labels, job.ok
        if facts.beat is not None:
            yield "scheduled_job_next_run_timestamp_seconds", labels, _at(facts.beat.next.get(job.name))


def _at(time: Time | None) -> float | None:
    return None if time is None else time.timestamp()
