"""Metrics for the textfile collector of node_exporter."""

import errno
import os
import secrets
from pathlib import Path

from resticwrap.errors import DiskFull, Failure, UsageError
from resticwrap.model.fields import PROM, is_prom

MODE = 0o644
"""node_exporter runs as another user. There is no secret in it."""


def check(file: Path) -> None:
    """Raises UsageError for a name that the collector would not read."""
    if not is_prom(file):
        raise UsageError(
            f"node_exporter would not read that file: it takes those that end in {PROM}.",
            hint="rw metrics --textfile /var/lib/prometheus/node-exporter/resticwrap.prom",
        )


def write(file: Path, page: bytes) -> None:
    """Write it whole or not at all: a collector never reads half of it. Raises DiskFull, Failure."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            beside.write_bytes(page)
            beside.chmod(MODE)
            beside.rename(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else Failure
        raise kind(
            f"The metrics cannot be written to {file}: {error.strerror}.",
            hint="Give a file in the folder that --collector.textfile.directory of node_exporter names.",
        ) from error
