"""Fixtures for the servers' own tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.servers.oss import OssServer, start_oss
from tests.servers.weed import S3Server, start_weed


@pytest.fixture(scope="session")
def private_oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssServer]:
    """An OSS server, with a SeaweedFS, whose clock, faults and life are the tests' to change."""
    with start_weed(tmp_path_factory.mktemp("weed")) as weed, start_oss(weed) as server:
        yield server


@pytest.fixture
def fresh_bucket(weed: S3Server) -> str:
    """A bucket that no other test knows."""
    return weed.create_bucket(f"rw-{secrets.token_hex(5)}")
