"""Runs the schedule: what is due is written down, started as a process of its own, watched and closed.

Whatever kills it, the next one finds in the state directory what was begun: a run that still lives is watched on, one
that is gone is closed by its own word, and a moment that nobody has settled is due.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time
from resticwrap.model.policy import ScheduledJob
from resticwrap.model.schedule import Heartbeat, RunRequest
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning import schedule as planning
from resticwrap.planning.schedule import Due
from resticwrap.ports import HostLocks
from resticwrap.services.schedule.attending import Attended
from resticwrap.services.schedule.ledger import Ledger
from resticwrap.services.schedule.memory import Memory
from resticwrap.services.schedule_ports import Children, Ended, Policies, Timer
from resticwrap.settings import Settings

LOCK = "scheduler"
LOCK_WAIT = 1.0
"""Seconds: somebody may just be looking whether a scheduler runs."""
LOOK = 2.0
"""Seconds between two looks at wishes, policies and the clock: a clock that jumps is noticed by the next one."""
BEAT = 15.0
MINUTE = 60.0
PAUSE_SECONDS = 0.2
START_WAIT = 30.0
log = logging.getLogger(__name__)
forwarded = logging.getLogger("resticwrap.forwarded")
"""Lines that are to be printed as they are."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a scheduler is made of. `wanted`: which jobs it is for; `look`: seconds between two looks."""

    policies: Policies
    ledger: Ledger
    children: Children
    timer: Timer
    attended: Attended
    locks: HostLocks
    clock: Clock
    machine: str
    pid: int
    version: str
    wanted: Callable[[ScheduledJob], bool] = lambda _: True
    look: float = LOOK
    verbose: bool = False


@dataclass
class _Running:
    """A run that goes on; `ours` where we began it."""

    run: ScheduledRun
    job: ScheduledJob
    ours: bool


