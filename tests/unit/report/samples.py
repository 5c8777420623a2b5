"""Reports as real jobs make them, for every screen."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import msgspec

from resticwrap.model.acceptance import (
    AcceptanceDay,
    AcceptanceReport,
    AcceptanceRow,
    DailyDrill,
    DailyJobs,
    DailyReport,
)
from resticwrap.model.aging import SnapshotPin, Verdict
from resticwrap.model.audit import AuditedChain, AuditExport, AuditFinding, AuditReport
from resticwrap.model.dbproof import Loaded
from resticwrap.model.drill import CanaryResult, DrillDetails, DrilledDomain, DrilledObject, Estimate, Reason
from resticwrap.model.drills import (
    DrillHistory,
    DrillPlan,
    DrillReport,
    DrillRow,
    DueLevel,
    PlannedDrill,
    PlannedObject,
)
from resticwrap.model.evidence import Event, Evidence, Head
from resticwrap.model.gate import GateCheck, GateReason, GateReport, Override
from resticwrap.model.hosts import HostDomainStatus, HostsReport, HostStatus
from resticwrap.model.job import DomainOutcome, DomainRun, ErrorInfo, Job, Manifest, ManifestDomain, ObjectList
from resticwrap.model.kit import KeyReport, KitReport, RepositoryKey, SystemDomain, SystemReport
from resticwrap.model.metrics import Metric, MetricFamily, MetricsReport
from resticwrap.model.objects import Entry, ObjectRow
from resticwrap.model.outside import OutsideFile, OutsideJob, OutsideReport
from resticwrap.model.repair import BadObject, Healed, LostObject, RepairDone, RepairPlan, RepairReport, RepairStep
from resticwrap.model.reports import (
    Astray,
    BackupPlan,
    BackupReport,
    Check,
    ClassUse,
    Coverage,
    Damage,
    DoctorReport,
    DomainSpace,
    DomainStatus,
    DumpShare,
    ForgetPlan,
    ForgetReport,
    Growth,
    HistoryDay,
    HistoryReport,
    HistoryRow,
    InitReport,
    LifecyclePlan,
    LifecycleReport,
    LifecycleStatus,
    LockInfo,
    LockStatus,
    Mismatch,
    PinReport,
    PlannedDomain,
    PlannedPrune,
    PrunedTier,
    PrunePlan,
    PruneReport,
    RebuildReport,
    RecoveredTier,
    RecoverPart,
    RecoverPlan,
    RecoverReport,
    RestoredDomain,
    RestoreReport,
    RuleChange,
    RuleProblem,
    SampledFile,
    SnapshotRow,
    SpaceLimit,
    StatsReport,
    StatusReport,
    TierSpace,
    TierStatus,
    UnlockReport,
    UsedSpace,
    VerifyReport,
)
from resticwrap.model.running import DiskSpace, JobProgress, PieceProgress
from resticwrap.model.snapshot import Layer, Priority, Snapshot, Tags
from resticwrap.model.story import LoggedJob, LogLine, LogsReport, StoryHead
from resticwrap.model.tiering import BadPack, CopyDetails, PlannedCopy, TierCount, TierPlan, TierReport
from resticwrap.model.unattended import Alert, Severity
from resticwrap.model.upgrade import (
    PreUpgradeReport,
    UpgradeDetails,
    UpgradeLeft,
    UpgradePlan,
    UpgradeReport,
    UpgradeStatus,
)
from resticwrap.planning import drill as planning
from resticwrap.planning.upgrade import steps
from tests.unit.report.alert_samples import ALERTS

NOW = datetime(2026, 7, 31, 14, 3, 5, tzinfo=UTC)
PIN = "pin_20260731T140305Z_3f9c2a"
NASTY = "answers/\x1b[31mred\x1b[0m\r\n[bold red]x[/] \u202egpj.exe \udcff"
"""A name that colours, breaks the line, tries rich's markup, turns the direction round, and is no UTF-8."""
LONG = "school-42/2026/" + "/".join(f"a-folder-with-a-long-name-{n}" for n in range(8)) + "/answer.json"
CHINESE = "成绩/二〇二六年度期末考试/第三考场/答题卡扫描件/学生答案与评分记录汇总表.json"
DOMAINS: tuple[tuple[str, Layer, Priority], ...] = (
    ("exam_uploads", "raw", "P0"), ("answer_images", "raw", "P0"), ("ocr_texts", "raw", "P1"),
    ("parsed_texts", "raw", "P1"), ("score_sheets", "raw", "P0"), ("responses_scored", "derived", "P1"),
    ("question_bank", "derived", "P1"), ("analysis_drafts", "derived", "P2"), ("student_profiles", "serving", "P0"),
    ("teacher_workspaces", "serving", "P0"), ("exam_manifests", "serving", "P0"), ("assignment_meta", "serving", "P1"),
    ("session_index", "serving", "P1"), ("tenant_config", "serving", "P0"), ("job_state", "serving", "P1"),
    ("migration_log", "serving", "P0"), ("thumbnail_cache", "derived", "P2"), ("rw_state", "serving", "P0"),
)  # fmt: skip
JOB = "20260731-140305-3f9c2a"


def hexes(seed: int) -> str:
    return f"{seed * 2654435761 % 2**32:08x}" * 8


def job(
    kind: Literal["backup", "verify", "restore", "drill"] = "backup",
    outcome: Literal["ok", "partial", "failed"] = "ok",
    domains: tuple[DomainRun, ...] = (),
    error: ErrorInfo | None = None,
) -> Job:
    return Job(
        id=JOB, kind=kind, target="local", outcome=outcome, started_at=NOW, host="school-1", pid=4711, domains=domains,
        finished_at=NOW + timedelta(seconds=192), type="incremental" if kind == "backup" else None, error=error,
        manifest="backups/school/2026-07-31/" + JOB + "/backup_manifest.json" if kind == "backup" else None,
    )  # fmt: skip


def run(index: int, outcome: DomainOutcome = "ok", **more: object) -> DomainRun:
    name, layer, priority = DOMAINS[index]
    fields: dict[str, object] = {
        "domain": name, "layer": layer, "priority": priority, "outcome": outcome, "type": "incremental",
        "looked_at": NOW, "finished_at": NOW + timedelta(seconds=3 + index), "snapshot": hexes(index + 1),
        "files": 1525 * (index + 1), "size": 123_456_789 * (index + 1), "added": 654_321 * index,
        "duration": 0.7 * index,
        "files_new": 12 * index, "files_changed": 3 * index, "files_removed": index,
    }  # fmt: skip
    return DomainRun(**(fields | more))  # type: ignore[arg-type]


