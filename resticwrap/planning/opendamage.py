"""Which damage is open: what verifies found, and nothing since has cleared."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.snapshot import TIERS
from resticwrap.model.verified import VerifyDetails, verify_details

ENDED = frozenset({"ok", "partial", "failed"})
"""Outcomes that say something; an interrupted job proves nothing and refutes nothing."""
KEPT = 50
"""How many damages the record of a verify names: of one with so many there may be more."""
ALL_READ = frozenset(range(256))


@dataclass(frozen=True)
class OpenDamage:
    """Damage of a tier that nothing has cleared. `subject` changes when other damage comes to it."""

    tier: str
    subject: str
    sentence: str
    since: Time


def damages_of(jobs: Sequence[Job], repositories: Mapping[str, str], now: Time) -> list[OpenDamage]:
    """What is open in each tier, out of its verifies."""
    verifies = told(jobs, now + CLOCK_SLACK)
    found = (open_damage(tier, repositories.get(tier, ""), verifies) for tier in TIERS)
    return [one for one in found if one is not None]


def open_damage(tier: str, repository: str, verifies: Sequence[tuple[Job, VerifyDetails]]) -> OpenDamage | None:
    """What verifies of a repository found, and none since has cleared.

    A damaged pack is cleared by reading its part again; what is missing, and faults of the structure, by the next
    look at all of that; a sample that did not compare by a verify that went well. A verify that found more than its
    record names is cleared only by one that read everything.
    """
    opened: dict[str, tuple[str, Time]] = {}
    for job, details in reversed(verifies):
        if details.tier != tier or details.repository not in ("", repository):
            continue
        names: dict[str, str] = {one.name: one.kind for one in details.damages}
        looked = details.bucket > 0 and details.coverage is not None
        for name in [name for name in opened if name not in names]:
            if looked and _cleared(name, opened[name][0], job, details):
                del opened[name]
        for name, kind in names.items():
            opened.setdefault(name, (kind, job.started_at))
        if len(names) >= KEPT:
            opened.setdefault("more", ("more", job.started_at))
        if job.outcome == "failed" and looked and not names:
            opened.setdefault("sample", ("sample", job.started_at))
    if not opened:
        return None
    since = min(at for _, at in opened.values())
    kinds: dict[str, int] = {}
    for kind, _ in opened.values():
        kinds[kind] = kinds.get(kind, 0) + 1
    what = ", ".join(f"{count} {FAULTS.get(kind, kind)}" for kind, count in sorted(kinds.items()))
    return OpenDamage(
        tier, f"{tier} {digest(opened)}", f"Damage of {tier} is open since {moment(since)}: {what}.", since
    )


FAULTS = {
    "pack_damaged": "damaged packs",
    "pack_missing": "missing packs",
    "pack_truncated": "packs cut short",
    "sample": "sample that did not compare",
    "more": "list of more than its record names",
}


def _cleared(name: str, kind: str, job: Job, details: VerifyDetails) -> bool:
    if kind == "sample":
        return job.outcome == "ok"
    if kind == "more":
        return job.outcome == "ok" and {*details.reads} >= ALL_READ and not details.frozen
    if len(details.damages) >= KEPT:
        return False
    if kind == "pack_damaged":
        return int(name[:2], 16) in details.reads and not details.frozen
    return True


def told(jobs: Sequence[Job], until: Time) -> list[tuple[Job, VerifyDetails]]:
    """Verifies that ended and whose records say something, newest first."""
    ended = [job for job in jobs if job.outcome in ENDED and job.started_at <= until]
    ended.sort(key=age, reverse=True)
    return [(job, details) for job in ended if (details := verify_details(job))]


def age(job: Job) -> tuple[Time, str]:
    """The order of jobs in time."""
    return job.started_at, job.id


def digest(words: Sequence[str] | Mapping[str, object]) -> str:
    """What tells a set of words from another."""
    return hashlib.sha256("\0".join(sorted(words)).encode()).hexdigest()[:12]


def moment(time: Time) -> str:
    """A time within a sentence."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
