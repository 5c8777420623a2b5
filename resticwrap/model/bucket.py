"""What a bucket says of its objects beyond their bytes: classes, versions, locks, thaws."""

from typing import Literal

from resticwrap.model.base import Time, Value

Versioning = Literal["enabled", "suspended", "off"]
ThawState = Literal["readable", "frozen", "thawing", "thawed"]
"""readable: in a class that is read at once. frozen: must be asked for. thawing: asked for. thawed: can be read for
some time."""
ThawSpeed = Literal["expedited", "standard", "bulk"]
TIER_TAG = ("tier", "cold")
"""The object tag of packs that hold nothing but data, which lifecycle rules may move."""


class StoredObject(Value, frozen=True):
    """One object as listed. `storage_class` in the provider's own words: `GLACIER` of S3, `Archive` of OSS."""

    key: str
    size: int
    modified: Time
    storage_class: str


class ObjectVersion(Value, frozen=True):
    """One version of one object, or the marker that a delete left (`marker`, size 0). `latest`: it is what a plain
    read sees."""

    key: str
    version: str
    modified: Time
    size: int
    latest: bool
    marker: bool
    storage_class: str = ""


class ObjectLock(Value, frozen=True):
    """A lock on the whole bucket: nothing can be destroyed before its `days` are over. `mode` in the provider's words;
    `since` where all of it counts from one moment (OSS), None where it counts for each object (S3)."""

    mode: str
    days: int
    since: Time | None = None


class Thaw(Value, frozen=True):
    """Whether an object can be read. `until`: of a thawed one, when it freezes again, as far as that is told."""

    state: ThawState
    until: Time | None = None
