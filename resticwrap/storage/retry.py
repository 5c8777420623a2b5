"""What the buckets share: which faults pass and are tried again, and what each fault is called.

Faults are told apart by HTTP status, the store's error code and the type of the exception; never by their wording.
"""

import enum
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time

T = TypeVar("T")

ATTEMPTS = 3
LAST_START = 8.0
"""No attempt begins later than this many seconds after the first one began."""
WAIT_FIRST, WAIT_MOST = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a connection to come about, and for the next byte to come over it."""

    connect: float = 3.0
    read: float = 20.0


TIMEOUTS = Timeouts()


def timeouts_within(grace: timedelta) -> Timeouts:
    """The usual ones, or less where the policy has less patience with a silent target."""
    seconds = grace.total_seconds()
    return Timeouts(min(TIMEOUTS.connect, seconds), min(TIMEOUTS.read, seconds))


class Repeat(enum.Enum):
    """When a call may be made again."""

    NEVER = enum.auto()
    UNLESS_DONE = enum.auto()
    """Only where the first one cannot have been carried out: a put-if-absent must not meet its own first try."""
    ALWAYS = enum.auto()


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed attempt: `status` 0 and no code where no answer came. `operation` is the client's name for the call
    where one call makes several (`AssumeRole`), and `host` who was spoken to where that is not the store."""

    cause: BaseException
    status: int = 0
    code: str = ""
    operation: str = ""
    host: str = ""

    @property
    def passing(self) -> bool:
        """Whether the same call may well succeed in a moment."""
        if self.code in ROWS and self.code not in PASSING:
            return False
        if self.status or self.code:
            return self.code in PASSING or self.status in (429, 500, 502, 503, 504)
        return not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(self.cause))

    @property
    def not_done(self) -> bool:
        """Whether the store cannot have carried the call out: it said so, or never got it."""
        if self.status:
            return self.status in (429, 503) or self.code == "ConditionalRequestConflict"
        return _unconnected(self.cause)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of errors. The texts may name any field of a Place."""

    kind: type[errors.Failure]
    message: str
    hint: str = ""


PASSING = frozenset(
    "SlowDown ServiceUnavailable InternalError RequestTimeout Throttling ThrottlingException TooManyRequests "
    "RequestThrottled OperationAborted ConditionalRequestConflict "
    "DownloadTrafficRateLimitExceeded UploadTrafficRateLimitExceeded".split()
)
_REGION = "Look at `region` ({region}) and `endpoint` of the target: they must be those of the bucket."
_SECRET = Row(
    errors.TargetRefused,
    "{where} refuses the signature: the secret does not belong to the access key.",
    "Look at {secret_from}.",
)
_UNKNOWN_KEY = Row(errors.TargetRefused, "{where} does not know the access key.", "Look at {key_from}.")
_DENIED = Row(
    errors.TargetRefused,
    "{where} knows the credentials and does not allow this.",
    "Allow the user of {key_from} to list, read, write and delete in the bucket, and look at `endpoint`.",
)
_ENDED = Row(
    errors.TargetRefused, "{where}: the session token has ended.", "Get a new one and set {token_from} with its key."
)
_TOKEN = Row(
    errors.TargetRefused,
    "{where} does not accept the session token.",
    "{token_from} must be the one that came with {key_from}.",
)
_SKEW = Row(
    errors.TargetRefused,
    "{where} refuses requests from a clock that is this far off its own.",
    "Set this machine's clock: timedatectl set-ntp true.",
)
_ELSEWHERE = Row(errors.TargetRefused, "{where} is in another region, or wants another endpoint.", _REGION)
_EXISTS = Row(errors.ObjectExists, "{where} has an object {key!r} already.")
_FULL = Row(errors.DiskFull, "{where} has no room left for us.", "Raise its quota, or remove what is not needed there.")

ROWS: Mapping[str, Row] = {
    "SignatureDoesNotMatch": _SECRET,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "UserDisable": _DENIED,
    "ExpiredToken": _ENDED,
    "ExpiredTokenException": _ENDED,
    "SecurityTokenExpired": _ENDED,
    "TokenRefreshRequired": _ENDED,
    "InvalidToken": _TOKEN,
    "InvalidSecurityToken": _TOKEN,
    "RequestTimeTooSkewed": _SKEW,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "SecondLevelDomainForbidden": Row(
        errors.TargetRefused,
        "{where} wants the bucket in front of its name.",
        "Set `addressing` of the target to dns, or leave it out.",
    ),
    "InvalidBucketName": Row(errors.TargetRefused, "{bucket!r} is no name for a bucket at {endpoint}."),
    "BucketAlreadyExists": Row(
        errors.TargetRefused,
        "The bucket {bucket!r} at {endpoint} belongs to somebody else.",
        "Choose another `bucket`.",
    ),
    "NoSuchBucket": Row(
        errors.NoRepository,
        "There is no bucket {bucket!r} at {endpoint}.",
        "Look at `bucket` of the target; `rw init` makes it.",
    ),
    "NoSuchKey": Row(errors.ObjectMissing, "{where} has no object {key!r}."),
    "NoSuchVersion": Row(errors.ObjectMissing, "{where} has no such version of {key!r}."),
    "PreconditionFailed": _EXISTS,
    "ConditionalRequestConflict": _EXISTS,
    "FileAlreadyExists": _EXISTS,
    "InvalidObjectState": Row(errors.Frozen, "{where}: the object {key!r} is in cold storage and frozen."),
    "QuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "XMinioStorageFull": _FULL,
}

STATUSES: Mapping[int, Row] = {
    301: _ELSEWHERE,
    307: _ELSEWHERE,
    401: _DENIED,
    403: _DENIED,
    409: _EXISTS,
    412: _EXISTS,
    507: _FULL,
    400: Row(errors.TargetRefused, "{where} does not understand us ({answer}).", _REGION),
    404: Row(
        errors.TargetUnreachable,
        "{endpoint} answers, but not as an object store does ({answer}).",
        "Look at `endpoint` of the target.",
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """What the sentences about a bucket may name. The `*_from` say where a credential is set, never what it is."""

    provider: str
    bucket: str
    endpoint: str
    region: str
    key_from: str
    secret_from: str
    token_from: str
    role: str = ""
    proxy: str = ""
    rows: Mapping[str, Row] = field(default_factory=dict)

    def failure(self, fault: Fault, key: str = "") -> errors.Failure:
        """The error for a fault: by operation and code, by code, by status, by the kind of exception."""
        by_code = self.rows.get(f"{fault.operation}.{fault.code}") or self.rows.get(fault.code) or ROWS.get(fault.code)
        row = by_code or (None if fault.passing else STATUSES.get(fault.status))
        if row is None:
            return self._troubled(fault) if fault.status else self._unreachable(fault)
        answer = f"{fault.status} {fault.code}".strip()
        words = {"where": self._where(fault), "answer": answer, "key": key}
        for name in ("bucket", "endpoint", "region", "key_from", "secret_from", "token_from", "role"):
            words[name] = getattr(self, name)
        return row.kind(row.message.format(**words), hint=row.hint.format(**words))

    def _where(self, fault: Fault) -> str:
        return fault.host or f"The {self.provider} bucket {self.bucket!r} at {self.endpoint}"

    def _troubled(self, fault: Fault) -> errors.Failure:
        answer = f"{fault.status} {fault.code}".strip()
        if fault.passing or fault.status >= 500:
            return errors.TargetUnreachable(
                f"{self._where(fault)} is in trouble itself ({answer}).",
                hint="Try again later; look at its own status.",
            )
        return errors.Failure(f"{self._where(fault)} refused the request ({answer}).")

    def _unreachable(self, fault: Fault) -> errors.Failure:
        why, hint = reason(fault.cause)
        way = f" through the proxy {self.proxy}" if self.proxy else ""
        return errors.TargetUnreachable(f"{fault.host or self.endpoint}{way} {why}.", hint=hint)


class Caller:
    """Makes calls to one store: translates what goes wrong, and tries again what passes.

    `caught` are the client's exceptions; `read` makes a Fault of one.
    """

    def __init__(
        self,
        place: Place,
        caught: tuple[type[BaseException], ...],
        read: Callable[[BaseException], Fault],
        clock: Clock,
    ) -> None:
        self._place = place
        self._caught = caught
        self._read = read
        self._clock = clock

    def __call__(self, call: Callable[[], T], *, repeat: Repeat = Repeat.ALWAYS, key: str = "") -> T:
        """What `call` returns. Raises the error of its last attempt."""
        import tenacity

        begun = self._clock.monotonic()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: self._again(error, repeat)),
            stop=lambda state: state.attempt_number >= ATTEMPTS or self._clock.monotonic() - begun > LAST_START,
            wait=tenacity.wait_random_exponential(multiplier=WAIT_FIRST, max=WAIT_MOST),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return attempts(call)
        except self._caught as error:
            # No cause: clients put whole requests into their exceptions, and a request carries the session token.
            raise self._place.failure(self._read(error), key) from None

    def at(self, place: Place) -> "Caller":
        """The same, with other words for what goes wrong."""
        return Caller(place, self._caught, self._read, self._clock)

    def _again(self, error: BaseException, repeat: Repeat) -> bool:
        if repeat is Repeat.NEVER or not isinstance(error, self._caught):
            return False
        fault = self._read(error)
        return fault.passing and (repeat is Repeat.ALWAYS or fault.not_done)


class DateHeard:
    """The store's clock, out of the `Date` header of its newest answer."""

    def __init__(self) -> None:
        self.last: Time | None = None

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take the date of an answer; one that is missing or malformed is no news."""
        value = headers.get("date") or headers.get("Date")
        if not value:
            return
        try:
            heard = parsedate_to_datetime(value)
        except ValueError:
            return
        self.last = heard.replace(tzinfo=UTC) if heard.tzinfo is None else heard.astimezone(UTC)

    def ask(self, probe: Callable[[], None]) -> Time | None:
        """The clock now, by one probe. A refusal has a date too, and a wrong clock is a common reason for one."""
        self.last = None
        try:
            probe()
        except (errors.TargetRefused, errors.NoRepository):
            if self.last is None:
                raise
        return self.last


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything that it was made of: the clients wrap those of urllib3, which wrap the system's."""
    waiting, seen = [error], set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, *current.args]
        inner += [getattr(current, name, None) for name in ("reason", "exception")]
        inner += list(getattr(current, "kwargs", {}).values())
        waiting += [found for found in inner if isinstance(found, BaseException)]


