"""SeaweedFS itself, and the S3 dialect of the OSS server: with boto3, over one bucket with oss2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import oss2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers.oss import OssServer
from tests.servers.weed import S3Server


def client_of(
    endpoint: str, key: str, secret: str, *, token: str | None = None, verify: Any = None, **config: Any
) -> Any:
    """A client without retries that sends plain bodies, as OSS needs."""
    settings = {
        "retries": {"total_max_attempts": 1},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        **config,
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        region_name="us-east-1",
        verify=verify,
        config=Config(**settings),
    )


def virtual(server: OssServer, *keys: str, token: str | None = None) -> Any:
    """Virtual-hosted style through the proxy."""
    key, secret = keys or (server.access_key_id, server.access_key_secret)
    config: dict[str, Any] = {"s3": {"addressing_style": "virtual"}, "proxies": {"http": server.proxy_url}}
    return client_of(server.endpoint, key, secret, token=token, **config)


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def test_seaweedfs_checks_keys(weed: S3Server, fresh_bucket: str) -> None:
    """A wrong secret is refused, a missing bucket stays missing, a bucket that holds something stays."""
    first = client_of(weed.endpoint, weed.access_key, weed.secret_key)
    first.put_object(Bucket=fresh_bucket, Key="a", Body=b"1")
    wrong = client_of(weed.endpoint, weed.access_key, "wrong")
    assert refused(lambda: wrong.list_objects_v2(Bucket=fresh_bucket)) == (403, "SignatureDoesNotMatch")
    assert refused(lambda: first.put_object(Bucket="nowhere", Key="a", Body=b"1")) == (404, "NoSuchBucket")
    assert refused(lambda: first.delete_bucket(Bucket=fresh_bucket)) == (409, "BucketNotEmpty")


def test_second_identity_can_be_kept_from_deleting(weed: S3Server, fresh_bucket: str) -> None:
    """With the policy it writes and reads, and deletes locks only; the first identity is not bound."""
    weed.deny_deletes(fresh_bucket)
    second = weed.second
    first = client_of(weed.endpoint, weed.access_key, weed.secret_key)
    bound = client_of(weed.endpoint, second.access_key, second.secret_key)
    for key in ("repo/data/a", "repo/locks/b"):
        bound.put_object(Bucket=fresh_bucket, Key=key, Body=b"1")
    assert refused(lambda: bound.delete_object(Bucket=fresh_bucket, Key="repo/data/a")) == (403, "AccessDenied")
    bound.delete_object(Bucket=fresh_bucket, Key="repo/locks/b")
    listed = bound.list_objects_v2(Bucket=fresh_bucket)
    assert [item["Key"] for item in listed["Contents"]] == ["repo/data/a"]
    first.delete_object(Bucket=fresh_bucket, Key="repo/data/a")


def test_both_dialects_see_one_bucket(oss: OssServer, fresh_bucket: str) -> None:
    """boto3 through the proxy and oss2 read each other's objects."""
    auth = oss2.make_auth(oss.access_key_id, oss.access_key_secret, "v4")
    native = oss2.Bucket(auth, oss.path_endpoint, fresh_bucket, region=oss.signing_region)
    s3 = virtual(oss)
    native.put_object("from/oss é", b"1", headers={"x-oss-meta-a": "b"})
    s3.put_object(Bucket=fresh_bucket, Key="from/s3+ é", Body=b"22", StorageClass="STANDARD_IA", Metadata={"c": "d"})
    assert s3.get_object(Bucket=fresh_bucket, Key="from/oss é")["Metadata"] == {"a": "b"}
    head = native.head_object("from/s3+ é")
    assert (head.headers["x-oss-meta-c"], head.headers["x-oss-storage-class"]) == ("d", "IA")
    assert s3.head_object(Bucket=fresh_bucket, Key="from/s3+ é")["StorageClass"] == "STANDARD_IA"
    listed = s3.list_objects_v2(Bucket=fresh_bucket)["Contents"]
    assert [item["Key"] for item in listed] == [item.key for item in oss2.ObjectIterator(native)]
    native.put_object("frozen", b"x", headers={"x-oss-storage-class": "Archive"})
    assert refused(lambda: s3.get_object(Bucket=fresh_bucket, Key="frozen")) == (403, "InvalidObjectState")
    s3.put_object(Bucket=fresh_bucket, Key="frozen", Body=b"new")
    assert native.get_object("frozen").read() == b"new"
    style = {item["style"] for item in oss.requests() if item["dialect"] == "s3"}
    assert "virtual" in style


