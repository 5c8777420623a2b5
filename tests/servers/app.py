"""What the requests to a server in front of SeaweedFS share, and what tests can tell it to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from . import oss_auth, oss_lifecycle, oss_s3
from .oss_buckets import Buckets
from .oss_core import OssError, Reply, Request
from .oss_objects import Objects
from .oss_state import DAY, Clock, Fault, Faults, State
from .upstream import Upstream


@dataclass(frozen=True)
class Settings:
    """Ports of this server and of SeaweedFS, the keys of both, the state file, the certificate; `second` is the pair
    of keys that administers nothing."""

    port: int
    tls_port: int
    weed_port: int
    access_key: str
    secret_key: str
    state_file: str
    certificate: str
    second: tuple[str, str] = ("", "")
    dialect: str = "oss"


class App:
    """Everything that the requests share."""

    software: ClassVar[str]
    id_header: ClassVar[str]
    default_class: ClassVar[str]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.state = State(self.clock, Path(settings.state_file), self.default_class)
        self.faults = Faults()

    def upstream(self) -> Upstream:
        """A connection to SeaweedFS for one client connection."""
        return Upstream(self.settings.weed_port, self.settings.access_key, self.settings.secret_key)

    def answer(self, request: Request, upstream: Upstream) -> Reply:
        """Any request but the control calls. Raises OssError."""
        if self.faults.latency:
            time.sleep(self.faults.latency)
        if fault := self.faults.take(request.method, request.target):
            raise OssError(fault.status, fault.code, "Injected by the test.")
        return self.serve(request, upstream)

    def serve(self, request: Request, upstream: Upstream) -> Reply:
        """A request that no fault was planned for. Raises OssError."""
        raise NotImplementedError

    def age(self, upstream: Upstream) -> int:
        """Do what lifecycle rules ask for by now. Returns how many objects were moved or deleted."""
        raise NotImplementedError

    def dialect(self, request: Request) -> str:
        """Which dialect a request speaks, for the record."""
        raise NotImplementedError

    def control(self, method: str, name: str, values: dict[str, str], upstream: Upstream) -> dict[str, Any]:
        """A call under `/-/`, as JSON. Raises OssError 404 for one that does not exist."""
        match method, name:
            case "POST", "advance":
                self.clock.offset += float(values.get("seconds", "0")) + float(values.get("days", "0")) * DAY
                return {"changed": self.age(upstream)}
            case "POST", "fail":
                matching = {key: values[key] for key in ("method", "contains") if key in values}
                self.faults.plan(Fault(int(values["n"]), int(values["status"]), values["code"], **matching))
            case "POST", "thaw":
                self.state.thaw_takes = float(values["seconds"])
            case "POST", "smallest":
                self.state.smallest = int(values["size"])
            case "POST", "latency":
                self.faults.latency = float(values["seconds"])
            case "POST", "clear":
                self.faults.clear()
            case "GET", "requests":
                return {"requests": self.faults.seen()}
            case _:
                raise OssError(404, "NoSuchKey", f"There is no control call {method} {name}.")
        return {}


class OssApp(App):
    """The OSS server, in both dialects."""

    software, id_header, default_class = "AliyunOSS", "x-oss-request-id", "Standard"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.identities = oss_auth.Identities(self.clock, settings.access_key, settings.secret_key)

    def serve(self, request: Request, upstream: Upstream) -> Reply:
        if oss_s3.speaks(request):
            return oss_s3.answer(request, self.state, upstream, self.identities)
        oss_auth.check(request, self.identities)
        if request.key:
            return Objects(self.state, upstream).answer(request)
        buckets = Buckets(self.state, upstream)
        return buckets.answer(request) if request.bucket else buckets.service(request)

    def age(self, upstream: Upstream) -> int:
        return oss_lifecycle.run(self.state, upstream)

    def dialect(self, request: Request) -> str:
        return "s3" if oss_s3.speaks(request) else "oss"

    def control(self, method: str, name: str, values: dict[str, str], upstream: Upstream) -> dict[str, Any]:
        if (method, name) != ("POST", "sts"):
            return super().control(method, name, values, upstream)
        issued = self.identities.issue(float(values["seconds"]))
        keys = {"access_key_id": issued.access_key, "access_key_secret": issued.secret_key}
        return {**keys, "security_token": issued.token, "expires": issued.expires}
