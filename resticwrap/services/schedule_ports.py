"""What the scheduler needs of the outside: times that it is called at, children that do the work, small files of its
own, and those who attend it: alerts, metrics, pings."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from resticwrap.model.base import Time, Value
from resticwrap.model.schedule import Heartbeat, Pause, RunRequest
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from resticwrap.settings import Settings


class Attendant(Protocol):
    """Somebody who looks on while the scheduler runs. Each has a thread of its own, in which all of this is called, one
    call at a time; the scheduler waits for none of them, but for a few seconds when it ends.

    What one raises is logged and stops nothing. Whoever is still busy when the next tick comes misses that one; no
    `after` is missed, unless thousands of them wait.
    """

    @property
    def name(self) -> str: ...

    def begin(self) -> None:
        """The scheduler has begun."""

    def tick(self, now: Time) -> None:
        """Another minute, or about that; the first one at the very beginning."""

    def after(self, run: ScheduledRun) -> None:
        """A run of the schedule began (`running`), or it ended."""

    def end(self) -> None:
        """The scheduler is about to end: everybody has a few seconds."""


class Timer(Protocol):
    """Calls functions when their time has come, until it is stopped. What a call raises ends nothing."""

    def add(self, name: str, when: Callable[[Time], Time | None], call: Callable[[], None]) -> None:
        """Call at the times that `when` gives, which is told the time and answers with a later one, or with None for
        never. However many times passed while it was not looked, that is one call; there is never a second one while
        one is not over. One of that name is replaced."""

    def again(self, name: str) -> None:
        """Ask `when` anew: what it goes by has changed. One that is not there is no error."""

    def remove(self, name: str) -> None:
        """One that is not there is no error."""

    def run(self) -> None:
        """Call, until `stop`. Returns when no call is going on any more."""

    def stop(self) -> None:
        """May be called from a signal handler, from within a call, and more than once."""


class Ended(Value, frozen=True):
    """How a child ended. `code` is None where nobody saw it, because another scheduler had begun it. `job` and
    `message` are what it said of itself."""

    outcome: RunOutcome
    code: int | None = None
    job: str | None = None
    message: str = ""


class Children(Protocol):
    """Runs of the schedule as processes of their own, which outlive us and are found again by those who come after."""

    def ready(self, run: ScheduledRun) -> ScheduledRun:
        """The run with the lease that its process is going to hold, so that it can be written down before there is
        one. Raises Failure where the state directory cannot be used."""

    def start(self, run: ScheduledRun, command: Sequence[str], limit: float, done: Callable[[Ended], None]) -> None:
        """Run `rw` with these arguments, for `limit` seconds at most, and return at once; then, in another thread,
        `done`. Whatever goes wrong is how it `Ended`; nothing is raised. The run was made `ready`."""

    def adopt(self, run: ScheduledRun, limit: float, done: Callable[[Ended], None]) -> None:
        """Watch one that another scheduler began and that still lives; the rest as `start`. `limit` counts from now.
        One that lives where we cannot reach it is `lost` to us when we end, and `alive` all the same."""

    def alive(self, run: ScheduledRun) -> bool:
        """Whether a run that was begun by whomever still goes on."""

    def left(self, run: ScheduledRun) -> Ended | None:
        """What a run that nobody saw the end of said of itself; None where it said nothing."""

    def forget(self, run: ScheduledRun) -> None:
        """Remove what is left of a run that is over. May be repeated."""

    def tidy(self, open_runs: Collection[str]) -> None:
        """Remove what is left of all runs but these."""

    def interrupt(self) -> None:
        """Ask all of them to end, as Ctrl-C does. Called again, it leaves them two seconds."""

    def wait(self, seconds: float) -> bool:
        """For so long, or until all of them have ended and every `done` has returned; whether they have."""


class Policies(Protocol):
    """The policies, which somebody may change while the scheduler runs."""

    @property
    def folder(self) -> Path:
        """Where somebody edits them."""

    def stamp(self) -> object:
        """Another one whenever a file of theirs has changed. Never raises."""

    def read(self) -> Settings:
        """Those of a copy that stays as it is. Raises PolicyError, and Failure where there can be no copy."""


class ScheduleFiles(Protocol):
    """What the scheduler remembers, as small files of the state directory, each written whole or not at all."""

    def handled(self) -> Mapping[str, Time]:
        """By job, the moment up to which nothing is due any more. Empty where that is not known."""

    def put_handled(self, handled: Mapping[str, Time]) -> None: ...

    def pauses(self) -> Mapping[str, Pause]:
        """By job; under "" what holds for all of them."""

    def put_pauses(self, pauses: Mapping[str, Pause]) -> None: ...

    def heartbeat(self) -> Heartbeat | None: ...

    def put_heartbeat(self, heartbeat: Heartbeat) -> None: ...

    def spool(self, run: ScheduledRun) -> None:
        """Write a run down ahead of the catalogue."""

    def spooled(self) -> Sequence[ScheduledRun]:
        """Those that the catalogue does not have to their end, oldest first."""

    def unspool(self, run_id: str) -> None:
        """One that is not there is no error."""

    def ask(self, request: RunRequest) -> None:
        """Leave a wish, or what became of it."""

    def asked(self) -> Sequence[RunRequest]:
        """All of them, oldest first."""

    def drop(self, request_id: str) -> None:
        """One that is not there is no error."""
