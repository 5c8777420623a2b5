"""What was promised against what was measured, over days; and one day in a few lines."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.evidence import Head
from resticwrap.model.gate import GateReport

Met = Literal["met", "missed", "unknown"]


class AcceptanceRow(Value, frozen=True):
    """One line of the acceptance table: what, what was promised, what was measured. `unknown` is no pass: it was not
    measured, and `how` says why, or how it is counted."""

    what: str
    objective: str
    actual: str
    verdict: Met
    how: str = ""


class AcceptanceDay(Value, frozen=True):
    """The incrementals of one day: slots of the schedule by domain, and those in which one succeeded."""

    day: str
    slots: int
    succeeded: int
    verdict: Met

    @property
    def share(self) -> float | None:
        return self.succeeded / self.slots if self.slots else None


class AcceptanceReport(Value, frozen=True):
    """The acceptance table. `days` oldest first, in `time_zone`; the last one is not over."""

    target: str
    at: Time
    time_zone: str
    since: Time
    rows: tuple[AcceptanceRow, ...]
    days: tuple[AcceptanceDay, ...] = ()
    notes: tuple[str, ...] = ()


class DailyJobs(Value, frozen=True):
    """The jobs of one kind that began on a day, by how they ended."""

    kind: str
    ok: int = 0
    partial: int = 0
    failed: int = 0
    interrupted: int = 0
    running: int = 0


class DailyDrill(Value, frozen=True):
    """A drill of the day. Seconds; `seconds` is missing where it could not begin."""

    job: str
    level: str
    ok: bool
    met: bool
    seconds: float | None = None


class DailyReport(Value, frozen=True):
    """One day. `lag` is the longest time of the day in which a domain had no newer complete look than before (None:
    there was none at all), `added` the bytes that its backups stored. `head` is the newest evidence: whoever keeps this
    report can tell whether the chain was cut since. `gate` is as of `at`, and not of the day."""

    target: str
    day: str
    time_zone: str
    at: Time
    jobs: tuple[DailyJobs, ...]
    added: int
    lag: float | None
    lag_domain: str
    rpo: float | None
    drills: tuple[DailyDrill, ...]
    gate: GateReport
    head: Head | None = None
    waiting: int = 0
    notes: tuple[str, ...] = ()
