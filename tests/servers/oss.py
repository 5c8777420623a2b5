"""The OSS server for tests: OSS's own dialect and the S3 dialect over one bucket in SeaweedFS.

It speaks as the real service does where the public pages say so, with real signature checks. Own choices: how long a
thaw takes, which class an S3 storage class name means, the wording of errors. It has no RAM policies, ACL checks, CORS,
append or symlinks; encryption settings are remembered and not done; lifecycle rules exist in OSS's dialect only, and of
them only transitions and expiry of current objects are run. Parts of an upload but the last must have 5 MiB
(SeaweedFS's limit; OSS's is 100 KB).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .child import LOOPBACK
from .oss_core import LOCATION, REGION
from .overlay import Overlay, start_overlay
from .weed import OSS_DOMAIN, S3Server


@dataclass(frozen=True)
class StsKeys:
    """Temporary credentials; `expires` in seconds since the epoch."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str = field(repr=False)
    expires: float


@dataclass(kw_only=True)
class OssServer(Overlay):
    """A running OSS server, which can be taken down and brought up again on the same ports.

    Virtual-hosted style: `endpoint`, with `proxy_url` as HTTP_PROXY (nothing resolves the name). Path style:
    `path_endpoint`, and `tls_endpoint` with `ca_file`.
    """

    dialect = "oss"
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

    def issue_sts_token(self, seconds: float = 3600) -> StsKeys:
        """Temporary credentials for both dialects. With 0 or less they have ended already."""
        return StsKeys(**self._control("POST", "sts", seconds=seconds))


@contextmanager
def start_oss(weed: S3Server, folder: Path | None = None) -> Iterator[OssServer]:
    """An OSS server over a running SeaweedFS, up for the length of the block. Raises ServerFailed.

    `folder` keeps its state, log and certificates; a temporary one when not given.
    """
    with start_overlay(OssServer, weed, folder) as server:
        yield server
