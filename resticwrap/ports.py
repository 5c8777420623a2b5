"""What services need of the outside, as Protocols. Adapters implement them; `bootstrap.py` introduces them.

Each says what it raises and what may be done twice. Fakes and adapters pass the same suites in `tests/contract`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

from resticwrap import errors
from resticwrap.model.aging import KnownPack, KnownRun, SnapshotPin
from resticwrap.model.alerts import AlertBook
from resticwrap.model.base import Time, Value
from resticwrap.model.bucket import ObjectLock, ObjectVersion, StoredObject, Thaw, ThawSpeed, Versioning
from resticwrap.model.drill import Drilled
from resticwrap.model.evidence import Chain, Event, Evidence
from resticwrap.model.gate import AuditLook, BucketLook
from resticwrap.model.job import DomainOutcome, Job, Latest, Manifest, Pin
from resticwrap.model.kit import KitRecord, RepositoryKey
from resticwrap.model.metrics import JobTally, LastJob, RunTally
from resticwrap.model.objects import BlobSums, Change, Entry, show_path
from resticwrap.model.reports import HistoryDay, HistoryRow, LockInfo
from resticwrap.model.snapshot import Snapshot, SnapshotType, Tags
from resticwrap.model.unattended import AlertEvent, HostDomain, ScheduledRun
from resticwrap.model.verified import VerifyRecord, Written


class ObjectInfo(Value, frozen=True):
    """One object of a store. `modified` is when it was last written, by the store's clock."""

    key: str
    size: int
    modified: Time


class Store(Protocol):
    """The bucket or folder behind a target, spoken to by its own client. Keys use `/` and are relative to it.

    Every call raises TargetUnreachable when nothing answers (within seconds), TargetRefused when the credentials are
    not accepted, and NoRepository when the bucket itself is missing. Calls that may be repeated are retried a few
    times on a passing fault and on nothing else.
    """

    def probe(self) -> None:
        """Ask whether the bucket is there and lets us in. One cheap signed request; not retried."""

    def create(self) -> bool:
        """Make the bucket or folder; True when it was not there before."""

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all. With `if_absent`, raises ObjectExists and leaves what is there."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def time(self) -> Time | None:
        """The store's own clock (its `Date` header), None where it has none."""


@dataclass(frozen=True, slots=True)
class ResticAccess:
    """How restic reaches the repositories of one target.

    `base` is the repository URL without its tier; each of `options` is given after its own `-o`; `env` is to be added
    to the child's environment; `secrets` are the values to mask in what the child says; `ca_file` is for `--cacert`.
    """

    base: str
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ca_file: Path | None = None

    def url(self, tier: str) -> str:
        """The URL of a tier's repository, for `--repo`."""
        return f"{self.base}/{tier}"


class TargetStore(Store, Protocol):
    """A store of a target, which also knows how restic gets at it."""

    def restic_access(self) -> ResticAccess:
        """What restic needs now. Temporary credentials are fresh as of this call, so ask before each start of restic.
        Raises as every other call where the credentials cannot be had."""


