"""A restic snapshot as `rw` knows it, and the tags that carry its meaning."""

from typing import Literal

from resticwrap.model.base import Time, Value

Layer = Literal["raw", "derived", "serving"]
Priority = Literal["P0", "P1", "P2"]
SnapshotType = Literal["incremental", "full"]
TierName = Literal["hot", "cold"]
TIERS: tuple[TierName, ...] = ("hot", "cold")
"""Hot first: where backups go, and where restores look first."""

CANARY = "_canary"
"""The domain of the small random object that drills are tried on. It is no domain of the policy."""

NAME = r"^[a-z_][a-z0-9_-]{0,63}$"
"""What names of domains and targets look like: always one name of a folder, never a path."""


class Tags(Value, frozen=True):
    """What the tags of a snapshot say. `restic/tags.py` writes and reads them.

    `base`: the original id of the base backup without which this snapshot of a log is worth nothing; empty: none.
    """

    domain: str
    layer: Layer
    priority: Priority
    job: str
    type: SnapshotType
    tier: TierName
    expire_after_days: int
    base: str = ""


class Snapshot(Value, frozen=True):
    """One snapshot in one repository.

    `original` is its identity: tagging and copying change `id`. `tags` is missing for a snapshot that `rw` did not
    make. Sizes are in bytes; `files` and `size` count what restic processed, `added` what it stored (compressed).
    """

    id: str
    original: str
    time: Time
    tree: str
    host: str
    paths: tuple[str, ...]
    tags: Tags | None
    raw_tags: tuple[str, ...] = ()
    parent: str | None = None
    files: int | None = None
    size: int | None = None
    added: int | None = None

    @property
    def domain(self) -> str | None:
        return self.tags.domain if self.tags else None
