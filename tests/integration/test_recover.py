"""`rw recover-deleted` on a real bucket that keeps versions: deleted, overwritten, killed in between, locked."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import oss2
import pytest

from resticwrap.planning.backup import RESUME_BYTES
from resticwrap.restic.crypto import MasterKey
from resticwrap.services.recover import recover
from tests.conftest import MakeLab
from tests.handmade import seal
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import Lab, template_files, tree
from tests.servers.weed import S3Server


def s3_of(lab: Lab, weed: S3Server) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=weed.endpoint,
        aws_access_key_id=weed.access_key,
        aws_secret_access_key=weed.secret_key,
        region_name=weed.region,
    )


@pytest.fixture
def versioned(make_lab: MakeLab, weed: S3Server) -> Callable[..., Lab]:
    """A lab on a bucket that keeps versions, backed up twice."""

    def make(lock_days: int = 0) -> Lab:
        lab = make_lab("s3", ready=False)
        s3, bucket = s3_of(lab, weed), lab.target["bucket"]
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bool(lock_days))
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        if lock_days:
            s3.put_object_lock_configuration(
                Bucket=bucket,
                ObjectLockConfiguration={
                    "ObjectLockEnabled": "Enabled",
                    "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": lock_days}},
                },
            )
        for key, content in template_files(lab.restic):
            s3.put_object(Bucket=bucket, Key=f"{lab.namespace}/{key}", Body=content)
        lab.rw("init")
        lab.write("exams/large.bin", os.urandom(400_000))
        lab.fill("profiles", 2)
        lab.rw("backup")
        lab.fill("exams", 3)
        lab.rw("backup")
        return lab

    return make


def moment() -> str:
    """Now, with nothing else in the same second: that is how finely a store may tell times."""
    time.sleep(1.1)
    now = datetime.now(UTC).isoformat()
    time.sleep(1.1)
    return now


def whole(lab: Lab) -> None:
    """It reads back whole, and restores identically, also where no cache helps."""
    lab.bare("check", "--read-data")
    place = lab.folder / f"back-{secrets.token_hex(3)}"
    lab.rw("restore", "--to", str(place), env={"RESTIC_CACHE_DIR": str(lab.folder / secrets.token_hex(3))})
    for domain in ("exams", "profiles"):
        assert tree(place / domain) == tree(lab.data / domain)


def keys(lab: Lab, prefix: str = "") -> list[str]:
    with lab.house() as built:
        return [item.key for item in built.store.list(prefix)]


def test_everything_deleted(versioned: Callable[..., Lab]) -> None:
    """All objects are deleted: the dry run says so and changes nothing; the run brings all back but locks; a second
    one finds nothing to do. A domain backed up after the time keeps its snapshot."""
    lab = versioned()
    at, before = moment(), set(keys(lab))
    lab.write("exams/later.bin", os.urandom(1000))
    lab.rw("backup", "--domain", "exams")
    later = set(keys(lab)) - before
    with lab.house() as built:
        for key in before - {key for key in before if "/locks/" in key}:
            built.store.delete(key)
        built.store.put(f"{lab.namespace}/hot/locks/{'a' * 64}", b"no lock at all")
        built.store.delete(f"{lab.namespace}/hot/locks/{'a' * 64}")
    lab.rw("snapshots", code=10)
    dry = lab.json("recover-deleted", "--at", at, "--dry-run")
    fits(ELSEWHERE["recover-deleted --dry-run"], dry, "dry run")
    assert sorted(key for part in dry["parts"] for key in part["keys"]) == sorted(before)
    assert set(keys(lab)) == later
    report = lab.json("recover-deleted", "--at", at)
    fits(ELSEWHERE["recover-deleted"], report, "run")
    assert report["job"]["outcome"] == "ok" and report["brought_back"] == len(before)
    assert [tier["ok"] for tier in report["tiers"]] == [True, True] and report["tiers"][0]["snapshots"] == 4
    assert [part["name"] for part in report["plan"]["parts"]] == ["hot", "cold", "records"]
    # That it was brought back is evidence.
    assert {key for key in keys(lab) if "/evidence/" not in key} == before | later
    whole(lab)
    assert lab.json("recover-deleted", "--at", at)["brought_back"] == 0


def test_overwritten_with_garbage(versioned: Callable[..., Lab]) -> None:
    """Packs, index, snapshots, keys and config hold garbage of the same length; all come back, and once only."""
    lab = versioned()
    at, before = moment(), keys(lab, f"{lab.namespace}/hot/")
    with lab.house() as built:
        for key in before:
            built.store.put(key, os.urandom(len(built.store.get(key))))
    report = lab.json("recover-deleted", "--at", at, "--tier", "hot")
    assert report["plan"]["parts"][0]["overwritten"] == report["brought_back"] == len(before)
    assert report["tiers"][0]["ok"]
    whole(lab)
    assert lab.json("recover-deleted", "--at", at)["brought_back"] == 0


def test_killed_in_between_and_what_is_gone(versioned: Callable[..., Lab], weed: S3Server) -> None:
    """Interrupted after three objects, the next one brings back the rest. A pack of which no version is left is named,
    and the recovery exits 20."""
    lab = versioned()
    lab.target["parallel"] = 1
    lab.write_policies()
    at, before = moment(), keys(lab, f"{lab.namespace}/hot/")
    with lab.house() as built:
        for key in before:
            built.store.delete(key)
        context = built.context
        bucket, done = context.bucket(), list[str]()
        assert bucket is not None
        real = bucket.bring_back

        def dying(version: Any, marker: Any) -> None:
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(version.key)
            real(version, marker)

        object.__setattr__(bucket, "bring_back", dying)
        with pytest.raises(KeyboardInterrupt):
            recover(context, ("hot",), datetime.fromisoformat(at))
    s3, lost = s3_of(lab, weed), max(key for key in before if "/data/" in key and key not in done)
    listed = s3.list_object_versions(Bucket=lab.target["bucket"], Prefix=lost)
    for one in listed["Versions"]:
        s3.delete_object(Bucket=lab.target["bucket"], Key=lost, VersionId=one["VersionId"])
    report = lab.json("recover-deleted", "--at", at, code=20)
    assert report["brought_back"] == len(before) - 4
    assert report["plan"]["parts"][0]["gone"] == [lost]
    assert report["tiers"][0]["lost"] == [lost.rsplit("/", 1)[1]] and not report["tiers"][0]["ok"]
    assert report["tiers"][1]["ok"]
    text = lab.rw("recover-deleted", "--at", at, code=20).out
    assert lost in text


def test_what_the_index_names_and_nobody_has(versioned: Callable[..., Lab], weed: S3Server) -> None:
    """A file's snapshot is forgotten and pruned, and of the packs that went no version is left. The recovery brings the
    old index back and says which packs are lost; after it a backup of that file stores it again, and is restored."""
    lab = versioned()
    content = os.urandom(300_000)
    lab.write("exams/precious.bin", content)
    lab.rw("backup", "--domain", "exams")
    at, packs = moment(), set(keys(lab, f"{lab.namespace}/hot/data/"))
    with lab.house() as built:
        newest = built.context.hot.snapshots()[-1].id
    (lab.data / "exams" / "precious.bin").unlink()
    lab.rw("backup", "--domain", "exams", "--type", "full")
    lab.bare("forget", newest)
    lab.bare("prune", "--max-unused=0")
    gone = packs - set(keys(lab, f"{lab.namespace}/hot/data/"))
    assert gone
    s3, bucket = s3_of(lab, weed), lab.target["bucket"]
    for key in gone:
        listed = s3.list_object_versions(Bucket=bucket, Prefix=key)
        for one in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=one["VersionId"])
    report = lab.json("recover-deleted", "--at", at, code=20)
    assert set(report["tiers"][0]["lost"]) == {key.rsplit("/", 1)[1] for key in gone}
    lab.write("exams/precious.bin", content)
    lab.rw("backup", "--domain", "exams", "--type", "full")
    place = lab.folder / "back"
    lab.rw("restore", "--domain", "exams", "--to", str(place), env={"RESTIC_CACHE_DIR": str(lab.folder / "none")})
    assert tree(place / "exams") == tree(lab.data / "exams")
    said, costs = " ".join(report["notes"]), " ".join(report["tiers"][0]["messages"])
    assert "1 files need it, such as exams/precious.bin, in 1 snapshots: " in costs
    assert "rw verify" in said and all(key.rsplit("/", 1)[1] in said for key in gone)


def test_removed_keys_stay_removed(versioned: Callable[..., Lab]) -> None:
    """A password that was revoked opens nothing after a recovery, also to a time at which it did; where no key is left
    at all, keys come back."""
    lab = versioned()
    (lab.folder / "second").write_text("a second password")
    lab.bare("key", "add", "--new-password-file", str(lab.folder / "second"))
    before, folder = moment(), f"{lab.namespace}/hot/keys/"

    def opens() -> int:
        return lab.bare("--password-file", str(lab.folder / "second"), "cat", "config", check=False).returncode

    assert opens() == 0
    listed = json.loads(lab.bare("key", "list", "--json").stdout)
    (revoked,) = [key["id"] for key in listed if not key["current"]]
    lab.bare("key", "remove", revoked)
    assert opens() == 12
    since = moment()
    for at in (before, since):
        report = lab.json("recover-deleted", "--at", at, "--tier", "hot")
        assert opens() == 12 and not any("/keys/" in key for key in report["plan"]["parts"][0]["keys"])
    assert "1 key of hot that was removed stays removed" in " ".join(
        lab.json("recover-deleted", "--at", before, "--tier", "hot", "--dry-run")["notes"]
    )
    with lab.house() as built:
        for key in keys(lab, folder):
            built.store.delete(key)
    assert lab.json("recover-deleted", "--at", since, "--tier", "hot")["brought_back"] == 1
    assert opens() == 12
    whole(lab)


def test_the_config_is_the_pinned_one_or_is_left(versioned: Callable[..., Lab]) -> None:
    """With a pin the config comes back with the pinned bytes, though others were there at the time; without one, what
    is there now is left alone and named, and one that is gone comes back."""
    lab = versioned()
    key = f"{lab.namespace}/hot/config"
    with lab.house() as built:
        store = built.store
        own = store.get(key)
        store.put(key, b"somebody else's")
        other = moment()
        store.put(key, own)
        store.delete(key)
        assert lab.json("recover-deleted", "--at", other, "--tier", "hot")["brought_back"] == 1
        assert store.get(key) == own
        store.put(key, b"somebody else's")
        lab.json("recover-deleted", "--at", other, "--tier", "hot")
        assert store.get(key) == own
        state = lab.state / "pins" / "main.json"
        pins = state.read_bytes()
        state.unlink()
        dry = lab.json("recover-deleted", "--at", other, "--tier", "hot", "--dry-run")
        assert dry["parts"][0]["keys"] == [] and key in " ".join(dry["notes"])
        lab.json("recover-deleted", "--at", other, "--tier", "hot", code=None)
        assert store.get(key) == own
        good = moment()
        store.delete(key)
        assert lab.json("recover-deleted", "--at", good, "--tier", "hot")["brought_back"] == 1
        assert store.get(key) == own
        state.write_bytes(pins)
    whole(lab)


@pytest.mark.parametrize("exclusive", [True, False])
def test_nobody_prunes_meanwhile(versioned: Callable[..., Lab], exclusive: bool) -> None:
    """Somebody else's exclusive lock is a refusal, and nothing is done; that of a backup is none."""
    lab = versioned()
    at = moment()
    with lab.house() as built:
        first = built.context.hot.snapshots()[0].id
        lab.bare("forget", first)
        master = MasterKey.from_json(lab.bare("cat", "masterkey").stdout)
        document = {"time": datetime.now(UTC).isoformat(), "exclusive": exclusive, "hostname": "elsewhere", "pid": 7}
        sealed = seal(json.dumps(document).encode(), master._encrypt, master._mac_k, master._mac_r)
        lock = f"{lab.namespace}/hot/locks/{hashlib.sha256(sealed).hexdigest()}"
        built.store.put(lock, sealed)
        if exclusive:
            error = lab.json("recover-deleted", "--at", at, code=11)["error"]
            assert "elsewhere" in error["message"] and "rw unlock" in error["hint"]
            assert not built.context.hot.holds(first)
            built.store.delete(lock)
        lab.rw("recover-deleted", "--at", at)
        assert built.context.hot.holds(first)