class Bucket(Protocol):
    """The administrative side of a target's bucket: what its owner may do besides reading and writing objects.

    Keys are the bucket's own, as in `Store`. Every call raises as those of `Store` do; TargetRefused also where only
    this call is not permitted, or the provider does not have it, and the message says which.
    """

    @property
    def provider(self) -> Literal["s3", "oss"]: ...

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of the keys, by one pass over the listing."""

    def tags(self, key: str) -> Mapping[str, str]:
        """The object's tags. Raises ObjectMissing."""

    def tag(self, key: str, name: str, value: str) -> bool:
        """Give an object this tag; those it has already stay. False where it had it. Raises ObjectMissing."""

    def lifecycle(self) -> bytes | None:
        """The rules as the bucket has them, the very XML of its answer; None where there are none."""

    def put_lifecycle(self, document: bytes | None) -> None:
        """Replace all rules by this XML; None removes them. Raises Failure, before anything is sent, where the client
        would not pass on every element of it."""

    def versioning(self) -> Versioning:
        """Whether the bucket keeps old versions."""

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version and delete marker, in the order of the keys, newest first within a key."""

    def read_version(self, version: ObjectVersion) -> bytes:
        """The bytes of one version. Raises ObjectMissing."""

    def bring_back(self, version: ObjectVersion, marker: ObjectVersion | None) -> None:
        """Make this version what a plain read sees: by removing the delete `marker` that lies right on it, else by
        copying it over. May be repeated."""

    def lock(self) -> ObjectLock | None:
        """The lock on the bucket, None where there is none."""

    def locked_until(self, version: ObjectVersion) -> Time | None:
        """Until when this version cannot be destroyed; None where it can be, or where that is not told by object."""

    def thaw(self, key: str, days: int, speed: ThawSpeed) -> None:
        """Ask for a frozen object to be readable for so many days. May be repeated: one that is thawing or readable is
        no error. Raises ObjectMissing."""

    def thaw_state(self, key: str) -> Thaw:
        """Whether an object can be read now. Raises ObjectMissing."""


class MissedItem(Value, frozen=True):
    """Something that a backup could not read."""

    item: str
    message: str
    during: str = ""


class BackupRequest(Value, frozen=True):
    """One restic backup: `name` is backed up from inside `cwd`, or only these `parts` of it. `force` reads every byte
    again. With a `command`, what that writes is stored as the file `name`, and nothing where it fails; `fds` are
    descriptors that it inherits."""

    cwd: bytes
    name: bytes
    tags: Tags
    host: str
    excludes: tuple[str, ...] = ()
    parent: str | None = None
    force: bool = False
    skip_if_unchanged: bool = False
    dry_run: bool = False
    parts: tuple[bytes, ...] = ()
    command: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()


class BackupResult(Value, frozen=True):
    """How it ended. `snapshot` is missing where nothing had changed; `complete` is False after restic's exit 3."""

    complete: bool
    snapshot: str | None
    missed: tuple[MissedItem, ...] = ()
    missed_count: int = 0
    files: int = 0
    size: int = 0
    added: int = 0
    files_new: int = 0
    files_changed: int = 0
    duration: float = 0.0
    would_read: tuple[int, int] = (0, 0)
    """Of a dry run: the files and bytes that are new or changed."""


class RestoreResult(Value, frozen=True):
    """How a restore ended; `failed` names what could not be restored."""

    files: int
    size: int
    failed: tuple[MissedItem, ...] = ()


class CheckResult(Value, frozen=True):
    """What `restic check` said. After some faults of the structure it ends before it has read any pack back."""

    errors: int
    broken_packs: tuple[str, ...]
    messages: tuple[str, ...] = ()


class Progress(Value, frozen=True):
    """How far a piece of work is: bytes and files, of which totals may not be known yet (None)."""

    bytes_done: int = 0
    bytes_total: int | None = None
    files_done: int = 0
    files_total: int | None = None
    seconds_left: float | None = None
    errors: int = 0
    current: str = ""


class Watcher(Protocol):
    """Is told how the work goes. Called from several threads; never raises, never blocks for long."""

    def begin(self, title: str, names: Sequence[str]) -> None:
        """A job starts on these domains."""

    def update(self, name: str, progress: Progress) -> None:
        """A domain moved on."""

    def done(self, name: str, outcome: str) -> None:
        """A domain ended."""

    def note(self, text: str) -> None:
        """Something a person should read: waiting for a lock, a retry, a repair."""

    def end(self) -> None:
        """The job ended."""


class PackBlob(Value, frozen=True):
    """One blob inside a pack, as the index has it."""

    id: str
    kind: str
    pack: str


class BlobPlace(Value, frozen=True):
    """Where the bytes of a blob lie in a pack, sealed as they are."""

    pack: str
    offset: int
    length: int


Lost = Callable[[bytes, errors.Failure], None]
"""Is told of a folder, by its path, of which the list cannot be read, and why."""


