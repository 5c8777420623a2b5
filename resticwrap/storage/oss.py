"""An Alibaba Cloud OSS bucket in its own dialect, through oss2. Implements Store.

oss2 is superseded by alibabacloud-oss-v2; all that the rest of the project sees of it is this class.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

from resticwrap import errors
from resticwrap.clock import Clock, SystemClock
from resticwrap.model.base import Time
from resticwrap.model.policy import OssTarget
from resticwrap.ports import ObjectInfo, ResticAccess
from resticwrap.storage.bodies import replayable
from resticwrap.storage.keys import check_key, check_prefix
from resticwrap.storage.network import (
    byte_range,
    certificates,
    host_of,
    is_plain_address,
    proxies_for,
    proxy_env,
    proxy_secrets,
    shown,
)
from resticwrap.storage.retry import TIMEOUTS, Caller, DateHeard, Fault, Place, Repeat, Row, Timeouts

PAGE = 1000
FORBID_OVERWRITE = "x-oss-forbid-overwrite"
NOT_OSS = "NotOss"
ROWS: Mapping[str, Row] = {
    NOT_OSS: Row(
        errors.TargetUnreachable,
        "{endpoint} answers, but not in the language of OSS.",
        "Look at `endpoint` of the target.",
    ),
}


class OssStore:
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
            self._bucket = self._connect(timeouts)
        except self._oss2.exceptions.ClientError:
            raise errors.UsageError(
                f"OSS has no buckets like {target.bucket!r} or endpoints like {self._place.endpoint}.",
                hint="A bucket's name has no dots; an endpoint is a host name or an IPv4 address.",
            ) from None

    def restic_access(self) -> ResticAccess:
        """What restic needs. It speaks OSS's S3 dialect, where the region has its `oss-` in front."""
        target, given = self._target, self._target.credentials
        lookup = "path" if _by_path(target) else "dns"  # never auto: a domain of one's own would not be recognised
        options = [f"s3.bucket-lookup={lookup}", f"s3.region=oss-{self._region}"]
        if target.connections is not None:
            options.append(f"s3.connections={target.connections}")
        env = {
            "AWS_ACCESS_KEY_ID": given.access_key_id.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": given.access_key_secret.get_secret_value(),
        }
        secrets = [given.access_key_secret.get_secret_value()]
        if given.security_token is not None:
            env["AWS_SESSION_TOKEN"] = given.security_token.get_secret_value()
            secrets.append(given.security_token.get_secret_value())
        return ResticAccess(
            base=f"s3:{target.endpoint.rstrip('/')}/{target.bucket}/{target.namespace}",
            options=tuple(options),
            env={**env, **proxy_env(self._env)},
            secrets=(*secrets, *proxy_secrets(self._env)),
            ca_file=self._ca_file,
        )

    def probe(self) -> None:
        """List one object, which is all that a user must be allowed for it."""
        self._caller(lambda: self._bucket.list_objects_v2(max_keys=1), repeat=Repeat.NEVER)

    def create(self) -> bool:
        """Make the bucket; True when it was not there before."""
        try:
            self.probe()
        except errors.NoRepository:
            pass
        else:
            return False
        self._caller(self._bucket.create_bucket)
        return True

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""
        check_key(key)
        if length == 0:
            return self.get(key, offset, 1)[:0]
        # `standard`: otherwise a range behind the end is answered with the whole object.
        ranged = offset != 0 or length is not None
        wanted = {"Range": byte_range(offset, length), "x-oss-range-behavior": "standard"} if ranged else {}
        return self._caller(lambda: self._get(key, wanted, offset, length), key=key)

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all. With `if_absent`, raises ObjectExists and leaves what is there."""
        check_key(key)
        with replayable(body) as data:
            headers = {"Content-MD5": data.md5, "Content-Type": "application/octet-stream"}
            if if_absent:
                headers[FORBID_OVERWRITE] = "true"
            self._caller(
                lambda: self._bucket.put_object(key, data.fresh(), headers=headers),
                repeat=Repeat.UNLESS_DONE if if_absent else Repeat.ALWAYS,
                key=key,
            )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more = ""
        while True:
            page = self._list_page(prefix, more)
            for item in page.object_list:
                modified = datetime.fromtimestamp(item.last_modified, UTC)
                yield ObjectInfo(key=item.key, size=item.size, modified=modified)
            if not page.is_truncated:
                return
            more = page.next_continuation_token

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        check_key(key)
        try:
            self._caller(lambda: self._bucket.delete_object(key), key=key)
        except errors.ObjectMissing:
            pass

    def time(self) -> Time | None:
        """The store's own clock, to the second, by one request."""
        return self._date.ask(self.probe)

    def _list_page(self, prefix: str, more: str) -> Any:
        return self._caller(
            lambda: self._bucket.list_objects_v2(prefix=prefix, continuation_token=more, max_keys=self._page)
        )

    def _get(self, key: str, wanted: dict[str, str], offset: int, length: int | None) -> bytes:
        try:
            answer = self._bucket.get_object(key, headers=wanted)
        except self._oss2.exceptions.ServerError as error:
            if error.status == 416:  # nothing lies that far behind the end
                return b""
            raise
        data: bytes = answer.read()
        if wanted and answer.status == 200:  # the server took the range for a wrong one
            return data[offset:] if length is None else data[offset : offset + length]
        return data

    def _connect(self, timeouts: Timeouts) -> Any:
        """oss2's bucket over a session of our own, which reads nothing out of `os.environ` or a `.netrc`."""
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
        return oss2.Bucket(
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
            is_path_style=_by_path(target),
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


def _by_path(target: OssTarget) -> bool:
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
