"""The administrative side of an Alibaba Cloud OSS bucket, through oss2. Implements Bucket."""

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time
from resticwrap.model.bucket import ObjectLock, ObjectVersion, StoredObject, Thaw, ThawSpeed, Versioning
from resticwrap.model.policy import OssTarget
from resticwrap.storage.administer import (
    REFUSED_RULES,
    VersionsPage,
    asking,
    check_marker,
    read_versions,
    thaw_of,
    with_tag,
)
from resticwrap.storage.keys import check_key, check_prefix
from resticwrap.storage.oss_client import NOT_OSS, PAGE, OssClient
from resticwrap.storage.retry import TIMEOUTS, Fault, Row, Timeouts

STANDARD = "Standard"
LONGEST_THAW = {"Archive": 7, "ColdArchive": 365, "DeepColdArchive": 365}
"""The frozen classes, with the days that an object of each can stay thawed."""
SPEEDS: Mapping[str, Mapping[ThawSpeed, str]] = {
    "ColdArchive": {"expedited": "Expedited", "standard": "Standard", "bulk": "Bulk"},
    "DeepColdArchive": {"expedited": "Expedited", "standard": "Standard", "bulk": "Standard"},
}
"""Archive has one speed."""
CHANGE_RULES = ("change its lifecycle rules", "oss:PutBucketLifecycle and oss:DeleteBucketLifecycle")


