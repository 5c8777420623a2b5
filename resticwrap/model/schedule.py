"""The schedule as it stands: what the scheduler remembers, and what it tells of itself."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.unattended import ScheduledRun

JobState = Literal["on", "off", "paused", "running"]


class Pause(Value, frozen=True):
    """Nothing is started until it ends, which is never by itself where `until` is None."""

    since: Time
    by: str
    until: Time | None = None
    reason: str = ""


class RunRequest(Value, frozen=True):
    """Somebody wishes a job to run now. `run` is what came of it; `refused` says why nothing did."""

    id: str
    name: str
    at: Time
    by: str
    run: ScheduledRun | None = None
    refused: str = ""


class Heartbeat(Value, frozen=True):
    """What a scheduler that lives writes every few seconds, and once more when it ends. `problem` is what is wrong with
    the policies as they are in the folder now, in which case those before hold on: `in_force` is where a copy of them
    lies. `next` is when each job runs next."""

    pid: int
    host: str
    version: str
    started_at: Time
    beat_at: Time
    policies: str
    in_force: str
    ended_at: Time | None = None
    problem: str = ""
    running: tuple[str, ...] = ()
    next: dict[str, Time] = {}


class ScheduleRow(Value, frozen=True):
    """One job of the schedule. `when` is its rhythm as the policy has it, `variety` its type or level; `next` is None
    where it is off, paused without an end, or without a moment that ever comes."""

    name: str
    kind: str
    target: str
    when: str
    state: JobState
    variety: str = ""
    domains: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    pause: Pause | None = None
    last: ScheduledRun | None = None
    next: Time | None = None


class ScheduleList(Value, frozen=True):
    """The schedule. `alive`: a scheduler runs here; `heartbeat` is the last that any gave."""

    at: Time
    time_zone: str
    alive: bool
    heartbeat: Heartbeat | None
    rows: tuple[ScheduleRow, ...]
    warnings: tuple[str, ...] = ()


class NextRun(Value, frozen=True):
    """One moment to come."""

    at: Time
    name: str
    kind: str
    target: str


class NextRuns(Value, frozen=True):
    """The moments to come, in their order, if no job ever has to wait for another. Of `every`, counted from the last
    start."""

    at: Time
    time_zone: str
    runs: tuple[NextRun, ...]


class RunsReport(Value, frozen=True):
    """Runs of the schedule, newest first. `refused` says by name why there was none, `planned` what would be run;
    `waiting` were handed to the scheduler and not waited for."""

    runs: tuple[ScheduledRun, ...] = ()
    planned: dict[str, str] = {}
    refused: dict[str, str] = {}
    waiting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class PauseReport(Value, frozen=True):
    """What is paused now, by job; under "" what holds for all of them. `changed` are those that this command was about
    (`planned`: would be)."""

    changed: tuple[str, ...]
    pauses: dict[str, Pause]
    planned: bool = False


class HealthReport(Value, frozen=True):
    """Whether a scheduler lives. `age` are the seconds since its last sign of life, None where there is none."""

    alive: bool
    why: str
    age: float | None = None
    heartbeat: Heartbeat | None = None
