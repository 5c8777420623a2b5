"""What copies from hot to cold plan, do and leave behind."""

from typing import Any, Literal

import msgspec

from resticwrap.model.base import Time, Value, convert, from_json, to_json
from resticwrap.model.job import Job
from resticwrap.model.snapshot import SnapshotType, TierName


class PlannedCopy(Value, frozen=True):
    """One snapshot that cold promises and has not proven. `prove`: its copy is there, as a killed run left it."""

    original: str
    domain: str
    host: str
    time: Time
    type: SnapshotType
    size: int
    action: Literal["copy", "prove"]
    reasons: tuple[str, ...]


class TierCount(Value, frozen=True):
    """How many snapshots a tier holds `now`, and `at_most` at the rhythm of the schedule, if every look finds
    something new. None where the schedule says no rhythm."""

    tier: TierName
    now: int
    at_most: int | None


class TierPlan(Value, frozen=True):
    """What `rw tier run` will copy and prove, oldest first. `unlabelled`: proven packs of cold that hold data alone and
    have no label in the bucket yet; None where there are no labels (a folder). `unknown`: snapshots that are not known
    to be complete, and so are left alone."""

    target: str
    read_back: str
    copies: tuple[PlannedCopy, ...]
    counts: tuple[TierCount, ...]
    unlabelled: int | None = None
    unknown: int = 0


class BadPack(Value, frozen=True):
    """A pack of cold that a copy needs and that is not as it should be."""

    pack: str
    why: str


class CopyDetails(Value, frozen=True):
    """`details` of a copy's job. Packs and bytes that were `read` back and hashed to their name, and those that were
    only looked at (`looked`: there, with their size). `marked` are original ids; `labelled` counts packs.
    `stored`: what the packs of each tier that was looked at take, in bytes."""

    read_back: str = "1"
    copied: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    packs_read: int = 0
    bytes_read: int = 0
    packs_looked: int = 0
    labelled: int = 0
    bad: tuple[BadPack, ...] = ()
    stored: dict[str, int] = {}

    def builtins(self) -> dict[str, Any]:
        """As a job carries them."""
        return from_json(dict[str, Any], to_json(self))


def copy_details(job: Job) -> CopyDetails | None:
    """The details of a copy's job, None where it has none that can be read."""
    try:
        return convert(CopyDetails, job.details)
    except msgspec.ValidationError:
        return None


class TierReport(Value, frozen=True):
    """How a run ended. `left` are original ids that are still not proven in cold, each with why."""

    job: Job
    details: CopyDetails
    left: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
