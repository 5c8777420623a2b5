"""What the store of an S3 bucket and its administrative side share: botocore's clients, errors, retries."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from resticwrap import errors
from resticwrap.clock import Clock, SystemClock
from resticwrap.model.policy import S3Target
from resticwrap.storage.network import host_of, proxies_for, shown
from resticwrap.storage.retry import TIMEOUTS, Caller, DateHeard, Fault, Place, Repeat, Row, Timeouts
from resticwrap.storage.s3_session import AWS_HOST, S3Session

T = TypeVar("T")

PAGE = 1000
CONNECTIONS = 10
HEAD_CODES = {403: "AccessDenied", 404: "NoSuchKey", 405: "MethodNotAllowed"}

_ROLE_HINT = "Look at `credentials.role_arn`, the role's trust policy, and {key_from}."
_UNREADABLE = Row(
    errors.TargetRefused, "The credentials for the S3 bucket {bucket!r} cannot be read.", "Look at {key_from}."
)
ROWS: Mapping[str, Row] = {
    "AssumeRole.AccessDenied": Row(errors.TargetRefused, "{where} does not let us assume the role {role}.", _ROLE_HINT),
    "AssumeRole.ValidationError": Row(errors.TargetRefused, "{where} does not accept the role {role}.", _ROLE_HINT),
    "NoCredentialsError": Row(
        errors.TargetRefused,
        "There are no credentials for the S3 bucket {bucket!r}: none in the policy, and the machine has none.",
        "Set `credentials` of the target, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    ),
    "ProfileNotFound": Row(
        errors.TargetRefused,
        "There is no profile of that name for the S3 bucket {bucket!r}.",
        "Look at {key_from}, AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE.",
    ),
    "UnreadableCredentials": _UNREADABLE,
    "NotS3": Row(
        errors.TargetUnreachable,
        "{endpoint} answers, but not in the language of S3.",
        "Look at `endpoint` of the target.",
    ),
}


class S3Client:
    """The bucket of an S3 target. `env` stands for the process's environment; `page` is how many objects one request
    lists. Nothing is loaded and nobody is asked before the first call."""

    _administers = False

    def __init__(
        self,
        target: S3Target,
        env: Mapping[str, str],
        *,
        timeouts: Timeouts = TIMEOUTS,
        clock: Clock | None = None,
        page: int = PAGE,
    ) -> None:
        self._target = target
        self._env = env
        self._timeouts = timeouts
        self._clock = clock or SystemClock()
        self._page = page
        self._date = DateHeard()
        self._lock = threading.RLock()
        self._session: S3Session | None = None
        self._made: Any = None
        self._place = _place(target, env)

    def probe(self) -> None:
        """List one object: unlike HEAD, whose answers have no body, this says why it is refused."""
        self._call(
            lambda: self._client().list_objects_v2(Bucket=self._target.bucket, MaxKeys=1),
            repeat=Repeat.NEVER,
        )

    def _call(
        self, call: Callable[[], T], *, repeat: Repeat = Repeat.ALWAYS, key: str = "", place: Place | None = None
    ) -> T:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        caller = Caller(
            place or self._place, (BotoCoreError, ClientError, ResponseParserError), read_fault, self._clock
        )
        return caller(call, repeat=repeat, key=key)

    def _opened(self) -> S3Session:
        """Who we are, found out on the first use."""
        with self._lock:
            if self._session is None:
                self._session = self._call(lambda: S3Session(self._target, self._env, self._timeouts))
            return self._session

    def _client(self) -> Any:
        """The client, made on its first use; it serves any number of threads."""
        with self._lock:
            if self._made is None:
                self._made = self._new_client(administer=self._administers)
            return self._made

    def _new_client(self, *, administer: bool = False) -> Any:
        host = host_of(self._target.endpoint)
        url = None if host == AWS_HOST else self._target.endpoint
        style = "virtual" if lookup(self._target) == "dns" else "path"
        made = self._opened().client(url, style, self._target.connections or CONNECTIONS, administer=administer)
        made.meta.events.register("after-call.s3", self._hear)
        made.meta.events.register("before-send.s3", _send_at_once)
        return made

    def _hear(self, http_response: Any, **_: Any) -> None:
        self._date.hear(http_response.headers)


def read_fault(error: BaseException) -> Fault:
    """What botocore's exception says: status and code of an answer, or the kind of what went wrong before one."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        host = "STS" if error.operation_name.startswith("AssumeRole") else ""
        if code.isdigit():  # an answer to HEAD has no document
            code = HEAD_CODES.get(status_of(error), "") if error.operation_name == "HeadObject" else ""
        return Fault(error, status_of(error), code, error.operation_name, host)
    if isinstance(error, boto.NoCredentialsError):
        return Fault(error, code="NoCredentialsError")
    if isinstance(error, boto.ProfileNotFound):
        return Fault(error, code="ProfileNotFound")
    unreadable = (
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.ConfigParseError,
        boto.ConfigNotFound,
        boto.InvalidConfigError,
        boto.UnauthorizedSSOTokenError,
        boto.SSOError,
        boto.TokenRetrievalError,
        boto.MetadataRetrievalError,
        boto.RefreshWithMFAUnsupportedError,
    )
    if isinstance(error, unreadable):
        return Fault(error, code="UnreadableCredentials")
    if isinstance(error, ResponseParserError):
        return Fault(error, code="NotS3")
    url = str(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    return Fault(error, host=shown(url) if "://" in url else "")


def _send_at_once(request: Any, **_: Any) -> None:
    """No asking first whether a body is welcome: ours are small, and a server that keeps silent costs a second."""
    request.headers.pop("Expect", None)


def status_of(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def lookup(target: S3Target) -> str:
    """How the bucket is named in requests: `dns` in front of the host, or `path`. Both clients are told the same;
    `auto` becomes what restic's own `auto` would be."""
    host = host_of(target.endpoint)
    if target.addressing != "auto":
        return target.addressing
    if host.endswith(".aliyuncs.com"):
        return "dns"
    # A dot in the bucket's name would not be covered by Amazon's certificate.
    amazon = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return "dns" if amazon and "." not in target.bucket else "path"


def _place(target: S3Target, env: Mapping[str, str]) -> Place:
    given = target.credentials
    key, secret, token = "AWS_ACCESS_KEY_ID or the machine's role", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
    if given.access_key_id is not None:
        key = "`credentials.access_key_id` (AWS_ACCESS_KEY_ID)"
        secret = "`credentials.secret_access_key` (AWS_SECRET_ACCESS_KEY)"
        token = "`credentials.session_token` (AWS_SESSION_TOKEN)"
    elif given.profile is not None or env.get("AWS_PROFILE"):
        key = "the profile of AWS_PROFILE" if given.profile is None else f"the profile {given.profile!r}"
        secret, token = f"the secret of {key}", f"the session token of {key}"
    proxy = next(iter(proxies_for(target.endpoint, env).values()), "")
    return Place(
        provider="S3",
        bucket=target.bucket,
        endpoint=shown(target.endpoint),
        region=target.region or "not set",
        key_from=key,
        secret_from=secret,
        token_from=token,
        role=given.role_arn or "",
        proxy=shown(proxy) if proxy else "",
        rows=ROWS,
    )