def test_one_who_came_meanwhile_is_told(versioned: Callable[..., Lab]) -> None:
    """An exclusive lock that is there at the end, and a repair that is not to be had: it says that no backup may run,
    and the next backup of this machine tries the repair itself."""
    lab = versioned()
    at = moment()
    with lab.house() as built:
        context = built.context
        pack = next(key for key in keys(lab, f"{lab.namespace}/hot/data/"))
        lab.bare("forget", context.hot.snapshots()[0].id)
        master = MasterKey.from_json(lab.bare("cat", "masterkey").stdout)
        document = {"time": datetime.now(UTC).isoformat(), "exclusive": True, "hostname": "elsewhere", "pid": 7}
        sealed = seal(json.dumps(document).encode(), master._encrypt, master._mac_k, master._mac_r)
        bucket = context.bucket()
        assert bucket is not None
        real = bucket.bring_back

        def pruned(version: Any, marker: Any) -> None:
            real(version, marker)
            built.store.delete(pack)
            built.store.put(f"{lab.namespace}/hot/locks/{hashlib.sha256(sealed).hexdigest()}", sealed)

        object.__setattr__(bucket, "bring_back", pruned)
        report = recover(context, ("hot",), datetime.fromisoformat(at))
        said = " ".join(report.notes)
        assert report.job.outcome == "failed" and not report.tiers[0].ok
        assert "no backup may run" in said and "restic repair index" in said and "elsewhere" in said
        latest = context.state.latest("main")
        assert latest is not None and latest.unindexed > RESUME_BYTES


