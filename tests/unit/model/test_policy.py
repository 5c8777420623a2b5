"""The models of the policies: what they refuse, what they fill in, that they never change."""

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from resticwrap.model.policy import (
    Domain,
    DomainsFile,
    Keep,
    LocalTarget,
    OssTarget,
    S3Credentials,
    S3Target,
    ScheduledJob,
    ScheduleFile,
    Tiers,
    VerifyRule,
    zone_of,
)

KEYS = {"access_key_id": "AKID", "access_key_secret": "hush"}
FILES = {"layer": "raw", "priority": "P0", "source": {"root": "/srv/x"}}


def oss(**given: Any) -> OssTarget:
    return OssTarget.model_validate({"provider": "oss", "bucket": "a-bucket", "credentials": KEYS, **given})


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("oss-cn-hangzhou-internal.aliyuncs.com", "cn-hangzhou"),
        ("https://oss-ap-southeast-1.aliyuncs.com/", "ap-southeast-1"),
        ("https://backup.example.org", None),
    ],
)
def test_the_region_of_oss_is_read_off_its_endpoint(endpoint: str, region: str | None) -> None:
    """Only where the endpoint tells it."""
    assert oss(endpoint=endpoint).region == region


def test_a_region_of_oss_is_written_as_it_is_signed() -> None:
    """With or without `oss-`, and before what the endpoint tells."""
    assert oss(endpoint="https://oss-cn-hangzhou.aliyuncs.com", region="oss-cn-beijing").region == "cn-beijing"
    assert oss(endpoint="https://x.example.org", region="cn-beijing").region == "cn-beijing"


def test_oss_over_http_has_to_be_asked_for() -> None:
    """The real OSS refuses what restic uploads over http."""
    with pytest.raises(ValidationError, match="must be https"):
        oss(endpoint="http://127.0.0.1:9000")
    assert oss(endpoint="http://127.0.0.1:9000", insecure_http=True).endpoint == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    "given",
    [
        {"access_key_id": "a"},
        {"secret_access_key": "a"},
        {"session_token": "a"},
        {"access_key_id": "a", "secret_access_key": "b", "profile": "c"},
        {"external_id": "a"},
    ],
)
def test_half_a_credential_is_refused(given: dict[str, str]) -> None:
    """Keys come in pairs, and not beside a profile."""
    with pytest.raises(ValidationError):
        S3Credentials.model_validate(given)


def test_a_target_shows_no_secret() -> None:
    """Neither in its repr nor when it is printed."""
    target = S3Target.model_validate(
        {
            "provider": "s3",
            "bucket": "a-bucket",
            "credentials": {"access_key_id": "AKIDX", "secret_access_key": "hushhush"},
            "password_command": "echo hunter2",
        }
    )
    shown = f"{target!r} {target} {target.model_dump_json(exclude={'password_command'})}"
    assert "hushhush" not in shown and "AKIDX" not in shown and "hunter2" not in shown


@pytest.mark.parametrize("namespace", ["../x", "a/../b", "a//b", "a/", "/a", "", "a/.b"])
def test_a_namespace_stays_inside_its_target(namespace: str) -> None:
    """It becomes a folder of a local target, and a prefix in a bucket."""
    with pytest.raises(ValidationError):
        LocalTarget.model_validate({"provider": "local", "path": "/x", "namespace": namespace})


def test_the_root_of_the_file_system_is_no_domain() -> None:
    """A root is backed up by its name."""
    for root in ("/", "/x/..", "//"):
        with pytest.raises(ValidationError, match="with a name"):
            Domain.model_validate({**FILES, "source": {"root": root}})


def test_a_domain_may_hold_several_kinds() -> None:
    """One kind, or a list; each at most once."""
    one = Domain.model_validate({**FILES, "schema": {"kind": "exam", "version": 2}})
    several = Domain.model_validate({**FILES, "schema": [{"kind": "a"}, {"kind": "b", "version": 3}]})
    assert one.schema_versions == {"exam": 2} and one.schema_ is not None and one.schema_.kind == "exam"
    assert several.schema_versions == {"a": 1, "b": 3}
    assert Domain.model_validate(FILES).schema_ is None
    with pytest.raises(ValidationError, match="twice"):
        Domain.model_validate({**FILES, "schema": [{"kind": "a"}, {"kind": "a"}]})


def test_a_policy_never_changes() -> None:
    """Not by assignment, and not through a mapping inside it."""
    file = DomainsFile.model_validate({"host": "h", "domains": {"a": FILES}})
    with pytest.raises(ValidationError):
        file.host = "other"
    for mapping in (file.domains, ScheduleFile().jobs):
        assert isinstance(mapping, Mapping)
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]


def test_an_empty_rule_is_refused() -> None:
    """It would remove everything."""
    with pytest.raises(ValidationError, match="must keep something"):
        Keep()
    assert Keep(forever=True).forever


def test_cold_outlasts_hot() -> None:
    """It is where hot goes."""
    keep = {"last": 1}
    with pytest.raises(ValidationError, match=r"cold\.days"):
        Tiers.model_validate({"hot": {"days": 30, "keep": keep}, "cold": {"days": 7, "keep": keep}})


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"kind": "verify"}, "every"),
        ({"kind": "verify", "every": "1h", "cron": "0 0 * * *"}, "every"),
        ({"kind": "backup", "every": "1h"}, "type"),
        ({"kind": "verify", "every": "1h", "type": "full"}, "type"),
        ({"kind": "drill", "every": "1h"}, "level"),
        ({"kind": "verify", "every": "1h", "level": "l1"}, "level"),
    ],
)
def test_a_job_says_all_it_must_and_no_more(given: dict[str, str], wrong: str) -> None:
    """When it runs, and what belongs to its kind."""
    with pytest.raises(ValidationError, match=wrong):
        ScheduledJob.model_validate({"target": "local", **given})


def test_utc_needs_no_time_zone_database() -> None:
    """A slim container has none."""
    assert ScheduleFile().zone is UTC
    assert zone_of("UTC").utcoffset(None) == timedelta(0)
    with pytest.raises(ValidationError, match="time zone"):
        ScheduleFile(time_zone="Mars/Olympus")


@pytest.mark.parametrize(("share", "parts"), [("1", 1), ("1/1", 1), ("1/12", 12), ("1/256", 256)])
def test_a_share_says_its_parts(share: str, parts: int) -> None:
    """1 to 256."""
    assert VerifyRule(share=share).parts == parts


@pytest.mark.parametrize("share", ["0", "1/0", "2/3", "1/257", "1/012", "12"])
def test_what_is_no_share_is_refused(share: str) -> None:
    """Only one part of some."""
    with pytest.raises(ValidationError):
        VerifyRule(share=share)
