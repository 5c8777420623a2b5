"""The OSS server's own dialect, asked with oss2: signatures V1, V4 and STS."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import oss2
import pytest
import requests
from oss2.models import (
    AbortMultipartUpload,
    BatchDeleteObjectVersion,
    BatchDeleteObjectVersionList,
    BucketLifecycle,
    BucketVersioningConfig,
    LifecycleExpiration,
    LifecycleRule,
    PartInfo,
    StorageTransition,
    Tagging,
    TaggingRule,
)

from tests.servers.oss import OssServer


@pytest.fixture(params=["v1", "v4", "sts-v1", "sts-v4"])
def bucket(request: pytest.FixtureRequest, oss: OssServer, fresh_bucket: str) -> oss2.Bucket:
    """A bucket of its own, by each kind of credentials."""
    return open_bucket(oss, fresh_bucket, auth_of(oss, request.param))


def auth_of(server: OssServer, kind: str) -> oss2.auth.AuthBase:
    """oss2's object for a kind of credentials."""
    version = kind.removeprefix("sts-")
    if kind.startswith("sts-"):
        keys = server.issue_sts_token()
        return oss2.StsAuth(keys.access_key_id, keys.access_key_secret, keys.security_token, version)
    return oss2.make_auth(server.access_key_id, server.access_key_secret, version)


def open_bucket(server: OssServer, name: str, auth: oss2.auth.AuthBase) -> oss2.Bucket:
    """Through the proxy, virtual-hosted, as production would."""
    session = oss2.Session()
    session.session.proxies = {"http": server.proxy_url}
    session.session.trust_env = False
    region = server.signing_region
    return oss2.Bucket(auth, server.endpoint, name, session=session, region=region, connect_timeout=(5, 20))


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """Status and code of the error that a call ends in."""
    with pytest.raises(oss2.exceptions.OssError) as caught:
        call()
    return caught.value.status, caught.value.code


def test_objects_come_back_as_they_went(bucket: oss2.Bucket) -> None:
    """Put, head, get, range, copy, tags and delete agree with each other."""
    key = "dir/a b+c%d é=&?.txt"
    put = bucket.put_object(key, b"hello oss", headers={"x-oss-meta-colour": "blue", "Content-Type": "text/plain"})
    assert (put.status, put.etag) == (200, hashlib.md5(b"hello oss").hexdigest().upper())
    got = bucket.get_object(key)
    assert got.read() == b"hello oss"
    assert (got.headers["x-oss-meta-colour"], got.content_type, got.client_crc) == (
        "blue",
        "text/plain",
        got.server_crc,
    )
    head = bucket.head_object(key)
    assert (head.content_length, head.headers["x-oss-storage-class"], head.object_type) == (9, "Standard", "Normal")
    assert bucket.get_object_meta(key).content_length == 9
    assert bucket.get_object(key, byte_range=(6, 8)).read() == b"oss"
    assert bucket.get_object(key, byte_range=(100, 200)).read() == b"hello oss"
    bucket.copy_object(bucket.bucket_name, key, "copy")
    assert bucket.get_object("copy").read() == b"hello oss"
    rule = TaggingRule()
    rule.add("tier", "cold + old")
    modified = bucket.head_object("copy").last_modified
    bucket.put_object_tagging("copy", Tagging(rule))
    assert bucket.get_object_tagging("copy").tag_set.tagging_rule == {"tier": "cold + old"}
    assert bucket.head_object("copy").last_modified == modified
    bucket.delete_object_tagging("copy")
    assert bucket.get_object_tagging("copy").tag_set.tagging_rule == {}
    assert bucket.delete_object("copy").status == 204
    assert not bucket.object_exists("copy")
    assert bucket.delete_object("never was").status == 204
    assert refused(lambda: bucket.get_object("copy")) == (404, "NoSuchKey")
    assert refused(lambda: bucket.head_object("copy")) == (404, "NoSuchKey")


