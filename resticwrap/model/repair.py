"""What a repair would do, and what it did: steps, what is lost, what was compared."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.job import Job

RepairAction = Literal[
    "tidy", "bring_back", "rebuild_index", "salvage", "set_aside", "copy", "back_up", "cut", "compare"
]
SoundFrom = Literal["version", "cache"]
"""Where a sound copy of an object is: an older version in the bucket, or restic's cache on this machine."""
Hope = Literal["tier", "live", "none"]
"""What may still bring an object back: the other tier, the live source (of the same size there), or nothing."""


class BadObject(Value, frozen=True):
    """An object of a repository that is not what its name says, or not there, and where a sound copy is."""

    kind: Literal["pack_damaged", "pack_missing", "pack_truncated", "config", "key", "index", "snapshot"]
    name: str
    size: int = 0
    sound: SoundFrom | None = None


class LostObject(Value, frozen=True):
    """A file (or, with a path that ends in "/", a folder with all below) that some snapshots cannot give back now.

    `size` in bytes, 0 where it is not known; `snapshots` are original ids."""

    domain: str
    path: str
    size: int
    snapshots: tuple[str, ...]
    hope: Hope = "none"


class RepairStep(Value, frozen=True):
    """One step, and why. `names` are what it works on: objects, packs, snapshots (of the other tier for `copy`),
    domains. `deletes`: it needs credentials that may delete."""

    action: RepairAction
    names: tuple[str, ...]
    why: str
    deletes: bool = False


class RepairPlan(Value, frozen=True):
    """What a repair of one repository would do as things stand; after each step it is made anew, since facts change.

    `lost` is what no sound object of this repository holds now; only what has no hope is cut, and only when agreed.
    """

    target: str
    tier: str
    at: Time
    bad: tuple[BadObject, ...] = ()
    steps: tuple[RepairStep, ...] = ()
    affected: tuple[str, ...] = ()
    """The snapshots (original ids) that damage costs something, or did when an earlier repair was interrupted."""
    lost: tuple[LostObject, ...] = ()
    allow_loss: bool = False
    notes: tuple[str, ...] = ()


class RepairDone(Value, frozen=True):
    """A step that was taken, and what kept it from its end."""

    action: RepairAction
    names: tuple[str, ...]
    ok: bool
    why: str = ""


class Healed(Value, frozen=True):
    """A snapshot of which every object was compared, its blobs read back from the store. Not `ok`: `why` says what is
    not as it was."""

    snapshot: str
    domain: str
    objects: int
    size: int
    ok: bool
    why: str = ""


class RepairReport(Value, frozen=True):
    """How a repair ended. `ok`: nothing is damaged any more, nothing was lost, and all that had been affected compared
    well. `cut` are the snapshots (original ids) out of which what is `lost` was cut."""

    job: Job
    tier: str
    ok: bool
    plan: RepairPlan
    done: tuple[RepairDone, ...] = ()
    healed: tuple[Healed, ...] = ()
    lost: tuple[LostObject, ...] = ()
    cut: tuple[str, ...] = ()
    left: tuple[BadObject, ...] = ()
    notes: tuple[str, ...] = ()
