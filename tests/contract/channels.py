"""Channels and pings that keep what they are sent, and fail as they are told: for tests of what uses them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from resticwrap.model.alerts import Delivery
from resticwrap.services.alert_ports import Letter, Ping


@dataclass
class FakeChannels:
    """The port `Channels`: `broken` names those that take nothing."""

    sent: list[Letter] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def send(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        good = [letter for letter in letters if letter.channel not in self.broken]
        self.sent += good
        return [
            Delivery(
                channel=one.channel,
                ok=one in good,
                told=one.told,
                error="" if one in good else "It was refused, with HTTP status 500.",
            )
            for one in letters
        ]


@dataclass
class FakePings:
    """The port `Pings`."""

    sent: list[Ping] = field(default_factory=list)
    broken: bool = False

    def send(self, pings: Sequence[Ping]) -> Sequence[Delivery]:
        self.sent += [] if self.broken else pings
        said = "The check answered with HTTP status 500." if self.broken else ""
        return [Delivery(channel=ping.check, ok=not self.broken, error=said) for ping in pings]