def test_under_a_lock(versioned: Callable[..., Lab], weed: S3Server) -> None:
    """With object lock in compliance mode no version can be destroyed, and what was deleted comes back."""
    from botocore.exceptions import ClientError

    lab = versioned(lock_days=1)
    at, before = moment(), keys(lab, f"{lab.namespace}/hot/")
    s3, bucket = s3_of(lab, weed), lab.target["bucket"]
    with lab.house() as built:
        for key in before:
            built.store.delete(key)
    for one in s3.list_object_versions(Bucket=bucket, Prefix=f"{lab.namespace}/hot/data/")["Versions"]:
        with pytest.raises(ClientError):
            s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    assert lab.json("recover-deleted", "--at", at, "--tier", "hot")["brought_back"] == len(before)
    whole(lab)


def test_where_it_cannot_be(make_lab: MakeLab) -> None:
    """A folder, a bucket without versions, a time to come: each says so, and nothing is done."""
    now = datetime.now(UTC).isoformat()
    assert "folder" in make_lab("local").json("recover-deleted", "--at", now, code=2)["error"]["message"]
    bucket = make_lab("s3")
    assert "keeps no versions" in bucket.json("recover-deleted", "--at", now, code=1)["error"]["message"]
    assert "future" in bucket.json("recover-deleted", "--at", "2099-01-01", code=2)["error"]["message"]