def reason(error: BaseException) -> tuple[str, str]:
    """Why no answer came, to stand behind the name of the host, and what to look at."""
    import urllib3.exceptions as http

    table: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
        (
            (ssl.SSLCertVerificationError,),
            "shows a certificate that is not trusted",
            "If your own authority signed it, set `ca_file` of the target to its certificate.",
        ),
        (
            (ssl.SSLError, http.SSLError),
            "does not speak TLS with us",
            "Look at `endpoint` of the target: https where the store speaks https, and its port.",
        ),
        ((http.NameResolutionError,), "cannot be found by its name", "Look at `endpoint` of the target, and at DNS."),
        ((http.ProxyError,), "cannot be reached", "Look at HTTP_PROXY, HTTPS_PROXY and NO_PROXY."),
        ((ConnectionRefusedError,), "refuses the connection", "Is the server up? Look at `endpoint` of the target."),
        (
            (TimeoutError, http.TimeoutError),
            "does not answer in time",
            "Look at the network, the firewall, and `endpoint` of the target.",
        ),
    )
    found = list(causes(error))
    for kinds, why, hint in table:
        if any(isinstance(cause, kinds) for cause in found):
            return why, hint
    return "broke the connection", "Look at the network and the server, then try again."


def _unconnected(error: BaseException) -> bool:
    """Whether the connection never came about."""
    import urllib3.exceptions as http

    kinds = (ConnectionRefusedError, ssl.SSLCertVerificationError, http.NewConnectionError, http.NameResolutionError)
    return any(isinstance(cause, (*kinds, http.ConnectTimeoutError)) for cause in causes(error))
