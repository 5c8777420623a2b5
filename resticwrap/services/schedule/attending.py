"""Those who look on: each in a thread of its own, so that none can hold the scheduler up."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.unattended import ScheduledRun
from resticwrap.services.schedule_ports import Attendant

LONGEST_QUEUE = 4096
PARTING_SECONDS = 8.0
"""How long all of them together may take when the scheduler ends; `docker stop` waits for ten."""
log = logging.getLogger(__name__)


class Attended:
    """Tells all attendants what happens. Nothing here raises or waits, but for `end`."""

    def __init__(self, attendants: Iterable[Attendant], *, threads: bool = True) -> None:
        """Without `threads` everybody is told at once, in turn: for simulations."""
        self._desks = [_Desk(one) if threads else _Direct(one) for one in attendants]

    def begin(self) -> None:
        for desk in self._desks:
            desk.tell(desk.attendant.begin)

    def tick(self, now: Time) -> None:
        for desk in self._desks:
            desk.tick(now)

    def after(self, run: ScheduledRun) -> None:
        for desk in self._desks:
            desk.after(run)

    def end(self, seconds: float = PARTING_SECONDS) -> None:
        """Tell everybody, and wait until all have done what they were told, for so long at most."""
        for desk in self._desks:
            desk.tell(desk.attendant.end)
            desk.close()
        limit = threading.Event()
        timer = threading.Timer(seconds, limit.set)
        timer.start()
        for desk in self._desks:
            desk.leave(limit)
        timer.cancel()


class _Direct:
    """Tells at once."""

    def __init__(self, attendant: Attendant) -> None:
        self.attendant = attendant
        self._said = ""

    def tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except errors.Failure as failure:
            self._say(failure.message)
        except Exception as error:  # noqa: BLE001 - a guest never stops the house
            self._say(errors.unforeseen(error).message)
        else:
            self._said = ""

    def _say(self, what: str) -> None:
        if what != self._said:
            log.warning("%s: %s", self.attendant.name, what)
        self._said = what

    def tick(self, now: Time) -> None:
        self.tell(lambda: self.attendant.tick(now))

    def after(self, run: ScheduledRun) -> None:
        self.tell(lambda: self.attendant.after(run))

    def close(self) -> None:
        """Nothing more is told."""

    def leave(self, limit: threading.Event) -> None:
        """Wait until all is done, or until the limit is set."""


class _Desk(_Direct):
    """Tells in a thread of its own."""

    def __init__(self, attendant: Attendant) -> None:
        super().__init__(attendant)
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(LONGEST_QUEUE)
        self._ticking = False
        self._thread = threading.Thread(target=self._work, name=attendant.name, daemon=True)
        self._thread.start()

    def tell(self, call: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(call)
        except queue.Full:
            log.warning("%s is too slow: it is not told of everything any more", self.attendant.name)

    def tick(self, now: Time) -> None:
        if self._ticking or self._queue.full():
            return  # it is not done with the one before

        def call() -> None:
            try:
                self.attendant.tick(now)
            finally:
                self._ticking = False

        self._ticking = True
        self.tell(call)

    def close(self) -> None:
        with contextlib.suppress(queue.Full):  # then it did not keep up in any case, and is left
            self._queue.put_nowait(None)

    def leave(self, limit: threading.Event) -> None:
        while self._thread.is_alive() and not limit.is_set():
            self._thread.join(0.05)
        if self._thread.is_alive():
            log.warning("%s did not end in time", self.attendant.name)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            super().tell(call)
