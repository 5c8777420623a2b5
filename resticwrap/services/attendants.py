"""Those who attend the scheduler for alerts: one looks and tells, the other pings the checks of its runs."""

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta

from resticwrap.model.base import Time
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.services.alert_ports import Ping, PingKind
from resticwrap.services.alerting import CHECK, Alerting
from resticwrap.settings import Settings

EARLY = timedelta(seconds=5)
"""Ticks do not come to the second: one that is this early is in time."""

SAYS: Mapping[RunOutcome, PingKind] = {
    "running": "start", "ok": "success", "partial": "fail", "failed": "fail", "overran": "fail", "lost": "fail",
    "interrupted": "log",
}  # fmt: skip
"""What a check is told of a run. One that somebody interrupted is no failure; that none follows it is seen there."""


class Desk:
    """Who looks after alerts by the policies that hold now. Where `alerts.yaml` was changed and does not hold, the one
    before goes on."""

    def __init__(self, policies: Callable[[], Settings], build: Callable[[Settings], Alerting]) -> None:
        self._policies, self._build = policies, build
        self._guard = threading.Lock()
        self._read: Settings | None = None
        self._built: Alerting | None = None

    def __call__(self) -> Alerting:
        """Raises PolicyError where there never was one that holds."""
        with self._guard:
            read = self._policies()
            if self._built is None or (read is not self._read and not read.problems_of_alerts):
                self._built = self._build(read)
            self._read = read
            return self._built


class AlertAttendant:
    """The port `Attendant`: looks at every rule as often as the policy wants, and after each run."""

    name = "alerts"

    def __init__(self, desk: Callable[[], Alerting]) -> None:
        self._desk = desk
        self._last: Time | None = None

    def begin(self) -> None:
        """Nothing: the first tick comes at once."""

    def tick(self, now: Time) -> None:
        desk = self._desk()
        # A clock that was set back does not stop the looks until it has caught up.
        if self._last is None or not self._last <= now < self._last + desk.policy.every - EARLY:
            self._last = now
            desk.check()

    def after(self, run: ScheduledRun) -> None:
        if run.outcome != "running":
            self._desk().check()

    def end(self) -> None:
        """Nothing: what is owed is in the book."""


class PingAttendant:
    """The port `Attendant`: the start and the end of each run, to the check of its job or to the one of all runs."""

    name = "pings"

    def __init__(self, desk: Callable[[], Alerting]) -> None:
        self._desk = desk

    def begin(self) -> None:
        """Nothing: of the scheduler as a whole the dead-man's switch tells."""

    def tick(self, now: Time) -> None:
        """Nothing to do between runs."""

    def after(self, run: ScheduledRun) -> None:
        desk = self._desk()
        checks = desk.policy.healthchecks
        url = checks.jobs.get(run.name, checks.runs)
        if url is None:
            return
        said = f"{run.name}: {run.outcome}" + (f", exit code {run.exit_code}" if run.exit_code is not None else "")
        check = f"{CHECK}{run.name if run.name in checks.jobs else 'runs'}"
        ping = Ping(
            check=check,
            url=url.get_secret_value(),
            what=SAYS[run.outcome],
            body=said + (f" ({run.job})" if run.job else ""),
            run=str(uuid.uuid5(uuid.NAMESPACE_OID, run.id)),
        )
        desk.ping([ping])

    def end(self) -> None:
        """Nothing is left over."""
