"""Pings as healthchecks.io takes them: one short request to the URL of a check, which is as secret as a password."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import quote, urlsplit, urlunsplit

from resticwrap import __version__
from resticwrap.errors import NotDelivered
from resticwrap.model.alerts import Delivery
from resticwrap.notify.limit import Errand, Errands
from resticwrap.services.alert_ports import Ping

LONGEST = 10_000
"""Bytes of a body that a check keeps."""
ATTEMPTS = 3
AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class HttpPings:
    """The port `Pings`. `limit` is in seconds, for all attempts of a ping together."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._errands = Errands()

    def send(self, pings: Sequence[Ping]) -> Sequence[Delivery]:
        return self._errands.run([self._errand(ping) for ping in pings])

    def _errand(self, ping: Ping) -> Errand:
        return Errand(ping.check, lambda: send(ping, self._limit), self._limit)


class _Again(NotDelivered):
    """What may go better in a moment."""


def send(ping: Ping, limit: float) -> None:
    """Raises NotDelivered, with a reason that does not hold the URL."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception_type(_Again),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.1, max=1),
        reraise=True,
    )
    request = urllib.request.Request(
        address(ping),
        data=ping.body.encode(errors="replace")[:LONGEST],
        headers={"User-Agent": f"resticwrap/{__version__}", "Content-Type": "text/plain; charset=utf-8"},
    )
    for attempt in retrying:
        with attempt:
            _once(request, limit / ATTEMPTS)


def _once(request: urllib.request.Request, limit: float) -> None:
    try:
        with urllib.request.urlopen(request, timeout=limit) as answer:
            answer.read(LONGEST)
    except urllib.error.HTTPError as error:
        kind = _Again if error.code in AGAIN else NotDelivered
        raise kind(f"The check answered with HTTP status {error.code}.") from None
    except TimeoutError:
        raise _Again(f"The check did not answer within {limit:.1f} s.") from None
    except urllib.error.URLError as error:
        why = error.reason.strerror if isinstance(error.reason, OSError) else None
        raise _Again(f"The check was not reached: {why or type(error.reason).__name__}.") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _Again(f"The check's answer makes no sense: {type(error).__name__}.") from None


def address(ping: Ping) -> str:
    """The check's URL with what has happened at the end of its path, and the run that it is about."""
    parts = urlsplit(ping.url)
    path = parts.path.rstrip("/") + ("" if ping.what == "success" else f"/{ping.what}")
    query = "&".join(part for part in (parts.query, f"rid={quote(ping.run)}" if ping.run else "") if part)
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))
