"""Runs of the schedule as processes: `rw` itself, started anew for each, so that nothing of one reaches another.

A child outlives the scheduler that began it. So it holds a lease, writes what it says into files, and its pid before it
begins; whoever comes after finds all of that by the run's id.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.clock import Clock
from resticwrap.host.locks import FlockLocks, make_private
from resticwrap.model.base import Value, from_json
from resticwrap.model.fields import format_duration
from resticwrap.model.job import ErrorInfo
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.ports import Lease, LeaseInfo
from resticwrap.services.schedule_ports import Ended

LEASES = "schedule"
SCRIPT = 'echo $$ >"$0.pid" && exec "$@" >"$0.out" 2>"$0.err"'
"""Our child becomes `rw` after it has said who it is, so there is no moment at which one works that nobody knows."""
GRACE = 40.0
"""Seconds: twice what `rw` itself gives its restic to clean up."""
HASTE = 2.0
POLL_SECONDS = 0.5
TAIL_BYTES = 1 << 20
STOPPED = "It was stopped with the scheduler."
UNSEEN = "It ended while no scheduler was there, and left no word."
ELSEWHERE = "It goes on in another container, where it cannot be stopped from here."
OUTCOMES: Mapping[str, RunOutcome] = {
    "ok": "ok",
    "partial": "partial",
    "failed": "failed",
    "interrupted": "interrupted",
}
Say = Callable[[ScheduledRun, str], None]


class _SaidDomain(Value, frozen=True):
    error: ErrorInfo | None = None


class _SaidJob(Value, frozen=True):
    id: str
    outcome: str
    error: ErrorInfo | None = None
    domains: tuple[_SaidDomain, ...] = ()


class _Said(Value, frozen=True):
    """What every `--json` document of a job has in common."""

    job: _SaidJob | None = None
    error: ErrorInfo | None = None


class RunChildren:
    """The port `Children` on this machine."""

    def __init__(
        self,
        folder: Path,
        locks: FlockLocks,
        env: Mapping[str, str],
        clock: Clock,
        *,
        outcome: Callable[[int], RunOutcome],
        variable: str,
        say: Say,
        rw: Sequence[str] = (),
    ) -> None:
        """`outcome` is what an exit code means; `variable` tells a child its run's id; `say` gets each line of its
        stderr. `rw` is the command, this very program where it is empty."""
        self._folder, self._locks, self._env, self._clock = folder, locks, env, clock
        self._outcome, self._variable, self._say = outcome, variable, say
        self._rw = [*rw] or [sys.executable, "-P", "-m", "resticwrap"]
        self._leases: dict[str, Lease] = {}
        self._pids: dict[str, int] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._cancel, self._haste = Cancel(), Cancel()
        self._mutex = threading.Lock()

    def ready(self, run: ScheduledRun) -> ScheduledRun:
        make_private(self._folder)
        lease = self._leases[run.id] = self._locks.lease(LEASES)
        return msgspec.structs.replace(run, lease=lease.name)

    def start(self, run: ScheduledRun, command: Sequence[str], limit: float, done: Callable[[Ended], None]) -> None:
        self._begin(run, lambda: self._run(run, command, limit), done)

    def adopt(self, run: ScheduledRun, limit: float, done: Callable[[Ended], None]) -> None:
        self._begin(run, lambda: self._watch(run, limit), done)

    def alive(self, run: ScheduledRun) -> bool:
        return self._held(run) is not None

    def left(self, run: ScheduledRun) -> Ended | None:
        said = self._said(run)
        if said is None:
            return None
        outcome: RunOutcome = "ok"
        if said.error is not None:
            outcome = self._outcome(said.error.exit_code)
        elif said.job is not None:
            outcome = OUTCOMES.get(said.job.outcome, "lost")
        code = said.error.exit_code if said.error else None
        return Ended(outcome=outcome, code=code, job=_job(said), message=_message(said))

    def forget(self, run: ScheduledRun) -> None:
        if lease := self._leases.pop(run.id, None):
            lease.remove()
        for end in (".pid", ".out", ".err"):
            with contextlib.suppress(OSError):
                self._file(run, end).unlink(missing_ok=True)

    def tidy(self, open_runs: Collection[str]) -> None:
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                if file.stem not in open_runs and file.stem not in self._leases:
                    file.unlink(missing_ok=True)

    def interrupt(self) -> None:
        if self._cancel.is_set:
            self._haste.set()
            threading.Timer(HASTE, self._kill).start()
        self._cancel.set()

    def wait(self, seconds: float) -> bool:
        until = self._clock.monotonic() + seconds
        while threads := self._busy():
            left = until - self._clock.monotonic()
            if left <= 0:
                return False
            threads[0].join(min(left, POLL_SECONDS))
        return True

    def _busy(self) -> list[threading.Thread]:
        with self._mutex:
            return list(self._threads.values())

    def _kill(self) -> None:
        for pid in list(self._pids.values()):
            _signal(pid, signal.SIGKILL)

    def _begin(self, run: ScheduledRun, work: Callable[[], Ended], done: Callable[[Ended], None]) -> None:
        def all_of_it() -> None:
            try:
                try:
                    ended = work()
                except errors.Failure as failure:
                    ended = Ended(outcome="failed", message=failure.message)
                except Exception as error:  # noqa: BLE001 - a thread has no other edge
                    ended = Ended(outcome="failed", message=errors.unforeseen(error).message)
                done(ended)
            finally:
                with self._mutex:
                    del self._threads[run.id]

        thread = threading.Thread(target=all_of_it, name=f"run {run.name}", daemon=True)
        with self._mutex:
            self._threads[run.id] = thread
        thread.start()

    def _run(self, run: ScheduledRun, command: Sequence[str], limit: float) -> Ended:
        lease = self._leases[run.id]
        tail = _Tail(self._file(run, ".err"), lambda line: self._say(run, line))

        def started(pid: int) -> None:
            self._pids[run.id] = pid
            lease.started(pid)
            lease.close()  # the child alone holds it from here on

        try:
            code = process.run(
                ["/bin/sh", "-c", SCRIPT, str(self._file(run, "")), *self._rw, *command],
                env={**self._env, self._variable: run.id},
                timeout=limit,
                pass_fds=[lease.fd],
                cancel=self._cancel,
                clock=self._clock,
                grace=GRACE,
                on_start=started,
                on_tick=tail.read,
            ).code
        except errors.Interrupted:
            return self._stopped(run)
        except errors.DeadlineExceeded:
            return self._overran(run, limit)
        finally:
            self._pids.pop(run.id, None)
            tail.end()
        said = self._said(run) or _Said()
        message = _message(said)
        if code < 0:
            message = f"It was ended by {signal.Signals(-code).name}."
        elif code and not message:
            message = tail.last or f"It exited {code} and said nothing."
        return Ended(outcome=self._outcome(code), code=code, job=_job(said), message=message)

    def _watch(self, run: ScheduledRun, limit: float) -> Ended:
        """Until its lease is free. A signal is sent only while it is held, and not into another container: else the
        pid may be somebody else's. One that cannot be reached is not waited for when we are to end."""
        tail = _Tail(self._file(run, ".err"), lambda line: self._say(run, line))
        until = self._clock.monotonic() + limit
        asked: float | None = None
        overran = False
        while (lease := self._held(run)) is not None:
            now, pid = self._clock.monotonic(), self._pid(run) if lease.near else None
            if pid is None and self._cancel.is_set:
                return Ended(outcome="lost", message=ELSEWHERE)
            if asked is None and (self._cancel.is_set or now > until):
                overran, asked = not self._cancel.is_set, now
                _signal(pid, signal.SIGINT)
            elif asked is not None and now > asked + (HASTE if self._haste.is_set else GRACE):
                _signal(pid, signal.SIGKILL)
            self._clock.sleep(POLL_SECONDS)
            tail.read()
        tail.end()
        if overran:
            return self._overran(run, limit)
        if asked is not None:
            return self._stopped(run)
        return self.left(run) or Ended(outcome="lost", message=UNSEEN)

    def _stopped(self, run: ScheduledRun) -> Ended:
        return self.left(run) or Ended(outcome="interrupted", message=STOPPED)

    def _overran(self, run: ScheduledRun, limit: float) -> Ended:
        said = self._said(run)
        shown = format_duration(timedelta(seconds=round(limit)))
        message = f"It was stopped after {shown}, which is the most that it may take (max_run)."
        return Ended(outcome="overran", job=_job(said) if said else None, message=message)

    def _held(self, run: ScheduledRun) -> LeaseInfo | None:
        """The lease of a run that goes on."""
        return next((one for one in self._locks.leases(LEASES) if one.name == run.lease and one.held), None)

    def _said(self, run: ScheduledRun) -> _Said | None:
        """None where there is no whole document."""
        try:
            return from_json(_Said, self._file(run, ".out").read_bytes())
        except (OSError, ValueError):
            return None

    def _pid(self, run: ScheduledRun) -> int | None:
        try:
            return int(self._file(run, ".pid").read_text())
        except (OSError, ValueError):
            return None

    def _file(self, run: ScheduledRun, end: str) -> Path:
        return self._folder / f"{run.id}{end}"


