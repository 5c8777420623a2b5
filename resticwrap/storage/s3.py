"""A bucket that speaks S3, through botocore (the core of boto3); it is made through boto3. Implements Store."""

from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, BinaryIO

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.ports import ObjectInfo, ResticAccess
from resticwrap.storage.bodies import replayable
from resticwrap.storage.keys import check_key, check_prefix
from resticwrap.storage.network import byte_range, proxy_env, proxy_secrets
from resticwrap.storage.retry import Repeat
from resticwrap.storage.s3_client import S3Client, lookup, status_of
from resticwrap.storage.s3_session import DEFAULT_REGION

OWNED = "BucketAlreadyOwnedByYou"


class S3Store(S3Client):
    """The bucket of an S3 target. `env` stands for the process's environment; `page` is how many objects one request
    lists. Nothing is loaded and nobody is asked before the first call."""

    def restic_access(self) -> ResticAccess:
        """What restic needs, with credentials as of now."""
        session = self._opened()
        identity = self._call(session.identity, repeat=Repeat.ALWAYS)
        target = self._target
        options = [f"s3.bucket-lookup={lookup(target)}"]
        if session.region:
            options.append(f"s3.region={session.region}")
        if target.connections is not None:
            options.append(f"s3.connections={target.connections}")
        return ResticAccess(
            base=f"s3:{target.endpoint.rstrip('/')}/{target.bucket}/{target.namespace}",
            options=tuple(options),
            env={**identity.env, **proxy_env(self._env)},
            secrets=identity.secrets + proxy_secrets(self._env),
            ca_file=session.ca_file,
        )

    def create(self) -> bool:
        """Make the bucket; True when it was not there before."""
        try:
            self.probe()
        except errors.NoRepository:
            pass
        else:
            return False
        region = self._opened().region or DEFAULT_REGION
        # Amazon refuses its first region by name.
        where = {} if region == DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        return self._call(lambda: self._make_bucket(where))

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""
        check_key(key)
        if length == 0:
            return self.get(key, offset, 1)[:0]
        wanted = {} if offset == 0 and length is None else {"Range": byte_range(offset, length)}
        return self._call(lambda: self._get(key, wanted, offset, length), key=key)

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all. With `if_absent`, raises ObjectExists and leaves what is there."""
        check_key(key)
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with replayable(body) as data:
            self._call(
                lambda: self._client().put_object(
                    Bucket=self._target.bucket, Key=key, Body=data.fresh(), ContentMD5=data.md5, **condition
                ),
                repeat=Repeat.UNLESS_DONE if if_absent else Repeat.ALWAYS,
                key=key,
            )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more: dict[str, str] = {}
        while True:
            page = self._list_page(prefix, more)
            for item in page.get("Contents", ()):
                yield ObjectInfo(key=item["Key"], size=item["Size"], modified=item["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        check_key(key)
        try:
            self._call(lambda: self._client().delete_object(Bucket=self._target.bucket, Key=key), key=key)
        except errors.ObjectMissing:
            pass

    def time(self) -> Time | None:
        """The store's own clock, to the second, by one request."""
        return self._date.ask(self.probe)

    def _list_page(self, prefix: str, more: dict[str, str]) -> Any:
        return self._call(
            lambda: self._client().list_objects_v2(
                Bucket=self._target.bucket, Prefix=prefix, MaxKeys=self._page, **more
            )
        )

    def _get(self, key: str, wanted: dict[str, str], offset: int, length: int | None) -> bytes:
        from botocore.exceptions import ClientError

        try:
            answer = self._client().get_object(Bucket=self._target.bucket, Key=key, **wanted)
        except ClientError as error:
            if status_of(error) == 416:  # nothing lies that far behind the end
                return b""
            raise
        with answer["Body"] as body:
            data: bytes = body.read()
        if wanted and answer["ResponseMetadata"]["HTTPStatusCode"] == 200:  # the server knows no ranges
            return data[offset:] if length is None else data[offset : offset + length]
        return data

    def _make_bucket(self, where: Mapping[str, Any]) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._new_client(administer=True).create_bucket(Bucket=self._target.bucket, **where)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != OWNED:
                raise
            return False  # somebody of ours was faster
        return True
