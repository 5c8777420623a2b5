"""Whether the scheduler lives. Imports next to nothing: a container asks every half minute."""

from resticwrap.model.base import Time
from resticwrap.model.schedule import HealthReport, Heartbeat
from resticwrap.services.schedule_ports import ScheduleFiles

FRESH = 90.0
"""Seconds: six beats."""


def lives(heartbeat: Heartbeat | None, now: Time) -> bool:
    """Whether a scheduler gave a sign of life just now, and has not ended."""
    return heartbeat is not None and heartbeat.ended_at is None and abs(_age(heartbeat, now)) <= FRESH


def look(files: ScheduleFiles, now: Time) -> HealthReport:
    """Reads one small file."""
    heartbeat = files.heartbeat()
    if heartbeat is None:
        return HealthReport(alive=False, why="No scheduler has run here.")
    age = _age(heartbeat, now)
    if heartbeat.ended_at is not None:
        why = "The scheduler has ended."
    elif age > FRESH:
        why = "The scheduler has given no sign of life for too long."
    elif age < -FRESH:
        why = "The last sign of life lies in the future: the clock was put back."
    else:
        why = "The scheduler lives."
    return HealthReport(alive=lives(heartbeat, now), why=why, age=age, heartbeat=heartbeat)


def _age(heartbeat: Heartbeat, now: Time) -> float:
    return (now - heartbeat.beat_at).total_seconds()
