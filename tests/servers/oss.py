"""The OSS server for tests: OSS's own dialect and the S3 dialect over one bucket in SeaweedFS.

It speaks as the real service does where the public pages say so, with real signature checks. Own choices: how long a
thaw takes, which class an S3 storage class name means, the wording of errors. It has no RAM policies, ACL checks, CORS,
append or symlinks; encryption settings are remembered and not done; lifecycle rules exist in OSS's dialect only, and of
them only transitions and expiry of current objects are run. Parts of an upload but the last must have 5 MiB
(SeaweedFS's limit; OSS's is 100 KB).
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .child import LOOPBACK, ServerFailed, end, free_ports, tail
from .oss_core import LOCATION, REGION
from .oss_server import Settings
from .tls import make_certificates
from .weed import OSS_DOMAIN, S3Server


@dataclass(frozen=True)
class StsKeys:
    """Temporary credentials; `expires` in seconds since the epoch."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(repr=False)
    expires: float


@dataclass
class OssServer:
    """A running OSS server, which can be taken down and brought up again on the same ports.

    Virtual-hosted style: `endpoint`, with `proxy_url` as HTTP_PROXY (nothing resolves the name). Path style:
    `path_endpoint`, and `tls_endpoint` with `ca_file`.
    """

    weed: S3Server
    folder: Path
    port: int
    tls_port: int
    ca_file: Path
    _certificate: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    endpoint: str = f"http://{OSS_DOMAIN}"
    region: str = LOCATION
    signing_region: str = REGION

    @property
    def access_key_id(self) -> str:
        """The permanent key id, the same in both dialects."""
        return self.weed.access_key

    @property
    def access_key_secret(self) -> str:
        """The permanent secret."""
        return self.weed.secret_key

    @property
    def proxy_url(self) -> str:
        """What to set HTTP_PROXY to, for `endpoint`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def path_endpoint(self) -> str:
        """`http://127.0.0.1:PORT`: the same server without a proxy, path style."""
        return self.proxy_url

    @property
    def tls_endpoint(self) -> str:
        """`https://127.0.0.1:PORT`, path style, certified by `ca_file`."""
        return f"https://{LOOPBACK}:{self.tls_port}"

    @property
    def log(self) -> Path:
        """Tracebacks of the server, if any."""
        return self.folder / "oss.log"

    def start(self) -> None:
        """Bring it up. Raises ServerFailed; does nothing when it is up. Issued STS tokens end with the process."""
        if self._child and self._child.poll() is None:
            return
        settings = Settings(
            port=self.port,
            tls_port=self.tls_port,
            weed_port=self.weed.port,
            access_key=self.weed.access_key,
            secret_key=self.weed.secret_key,
            state_file=str(self.folder / "oss-state.json"),
            certificate=str(self._certificate),
        )
        assert __package__
        root = Path(__file__).resolve().parents[__package__.count(".") + 1]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.oss_server"],
                cwd=root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._child = child
        assert child.stdin and child.stdout
        child.stdin.write(json.dumps(asdict(settings)).encode() + b"\n")
        child.stdin.flush()
        if not child.stdout.readline():
            self.stop()
            raise ServerFailed(f"the OSS server did not start:\n{tail(self.log)}")

    def stop(self) -> None:
        """Take it down, keeping its state in the folder. Does nothing when it is down."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin and child.stdout
        child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            end(child)
        child.stdout.close()

    def advance(self, *, days: float = 0, seconds: float = 0) -> int:
        """Move the server's clock, then run lifecycle rules. Returns how many objects changed class or went away.

        Thaws and STS tokens go by this clock, signatures by the real one.
        """
        return int(self._control("POST", "advance", days=days, seconds=seconds)["changed"])

    def issue_sts_token(self, seconds: float = 3600) -> StsKeys:
        """Temporary credentials for both dialects. With 0 or less they have ended already."""
        return StsKeys(**self._control("POST", "sts", seconds=seconds))

    def fail_next(self, n: int, status: int, code: str, *, method: str = "", contains: str = "") -> None:
        """Answer the next `n` requests (of a method, with `contains` in path or query) with this error."""
        self._control("POST", "fail", n=n, status=status, code=code, method=method, contains=contains)

    def latency(self, seconds: float) -> None:
        """Wait this long before each answer, until set to 0."""
        self._control("POST", "latency", seconds=seconds)

    def clear(self) -> None:
        """No faults, no latency, an empty record of requests."""
        self._control("POST", "clear")

    def requests(self) -> list[dict[str, Any]]:
        """What was asked since `clear`: method, host, target, style (virtual, path), dialect (oss, s3), status."""
        return list(self._control("GET", "requests")["requests"])

    def create_bucket(self, name: str) -> str:
        """Make a bucket and return its name. Raises ServerFailed."""
        return self.weed.create_bucket(name)

    def _control(self, verb: str, call: str, /, **values: object) -> dict[str, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)
        body = json.dumps({name: str(value) for name, value in values.items()})
        try:
            connection.request(verb, f"/-/{call}", body=body)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerFailed(f"control call {call}: {answer.status} {text[:300]!r}")
        return dict(json.loads(text))


@contextmanager
def start_oss(weed: S3Server, folder: Path | None = None) -> Iterator[OssServer]:
    """An OSS server over a running SeaweedFS, up for the length of the block. Raises ServerFailed.

    `folder` keeps its state, log and certificates; a temporary one when not given.
    """
    with tempfile.TemporaryDirectory(prefix="rw-oss-") as temporary:
        home = folder or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        authority, certificate = make_certificates(home)
        port, tls_port = free_ports(2)
        server = OssServer(weed, home, port, tls_port, authority, certificate)
        server.start()
        try:
            yield server
        finally:
            server.stop()
