"""The runs of the schedule as they are written down: in the state directory before anything is done, in the catalogue
as soon as it answers. What is open there when a scheduler begins, another one left."""

import logging
from collections.abc import Callable, Mapping

import msgspec

from resticwrap.clock import Clock
from resticwrap.errors import CatalogUnavailable, DiskFull, Failure
from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.planning import schedule as planning
from resticwrap.ports import Catalog, StateFiles
from resticwrap.services.schedule_ports import Children, Ended, ScheduleFiles

DOWN = (CatalogUnavailable, DiskFull)
JOBS_LOOKED_AT = 50
LOST = "The scheduler went away, and so did the run; what it had stored is not lost."
log = logging.getLogger(__name__)


class Ledger:
    """Writes runs down and reads them. `host` is the one whose runs these are."""

    def __init__(
        self,
        files: ScheduleFiles,
        state: StateFiles,
        catalog: Callable[[], Catalog],
        host: Callable[[], str],
        clock: Clock,
    ) -> None:
        self.files, self._state, self._catalog, self._host, self._clock = files, state, catalog, host, clock
        self._told: dict[str, ScheduledRun] = {}
        self._swept = False

    def write(self, run: ScheduledRun) -> None:
        """The record of a run, or what became of it. Raises what the state directory raises."""
        self.files.spool(run)

    def settle(self) -> str:
        """Bring what is spooled into the catalogue; why that could not be, empty where it could. A run that goes on
        stays spooled, so the spool knows all that are open."""
        try:
            spooled = self.files.spooled()
            for run in spooled:
                if self._told.get(run.id) != run:
                    self._catalog().put_run(run)
                    self._told[run.id] = run
                if run.outcome != "running":
                    self.files.unspool(run.id)
                    self._told.pop(run.id, None)
            if not self._swept:
                self._sweep({run.id for run in spooled})
                self._swept = True
        except Failure as failure:
            return failure.message
        return ""

    def _sweep(self, spooled: set[str]) -> None:
        """Runs that the catalogue believes in and the state directory does not: it was lost, and they with it."""
        for run in self._catalog().open_runs(self._host()):
            if run.id not in spooled and run.id not in self._told:
                self._catalog().put_run(self.closed(run, self._by_record(run)))

    def last(self, name: str) -> ScheduledRun | None:
        """The newest run of a job that settles anything; None also where the catalogue does not answer."""
        try:
            runs = self._catalog().runs(self._host(), name=name)
        except DOWN:
            return None
        return next((run for run in runs if run.outcome not in planning.UNSEEN and run.trigger != "manual"), None)

    def history(self, *, name: str | None, since: Time | None, limit: int) -> tuple[list[ScheduledRun], str]:
        """Runs, newest first, and why those of the catalogue are missing, if they are."""
        why = ""
        found: dict[str, ScheduledRun] = {}
        try:
            found = {run.id: run for run in self._catalog().runs(self._host(), name=name, since=since, limit=limit)}
        except DOWN as error:
            why = f"{error.message} Only what waits for it is known."
        found |= {
            run.id: run
            for run in self.files.spooled()
            if name in (None, run.name) and (since is None or run.started_at >= since)
        }
        return sorted(found.values(), key=lambda run: (run.started_at, run.id), reverse=True)[:limit], why

    def tries(self, name: str, moment: Time) -> int:
        """How many runs that stand for this moment went down without an end of their own."""
        found, _ = self.history(name=name, since=None, limit=planning.TRIES)
        return sum(run.due_at == moment and run.outcome in planning.UNSEEN for run in found)

    def found(self, run: ScheduledRun, children: Children) -> Ended:
        """How a run ended that nobody saw the end of: by its own word, else by the record of its job."""
        return children.left(run) or self._by_record(run)

    def closed(self, run: ScheduledRun, ended: Ended) -> ScheduledRun:
        """The run with its end."""
        return msgspec.structs.replace(
            run,
            outcome=ended.outcome,
            exit_code=ended.code,
            job=ended.job or run.job,
            message=ended.message,
            finished_at=self._clock.now(),
        )

    def begun(self) -> Mapping[tuple[str, str], str]:
        """By run and kind, the jobs that runs have begun by now."""
        return {(job.run, job.kind): job.id for job in self._state.spooled() if job.run}

    def _by_record(self, run: ScheduledRun) -> Ended:
        job = self._job(run)
        if job is None:
            return Ended(outcome="lost", message=LOST)
        outcome: RunOutcome = "lost" if job.outcome in ("running", "interrupted") else job.outcome
        message = job.error.message if job.error else ""
        return Ended(outcome=outcome, job=job.id, message=message or (LOST if outcome == "lost" else ""))

    def _job(self, run: ScheduledRun) -> Job | None:
        found = [job for job in self._state.spooled() if job.run == run.id and job.kind == run.kind]
        if not found:
            try:
                known = self._catalog().jobs(run.target, kind=run.kind, limit=JOBS_LOOKED_AT)
            except DOWN:
                return None
            found = [job for job in known if job.run == run.id]
        return found[0] if found else None


class Bookkeeper:
    """The attendant that brings runs into the catalogue, so that a slow one holds nobody up."""

    name = "catalogue"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._why = ""

    def begin(self) -> None:
        self._settle()

    def tick(self, now: Time) -> None:
        del now
        self._settle()

    def after(self, run: ScheduledRun) -> None:
        del run
        self._settle()

    def end(self) -> None:
        self._settle()

    def _settle(self) -> None:
        why = self._ledger.settle()
        if why != self._why:
            log.log(logging.WARNING if why else logging.INFO, "catalogue: %s", why or "it answers again")
        self._why = why
