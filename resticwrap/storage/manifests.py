"""What jobs leave in the target's store: `backups/{env}/{date}/{job_id}/backup_manifest.json` of backups, and
`verify_record.json` at the same place of verifies."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.job import Manifest
from resticwrap.model.verified import VerifyRecord, Written
from resticwrap.ports import Store
from resticwrap.storage.keys import check_key

FILES: Mapping[type[Written], str] = {Manifest: "backup_manifest.json", VerifyRecord: "verify_record.json"}
NAMES: Mapping[type[Written], str] = {Manifest: "manifest", VerifyRecord: "record"}
JOB_ID = re.compile(r"[a-z][a-z0-9]*_(?P<time>\d{8}T\d{6}Z)_[a-z0-9]+")
REST = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<job>[^/]+)/(?P<file>[^/]+)")
W = TypeVar("W", Manifest, VerifyRecord)


class BucketManifests:
    """The manifests of one environment in a store. Implements Manifests. Raises UsageError where `environment` cannot
    be part of a key."""

    def __init__(self, store: Store, environment: str) -> None:
        self._store = store
        self._prefix = f"{check_key(f'backups/{environment}')}/"

    def put(self, written: Written) -> str:
        """Write it if absent, returns its key. The same again is no error; another one under the same job raises
        ObjectExists, since what a job left is what its proof rests on."""
        key = self._key(type(written), written.job_id)
        body = to_json(written)
        try:
            self._put(key, body)
        except errors.ObjectExists:
            if self._store.get(key) == body:
                return key
            raise errors.ObjectExists(
                f"Another {NAMES[type(written)]} of job {written.job_id} is stored already.",
                hint=f"rw manifest show {written.job_id}" if isinstance(written, Manifest) else "rw doctor",
            ) from None
        return key

    def get(self, key: str) -> Manifest:
        """Raises ObjectMissing, Damaged where the bytes are no manifest or that of another job, UsageError where the
        key is not one of a manifest."""
        return self._read(Manifest, key)

    def record(self, key: str) -> VerifyRecord:
        """Raises as `get`."""
        return self._read(VerifyRecord, key)

    def find(self, job_id: str) -> str | None:
        """The key of a job's manifest, None where it has none or where this is no job's id."""
        if _day(job_id) is None:
            return None
        key = self.key(job_id)
        return next((found.key for found in self._store.list(key) if found.key == key), None)

    def keys(self) -> Iterator[str]:
        """All of them, oldest day first. What lies between them and is no manifest is passed over."""
        return self._all(Manifest)

    def record_keys(self) -> Iterator[str]:
        """As `keys`."""
        return self._all(VerifyRecord)

    def key(self, job_id: str) -> str:
        """Where a job's manifest is or would be. Raises UsageError where this is no job's id."""
        return self._key(Manifest, job_id)

    def _key(self, kind: type[Written], job_id: str) -> str:
        day = _day(job_id)
        if day is None:
            raise errors.UsageError(f"{job_id!r} is not the id of a job.")
        return f"{self._prefix}{day}/{job_id}/{FILES[kind]}"

    def _all(self, kind: type[Written]) -> Iterator[str]:
        return (found.key for found in self._store.list(self._prefix) if self._job(kind, found.key) is not None)

    def _read(self, kind: type[W], key: str) -> W:
        job, name = self._job(kind, key), NAMES[kind]
        if job is None:
            raise errors.UsageError(f"{key!r} is not the key of a {name}.")
        body = self._store.get(key)
        try:
            written = from_json(kind, body)
        except ValueError as error:
            raise errors.Damaged(
                f"The {name} {key} cannot be read: it is not what a job wrote.", hint="rw catalog rebuild"
            ) from error
        if written.job_id != job:
            raise errors.Damaged(f"The {name} {key} is that of another job, {written.job_id!r}.")
        return written

    def _put(self, key: str, body: bytes) -> None:
        """The store does not repeat a put-if-absent whose answer got lost. Here it may be: `put` looks at the bytes."""
        try:
            self._store.put(key, body, if_absent=True)
        except errors.TargetUnreachable:
            self._store.put(key, body, if_absent=True)

    def _job(self, kind: type[Written], key: str) -> str | None:
        """The job of a manifest's or a record's key; None for any other key."""
        match = REST.fullmatch(key.removeprefix(self._prefix)) if key.startswith(self._prefix) else None
        if match is None or match["file"] != FILES[kind] or _day(match["job"]) != match["day"]:
            return None
        return match["job"]


def _day(job_id: str) -> str | None:
    """The day (UTC) in a job's id, `2026-11-23`; None where it is no job's id."""
    match = JOB_ID.fullmatch(job_id)
    try:
        return datetime.strptime(match["time"], "%Y%m%dT%H%M%S%z").date().isoformat() if match else None
    except ValueError:
        return None
