"""Calls at times, by APScheduler."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time

THREADS = 8
POLL_SECONDS = 0.1
BACK = timedelta(seconds=1)
"""A clock that has gone back so far was put back; by less, calls are late by less."""
When = Callable[[Time], Time | None]
log = logging.getLogger(__name__)


class ApTimer:
    """The port `Timer`. APScheduler's own rules for what is late or piles up are all off: `when` has rules of its own,
    and so it is asked for one time after the other."""

    def __init__(self, clock: Clock) -> None:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler
        from apscheduler.triggers.base import BaseTrigger

        class Asked(BaseTrigger):  # type: ignore[misc]
            """A function as a trigger."""

            def __init__(self, when: When) -> None:
                self.when = when

            def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
                del previous, now
                return self.when(clock.now())

        self._trigger: Callable[[When], Any] = Asked
        self._clock = clock
        self._entries: dict[str, tuple[When, Callable[[], None]]] = {}
        self._stopped = False
        # It tells of every call that it leaves out since one is not over.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def add(self, name: str, when: When, call: Callable[[], None]) -> None:
        self._entries[name] = (when, call)
        self._put(name, when, call)

    def again(self, name: str) -> None:
        if entry := self._entries.get(name):
            self._put(name, *entry)

    def remove(self, name: str) -> None:
        from apscheduler.jobstores.base import JobLookupError

        self._entries.pop(name, None)
        try:
            self._scheduler.remove_job(name)
        except JobLookupError:
            return

    def run(self) -> None:
        self._scheduler.start()
        # By looking, not by an event: `stop` may come from a signal handler, which must not wait for the event's lock.
        before = self._clock.now()
        while not self._stopped:
            self._clock.sleep(POLL_SECONDS)
            now = self._clock.now()
            if now < before - BACK:
                # All that APScheduler waits for lies in the future now, as far as the clock was put back.
                for name in list(self._entries):
                    self.again(name)
            before = now
        self._scheduler.shutdown(wait=True)

    def stop(self) -> None:
        self._stopped = True

    def _put(self, name: str, when: When, call: Callable[[], None]) -> None:
        self._scheduler.add_job(_Guarded(call), self._trigger(_later(when)), id=name, name=name, replace_existing=True)


class _Guarded:
    """A call whose fault is logged."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __call__(self) -> None:
        try:
            self._call()
        except errors.Failure as failure:
            log.error("%s", failure.message)
        except Exception as error:  # noqa: BLE001 - a thread has no other edge
            log.error("%s", errors.unforeseen(error).message)


def _later(when: When) -> When:
    """A time that is past would be asked for again at once, for ever."""

    def later(now: Time) -> Time | None:
        at = when(now)
        return None if at is None else max(at, now + timedelta(milliseconds=1))

    return later
