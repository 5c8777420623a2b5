"""Jobs, their records, and what a backup job wrote: the manifest."""

from typing import Any, Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.evidence import Head
from resticwrap.model.objects import ObjectRow
from resticwrap.model.snapshot import Layer, Priority, SnapshotType

JobKind = Literal[
    "init", "backup", "verify", "restore", "copy", "forget", "prune", "recover", "drill", "repair", "upgrade"
]
Outcome = Literal["running", "ok", "partial", "failed", "interrupted"]
DomainOutcome = Literal["ok", "unchanged", "partial", "failed", "interrupted", "skipped"]
COMPLETE: frozenset[str] = frozenset({"ok", "unchanged"})
"""The outcomes of a domain that looked at everything."""


class ErrorInfo(Value, frozen=True):
    """A failure as it is recorded and shown: never with a secret."""

    kind: str
    message: str
    hint: str = ""
    exit_code: int = 1


class DomainRun(Value, frozen=True):
    """What one job did with one domain.

    `snapshot` is the original id of the snapshot that stands for the domain after this job: the new one, or the
    unchanged one's. `looked_at` is the start of the look, which is what RPO counts from. Bytes are bytes, durations
    seconds. `missed` names what could not be read, `bitrot` what changed under an unchanged mtime, `raw` what
    changed or disappeared of what only grows.
    """

    domain: str
    layer: Layer
    priority: Priority
    outcome: DomainOutcome
    type: SnapshotType
    looked_at: Time
    finished_at: Time
    snapshot: str | None = None
    parent: str | None = None
    tree: str | None = None
    root: str = ""
    files: int = 0
    size: int = 0
    added: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_removed: int = 0
    duration: float = 0.0
    missed: tuple[str, ...] = ()
    missed_count: int = 0
    bitrot: tuple[str, ...] = ()
    bitrot_count: int = 0
    schema_versions: dict[str, int] = {}
    error: ErrorInfo | None = None
    raw_changed: int = 0
    raw_removed: int = 0
    """Of a complete look at an append-only domain: objects of `parent` that are not as they were, or not there."""
    raw: tuple[str, ...] = ()
    raw_policy: str = ""
    """What the policy changed of the domain since `parent`, which may be all that there is to it; empty: nothing."""

    @property
    def complete(self) -> bool:
        return self.outcome in COMPLETE


class Job(Value, frozen=True):
    """The record of one run. It is opened (`running`) before anything is done and closed after."""

    id: str
    kind: JobKind
    target: str
    outcome: Outcome
    started_at: Time
    host: str
    pid: int
    finished_at: Time | None = None
    type: SnapshotType | None = None
    domains: tuple[DomainRun, ...] = ()
    bytes_done: int = 0
    error: ErrorInfo | None = None
    details: dict[str, Any] = {}
    manifest: str | None = None
    lease: str = ""
    """The lease that its process holds: the job lives as long as that is held."""
    run: str = ""
    """The run of the schedule that it is, where it is one."""


class ManifestDomain(Value, frozen=True):
    """One domain in a manifest: the run, and how to find and check its objects.

    `tree` and `object_digest` name the object list, which is the snapshot's own tree, encrypted by restic: a tree id
    is the sha256 of the tree, so it is a digest over every name, size and content below it.
    """

    run: DomainRun
    tree: str | None
    object_digest: str | None
    objects: int
    bytes: int
    restore: str


class ObjectList(Value, frozen=True):
    """Where the object list is. `sealed`: in the snapshot's tree. `plain`: the rows themselves, whole or the change."""

    mode: Literal["sealed", "plain"]
    whole: bool = True
    objects: tuple[ObjectRow, ...] = ()
    removed: tuple[ObjectRow, ...] = ()


class Manifest(Value, frozen=True):
    """`backup_manifest.json` of one backup job."""

    job_id: str
    target: str
    target_provider: str
    namespace: str
    repositories: dict[str, str]
    chunker: str
    host: str
    outcome: Outcome
    started_at: Time
    finished_at: Time
    snapshot_type: SnapshotType
    domains: tuple[ManifestDomain, ...]
    object_list: ObjectList
    schema_versions: dict[str, dict[str, int]]
    restore_entrypoint: str
    tool_versions: dict[str, str]
    evidence: Head | None = None
    """The newest evidence when the job ended: whoever has this manifest can tell whether the chain was cut since."""
    manifest_version: int = 1


class LatestDomain(Value, frozen=True):
    """The newest complete snapshot of a domain: what the next backup takes as its parent. `mounts` are the mount points
    that were below its root then."""

    snapshot: str
    current_id: str
    tree: str
    looked_at: Time
    root: str
    files: int = 0
    mounts: tuple[str, ...] = ()
    excludes: tuple[str, ...] | None = None
    """Those of the policy then; None where that is not known."""
    host: str = ""
    """Whose snapshot it is; "" where that was not asked yet."""


class Latest(Value, frozen=True):
    """`latest_{target}.json` in the state directory: enough to start the next backup without the catalogue.

    It speaks of one hot `repository` (its id) and of no other. `unindexed` are the bytes that jobs had read of domains
    which they did not finish: what they uploaded of them no index names until a `repair index`.
    """

    target: str
    job_id: str
    finished_at: Time
    domains: dict[str, LatestDomain]
    repository: str = ""
    unindexed: int = 0


class Pin(Value, frozen=True):
    """The identity of one repository, taken down at `rw init`. `config_digest` is the sha256 of its config object,
    `chunker` a fingerprint of how it cuts files, under the repository's own key."""

    tier: str
    repository_id: str
    config_digest: str
    chunker: str