def plan() -> BackupPlan:
    return BackupPlan(
        target="local", type="incremental", parallel=3,
        domains=tuple(
            PlannedDomain(
                domain=name, priority=priority, layer=layer, type="incremental" if index % 3 else "full",
                root=f"/srv/teaching/{layer}/{name}", parent=hexes(index + 1) if index else None,
                after=("exam_uploads",) if index == 4 else (), files=None if index == 7 else 300 * index,
                why="no complete snapshot yet" if index % 3 == 0 else "unchanged files are taken from the parent",
                size=None if index == 7 else 9_876_543 * index,
            )
            for index, (name, layer, priority) in enumerate(DOMAINS)
        ),
    )  # fmt: skip


def backup() -> BackupReport:
    locked = ErrorInfo(kind="Locked", message="The repository is locked by restic on school-2.", hint="rw unlock local")
    domains = (
        run(0), run(1, "unchanged", added=0),
        run(2, "partial", missed=(NASTY, LONG, CHINESE), missed_count=31),
        run(3, "failed", error=locked, snapshot=None), run(4, bitrot=("scores/2026/sheet-0017.csv",)),
        *(run(index) for index in range(5, 18)),
    )  # fmt: skip
    return BackupReport(job=job(outcome="partial", domains=domains), warnings=("The clock of the store is 3s ahead.",))


