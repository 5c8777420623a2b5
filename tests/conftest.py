"""Fixtures for all suites: both restics, servers, and labs on each kind of target.

With RW_TEST_STRICT=1 (as in CI) a skipped test is a failed one. RW_TEST_RESTIC=oldest runs all on the oldest restic.
"""

import itertools
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from resticwrap.restic.install import dotted, installed
from tests.lab import Lab, template, template_files
from tests.servers.mariadb import Mariadb, start_mariadb
from tests.servers.oss import OssServer, start_oss
from tests.servers.postgres import Postgres, postgres_bin, start_postgres
from tests.servers.receiver import Receiver, start_receiver
from tests.servers.s3_cold import ColdS3, start_cold
from tests.servers.weed import S3Server, start_weed

# How long an example takes says more of what else runs on the machine than of the code.
settings.register_profile("resticwrap", deadline=None)
settings.load_profile("resticwrap")
NUMBERS = itertools.count(1)
KNOWN = installed(os.environ)
"""What `make test` fetched, oldest first."""


def pytest_configure(config: pytest.Config) -> None:
    """What a shell starts in the background ignores SIGINT, and so would the children that tests interrupt. `rw` has a
    handler of its own for it whenever a child runs."""
    del config
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Nothing may be skipped by a mark where the suite must be whole."""
    del config
    if os.environ.get("RW_TEST_STRICT") == "1":
        skipped = [
            item.nodeid
            for item in items
            if any(mark.name in ("skip", "skipif", "xfail") for mark in item.iter_markers())
        ]
        if skipped:
            raise pytest.UsageError(f"these tests would be skipped: {skipped}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A skip at run time is a failure too."""
    del item, call
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("RW_TEST_STRICT") == "1":
        report.outcome = "failed"


@pytest.fixture(scope="session")
def restic_binaries() -> dict[str, Path]:
    """By version: the oldest and the newest that are installed."""
    if len(KNOWN) < 2:
        pytest.fail("two restics are needed: make restics")
    versions = list(KNOWN)
    return {dotted(version): KNOWN[version] for version in (versions[0], versions[-1])}


@pytest.fixture(scope="session")
def restic_binary(restic_binaries: dict[str, Path]) -> Path:
    """The newest, or the oldest with RW_TEST_RESTIC=oldest."""
    return list(restic_binaries.values())[0 if os.environ.get("RW_TEST_RESTIC") == "oldest" else -1]


@pytest.fixture(scope="session", params=["oldest", "newest"])
def either_restic(request: pytest.FixtureRequest, restic_binaries: dict[str, Path]) -> Path:
    """Each of the two in turn."""
    return list(restic_binaries.values())[0 if request.param == "oldest" else -1]


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One SeaweedFS for all tests that leave it running."""
    with start_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def oss(weed: S3Server) -> Iterator[OssServer]:
    """One OSS server over it, for all tests that do not break it."""
    with start_oss(weed) as server:
        yield server


@pytest.fixture(scope="session")
def s3_cold(weed: S3Server) -> Iterator[ColdS3]:
    """One S3 server with archive classes over it, for all tests that do not break it. It moves small objects too. Its
    clock is shared: `advance` makes all that is older old."""
    with start_cold(weed) as server:
        server.smallest(0)
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests that leave it running. A machine without it skips them; CI may not."""
    if postgres_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with start_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The address of an empty database of the test's own."""
    name = postgres_server.database()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Mariadb]:
    """One MariaDB for all tests that leave it running."""
    with start_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def http_receiver() -> Iterator[Receiver]:
    """One for all tests that send messages and pings."""
    with start_receiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(http_receiver: Receiver) -> Receiver:
    """It has received nothing yet."""
    http_receiver.clear()
    return http_receiver


MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path, restic_binary: Path, request: pytest.FixtureRequest) -> MakeLab:
    """Labs by kind of target: `make_lab("local"|"s3"|"s3_cold"|"oss", ready=True, restic=…)`.

    Ready: with the repositories made from the template and pinned (`rw init` was run), which is quick.
    """

    def make(
        kind: str = "local", *, ready: bool = True, restic: Path | None = None, domains: Any = None, **target: Any
    ) -> Lab:
        folder = tmp_path / f"lab{next(NUMBERS)}"
        binary = restic or restic_binary
        policy, env = _target(kind, folder, request)
        lab = Lab(folder, binary, {**policy, **target}, env, domains or {})
        if ready:
            _fill(lab, kind)
            lab.rw("init")
        return lab

    return make


def _target(kind: str, folder: Path, request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, str]]:
    if kind == "local":
        return {"provider": "local", "path": str(folder / "store")}, {}
    bucket = f"lab-{next(NUMBERS)}-{secrets.token_hex(4)}"
    if kind in ("s3", "s3_cold"):
        weed: S3Server | ColdS3 = request.getfixturevalue("weed" if kind == "s3" else "s3_cold")
        return {
            "provider": "s3",
            "endpoint": weed.endpoint,
            "bucket": bucket,
            "region": weed.region,
            "credentials": {"access_key_id": "${LAB_KEY}", "secret_access_key": "${LAB_SECRET}"},
        }, {"LAB_KEY": weed.access_key, "LAB_SECRET": weed.secret_key}
    oss: OssServer = request.getfixturevalue("oss")
    return {
        "provider": "oss",
        "endpoint": oss.endpoint,
        "insecure_http": True,
        "bucket": bucket,
        "region": oss.region,
        "credentials": {"access_key_id": "${LAB_KEY}", "access_key_secret": "${LAB_SECRET}"},
    }, {"LAB_KEY": oss.access_key_id, "LAB_SECRET": oss.access_key_secret, "HTTP_PROXY": oss.proxy_url}


def _fill(lab: Lab, kind: str) -> None:
    if kind == "local":
        shutil.copytree(template(lab.restic), lab.store / lab.namespace)
        return
    with lab.house() as built:
        built.store.create()
        for key, content in template_files(lab.restic):
            built.store.put(f"{lab.namespace}/{key}", content)


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A local one, ready."""
    return make_lab("local")


@pytest.fixture(params=["local", "s3", "oss"])
def any_lab(request: pytest.FixtureRequest, make_lab: MakeLab) -> Lab:
    """One on each kind of target, ready."""
    return make_lab(request.param)
