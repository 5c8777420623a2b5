"""What keeps a snapshot, and what is known of the packs of the cold repository."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.snapshot import SnapshotType, TierName

PinKind = Literal["manual", "upgrade", "migration", "incident", "raw"]
"""`raw`: an object of an append-only domain changed or disappeared, and the snapshot still has it. Releasing the pin
says that somebody has looked at it."""
ReadHow = Literal["read", "sampled", "labelled", "damaged"]


class SnapshotPin(Value, frozen=True):
    """Somebody or something wants these snapshots (original ids) kept, in whichever tier they are.

    It lies in the catalogue and in the bucket (`backups/{env}/pins/{id}.json`). A released one stays as a record.
    """

    id: str
    target: str
    snapshots: tuple[str, ...]
    reason: str
    by: str
    created_at: Time
    kind: PinKind = "manual"
    until: Time | None = None
    released_at: Time | None = None
    pin_version: int = 1

    def holds(self, now: Time) -> bool:
        """Whether it keeps its snapshots now."""
        return self.released_at is None and (self.until is None or now < self.until)


class KnownPack(Value, frozen=True):
    """A pack of a repository, by id.

    `proven_at`: it was read back and hashed to its name (`how` "read"), or it was there with its size beside a sample
    that was ("sampled"), or it is frozen and bears its label, which it has only because it was proven ("labelled").
    None with `how` "damaged": it was found not to be what its name says, and only a whole read can clear it.
    `labelled_at`: the bucket has its tag since.
    """

    pack: str
    proven_at: Time | None = None
    how: ReadHow | None = None
    labelled_at: Time | None = None


class Held(Value, frozen=True):
    """One snapshot as both tiers have it, by its original id.

    `hot` and `cold` are its current ids there. `marked`: the copy in cold is proven, which its tag `tier=cold` says.
    `complete`: None where that is not known. `pins` are reasons why it may not be removed. `twins` are more of the
    same in a tier, as a killed retag leaves them: tier and id. Bytes are bytes. `base`: of the log of a database, the
    original id of the base backup without which it is worth nothing.
    """

    original: str
    domain: str
    host: str
    time: Time
    type: SnapshotType
    tree: str
    complete: bool | None
    hot: str | None = None
    cold: str | None = None
    marked: bool = False
    proven_at: Time | None = None
    size: int = 0
    files: int = 0
    pins: tuple[str, ...] = ()
    twins: tuple[tuple[TierName, str], ...] = ()
    base: str = ""


class Verdict(Value, frozen=True):
    """One snapshot of a tier in a plan: whether it is kept, and every reason for that."""

    tier: TierName
    domain: str
    original: str
    id: str
    time: Time
    keep: bool
    reasons: tuple[str, ...]


class KnownRun(Value, frozen=True):
    """A run of a domain that saw everything and wrote a snapshot (its original id): how its files had changed."""

    domain: str
    at: Time
    job: str
    snapshot: str
    new: int
    changed: int
    removed: int
    size: int