def test_on_oss(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in OSS's own dialect: some deleted, some overwritten, all back."""
    lab = make_lab("oss", ready=False)
    monkeypatch.setenv("HTTP_PROXY", lab.env["HTTP_PROXY"])
    raw = oss2.Bucket(
        oss2.AuthV4(lab.env["LAB_KEY"], lab.env["LAB_SECRET"]),
        lab.target["endpoint"],
        lab.target["bucket"],
        region=lab.target["region"].removeprefix("oss-"),
    )
    raw.create_bucket()
    raw.put_bucket_versioning(oss2.models.BucketVersioningConfig(status="Enabled"))
    for key, content in template_files(lab.restic):
        raw.put_object(f"{lab.namespace}/{key}", content)
    lab.rw("init")
    lab.fill("exams", 3)
    lab.fill("profiles", 2)
    lab.rw("backup")
    at, before = moment(), [key for key in keys(lab) if "/cold/" not in key]
    with lab.house() as built:
        for number, key in enumerate(before):
            if number % 2:
                built.store.delete(key)
            else:
                built.store.put(key, b"garbage")
    report = lab.json("recover-deleted", "--at", at, "--tier", "hot")
    hot, records = report["plan"]["parts"]
    assert report["brought_back"] == len(before) and report["job"]["outcome"] == "ok"
    assert hot["deleted"] and hot["overwritten"] and records["deleted"] + records["overwritten"] == 1
    whole(lab)
