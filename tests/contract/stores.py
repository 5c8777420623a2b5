"""Makes the stores under test, right and wrong ones; and the one fake, an STS that issues what it is told to."""

import http.server
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from resticwrap.clock import Clock
from resticwrap.model.policy import OssCredentials, OssTarget, S3Credentials, S3Target
from resticwrap.ports import TargetStore
from resticwrap.storage.local import LocalStore
from resticwrap.storage.oss import OssStore
from resticwrap.storage.retry import Timeouts
from resticwrap.storage.s3 import S3Store
from tests.servers.oss import OssServer
from tests.servers.weed import S3Server

QUICK = Timeouts(connect=1.0, read=1.0)


class StoreKit(Protocol):
    """Makes stores on one bucket, or folder, that is not there at first."""

    name: str

    def store(self) -> TargetStore:
        """As it should be, listing few objects a page."""


class BucketKit(StoreKit, Protocol):
    """As StoreKit, and wrong ones."""

    def with_keys(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> TargetStore:
        """With other credentials."""

    def at(self, endpoint: str, *, env: Mapping[str, str] | None = None, **keys: Any) -> TargetStore:
        """At another endpoint."""


@dataclass
class LocalKit:
    path: Path
    name: str = "local"

    def store(self) -> TargetStore:
        return LocalStore(self.path)


@dataclass
class S3Kit:
    server: S3Server
    bucket: str
    name: str = "s3"

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def store(self) -> TargetStore:
        return self.with_keys()

    def with_keys(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> TargetStore:
        return S3Store(self.target(self.keys(key, secret, token)), {}, page=7)

    def at(self, endpoint: str, *, env: Mapping[str, str] | None = None, **keys: Any) -> TargetStore:
        return S3Store(self.target(self.keys(), endpoint=endpoint), env or {}, **keys)

    def keys(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> S3Credentials:
        return S3Credentials(
            access_key_id=SecretStr(key or self.server.access_key),
            secret_access_key=SecretStr(secret or self.server.secret_key),
            session_token=SecretStr(token) if token else None,
        )

    def target(self, credentials: S3Credentials, **more: Any) -> S3Target:
        more = {"endpoint": self.server.endpoint, "region": self.server.region, **more}
        return S3Target(provider="s3", bucket=self.bucket, credentials=credentials, **more)


@dataclass
class OssKit:
    server: OssServer
    bucket: str
    name: str = "oss"

    @property
    def endpoint(self) -> str:
        return self.server.path_endpoint

    def store(self) -> TargetStore:
        return self.with_keys()

    def with_keys(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> TargetStore:
        return OssStore(self.target(self.keys(key, secret, token)), {}, page=7)

    def at(self, endpoint: str, *, env: Mapping[str, str] | None = None, **keys: Any) -> TargetStore:
        return OssStore(self.target(self.keys(), endpoint=endpoint), env or {}, **keys)

    def keys(self, key: str | None = None, secret: str | None = None, token: str | None = None) -> OssCredentials:
        return OssCredentials(
            access_key_id=SecretStr(key or self.server.access_key_id),
            access_key_secret=SecretStr(secret or self.server.access_key_secret),
            security_token=SecretStr(token) if token else None,
        )

    def target(self, credentials: OssCredentials, **more: Any) -> OssTarget:
        more = {"endpoint": self.server.path_endpoint, "region": self.server.region, "insecure_http": True, **more}
        return OssTarget(provider="oss", bucket=self.bucket, credentials=credentials, **more)


class Waits(Clock):
    """A clock that stands still and notes what was slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Sts:
    """An STS on loopback: answers AssumeRole with these keys, or with an error's code. `asked` is what it was asked."""

    url: str = ""
    keys: tuple[str, str, str] = ("", "", "")
    refuse: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self) -> tuple[int, str]:
        if self.refuse:
            return 403, f"<ErrorResponse><Error><Code>{self.refuse}</Code><Message>no</Message></Error></ErrorResponse>"
        key, secret, token = self.keys
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            "</AssumeRoleResult></AssumeRoleResponse>"
        )


@contextmanager
def start_sts() -> Iterator[Sts]:
    """An Sts, up for the length of the block."""
    sts = Sts()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            credential = self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
            sts.asked.append({**dict(urllib.parse.parse_qsl(body)), "signed_by": credential})
            status, text = sts.answer()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        sts.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield sts
        finally:
            server.shutdown()
            thread.join()
