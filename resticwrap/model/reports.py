"""What services return and `--json` shows. Bytes are bytes, durations seconds, times UTC."""

from typing import Literal

from resticwrap.model.aging import SnapshotPin, Verdict
from resticwrap.model.base import Time, Value
from resticwrap.model.drill import Level
from resticwrap.model.drills import DueLevel
from resticwrap.model.gate import GateReport
from resticwrap.model.job import ErrorInfo, Job
from resticwrap.model.running import DiskSpace, JobProgress
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.thaw import Thawed, ThawPlan
from resticwrap.model.unattended import Alert


class PlannedDomain(Value, frozen=True):
    """One domain of a backup plan, with the reasons for what will be done.

    Measured by a dry run: `files` and `size` would be read, out of `total_files` and `total_size` that are looked at.
    """

    domain: str
    priority: str
    layer: str
    type: Literal["incremental", "full"]
    root: str
    parent: str | None
    after: tuple[str, ...] = ()
    why: str = ""
    files: int | None = None
    size: int | None = None
    total_files: int | None = None
    total_size: int | None = None
    error: ErrorInfo | None = None


class BackupPlan(Value, frozen=True):
    """What a backup will do; `--dry-run` shows it, a run executes it."""

    target: str
    type: Literal["incremental", "full"]
    parallel: int
    domains: tuple[PlannedDomain, ...]


class BackupReport(Value, frozen=True):
    """How a backup job ended."""

    job: Job
    warnings: tuple[str, ...] = ()


class Mismatch(Value, frozen=True):
    """A restored path that is not what was backed up."""

    domain: str
    path: str
    why: str
    what: Literal["missing", "kind", "link", "mode", "size", "content", "unreadable", "time", "owner"] = "content"


class RestoredDomain(Value, frozen=True):
    """One domain of a restore: how much came back and how it compared."""

    domain: str
    snapshot: str
    time: Time
    place: str
    files: int
    size: int
    compared: int
    mismatches: tuple[Mismatch, ...] = ()
    unreadable: tuple[str, ...] = ()
    tier: str = "hot"
    """The repository that it came from."""


class RecoverPart(Value, frozen=True):
    """What is to be brought back below one `prefix`: `deleted` and `overwritten` objects, `size` bytes in all, their
    `keys`. `newer` were first written after the time and stay; `same` are as they were; of `gone` nothing is left."""

    name: str
    prefix: str
    deleted: int
    overwritten: int
    size: int
    newer: int
    same: int
    keys: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class RecoverPlan(Value, frozen=True):
    """How a bucket's objects are brought back to how they stood `at` a time; `--dry-run` shows it. `notes` say which
    keys and configs are left as they are, and what to look at."""

    target: str
    at: Time
    versioning: str
    parts: tuple[RecoverPart, ...]
    notes: tuple[str, ...] = ()


class RecoveredTier(Value, frozen=True):
    """A repository after the recovery. `lost` are packs that the index names and the bucket has not, or not whole;
    `errors` is what `restic check` counted. `problem` says why it could not be looked at."""

    tier: str
    ok: bool
    snapshots: int = 0
    lost: tuple[str, ...] = ()
    errors: int = 0
    messages: tuple[str, ...] = ()
    problem: ErrorInfo | None = None


class RecoverReport(Value, frozen=True):
    """How a recovery ended: `brought_back` objects are seen again."""

    job: Job
    plan: RecoverPlan
    brought_back: int
    tiers: tuple[RecoveredTier, ...]
    notes: tuple[str, ...] = ()


class RestoreReport(Value, frozen=True):
    """How a restore ended."""

    job: Job
    mode: Literal["beside", "in-place", "undo", "accept", "planned"]
    domains: tuple[RestoredDomain, ...]
    restored: str = ""
    """The job of the in-place restore that this is, undoes or accepts."""
    kept: tuple[str, ...] = ()
    """Where what was live before an in-place restore is kept."""
    safety: dict[str, str] = {}
    """By domain, the snapshot of what was live before."""
    notes: tuple[str, ...] = ()
    thaw: tuple[ThawPlan, ...] = ()
    """What had to be thawed first, tier by tier."""
    thawed: tuple[Thawed, ...] = ()


class Damage(Value, frozen=True):
    """One damaged or missing pack or index, what it costs, what to do."""

    kind: Literal["pack_damaged", "pack_missing", "pack_truncated", "config", "key", "index", "snapshot", "structure"]
    name: str
    files: int = 0
    snapshots: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


