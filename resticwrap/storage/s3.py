"""A bucket that speaks S3, through botocore (the core of boto3); it is made through boto3. Implements Store."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any, BinaryIO, TypeVar

from resticwrap import errors
from resticwrap.clock import Clock, SystemClock
from resticwrap.model.base import Time
from resticwrap.model.policy import S3Target
from resticwrap.ports import ObjectInfo, ResticAccess
from resticwrap.storage.bodies import replayable
from resticwrap.storage.keys import check_key, check_prefix
from resticwrap.storage.network import byte_range, host_of, proxies_for, proxy_env, proxy_secrets, shown
from resticwrap.storage.retry import TIMEOUTS, Caller, DateHeard, Fault, Place, Repeat, Row, Timeouts
from resticwrap.storage.s3_session import AWS_HOST, DEFAULT_REGION, S3Session

T = TypeVar("T")

PAGE = 1000
CONNECTIONS = 10
OWNED = "BucketAlreadyOwnedByYou"

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


class S3Store:
    """The bucket of an S3 target. `env` stands for the process's environment; `page` is how many objects one request
    lists. Nothing is loaded and nobody is asked before the first call."""

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

    def restic_access(self) -> ResticAccess:
        """What restic needs, with credentials as of now."""
        session = self._opened()
        identity = self._call(session.identity, repeat=Repeat.ALWAYS)
        target = self._target
        options = [f"s3.bucket-lookup={_lookup(target)}"]
        if session.region:
            options.append(f"s3.region={session.region}")
        if target.connections is not None:
            options.append(f"s3.connections={target.connections}")
        return ResticAccess(
            base=f"s3:{target.endpoint.rstrip('/')}/{target.bucket}/{target.namespace}",
            options=tuple(options),
            env={**identity.env, **proxy_env(self._env)},
            secrets=identity.secrets + proxy_secrets(self._env),
            ca_file=session.ca_file,
        )

    def probe(self) -> None:
        """List one object: unlike HEAD, whose answers have no body, this says why it is refused."""
        self._call(
            lambda: self._client().list_objects_v2(Bucket=self._target.bucket, MaxKeys=1),
            repeat=Repeat.NEVER,
        )

    def create(self) -> bool:
        """Make the bucket; True when it was not there before."""
        try:
            self.probe()
        except errors.NoRepository:
            pass
        else:
            return False
        region = self._opened().region or DEFAULT_REGION
        # Amazon refuses its first region by name.
        where = {} if region == DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        return self._call(lambda: self._make_bucket(where))

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""
        check_key(key)
        if length == 0:
            return self.get(key, offset, 1)[:0]
        wanted = {} if offset == 0 and length is None else {"Range": byte_range(offset, length)}
        return self._call(lambda: self._get(key, wanted, offset, length), key=key)

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all. With `if_absent`, raises ObjectExists and leaves what is there."""
        check_key(key)
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with replayable(body) as data:
            self._call(
                lambda: self._client().put_object(
                    Bucket=self._target.bucket, Key=key, Body=data.fresh(), ContentMD5=data.md5, **condition
                ),
                repeat=Repeat.UNLESS_DONE if if_absent else Repeat.ALWAYS,
                key=key,
            )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more: dict[str, str] = {}
        while True:
            page = self._list_page(prefix, more)
            for item in page.get("Contents", ()):
                yield ObjectInfo(key=item["Key"], size=item["Size"], modified=item["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        check_key(key)
        try:
            self._call(lambda: self._client().delete_object(Bucket=self._target.bucket, Key=key), key=key)
        except errors.ObjectMissing:
            pass

    def time(self) -> Time | None:
        """The store's own clock, to the second, by one request."""
        return self._date.ask(self.probe)

    def _list_page(self, prefix: str, more: dict[str, str]) -> Any:
        return self._call(
            lambda: self._client().list_objects_v2(
                Bucket=self._target.bucket, Prefix=prefix, MaxKeys=self._page, **more
            )
        )

    def _get(self, key: str, wanted: dict[str, str], offset: int, length: int | None) -> bytes:
        from botocore.exceptions import ClientError

        try:
            answer = self._client().get_object(Bucket=self._target.bucket, Key=key, **wanted)
        except ClientError as error:
            if _status(error) == 416:  # nothing lies that far behind the end
                return b""
            raise
        with answer["Body"] as body:
            data: bytes = body.read()
        if wanted and answer["ResponseMetadata"]["HTTPStatusCode"] == 200:  # the server knows no ranges
            return data[offset:] if length is None else data[offset : offset + length]
        return data

    def _make_bucket(self, where: Mapping[str, Any]) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._new_client(administer=True).create_bucket(Bucket=self._target.bucket, **where)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != OWNED:
                raise
            return False  # somebody of ours was faster
        return True

    def _call(self, call: Callable[[], T], *, repeat: Repeat = Repeat.ALWAYS, key: str = "") -> T:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        caller = Caller(self._place, (BotoCoreError, ClientError, ResponseParserError), read_fault, self._clock)
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
                self._made = self._new_client()
            return self._made

    def _new_client(self, *, administer: bool = False) -> Any:
        host = host_of(self._target.endpoint)
        url = None if host == AWS_HOST else self._target.endpoint
        style = "virtual" if _lookup(self._target) == "dns" else "path"
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
        return Fault(error, _status(error), "" if code.isdigit() else code, error.operation_name, host)
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


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _lookup(target: S3Target) -> str:
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