@dataclass
class Scheduler:
    """One scheduler. `settings` are the policies that hold; they change when the files do. `problem` is what is wrong
    with the files, in which case those before hold on."""

    parts: Parts
    settings: Settings
    problem: str = ""
    running: dict[str, _Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Memory(self.parts.ledger)
        self._mutex = threading.RLock()
        self._only: set[str] | None = None
        self._noticed: set[str] = set()
        self._unwritten: dict[str, ScheduledRun] = {}
        self._ended_runs: list[ScheduledRun] | None = None
        self._stamp = self.parts.policies.stamp()
        self._stops = 0
        self._reread = self._stopping = False
        self._started_at = self.parts.clock.now()
        self._beat = self._minute = float("-inf")

    @property
    def jobs(self) -> Mapping[str, ScheduledJob]:
        """Those of the policies that this scheduler is for."""
        return {name: job for name, job in self.settings.schedule.jobs.items() if self.parts.wanted(job)}

    def stop(self) -> None:
        """No new starts; what runs is interrupted and waited for. Called again: for two seconds. Takes no lock, so a
        signal handler may call it."""
        self._stops += 1
        self.parts.timer.stop()

    def reread(self) -> None:
        """Read the policies at the next look, changed or not. A signal handler may call it."""
        self._reread = True

    def run(self) -> Sequence[ScheduledRun]:
        """Run the schedule until `stop`; there may be too many runs to return any. Raises Locked where another
        scheduler does."""
        with self._alone():
            try:
                self.begin()
                self.parts.timer.run()
            finally:
                self.end()
        return ()

    def once(self) -> Sequence[ScheduledRun]:
        """Do what is due, as much of it at once as may be, and return how that ended. Raises Locked as `run`, and
        Failure where no record can be kept."""
        with self._alone():
            self._ended_runs, self._only = [], set()
            try:
                self.begin()
                with self._mutex:
                    self._only = None
                    self._only = {name for name, _ in self._due(self.parts.clock.now())}
                while (self.running or self._only) and not self._stops:
                    self.look()
                    self.parts.clock.sleep(PAUSE_SECONDS)
                    with self._mutex:
                        self._only &= {name for name, _ in self._due(self.parts.clock.now())}
            finally:
                self.end()
        return self._ended_runs

    def by_hand(self, requests: Sequence[RunRequest]) -> Sequence[ScheduledRun]:
        """Carry these wishes out, where no scheduler runs, and return how they ended. Another scheduler may begin
        meanwhile: it finds what we do, and waits for it where it has to."""
        self._ended_runs, self._only = [], set()
        self.memory.wishes = list(requests)
        self.parts.attended.begin()
        try:
            while (self.memory.wishes or self.running) and not self._stops:
                with self.parts.locks.hold("schedule start", wait=START_WAIT):
                    self.consider()
                self.parts.clock.sleep(PAUSE_SECONDS)
                self._learn_jobs()
        finally:
            self.end(beat=False)
        return self._ended_runs

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self.parts.locks.hold(LOCK, wait=LOCK_WAIT)
        try:
            lock.__enter__()
        except errors.Locked as locked:
            raise errors.Locked(
                f"A scheduler runs already in this state directory: {locked.message}",
                hint="rw schedule list   (it says since when, and what it does)",
            ) from locked
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def begin(self) -> None:
        """See to what another scheduler left, and set the clock."""
        with self._mutex:
            # Those of a copy, which no edit breaks under a run.
            self.settings = self.memory.guarded("policies", self.parts.policies.read) or self.settings
            self.memory.begin()
            for run in self.memory.spooled().values():
                if run.outcome == "running":
                    self._found(run)
                else:
                    self._settle(run)
            self.parts.children.tidy(self.running)
            self._set_rings(())
            self.parts.attended.begin()
            self.parts.timer.add("look", lambda now: now + timedelta(seconds=self.parts.look), self.look)
        self.look()

    def end(self, *, beat: bool = True) -> None:
        """Interrupt what runs, wait for it, and close the books. `beat`: say that we are gone."""
        with self._mutex:
            self._stopping = True
            busy = sorted(one.run.name for one in self.running.values())
        if busy:
            log.info("stopping: waiting for %s", ", ".join(busy))
        self.parts.children.interrupt()
        seen = max(self._stops, 1)
        while not self.parts.children.wait(PAUSE_SECONDS):
            if self._stops > seen:
                seen = self._stops
                self.parts.children.interrupt()
        if beat:
            self._give_sign(self.parts.clock.now(), ended=True)
        self.parts.attended.end()

    def look(self) -> None:
        """What is done every few seconds: new policies, runs of others, wishes, what is due, a sign of life."""
        with self._mutex:
            if self._stopping:
                return
            now, monotonic = self.parts.clock.now(), self.parts.clock.monotonic()
            self._look_at_policies()
            for run in list(self._unwritten.values()):
                if self.memory.write(run):
                    self._written(run)
            for run in self.memory.spooled().values():
                if run.outcome == "running" and run.id not in self.running and run.id not in self._unwritten:
                    self._found(run)
            self._learn_jobs()
            self.consider()
            if monotonic - self._beat >= BEAT:
                self._beat = monotonic
                self._give_sign(now)
            if monotonic - self._minute >= MINUTE:
                self._minute = monotonic
                self.parts.attended.tick(now)

    def consider(self) -> None:
        """Start what is due or wished for, as far as nothing of its kind is at work on its domains; the rest waits."""
        with self._mutex:
            if self._stopping:
                return
            now = self.parts.clock.now()
            requests = {request.id: request for request in self.memory.requests(self.jobs, now)}
            waiting: list[tuple[str, Due]] = [(one.id, Due(one.at, one.at, "manual")) for one in requests.values()]
            waiting += self._due(now)
            # Who waits keeps those who came later from going before him, or he might wait for ever.
            ahead = [one.job for one in self.running.values()] + self._of_others()
            names = {one.run.name for one in self.running.values()}
            for key, due in planning.in_turn(waiting):
                name = requests[key].name if key in requests else key
                job = self.jobs[name]
                if name in names or any(planning.clash(job, other) for other in ahead):
                    self._noticed.add(key)
                else:
                    self._start(name, job, due, requests.get(key))
                    names.add(name)
                ahead.append(job)

    def _due(self, now: Time) -> Sequence[tuple[str, Due]]:
        pauses = self.memory.pauses(now)
        found = []
        for name, job in self.jobs.items():
            if not job.enabled or name in pauses or "" in pauses or (self._only is not None and name not in self._only):
                continue
            due = planning.due(
                job,
                self._at(name, job, now),
                now,
                self.settings.schedule.zone,
                prune=self.settings.prune,
                noticed=name in self._noticed,
            )
            if due is not None:
                found.append((name, due))
        return found

    def _start(self, name: str, job: ScheduledJob, due: Due, request: RunRequest | None) -> None:
        now = self.parts.clock.now()
        run = ScheduledRun(
            id=f"run_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}",
            host=self.settings.host,
            name=name,
            target=job.target,
            kind=job.kind,
            trigger=due.trigger,
            due_at=due.moment,
            started_at=now,
        )
        run = self.memory.guarded(name, lambda: self.parts.children.ready(run)) or run
        if not run.lease or not self.memory.write(run):
            why = self.memory.why(name)
            self.parts.children.forget(run)
            if self._only is not None:
                raise errors.Failure(f"{name} was not started, since no record of it can be kept: {why}")
            return  # no record, no act: it stays due
        self._noticed.discard(request.id if request else name)
        if request is not None:
            self.memory.answer(msgspec.structs.replace(request, run=run))
        elif self._only is not None:
            self._only.discard(name)
        self.running[run.id] = _Running(run, job, ours=True)
        log.info("%s: started, %s at %s", name, due.trigger, self._shown(due.moment), extra=told(run))
        self.parts.attended.after(run)
        command = [*planning.command(job, str(self.settings.folder)), *(["-v"] if self.parts.verbose else [])]
        limit = planning.limit(job).total_seconds()
        self.parts.children.start(run, command, limit, lambda ended: self._ended(run.id, ended))

    def _found(self, run: ScheduledRun) -> None:
        """A run that is open and that we did not begin."""
        job = self.settings.schedule.jobs.get(run.name) or _as_run(run)
        self.running[run.id] = _Running(run, job, ours=False)
        if self.parts.children.alive(run):
            log.info("%s: goes on, begun at %s", run.name, self._shown(run.started_at), extra=told(run))
            passed = (self.parts.clock.now() - run.started_at).total_seconds()
            limit = max(planning.limit(job).total_seconds() - max(passed, 0.0), 1.0)
            self.parts.children.adopt(run, limit, lambda ended: self._ended(run.id, ended))
        else:
            self._close(run, self.parts.ledger.found(run, self.parts.children))

    def _ended(self, run_id: str, ended: Ended) -> None:
        with self._mutex:
            one = self.running[run_id]
            known = self.memory.spooled().get(run_id)
            if not one.ours and (known is None or known.outcome != "running"):
                del self.running[run_id]  # whoever began it has closed it too
            elif not one.ours and ended.outcome == "lost" and self.parts.children.alive(one.run):
                del self.running[run_id]  # out of our reach: whoever comes after us watches over it
            elif ended.outcome == "lost":
                self._close(one.run, self.parts.ledger.found(one.run, self.parts.children))
            else:
                self._close(one.run, ended, alone=not self._stopping)
        self.consider()

    def _close(self, run: ScheduledRun, ended: Ended, *, alone: bool = False) -> None:
        """`alone`: had it been interrupted, it would not have been by the end of a scheduler."""
        closed = self.parts.ledger.closed(run, ended)
        del self.running[run.id]
        # What cannot be written now is tried again at each look; should we go before, its own word still lies there.
        self._unwritten[run.id] = closed
        written = self.memory.write(closed)
        self._settle(closed, alone=alone)
        if written:
            self._written(closed)
        took = ((closed.finished_at or closed.started_at) - closed.started_at).total_seconds()
        said = (f"{run.name}: {closed.outcome} after {took:.1f} s", closed.job, closed.message)
        level = logging.INFO if closed.outcome == "ok" else logging.WARNING
        log.log(level, "%s", ", ".join(part for part in said if part), extra=told(closed))
        if self._ended_runs is not None:
            self._ended_runs.append(closed)
        self.parts.attended.after(closed)

    def _written(self, closed: ScheduledRun) -> None:
        """How a run ended is written down: whoever wished for it is told, and what is left of it goes."""
        del self._unwritten[closed.id]
        self.memory.answer_with(closed)
        self.parts.children.forget(closed)

    def _settle(self, run: ScheduledRun, *, alone: bool = False) -> None:
        """Let a run that is over settle its moment, unless that has to be run again."""
        job = self.settings.schedule.jobs.get(run.name)
        if job is None or run.trigger == "manual":
            return
        settles = run
        if run.outcome in planning.UNSEEN:
            if not (alone and run.outcome == "interrupted"):
                if self.parts.ledger.tries(run.name, run.due_at) < planning.TRIES:
                    return
                log.error("%s: %d runs of one moment went down; it waits for the next", run.name, planning.TRIES)
            settles = msgspec.structs.replace(run, outcome="failed")
        moment, known = planning.handled_by(job, settles), self.memory.handled(run.name)
        if moment is not None and (known is None or moment > known):
            self._handle(run.name, moment)

    def _handle(self, name: str, moment: Time) -> None:
        self.memory.handle(name, moment)
        self.parts.timer.again(f"job {name}")

    def _at(self, name: str, job: ScheduledJob, now: Time) -> Time:
        known = self.memory.handled(name)
        at = self.memory.at(name, job, now)
        if at != known:
            self.parts.timer.again(f"job {name}")
        return at

    def _of_others(self) -> list[ScheduledJob]:
        """What somebody else has begun, where we do not watch over it."""
        if self.memory.wishes is None:
            return []
        found = [run for run in self.memory.spooled().values() if run.outcome == "running"]
        others = [run for run in found if run.id not in self.running and self.parts.children.alive(run)]
        return [self.settings.schedule.jobs.get(run.name) or _as_run(run) for run in others]

    def _learn_jobs(self) -> None:
        """Note the jobs that runs have begun, so that whoever comes after us knows."""
        with self._mutex:
            if all(one.run.job for one in self.running.values()):
                return
            begun = self.memory.guarded("the spool of jobs", self.parts.ledger.begun) or {}
            for one in self.running.values():
                job = begun.get((one.run.id, one.run.kind))
                if job is not None and one.ours and one.run.job is None:
                    one.run = msgspec.structs.replace(one.run, job=job)
                    self.memory.write(one.run)

    def _look_at_policies(self) -> None:
        """Those before hold on where the new ones are broken."""
        stamp = self.parts.policies.stamp()
        if stamp == self._stamp and not self._reread:
            return
        self._stamp, self._reread = stamp, False
        self._beat = float("-inf")
        try:
            read = self.parts.policies.read()
        except errors.PolicyError as error:
            self.problem = str(error.problems[0]) if error.problems else error.message
        except errors.Failure as error:
            self.problem = error.message
        else:
            before, self.problem, self.settings = self.jobs, "", read
            for name, job in self.jobs.items():
                if job.enabled and name in before and not before[name].enabled:
                    # What it missed while it was off is not due.
                    self._handle(name, planning.first_handled(job, self.parts.clock.now()))
            self._set_rings(before)
            log.info("the policies were read anew")
        if self.problem:
            log.error("the policies cannot be used, those before hold on: %s", self.problem)

    def _set_rings(self, before: Collection[str]) -> None:
        for name in before:
            self.parts.timer.remove(f"job {name}")
        for name, job in self.jobs.items():
            if job.enabled:
                self.parts.timer.add(f"job {name}", self._ring(name, job), self.consider)

    def _ring(self, name: str, job: ScheduledJob) -> Callable[[Time], Time | None]:
        zone = self.settings.schedule.zone
        return lambda now: planning.rings(job, self.memory.handled(name) or now, now, zone)

    def _give_sign(self, now: Time, *, ended: bool = False) -> None:
        pauses = self.memory.pauses(now)
        coming: dict[str, Time] = {}
        for name, job in self.jobs.items():
            pause = pauses.get(name) or pauses.get("")
            if not job.enabled or (pause is not None and pause.until is None):
                continue
            zone, after = self.settings.schedule.zone, pause.until if pause else None
            handled = self._at(name, job, now)
            at = planning.upcoming(job, handled, now, zone, prune=self.settings.prune, after=after)
            if at is not None:
                coming[name] = at
        heartbeat = Heartbeat(
            pid=self.parts.pid,
            host=self.parts.machine,
            version=self.parts.version,
            started_at=self._started_at,
            beat_at=now,
            policies=str(self.parts.policies.folder),
            in_force=str(self.settings.folder),
            ended_at=now if ended else None,
            problem=self.problem,
            running=tuple(sorted(one.run.name for one in self.running.values())),
            next=coming,
        )
        self.memory.beat(heartbeat)

    def _shown(self, at: Time) -> str:
        return f"{at.astimezone(self.settings.schedule.zone):%Y-%m-%d %H:%M:%S}"


def forward(run: ScheduledRun, line: str) -> None:
    """A line of a child's into our own log: as it is where it is JSON, which says all by itself."""
    if line.startswith("{") and line.endswith("}"):
        forwarded.info("%s", line)
    elif line.strip():
        log.info("%s: %s", run.name, line, extra=told(run))


def told(run: ScheduledRun) -> dict[str, str | None]:
    """What a line of the log says besides its text."""
    return {"run": run.name, "job": run.job}


def _as_run(run: ScheduledRun) -> ScheduledJob:
    """A job that the policies no longer have, as far as its run tells: on all domains, to be on the safe side."""
    return ScheduledJob.model_construct(
        kind=run.kind, target=run.target, every=timedelta(days=1), max_run=timedelta(days=1)
    )