class Coverage(Value, frozen=True):
    """How much of a repository's packs has been read back since when."""

    days: int
    bytes_read: int
    bytes_total: int
    packs_read: int
    packs_total: int

    @property
    def share(self) -> float:
        return self.bytes_read / self.bytes_total if self.bytes_total else 1.0


class SampledFile(Value, frozen=True):
    """One file that a verify restored and compared."""

    domain: str
    snapshot: str
    path: str
    size: int
    ok: bool
    why: str = ""


class VerifyReport(Value, frozen=True):
    """What a verify read and found. `ok` only when it read something and nothing was wrong."""

    job: Job
    tier: str
    ok: bool
    share: str
    bucket: int
    """Which part of the share was read, 1 to the number of parts."""
    seed: int
    coverage: Coverage
    damages: tuple[Damage, ...] = ()
    sampled: tuple[SampledFile, ...] = ()
    proven: tuple[str, ...] = ()
    """The snapshots (original ids) of which the sample compared well."""
    notes: tuple[str, ...] = ()
    read_packs: int = 0
    """How many packs this run read back, out of the `coverage.packs_total` that are there."""
    detects: dict[int, float] = {}
    """By number of damaged packs, how likely this run's reading finds at least one, wherever they are."""


class SnapshotRow(Value, frozen=True):
    """A snapshot as listed, with what the catalogue knows of it."""

    snapshot: Snapshot
    tier: str
    complete: bool | None
    proven_at: Time | None = None


class ListedObject(Value, frozen=True):
    """One object of a snapshot, as `rw ls --json` prints it, one a line. `mode` is octal."""

    domain: str
    snapshot: str
    path: str
    kind: str
    size: int
    mode: str
    mtime: Time | None = None
    content_id: str | None = None
    link: str | None = None
    path_b64: str | None = None


class HistoryRow(Value, frozen=True):
    """One job and domain of the history."""

    job: str
    kind: str
    time: Time
    domain: str
    type: str
    outcome: str
    files_new: int
    files_changed: int
    files_removed: int
    added: int
    size: int
    duration: float
    snapshot: str | None
    error: str = ""


class HistoryJob(Value, frozen=True):
    """A restore or a verify in the history. `what` says what it was and what it left, `next` what to run because of it:
    how an in-place restore whose old tree is still kept is accepted or undone."""

    job: str
    kind: str
    time: Time
    outcome: str
    duration: float | None
    what: str
    next: str = ""


class DumpShare(Value, frozen=True):
    """How many bytes of a database's newest dump were stored anew. `spoilt`: about as much as of a first one, though
    there was one before."""

    domain: str
    added: int
    size: int
    spoilt: bool


class HistoryReport(Value, frozen=True):
    """Rows newest first, and for the calendar the worst outcome and the sums of each day and domain. `jobs` are the
    restores and verifies, newest first; `dumps` those of databases."""

    target: str
    rows: tuple[HistoryRow, ...]
    days: tuple["HistoryDay", ...] = ()
    time_zone: str = "UTC"
    jobs: tuple[HistoryJob, ...] = ()
    dumps: tuple[DumpShare, ...] = ()


class HistoryDay(Value, frozen=True):
    """One day of one domain."""

    day: str
    domain: str
    jobs: int
    failed: int
    partial: int
    full: int
    added: int


class DomainStatus(Value, frozen=True):
    """One domain in `rw status`. `rpo_lag` is missing where no complete job has looked at it yet."""

    domain: str
    layer: str
    priority: str
    rpo: float
    rpo_lag: float | None
    within: bool
    last_outcome: str | None
    last_looked_at: Time | None
    snapshots: int
    files: int
    size: int
    stored: int
    proven_at: Time | None
    rto: float = 0.0
    drilled_at: Time | None = None
    """When the newest drill that brought it back as it was began; of that are the next three."""
    drill_level: Level | None = None
    actual_rpo: float | None = None
    actual_rto: float | None = None


class TierStatus(Value, frozen=True):
    """One repository in `rw status`. `ratio` is logical size of all snapshots over stored size."""

    tier: str
    repository: str
    snapshots: int
    logical: int
    stored: int
    ratio: float | None
    last_verify: Time | None
    last_verify_ok: bool | None
    coverage: Coverage | None


class StatusReport(Value, frozen=True):
    """One screen: how safe is what."""

    target: str
    provider: str
    at: Time
    domains: tuple[DomainStatus, ...]
    tiers: tuple[TierStatus, ...]
    open_jobs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    drills: tuple[DueLevel, ...] = ()
    gate: GateReport | None = None
    alerts: tuple[Alert, ...] = ()
    """Those that hold and were told, the gravest first."""
    running: tuple[JobProgress, ...] = ()
    """Jobs of this machine that live, and how far they are; `open_jobs` are those that the records take for running."""
    space: tuple[DiskSpace, ...] = ()