def test_put_if_absent(bucket: oss2.Bucket) -> None:
    """`x-oss-forbid-overwrite` keeps the first object."""
    headers = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("once", b"first", headers=headers)
    assert refused(lambda: bucket.put_object("once", b"second", headers=headers)) == (409, "FileAlreadyExists")
    copying = lambda: bucket.copy_object(bucket.bucket_name, "once", "once", headers=headers)  # noqa: E731
    assert refused(copying) == (409, "FileAlreadyExists")
    assert bucket.get_object("once").read() == b"first"
    bucket.put_object("once", b"third")
    assert bucket.get_object("once").read() == b"third"


def test_listings_page_and_fold(bucket: oss2.Bucket) -> None:
    """V1 and V2 give every key once, in order, whatever the page size, and fold by delimiter."""
    keys = sorted([f"data/{n:02}/pack {n}+é" for n in range(7)] + ["config", "keys/one", "snapshots/two"])
    for key in keys:
        bucket.put_object(key, key.encode())
    assert [item.key for item in oss2.ObjectIterator(bucket, max_keys=3)] == keys
    assert [item.key for item in oss2.ObjectIteratorV2(bucket, max_keys=3)] == keys
    folded = [item.key for item in oss2.ObjectIterator(bucket, delimiter="/", max_keys=2)]
    assert sorted(folded) == ["config", "data/", "keys/", "snapshots/"]
    assert [item.key for item in oss2.ObjectIteratorV2(bucket, prefix="data/", delimiter="/", max_keys=4)] == [
        f"data/{n:02}/" for n in range(7)
    ]
    page = bucket.list_objects_v2(start_after="keys/one", fetch_owner=True)
    assert [(item.key, item.owner.id != "", item.type) for item in page.object_list] == [
        ("snapshots/two", True, "Normal")
    ]
    stat = bucket.get_bucket_stat()
    assert (stat.object_count, stat.storage_size_in_bytes) == (len(keys), sum(len(key.encode()) for key in keys))
    done = bucket.batch_delete_objects(keys[:4])
    assert sorted(done.deleted_keys) == keys[:4]
    assert [item.key for item in oss2.ObjectIterator(bucket)] == keys[4:]


@pytest.mark.parametrize("bucket", ["v1", "sts-v4"], indirect=True)
def test_multipart(bucket: oss2.Bucket) -> None:
    """Parts become one object; an upload can be listed and given up."""
    key = "big/object"
    upload = bucket.init_multipart_upload(key).upload_id
    pieces = [b"a" * 5 * 1024 * 1024, b"b" * 1000]
    parts = [
        PartInfo(number, bucket.upload_part(key, upload, number, piece).etag)
        for number, piece in enumerate(pieces, start=1)
    ]
    assert [part.size for part in bucket.list_parts(key, upload).parts] == [len(piece) for piece in pieces]
    assert [item.key for item in bucket.list_multipart_uploads().upload_list] == [key]
    bucket.complete_multipart_upload(key, upload, parts)
    assert bucket.get_object(key).read() == b"".join(pieces)
    assert bucket.head_object(key).object_type == "Multipart"
    given_up = bucket.init_multipart_upload("other").upload_id
    bucket.abort_multipart_upload("other", given_up)
    assert bucket.list_multipart_uploads().upload_list == []
    assert refused(lambda: bucket.upload_part("other", given_up, 1, b"x"))[1] == "NoSuchUpload"


def test_streamed_upload_of_unknown_length(bucket: oss2.Bucket) -> None:
    """A generator is sent with chunked transfer encoding."""
    bucket.put_object("streamed", (b"%06d" % n for n in range(50000)))
    assert bucket.get_object("streamed").read() == b"".join(b"%06d" % n for n in range(50000))


def test_presigned_url(bucket: oss2.Bucket, oss: OssServer) -> None:
    """A signed URL needs no header, and stops working when touched or late."""
    bucket.put_object("shared", b"for you")
    url = bucket.sign_url("GET", "shared", 60, slash_safe=True)
    proxies = {"http": oss.proxy_url}
    assert requests.get(url, proxies=proxies, timeout=10).content == b"for you"
    other = requests.get(url.replace("shared", "others"), proxies=proxies, timeout=10)
    assert (other.status_code, "SignatureDoesNotMatch" in other.text) == (403, True)
    late = requests.get(bucket.sign_url("GET", "shared", -1, slash_safe=True), proxies=proxies, timeout=10)
    assert (late.status_code, "<Code>AccessDenied</Code>" in late.text) == (403, True)