class OssBucket(OssClient):
    """The bucket of an OSS target, as OssClient."""

    def __init__(
        self,
        target: OssTarget,
        env: Mapping[str, str],
        *,
        timeouts: Timeouts = TIMEOUTS,
        clock: Clock | None = None,
        page: int = PAGE,
    ) -> None:
        super().__init__(target, env, timeouts=timeouts, clock=clock, page=page)

        class Raw(self._oss2.Bucket):  # type: ignore[misc, name-defined]
            """Gives answers word for word: what oss2 makes of rules leaves out what it does not know."""

            @staticmethod
            def _parse_result(resp: Any, parse_func: object, klass: object) -> bytes:
                del parse_func, klass
                return bytes(resp.read())

        self._raw = self._connect(Raw, timeouts)

    @property
    def provider(self) -> Literal["s3", "oss"]:
        """Which dialect it speaks."""
        return "oss"

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more = ""
        while True:
            page = self._list_page(prefix, more)
            for item in page.object_list:
                yield StoredObject(
                    key=item.key,
                    size=item.size,
                    modified=datetime.fromtimestamp(item.last_modified, UTC),
                    storage_class=item.storage_class or STANDARD,
                )
            if not page.is_truncated:
                return
            more = page.next_continuation_token

    def _list_page(self, prefix: str, more: str) -> Any:
        return self._ask(
            ("list its objects", "oss:ListObjects"),
            lambda: self._bucket.list_objects_v2(prefix=prefix, continuation_token=more, max_keys=self._page),
        )

    def tags(self, key: str) -> Mapping[str, str]:
        """The object's tags. Raises ObjectMissing."""
        check_key(key)
        answer = self._ask(
            ("read the tags of its objects", "oss:GetObjectTagging"),
            lambda: self._bucket.get_object_tagging(key),
            key=key,
        )
        return dict(answer.tag_set.tagging_rule)

    def tag(self, key: str, name: str, value: str) -> bool:
        """Give an object this tag; those it has already stay. False where it had it. Raises ObjectMissing."""
        merged = with_tag(self.tags(key), key, name, value)
        if merged is None:
            return False
        rule = self._oss2.models.TaggingRule()
        for each, text in merged.items():
            rule.add(each, text)
        self._ask(
            ("tag its objects", "oss:PutObjectTagging"),
            lambda: self._bucket.put_object_tagging(key, self._oss2.models.Tagging(rule)),
            key=key,
        )
        return True

    def lifecycle(self) -> bytes | None:
        """The rules as the bucket has them, the very XML of its answer; None where there are none."""
        answer: bytes | None = self._ask(
            ("read its lifecycle rules", "oss:GetBucketLifecycle"),
            self._raw.get_bucket_lifecycle,
            absent=("NoSuchLifecycle",),
        )
        return answer

    def put_lifecycle(self, document: bytes | None) -> None:
        """Replace all rules by this XML, which is sent as it is; None removes them."""
        if document is None:
            self._ask(CHANGE_RULES, self._bucket.delete_bucket_lifecycle, absent=("NoSuchLifecycle",))
            return
        digest = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
        self._ask(
            CHANGE_RULES,
            lambda: self._bucket.put_bucket_lifecycle(document, headers={"Content-MD5": digest}),
            rows=REFUSED_RULES,
        )

    def versioning(self) -> Versioning:
        """Whether the bucket keeps old versions."""
        answer = self._ask(
            ("see whether it keeps versions", "oss:GetBucketVersioning"), self._bucket.get_bucket_versioning
        )
        states: dict[str, Versioning] = {"Enabled": "enabled", "Suspended": "suspended"}
        return states.get(answer.status or "", "off")

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version and delete marker, in the order of the keys, newest first within a key."""
        check_prefix(prefix)
        more: tuple[str, str] = ("", "")
        while True:
            page = self._versions_page(prefix, more)
            yield from page.found
            if page.more is None:
                return
            if page.more == more:
                raise errors.TargetUnreachable(f"{self._place.endpoint} lists versions without an end.")
            more = page.more

    def _versions_page(self, prefix: str, after: tuple[str, str]) -> VersionsPage:
        key, version = after
        document = self._ask(
            ("list the versions of its objects", "oss:ListObjectVersions"),
            lambda: self._raw.list_object_versions(
                prefix=prefix, key_marker=key, versionid_marker=version, max_keys=self._page
            ),
        )
        try:
            return read_versions(document, unquote, STANDARD)
        except (ET.ParseError, ValueError, KeyError) as error:
            raise self._place.failure(Fault(error, code=NOT_OSS)) from None

    def read_version(self, version: ObjectVersion) -> bytes:
        """The bytes of one version. Raises ObjectMissing."""
        found: bytes = self._ask(
            ("read versions of its objects", "oss:GetObjectVersion"),
            lambda: self._bucket.get_object(version.key, params={"versionId": version.version}).read(),
            key=version.key,
        )
        return found

    def bring_back(self, version: ObjectVersion, marker: ObjectVersion | None) -> None:
        """Make this version what a plain read sees: by removing the delete `marker` that lies right on it, else by
        copying it over. May be repeated."""
        check_marker(version, marker)
        if marker is not None:
            self._ask(
                ("remove the delete markers of its objects", "oss:DeleteObjectVersion"),
                lambda: self._bucket.delete_object(marker.key, params={"versionId": marker.version}),
                key=version.key,
            )
            return
        self._ask(
            ("copy versions of its objects", "oss:GetObjectVersion, oss:GetObjectVersionTagging and oss:PutObject"),
            lambda: self._bucket.copy_object(
                self._target.bucket, version.key, version.key, params={"versionId": version.version}
            ),
            key=version.key,
        )

    def lock(self) -> ObjectLock | None:
        """The retention policy of the bucket, None where there is none."""
        answer = self._ask(
            ("read its retention policy", "oss:GetBucketWorm"),
            self._bucket.get_bucket_worm,
            absent=("NoSuchWORMConfiguration",),
        )
        if answer is None:
            return None
        try:
            since = datetime.fromisoformat(answer.creation_date).astimezone(UTC)
            return ObjectLock(mode=answer.state, days=answer.retention_period_days, since=since)
        except (ValueError, TypeError) as error:
            raise self._place.failure(Fault(error, code=NOT_OSS)) from None

    def locked_until(self, version: ObjectVersion) -> Time | None:
        """OSS does not tell it by object: its lock is on the bucket."""
        del version
        return None

    def thaw(self, key: str, days: int, speed: ThawSpeed) -> None:
        """Ask for a frozen object to be readable for so many days, 7 at most in the class Archive. May be repeated: one
        that is thawing or readable is no error. Where its class has no such speed, the next slower one is asked for.
        Raises ObjectMissing."""
        check_key(key)
        kind = self._head(key).get("x-oss-storage-class")
        if kind not in LONGEST_THAW:
            return
        models = self._oss2.models
        tier = SPEEDS[kind][speed] if kind in SPEEDS else ""
        job = models.RestoreJobParameters(tier) if tier else None
        request = models.RestoreConfiguration(min(days, LONGEST_THAW[kind]), job)
        self._ask(
            ("thaw its objects", "oss:RestoreObject"),
            lambda: self._bucket.restore_object(key, input=request),
            key=key,
            absent=("RestoreAlreadyInProgress", "OperationNotSupported"),  # the latter: moved to a warm class just now
        )

    def thaw_state(self, key: str) -> Thaw:
        """Whether an object can be read now. Raises ObjectMissing."""
        check_key(key)
        head = self._head(key)
        frozen = head.get("x-oss-storage-class") in LONGEST_THAW
        return thaw_of(head.get("x-oss-restore")) if frozen else Thaw(state="readable")

    def _head(self, key: str) -> Mapping[str, str]:
        answer = self._ask(("read its objects", "oss:GetObject"), lambda: self._bucket.head_object(key), key=key)
        headers: Mapping[str, str] = answer.headers
        return headers

    def _ask(
        self,
        what: tuple[str, str],
        call: Callable[[], Any],
        *,
        key: str = "",
        absent: tuple[str, ...] = (),
        rows: Mapping[str, Row] | None = None,
    ) -> Any:
        """What the call returns, None where the store answers with one of the codes in `absent`. `what` is what it
        does, and the permission it needs."""

        def attempt() -> Any:
            try:
                return call()
            except self._oss2.exceptions.ServerError as error:
                if error.code in absent:
                    return None
                raise

        return self._caller.at(asking(self._place, *what, rows))(attempt, key=key)
