"""What Manifests promises, on every store."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from resticwrap import errors
from resticwrap.model.job import Job, Manifest, ObjectList
from resticwrap.model.verified import VerifyDetails, VerifyRecord
from resticwrap.ports import TargetStore
from resticwrap.storage import BucketManifests
from resticwrap.storage.local import LocalStore
from tests.contract.stores import StoreKit

JOB = "snapshot_20261123T150836Z_x7k2ab"
KEY = f"backups/prod/2026-11-23/{JOB}/backup_manifest.json"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def manifest(job_id: str = JOB, chunker: str = "abc") -> Manifest:
    return Manifest(
        job_id=job_id,
        target="t",
        target_provider="local",
        namespace="resticwrap",
        repositories={"hot": "id"},
        chunker=chunker,
        host="school",
        outcome="ok",
        started_at=NOON,
        finished_at=NOON,
        snapshot_type="full",
        domains=(),
        object_list=ObjectList(mode="sealed"),
        schema_versions={"exams": {"exam": 1}},
        restore_entrypoint="rw restore",
        tool_versions={"rw": "1"},
    )


@pytest.fixture
def store(kit: StoreKit) -> TargetStore:
    store = kit.store()
    store.create()
    return store


@pytest.fixture
def manifests(store: TargetStore) -> BucketManifests:
    return BucketManifests(store, "prod")


def test_put_get_find(manifests: BucketManifests) -> None:
    """It lies under the day of its job, comes back equal, and may be put again."""
    assert manifests.find(JOB) is None
    assert manifests.put(manifest()) == KEY
    assert manifests.put(manifest()) == KEY
    assert manifests.get(KEY) == manifest()
    assert manifests.find(JOB) == KEY


def test_another_manifest_of_the_job_is_refused(manifests: BucketManifests) -> None:
    """What a job wrote is never replaced."""
    manifests.put(manifest())
    with pytest.raises(errors.ObjectExists, match=JOB):
        manifests.put(manifest(chunker="other"))
    assert manifests.get(KEY) == manifest()


def test_keys_are_oldest_day_first(manifests: BucketManifests, store: TargetStore) -> None:
    """Only manifests, only of this environment, more than a page of them."""
    days = [f"2026{month:02d}{day:02d}" for month in (12, 3, 11) for day in (9, 1, 30)]
    put = [manifests.put(manifest(f"snapshot_{day}T000000Z_aaaaaa")) for day in days]
    BucketManifests(store, "prod/eu").put(manifest())
    BucketManifests(store, "production").put(manifest())
    store.put("backups/prod/2026-11-23/notes.txt", b"x")
    store.put(f"backups/prod/2026-11-24/{JOB}/backup_manifest.json", b"x")  # a day that is not the job's
    assert list(manifests.keys()) == sorted(put)


CHECK = "verify_20261123T160000Z_c0ffee"
RECORD = f"backups/prod/2026-11-23/{CHECK}/verify_record.json"


def record(job_id: str = CHECK, **details: Any) -> VerifyRecord:
    told = VerifyDetails(tier="hot", **details).builtins()
    job = Job(
        id=job_id, kind="verify", target="t", outcome="ok", started_at=NOON, host="school", pid=1, finished_at=NOON,
        details=told,
    )  # fmt: skip
    return VerifyRecord(job=job)


def test_records_lie_beside_manifests(manifests: BucketManifests, store: TargetStore) -> None:
    """As manifests: once written they stay, they come back equal, and neither is taken for the other."""
    manifests.put(manifest())
    assert manifests.put(record(reads=(1, 2))) == RECORD == manifests.put(record(reads=(1, 2)))
    assert manifests.record(RECORD) == record(reads=(1, 2))
    assert (list(manifests.keys()), list(manifests.record_keys())) == ([KEY], [RECORD])
    assert manifests.find(CHECK) is None
    with pytest.raises(errors.ObjectExists, match=CHECK):
        manifests.put(record(reads=(3,)))
    for wrong, ask in ((RECORD, manifests.get), (KEY, manifests.record)):
        with pytest.raises(errors.UsageError):
            ask(wrong)
    store.put(RECORD, b'{"job": 1}')
    with pytest.raises(errors.Damaged):
        manifests.record(RECORD)
    store.put(RECORD, store.get(manifests.put(record("verify_20261123T160000Z_other0"))))
    with pytest.raises(errors.Damaged):
        manifests.record(RECORD)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b"\xff\xfe", b'{"job_id": 7}'])
def test_nonsense_is_damaged(manifests: BucketManifests, store: TargetStore, body: bytes) -> None:
    """Bytes that are no manifest never become one."""
    store.put(KEY, body)
    with pytest.raises(errors.Damaged):
        manifests.get(KEY)


def test_the_manifest_of_another_job_is_damaged(manifests: BucketManifests, store: TargetStore) -> None:
    """A manifest that was copied to another job's place does not speak for it."""
    key = manifests.put(manifest())
    other = key.replace("x7k2ab", "zzzzzz")
    store.put(other, store.get(key))
    with pytest.raises(errors.Damaged):
        manifests.get(other)


def test_a_missing_manifest(manifests: BucketManifests) -> None:
    with pytest.raises(errors.ObjectMissing):
        manifests.get(KEY)


@pytest.mark.parametrize(
    "job_id", ["", "../../etc", "snapshot_20261123T150836Z_../x", "snapshot_20261399T150836Z_aaaaaa", "SNAPSHOT", "a/b"]
)
def test_ids_that_are_none(manifests: BucketManifests, job_id: str) -> None:
    """They are not looked for, and nothing is written by them."""
    assert manifests.find(job_id) is None
    with pytest.raises(errors.UsageError):
        manifests.put(manifest(job_id))
    with pytest.raises(errors.UsageError):
        manifests.get(f"backups/prod/2026-11-23/{job_id}/backup_manifest.json")


@pytest.mark.parametrize("environment", ["", "..", "a/../b", "a//b"])
def test_environments_that_leave_their_place(store: TargetStore, environment: str) -> None:
    with pytest.raises(errors.UsageError):
        BucketManifests(store, environment)


class LosesAnswers(LocalStore):
    """A store whose first put is carried out and its answer lost."""

    lost = 0

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        super().put(key, body, if_absent=if_absent)
        if not self.lost:
            self.lost += 1
            raise errors.TargetUnreachable("The connection broke.")


def test_a_lost_answer_is_no_failure(tmp_path: Path) -> None:
    """The second try finds the first one's bytes, and they are ours."""
    store = LosesAnswers(tmp_path)
    assert BucketManifests(store, "prod").put(manifest()) == KEY
    assert [found.key for found in store.list("")] == [KEY]
