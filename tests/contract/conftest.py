"""Servers and stores for the contract suites: started once, a new bucket for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from tests.contract.stores import LocalKit, OssKit, S3Kit, StoreKit
from tests.servers.oss import OssServer
from tests.servers.weed import S3Server

NUMBERS = itertools.count(1)


@pytest.fixture
def bucket() -> str:
    """The name of a bucket that is not there yet."""
    return f"contract-{next(NUMBERS)}"


@pytest.fixture
def s3_kit(weed: S3Server, bucket: str) -> S3Kit:
    return S3Kit(weed, bucket)


@pytest.fixture
def oss_kit(oss: OssServer, bucket: str) -> Iterator[OssKit]:
    yield OssKit(oss, bucket)
    oss.clear()


@pytest.fixture(params=["local", "s3", "oss"])
def kit(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> StoreKit:
    """Each of the stores in turn, its bucket not made yet."""
    if request.param == "local":
        return LocalKit(tmp_path / bucket)
    made: StoreKit = request.getfixturevalue(f"{request.param}_kit")
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a catalogue that is not there yet, in each of the databases in turn."""
    made: str = (
        default_url(tmp_path / "state") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    return made


@pytest.fixture
def catalog(url: str) -> Iterator[SqlCatalog]:
    made = SqlCatalog(url)
    yield made
    made.close()
