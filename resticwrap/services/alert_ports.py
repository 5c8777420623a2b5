"""What alerts need of the outside: who tells, who is pinged, what the scheduler left, how full disks are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from resticwrap.model.alerts import Delivery
from resticwrap.model.base import Time, Value
from resticwrap.model.unattended import Severity

PingKind = Literal["start", "success", "fail", "log"]


class Letter(Value, frozen=True):
    """One message to one channel. `good`: it tells of nothing but what is over. `told`: of how many states."""

    channel: str
    title: str
    body: str
    severity: Severity
    good: bool = False
    told: int = 0


class Channels(Protocol):
    """Those of the policy, by name."""

    def send(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        """Side by side, each within the time that its channel has; what came of each, in their order. Never raises, and
        an `error` holds neither a URL nor a token."""


class Ping(Value, frozen=True):
    """One ping. `url` is a secret; `check` is what the check is called here, `run` the UUID of the run."""

    check: str
    url: str
    what: PingKind
    body: str = ""
    run: str = ""

    def __repr__(self) -> str:
        return f"Ping(check={self.check!r}, what={self.what!r})"


class Pings(Protocol):
    """Checks as healthchecks.io has them."""

    def send(self, pings: Sequence[Ping]) -> Sequence[Delivery]:
        """As `Channels.send`; `channel` is the name of the check."""


class Beat(Protocol):
    """A sign of life of the scheduler."""

    @property
    def beat_at(self) -> Time: ...

    @property
    def ended_at(self) -> Time | None:
        """None where it did not end by itself."""


class Paused(Protocol):
    """A pause of the schedule."""

    @property
    def until(self) -> Time | None:
        """None: until somebody ends it."""


class Pulse(Protocol):
    """What a scheduler leaves behind."""

    def heartbeat(self) -> Beat | None:
        """None where there never was one."""

    def pauses(self) -> Mapping[str, Paused]:
        """By job; under "" what holds for all of them."""


class Disks(Protocol):
    """This machine's file systems."""

    def used(self, path: Path) -> tuple[float, float]:
        """The shares of bytes and inodes that are taken where a path lies; 0 for inodes that nobody counts. Raises
        OSError."""