class _Tail:
    """Reads on in a file that somebody else writes, line by line; `last` is the last line that held anything."""

    def __init__(self, file: Path, sink: Callable[[str], None]) -> None:
        self._file, self._sink = file, sink
        self._at = 0
        self.last = ""

    def read(self) -> None:
        """The lines that are whole."""
        data = self._more()
        self._tell(data if len(data) == TAIL_BYTES and b"\n" not in data else data[: data.rfind(b"\n") + 1])

    def end(self) -> None:
        """All the rest."""
        while data := self._more():
            self._tell(data)

    def _more(self) -> bytes:
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._at)
                return stream.read(TAIL_BYTES)
        except OSError:
            return b""

    def _tell(self, data: bytes) -> None:
        self._at += len(data)
        for line in data.decode("utf-8", "replace").splitlines():
            self.last = line.strip() or self.last
            self._sink(line)


def _job(said: _Said) -> str | None:
    return said.job.id if said.job else None


def _message(said: _Said) -> str:
    """The sentence that says what went wrong; empty where nothing did."""
    told: list[ErrorInfo | None] = [said.error]
    if said.job is not None:
        told += [said.job.error, *(domain.error for domain in said.job.domains)]
    return next((error.message for error in told if error), "")


def _signal(pid: int | None, number: int) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
