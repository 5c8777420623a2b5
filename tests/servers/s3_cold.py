"""An S3 server for tests that has what SeaweedFS lacks: lifecycle transitions, archive classes, and thaws.

It stands in front of SeaweedFS and passes requests on byte for byte, so that SeaweedFS checks their signatures; only
lifecycle rules and RestoreObject are answered here, and signed requests for them are checked here. Own choices: how
long a thaw takes, the wording of errors, that the second identity may neither read nor write the rules. It runs
transitions and expiry of current objects by age; by date, of old versions and of unfinished uploads it only keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .overlay import Overlay, start_overlay
from .weed import Keys, S3Server


@dataclass(kw_only=True)
class ColdS3(Overlay):
    """A running one. Path style, at `endpoint`; `access_key` may do everything, `second` administers nothing."""

    dialect = "s3"

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT`, for path style."""
        return self.path_endpoint

    @property
    def access_key(self) -> str:
        """That of SeaweedFS."""
        return self.weed.access_key

    @property
    def secret_key(self) -> str:
        """That of SeaweedFS."""
        return self.weed.secret_key

    @property
    def second(self) -> Keys:
        """Those of SeaweedFS."""
        return self.weed.second

    @property
    def region(self) -> str:
        """The region to use."""
        return self.weed.region

    def smallest(self, size: int) -> None:
        """The bytes below which objects are not moved by default: 128 KiB on the real one, too much for tests."""
        self._control("POST", "smallest", size=size)


@contextmanager
def start_cold(weed: S3Server, folder: Path | None = None) -> Iterator[ColdS3]:
    """One over a running SeaweedFS, up for the length of the block. Raises ServerFailed."""
    with start_overlay(ColdS3, weed, folder) as server:
        yield server
