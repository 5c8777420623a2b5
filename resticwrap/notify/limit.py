"""Calls that have a time limit whatever they wait for: each in a daemon thread, so that none delays the end of `rw`."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resticwrap.errors import Failure
from resticwrap.model.alerts import Delivery


@dataclass(frozen=True)
class Errand:
    """Something to be sent to a channel: `call` raises NotDelivered, `limit` is in seconds."""

    channel: str
    call: Callable[[], None]
    limit: float
    told: int = 0


@dataclass
class _Running:
    began: float
    thread: threading.Thread | None = None
    ended: float | None = None
    error: str | None = None


@dataclass
class Errands:
    """Runs errands side by side. One that outlives its time is left behind; until it has ended, nothing more goes to
    its channel, so that a channel that never answers costs one thread and no more."""

    left: dict[str, threading.Thread] = field(default_factory=dict)

    def run(self, errands: list[Errand]) -> list[Delivery]:
        """Each with what came of it, in their order. Never raises."""
        started = [self._start(errand) for errand in errands]
        return [self._end(errand, running) for errand, running in zip(errands, started, strict=True)]

    def _start(self, errand: Errand) -> _Running | None:
        before = self.left.pop(errand.channel, None)
        if before is not None and before.is_alive():
            self.left[errand.channel] = before
            return None
        running = _Running(time.monotonic())
        running.thread = threading.Thread(
            target=_work, args=(errand, running), name=f"rw-{errand.channel}", daemon=True
        )
        running.thread.start()
        return running

    def _end(self, errand: Errand, running: _Running | None) -> Delivery:
        if running is None or running.thread is None:
            said = "The message before it is still on its way."
            return Delivery(channel=errand.channel, ok=False, told=errand.told, error=said)
        running.thread.join(max(0.0, running.began + errand.limit - time.monotonic()))
        error = running.error
        if error is None:
            self.left[errand.channel] = running.thread
            error = f"It did not answer within {errand.limit:g} s."
        seconds = (running.ended or time.monotonic()) - running.began
        return Delivery(channel=errand.channel, ok=not error, told=errand.told, seconds=round(seconds, 3), error=error)


def _work(errand: Errand, running: _Running) -> None:
    try:
        errand.call()
    except Failure as failure:
        error = failure.message
    except Exception as fault:  # noqa: BLE001 - a client's own fault: its text may hold the URL
        error = f"{type(fault).__name__} while it was sent."
    else:
        error = ""
    running.ended = time.monotonic()
    running.error = error