def snapshots() -> list[SnapshotRow]:
    rows = []
    for index, (name, layer, priority) in enumerate(DOMAINS):
        tags = Tags(domain=name, layer=layer, priority=priority, job=JOB, type="full", tier="hot", expire_after_days=30)
        snapshot = Snapshot(
            id=hexes(index + 50), original=hexes(index + 1), time=NOW - timedelta(hours=index), tree=hexes(99),
            host="school-1", paths=(f"/{name}",), tags=tags if index else None, files=1525 * index, size=10**index,
            added=10 ** (index // 2) if index % 2 else None,
        )  # fmt: skip
        proven = NOW if index % 4 == 1 else None
        rows.append(SnapshotRow(snapshot=snapshot, tier="hot", complete=index % 5 != 3, proven_at=proven))
    return rows


def entries() -> list[Entry]:
    def file(path: str, size: int) -> Entry:
        raw = path.encode("utf-8", "surrogateescape")
        return Entry(path=raw, kind="file", size=size, mode=0o640, mtime=NOW, content=(hexes(size),))

    return [
        Entry(path=b"exams", kind="dir", mode=0o755, mtime=NOW),
        file("exams/E7.json", 5120), file(NASTY, 1), file(LONG, 10**12), file(CHINESE, 0),
        Entry(path=b"exams/latest", kind="symlink", mode=0o777, mtime=NOW, link=b"E7.json"),
        Entry(path=b"not-utf8-\xff\xfe", kind="file", size=77, mode=0o644 | 1 << 23, content=("ab" * 32, "cd" * 32)),
    ]  # fmt: skip


def objects() -> list[ObjectRow]:
    names = ("exams/E7.json", NASTY, LONG, CHINESE)
    return [
        ObjectRow(path=name, size=10**index, content_id="sha256:" + hexes(index), domain="exam_uploads")
        for index, name in enumerate(names)
    ]


def manifest() -> Manifest:
    return Manifest(
        job_id=JOB, target="local", target_provider="local", namespace="resticwrap", chunker="3abc",
        repositories={"hot": hexes(70), "cold": hexes(71)}, host="school-1", outcome="ok", started_at=NOW,
        finished_at=NOW + timedelta(minutes=3), snapshot_type="incremental", object_list=ObjectList(mode="sealed"),
        domains=tuple(
            ManifestDomain(
                run=run(index), tree=hexes(7), object_digest=hexes(8), objects=1525, bytes=10**9,
                restore=f"rw restore --domain {DOMAINS[index][0]}",
            )
            for index in range(3)
        ),
        schema_versions={"exam_uploads": {"exam_upload": 2}}, restore_entrypoint=f"rw restore --job {JOB} --to DIR",
        tool_versions={"restic": "0.19.1", "resticwrap": "0.1.0"},
    )  # fmt: skip


def history(days: int = 45) -> HistoryReport:
    rows, cells = [], []
    outcomes: tuple[DomainOutcome, ...] = ("ok", "unchanged", "partial", "failed", "interrupted", "ok")
    for index in range(24):
        outcome = outcomes[index % len(outcomes)]
        rows.append(
            HistoryRow(
                job=JOB,
                kind="backup",
                time=NOW - timedelta(minutes=4 * index),
                domain=DOMAINS[index % 18][0],
                type="incremental",
                outcome=outcome,
                files_new=index,
                files_changed=7 * index,
                files_removed=index // 3,
                added=10**index,
                size=10**10,
                duration=1.3**index,
                snapshot=hexes(index),
                error="The repository is locked by restic on school-2." if outcome == "failed" else "",
            )
        )
    for back in range(days):
        day = (date(2026, 7, 31) - timedelta(days=back)).isoformat()
        for index, (name, _, _) in enumerate(DOMAINS):
            if (index + 3 * back) % 11 == 5 and back > 30:
                continue
            cells.append(
                HistoryDay(
                    day=day,
                    domain=name,
                    jobs=360,
                    failed=int((index * 7 + back) % 53 == 0),
                    partial=int((index + back * 5) % 37 == 0),
                    full=int(back % 7 == 5),
                    added=index * 10**6,
                )
            )
    dumps = (DumpShare(NASTY, 4 << 30, 5 << 30, spoilt=True), DumpShare(DOMAINS[0][0], 1 << 20, 1 << 30, spoilt=False))
    return HistoryReport(target="local", rows=tuple(rows), days=tuple(cells), time_zone="Asia/Shanghai", dumps=dumps)


def restore(good: bool = True) -> RestoreReport:
    domains = []
    for index in range(3):
        wrong = () if good or index else (
            Mismatch(domain="exam_uploads", path=NASTY, why="content differs"),
            Mismatch(domain="exam_uploads", path=LONG, why="missing"),
        )  # fmt: skip
        domains.append(
            RestoredDomain(
                domain=DOMAINS[index][0],
                snapshot=hexes(index + 1),
                time=NOW - timedelta(days=index),
                files=1525,
                size=10**8,
                place="/var/tmp/restored/2026-07-31" if index < 2 else "/var/tmp/" + LONG,
                compared=1525,
                mismatches=wrong,
                unreadable=() if good or index != 1 else ("images/0001.png",),
            )
        )
    return RestoreReport(
        job=job("restore", "ok" if good else "failed"), mode="in-place" if good else "beside", domains=tuple(domains),
        kept=("/srv/teaching/raw/.rw-kept-20260731",) if good else (),
    )  # fmt: skip


def verify(good: bool = True) -> VerifyReport:
    damages = (
        Damage(
            kind="pack_damaged", name=hexes(5), files=41, snapshots=tuple(hexes(n) for n in range(12)),
            paths=(LONG, NASTY, "exams/E7.json"),
            advice=(
                f"rw backup --type full --target local  reads the {41} files again where they still exist.",
                "Until then restore them from the cold tier: rw restore --tier cold --path exams/E7.json",
            ),
        ),
        Damage(kind="index", name="structure", advice=("restic repair index",)),
    )  # fmt: skip
    sampled = tuple(
        SampledFile(
            domain=DOMAINS[n % 18][0], snapshot=hexes(n), path=LONG if n == 3 else f"f/{n}", size=n, ok=good or n != 3,
            why="" if good or n != 3 else "content differs",
        )
        for n in range(20)
    )  # fmt: skip
    coverage = Coverage(days=30, bytes_read=1_234_567_890, bytes_total=3_000_000_000, packs_read=74, packs_total=180)
    return VerifyReport(
        job=job("verify", "ok" if good else "failed"), tier="hot", ok=good, share="1/12", bucket=3, seed=90210,
        coverage=coverage, damages=() if good else damages, sampled=sampled,
        proven=tuple(hexes(n) for n in range(18)),
        notes=("2 packs were being written and are left for the next time.",),
        read_packs=15, detects={1: 15 / 180, 5: 0.355, 50: 0.9923},
    )  # fmt: skip


def drill(good: bool = True) -> DrillReport:
    domains = tuple(
        DrilledDomain(
            domain=name, priority=priority, snapshot=hexes(n), tree=hexes(n + 50), job=JOB, source_time=NOW,
            objects=12 * n + 1, size=3 ** (2 * n), failed=0 if good or n != 3 else 2,
            actual_rpo=30.0 * n if good else 400.0 * n, actual_rto=2.5 * n, rpo=600, rto=1800,
            manifest=(True, None, good)[n % 3], failures=() if good or n != 3 else ("2 of 37 differ: content",),
            loaded=None if n != 1 else Loaded(
                databases=2, tables=1234, rows=987_654_321, queries=3, load=612.3, query=1.2,
                failures=() if good else ("query 2 of the policy did not give what it should",),
            ),
        )
        for n, (name, _, priority) in enumerate(DOMAINS)
    )  # fmt: skip
    reasons: tuple[Reason, ...] = ("longest", "newest", "largest", "oldest", "random")
    sample = tuple(
        DrilledObject(
            domain=DOMAINS[n][0], path=(LONG, NASTY, "exams/E7.json")[n % 3], snapshot=hexes(n), size=7**n,
            content_id="sha256:" + hexes(n), reason=reasons[n % 5], ok=good or n != 3,
            why="" if good or n != 3 else "has other content",
        )
        for n in range(12)
    )  # fmt: skip
    details = DrillDetails(
        level="l1", seed=90210, declared_at=NOW, phases={"lock": 0.02, "download": 3.2, "compare": 0.4},
        domains=domains, sample=sample, digest=hexes(9), spread=0.0 if good else 240.0, objective=600.0,
        seconds=4.1 if good else 700.0,
        canary=CanaryResult(snapshot=hexes(3), sound=True, caught=good, offset=77, why="" if good else "Not told."),
        estimates=(Estimate(level="l3", seconds=412.0, size=3 * 10**9, basis="7.3 MB/s of " + JOB),),
        failures=() if good else ("notes: hot has no complete snapshot of it at or before the declared instant.",),
    )  # fmt: skip
    return DrillReport(
        job=job("drill", "ok" if good else "failed"), drill=details, ok=good, met=good,
        missed=() if good else planning.missed(details), notes=("Two domains come round another time.",),
    )  # fmt: skip


def drill_plan() -> DrillPlan:
    told = drill().drill
    return DrillPlan(
        target="local", level="l1", tier="hot", seed=90210, declared_at=NOW, scratch="/var/tmp/scratch", room=10**10,
        domains=tuple(
            PlannedDrill(
                domain=one.domain, priority=one.priority, snapshot=one.snapshot, time=NOW, source_time=NOW,
                job=JOB, objects=one.objects, size=one.size,
            )
            for one in told.domains
        ),
        objects=tuple(
            PlannedObject(domain=one.domain, path=one.path, snapshot=one.snapshot, size=one.size, reason=one.reason)
            for one in told.sample
        ),
        size=123_456, notes=("One note.",), failures=("notes: nothing of it is there.",),
    )  # fmt: skip


def drill_history() -> DrillHistory:
    rows = tuple(
        DrillRow(
            job=f"drill_202607{30 - n:02}T040000Z_abcdef", level="l2" if n % 7 == 3 else "l1", tier="hot",
            time=NOW - timedelta(days=n), outcome="failed" if n == 4 else "ok", scheduled=True, met=n not in (2, 4),
            domains=18, objects=20, size=10**9, seconds=30.0 * n, objective=600.0, actual_rpo=200.0 + 60 * n, rpo=600.0,
            actual_rto=25.0 * n, rto=1800.0, canary=None if n == 1 else n != 4,
            phases={"download": 20.0 * n, "load": 5.5},
        )
        for n in range(15)
    )  # fmt: skip
    return DrillHistory(
        target="local", at=NOW, rows=rows, due=DUE,
        estimates=(Estimate(level="l3", seconds=412.0, size=3 * 10**9, basis="7.3 MB/s of " + JOB),),
    )  # fmt: skip


DUE = (
    DueLevel(
        level="l1", last=NOW - timedelta(days=1), last_outcome="failed", due=NOW + timedelta(days=6), overdue=False
    ),
    DueLevel(level="l2", last=NOW - timedelta(days=9), last_outcome="ok", due=None, overdue=False),
    DueLevel(level="l3", last=NOW - timedelta(days=40), last_outcome="ok", due=NOW - timedelta(days=9), overdue=True),
)


def status(late: bool = True) -> StatusReport:
    domains = []
    for index, (name, layer, priority) in enumerate(DOMAINS):
        lag: float | None = 120.0 + 11 * index
        if late and index in (4, 12):
            lag = None if index == 4 else 200_000.0
        domains.append(
            DomainStatus(
                domain=name,
                layer=layer,
                priority=priority,
                rpo=300,
                rpo_lag=lag,
                within=lag is not None and lag <= 320,
                last_outcome=None if lag is None else ("failed" if lag > 320 else "ok"),
                last_looked_at=NOW,
                snapshots=300 + index,
                files=1525 * index,
                size=3 ** (index * 2),
                stored=3**index,
                proven_at=NOW - timedelta(days=index) if index % 5 else None,
                rto=1800,
                drilled_at=NOW - timedelta(days=index) if index % 4 else None,
                drill_level="l1" if index % 4 else None,
                actual_rpo=40.0 * index if index % 4 else None,
                actual_rto=12.5 * index if index % 4 else None,
            )
        )
    coverage = Coverage(days=30, bytes_read=1_234_567_890, bytes_total=3_000_000_000, packs_read=74, packs_total=180)
    tiers = (
        TierStatus(
            tier="hot", repository="/srv/backup/resticwrap/hot", snapshots=5481, logical=9_123_456_789_012,
            stored=3 * 10**9,
            ratio=3041.2, last_verify=NOW - timedelta(days=2, hours=3), last_verify_ok=True, coverage=coverage,
        ),
        TierStatus(
            tier="cold", repository="/srv/backup/resticwrap/cold", snapshots=0, logical=0, stored=0, ratio=None,
            last_verify=None, last_verify_ok=None, coverage=None,
        ),
    )  # fmt: skip
    return StatusReport(
        target="local", provider="local", at=NOW, domains=tuple(domains), tiers=tiers,
        open_jobs=(JOB,) if late else (), notes=("cold has no snapshots yet",) if late else (), gate=gate(late),
        drills=DUE if late else (), alerts=ALERTS if late else (),
    )  # fmt: skip


def gate(closed: bool = True) -> GateReport:
    reasons = (
        GateReason(
            kind="damage", weight="block", subject="hot 3f9a1c20aa01", since=NOW,
            sentence="Damage of hot is open since 2026-11-23 02:00 UTC: 1 damaged packs, 2 missing packs.",
            hint="rw repair --target local --dry-run",
        ),
        GateReason(
            kind="backup", weight="block", subject="exams", overridden="event_1",
            sentence="exams has no complete backup within 24 hours: there is none.", hint="rw backup --domain exams",
        ),
        GateReason(kind="raw", weight="warn", subject=PIN, sentence=f"Raw data changed or vanished: {NASTY!r}"),
    )  # fmt: skip
    override = Override(
        id="event_1", at=NOW, until=NOW + timedelta(hours=2), by="root@vm", reason="the disk is on its way",
        keys=("backup exams",),
    )  # fmt: skip
    checked = (
        GateCheck(kind="proof", verdict="ok", sentence="verify_20261123T010000Z_3fa9c1 went well."),
        GateCheck(kind="damage", verdict="block", sentence="Damage of hot is open since 2026-11-23 02:00 UTC."),
        GateCheck(kind="kit", verdict="off", sentence="The policy does not want it looked at."),
    )
    return GateReport(
        target="local", at=NOW, open=not closed, reasons=reasons if closed else (), checked=checked,
        proof_within=604800, backup_within=86400, proof_age=7200, backup_age=130, rpo_lag=130, rpo=300,
        overrides=(override,) if closed else (), notes=("The target was asked too.",) if closed else (),
    )  # fmt: skip


def upgrade(verdict: str = "command_failed") -> UpgradeReport:
    details = UpgradeDetails(
        step="rollback", command="release.sh", reason="release 4.2", snapshot_job=JOB, pin=PIN, gate_open=True,
        exit_code=4, drill="drill_20261123T010000Z_3fa9c1", drill_ok=False, rollback="restore_1", rolled_back=True,
    )  # fmt: skip
    job = Job(
        id="upgrade_20261123T010000Z_3fa9c1", kind="upgrade", target="local", outcome="failed", started_at=NOW,
        host="vm", pid=1, finished_at=NOW, error=ErrorInfo(kind="Failure", message="release.sh ended with 4."),
    )  # fmt: skip
    return UpgradeReport(
        job=job, upgrade=details, verdict=verdict, gate=gate(closed=False),  # type: ignore[arg-type]
        next=("rw restore --target local --accept restore_1   (--undo exchanges back)",), notes=("It failed.",),
    )  # fmt: skip


def upgrade_plan() -> UpgradePlan:
    return UpgradePlan(
        target="local", command="release.sh", backup=plan(), steps=steps("release.sh", rollback=True), gate=gate()
    )


def upgrade_status() -> UpgradeStatus:
    held = upgrade()
    (pin, *_) = pins().pins
    left = UpgradeLeft(pin=pin, job=held.job.id, at=NOW, running=False, said="It failed.", next=held.next)
    return UpgradeStatus(target="local", left=(left,), released=(pin,))


def pre_upgrade(pinned: bool = True) -> PreUpgradeReport:
    (pin, *_) = pins().pins
    return PreUpgradeReport(job=backup().job, pin=pin if pinned else None, notes=("Evidence waits.",))


def acceptance() -> AcceptanceReport:
    rows = (
        AcceptanceRow(
            what="incrementals that succeeded, each day", objective="99 % of a day's", verdict="missed",
            actual="1 of 2 days; worst 2026-11-22: 97.2 % (350 of 360)", how="by the schedule's slots",
        ),
        AcceptanceRow(what="L3 within 31 days: RTO", objective="30.0 min", actual="12.4 min (drill)", verdict="met"),
        AcceptanceRow(what="replays compared", objective="every replay", actual="none yet", verdict="unknown"),
    )  # fmt: skip
    days = (
        AcceptanceDay(day="2026-11-22", slots=360, succeeded=350, verdict="missed"),
        AcceptanceDay(day="2026-11-23", slots=180, succeeded=180, verdict="met"),
    )
    return AcceptanceReport(target="local", at=NOW, time_zone="UTC", since=NOW, rows=rows, days=days)


def daily() -> DailyReport:
    return DailyReport(
        target="local", day="2026-11-23", time_zone="UTC", at=NOW, added=3 * 10**9, lag=400.0, lag_domain="exams",
        rpo=300.0, gate=gate(), waiting=1,
        jobs=(DailyJobs(kind="backup", ok=359, failed=1), DailyJobs(kind="verify", ok=1)),
        drills=(DailyDrill(job="drill_1", level="l1", ok=True, met=False, seconds=700.0),),
        head=Head(installation="9f1c2b3a4d5e6f70", seq=41, digest="3f" * 32, at=NOW),
    )  # fmt: skip


def doctor() -> DoctorReport:
    return DoctorReport(
        target="local",
        checks=(
            Check(name="restic", verdict="ok", detail="0.19.1 at /usr/bin/restic"),
            Check(name="clock", verdict="warn", detail="The store is 95s ahead.", hint="timedatectl set-ntp true"),
            Check(
                name="disk", verdict="fail",
                detail="The target /srv/backup lies on the same disk (/dev/sda1) as 17 of the 18 domains it protects, "
                "so one broken disk takes both.",
                hint="move the target to another disk, or add an s3 target: edit policies/targets.yaml, then rw init",
            ),
            Check(name="space", verdict="ok", detail="412 GiB free, 38 % used"),
        ),
    )  # fmt: skip


def lifecycle_plan() -> LifecyclePlan:
    name = "resticwrap-school/teaching-tidy"
    before, after = "<Rule>\n  <ID>tidy</ID>\n</Rule>", "<Rule>\n  <ID>tidy</ID>\n  <Days>7</Days>\n</Rule>"
    shown = f"@@ -1,3 +1,4 @@\n <Rule>\n   <ID>{NASTY!r}</ID>\n+  <Days>7\x1b[31m</Days>\n </Rule>\n"
    return LifecyclePlan(
        target="oss",
        provider="oss",
        changes=(
            RuleChange(rule=name, action="change", ours=True, why="other", before=before, after=after),
            RuleChange(rule=NASTY, action="keep", ours=False, why="somebody else's"),
        ),
        diff=f"--- {name}\n+++ {name}\n{shown}",
        seen=hexes(77),
        document=after,
        problems=lifecycle_problems(),
        refused=("OSS would refuse it beside rule logs: both are for the prefix school/.",),
        notes=("Whether the bucket keeps old versions is not known.",),
    )


def lifecycle_problems() -> tuple[RuleProblem, ...]:
    effect = "deletes live objects of school/hot/, school/cold/ and backups/prod/ after 30 days"
    return (
        RuleProblem(
            rule=NASTY,
            severity="unsafe",
            selects="every object",
            effect=effect,
            advice="Give the rule a prefix that leaves out school/hot/, or disable it.",
        ),
        RuleProblem(rule="old", severity="warn", selects="tag a=b", effect="moves some", advice="Tag nothing."),
    )


def lifecycle_report() -> LifecycleReport:
    return LifecycleReport(plan=lifecycle_plan(), applied=True, differs=("resticwrap-school-tidy", ""))


def lifecycle_status() -> LifecycleStatus:
    key = f"school/teaching/cold/data/ab/{hexes(5)}"
    lost = tuple(Astray(key=f"{key}{n}", storage_class="STANDARD", wanted="STANDARD_IA", since=NOW) for n in range(8))
    return LifecycleStatus(
        target="s3",
        provider="s3",
        at=NOW,
        versioning="enabled",
        in_effect=False,
        rules=lifecycle_plan().changes,
        problems=lifecycle_problems(),
        lock=LockStatus(mode="COMPLIANCE", days=30, whole_until=NOW, newest_until=NOW + timedelta(days=3)),
        usage=(
            ClassUse(tier="hot", kind="config", storage_class="STANDARD", objects=1, bytes=155),
            ClassUse(
                tier="cold", kind="labelled data packs", storage_class="INTELLIGENT_TIERING", objects=98_000,
                bytes=3 << 40,
            ),
            ClassUse(tier="", kind="manifests", storage_class="STANDARD", objects=4_000, bytes=9 << 20),
        ),
        overdue=1234,
        overdue_bytes=7 << 30,
        overdue_sample=lost,
        astray=1,
        astray_sample=(Astray(key=f"school/hot/{NASTY}", storage_class="GLACIER", wanted="a class"),),
        unlabelled=17,
        notes=("Which packs are labelled is not known.",),
    )  # fmt: skip


def locks() -> UnlockReport:
    states: tuple[Literal["alive", "dead", "foreign"], ...] = ("alive", "dead", "foreign")
    return UnlockReport(
        target="local",
        locks=tuple(
            LockInfo(
                id=hexes(n), time=NOW, modified=NOW, exclusive=n == 1, host="school-2.example.org", user="root",
                pid=100 + n, state=state,
                removed=state == "dead",
            )
            for n, state in enumerate(states)
        ),
    )  # fmt: skip


def init(created: bool = True) -> InitReport:
    return InitReport(
        target="local", repositories={"hot": hexes(1), "cold": hexes(2)}, created=("hot", "cold") if created else (),
        adopted=(), password_file="/var/lib/resticwrap/secrets/local.password", password_created=created,
    )  # fmt: skip


def pins() -> PinReport:
    pin = SnapshotPin(
        id="pin_20260731T140305Z_3fa9c1", target="local", snapshots=(hexes(2), hexes(3)), reason=f"before {NASTY}",
        by="root@vm", created_at=NOW, kind="upgrade", until=NOW + timedelta(days=30),
    )  # fmt: skip
    return PinReport(target="local", action="pinned", pins=(pin,), notes=("The catalogue is down.",))


def verdict(number: int, *, keep: bool, why: str) -> Verdict:
    return Verdict(
        tier="cold" if number % 3 == 0 else "hot", domain=DOMAINS[number % len(DOMAINS)][0], original=hexes(number),
        id=hexes(number), time=NOW - timedelta(days=number), keep=keep, reasons=(why, "covers 2026-07-01"),
    )  # fmt: skip


def forget(done: bool = True) -> ForgetReport:
    goes = tuple(verdict(number, keep=False, why="the rule of hot (30 days) does not keep it") for number in range(60))
    plan = ForgetPlan(
        target="local", at=NOW, tiers=("hot", "cold"), strangers=2,
        verdicts=(*goes, verdict(61, keep=True, why=f"pinned (manual, pin_1): {NASTY}")),
        suspended={"exam_uploads": f"51 of 100 files changed or went in the backup of {NOW.isoformat()} (snapshot_x)"},
        warnings=("The target stays over its quota (more than 5 snapshots): everything else is protected.",),
    )  # fmt: skip
    if not done:
        return ForgetReport(plan=plan)
    job = Job(
        id="forget_20260731T140305Z_3fa9c1", kind="forget", target="local", outcome="partial", started_at=NOW,
        finished_at=NOW + timedelta(seconds=9), host="vm", pid=7,
    )  # fmt: skip
    left = (("hot", hexes(59), "it could not be removed"),)
    return ForgetReport(plan=plan, job=job, removed=goes[:-1], left=left, notes=("Not all could be removed.",))


def rebuild() -> RebuildReport:
    return RebuildReport(
        target="local", manifests=360, jobs=360, snapshots=5481, without_manifest=2,
        skipped=("backups/school/2026-07-30/x/backup_manifest.json: not a manifest",), pins=1,
    )  # fmt: skip


def kit(written: bool = True) -> KitReport:
    return KitReport(
        file="/media/usb/teaching.kit", digest=hexes(5) if written else "", size=9120, made_at=NOW, by="root",
        host="school-1", target="s3", provider="s3", namespace="teaching",
        policies=("domains.yaml", "recovery.yaml", "targets.yaml"), variables=("S3_BUCKET", "TEACHING_ROOT"),
        credentials="elsewhere", needs=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        where=f"in the safe of the head's office {NASTY}", repositories={"hot": hexes(1), "cold": hexes(2)},
        keys={"hot": (hexes(3),), "cold": (hexes(3), hexes(4))},
        head=Head(installation="ab12cd34ef56ab78", seq=412, digest=hexes(6), at=NOW),
        versions={"resticwrap": "0.1.0", "restic": "0.19.1"},
        secrets=("config/.env.prod", f"config/{NASTY}"), page="/media/usb/teaching.kit.txt" if written else "",
        notes=("This machine is let in by a role, so the kit holds no credentials.",),
    )  # fmt: skip


def system(done: bool = True) -> SystemReport:
    domains = tuple(
        SystemDomain(
            domain=name, priority=priority, tier="hot", snapshot=hexes(at), tree=hexes(at + 1), job=JOB, time=NOW,
            source_time=NOW if at else None, rpo=252.0 if at else None, files=1200 * at, size=at << 28,
            back=12.5 * (at + 1), place=f"/srv/recovered/system/{name}", core=priority == "P0", whole=bool(at),
            manifest=bool(at) or None, failures=() if at else (f"{NASTY}: has other content",), resumed=at == 2,
        )
        for at, (name, _, priority) in enumerate(DOMAINS)
    )  # fmt: skip
    return SystemReport(
        target="s3", place="/srv/recovered", job=JOB, started_at=NOW, declared_at=NOW,
        mode="restored" if done else "planned", domains=domains,
        phases={"download": 310.0, "compare": 120.0, "start": 0.4, "healthy": 6.2} if done else {},
        seconds=410.0 if done else 0.0, core_seconds=96.0 if done else None, started=done or None,
        healthy=done or None, missing=("session_index",), failures=("The start command ended with exit code 1.",),
        notes=("preview_cache: no manifest tells of a complete look.",),
        next=(". /srv/recovered/rw/secrets/environment && rw status", "mv -T /srv/recovered/system/exams /srv/exams"),
    )  # fmt: skip


def keys() -> KeyReport:
    return KeyReport(
        target="s3", action="rotated", keys=tuple(
            RepositoryKey(tier=tier, id=hexes(at), user="root", host="school-1", created="2026-08-01 03:00:00",
                          current=not at)
            for tier in ("hot", "cold") for at in range(2)
        ), added={"hot": hexes(0), "cold": hexes(0)}, removed={"hot": (hexes(1),)}, password_file="/etc/rw/password",
        notes=("A rotation that was interrupted was finished; run it again for another one.",),
    )  # fmt: skip


def stats(days: int = 30) -> StatsReport:
    """A target that has been growing for a month."""
    names = [name for name, _, _ in DOMAINS]
    rows = []
    for index, name in enumerate(names):
        added = tuple((day * 7919 + index * 104729) % 97 * 10 ** (index % 7) * (day % 7 > 0) for day in range(days))
        rows.append(Growth(domain=name, added=added, per_day=sum(added) / days))
    total = Growth(
        domain="",
        added=tuple(sum(row.added[day] for row in rows) for day in range(days)),
        per_day=sum(row.per_day for row in rows),
    )

    def space(index: int, lost: int = 0) -> UsedSpace:
        plain = 10_000_000 * (index + 1)
        return UsedSpace(
            snapshots=210 * index, logical=plain * 210 * index, blobs=5000 * index, stored=plain // 2, plain=plain,
            dedup=210.0 * index, compression=2.0, lost=lost,
        )  # fmt: skip

    hot = TierSpace(
        tier="hot", repository=hexes(5), space=space(9, 3), packs=3_500_000_000,
        domains=tuple(DomainSpace(domain=name, space=space(index)) for index, name in enumerate(names)),
    )  # fmt: skip
    cold = TierSpace(
        tier="cold", repository=hexes(6), space=UsedSpace(snapshots=12, logical=10**9), packs=None,
        domains=(DomainSpace(domain="exam_uploads", space=UsedSpace(snapshots=12, logical=10**9)),),
    )  # fmt: skip
    return StatsReport(
        target="local", at=NOW, time_zone="Asia/Shanghai", tiers=(hot, cold),
        days=tuple((date(2026, 7, 31) - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)),
        growth=tuple(rows), total=total,
        limits=(
            SpaceLimit(what="quota of exam_uploads", limit=10**9, used=11 * 10**8, per_day=1e6, days=0.0),
            SpaceLimit(what="disk", limit=2 * 10**12, used=10**12, per_day=1e10, days=100.0),
            SpaceLimit(what="quota of the target", limit=10**12, used=10**9, per_day=0.0, days=None),
        ),
        notes=("cold: An index file is damaged. So what is stored there cannot be told: restic repair index",),
    )  # fmt: skip


def tier_plan() -> TierPlan:
    copies = tuple(
        PlannedCopy(
            original=hexes(number), domain=name, host="school", time=NOW - timedelta(days=number), type="full",
            size=number << 20, action="prove" if number % 5 == 0 else "copy",
            reasons=("day 2026-07-30", "covers 2026-07-31 to 2026-08-02"),
        )
        for number, (name, _, _) in enumerate(DOMAINS, 1)
    )  # fmt: skip
    return TierPlan(
        target="s3", read_back="1/4", copies=copies + copies, unlabelled=12, unknown=3,
        counts=(TierCount(tier="hot", now=5481, at_most=9846), TierCount(tier="cold", now=3060, at_most=3258)),
    )  # fmt: skip


def tier() -> TierReport:
    details = CopyDetails(
        read_back="1/4", copied=(hexes(1), hexes(2)), marked=(hexes(1),), packs_read=12, bytes_read=700 << 20,
        packs_looked=36, labelled=40, bad=(BadPack(pack=hexes(9), why="does not hash to its name"),),
    )  # fmt: skip
    return TierReport(
        job=msgspec.structs.replace(job(outcome="partial"), kind="copy", type=None), details=details,
        left={hexes(2): f"pack {hexes(9)[:8]} does not hash to its name", hexes(3): NASTY},
        warnings=("Packs were not labelled, so the bucket will not move them: it does not let us.",),
    )  # fmt: skip


def prune_plan() -> PrunePlan:
    return PrunePlan(
        target="s3", window="01:00-05:00", open=False, opens=NOW, seconds=10800, limit="after 3h", tiers=(
            PlannedPrune(tier="hot", packs=1200, stored=20 << 30, max_unused="5%", cacheable_only=False,
                         max_repack=10 << 30, why="packs are repacked until at most 5% of the data is unused",
                         would=("to repack:             0 blobs / 0 B", "this removes:          3 blobs / 12 KiB")),
            PlannedPrune(tier="cold", packs=300, stored=5 << 30, max_unused="5%", cacheable_only=True, max_repack=None,
                         why="packs lie in GLACIER: packs that nothing needs are removed, and none is repacked"),
        ),
    )  # fmt: skip


def prune() -> PruneReport:
    trouble = ErrorInfo(
        kind="Locked", message="The repository is locked by restic on school-2.", hint="rw unlock local"
    )
    return PruneReport(
        job=msgspec.structs.replace(job(outcome="partial"), kind="prune", type=None), plan=prune_plan(), tiers=(
            PrunedTier(tier="hot", ended=False, packs=1200, stored=20 << 30, packs_after=1100, stored_after=19 << 30),
            PrunedTier(tier="cold", ended=False, packs=300, stored=5 << 30, error=trouble),
        ),
        notes=("The prune was ended after 3h, as prune.deadline says; nothing is lost, and the next one goes on.",),
    )  # fmt: skip


def recover_plan() -> RecoverPlan:
    return RecoverPlan(
        target="s3", at=NOW, versioning="suspended", parts=(
            RecoverPart(name="hot", prefix="resticwrap/hot/", deleted=1200, overwritten=3, size=20 << 30, newer=12,
                        same=0, keys=(), gone=(f"resticwrap/hot/data/ab/{hexes(7)}", NASTY)),
            RecoverPart(name="records", prefix="backups/school/", deleted=0, overwritten=0, size=0, newer=1, same=900),
        ),
    )  # fmt: skip


def recover() -> RecoverReport:
    return RecoverReport(
        job=msgspec.structs.replace(job(outcome="failed"), kind="recover", type=None), plan=recover_plan(),
        brought_back=1201, tiers=(
            RecoveredTier(tier="hot", ok=False, lost=(hexes(7),), errors=2, messages=("pack: does not exist",)),
            RecoveredTier(tier="cold", ok=True, snapshots=180),
        ), notes=("2 versions were gone before they could be brought back.",),
    )  # fmt: skip


def repair_plan() -> RepairPlan:
    lost = (
        LostObject(domain="exams", path=LONG, size=5 << 20, snapshots=(hexes(1), hexes(2)), hope="tier"),
        LostObject(domain="exams", path=NASTY, size=700, snapshots=(hexes(2),)),
    )  # fmt: skip
    return RepairPlan(
        target="s3", tier="hot", at=NOW, bad=(
            BadObject(kind="pack_damaged", name=hexes(5), size=16 << 20),
            BadObject(kind="snapshot", name=hexes(6), sound="version"),
        ), steps=(
            RepairStep(action="bring_back", names=(hexes(6),), why="an older version of the bucket has it"),
            RepairStep(action="salvage", names=tuple(hexes(n) for n in range(12)), why="saved", deletes=True),
            RepairStep(action="cut", names=(hexes(2),), why="agreed", deletes=True),
            RepairStep(action="compare", names=(hexes(1), hexes(2)), why="healed is what was compared"),
        ), affected=(hexes(1), hexes(2)), lost=lost, allow_loss=True, notes=("Part of it is frozen.",),
    )  # fmt: skip


def repair() -> RepairReport:
    return RepairReport(
        job=msgspec.structs.replace(job(outcome="failed"), kind="repair", type=None), tier="hot", ok=False,
        plan=repair_plan(), done=(
            RepairDone(action="bring_back", names=(hexes(6),), ok=True),
            RepairDone(action="copy", names=(hexes(7),), ok=False, why="The target refused it."),
        ), healed=(
            Healed(snapshot=hexes(1), domain="exams", objects=1200, size=1 << 30, ok=True),
            Healed(snapshot=hexes(3), domain="exams", objects=9, size=100, ok=False, why="it is not there"),
        ), lost=repair_plan().lost[1:], cut=(hexes(2),), left=(BadObject(kind="pack_missing", name=hexes(8)),),
        notes=("Evidence waits to be written to the target.",),
    )  # fmt: skip


def audit(good: bool = True) -> AuditReport:
    head = Head(installation="a1b2c3d4e5f60718", seq=12, digest=hexes(3), at=NOW)
    findings = (
        AuditFinding(kind="cut", installation="0f1e2d3c4b5a6978", seq=7, message="Record 7 is gone from the end; "
                     f"the manifest {NASTY} knows record 7."),
    )  # fmt: skip
    return AuditReport(
        target="local", at=NOW, ok=good, findings=() if good else findings, records=20, manifests=200, waiting=1,
        chains=(
            AuditedChain(installation="a1b2c3d4e5f60718", records=13, head=head, own=True, witnessed=12,
                         witnesses=("the state directory", "the catalogue")),
            AuditedChain(installation="0f1e2d3c4b5a6978", records=7, head=None),
        ),
        notes=("Only the newest 200 manifests were asked: --manifests all asks every one.",),
    )  # fmt: skip


def evidence() -> list[Evidence]:
    body = {
        "tier": "hot", "outcome": "ok", "seed": 7, "repository": hexes(1), "coverage": 0.25, "sampled": 6,
        "digest": hexes(5), "damages": {"pack_missing": 2}, "snapshots": [hexes(2)], "failures": [f"=1+1 {NASTY}"],
        "domains": [{"domain": "exams", "snapshot": hexes(4), "objects": 3, "failed": 1, "actual_rpo": 241.5,
                     "actual_rto": 12.25}],
    }  # fmt: skip
    event = Event(
        id="event_1", kind="drill", at=NOW, by="root", host="vm", job="drill_1", body=body,
        versions={"restic": "0.19.1"},
    )  # fmt: skip
    odd = msgspec.structs.replace(
        event, id="event_2", kind="override", by="=cmd()", body={"reason": f"@{NASTY}<script>"}
    )
    return [
        Evidence(installation="a1b2c3d4e5f60718", target="local", seq=seq, previous=hexes(seq), event=one)
        for seq, one in enumerate((event, odd))
    ]


def audit_export() -> AuditExport:
    records = tuple(evidence())
    digests = {f"{one.installation}:{one.seq}": one.digest() for one in records}
    return AuditExport(
        target="local", at=NOW, since=None, until=NOW, records=records, audit=audit(good=False), digests=digests
    )


# --- a schedule handed to systemd or cron ---------------------------------------------------------------------------


def outside_report(planned: bool = True) -> OutsideReport:
    diff = (
        "--- /dev/null\n+++ /etc/systemd/system/resticwrap-full.timer\n@@ -0,0 +1,2 @@\n+[Timer]\n"
        f"+OnCalendar=*-*-13 02:00:00 Asia/Shanghai {NASTY} {LONG}\n"
    )
    return OutsideReport(
        keeper="systemd", mode="planned" if planned else "installed", folder="/etc/systemd/system",
        jobs=(
            OutsideJob(name="full", kind="backup", target="oss", command=("/opt/rw/bin/rw", "backup"),
                       when=("*-*-13 02:00:00 Asia/Shanghai", "Fri *-*-* 02:00:00 Asia/Shanghai")),
            OutsideJob(name="drill_objects", kind="drill", target="oss", command=("/opt/rw/bin/rw", "drill", "l1"),
                       when=("*-*-* 06:00:00 Asia/Shanghai",)),
        ), files=(
            OutsideFile(path="/etc/systemd/system/resticwrap-full.timer", action="add", content="x\n", diff=diff),
            OutsideFile(path="/etc/systemd/system/resticwrap-old.timer", action="remove", diff="--- a\n+++ b\n-x\n"),
            OutsideFile(path="/etc/systemd/system/resticwrap.target", action="keep", content="x\n"),
        ), next=("systemctl daemon-reload", "systemctl enable --now resticwrap.target resticwrap-full.timer"),
        notes=("Cron makes nothing up: what falls into a time when this machine is off is left out.",),
    )  # fmt: skip


# All hosts


def hosts() -> HostsReport:
    """A machine that is well, one with a late domain and one that never backed up, with names of all lengths."""

    def row(domain: str, lag: float | None, rpo: float = 300) -> HostDomainStatus:
        return HostDomainStatus(
            domain=domain, layer="serving", priority="P1", rpo=rpo, rpo_lag=lag, within=lag is not None and lag <= rpo,
            last_outcome="ok" if lag else None, last_looked_at=NOW - timedelta(seconds=lag) if lag else None,
        )  # fmt: skip

    def host(name: str, *rows: HostDomainStatus, **more: Any) -> HostStatus:
        worst = max(rows, key=lambda one: (one.rpo_lag is None, one.rpo_lag or 0))
        values: dict[str, Any] = {
            "host": name, "target": "main", "domains": len(rows), "within": sum(one.within for one in rows),
            "worst": worst.domain, "worst_lag": worst.rpo_lag, "last_job": JOB, "last_outcome": "ok", "last_at": NOW,
            "failed": 0, "last_verify": NOW - timedelta(days=2), "last_verify_ok": True,
            "last_drill": NOW - timedelta(days=1), "last_drill_ok": False, "heard_at": NOW, "rows": rows,
        }  # fmt: skip
        return HostStatus(**{**values, **more})

    return HostsReport(
        at=NOW,
        hosts=(
            host("school-2.example.org", row("exams", 1200), row("profiles", 60), failed=12, last_outcome="failed"),
            host("web-with-a-name-of-many-characters.example.org", row("a_domain_with_a_long_name", None),
                 last_job=None, last_outcome=None, last_at=None, last_verify=None, last_verify_ok=None,
                 last_drill=None, last_drill_ok=None, heard_at=NOW - timedelta(days=3)),
            host("web1", row("exams", 100)),
        ),
        notes=("A note.",),
    )  # fmt: skip


def metrics(*, known: bool = True) -> MetricsReport:
    """Of two targets, one of which may not be readable."""
    values = (Metric(labels={"target": "local"}, value=1.0), Metric(labels={"target": "oss"}, value=float(known)))
    family = MetricFamily(name="resticwrap_up", type="gauge", unit="", help="Whether.", metrics=values)
    return MetricsReport(
        at=NOW, targets=("local", "oss"), families=(family,), textfile=f"/var/lib/{LONG}.prom",
        unknown={} if known else {"oss": f"The catalogue {NASTY} cannot be opened."},
    )  # fmt: skip


# --- what runs, and the stories of jobs -------------------------------------------------------------------------------


def busy() -> StatusReport:
    """The status while two jobs run, with alerts, on a disk that is nearly full."""
    pieces = tuple(
        PieceProgress(
            name=name,
            started_at=NOW if index < 8 else None,
            finished_at=NOW if index < 3 else None,
            outcome=("ok", "failed", "unchanged")[index] if index < 3 else None,
            bytes_done=10**9 if index < 8 else 0,
            bytes_total=3 * 10**9 if index < 8 else None,
            files_done=1525 if index < 8 else 0,
            seconds_left=123.0 if index < 8 else None,
            errors=2 if index == 4 else 0,
        )
        for index, (name, *_) in enumerate(DOMAINS)
    )
    backing = JobProgress(
        job="snapshot_20260731T135005Z_3f9c2a", kind="backup", target="local", host="school-1", pid=7, type="full",
        started_at=NOW - timedelta(minutes=13), updated_at=NOW, phase="backup", pieces=pieces,
    )  # fmt: skip
    upgrading = JobProgress(
        job="upgrade_20260731T140000Z_3f9c2b", kind="upgrade", target="local", host="school-1", pid=8,
        started_at=NOW - timedelta(minutes=3), updated_at=NOW, phase="running the command",
    )  # fmt: skip
    alerts = tuple(
        Alert(
            rule=rule, target="local", severity=severity, state="firing", since=NOW - timedelta(minutes=12 * number),
            message=f"No incremental of {LONG if number == 2 else 'exam_uploads'} has gone well for {number} minutes.",
            acknowledged_by="anna" if number == 2 else "", acknowledged_at=NOW if number == 2 else None,
        )
        for number, (rule, severity) in enumerate(BUSY_ALERTS, start=1)
    )  # fmt: skip
    space = (
        DiskSpace(what="state", path="/var/lib/resticwrap", free=5 * 10**9, total=10**11),
        DiskSpace(what="target", path="/srv/backup", free=6 * 10**11, total=10**12),
    )
    return msgspec.structs.replace(status(), running=(backing, upgrading), alerts=alerts, space=space)


BUSY_ALERTS: tuple[tuple[str, Severity], ...] = (
    ("incremental_late", "critical"), ("drill_overdue", "warning"), ("clock_off", "info"), ("quota", "warning"),
    ("raw_changed", "info"),
)  # fmt: skip
STORY_JOB = "snapshot_20260731T140305Z_3f9c2a"


def story() -> list[LogLine]:
    def line(message: str, level: str = "info", **more: object) -> LogLine:
        known = {"job": STORY_JOB, "logger": "resticwrap.job", **more}
        return LogLine(time=NOW, level=level, message=message, **known)  # type: ignore[arg-type]

    command = f"restic -r /srv/backup/resticwrap/hot backup -- {LONG}"
    return [
        line("full backup of target local began, on school-1", pid=7),
        line("[9] started", pid=9, command=command, logger="resticwrap.process"),
        line("hot repository is locked by somebody else", "warning"),
        line(f"missed {NASTY}", "warning"),
        line("[9] exit code 0 after 1.2 s", pid=9, exit_code=0, seconds=1.2, logger="resticwrap.process"),
        line("exam_uploads: ok", domain="exam_uploads", files=1525, bytes=10**9, seconds=12.5, outcome="ok"),
        line("inside", job="drill_20260731T140305Z_000001"),
        line("ended: failed. It is locked.", "error", kind="Locked", hint="rw unlock local", exit_code=11),
    ]


def story_head(kept: bool = True) -> StoryHead:
    told = ErrorInfo(kind="Locked", message="The repository is locked by school-2.", hint="rw unlock local")
    record = msgspec.structs.replace(job(outcome="failed"), id=STORY_JOB, error=told)
    missing = None if kept else "None of it is kept here."
    return StoryHead(job=STORY_JOB, running=False, record=record, missing=missing)


def logs() -> LogsReport:
    return LogsReport(
        target="local",
        jobs=(
            LoggedJob(job=STORY_JOB, running=True, size=12345, kind="backup", outcome="running", started_at=NOW),
            LoggedJob(
                job="verify_20260731T140305Z_3f9c2b", running=False, size=5 << 20, kind="verify", outcome="failed",
                started_at=NOW, finished_at=NOW + timedelta(minutes=3), error=f"Damaged: {NASTY}",
            ),
            LoggedJob(job="drill_20260731T140305Z_3f9c2c", running=False, size=0),
        ),
    )  # fmt: skip
