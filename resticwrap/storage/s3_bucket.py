"""The administrative side of a bucket that speaks S3, through boto3. Implements Bucket."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.bucket import ObjectLock, ObjectVersion, StoredObject, Thaw, ThawSpeed, Versioning
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
from resticwrap.storage.lifecycle_xml import as_parameters
from resticwrap.storage.retry import Fault, Repeat, Row
from resticwrap.storage.s3_client import S3Client, read_fault

STANDARD = "STANDARD"
FROZEN = ("GLACIER", "DEEP_ARCHIVE")
SPEEDS = {"expedited": "Expedited", "standard": "Standard", "bulk": "Bulk"}
NO_RULES = ("NoSuchLifecycleConfiguration",)
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")
NO_RETENTION = (*NO_LOCK, "NoSuchObjectLegalHold", "InvalidRequest")
"""InvalidRequest: the bucket has no object lock at all."""
FOREVER = datetime.max.replace(tzinfo=UTC)
READ_RULES = ("read its lifecycle rules", "s3:GetLifecycleConfiguration")
CHANGE_RULES = ("change its lifecycle rules", "s3:PutLifecycleConfiguration")
MINIMUM = "TransitionDefaultMinimumObjectSize"
MINIMUM_HEADER = "x-amz-transition-default-minimum-object-size"
RAW = "RawDocument"


class S3Bucket(S3Client):
    """The bucket of an S3 target, as S3Client."""

    _administers = True

    @property
    def provider(self) -> Literal["s3", "oss"]:
        """Which dialect it speaks."""
        return "s3"

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of the keys; one page is in memory at a time."""
        check_prefix(prefix)
        more: dict[str, str] = {}
        while True:
            page = self._list_page(prefix, more)
            for item in page.get("Contents", ()):
                yield StoredObject(
                    key=item["Key"],
                    size=item["Size"],
                    modified=item["LastModified"].astimezone(UTC),
                    storage_class=item.get("StorageClass") or STANDARD,
                )
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _list_page(self, prefix: str, more: Mapping[str, str]) -> Any:
        return self._ask(
            ("list its objects", "s3:ListBucket"),
            lambda s3, bucket: s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=self._page, **more),
        )

    def tags(self, key: str) -> Mapping[str, str]:
        """The object's tags. Raises ObjectMissing."""
        check_key(key)
        answer = self._ask(
            ("read the tags of its objects", "s3:GetObjectTagging"),
            lambda s3, bucket: s3.get_object_tagging(Bucket=bucket, Key=key),
            key=key,
        )
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def tag(self, key: str, name: str, value: str) -> bool:
        """Give an object this tag; those it has already stay. False where it had it. Raises ObjectMissing."""
        merged = with_tag(self.tags(key), key, name, value)
        if merged is None:
            return False
        listed = [{"Key": name, "Value": value} for name, value in merged.items()]
        self._ask(
            ("tag its objects", "s3:PutObjectTagging"),
            lambda s3, bucket: s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": listed}),
            key=key,
        )
        return True

    def lifecycle(self) -> bytes | None:
        """The rules as the bucket has them, the very XML of its answer; None where there are none."""
        answer = self._rules()
        return None if answer is None else bytes(answer[RAW])

    def put_lifecycle(self, document: bytes | None) -> None:
        """Replace all rules by this XML; None removes them. Raises Failure, before anything is sent, where the client
        would not pass on every element of it."""
        if document is None:
            self._ask(CHANGE_RULES, lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket), absent=NO_RULES)
            return
        service = self._client().meta.service_model
        rules = as_parameters(service, document)
        minimum = self._minimum(service)
        self._ask(
            CHANGE_RULES,
            lambda s3, bucket: s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration=rules, **minimum
            ),
            rows=REFUSED_RULES,
        )

    def _minimum(self, service: Any) -> dict[str, str]:
        """What the bucket has beside its rules: the size below which nothing is moved, which a put without it resets.
        Raises Failure where the client cannot send it."""
        answer = self._rules() or {}
        kept = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(MINIMUM_HEADER)
        if not kept:
            return {}
        if MINIMUM not in service.operation_model("PutBucketLifecycleConfiguration").input_shape.members:
            raise errors.Failure(
                f"The S3 client is too old to keep the bucket's {MINIMUM}.", hint="Upgrade boto3 and botocore."
            )
        return {MINIMUM: kept}

    def _rules(self) -> Any:
        return self._ask(
            READ_RULES,
            lambda s3, bucket: s3.get_bucket_lifecycle_configuration(Bucket=bucket),
            absent=NO_RULES,
        )

    def versioning(self) -> Versioning:
        """Whether the bucket keeps old versions."""
        answer = self._ask(
            ("see whether it keeps versions", "s3:GetBucketVersioning"),
            lambda s3, bucket: s3.get_bucket_versioning(Bucket=bucket),
        )
        states: dict[str, Versioning] = {"Enabled": "enabled", "Suspended": "suspended"}
        return states.get(answer.get("Status", ""), "off")

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version and delete marker, in the order of the keys, newest first within a key."""
        check_prefix(prefix)
        more: tuple[str, str] | None = None
        while True:
            page = self._versions_page(prefix, more)
            yield from page.found
            if page.more is None:
                return
            if page.more == more:
                raise errors.TargetUnreachable(f"{self._place.endpoint} lists versions without an end.")
            more = page.more

    def _versions_page(self, prefix: str, after: tuple[str, str] | None) -> VersionsPage:
        begin: dict[str, str] = {}
        if after is not None:
            begin = {"KeyMarker": after[0]} | ({"VersionIdMarker": after[1]} if after[1] else {})
        answer = self._ask(
            ("list the versions of its objects", "s3:ListBucketVersions"),
            lambda s3, bucket: s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=self._page, **begin),
        )
        try:
            return read_versions(answer[RAW], unquote_plus, STANDARD)
        except (ET.ParseError, ValueError, KeyError) as error:
            raise self._place.failure(Fault(error, code="NotS3")) from None

    def read_version(self, version: ObjectVersion) -> bytes:
        """The bytes of one version. Raises ObjectMissing."""

        def read(s3: Any, bucket: str) -> bytes:
            with s3.get_object(Bucket=bucket, Key=version.key, VersionId=version.version)["Body"] as body:
                data: bytes = body.read()
            return data

        found: bytes = self._ask(("read versions of its objects", "s3:GetObjectVersion"), read, key=version.key)
        return found

    def bring_back(self, version: ObjectVersion, marker: ObjectVersion | None) -> None:
        """Make this version what a plain read sees: by removing the delete `marker` that lies right on it, else by
        copying it over. May be repeated."""
        check_marker(version, marker)
        if marker is not None:
            self._ask(
                ("remove the delete markers of its objects", "s3:DeleteObjectVersion"),
                lambda s3, bucket: s3.delete_object(Bucket=bucket, Key=marker.key, VersionId=marker.version),
                key=version.key,
            )
            return
        self._ask(
            ("copy versions of its objects", "s3:GetObjectVersion, s3:GetObjectVersionTagging and s3:PutObject"),
            lambda s3, bucket: s3.copy_object(
                Bucket=bucket,
                Key=version.key,
                CopySource={"Bucket": bucket, "Key": version.key, "VersionId": version.version},
            ),
            key=version.key,
        )

    def lock(self) -> ObjectLock | None:
        """The lock on the bucket, None where there is none."""
        answer = self._ask(
            ("read its object lock", "s3:GetBucketObjectLockConfiguration"),
            lambda s3, bucket: s3.get_object_lock_configuration(Bucket=bucket),
            absent=NO_LOCK,
        )
        found = (answer or {}).get("ObjectLockConfiguration", {})
        if found.get("ObjectLockEnabled") != "Enabled":
            return None
        usual = found.get("Rule", {}).get("DefaultRetention", {})
        days = usual.get("Days") or usual.get("Years", 0) * 365
        return ObjectLock(mode=usual.get("Mode") or "enabled", days=days)

    def locked_until(self, version: ObjectVersion) -> Time | None:
        """Until when this version cannot be destroyed; None where it can be. The end of time under a legal hold."""
        if version.marker:
            return None
        where = {"Key": version.key, "VersionId": version.version}
        hold = self._ask(
            ("read the legal holds of its objects", "s3:GetObjectLegalHold"),
            lambda s3, bucket: s3.get_object_legal_hold(Bucket=bucket, **where),
            key=version.key,
            absent=NO_RETENTION,
        )
        if (hold or {}).get("LegalHold", {}).get("Status") == "ON":
            return FOREVER
        answer = self._ask(
            ("read the retention of its objects", "s3:GetObjectRetention"),
            lambda s3, bucket: s3.get_object_retention(Bucket=bucket, **where),
            key=version.key,
            absent=NO_RETENTION,
        )
        until = (answer or {}).get("Retention", {}).get("RetainUntilDate")
        return until.astimezone(UTC) if until is not None else None

    def thaw(self, key: str, days: int, speed: ThawSpeed) -> None:
        """Ask for a frozen object to be readable for so many days. May be repeated: one that is thawing or readable is
        no error, and one that is thawed stays so for these days from now. Where its class has no such speed, as
        DEEP_ARCHIVE has none that is expedited, the standard one is asked for. Raises ObjectMissing."""
        check_key(key)
        try:
            self._restore(key, {"Days": days, "GlacierJobParameters": {"Tier": SPEEDS[speed]}}, _OtherRequest)
        except _OtherRequest:
            head = self._head(key)
            if not _is_frozen(head):
                return
            # Intelligent tiering thaws for good and takes no days.
            lasting = {} if head.get("ArchiveStatus") else {"Days": days}
            tier = SPEEDS["bulk" if speed == "bulk" else "standard"]
            self._restore(key, {**lasting, "GlacierJobParameters": {"Tier": tier}}, errors.Failure)

    def _restore(self, key: str, request: Mapping[str, Any], refusal: type[errors.Failure]) -> None:
        row = Row(refusal, "{where} does not thaw {key!r} in this way ({answer}).")
        self._ask(
            ("thaw its objects", "s3:RestoreObject"),
            lambda s3, bucket: s3.restore_object(Bucket=bucket, Key=key, RestoreRequest=request),
            key=key,
            absent=("RestoreAlreadyInProgress", "InvalidObjectState"),  # the latter: of a class that is not frozen
            rows=dict.fromkeys(("InvalidArgument", "MalformedXML", "InvalidRequest"), row),
        )

    def thaw_state(self, key: str) -> Thaw:
        """Whether an object can be read now. Raises ObjectMissing."""
        check_key(key)
        head = self._head(key)
        return thaw_of(head.get("Restore")) if _is_frozen(head) else Thaw(state="readable")

    def _head(self, key: str) -> Any:
        try:
            return self._ask(
                ("read its objects", "s3:GetObject"),
                lambda s3, bucket: s3.head_object(Bucket=bucket, Key=key),
                key=key,
            )
        except (errors.ObjectMissing, errors.TargetRefused):
            # The answer has no document: the bucket itself may be missing, or the secret wrong, which this says.
            self.probe()
            raise

    def _ask(
        self,
        what: tuple[str, str],
        call: Callable[[Any, str], Any],
        *,
        key: str = "",
        absent: tuple[str, ...] = (),
        rows: Mapping[str, Row] | None = None,
    ) -> Any:
        """What the call returns, None where the store answers with one of the codes in `absent`. `what` is what it
        does, and the permission it needs."""
        from botocore.exceptions import ClientError

        def attempt() -> Any:
            try:
                return call(self._client(), self._target.bucket)
            except ClientError as error:
                if read_fault(error).code in absent:
                    return None
                raise

        return self._call(attempt, repeat=Repeat.ALWAYS, key=key, place=asking(self._place, *what, rows))

    def _new_client(self, *, administer: bool = False) -> Any:
        made = super()._new_client(administer=administer)
        for operation in ("GetBucketLifecycleConfiguration", "ListObjectVersions"):
            made.meta.events.register(f"after-call.s3.{operation}", _keep_document)
        return made


class _OtherRequest(errors.Failure):
    """The object cannot be thawed by this request; by another it may."""


def _keep_document(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Keep what the store said word for word: what botocore makes of it leaves out what botocore does not know."""
    parsed[RAW] = http_response.content


def _is_frozen(head: Mapping[str, Any]) -> bool:
    return head.get("StorageClass") in FROZEN or bool(head.get("ArchiveStatus"))