class Trees(Protocol):
    """Reads trees and index of one repository without restic. Every tree is hashed again as it is read.

    Raises Damaged where bytes do not decrypt or do not hash to their name, ObjectMissing where a pack is gone.
    """

    @property
    def chunker(self) -> str:
        """The fingerprint of the repository's chunker parameters, for content ids."""

    def walk(self, tree: str, under: bytes = b"", *, lost: "Lost | None" = None) -> Iterator[Entry]:
        """Every node below (and including) `under`, a path relative to the tree's root; parents before children,
        siblings in restic's order. Nothing where there is no such path. The tree's root itself is not a node.

        With `lost` a folder whose tree cannot be read is told to it, and what is beside that folder still comes."""

    def changes(self, old: str | None, new: str) -> Iterator[Change]:
        """Where two trees differ; equal subtrees are not descended into. `old` None: everything was added.
        `bitrot`: content differs though mtime and size do not."""

    def blob_lengths(self, blobs: Iterable[str]) -> Mapping[str, int]:
        """The plaintext length in bytes of each data blob that the index has."""

    def packs(self) -> Mapping[str, int]:
        """Every pack that the index names, with the size in bytes that its file must have."""

    def blobs_in(self, packs: Iterable[str]) -> Sequence[PackBlob]:
        """The blobs that lie in these packs and in no other. One that lies in several of them stands there for each."""

    def data_only_packs(self) -> frozenset[str]:
        """The packs that the index shows to hold data blobs and nothing else."""

    def packs_of(self, blobs: Iterable[str]) -> Mapping[str, Sequence[str]]:
        """Every pack that each of these data blobs lies in; a blob that the index does not name is left out."""

    def places(self, blob: str) -> Sequence[BlobPlace]:
        """Everywhere that a data blob lies. Reads the whole index through."""

    def needed_packs(self, trees: Iterable[str]) -> frozenset[str]:
        """Every pack that these trees of snapshots need. Each tree is read and hashed once. Raises Damaged where a blob
        is in no pack that the index names."""

    def union(self, groups: Mapping[str, Iterable[str]]) -> Mapping[str, BlobSums]:
        """By group: all blobs together that its trees of snapshots need, each counted once. A tree that several groups
        name, or that lies below one that they name, is read once. What cannot be read is counted, and raises nothing;
        raises Damaged and kin where the index cannot be read."""

    def affected(self, trees: Iterable[str], blobs: frozenset[str]) -> Mapping[str, Sequence[bytes]]:
        """By tree of a snapshot: the paths that need any of these blobs. A shared subtree is read once."""

    def unsound(self, trees: Iterable[str], packs: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The blobs that these trees of snapshots need and that lie in no pack but these, or that cannot be read; of
        them those that the index does not name at all. What lies below a tree that cannot be read is not known."""

    def blob(self, blob: str) -> bytes:
        """The bytes of a data blob, hashed again. Reads the whole index through."""

    def wanting(self, trees: Iterable[str], blobs: frozenset[str]) -> Mapping[str, frozenset[str]]:
        """By tree of a snapshot: which of these blobs (of trees or data) it needs. A shared subtree is read once."""


class Repository(Protocol):
    """One restic repository: the verbs that services use. Every verb raises the typed error of restic's exit code."""

    @property
    def url(self) -> str: ...

    @property
    def tier(self) -> str: ...

    def init(self, chunker_from: "Repository | None" = None) -> str:
        """Make it; returns its id. With `chunker_from`, its chunker parameters are copied."""

    def config_digest(self) -> str:
        """sha256 of the config object, read by the store's own client. Raises NoRepository."""

    def config(self) -> Pin:
        """Open the repository with the password and say who it is."""

    def open(self) -> None:
        """Open it with the password now, which reading its trees would do later and waits half a second for."""

    def backup(self, request: BackupRequest, on_progress: Callable[[Progress], None]) -> BackupResult:
        """Raises ResticFailed and kin where no snapshot was written."""

    def snapshots(self, *, no_lock: bool = True, no_cache: bool = False) -> Sequence[Snapshot]:
        """All snapshots, oldest first."""

    def holds(self, snapshot: str) -> bool:
        """Whether it still has a snapshot by that full id."""

    def snapshot(self, snapshot: str) -> Snapshot:
        """One snapshot by its full id. Raises ObjectMissing, Damaged."""

    def entries(
        self, snapshot: str, tree: str, under: bytes = b"", *, lost: Lost | None = None, trees: Trees | None = None
    ) -> Iterator[Entry]:
        """Every node of a snapshot as `Trees.walk` gives them, read by `trees` where that is given; by restic's own
        `find` where our reader fails."""

    def restore(
        self,
        snapshot: str,
        to: Path,
        include: Sequence[bytes] = (),
        *,
        no_cache: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        on_file: Callable[[bytes], None] | None = None,
    ) -> RestoreResult:
        """Restore a snapshot, or only the `include` paths (from the snapshot's root), below `to`.

        `on_file` is told, while others are still restored, of files (by their path in the snapshot) that have all
        their bytes; mode, owner and time come at the end. Not of all: of none that is empty, a second name of a file,
        not whole, or named in other bytes than UTF-8.
        """

    def dump(self, snapshot: str, path: bytes, to: int) -> None:
        """Write a file of a snapshot (by its path from the snapshot's root) into a descriptor, as it comes: what went
        wrong is known when all of it was written. Raises as every other verb."""

    def check(self, *, bucket: int | None, parts: int) -> CheckResult:
        """Structure check from the store, not from the cache, without a lock; with `bucket` (1 to `parts`) also read
        that part of the packs back. Damage is a result, not an error."""

    def repair_index(self, wait: float) -> bool:
        """Make packs count that no index names. False where the exclusive lock was not had within `wait` seconds."""

    def repair_packs(self, packs: Sequence[str], place: Path) -> None:
        """Save what can still be read of these packs into new ones, take the old ones out of the index and remove them.
        `place` is a folder that gets their bytes as they are. Waits for the exclusive lock as every verb does."""

    def cut_snapshots(self, snapshots: Sequence[str]) -> None:
        """Write these snapshots (ids) anew without what is missing in the repository, and remove the old ones. Files
        are shortened, and nothing tells of it later (restic exits 0): whoever calls this has named them before."""

    def pack_blobs(self, pack: str) -> frozenset[str]:
        """Read a pack from the store, whole: the ids of its blobs, each decrypted and hashed, the pack hashed to its
        name too. Raises Damaged where any of that fails, ObjectMissing, Frozen."""

    def readable_blobs(self, pack: str) -> frozenset[str]:
        """Of a pack that may be damaged the blobs that are sound, as far as its own list of them can be read. Raises
        ObjectMissing, Frozen."""

    def copy(self, source: "Repository", snapshots: Sequence[str]) -> None:
        """Copy these snapshots (full ids) out of `source`; ones that are here already are passed over by restic."""

    def retag(self, snapshots: Sequence[str], *, add: Sequence[str], remove: Sequence[str]) -> None:
        """Change tags, which gives the snapshots other ids. restic exits 0 where it could not: look again after."""

    def forget(self, snapshots: Sequence[str]) -> bool:
        """Remove these snapshots (full ids) and nothing else. False where some could not be removed (restic's exit 3);
        ones that are gone already are no error."""

    def prune(
        self,
        *,
        max_unused: str,
        cacheable_only: bool,
        deadline: float,
        max_repack: int | None = None,
        dry_run: bool = False,
    ) -> Sequence[str]:
        """Clean out what no snapshot needs; returns what restic said of it, line by line. `cacheable_only`: no pack of
        data is repacked. `max_repack`: bytes that are repacked at most. Raises DeadlineExceeded after `deadline`
        seconds, having been interrupted cleanly; a lock that is waited for counts too."""

    def locks(self) -> Sequence[LockInfo]:
        """Its locks, judged: `dead` only where the process was ours and its lease is free."""

    def remove_lock(self, lock: str) -> None:
        """Remove that one lock object."""

    def clear_dead_locks(self) -> Sequence[LockInfo]:
        """Remove our own dead locks, one by one; returns them."""

    def list_keys(self, password: str | None = None) -> Sequence[RepositoryKey]:
        """Its keys, as the password sees them: `current` is the one that it opens. Raises WrongPassword."""

    def add_key(self, new: str, password: str | None = None) -> str:
        """Make a key that the password `new` opens; returns its id."""

    def remove_key(self, key: str, password: str | None = None) -> None:
        """Remove a key by its full id. restic refuses to remove the current one; one that is gone is no error."""

    def trees(self, *, no_cache: bool = False) -> Trees:
        """A reader of its trees. With `no_cache` all bytes come from the store."""


class Lease(Protocol):
    """A descriptor with a flock that a child inherits: as long as any holder of it lives, the lease is held."""

    @property
    def fd(self) -> int: ...

    @property
    def name(self) -> str: ...

    def started(self, pid: int) -> None:
        """Note the child's pid."""

    def close(self) -> None:
        """Give up our own copy of the descriptor; the child's remains."""

    def remove(self) -> None:
        """Its holder ended and left nothing behind: close it and remove its file. May be repeated."""


class LeaseInfo(Value, frozen=True):
    """A lease as found on disk. `near`: its pid is one of our own PID namespace."""

    name: str
    host: str
    pid: int | None
    created: Time
    held: bool
    near: bool = True


class Look(Value, frozen=True):
    """A source as it stands: back `name` up from inside `cwd`. `identity` changes when something else is there.
    `mounts` are the mount points below the root, relative to it."""

    cwd: bytes
    name: bytes
    identity: tuple[int, ...]
    empty: bool = False
    mounts: tuple[bytes, ...] = ()

    @property
    def root(self) -> str:
        """The name by which the root stands in the snapshot."""
        return show_path(self.name)


def nothing_said() -> None:
    """A source that restic reads by itself has nothing to add."""


def nothing_asked(snapshot: str) -> None:
    """It need not know what was made of it."""


@dataclass(frozen=True)
class Material:
    """What restic is to read of a source: `name`, or only these `parts`, from inside `cwd`; or what `command` writes,
    as the file `name`. `fds` are descriptors that the command inherits. `missed` is what restic is not even told of.

    `settle` is called once restic has ended, however: it raises what the command says that went wrong. `stored` is told
    the id of a complete snapshot that was made of it. `base`: the snapshot that this one needs. `warnings`: what a
    person should know of the source.
    """

    cwd: bytes
    name: bytes
    parts: tuple[bytes, ...] = ()
    command: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()
    missed: tuple[MissedItem, ...] = ()
    settle: Callable[[], None] = nothing_said
    stored: Callable[[str], None] = nothing_asked
    base: str = ""
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """How a domain is captured."""

    def material(self, job: str, type: SnapshotType) -> AbstractContextManager[Material]:
        """Make ready what restic is to read, for as long as the block lasts. Raises what keeps it from being read."""

    def measure(self) -> BackupResult | None:
        """What would be read, where restic cannot tell that without reading it; None where it can."""

    def look(self) -> Look:
        """Look at the root without reading it. Raises NotFound where it is not there."""

    def empty(self, path: bytes) -> bool:
        """Whether a folder below the root is there and holds nothing at all."""


class HostLocks(Protocol):
    """Advisory locks of this machine, in the state directory; and of all machines that share a catalogue, where they
    guard a repository. They die with their holder; those of several machines also with its connection."""

    def hold(self, name: str, *, shared: bool = False, wait: float = 0) -> AbstractContextManager[None]:
        """Hold a lock of ours by name. Raises Locked when it is not had within `wait` seconds, CatalogUnavailable where
        an exclusive one has to be told to other machines and cannot be."""

    def check(self) -> None:
        """Before anything is removed: raises LockLost where somebody else may have what is held here."""

    def lease(self, repository: str) -> Lease:
        """A new lease for a child that works on this repository (its pinned id, or its URL before it has one)."""

    def leases(self, repository: str) -> Sequence[LeaseInfo]:
        """The leases of a repository, held or free. A free one older than a day is removed on the way."""


class Catalog(Protocol):
    """Jobs and snapshots. A convenience: all of it can be rebuilt. Raises CatalogUnavailable.

    What is later than `until` does not count: a clock was wrong then. None: all of it counts.
    """

    @property
    def present(self) -> bool:
        """Whether there is one; where there is none, it knows nothing, and the first record makes it."""

    def time(self) -> Time | None:
        """The clock of the server that all machines share; None where the catalogue is a file."""

    def open_job(self, job: Job) -> None:
        """Record a job as running."""

    def close_job(self, job: Job) -> None:
        """Record its end; a job that was never opened is recorded whole. May be repeated."""

    def open_jobs(self, target: str) -> Sequence[Job]:
        """Jobs that are recorded as running."""

    def job(self, job_id: str) -> Job | None:
        """One job by its id, or by an unambiguous beginning of at least 6 characters."""

    def jobs(
        self,
        target: str,
        *,
        kind: str | None = None,
        type: SnapshotType | None = None,
        until: Time | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Newest first. `type` is that of backups: with it, only those that have ended."""

    def history(
        self,
        target: str,
        *,
        domains: Sequence[str] = (),
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> Sequence[HistoryRow]:
        """Runs of domains, newest first, across backup jobs."""

    def last_runs(self, target: str, until: Time | None = None) -> "Mapping[str, tuple[HistoryRow, Time | None]]":
        """By domain: the newest run, however it ended, and the start of the newest complete look whose snapshot is
        known to be in hot (None: there is none)."""

    def looks(self, target: str, since: Time, until: Time) -> "Sequence[KnownLook]":
        """The looks of backup jobs that began at or after `since` and before `until`, oldest first."""

    def first_looks(self, target: str) -> Mapping[str, Time]:
        """By domain, when a backup job looked at it for the first time, however that ended."""

    def days(self, target: str, domains: Sequence[str], since: Time | None, tz: tzinfo) -> Sequence[HistoryDay]:
        """The runs of each day of `tz` and domain, oldest day first. No `domains`: all of them."""

    def put_snapshots(self, target: str, tier: str, found: Iterable[tuple[Snapshot, bool]]) -> None:
        """Record snapshots, each with whether it is known to be complete; known ones are updated. One that was proven
        stays so, and so does one that was complete."""

    def sums(self, target: str, tier: str, until: Time | None = None) -> "Mapping[str, DomainSums]":
        """By domain: its snapshots in this tier, summed."""

    def snapshots(self, target: str, tier: str, until: Time | None = None) -> Mapping[str, "KnownSnapshot"]:
        """By original id. `until` is about their proofs, as in `sums`."""

    def close_jobs(self, closed: Iterable[Job]) -> None:
        """Many at once."""

    def mark_proven(
        self, target: str, originals: Sequence[str], at: Time, *, tier: str | None = None, until: Time | None = None
    ) -> None:
        """These snapshots were sampled and compared well, in one tier or wherever they are known. A later time that is
        known stays, unless it is later than `until`."""

    def disprove(self, target: str, tier: str, originals: Iterable[str]) -> None:
        """These snapshots count as proven no more, until they are proven again. Ones that were not are no error."""

    def record_reads(
        self, target: str, tier: str, first_bytes: Sequence[int], at: Time, until: Time | None = None
    ) -> None:
        """All packs whose id begins with one of these bytes (0 to 255) were read back at `at`. Else as above."""

    def reads(self, target: str, tier: str, until: Time | None = None) -> Mapping[int, Time]:
        """When the packs beginning with each byte were last read back."""

    def forget_reads(self, target: str, tier: str) -> None:
        """What was read back was read of another repository."""

    def added_since(self, target: str, since: Time) -> int:
        """How many bytes backups have stored that looked at or after a time."""

    def partial(self, target: str) -> frozenset[str]:
        """The snapshots (original ids) that a run left and called partial."""

    def writing_runs(self, target: str) -> Iterator[KnownRun]:
        """The complete runs that wrote a snapshot, sorted by domain and time."""

    def put_pin(self, pin: SnapshotPin) -> None:
        """Record a pin, or what became of it."""

    def pins(self, target: str) -> Sequence[SnapshotPin]:
        """All of them, released ones too, oldest first."""

    def put_packs(self, target: str, tier: str, packs: Iterable[KnownPack]) -> None:
        """Record what is known of packs; what is None of one that is known stays as it was."""

    def packs(self, target: str, tier: str) -> Mapping[str, KnownPack]:
        """By id."""

    def withdraw(self, target: str, tier: str, damaged: Iterable[str]) -> None:
        """These packs were found damaged: they are proven no more, and only a whole read can clear them."""

    def forget_packs(self, target: str, tier: str, packs: Iterable[str]) -> None:
        """These are no longer there."""

    def forget_snapshots(self, target: str, tier: str, originals: Iterable[str]) -> None:
        """These are no longer in the repository. Ones that are not known are no error."""

    def put_evidence(self, records: Iterable[Evidence | bytes], *, target: str | None = None) -> None:
        """Remember records of chains, best by their very bytes, which their digest is of. One that is known already
        stays as it was first: what comes later under the same number is what an audit must find. `target`: what the
        target is called here, where another machine that wrote them called it otherwise."""

    def evidence_digests(self, target: str) -> Mapping[tuple[str, int], str]:
        """By installation and number, the digest of each record as it was first seen."""

    def evidence(self, target: str, *, kind: str | None = None, limit: int | None = None) -> Sequence[Evidence]:
        """The newest `limit` records of all chains of a target, newest first."""

    def put_drilled(self, target: str, drilled: Iterable[Drilled]) -> None:
        """These objects were drilled; the last time of each is kept."""

    def drilled(self, target: str, domain: str) -> Mapping[bytes, Drilled]:
        """By path, when the objects of a domain were last drilled."""

    def put_run(self, run: ScheduledRun) -> None:
        """Record a run of the schedule, or what became of it."""

    def runs(
        self, host: str, *, name: str | None = None, since: Time | None = None, limit: int = 100
    ) -> Sequence[ScheduledRun]:
        """The runs of the schedule of a host, newest first."""

    def open_runs(self, host: str) -> Sequence[ScheduledRun]:
        """Those that are recorded as running, oldest first."""

    def put_alert_events(self, events: Iterable[AlertEvent]) -> None:
        """Remember what became of alerts; one that is known already is no error."""

    def alert_events(self, target: str, *, since: Time | None = None, limit: int = 100) -> Sequence[AlertEvent]:
        """What became of alerts, newest first, of all hosts."""

    def job_tallies(self, target: str, until: Time) -> Sequence[JobTally]:
        """How many jobs have ended how, by kind, type and outcome. Running ones are not counted."""

    def last_jobs(self, target: str, tallies: Iterable[JobTally], until: Time) -> Sequence[LastJob]:
        """Of each kind and type of jobs that was counted so the one that began last, of those that have ended."""

    def run_tallies(self, target: str) -> Sequence[RunTally]:
        """How many runs of domains have ended how, and what they stored, by domain and outcome."""

    def added_by_domain(self, target: str, since: Time) -> Mapping[str, int]:
        """Bytes that the looks since then have stored, by domain."""

    def claim_domains(self, promised: Iterable[HostDomain], formerly: Collection[str] = ()) -> Mapping[str, str]:
        """What these hosts promise of these targets now; what they promised before of them is forgotten. A domain that
        another host promised first of the same target stays that one's, and is returned with its name. What `formerly`
        promised of these targets counts as this host's own."""

    def host_domains(self, target: str | None = None) -> Sequence[HostDomain]:
        """What each machine promises, sorted by host, target and domain."""

    def promises(self, until: Time) -> "Sequence[KnownPromise]":
        """The same of all targets, with how each stands."""

    def failures(self, since: Time) -> Mapping[tuple[str, str], int]:
        """By host and target, how many backup jobs of its domains failed or were interrupted since a time."""

    def newest_jobs(self, kind: str, until: Time) -> Mapping[str, tuple[Time, str]]:
        """By target when the newest job of a kind began that came to an end by itself, and its outcome."""


class KnownPromise(NamedTuple):
    """What a machine promises of a domain, and how that stands: its newest look, and the newest complete one whose
    snapshot is known to be in hot."""

    promise: HostDomain
    looked_at: Time | None
    complete_at: Time | None
    job: str | None
    outcome: DomainOutcome | None


class KnownLook(NamedTuple):
    """One look at a domain: many of them, so it is small."""

    domain: str
    at: Time
    complete: bool
    type: str
    added: int


class DomainSums(Value, frozen=True):
    """The snapshots of one domain in one tier, summed. Bytes are bytes.

    `complete` counts the complete ones; `files`, `size` and `newest_at` are of the newest complete one (0, 0 and None
    without any), `logical` is the size of all together, `added` what they stored. `proven_at` is the last time that
    any of them was proven.
    """

    snapshots: int = 0
    complete: int = 0
    logical: int = 0
    added: int = 0
    files: int = 0
    size: int = 0
    newest_at: Time | None = None
    proven_at: Time | None = None


class KnownSnapshot(Value, frozen=True):
    """What the catalogue knows of a snapshot."""

    original: str
    current_id: str
    domain: str
    type: str
    time: Time
    tree: str
    complete: bool
    size: int
    files: int
    added: int
    proven_at: Time | None = None


class StateFiles(Protocol):
    """Small files of the state directory, each written whole or not at all (and flushed): they need no database."""

    def spool(self, job: Job, *, flush: bool = True) -> None:
        """Write a job's record ahead of the catalogue. Without `flush` it may be lost with the power, not with us."""

    def spooled(self) -> Sequence[Job]:
        """What is spooled. An unreadable file is renamed aside, never deleted."""

    def unspool(self, job_id: str) -> None:
        """The catalogue has it: remove the spooled record; one that is not there is no error."""

    def latest(self, target: str) -> Latest | None: ...

    def put_latest(self, latest: Latest) -> None: ...

    def keep(self, written: Written) -> None:
        """Keep a manifest or a record until it is in the store."""

    def kept(self, target: str) -> Sequence[Written]:
        """Those that are not in the store yet, manifests first, oldest first."""

    def drop(self, written: Written) -> None:
        """It is in the store now; one that is not kept is no error."""

    def pins(self, target: str) -> Mapping[str, Pin]:
        """The pinned repositories of a target by tier; empty before `rw init`. Raises Failure where unreadable."""

    def put_pins(self, target: str, pins: Mapping[str, Pin]) -> None: ...

    def chain(self, target: str) -> Chain | None:
        """Which chain of evidence this installation writes; None before the first. Raises Failure where unreadable."""

    def put_chain(self, target: str, chain: Chain) -> None: ...

    def wait(self, target: str, event: Event) -> None:
        """Keep what shall become evidence until the chain has it."""

    def waiting(self, target: str) -> Sequence[Event]:
        """What the chain has not yet, oldest first."""

    def arrived(self, target: str, event: Event) -> None:
        """The chain has it now; one that is not kept is no error."""

    def kit(self, target: str) -> KitRecord | None:
        """What is remembered of the last recovery kit; None where none was made."""

    def put_kit(self, target: str, record: KitRecord) -> None: ...

    def bucket_look(self, target: str) -> BucketLook | None:
        """How the bucket's rules were when they were last looked at; None where that is not known."""

    def put_bucket_look(self, target: str, look: BucketLook) -> None: ...

    def audit_look(self, target: str) -> AuditLook | None:
        """What the last audit of the evidence said; None where there was none, or that is not known."""

    def put_audit_look(self, target: str, look: AuditLook) -> None: ...

    def alert_book(self) -> AlertBook:
        """All that is known of alerts here; empty where there is none yet, or none that can be read."""

    def put_alert_book(self, book: AlertBook) -> None: ...


class Commands(Protocol):
    """Commands of the operator's, which are none of ours."""

    def attend(self, command: Sequence[str], on_start: Callable[[int], None]) -> int:
        """Run it to its end with the operator's environment, input and output; returns its exit code. `on_start` gets
        its pid. A wish to stop reaches it as one SIGINT. Raises Failure where it cannot be started."""


class Manifests(Protocol):
    """The manifests of backups in the target's store, and beside them the records of verifies."""

    def put(self, written: Written) -> str:
        """Write it if absent, returns its key. The same again is no error; another one of the job is ObjectExists."""

    def get(self, key: str) -> Manifest:
        """Raises ObjectMissing, Damaged."""

    def find(self, job_id: str) -> str | None:
        """The key of a job's manifest (its day is in the job's id)."""

    def keys(self) -> Iterator[str]:
        """All manifests, oldest day first."""

    def record(self, key: str) -> VerifyRecord:
        """Raises ObjectMissing, Damaged."""

    def record_keys(self) -> Iterator[str]:
        """All records, oldest day first."""
