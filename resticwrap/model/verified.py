"""What a verify leaves behind: the details of its job, and the copy of the job that is kept in the target."""

from typing import Any

import msgspec

from resticwrap.model.base import Time, Value, convert, from_json, to_json
from resticwrap.model.job import Job, Manifest
from resticwrap.model.reports import Coverage, Damage


class PackSums(Value, frozen=True, array_like=True):
    """The packs whose ids begin with one byte, as they were listed: how many, how many bytes, and what of both had been
    read back since it was written."""

    packs: int = 0
    size: int = 0
    packs_read: int = 0
    size_read: int = 0


class VerifyDetails(Value, frozen=True):
    """`details` of a verify's job. A verify that could not begin has none but the first two.

    `bucket` is the part of the `share` that was due (0: nothing was looked at), `reads` the first bytes of the packs
    that were all read back at `read_at`: empty where damage kept them from being read. `packs` are sums by first byte
    in hexadecimal; with what has been read since they say how much is covered at any later time. `proven` are the
    original ids of the snapshots that were proven at `proven_at`. `frozen` are the packs of the part that were passed
    over, for they must be thawed before they can be read, and `frozen_size` their bytes. `read_packs` and `detects` are
    those of the report.
    """

    tier: str
    repository: str = ""
    share: str = ""
    bucket: int = 0
    seed: int = 0
    days: int = 0
    coverage: Coverage | None = None
    packs: dict[str, PackSums] = {}
    stored: int = 0
    snapshots: int = 0
    sampled: int = 0
    reads: tuple[int, ...] = ()
    read_at: Time | None = None
    proven: tuple[str, ...] = ()
    proven_at: Time | None = None
    damages: tuple[Damage, ...] = ()
    read_packs: int = 0
    detects: dict[int, float] = {}
    frozen: int = 0
    frozen_size: int = 0

    def builtins(self) -> dict[str, Any]:
        """As a job carries them, and as they come back with it: what JSON has and nothing else."""
        return from_json(dict[str, Any], to_json(self))


def verify_details(job: Job) -> VerifyDetails | None:
    """The details of a verify's job, None where it has none that can be read."""
    try:
        # Out of JSON, where numbers that are keys are text.
        return convert(VerifyDetails, job.details, str_keys=True)
    except msgspec.ValidationError:
        return None


class VerifyRecord(Value, frozen=True):
    """`verify_record.json`: the closed job of one verify, of the repository that its details name."""

    job: Job
    record_version: int = 1

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def target(self) -> str:
        return self.job.target


Written = Manifest | VerifyRecord
"""What a job leaves in the target beside the repositories."""
