"""Attends the scheduler: answers scrapes, and keeps the textfile fresh. It never stops what it attends."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.metrics import exposition, textfile
from resticwrap.metrics.server import PLAIN, Page, Server
from resticwrap.model.base import Time
from resticwrap.model.metrics import Metric, MetricFamily, MetricsReport
from resticwrap.model.unattended import ScheduledRun

log = logging.getLogger(__name__)
FRESH = 10.0
"""Seconds for which a report is good: scrapes in between ask nobody."""
WAIT = 5.0
"""Seconds that a scrape waits for another one that collects; then it gets what there was before."""
SILENT = timedelta(minutes=10)
"""A scheduler that has not ticked for so long is not healthy."""
NOTHING = MetricFamily(
    name="resticwrap_up",
    type="gauge",
    unit="",
    help="Nothing could be collected; the log says why.",
    metrics=(Metric(labels={}, value=0.0),),
)


class Reports:
    """The newest report, collected anew when it is older than `FRESH`. For several threads. Whatever goes wrong is a
    report as well."""

    def __init__(self, collect: Callable[[Time], MetricsReport], clock: Clock) -> None:
        self._collect, self._clock = collect, clock
        self._collecting = threading.Lock()
        self._kept: tuple[float, MetricsReport] | None = None

    def now(self) -> MetricsReport:
        """Good for `FRESH` seconds."""
        kept = self._kept
        if kept is not None and self._clock.monotonic() - kept[0] < FRESH:
            return kept[1]
        if not self._collecting.acquire(timeout=WAIT):
            return kept[1] if kept is not None else nothing(self._clock.now())
        try:
            if self._kept is not None and self._kept is not kept:
                return self._kept[1]  # another thread was quicker
            report = self._safely()
            self._kept = (self._clock.monotonic(), report)
            return report
        finally:
            self._collecting.release()

    def _safely(self) -> MetricsReport:
        now = self._clock.now()
        try:
            return self._collect(now)
        except Exception as error:  # noqa: BLE001 - a scrape is answered, whatever happens
            failure = error if isinstance(error, errors.Failure) else errors.unforeseen(error)
            log.warning("metrics: %s", failure.message)
            return nothing(now)


def nothing(now: Time) -> MetricsReport:
    """What to tell where nothing can be told."""
    return MetricsReport(at=now, targets=(), families=(NOTHING,))


class MetricsAttendant:
    """The scheduler's `Attendant` for metrics. What it cannot do it says in the log, once, and tries again."""

    def __init__(
        self, collect: Callable[[Time], MetricsReport], clock: Clock, *, listen: str | None, file: Path | None
    ) -> None:
        self._reports = Reports(collect, clock)
        self._clock, self._listen, self._file = clock, listen, file
        self._server: Server | None = None
        self._ticked: Time | None = None
        self.troubles: dict[str, str] = {}
        """What it cannot do now, by `listen` and `textfile`."""

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def port(self) -> int | None:
        """Where it answers; None where it does not."""
        return self._server.port if self._server else None

    def begin(self) -> None:
        """Answer scrapes, where the policy says where."""
        if self._listen is None or self._server is not None:
            return
        try:
            self._server = Server(self._listen, {"/metrics": self._metrics, "/healthz": self._health})
        except OSError as error:
            self._say("listen", f"Nobody can scrape {self._listen}: {error.strerror or error}.")
        else:
            self._say("listen", "")

    def tick(self, now: Time) -> None:
        """Collect, and write the textfile. An address that was not free is asked for again."""
        self._ticked = now
        self.begin()
        report = self._reports.now()
        if self._file is not None:
            try:
                textfile.write(self._file, exposition.text(report))
            except errors.Failure as failure:
                self._say("textfile", failure.message)
            else:
                self._say("textfile", "")

    def after(self, run: ScheduledRun) -> None:
        """Its record is in the catalogue, and told at the next scrape."""

    def end(self) -> None:
        """Answer no more. The textfile stays, and its heartbeat says how old it is."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _metrics(self, accept: str) -> Page:
        body, content_type = exposition.negotiated(self._reports.now(), accept)
        return Page(200, content_type, body)

    def _health(self, accept: str) -> Page:
        del accept
        age = timedelta() if self._ticked is None else self._clock.now() - self._ticked
        if age > SILENT:
            return Page(503, PLAIN, f"silent for {age.total_seconds():.0f} s\n".encode())
        return Page(200, PLAIN, b"ok\n")

    def _say(self, what: str, trouble: str) -> None:
        """Only what has changed."""
        if trouble == self.troubles.get(what, ""):
            return
        if trouble:
            self.troubles[what] = trouble
            log.warning("metrics: %s", trouble)
        else:
            del self.troubles[what]
            log.info("metrics: %s is well again", what)
