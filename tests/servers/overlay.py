"""What the servers in front of SeaweedFS share: a child process with a clock, faults and a record of requests."""

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
from typing import Any, ClassVar, TypeVar

from .app import Settings
from .child import LOOPBACK, ServerFailed, end, free_ports, tail
from .tls import make_certificates
from .weed import S3Server


@dataclass(kw_only=True)
class Overlay:
    """A running server, which can be taken down and brought up again on the same ports."""

    dialect: ClassVar[str]
    weed: S3Server
    folder: Path
    port: int
    tls_port: int
    ca_file: Path
    certificate: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def path_endpoint(self) -> str:
        """`http://127.0.0.1:PORT`: the same server without a proxy, path style."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def tls_endpoint(self) -> str:
        """`https://127.0.0.1:PORT`, path style, certified by `ca_file`."""
        return f"https://{LOOPBACK}:{self.tls_port}"

    @property
    def log(self) -> Path:
        """Tracebacks of the server, if any."""
        return self.folder / f"{self.dialect}.log"

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
            state_file=str(self.folder / f"{self.dialect}-state.json"),
            certificate=str(self.certificate),
            second=(self.weed.second.access_key, self.weed.second.secret_key),
            dialect=self.dialect,
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
            raise ServerFailed(f"the {self.dialect} server did not start:\n{tail(self.log)}")

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

    def fail_next(self, n: int, status: int, code: str, *, method: str = "", contains: str = "") -> None:
        """Answer the next `n` requests (of a method, with `contains` in path or query) with this error."""
        self._control("POST", "fail", n=n, status=status, code=code, method=method, contains=contains)

    def latency(self, seconds: float) -> None:
        """Wait this long before each answer, until set to 0."""
        self._control("POST", "latency", seconds=seconds)

    def thaw_takes(self, seconds: float) -> None:
        """How long each thaw that is asked for from now on takes, whatever the class; less than 0: as long as ever."""
        self._control("POST", "thaw", seconds=seconds)

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


Made = TypeVar("Made", bound=Overlay)


@contextmanager
def start_overlay(kind: type[Made], weed: S3Server, folder: Path | None = None) -> Iterator[Made]:
    """A server of this kind over a running SeaweedFS, up for the length of the block. Raises ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="rw-oss-") as temporary:
        home = folder or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        authority, certificate = make_certificates(home)
        port, tls_port = free_ports(2)
        server = kind(weed=weed, folder=home, port=port, tls_port=tls_port, ca_file=authority, certificate=certificate)
        server.start()
        try:
            yield server
        finally:
            server.stop()
