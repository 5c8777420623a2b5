"""What a scheduler remembers: what was run last, what is paused, what somebody wishes. A state directory that fails for
a while (a full disk) is told of once, and asked again the next time."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.policy import ScheduledJob
from resticwrap.model.schedule import Heartbeat, Pause, RunRequest
from resticwrap.model.unattended import ScheduledRun
from resticwrap.planning import schedule as planning
from resticwrap.services.schedule.ledger import Ledger

KEPT = timedelta(hours=1)
"""How long the answer to a wish waits to be read."""
log = logging.getLogger(__name__)
T = TypeVar("T")


class Memory:
    """Of one scheduler. `wishes`: those of a caller; None: those that lie in the state directory."""

    def __init__(self, ledger: Ledger, wishes: list[RunRequest] | None = None) -> None:
        self._ledger, self._files = ledger, ledger.files
        self.wishes = wishes
        self._handled: dict[str, Time] = {}
        self._said: dict[str, str] = {}

    def begin(self) -> None:
        """Read what was run last."""
        self._handled = dict(self.guarded("what was run last", self._files.handled) or {})

    def handled(self, name: str) -> Time | None:
        return self._handled.get(name)

    def at(self, name: str, job: ScheduledJob, now: Time) -> Time:
        """Up to when nothing of a job is due: as remembered here, else in the catalogue, else as for the first time."""
        known = self._handled.get(name)
        if known is None:
            last = self._ledger.last(name)
            known = (last and planning.handled_by(job, last)) or planning.first_handled(job, now)
            self.handle(name, known)
        believed = planning.believed(job, known, now)
        if believed != known:
            log.warning("%s: the clock was put back; it is counted from now on", name)
            self.handle(name, believed)
        return believed

    def handle(self, name: str, moment: Time) -> None:
        self._handled[name] = moment
        self.guarded("what was run last", lambda: self._files.put_handled(self._handled))

    def pauses(self, now: Time) -> Mapping[str, Pause]:
        """Those that hold."""
        return holding(self.guarded("pauses", self._files.pauses) or {}, now)

    def requests(self, names: Collection[str], now: Time) -> Iterator[RunRequest]:
        """Wishes that nobody has seen to yet; answers that nobody has read for long are dropped."""
        if self.wishes is not None:
            yield from self.wishes
            return
        for request in self.guarded("wishes", self._files.asked) or ():
            over = request.refused or (request.run is not None and request.run.outcome != "running")
            if over and request.at < now - KEPT:
                self._drop(request.id)
            elif not over and request.run is None and request.name in names:
                yield request
            elif not over and request.run is None:
                self.answer(msgspec.structs.replace(request, refused=f"There is no job {request.name!r}."))

    def answer(self, request: RunRequest) -> None:
        """Tell whoever wished what became of it."""
        if self.wishes is None:
            self.guarded("wishes", lambda: self._files.ask(request))
        else:
            self.wishes = [one for one in self.wishes if one.id != request.id]

    def answer_with(self, run: ScheduledRun) -> None:
        """The same, where this run is what became of it."""
        for request in self.guarded("wishes", self._files.asked) or ():
            if request.run is not None and request.run.id == run.id:
                self.answer(msgspec.structs.replace(request, run=run))

    def spooled(self) -> Mapping[str, ScheduledRun]:
        """By id, the runs that the catalogue does not have to their end."""
        return {run.id: run for run in self.guarded("the spool", self._files.spooled) or ()}

    def write(self, run: ScheduledRun) -> bool:
        """Write a run down; False where it could not be."""

        def write() -> bool:
            self._ledger.write(run)
            return True

        return bool(self.guarded(run.name, write))

    def beat(self, heartbeat: Heartbeat) -> None:
        self.guarded("the sign of life", lambda: self._files.put_heartbeat(heartbeat))

    def why(self, what: str) -> str:
        """What failed last of it; empty where nothing did."""
        return self._said.get(what, "")

    def guarded(self, what: str, call: Callable[[], T]) -> T | None:
        """What `call` returns; None where it fails."""
        try:
            found = call()
        except errors.Failure as failure:
            if self._said.get(what) != failure.message:
                log.error("%s: %s", what, failure.message)
            self._said[what] = failure.message
            return None
        self._said.pop(what, None)
        return found

    def _drop(self, request_id: str) -> None:
        self.guarded("wishes", lambda: self._files.drop(request_id))


def holding(pauses: Mapping[str, Pause], now: Time) -> dict[str, Pause]:
    """Those that have not ended by themselves."""
    return {name: pause for name, pause in pauses.items() if pause.until is None or pause.until > now}
