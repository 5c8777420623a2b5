"""The recovery kit: what opens everything on an empty machine, and what is remembered of one that was made."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.dbproof import Loaded
from resticwrap.model.drill import DrilledDomain
from resticwrap.model.evidence import Head
from resticwrap.model.job import Pin
from resticwrap.model.snapshot import Priority, TierName


class KitSecret(Value, frozen=True):
    """A file of a domain of secrets, as it was when the kit was made; `path` is relative to the domain's root."""

    domain: str
    path: str
    mode: int
    uid: int
    gid: int
    content: bytes


class Kit(Value, frozen=True):
    """What the encrypted file holds. `policies` are the files of the policies folder by name; `variables` the values of
    those that they use; `credentials` what lets the storage client in where the policies do not name it. `holds`:
    whether the kit has credentials at all; where they are `elsewhere`, `needs` are the variables to be set, and
    `where` says where their values are. `files` are others that the target
    names, by what names them (`ca_file`)."""

    made_at: Time
    by: str
    host: str
    target: str
    provider: str
    namespace: str
    policies: dict[str, str]
    variables: dict[str, str]
    credentials: dict[str, str]
    holds: Literal["included", "elsewhere", "none"]
    needs: tuple[str, ...]
    where: str
    password: str
    files: dict[str, str]
    pins: dict[str, Pin]
    keys: dict[str, tuple[str, ...]]
    head: Head | None
    versions: dict[str, str]
    kit_version: int = 1
    secrets: tuple[KitSecret, ...] = ()


class KitReport(Value, frozen=True):
    """What is in a kit, without any secret. `digest` is the sha256 of the file, `page` the file of steps beside it.

    `variables` and `needs` are names, `secrets` those of files (`DOMAIN/PATH`); `keys` are the ids of restic's keys by
    tier, as they were when it was made.
    """

    file: str
    digest: str
    size: int
    made_at: Time
    by: str
    host: str
    target: str
    provider: str
    namespace: str
    policies: tuple[str, ...]
    variables: tuple[str, ...]
    credentials: Literal["included", "elsewhere", "none"]
    needs: tuple[str, ...]
    where: str
    repositories: dict[str, str]
    keys: dict[str, tuple[str, ...]]
    head: Head | None
    versions: dict[str, str]
    secrets: tuple[str, ...] = ()
    page: str = ""
    notes: tuple[str, ...] = ()


class KitFile(Value, frozen=True):
    """A file of secrets that came out of a kit. `mode` is in octal."""

    domain: str
    path: str
    mode: str
    size: int


class KitFiles(Value, frozen=True):
    """What `rw kit secrets` wrote below `place` (`planned`: would write), without a byte of it."""

    target: str
    made_at: Time
    place: str
    planned: bool
    files: tuple[KitFile, ...]


class KitRecord(Value, frozen=True):
    """`kits/{target}.json` in the state directory: the last kit that was made, and what it should open. Of secrets it
    has salted digests alone. `outdated` are sentences: what was done since that the kit does not know of."""

    exported_at: Time
    file: str
    digest: str
    repositories: dict[str, str]
    keys: dict[str, tuple[str, ...]]
    policies: str
    salt: str
    variables: str
    password: str
    credentials: str
    secrets: str = ""
    outdated: tuple[str, ...] = ()


class KitState(Value, frozen=True):
    """Whether there is a kit that opens what it should. `stale`: why it is not good any more, as sentences."""

    exported_at: Time | None = None
    file: str = ""
    stale: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.exported_at is not None and not self.stale


class SystemDomain(Value, frozen=True):
    """One domain of a restored system. Seconds and bytes; `source_time` is the start of the last complete look that
    found it so (None: nobody knows of one), `rpo` from there to the instant of the failure. `back` counts from the
    start until it was compared. `whole` is False where its snapshot is not known to be complete."""

    domain: str
    priority: Priority
    tier: TierName
    snapshot: str
    tree: str
    job: str
    time: Time
    source_time: Time | None
    rpo: float | None
    files: int = 0
    size: int = 0
    back: float = 0.0
    place: str = ""
    core: bool = False
    whole: bool = True
    manifest: bool | None = None
    failures: tuple[str, ...] = ()
    resumed: bool = False
    loaded: Loaded | None = None
    """Of a database in a drill: what it was once it was loaded."""

    @property
    def ok(self) -> bool:
        return not self.failures and self.manifest is not False and (self.loaded is None or self.loaded.ok)


class SystemReport(Value, frozen=True):
    """A system that was restored into an empty folder. `phases` are seconds by name, `core_seconds` how long it took
    until the core was back (and healthy, where the policy says how to ask). `next` are the steps that are left to a
    person."""

    target: str
    place: str
    job: str
    started_at: Time
    declared_at: Time
    mode: Literal["planned", "restored"]
    domains: tuple[SystemDomain, ...]
    phases: dict[str, float]
    seconds: float = 0.0
    core_seconds: float | None = None
    started: bool | None = None
    healthy: bool | None = None
    missing: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.failures and not self.missing and all(one.ok for one in self.domains)


class RepositoryKey(Value, frozen=True):
    """One of restic's keys. `current`: it is the one that the target's password opens."""

    tier: TierName
    id: str
    user: str
    host: str
    created: str
    current: bool


class KeyReport(Value, frozen=True):
    """The keys of a target's repositories after what was done: `added` and `removed` are ids by tier."""

    target: str
    action: Literal["listed", "added", "rotated", "removed"]
    keys: tuple[RepositoryKey, ...]
    added: dict[str, str] = {}
    removed: dict[str, tuple[str, ...]] = {}
    password_file: str | None = None
    notes: tuple[str, ...] = ()


def drilled(one: SystemDomain, declared: Time, rpo: float, rto: float) -> DrilledDomain:
    """A domain of a rehearsed system, as a drill records it. One whose look nobody knows counts from its snapshot."""
    source = one.source_time or one.time
    return DrilledDomain(
        domain=one.domain,
        priority=one.priority,
        snapshot=one.snapshot,
        tree=one.tree,
        job=one.job,
        source_time=source,
        objects=one.files,
        size=one.size,
        failed=len(one.failures) + (one.loaded is not None and not one.loaded.ok),
        actual_rpo=max((declared - source).total_seconds(), 0.0),
        actual_rto=one.back,
        rpo=rpo,
        rto=rto,
        manifest=one.manifest,
        whole=True,
        failures=(*one.failures, *(one.loaded.failures if one.loaded else ())),
        loaded=one.loaded,
    )