def test_limits_of_the_s3_dialect(oss: OssServer, fresh_bucket: str) -> None:
    """What OSS does not offer is 501, path style at the endpoint 403, wrong keys are refused by SeaweedFS."""
    s3 = virtual(oss)
    s3.put_object(Bucket=fresh_bucket, Key="a", Body=b"1")
    assert refused(lambda: s3.get_object_tagging(Bucket=fresh_bucket, Key="a")) == (501, "NotImplemented")
    assert refused(lambda: s3.get_bucket_versioning(Bucket=fresh_bucket)) == (501, "NotImplemented")
    wrong = virtual(oss, oss.access_key_id, "wrong")
    assert refused(lambda: wrong.list_objects_v2(Bucket=fresh_bucket)) == (403, "SignatureDoesNotMatch")
    nobody = virtual(oss, "nobody", "wrong")
    assert refused(lambda: nobody.list_objects_v2(Bucket=fresh_bucket)) == (403, "InvalidAccessKeyId")
    config: dict[str, Any] = {"s3": {"addressing_style": "path"}, "proxies": {"http": oss.proxy_url}}
    path = client_of(oss.endpoint, oss.access_key_id, oss.access_key_secret, **config)
    assert refused(lambda: path.list_objects_v2(Bucket=fresh_bucket)) == (403, "SecondLevelDomainForbidden")


def test_trailing_checksums_are_refused_over_tls(oss: OssServer, fresh_bucket: str) -> None:
    """boto3's default over TLS is the aws-chunked form that OSS refuses; `when_required` is taken."""
    keys = (oss.access_key_id, oss.access_key_secret)
    verify = str(oss.ca_file)
    default = client_of(oss.tls_endpoint, *keys, verify=verify, request_checksum_calculation="when_supported")

    def put(client: Any) -> None:
        client.put_object(Bucket=fresh_bucket, Key="a", Body=b"1")

    assert refused(lambda: put(default)) == (400, "InvalidArgument")
    plain = client_of(oss.tls_endpoint, *keys, verify=verify)
    put(plain)
    assert plain.get_object(Bucket=fresh_bucket, Key="a")["Body"].read() == b"1"


def test_session_tokens_in_the_s3_dialect(oss: OssServer, fresh_bucket: str) -> None:
    """Temporary keys work with their token, and with nothing else."""
    keys, ended = oss.issue_sts_token(), oss.issue_sts_token(0)
    s3 = virtual(oss, keys.access_key_id, keys.access_key_secret, token=keys.security_token)
    body = bytes(range(256)) * 4096
    s3.put_object(Bucket=fresh_bucket, Key="dir/a b+é", Body=body)
    assert s3.get_object(Bucket=fresh_bucket, Key="dir/a b+é")["Body"].read() == body
    listed = s3.list_objects_v2(Bucket=fresh_bucket, Prefix="dir/a b+")
    assert [item["Key"] for item in listed["Contents"]] == ["dir/a b+é"]
    wrong = virtual(oss, keys.access_key_id, "wrong", token=keys.security_token)
    assert refused(lambda: wrong.list_objects_v2(Bucket=fresh_bucket)) == (403, "SignatureDoesNotMatch")
    other = virtual(oss, keys.access_key_id, keys.access_key_secret, token="other")
    assert refused(lambda: other.list_objects_v2(Bucket=fresh_bucket)) == (403, "InvalidSecurityToken")
    late = virtual(oss, ended.access_key_id, ended.access_key_secret, token=ended.security_token)
    assert refused(lambda: late.list_objects_v2(Bucket=fresh_bucket)) == (403, "SecurityTokenExpired")
    bare = virtual(oss, keys.access_key_id, keys.access_key_secret)
    assert refused(lambda: bare.list_objects_v2(Bucket=fresh_bucket)) == (403, "InvalidAccessKeyId")
