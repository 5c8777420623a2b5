"""Messages to people through Apprise. It is imported when the first message is sent, and no sooner.

Neither a URL nor what Apprise says of it goes any further: both may hold a token. Of a refusal only the number of the
HTTP status is taken.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resticwrap.errors import NotDelivered
from resticwrap.model.alerting import Channel
from resticwrap.model.alerts import Delivery
from resticwrap.model.unattended import Severity
from resticwrap.notify.limit import Errand, Errands
from resticwrap.services.alert_ports import Letter

if TYPE_CHECKING:
    from apprise import NotifyBase

TYPES: Mapping[Severity, str] = {"critical": "failure", "warning": "warning", "info": "info"}
"""Apprise's own words for how grave it is."""


class AppriseChannels:
    """The port `Channels` over the channels of the policy."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._errands = Errands()

    def send(self, letters: Sequence[Letter]) -> Sequence[Delivery]:
        return self._errands.run([self._errand(letter) for letter in letters])

    def _errand(self, letter: Letter) -> Errand:
        channel = self._channels[letter.channel]
        url, limit = channel.url.get_secret_value() if channel.url else "", channel.timeout.total_seconds()
        return Errand(letter.channel, lambda: send(url, letter, limit), limit, letter.told)


def send(url: str, letter: Letter, limit: float) -> None:
    """Raises NotDelivered."""
    with _quiet() as statuses:
        from apprise import NotifyType

        service = _service(url, limit)
        kind = NotifyType.SUCCESS if letter.good else NotifyType(TYPES[letter.severity])
        if service.notify(title=letter.title, body=letter.body, notify_type=kind):
            return
    if statuses:
        raise NotDelivered(f"It was refused, with HTTP status {statuses[-1]}.")
    raise NotDelivered("It was not taken: nobody answers there, or the answer makes no sense.")


def _service(url: str, limit: float) -> "NotifyBase":
    """One service of Apprise. Raises NotDelivered for a URL that none takes."""
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="resticwrap", app_desc="resticwrap", app_url="", async_mode=False)
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        raise NotDelivered("Apprise does not take its URL: the kind is not known, or something in it is missing.")
    # Each wait of its own; the whole of it is limited by the errand.
    service.socket_connect_timeout = service.socket_read_timeout = limit
    return service


@contextmanager
def _quiet() -> Iterator[list[int]]:
    """While Apprise works in this thread it logs nowhere, and of what it would have logged the HTTP statuses stay."""
    logger, seen, thread = logging.getLogger("apprise"), list[int](), threading.get_ident()

    def swallow(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        args: Any = record.args if isinstance(record.args, tuple) else ()
        seen.extend(arg for arg in args if type(arg) is int and 100 <= arg <= 599)
        return False

    logger.addFilter(swallow)
    try:
        yield seen
    finally:
        logger.removeFilter(swallow)
