"""What services return and `--json` shows. Bytes are bytes, durations seconds, times UTC."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.job import ErrorInfo, Job
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.thaw import Thawed, ThawPlan


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


class HistoryReport(Value, frozen=True):
    """Rows newest first, and for the calendar the worst outcome and the sums of each day and domain. `jobs` are the
    restores and verifies, newest first."""

    target: str
    rows: tuple[HistoryRow, ...]
    days: tuple["HistoryDay", ...] = ()
    time_zone: str = "UTC"
    jobs: tuple[HistoryJob, ...] = ()


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


class InitReport(Value, frozen=True):
    """What `rw init` found or made."""

    target: str
    repositories: dict[str, str]
    created: tuple[str, ...]
    adopted: tuple[str, ...]
    password_file: str | None
    password_created: bool


class RebuildReport(Value, frozen=True):
    """What `rw catalog rebuild` read."""

    target: str
    manifests: int
    jobs: int
    snapshots: int
    without_manifest: int
    skipped: tuple[str, ...] = ()


class FailureReport(Value, frozen=True):
    """What `--json` prints where a command failed before it had a report."""

    error: ErrorInfo
    problems: tuple[str, ...] = ()
