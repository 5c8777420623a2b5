"""What a drill leaves behind: a restore that was rehearsed, with a stopwatch."""

from typing import Any, Literal

import msgspec

from resticwrap.model.base import Time, Value, convert, from_json, to_json
from resticwrap.model.dbproof import Loaded
from resticwrap.model.job import Job
from resticwrap.model.snapshot import Priority, TierName

Level = Literal["l1", "l2", "l3"]
LEVELS: tuple[Level, ...] = ("l1", "l2", "l3")
"""L1: single objects. L2: every domain as it stood at a time. L3: the whole system, from a recovery kit alone."""
Phase = Literal["lock", "thaw", "download", "compare", "load", "query", "start", "healthy"]
PHASES: tuple[Phase, ...] = ("lock", "thaw", "download", "compare", "load", "query", "start", "healthy")
Reason = Literal["newest", "oldest", "largest", "random", "longest", "whole"]
"""Why an object is in a sample; `longest` has gone longest without a drill that went well. `whole`: it came back
with its whole domain, and is named since it did not compare."""


class DrilledObject(Value, frozen=True):
    """One object of an L1's sample. Names stay on this machine: evidence and target have their digest alone."""

    domain: str
    path: str
    snapshot: str
    size: int
    content_id: str
    reason: Reason
    ok: bool
    why: str = ""


class DrilledDomain(Value, frozen=True):
    """What a drill restored of one domain, and how that compares with what was promised. Seconds and bytes.

    `source_time` is when the newest data that came back was looked at: the start of the last complete look that found
    it so. `actual_rpo` counts from there to the instant that the drill declares as the failure, `actual_rto` is from
    the start of the drill until this domain was back and compared. `manifest` says whether the job's manifest names
    the very tree that was restored (None: there is no manifest to ask).
    """

    domain: str
    priority: Priority
    snapshot: str
    tree: str
    job: str
    source_time: Time
    objects: int
    size: int
    failed: int
    actual_rpo: float
    actual_rto: float
    rpo: float
    rto: float
    manifest: bool | None = None
    whole: bool = False
    """All of the domain was restored, and not a sample."""
    failures: tuple[str, ...] = ()
    loaded: Loaded | None = None
    """Of a database: what it was once it was loaded. None for all else, and where it did not come back."""

    @property
    def ok(self) -> bool:
        """Everything came back as it was."""
        return not self.failed and self.manifest is not False

    @property
    def met(self) -> bool:
        """Within both objectives."""
        return self.actual_rpo <= self.rpo and self.actual_rto <= self.rto


class CanaryResult(Value, frozen=True):
    """The drill that must fail. `sound`: the canary's own packs restored and compared well. `caught`: with one byte of
    its blob flipped in a copy of them, the same restore and comparison said so. Neither alone proves anything."""

    snapshot: str = ""
    sound: bool = False
    caught: bool = False
    offset: int = 0
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.sound and self.caught


class Estimate(Value, frozen=True):
    """The RTO of a level that was not drilled at full size, from measured rates. Never to be shown as a measurement."""

    level: Level
    seconds: float
    size: int
    basis: str
    """What it is reckoned from, as a sentence part: `42.0 MB/s of drill_…`."""
    domain: str = ""
    """Empty: all domains together."""


class DrillDetails(Value, frozen=True):
    """`details` of a drill's job. `declared_at` is the instant that the drill declares as the failure; `phases` are
    seconds; `digest` is the sha256 over the sample. A drill that could not begin has only the first three."""

    level: Level
    tier: TierName = "hot"
    scheduled: bool = False
    repository: str = ""
    seed: int = 0
    declared_at: Time | None = None
    phases: dict[str, float] = {}
    domains: tuple[DrilledDomain, ...] = ()
    sample: tuple[DrilledObject, ...] = ()
    digest: str = ""
    spread: float = 0.0
    """Of an L2 or L3: seconds between the oldest and the newest look that it put together; 0 for one job's."""
    objective: float = 0.0
    """Of the level: how long it may take, in seconds."""
    seconds: float = 0.0
    """How long it took: from the start until all was back, compared and, at L3, healthy."""
    canary: CanaryResult | None = None
    estimates: tuple[Estimate, ...] = ()
    failures: tuple[str, ...] = ()
    """What went wrong besides objects that did not compare; sentences without names of files."""
    scratch: str = ""
    """Where it restored to: what a killed drill left there is cleaned up by the next one. Stays on this machine."""

    @property
    def ok(self) -> bool:
        """Everything came back as it was, and the canary was caught where there was one. Objectives are apart."""
        return (
            bool(self.domains)
            and not self.failures
            and all(domain.ok for domain in self.domains)
            and (self.canary is None or self.canary.ok)
        )

    @property
    def met(self) -> bool:
        """Within the level's own objective, and every domain within its objectives."""
        return self.seconds <= self.objective and all(domain.met for domain in self.domains)

    def builtins(self) -> dict[str, Any]:
        """As a job carries them, and as they come back with it: what JSON has and nothing else."""
        return from_json(dict[str, Any], to_json(self))


def drill_details(job: Job) -> DrillDetails | None:
    """The details of a drill's job, None where it has none that can be read."""
    try:
        return convert(DrillDetails, job.details)
    except msgspec.ValidationError:
        return None


class Drilled(Value, frozen=True):
    """When an object was last drilled, and how that went."""

    domain: str
    path: bytes
    at: Time
    ok: bool