class UsedSpace(Value, frozen=True):
    """What some snapshots take. `logical`: their sizes summed. `stored` and `plain`: their blobs, each counted once, as
    they lie in the packs and as they were before; missing where the index could not be read. `dedup` is logical over
    plain, `compression` plain over stored. Of `lost` trees and blobs nothing is known: then both are "at least"."""

    snapshots: int
    logical: int
    blobs: int | None = None
    stored: int | None = None
    plain: int | None = None
    dedup: float | None = None
    compression: float | None = None
    lost: int = 0


class DomainSpace(Value, frozen=True):
    """What a domain takes in one repository. What it shares with other domains counts for each of them."""

    domain: str
    space: UsedSpace


class TierSpace(Value, frozen=True):
    """What lies in one repository. `packs` are the bytes of all packs that the index names (None: not known): what no
    snapshot needs of them, a prune may free."""

    tier: str
    repository: str
    space: UsedSpace
    packs: int | None
    domains: tuple[DomainSpace, ...]


class Growth(Value, frozen=True):
    """What backups of a domain added, in bytes, on each of the days of the report, oldest first; `per_day` is the mean
    since the first of them on which anything is known of any domain."""

    domain: str
    added: tuple[int, ...]
    per_day: float


class SpaceLimit(Value, frozen=True):
    """Something that can become full: a quota, or the disk. `days`: until then at the present growth, were nothing
    removed; None where it does not grow, or where `used` is not known."""

    what: str
    limit: int
    used: int | None
    per_day: float
    days: float | None


class StatsReport(Value, frozen=True):
    """What is stored, how it grows, and what becomes full when. `days` are in `time_zone`, oldest first; `growth` is by
    domain, and `total` of all together."""

    target: str
    at: Time
    time_zone: str
    tiers: tuple[TierSpace, ...]
    days: tuple[str, ...]
    growth: tuple[Growth, ...]
    total: Growth
    limits: tuple[SpaceLimit, ...]
    notes: tuple[str, ...] = ()


class Check(Value, frozen=True):
    """One question of `rw doctor`, its answer and what to do."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


class DoctorReport(Value, frozen=True):
    """Every question that was asked."""

    target: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.verdict != "fail" for check in self.checks)


class LockInfo(Value, frozen=True):
    """One restic lock, whose it is and whether it was removed. `time` is by its holder's clock, `modified` by the
    store's."""

    id: str
    time: Time
    modified: Time
    exclusive: bool
    host: str
    user: str
    pid: int
    state: Literal["alive", "dead", "foreign"]
    removed: bool = False


class UnlockReport(Value, frozen=True):
    """The locks of a target's repositories."""

    target: str
    locks: tuple[LockInfo, ...]


class PlannedPrune(Value, frozen=True):
    """What a prune will do with one repository: `packs` and `stored` bytes are there now. `cacheable_only`: no pack of
    data is repacked. `max_repack`: bytes that are repacked at most. `would`: of a dry run, what restic says of it."""

    tier: str
    packs: int
    stored: int
    max_unused: str
    cacheable_only: bool
    max_repack: int | None
    why: str
    would: tuple[str, ...] = ()


class PrunePlan(Value, frozen=True):
    """What a prune will do; `--dry-run` shows it, a run executes it. `open`: whether it may run now, else from `opens`.
    It is ended after `seconds`, and `limit` says why."""

    target: str
    window: str | None
    open: bool
    opens: Time | None
    seconds: float
    limit: str
    tiers: tuple[PlannedPrune, ...]


class PrunedTier(Value, frozen=True):
    """What a prune did with one repository. `ended`: whether restic came to its end. Sizes are of the packs, in bytes;
    those after are missing where nobody could look. `said` are restic's own words."""

    tier: str
    ended: bool
    packs: int
    stored: int
    packs_after: int | None = None
    stored_after: int | None = None
    said: tuple[str, ...] = ()
    error: ErrorInfo | None = None


class PruneReport(Value, frozen=True):
    """How a prune ended."""

    job: Job
    plan: PrunePlan
    tiers: tuple[PrunedTier, ...]
    notes: tuple[str, ...] = ()


class InitReport(Value, frozen=True):
    """What `rw init` found or made."""

    target: str
    repositories: dict[str, str]
    created: tuple[str, ...]
    adopted: tuple[str, ...]
    password_file: str | None
    password_created: bool


