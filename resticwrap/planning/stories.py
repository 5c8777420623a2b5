"""Which stories of jobs are kept."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from resticwrap.model.base import Time

KEPT = timedelta(days=30)
MOST = 2000
ROOM = 100
"""How many more go once there are too many, so that it need not be looked at after every job."""
BEGAN = re.compile(r"_([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z_[0-9a-f]{6}\Z")


def began(job: str) -> Time | None:
    """When a job began, as its id says; None where it says nothing."""
    found = BEGAN.search(job)
    try:
        return datetime(*map(int, found.groups()), tzinfo=UTC) if found else None  # type: ignore[arg-type, misc]
    except ValueError:
        return None


def crowded(jobs: Sequence[str], now: Time, kept: timedelta = KEPT, most: int = MOST) -> bool:
    """Whether anything may have to go: asked after every job, so it only compares the times in the ids, as text."""
    since = f"{now - kept:%Y%m%dT%H%M%SZ}"
    return len(jobs) > most or any(job[-len(since) - 7 : -7] < since for job in jobs)


def superfluous(
    stories: Mapping[str, Time], now: Time, kept: timedelta = KEPT, most: int = MOST, room: int = ROOM
) -> list[str]:
    """What goes, oldest first: all that is older than `kept`, and where there are more than `most`, all but the newest
    `most - room`."""
    newest = sorted(stories, key=lambda job: (stories[job], job), reverse=True)
    limit = most if len(newest) <= most else max(most - room, 1)
    stay = {job for job in newest[:limit] if now - stories[job] <= kept}
    return [job for job in reversed(newest) if job not in stay]
