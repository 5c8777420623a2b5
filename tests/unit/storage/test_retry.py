"""Every line of the table of errors, and what a region and a lookup become."""

import string
from typing import Any

import pytest
from pydantic import SecretStr

from resticwrap import errors
from resticwrap.model.policy import OssCredentials, OssTarget, S3Target
from resticwrap.storage import oss_client as oss
from resticwrap.storage import s3_client as s3
from resticwrap.storage.oss import OssStore, signing_region
from resticwrap.storage.retry import (
    ATTEMPTS,
    LAST_START,
    PASSING,
    ROWS,
    STATUSES,
    TIMEOUTS,
    WAIT_MOST,
    DateHeard,
    Fault,
    Place,
    Row,
)
from resticwrap.storage.s3 import S3Store

PLACE = Place("S3", "bucket", "https://s3.example", "region", "KEY", "SECRET", "TOKEN", rows=s3.ROWS)
NEVER = Exception("never asked for its wording")


@pytest.mark.parametrize("code", sorted({*ROWS, *s3.ROWS}))
def test_each_code(code: str) -> None:
    """A code gives its row's error whatever the status, and its texts can be made."""
    operation, _, plain = code.rpartition(".")
    failure = PLACE.failure(Fault(NEVER, 400, plain, operation), "a/key")
    row = s3.ROWS.get(code) or ROWS[code]
    assert type(failure) is row.kind
    assert failure.message.endswith((".", "machine has none.")) and "{" not in failure.message + failure.hint


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_each_status(status: int) -> None:
    """A status counts where the code is unknown."""
    failure = PLACE.failure(Fault(NEVER, status, "SomethingNew"), "a/key")
    assert type(failure) is STATUSES[status].kind


@pytest.mark.parametrize(
    ("status", "code", "passing"),
    [
        (500, "", True),
        (503, "Unknown", True),
        (429, "", True),
        (400, "RequestTimeout", True),
        (501, "NotImplemented", False),
        (507, "", False),
        (503, "QuotaExceeded", False),
        (403, "AccessDenied", False),
        (404, "NoSuchKey", False),
        (409, "ConditionalRequestConflict", True),
        (412, "PreconditionFailed", False),
    ],
)
def test_what_passes(status: int, code: str, passing: bool) -> None:
    assert Fault(NEVER, status, code).passing is passing


def test_passing_codes_end_as_unreachable() -> None:
    """Trouble that does not pass after all is the target's, not a refusal and not a missing object."""
    for code in PASSING - set(ROWS):
        for status in (400, 403, 409, 503):
            assert type(PLACE.failure(Fault(NEVER, status, code))) is errors.TargetUnreachable


def test_rows_name_only_what_a_place_has() -> None:
    """No text asks for a word that nobody gives."""
    words = {"where", "answer", "key", "bucket", "endpoint", "region", "key_from", "secret_from", "token_from", "role"}
    rows: list[Row] = [*ROWS.values(), *STATUSES.values(), *s3.ROWS.values(), *oss.ROWS.values()]
    for row in rows:
        for text in (row.message, row.hint):
            assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= words


@pytest.mark.parametrize("value", ["", "yesterday", "Mon, 99 Nov 2026 99:00:00 GMT"])
def test_a_date_that_is_none(value: str) -> None:
    """It is no news, and no error."""
    date = DateHeard()
    date.hear({"Date": value})
    assert str(date.last) == "None"
    date.hear({"Date": "Mon, 23 Nov 2026 12:00:00 GMT"})
    assert str(date.last) == "2026-11-23 12:00:00+00:00"


def oss_target(**keys: Any) -> OssTarget:
    credentials = OssCredentials(access_key_id=SecretStr("key"), access_key_secret=SecretStr("secret"))
    return OssTarget(provider="oss", credentials=credentials, **{"bucket": "bucket", **keys})


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("oss-cn-hangzhou.aliyuncs.com", None, "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", None, "cn-hangzhou"),
        ("https://oss-ap-southeast-1.aliyuncs.com", None, "ap-southeast-1"),
        ("backup.school.example", "oss-cn-beijing", "cn-beijing"),
        ("backup.school.example", "cn-beijing", "cn-beijing"),
    ],
)
def test_regions_of_oss(endpoint: str, region: str | None, expected: str) -> None:
    """Signatures want it without `oss-`, restic with it."""
    target = oss_target(endpoint=endpoint, region=region)
    assert signing_region(target) == expected
    access = OssStore(target, {}).restic_access()
    assert access.options == ("s3.bucket-lookup=dns", f"s3.region=oss-{expected}")
    assert access.url("cold") == f"s3:{target.endpoint}/bucket/resticwrap/cold"


def test_a_region_that_nobody_names() -> None:
    with pytest.raises(errors.UsageError, match="needs `region`"):
        OssStore(oss_target(endpoint="backup.school.example"), {})


@pytest.mark.parametrize("wrong", [{"bucket": "with.dot"}, {"endpoint": "https://[fd00::1]:443"}])
def test_names_that_oss_does_not_have(wrong: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError, match="OSS has no buckets like"):
        OssStore(oss_target(**{"endpoint": "https://oss-cn-beijing.aliyuncs.com", "region": "cn-beijing", **wrong}), {})


@pytest.mark.parametrize(
    ("endpoint", "bucket", "addressing", "lookup"),
    [
        ("https://s3.amazonaws.com", "bucket", "auto", "dns"),
        ("https://s3.eu-central-1.amazonaws.com", "with.dot", "auto", "path"),
        ("https://oss-cn-hangzhou.aliyuncs.com", "bucket", "auto", "dns"),
        ("https://minio.school.example", "bucket", "auto", "path"),
        ("https://minio.school.example", "bucket", "dns", "dns"),
        ("http://127.0.0.1:9000", "bucket", "auto", "path"),
    ],
)
def test_how_buckets_are_named_in_requests(endpoint: str, bucket: str, addressing: Any, lookup: str) -> None:
    """Both clients are told the same."""
    target = S3Target(provider="s3", bucket=bucket, endpoint=endpoint, addressing=addressing, connections=3)
    store = S3Store(target, {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": "/nonexistent"})
    assert store.restic_access().options == (f"s3.bucket-lookup={lookup}", "s3.connections=3")


def test_waits_are_short() -> None:
    """Three attempts of three seconds to connect, and their waits, stay within fifteen seconds."""
    assert ATTEMPTS * TIMEOUTS.connect + (ATTEMPTS - 1) * WAIT_MOST <= 15
    assert LAST_START + WAIT_MOST + TIMEOUTS.connect <= 15
