"""The buckets and folders behind targets, each spoken to by its own client, and the manifests that lie in them."""

from collections.abc import Mapping

from resticwrap.clock import Clock
from resticwrap.model.policy import LocalTarget, OssTarget, S3Target
from resticwrap.ports import Bucket, ResticAccess, TargetStore
from resticwrap.storage.manifests import BucketManifests

__all__ = ["BucketManifests", "ResticAccess", "TargetStore", "open_bucket", "open_store"]


def open_store(
    target: LocalTarget | S3Target | OssTarget, env: Mapping[str, str], clock: Clock | None = None
) -> TargetStore:
    """The store of a target; only the client of its provider is ever loaded. Raises Failure where that cannot be."""
    match target:
        case LocalTarget():
            from resticwrap.storage.local import LocalStore

            return LocalStore(target.path, target.namespace)
        case S3Target():
            from resticwrap.storage.retry import timeouts_within
            from resticwrap.storage.s3 import S3Store

            return S3Store(target, env, timeouts=timeouts_within(target.grace), clock=clock)
        case OssTarget():
            from resticwrap.storage.oss import OssStore
            from resticwrap.storage.retry import timeouts_within

            return OssStore(target, env, timeouts=timeouts_within(target.grace), clock=clock)


def open_bucket(
    target: LocalTarget | S3Target | OssTarget, env: Mapping[str, str], clock: Clock | None = None
) -> Bucket | None:
    """The administrative side of a target's store: None for a folder. As `open_store`."""
    match target:
        case LocalTarget():
            return None
        case S3Target():
            from resticwrap.storage.retry import timeouts_within
            from resticwrap.storage.s3_bucket import S3Bucket

            return S3Bucket(target, env, timeouts=timeouts_within(target.grace), clock=clock)
        case OssTarget():
            from resticwrap.storage.oss_bucket import OssBucket
            from resticwrap.storage.retry import timeouts_within

            return OssBucket(target, env, timeouts=timeouts_within(target.grace), clock=clock)
