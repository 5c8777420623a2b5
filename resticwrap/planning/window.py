"""Which snapshots are every domain as it stood at a time: those of one job where one has them all, else the newest."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from resticwrap.model.base import Time

BEHIND = timedelta(hours=1)
"""How much older than a domain's newest look that of the one job may be. Where backups of one domain have failed for a
week, the others are not to be restored as they were a week ago."""


class Look(NamedTuple):
    """A complete look at a domain: when it began, the snapshot (original id) that it found to stand, and its job."""

    domain: str
    at: Time
    snapshot: str
    job: str


class Window(NamedTuple):
    """What stands for a time: a look for each domain. `job` is the one whose looks all of them are, None where they are
    of several; `spread` are the seconds between the oldest and the newest of those, `why` says it in a sentence."""

    looks: Mapping[str, Look]
    job: str | None
    spread: float
    why: str


def choose(looks: Iterable[Look], at: Time, behind: timedelta = BEHIND) -> Window:
    """The window at a time. Looks that began later do not count; a domain without any is not in it."""
    newest: dict[str, Look] = {}
    jobs: dict[str, dict[str, Look]] = {}
    for look in looks:
        if look.at > at:
            continue
        before = newest.get(look.domain)
        if before is None or (look.at, look.job) > (before.at, before.job):
            newest[look.domain] = look
        jobs.setdefault(look.job, {})[look.domain] = look
    whole = [found for found in jobs.values() if found.keys() == newest.keys()]
    joint = max(whole, key=lambda found: (max(one.at for one in found.values()), _job(found)), default=None)
    if joint is None:
        return _several(newest, "No job at or before that time has complete looks of all domains")
    late = max(newest[name].at - look.at for name, look in joint.items())
    if late > behind:
        said = (
            f"The last job that has complete looks of all domains, {_job(joint)}, is {_words(late)} behind the newest"
        )
        return _several(newest, said)
    return Window(joint, _job(joint), 0.0, f"All domains are of one job, {_job(joint)}.")


def _job(found: Mapping[str, Look]) -> str:
    return next(iter(found.values())).job


def _several(newest: Mapping[str, Look], said: str) -> Window:
    if not newest:
        return Window({}, None, 0.0, "There is no complete look at or before that time.")
    times = [look.at for look in newest.values()]
    spread = (max(times) - min(times)).total_seconds()
    return Window(newest, None, spread, f"{said}: the newest of each is taken, and they are {spread:.0f} s apart.")


def _words(late: timedelta) -> str:
    hours = late.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours >= 2 else f"{late.total_seconds() / 60:.0f} minutes"
