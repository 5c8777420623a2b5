"""What the store of an OSS bucket and its administrative side share: oss2's bucket, errors, retries.

oss2 is superseded by alibabacloud-oss-v2; all that the rest of the project sees of it is what is built on this class.
"""

import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

from resticwrap import errors
from resticwrap.clock import Clock, SystemClock
from resticwrap.model.policy import OssTarget
from resticwrap.storage.network import certificates, host_of, is_plain_address, proxies_for, shown
from resticwrap.storage.retry import TIMEOUTS, Caller, DateHeard, Fault, Place, Repeat, Row, Timeouts

PAGE = 1000
NOT_OSS = "NotOss"
ROWS: Mapping[str, Row] = {
    NOT_OSS: Row(
        errors.TargetUnreachable,
        "{endpoint} answers, but not in the language of OSS.",
        "Look at `endpoint` of the target.",
    ),
}


class OssClient:
    """The bucket of an OSS target. `env` stands for the process's environment; `page` is how many objects one request
    lists. Raises Failure where oss2 is not installed, UsageError where no region is known, or where bucket or endpoint
    are no such names."""

    def __init__(
        self,
        target: OssTarget,
        env: Mapping[str, str],
        *,
        timeouts: Timeouts = TIMEOUTS,
        clock: Clock | None = None,
        page: int = PAGE,
    ) -> None:
        self._oss2 = _load()
        self._target = target
        self._env = env
        self._page = page
        self._date = DateHeard()
        self._region = signing_region(target)
        self._ca_file = certificates(target.ca_file, env, "SSL_CERT_FILE")
        self._place = _place(target, env, self._region)
        caught = _caught(self._oss2)
        self._caller = Caller(self._place, caught, self._read_fault, clock or SystemClock())
        try:
            self._bucket = self._connect(self._oss2.Bucket, timeouts)
        except self._oss2.exceptions.ClientError:
            raise errors.UsageError(
                f"OSS has no buckets like {target.bucket!r} or endpoints like {self._place.endpoint}.",
                hint="A bucket's name has no dots; an endpoint is a host name or an IPv4 address.",
            ) from None

    def probe(self) -> None:
        """List one object, which is all that a user must be allowed for it."""
        self._caller(lambda: self._bucket.list_objects_v2(max_keys=1), repeat=Repeat.NEVER)

    def _connect(self, kind: type[Any], timeouts: Timeouts) -> Any:
        """oss2's bucket or a `kind` of it, over a session of our own that reads nothing out of `os.environ` or a
        `.netrc`."""
        oss2, target, given = self._oss2, self._target, self._target.credentials
        key, secret = given.access_key_id.get_secret_value(), given.access_key_secret.get_secret_value()
        if given.security_token is None:
            auth = oss2.AuthV4(key, secret)
        else:
            auth = oss2.StsAuth(key, secret, given.security_token.get_secret_value(), auth_version="v4")
        session = oss2.Session(pool_size=target.connections)
        session.session.trust_env = False
        session.session.verify = str(self._ca_file) if self._ca_file is not None else True
        session.session.hooks["response"].append(lambda answer, *_, **__: self._date.hear(answer.headers))
        return kind(
            auth,
            target.endpoint,
            target.bucket,
            session=session,
            connect_timeout=(timeouts.connect, timeouts.read),
            # Its crc64 is 40 times slower than TLS where crcmod was installed without a compiler. Uploads carry an
            # MD5 instead, and what is read is checked against its digest by those who read it.
            enable_crc=False,
            proxies=proxies_for(target.endpoint, self._env),
            region=self._region,
            is_path_style=by_path(target),
        )

    def _read_fault(self, error: BaseException) -> Fault:
        """What oss2's exception says. Its own ones, with a negative status, never had an answer."""
        status = int(getattr(error, "status", 0) or 0)
        if isinstance(error, self._oss2.exceptions.ServerError):
            return Fault(error, status, str(error.code or ""))
        unreadable = (self._oss2.exceptions.OssError, SyntaxError)
        if isinstance(error, unreadable) and not isinstance(error, self._oss2.exceptions.RequestError):
            return Fault(error, code=NOT_OSS)
        return Fault(error)


def signing_region(target: OssTarget) -> str:
    """The region as V4 signs it: `cn-hangzhou`, whether the policy or the endpoint names it, with `oss-` or without.

    Raises UsageError where neither does.
    """
    named = re.fullmatch(r"(?:.+\.)?oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com", host_of(target.endpoint))
    region = target.region or (named.group(1) if named else "")
    if not region:
        raise errors.UsageError(
            f"The OSS target needs `region`: its endpoint {shown(target.endpoint)} does not name one.",
            hint="Set `region` of the target (OSS_REGION), such as cn-hangzhou.",
        )
    return region.removeprefix("oss-").removesuffix("-internal")


def by_path(target: OssTarget) -> bool:
    """Whether the bucket goes into the path, which the real OSS refuses and plain addresses need."""
    if target.addressing == "auto":
        return is_plain_address(host_of(target.endpoint))
    return target.addressing == "path"


def _load() -> Any:
    """The module. Raises Failure where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was written for older Pythons and has them complain when compiled
            import oss2
    except ImportError as error:
        raise errors.Failure(
            "OSS targets need oss2, which is not installed.", hint="pip install 'resticwrap[oss]'"
        ) from error
    # One warning for each signature, from Python 3.12 on.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"oss2\.auth")
    # Its log holds whole requests, with the token in them.
    if logging.getLogger("oss2").level == logging.NOTSET:
        logging.getLogger("oss2").setLevel(logging.WARNING)
    return oss2


def _caught(oss2: Any) -> tuple[type[BaseException], ...]:
    """What its calls raise: its own, those of requests while a body is read, and those of its XML parser."""
    import requests

    return (oss2.exceptions.OssError, requests.RequestException, SyntaxError)


def _place(target: OssTarget, env: Mapping[str, str], region: str) -> Place:
    proxy = next(iter(proxies_for(target.endpoint, env).values()), "")
    return Place(
        provider="OSS",
        bucket=target.bucket,
        endpoint=shown(target.endpoint),
        region=region,
        key_from="`credentials.access_key_id` (OSS_ACCESS_KEY_ID)",
        secret_from="`credentials.access_key_secret` (OSS_ACCESS_KEY_SECRET)",
        token_from="`credentials.security_token` (OSS_SECURITY_TOKEN)",
        proxy=shown(proxy) if proxy else "",
        rows=ROWS,
    )