def test_bucket_calls(oss: OssServer, bucket: oss2.Bucket) -> None:
    """Info, location, versioning, encryption, lock and acl answer as OSS does."""
    info = bucket.get_bucket_info()
    assert (info.name, info.location, info.extranet_endpoint) == (
        bucket.bucket_name,
        oss.region,
        oss.endpoint.removeprefix("http://"),
    )
    assert (info.storage_class, info.acl.grant, info.versioning_status) == ("Standard", "private", None)
    assert bucket.get_bucket_location().location == oss.region
    assert refused(bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")
    assert refused(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    assert refused(bucket.get_bucket_encryption) == (404, "NoSuchServerSideEncryptionRule")
    assert refused(bucket.get_bucket_cors) == (501, "NotImplemented")
    assert bucket.get_bucket_versioning().status is None
    versioning = BucketVersioningConfig()
    versioning.status = "Enabled"
    bucket.put_bucket_versioning(versioning)
    assert bucket.get_bucket_versioning().status == "Enabled"
    assert bucket.get_bucket_info().versioning_status == "Enabled"
    first = bucket.put_object("versioned", b"1").versionid
    bucket.put_object("versioned", b"2")
    bucket.delete_object("versioned")
    bucket.put_object("odd +é", b"3")
    bucket.put_object("odd +é", b"4")
    page = bucket.list_object_versions(max_keys=1)
    assert (page.versions[0].key, page.next_key_marker) == ("odd +é", "odd +é")
    rest = bucket.list_object_versions(key_marker=page.next_key_marker, versionid_marker=page.next_versionid_marker)
    assert [item.key for item in rest.versions] == ["odd +é", "versioned", "versioned"]
    listed = bucket.list_object_versions(prefix="ver")
    assert (len(listed.versions), len(listed.delete_marker)) == (2, 1)
    assert bucket.get_object("versioned", params={"versionId": first}).read() == b"1"
    assert refused(bucket.delete_bucket) == (409, "BucketNotEmpty")
    gone = BatchDeleteObjectVersionList()
    for item in [*page.versions, *rest.versions, *rest.delete_marker]:
        gone.append(BatchDeleteObjectVersion(item.key, item.versionid))
    bucket.delete_object_versions(gone)
    assert bucket.delete_bucket().status == 204
    assert refused(bucket.get_bucket_info) == (404, "NoSuchBucket")
    assert refused(lambda: bucket.put_object("k", b"")) == (404, "NoSuchBucket")
    assert refused(lambda: bucket.head_object("k")) == (404, "NoSuchBucket")
    assert bucket.create_bucket().status == 200
    assert bucket.create_bucket().status == 200


def test_list_buckets_by_path_and_by_proxy(oss: OssServer, fresh_bucket: str) -> None:
    """The service call works at the endpoint's own name and at the loopback address."""
    session = oss2.Session()
    session.session.proxies = {"http": oss.proxy_url}
    for kind, endpoint in (("v1", oss.endpoint), ("v4", oss.path_endpoint)):
        auth = auth_of(oss, kind)
        service = oss2.Service(auth, endpoint, session=session, region=oss.signing_region)
        found = {item.name: item.location for item in oss2.BucketIterator(service)}
        assert found[fresh_bucket] == oss.region
    direct = oss2.Bucket(auth_of(oss, "v1"), oss.path_endpoint, fresh_bucket)
    direct.put_object("by path", b"x")
    assert direct.get_object("by path").read() == b"x"


def test_lifecycle_comes_back(bucket: oss2.Bucket) -> None:
    """What was put is what is read, and a second put replaces the first."""
    tags = TaggingRule()
    tags.add("resticwrap-tier", "cold")
    rules = [
        LifecycleRule(
            "cold",
            "repo/data/",
            tagging=Tagging(tags),
            expiration=LifecycleExpiration(days=730),
            storage_transitions=[
                StorageTransition(days=30, storage_class="IA"),
                StorageTransition(days=60, storage_class="Archive"),
                StorageTransition(days=180, storage_class="ColdArchive"),
            ],
        ),
        LifecycleRule("parts", "repo/", abort_multipart_upload=AbortMultipartUpload(days=3)),
    ]
    bucket.put_bucket_lifecycle(BucketLifecycle(rules))
    read = bucket.get_bucket_lifecycle().rules
    assert [(rule.id, rule.prefix, rule.status) for rule in read] == [
        ("cold", "repo/data/", "Enabled"),
        ("parts", "repo/", "Enabled"),
    ]
    assert [(step.days, step.storage_class) for step in read[0].storage_transitions] == [
        (30, "IA"),
        (60, "Archive"),
        (180, "ColdArchive"),
    ]
    assert read[0].tagging.tag_set.tagging_rule == {"resticwrap-tier": "cold"}
    assert (read[0].expiration.days, read[1].abort_multipart_upload.days) == (730, 3)
    bucket.put_bucket_lifecycle(BucketLifecycle(rules[1:]))
    assert [rule.id for rule in bucket.get_bucket_lifecycle().rules] == ["parts"]
    bucket.delete_bucket_lifecycle()
    assert refused(bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")
    late = [StorageTransition(days=60, storage_class="IA"), StorageTransition(days=30, storage_class="Archive")]
    wrong = BucketLifecycle([LifecycleRule("wrong", "x/", storage_transitions=late)])
    assert refused(lambda: bucket.put_bucket_lifecycle(wrong)) == (400, "InvalidArgument")
    twice = BucketLifecycle([LifecycleRule(name, "x/", expiration=LifecycleExpiration(days=9)) for name in "ab"])
    assert refused(lambda: bucket.put_bucket_lifecycle(twice)) == (400, "InvalidArgument")
    bucket.put_bucket_lifecycle(twice, headers={"x-oss-allow-same-action-overlap": "true"})


def test_age_freezes_and_a_restore_thaws(private_oss: OssServer) -> None:
    """Transition, refusal, thaw, end of the thaw and expiry follow the server's clock, across a restart."""
    server = private_oss
    bucket = open_bucket(server, server.create_bucket("frozen"), auth_of(server, "v4"))
    bucket.put_object("data/pack", b"cold")
    bucket.put_object("data/warm", b"warm")
    rule = LifecycleRule(
        "cold",
        "data/pack",
        storage_transitions=[StorageTransition(days=30, storage_class="Archive")],
        expiration=LifecycleExpiration(days=90),
    )
    bucket.put_bucket_lifecycle(BucketLifecycle([rule]))
    assert server.advance(days=29) == 0
    assert bucket.get_object("data/pack").read() == b"cold"
    assert server.advance(days=2) == 1
    assert refused(lambda: bucket.get_object("data/pack")) == (403, "InvalidObjectState")
    assert refused(lambda: bucket.copy_object("frozen", "data/pack", "copy")) == (403, "InvalidObjectState")
    assert bucket.head_object("data/pack").headers["x-oss-storage-class"] == "Archive"
    assert refused(lambda: bucket.restore_object("data/warm")) == (400, "OperationNotSupported")
    assert refused(lambda: bucket.restore_object("nothing")) == (404, "NoSuchKey")
    assert bucket.restore_object("data/pack").status == 202
    assert refused(lambda: bucket.restore_object("data/pack")) == (409, "RestoreAlreadyInProgress")
    assert bucket.head_object("data/pack").headers["x-oss-restore"] == 'ongoing-request="true"'
    server.stop()
    server.start()
    server.advance(seconds=61)
    assert bucket.head_object("data/pack").headers["x-oss-restore"].startswith('ongoing-request="false", expiry-date="')
    assert bucket.get_object("data/pack").read() == b"cold"
    assert bucket.restore_object("data/pack").status == 200
    server.advance(days=2)
    assert refused(lambda: bucket.get_object("data/pack")) == (403, "InvalidObjectState")
    assert server.advance(days=60) == 1
    assert refused(lambda: bucket.head_object("data/pack")) == (404, "NoSuchKey")
    bucket.put_object("direct", b"x", headers={"x-oss-storage-class": "ColdArchive"})
    assert refused(lambda: bucket.get_object("direct")) == (403, "InvalidObjectState")


def test_wrong_credentials(oss: OssServer, fresh_bucket: str) -> None:
    """Every kind of wrong key is refused with the code that OSS gives it."""
    server = oss
    key, secret = server.access_key_id, server.access_key_secret

    def answer(auth: oss2.auth.AuthBase, region: str = "") -> tuple[int, str]:
        bucket = open_bucket(server, fresh_bucket, auth)
        bucket.region = region or bucket.region
        return refused(bucket.get_bucket_info)

    keys, ended = server.issue_sts_token(), server.issue_sts_token(0)
    for version in ("v1", "v4"):
        assert answer(oss2.make_auth(key, "wrong", version)) == (403, "SignatureDoesNotMatch")
        assert answer(oss2.make_auth("nobody", secret, version)) == (403, "InvalidAccessKeyId")
        assert answer(oss2.make_auth(keys.access_key_id, keys.access_key_secret, version)) == (
            403,
            "InvalidAccessKeyId",
        )
        wrong_token = oss2.StsAuth(keys.access_key_id, keys.access_key_secret, "wrong", version)
        assert answer(wrong_token) == (403, "InvalidSecurityToken")
        late = oss2.StsAuth(ended.access_key_id, ended.access_key_secret, ended.security_token, version)
        assert answer(late) == (403, "SecurityTokenExpired")
        wrong_secret = oss2.StsAuth(keys.access_key_id, "wrong", keys.security_token, version)
        assert answer(wrong_secret) == (403, "SignatureDoesNotMatch")
    assert answer(oss2.make_auth(key, secret, "v4"), "cn-elsewhere") == (400, "InvalidArgument")
    assert answer(oss2.AnonymousAuth()) == (403, "AccessDenied")


def test_path_style_at_the_endpoint_is_refused(oss: OssServer, fresh_bucket: str) -> None:
    """As on the real service; and the proxy serves no other host."""
    proxies = {"http": oss.proxy_url}
    answer = requests.get(f"{oss.endpoint}/{fresh_bucket}/key", proxies=proxies, timeout=10)
    assert (answer.status_code, "<Code>SecondLevelDomainForbidden</Code>" in answer.text) == (403, True)
    assert requests.get("http://elsewhere.invalid/", proxies=proxies, timeout=10).status_code == 502


def test_faults_and_latency(private_oss: OssServer) -> None:
    """Injected errors hit exactly the requests they were meant for; the record shows how we were asked."""
    server = private_oss
    bucket = open_bucket(server, server.create_bucket("faults"), auth_of(server, "v1"))
    server.clear()
    server.fail_next(2, 503, "ServiceUnavailable", method="PUT", contains="/a")
    bucket.put_object("b", b"1")
    for _ in range(2):
        assert refused(lambda: bucket.put_object("a", b"1")) == (503, "ServiceUnavailable")
    bucket.put_object("a", b"1")
    server.latency(0.2)
    began = time.monotonic()
    bucket.head_object("a")
    assert time.monotonic() - began >= 0.2
    seen = server.requests()
    assert [(item["method"], item["status"]) for item in seen] == [
        ("PUT", 200),
        ("PUT", 503),
        ("PUT", 503),
        ("PUT", 200),
        ("HEAD", 200),
    ]
    assert {(item["style"], item["dialect"]) for item in seen} == {("virtual", "oss")}


def test_storage_down_is_said_at_once(private_oss: OssServer) -> None:
    """A stopped SeaweedFS is a 503; started again it is another process with the same data on the same port."""
    server = private_oss
    bucket = open_bucket(server, server.create_bucket("down"), auth_of(server, "v4"))
    bucket.put_object("kept", b"still here")
    before = server.weed.pid
    server.weed.stop()
    assert server.weed.pid is None
    assert refused(bucket.get_bucket_info) == (503, "ServiceUnavailable")
    server.weed.start()
    assert server.weed.pid != before
    assert bucket.get_object("kept").read() == b"still here"
