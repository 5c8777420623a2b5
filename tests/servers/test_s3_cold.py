"""The S3 server with archive classes, asked with boto3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers.s3_cold import ColdS3, start_cold
from tests.servers.weed import S3Server

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@pytest.fixture(scope="module")
def cold(weed: S3Server) -> Iterator[ColdS3]:
    """One whose clock is these tests'."""
    with start_cold(weed) as server:
        yield server


@pytest.fixture
def s3(cold: ColdS3) -> Any:
    return client_of(cold, cold.access_key, cold.secret_key)


def client_of(server: ColdS3, key: str, secret: str) -> Any:
    """A client with one attempt."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=server.region,
        config=Config(retries={"total_max_attempts": 1}),
    )


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def step(days: int, storage_class: str) -> dict[str, Any]:
    return {"Days": days, "StorageClass": storage_class}


def rule(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"ID": "cold", "Status": "Enabled", "Filter": {"Prefix": "data/"}, **more}
    return {**made, "Transitions": list(steps)} if steps else made


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any], **more: Any) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more)


def test_rules_come_back(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    """What was put is what is read; a second put replaces the first."""
    assert refused(lambda: s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket)) == (
        404,
        "NoSuchLifecycleConfiguration",
    )
    rules = [rule(step(30, "STANDARD_IA"), step(60, "GLACIER"), Expiration={"Days": 90})]
    put_rules(s3, fresh_bucket, *rules)
    read = s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket)
    assert read["Rules"] == rules and read["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    put_rules(s3, fresh_bucket, rule(step(0, "GLACIER"), ID="other"))
    assert [one["ID"] for one in s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket)["Rules"]] == ["other"]
    s3.delete_bucket_lifecycle(Bucket=fresh_bucket)
    assert refused(lambda: s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket))[0] == 404
    assert refused(lambda: put_rules(s3, "no-such-bucket", *rules)) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(step(29, "STANDARD_IA"))], "InvalidArgument"),
        ([rule(step(30, "STANDARD_IA"), step(59, "GLACIER"))], "InvalidArgument"),
        ([rule(step(30, "GLACIER"), step(30, "DEEP_ARCHIVE"))], "InvalidArgument"),
        ([rule(step(30, "GLACIER"), Expiration={"Days": 30})], "InvalidArgument"),
        ([rule(step(1, "GLACIER"))] * 2, "InvalidArgument"),
        ([rule(step(1, "GLACIER"), ID=str(n)) for n in range(1001)], "MalformedXML"),
        ([rule(step(1, "GLACIER"), Filter={"Prefix": "a", "ObjectSizeGreaterThan": 1})], "MalformedXML"),
        ([rule(step(1, "GLACIER"), Prefix="a")], "MalformedXML"),
        ([rule(step(1, "STANDARD"))], "MalformedXML"),
        ([rule()], "MalformedXML"),
        (
            [
                rule(
                    Filter={"Tag": {"Key": "tier", "Value": "cold"}},
                    AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3},
                )
            ],
            "InvalidRequest",
        ),
    ],
)
def test_wrong_rules_are_refused(s3: Any, fresh_bucket: str, rules: list[dict[str, Any]], code: str) -> None:
    """As the real one refuses them; and nothing is kept of them."""
    assert refused(lambda: put_rules(s3, fresh_bucket, *rules)) == (400, code)
    assert refused(lambda: s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket))[0] == 404


def test_signatures_are_checked(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    """Those of calls that are answered here, and by SeaweedFS those of all others; the second identity has no say."""
    wrong = client_of(cold, cold.access_key, "wrong")
    nobody = client_of(cold, "nobody", "wrong")
    second = client_of(cold, cold.second.access_key, cold.second.secret_key)
    s3.put_object(Bucket=fresh_bucket, Key="a", Body=b"1", StorageClass="GLACIER")
    for call in (
        lambda s3: s3.get_bucket_lifecycle_configuration(Bucket=fresh_bucket),
        lambda s3: s3.restore_object(Bucket=fresh_bucket, Key="a", RestoreRequest={"Days": 1}),
        lambda s3: s3.list_objects_v2(Bucket=fresh_bucket),
    ):
        assert refused(lambda: call(wrong)) == (403, "SignatureDoesNotMatch")  # noqa: B023
        assert refused(lambda: call(nobody)) == (403, "InvalidAccessKeyId")  # noqa: B023
    assert refused(lambda: put_rules(second, fresh_bucket, rule(step(1, "GLACIER")))) == (403, "AccessDenied")
    assert second.list_objects_v2(Bucket=fresh_bucket)["KeyCount"] == 1


def test_age_freezes_and_a_restore_thaws(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    """By prefix and tag; refusal, thaw, end of the thaw and expiry follow the clock, across a restart."""
    where = {"Bucket": fresh_bucket}
    big = bytes(200 * 1024)
    for key in ("data/a b+é", "data/untagged", "keys/k"):
        s3.put_object(**where, Key=key, Body=big)
    s3.put_object(**where, Key="data/small", Body=b"x", Tagging="tier=cold")
    key = {**where, "Key": "data/a b+é"}
    s3.put_object_tagging(**key, Tagging={"TagSet": [{"Key": "tier", "Value": "cold"}]})
    both = {"And": {"Prefix": "data/", "Tags": [{"Key": "tier", "Value": "cold"}]}}
    put_rules(s3, fresh_bucket, rule(step(30, "STANDARD_IA"), step(60, "GLACIER"), Filter=both))
    listed = lambda: {item["Key"]: item["StorageClass"] for item in s3.list_objects_v2(**where)["Contents"]}  # noqa: E731
    assert cold.advance(days=29) == 0
    assert cold.advance(days=2) == 1
    assert s3.get_object(**key)["Body"].read() == big
    cold.advance(days=30)
    assert listed() == {
        "data/a b+é": "GLACIER",
        "data/small": "STANDARD",
        "data/untagged": "STANDARD",
        "keys/k": "STANDARD",
    }
    assert refused(lambda: s3.get_object(**key)) == (403, "InvalidObjectState")
    copy = lambda: s3.copy_object(**where, Key="copy", CopySource=key)  # noqa: E731
    assert refused(copy) == (403, "InvalidObjectState")
    head = s3.head_object(**key)
    assert (head["StorageClass"], "Restore" in head) == ("GLACIER", False)
    ask = lambda **more: s3.restore_object(**{**key, **more}, RestoreRequest={"Days": 2})  # noqa: E731
    assert refused(lambda: ask(Key="keys/k")) == (403, "InvalidObjectState")
    assert refused(lambda: ask(Key="nothing")) == (404, "NoSuchKey")
    assert ask()["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert refused(ask) == (409, "RestoreAlreadyInProgress")
    assert s3.head_object(**key)["Restore"] == 'ongoing-request="true"'
    assert refused(lambda: s3.get_object(**key)) == (403, "InvalidObjectState")
    cold.stop()
    cold.start()
    cold.advance(seconds=4 * 3600 + 1)
    assert s3.head_object(**key)["Restore"].startswith('ongoing-request="false", expiry-date="')
    assert s3.get_object(**key)["Body"].read() == big
    assert ask()["ResponseMetadata"]["HTTPStatusCode"] == 200
    copy()
    assert "StorageClass" not in s3.head_object(**where, Key="copy")
    cold.advance(days=3)
    assert refused(lambda: s3.get_object(**key)) == (403, "InvalidObjectState")
    s3.put_object(**key, Body=b"new")
    assert (listed()["data/a b+é"], s3.get_object(**key)["Body"].read()) == ("STANDARD", b"new")


def test_thaws_can_be_made_quick(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    key = {"Bucket": fresh_bucket, "Key": "a"}
    s3.put_object(**key, Body=b"1", StorageClass="DEEP_ARCHIVE")
    assert refused(lambda: s3.get_object(**key)) == (403, "InvalidObjectState")
    cold.thaw_takes(0)
    s3.restore_object(**key, RestoreRequest={"Days": 1})
    cold.thaw_takes(-1)
    assert s3.get_object(**key)["Body"].read() == b"1"


def test_small_objects_move_where_they_are_let(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    """By a size filter, or by the older default of the bucket."""
    where = {"Bucket": fresh_bucket}
    s3.put_object(**where, Key="data/small", Body=b"x")
    put_rules(s3, fresh_bucket, rule(step(0, "GLACIER")))
    assert cold.advance() == 0
    varies = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    put_rules(s3, fresh_bucket, rule(step(0, "GLACIER")), **varies)
    assert s3.get_bucket_lifecycle_configuration(**where)["TransitionDefaultMinimumObjectSize"] == varies.popitem()[1]
    assert cold.advance() == 1
    s3.put_object(**where, Key="data/other", Body=b"x")
    sized = {"And": {"Prefix": "data/", "ObjectSizeGreaterThan": 0}}
    put_rules(s3, fresh_bucket, rule(step(30, "STANDARD_IA"), Filter=sized))
    assert cold.advance(days=31) == 1


def test_versions_have_their_own_classes(s3: Any, cold: ColdS3, fresh_bucket: str) -> None:
    """An old version stays frozen below a new one; a copy of it needs a thaw, and a marker hides it."""
    where = {"Bucket": fresh_bucket, "Key": "data/v"}
    s3.put_bucket_versioning(Bucket=fresh_bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(**where, Body=b"1", StorageClass="GLACIER")["VersionId"]
    s3.put_object(**where, Body=b"2")
    assert s3.get_object(**where)["Body"].read() == b"2"
    assert refused(lambda: s3.get_object(**where, VersionId=old)) == (403, "InvalidObjectState")
    listed = s3.list_object_versions(Bucket=fresh_bucket)["Versions"]
    assert [(item["StorageClass"], item["IsLatest"]) for item in listed] == [("STANDARD", True), ("GLACIER", False)]
    assert [item["StorageClass"] for item in s3.list_objects_v2(Bucket=fresh_bucket)["Contents"]] == ["STANDARD"]
    put_rules(s3, fresh_bucket, rule(step(0, "DEEP_ARCHIVE"), Filter={"ObjectSizeGreaterThan": 0}))
    assert cold.advance(seconds=1) == 1
    assert [item["StorageClass"] for item in s3.list_objects_v2(Bucket=fresh_bucket)["Contents"]] == ["DEEP_ARCHIVE"]
    source = {**where, "VersionId": old}
    assert refused(lambda: s3.copy_object(**where, CopySource=source)) == (403, "InvalidObjectState")
    cold.thaw_takes(0)
    s3.restore_object(**where, VersionId=old, RestoreRequest={"Days": 1})
    cold.thaw_takes(-1)
    s3.copy_object(**where, CopySource=source)
    assert s3.get_object(**where)["Body"].read() == b"1"
