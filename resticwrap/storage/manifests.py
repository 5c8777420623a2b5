"""Manifests of jobs: `backups/{env}/{date}/{job_id}/backup_manifest.json` in the target's store."""

import re
from collections.abc import Iterator
from datetime import datetime

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.job import Manifest
from resticwrap.ports import Store
from resticwrap.storage.keys import check_key

FILE = "backup_manifest.json"
JOB_ID = re.compile(r"[a-z][a-z0-9]*_(?P<time>\d{8}T\d{6}Z)_[a-z0-9]+")
REST = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<job>[^/]+)/" + re.escape(FILE))


class BucketManifests:
    """The manifests of one environment in a store. Implements Manifests. Raises UsageError where `environment` cannot
    be part of a key."""

    def __init__(self, store: Store, environment: str) -> None:
        self._store = store
        self._prefix = f"{check_key(f'backups/{environment}')}/"

    def put(self, manifest: Manifest) -> str:
        """Write it if absent, returns its key. The same manifest again is no error; another one under the same job
        raises ObjectExists, since a manifest is what the job's proof rests on."""
        key = self.key(manifest.job_id)
        body = to_json(manifest)
        try:
            self._put(key, body)
        except errors.ObjectExists:
            if self._store.get(key) == body:
                return key
            raise errors.ObjectExists(
                f"Another manifest of job {manifest.job_id} is stored already.",
                hint=f"rw manifest show {manifest.job_id}",
            ) from None
        return key

    def get(self, key: str) -> Manifest:
        """Raises ObjectMissing, Damaged where the bytes are no manifest or that of another job, UsageError where the
        key is not one of a manifest."""
        job = self._job(key)
        if job is None:
            raise errors.UsageError(f"{key!r} is not the key of a manifest.")
        body = self._store.get(key)
        try:
            manifest = from_json(Manifest, body)
        except ValueError as error:
            raise errors.Damaged(
                f"The manifest {key} cannot be read: it is not what a backup wrote.", hint="rw catalog rebuild"
            ) from error
        if manifest.job_id != job:
            raise errors.Damaged(f"The manifest {key} is that of another job, {manifest.job_id!r}.")
        return manifest

    def find(self, job_id: str) -> str | None:
        """The key of a job's manifest, None where it has none or where this is no job's id."""
        if _day(job_id) is None:
            return None
        key = self.key(job_id)
        return next((found.key for found in self._store.list(key) if found.key == key), None)

    def keys(self) -> Iterator[str]:
        """All of them, oldest day first. What lies between them and is no manifest is passed over."""
        return (found.key for found in self._store.list(self._prefix) if self._job(found.key) is not None)

    def key(self, job_id: str) -> str:
        """Where a job's manifest is or would be. Raises UsageError where this is no job's id."""
        day = _day(job_id)
        if day is None:
            raise errors.UsageError(f"{job_id!r} is not the id of a job.")
        return f"{self._prefix}{day}/{job_id}/{FILE}"

    def _put(self, key: str, body: bytes) -> None:
        """The store does not repeat a put-if-absent whose answer got lost. Here it may be: `put` looks at the bytes."""
        try:
            self._store.put(key, body, if_absent=True)
        except errors.TargetUnreachable:
            self._store.put(key, body, if_absent=True)

    def _job(self, key: str) -> str | None:
        """The job of a manifest's key; None for any other key."""
        match = REST.fullmatch(key.removeprefix(self._prefix)) if key.startswith(self._prefix) else None
        if match is None or _day(match["job"]) != match["day"]:
            return None
        return match["job"]


def _day(job_id: str) -> str | None:
    """The day (UTC) in a job's id, `2026-11-23`; None where it is no job's id."""
    match = JOB_ID.fullmatch(job_id)
    try:
        return datetime.strptime(match["time"], "%Y%m%dT%H%M%S%z").date().isoformat() if match else None
    except ValueError:
        return None
