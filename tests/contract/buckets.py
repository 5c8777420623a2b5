"""Makes the administrative sides of buckets under test, right and wrong ones, beside a store of the same bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from resticwrap.ports import Bucket, TargetStore
from resticwrap.storage.oss_bucket import OssBucket
from resticwrap.storage.s3_bucket import S3Bucket
from tests.contract.stores import OssKit, S3Kit
from tests.servers.oss import OssServer
from tests.servers.s3_cold import ColdS3


class Kit(Protocol):
    """One bucket that is there, with its store and what a test may do behind our back."""

    name: str
    bucket_name: str
    server: Any
    frozen_class: str

    @property
    def rules(self) -> bytes:
        """Rules that this provider takes."""

    @property
    def bucket(self) -> Bucket:
        """As it should be, asking for few objects a page."""

    @property
    def store(self) -> TargetStore: ...

    def wrong(self, key: str | None = None, secret: str | None = None) -> Bucket:
        """With other credentials."""

    def at(self, endpoint: str) -> Bucket:
        """At another endpoint."""

    def elsewhere(self) -> Bucket:
        """A bucket that is not there."""

    def freeze(self, key: str, kind: str = "") -> None:
        """Write an object in a frozen class."""

    def keep_versions(self, status: str = "Enabled") -> None:
        """Turn versioning on, or off again."""

    def put_raw(self, document: bytes) -> None:
        """Put rules as they are, past our client."""


@dataclass
class S3BucketKit:
    """An S3 bucket; `server` is one with archive classes or SeaweedFS itself."""

    server: Any
    bucket_name: str
    name: str = "s3"
    frozen_class: str = "GLACIER"

    def __post_init__(self) -> None:
        self.kit = S3Kit(self.server, self.bucket_name)
        self.store.create()

    @property
    def rules(self) -> bytes:
        return (
            b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>one</ID>'
            b"<Filter><And><Prefix>x/data/</Prefix><Tag><Key>tier</Key><Value>cold</Value></Tag></And></Filter>"
            b"<Status>Enabled</Status><Expiration><Days>730</Days></Expiration></Rule><Rule><ID>parts</ID>"
            b"<Filter><Prefix>x/</Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload>"
            b"<DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
            b"</LifecycleConfiguration>"
        )

    @cached_property
    def bucket(self) -> Bucket:
        return S3Bucket(self.kit.target(self.kit.keys()), {}, page=3)

    @cached_property
    def store(self) -> TargetStore:
        return self.kit.store()

    @cached_property
    def client(self) -> Any:
        """boto3's client."""
        return S3Bucket(self.kit.target(self.kit.keys()), {})._client()

    def wrong(self, key: str | None = None, secret: str | None = None) -> Bucket:
        return S3Bucket(self.kit.target(self.kit.keys(key, secret)), {})

    def at(self, endpoint: str) -> Bucket:
        return S3Bucket(self.kit.target(self.kit.keys(), endpoint=endpoint), {})

    def elsewhere(self) -> Bucket:
        other = S3Kit(self.server, f"{self.bucket_name}-not")
        return S3Bucket(other.target(other.keys()), {})

    def freeze(self, key: str, kind: str = "") -> None:
        self.client.put_object(Bucket=self.bucket_name, Key=key, Body=b"cold", StorageClass=kind or self.frozen_class)

    def keep_versions(self, status: str = "Enabled") -> None:
        self.client.put_bucket_versioning(Bucket=self.bucket_name, VersioningConfiguration={"Status": status})

    def put_raw(self, document: bytes) -> None:
        client = S3Bucket(self.kit.target(self.kit.keys()), {})._client()
        event = "before-call.s3.PutBucketLifecycleConfiguration"
        client.meta.events.register(event, lambda params, **_: params.update(body=document))
        rules = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
        client.put_bucket_lifecycle_configuration(Bucket=self.bucket_name, LifecycleConfiguration=rules)


@dataclass
class OssBucketKit:
    """An OSS bucket."""

    server: OssServer
    bucket_name: str
    name: str = "oss"
    frozen_class: str = "Archive"

    def __post_init__(self) -> None:
        self.kit = OssKit(self.server, self.bucket_name)
        self.store.create()

    @property
    def rules(self) -> bytes:
        return (
            b"<LifecycleConfiguration><Rule><ID>one</ID><Prefix>x/data/</Prefix>"
            b"<Tag><Key>tier</Key><Value>cold</Value></Tag><Status>Enabled</Status>"
            b"<Transition><Days>30</Days><StorageClass>IA</StorageClass></Transition></Rule>"
            b"<Rule><ID>parts</ID><Prefix>x/</Prefix><Status>Enabled</Status>"
            b"<AbortMultipartUpload><Days>3</Days></AbortMultipartUpload></Rule></LifecycleConfiguration>"
        )

    @cached_property
    def bucket(self) -> Bucket:
        return OssBucket(self.kit.target(self.kit.keys()), {}, page=3)

    @cached_property
    def store(self) -> TargetStore:
        return self.kit.store()

    @cached_property
    def client(self) -> Any:
        """oss2's bucket."""
        return OssBucket(self.kit.target(self.kit.keys()), {})._bucket

    def wrong(self, key: str | None = None, secret: str | None = None) -> Bucket:
        return OssBucket(self.kit.target(self.kit.keys(key, secret)), {})

    def at(self, endpoint: str) -> Bucket:
        return OssBucket(self.kit.target(self.kit.keys(), endpoint=endpoint), {})

    def elsewhere(self) -> Bucket:
        other = OssKit(self.server, f"{self.bucket_name}-not")
        return OssBucket(other.target(other.keys()), {})

    def freeze(self, key: str, kind: str = "") -> None:
        self.client.put_object(key, b"cold", headers={"x-oss-storage-class": kind or self.frozen_class})

    def keep_versions(self, status: str = "Enabled") -> None:
        from oss2.models import BucketVersioningConfig

        self.client.put_bucket_versioning(BucketVersioningConfig(status))

    def put_raw(self, document: bytes) -> None:
        self.client.put_bucket_lifecycle(document)


Cold = ColdS3 | OssServer


@contextmanager
def quick_thaws(server: Cold, seconds: float = 0) -> Iterator[None]:
    """Thaws that are asked for meanwhile take only this long."""
    server.thaw_takes(seconds)
    try:
        yield
    finally:
        server.thaw_takes(-1)
