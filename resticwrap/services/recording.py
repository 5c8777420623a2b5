"""Records before acts: a job is written down before anything is done, whether or not the catalogue answers.

Every record goes to the spool first and stays there until the catalogue has it closed. So the spool knows every
unfinished job of this state directory, and a catalogue that is down costs nothing but time.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from resticwrap.errors import INTERRUPTED, CatalogUnavailable, DiskFull, Failure
from resticwrap.model.base import Time
from resticwrap.model.job import DomainOutcome, DomainRun, ErrorInfo, Job
from resticwrap.model.snapshot import Snapshot, Tags, TierName
from resticwrap.ports import Catalog, StateFiles

TIER: TierName = "hot"
"""Where backups write; the other tier is filled by copies."""
COMMANDS = {"copy": "tier run", "recover": "recover-deleted", "upgrade": "upgrade --status"}
"""What a kind of job is run by, where that has another name."""
WROTE: frozenset[DomainOutcome] = frozenset({"ok", "partial"})
"""The outcomes of a run that may have written a snapshot of its own."""


class Recorder:
    """Opens and closes the records of jobs. `catalog` is called only when the catalogue is needed."""

    def __init__(
        self, state: StateFiles, catalog: Callable[[], Catalog], closed: Callable[[Job], None] = lambda _: None
    ) -> None:
        """`closed` is told of each job that is closed, before its record is."""
        self._state = state
        self._catalog = catalog
        self._closed = closed

    def open(self, job: Job) -> None:
        """Write a running job down; the catalogue hears of it at the next `settle`. Raises what the spool raises."""
        self._state.spool(job)

    def open_strict(self, job: Job) -> None:
        """Write a running job down in the catalogue, for what may not be done without a record.

        Raises CatalogUnavailable (or DiskFull), and then leaves nothing behind.
        """
        self._state.spool(job)
        try:
            self._catalog().open_job(job)
        except Failure:
            self._state.unspool(job.id)
            raise

    def close(self, job: Job, snapshots: Mapping[str, Snapshot] | None = None) -> str | None:
        """Write the end of a job down, and `settle`. The end is kept whatever the catalogue says.

        `snapshots`: what the job wrote, by domain, as the repository has it. Raises what the spool raises, where the
        catalogue would not have the record either.
        """
        self._closed(job)
        try:
            self._state.spool(job)
        except Failure as failure:
            # No room in the state directory; the catalogue may lie on another disk.
            try:
                self._settle(job, snapshots or {})
            except (CatalogUnavailable, DiskFull):
                raise failure from None
        return self.settle({job.id: snapshots or {}})

    def settle(self, snapshots: Mapping[str, Mapping[str, Snapshot]] | None = None) -> str | None:
        """Bring what is spooled into the catalogue, oldest first. May be done by several processes at once.

        Returns a warning where it could not be; the records stay spooled for the next time. `snapshots`: by job and
        domain, where they are at hand.
        """
        waiting = list(self._state.spooled())
        try:
            while waiting:
                self._settle(waiting[0], (snapshots or {}).get(waiting[0].id, {}))
                del waiting[0]
        except (CatalogUnavailable, DiskFull) as error:
            count = len(waiting)
            kept = f"{count} record{'s' if count != 1 else ''} kept in the spool"
            hint = f" ({error.hint})" if error.hint else ""
            return f"{error.message} {kept} until the catalogue answers.{hint}"
        return None

    def _settle(self, job: Job, snapshots: Mapping[str, Snapshot]) -> None:
        catalog = self._catalog()
        if job.outcome == "running":
            # Stays spooled: its own process may be writing its end there at this moment.
            catalog.open_job(job)
            return
        catalog.close_job(job)
        wrote = [run for run in job.domains if run.outcome in WROTE]
        told = [(snapshots[run.domain], run.complete) for run in wrote if run.domain in snapshots]
        untold = [run for run in wrote if run.domain not in snapshots]
        # A known snapshot is left alone: the record may be old, and a partial look names the one that was there before.
        known = catalog.snapshots(job.target, TIER) if untold else {}
        told += [
            (_snapshot(job, run, run.snapshot), run.complete)
            for run in untold
            if run.snapshot and run.snapshot not in known
        ]
        catalog.put_snapshots(job.target, TIER, told)
        self._state.unspool(job.id)

    def interrupted(
        self,
        target: str,
        host: str,
        now: Time,
        alive: Callable[[Job], bool],
        before: Callable[[Job], None] = lambda _: None,
        *,
        in_catalog: bool = True,
    ) -> Sequence[Job]:
        """Close the jobs that a crash left running, with what they had done by then, and return them as closed.

        `alive` says whether the process that runs a job still lives. It is asked about all that this state directory
        spooled, whatever `host` a container called itself then; of the catalogue, which machines may share, about this
        host's jobs alone. `before` does what a job's end needs, and leaves its record open where it raises.
        `in_catalog=False` looks at the spool alone, which has them all unless the spool itself was lost: no database
        is opened. A catalogue that is down is passed over.
        """
        found = self._running(target, host, in_catalog)
        dead = {job.id for job in found if not alive(job)}
        if not dead:
            return ()
        # Asked again now that their processes are gone for good: one may have closed its job just before it ended.
        closed = [_interrupted(job, now) for job in self._running(target, host, in_catalog) if job.id in dead]
        for job in closed:
            before(job)
            self._state.spool(job)
        if closed and in_catalog:
            self.settle()
        return closed

    def _running(self, target: str, host: str, in_catalog: bool) -> Sequence[Job]:
        # The spool before the catalogue: a record that moves on in between is seen closed in one of the two.
        spooled = self._state.spooled()
        running = [job for job in spooled if job.outcome == "running" and job.target == target]
        if in_catalog:
            known = {job.id for job in spooled}
            running += [job for job in self._left_in_catalog(target) if job.id not in known and job.host == host]
        return running

    def _left_in_catalog(self, target: str) -> Sequence[Job]:
        try:
            return self._catalog().open_jobs(target)
        except (CatalogUnavailable, DiskFull):
            return ()


def _snapshot(job: Job, run: DomainRun, original: str) -> Snapshot:
    """A snapshot as its job's record tells of it, for a catalogue that was down when the job ended."""
    tags = Tags(
        domain=run.domain,
        layer=run.layer,
        priority=run.priority,
        job=job.id,
        type=run.type,
        tier=TIER,
        expire_after_days=0,
    )
    return Snapshot(
        id=original,
        original=original,
        time=run.looked_at,
        tree=run.tree or "",
        host=job.host,
        paths=(),
        tags=tags,
        parent=run.parent,
        files=run.files,
        size=run.size,
        added=run.added,
    )


def _interrupted(job: Job, now: Time) -> Job:
    """A job that somebody else has to close: when it really ended is not known, only that it has by now."""
    error = ErrorInfo(
        kind="Interrupted",
        message="rw ended before the job did.",
        hint=f"rw {COMMANDS.get(job.kind, job.kind)} --target {job.target}",
        exit_code=INTERRUPTED,
    )
    return msgspec.structs.replace(job, outcome="interrupted", finished_at=now, error=error)
