"""restic itself over the servers: SeaweedFS, and the OSS server by path, by proxy, by TLS and with a session token."""

from __future__ import annotations

import json
import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.oss import OssServer, StsKeys
from tests.servers.proxy import TcpProxy
from tests.servers.weed import S3Server

KEY = "of no importance"


@dataclass(frozen=True)
class Restic:
    """Runs restic by one way to a repository."""

    binary: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    cache: Path

    def __call__(self, *arguments: str) -> str:
        """Standard output of a run that must succeed."""
        command = [str(self.binary), *self.arguments, "-o", "s3.region=oss-cn-test", *arguments]
        environment = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": KEY, "RESTIC_CACHE_DIR": str(self.cache)}
        done = subprocess.run(
            command, env={**environment, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{arguments[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


class Ways:
    """The ways to one repository."""

    def __init__(self, binary: Path, server: OssServer, bucket: str, folder: Path) -> None:
        self._binary, self._server, self._folder = binary, server, folder
        self._repository = f"{bucket}/repo"

    def _restic(self, endpoint: str, lookup: str, *more: str, token: StsKeys | None = None, proxy: str = "") -> Restic:
        arguments = ("-r", f"s3:{endpoint}/{self._repository}", "-o", f"s3.bucket-lookup={lookup}", *more)
        keys = token or self._server
        environment = {"AWS_ACCESS_KEY_ID": keys.access_key_id, "AWS_SECRET_ACCESS_KEY": keys.access_key_secret}
        environment |= {"AWS_SESSION_TOKEN": token.security_token} if token else {}
        environment |= {"HTTP_PROXY": proxy} if proxy else {}
        return Restic(self._binary, arguments, environment, self._folder / "cache")

    def path(self) -> Restic:
        """Path style at the loopback address."""
        return self._restic(self._server.path_endpoint, "path")

    def virtual(self) -> Restic:
        """Virtual-hosted, through HTTP_PROXY."""
        return self._restic(self._server.endpoint, "dns", proxy=self._server.proxy_url)

    def tls(self) -> Restic:
        """TLS, path style, with the tests' own authority."""
        return self._restic(self._server.tls_endpoint, "path", "--cacert", str(self._server.ca_file))

    def token(self) -> Restic:
        """Temporary keys, virtual-hosted."""
        token = self._server.issue_sts_token()
        return self._restic(self._server.endpoint, "dns", token=token, proxy=self._server.proxy_url)

    def straight(self, endpoint: str) -> Restic:
        """SeaweedFS itself, or what stands before it."""
        return self._restic(endpoint, "path")


@pytest.fixture(scope="module")
def ways(restic_binary: Path, oss: OssServer, tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """A repository, made once since `init` measures the machine for seconds."""
    bucket = oss.create_bucket("restic-by-all-ways")
    made = Ways(restic_binary, oss, bucket, tmp_path_factory.mktemp("restic"))
    made.virtual()("init")
    return made


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Twelve megabytes that no other test has, and a few small files."""
    folder = tmp_path / "source"
    folder.mkdir()
    chance = random.Random(request.node.name)
    (folder / "large").write_bytes(chance.randbytes(12 * 1024 * 1024))
    for number in range(5):
        (folder / f"small {number}").write_bytes(chance.randbytes(number * 100))
    return folder


def round_trip(restic: Restic, source: Path, target: Path) -> None:
    """backup, check, restore; what comes back is what went in."""
    restic("backup", "--quiet", str(source))
    restic("check")
    restic("restore", "latest", "--quiet", "--path", str(source), "--target", str(target))
    restored = target / str(source).lstrip("/")
    assert {item.name: item.read_bytes() for item in restored.iterdir()} == {
        item.name: item.read_bytes() for item in source.iterdir()
    }


@pytest.mark.parametrize(
    ("way", "style"), [("path", "path"), ("virtual", "virtual"), ("tls", "path"), ("token", "virtual")]
)
def test_restic_over_the_oss_server(
    way: str, style: str, ways: Ways, oss: OssServer, source: Path, tmp_path: Path
) -> None:
    """Every way of reaching OSS carries data in and out."""
    oss.clear()
    round_trip(getattr(ways, way)(), source, tmp_path / "restored")
    seen = oss.requests()
    assert {(item["style"], item["dialect"]) for item in seen} == {(style, "s3")}
    assert any(item["method"] == "PUT" and "/repo/data/" in item["target"] for item in seen)


def test_restic_over_a_slow_network(ways: Ways, weed: S3Server, source: Path) -> None:
    """20 ms of latency before SeaweedFS slow restic down and change nothing else."""
    with TcpProxy("127.0.0.1", weed.port, latency=0.02) as proxy:
        restic = ways.straight(proxy.endpoint)
        summary = json.loads(restic("backup", "--json", str(source)).splitlines()[-1])
        assert summary["total_files_processed"] == 6
        assert proxy.bytes_up > 12 * 1024 * 1024