class PinReport(Value, frozen=True):
    """The pins that hold, or the one that was made or released."""

    target: str
    action: Literal["listed", "pinned", "released", "planned"]
    pins: tuple[SnapshotPin, ...]
    notes: tuple[str, ...] = ()


class ForgetPlan(Value, frozen=True):
    """What a forget will do: a verdict for every snapshot of ours in these tiers, with every reason.

    `suspended`: by domain, why nothing of it is removed until somebody has looked. `strangers` are not ours and are
    left alone. `warnings` are of the quota, and of a cold repository that hot cannot rely on.
    """

    target: str
    at: Time
    tiers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    suspended: dict[str, str] = {}
    strangers: int = 0
    warnings: tuple[str, ...] = ()


class ForgetReport(Value, frozen=True):
    """How a forget ended. `removed` are the verdicts that were carried out, `left` (tier, id, why) those that were not.
    `job` and `plan` are missing where there was none: of a dry run, of a look."""

    plan: ForgetPlan | None
    job: Job | None = None
    removed: tuple[Verdict, ...] = ()
    left: tuple[tuple[str, str, str], ...] = ()
    looked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RebuildReport(Value, frozen=True):
    """What `rw catalog rebuild` read."""

    target: str
    manifests: int
    jobs: int
    snapshots: int
    without_manifest: int
    skipped: tuple[str, ...] = ()
    pins: int = 0
    evidence: int = 0


class RuleProblem(Value, frozen=True):
    """A lifecycle rule that is in the way: what it selects, what it would do, and what to do about it. Over an `unsafe`
    one nothing goes on."""

    rule: str
    severity: Literal["unsafe", "warn"]
    selects: str
    effect: str
    advice: str


class RuleChange(Value, frozen=True):
    """What becomes of one lifecycle rule, and its XML before and after."""

    rule: str
    action: Literal["add", "change", "remove", "keep"]
    ours: bool
    why: str
    before: str = ""
    after: str = ""


class LifecyclePlan(Value, frozen=True):
    """What a bucket's lifecycle rules are to become. `seen` is the digest of those that are there now.

    `document` is what would be put (None: no rules). `problems` are of the rules as they would be then, `refused` says
    why they are not put.
    """

    target: str
    provider: str
    changes: tuple[RuleChange, ...] = ()
    diff: str = ""
    seen: str = ""
    document: str | None = None
    problems: tuple[RuleProblem, ...] = ()
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is something to put."""
        return any(change.action != "keep" for change in self.changes)


class LifecycleReport(Value, frozen=True):
    """What `rw lifecycle apply` or `remove` did. `differs`: rules that, read back, are not those that were put."""

    plan: LifecyclePlan
    applied: bool
    differs: tuple[str, ...] = ()


class ClassUse(Value, frozen=True):
    """Objects of one kind in one storage class. `tier` is empty for manifests and what is in no repository."""

    tier: str
    kind: str
    storage_class: str
    objects: int
    bytes: int


class Astray(Value, frozen=True):
    """An object that is in another class than it should be: `wanted` is that class, or what it must be."""

    key: str
    storage_class: str
    wanted: str
    since: Time | None = None


class LockStatus(Value, frozen=True):
    """The lock on a bucket. `whole_until`: before it no object of ours can be destroyed; `newest_until`: nor, before
    that, the one that was written last. None: not known, or not locked."""

    mode: str
    days: int
    whole_until: Time | None = None
    newest_until: Time | None = None


class LifecycleStatus(Value, frozen=True):
    """Whether a bucket ages cold as the policy wants it.

    `in_effect`: our rules are there, as the policy wants them. `overdue` counts labelled packs that should be in a
    colder class by now, `astray` objects that are in a class in which they must not be; of either a few are named.
    `unlabelled` counts data packs of cold without their label.
    """

    target: str
    provider: str
    at: Time
    versioning: str
    in_effect: bool
    rules: tuple[RuleChange, ...] = ()
    problems: tuple[RuleProblem, ...] = ()
    lock: LockStatus | None = None
    usage: tuple[ClassUse, ...] = ()
    overdue: int = 0
    overdue_bytes: int = 0
    overdue_sample: tuple[Astray, ...] = ()
    astray: int = 0
    astray_sample: tuple[Astray, ...] = ()
    unlabelled: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        bad = any(problem.severity == "unsafe" for problem in self.problems)
        return self.in_effect and not (bad or self.overdue or self.astray)


class FailureReport(Value, frozen=True):
    """What `--json` prints where a command failed before it had a report."""

    error: ErrorInfo
    problems: tuple[str, ...] = ()
