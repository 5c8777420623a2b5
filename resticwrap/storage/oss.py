"""An Alibaba Cloud OSS bucket in its own dialect, through oss2. Implements Store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.ports import ObjectInfo, ResticAccess
from resticwrap.storage.bodies import replayable
from resticwrap.storage.keys import check_key, check_prefix
from resticwrap.storage.network import byte_range, proxy_env, proxy_secrets
from resticwrap.storage.oss_client import OssClient, by_path, signing_region
from resticwrap.storage.retry import Repeat

__all__ = ["OssStore", "signing_region"]

FORBID_OVERWRITE = "x-oss-forbid-overwrite"


class OssStore(OssClient):
    """The bucket of an OSS target. `env` stands for the process's environment; `page` is how many objects one request
    lists. Raises Failure where oss2 is not installed, UsageError where no region is known, or where bucket or endpoint
    are no such names."""

    def restic_access(self) -> ResticAccess:
        """What restic needs. It speaks OSS's S3 dialect, where the region has its `oss-` in front."""
        target, given = self._target, self._target.credentials
        lookup = "path" if by_path(target) else "dns"  # never auto: a domain of one's own would not be recognised
        options = [f"s3.bucket-lookup={lookup}", f"s3.region=oss-{self._region}"]
        if target.connections is not None:
            options.append(f"s3.connections={target.connections}")
        env = {
            "AWS_ACCESS_KEY_ID": given.access_key_id.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": given.access_key_secret.get_secret_value(),
        }
        secrets = [given.access_key_secret.get_secret_value()]
        if given.security_token is not None:
            env["AWS_SESSION_TOKEN"] = given.security_token.get_secret_value()
            secrets.append(given.security_token.get_secret_value())
        return ResticAccess(
            base=f"s3:{target.endpoint.rstrip('/')}/{target.bucket}/{target.namespace}",
            options=tuple(options),
            env={**env, **proxy_env(self._env)},
            secrets=(*secrets, *proxy_secrets(self._env)),
            ca_file=self._ca_file,
        )

    def create(self) -> bool:
        """Make the bucket; True when it was not there before."""
        try:
            self.probe()
        except errors.NoRepository:
            pass
        else:
            return False
        self._caller(self._bucket.create_bucket)
        return True

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """An object's bytes, or a range of them. Raises ObjectMissing."""
        check_key(key)
        if length == 0:
            return self.get(key, offset, 1)[:0]
        # `standard`: otherwise a range behind the end is answered with the whole object.
        ranged = offset != 0 or length is not None
        wanted = {"Range": byte_range(offset, length), "x-oss-range-behavior": "standard"} if ranged else {}
        return self._caller(lambda: self._get(key, wanted, offset, length), key=key)

    def put(self, key: str, body: bytes | BinaryIO, *, if_absent: bool = False) -> None:
        """Write an object whole or not at all. With `if_absent`, raises ObjectExists and leaves what is there."""
        check_key(key)
        with replayable(body) as data:
            headers = {"Content-MD5": data.md5, "Content-Type": "application/octet-stream"}
            if if_absent:
                headers[FORBID_OVERWRITE] = "true"
            self._caller(
                lambda: self._bucket.put_object(key, data.fresh(), headers=headers),
                repeat=Repeat.UNLESS_DONE if if_absent else Repeat.ALWAYS,
                key=key,
            )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more = ""
        while True:
            page = self._list_page(prefix, more)
            for item in page.object_list:
                modified = datetime.fromtimestamp(item.last_modified, UTC)
                yield ObjectInfo(key=item.key, size=item.size, modified=modified)
            if not page.is_truncated:
                return
            more = page.next_continuation_token

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        check_key(key)
        try:
            self._caller(lambda: self._bucket.delete_object(key), key=key)
        except errors.ObjectMissing:
            pass

    def time(self) -> Time | None:
        """The store's own clock, to the second, by one request."""
        return self._date.ask(self.probe)

    def _list_page(self, prefix: str, more: str) -> Any:
        return self._caller(
            lambda: self._bucket.list_objects_v2(prefix=prefix, continuation_token=more, max_keys=self._page)
        )

    def _get(self, key: str, wanted: dict[str, str], offset: int, length: int | None) -> bytes:
        try:
            answer = self._bucket.get_object(key, headers=wanted)
        except self._oss2.exceptions.ServerError as error:
            if error.status == 416:  # nothing lies that far behind the end
                return b""
            raise
        data: bytes = answer.read()
        if wanted and answer.status == 200:  # the server took the range for a wrong one
            return data[offset:] if length is None else data[offset : offset + length]
        return data
