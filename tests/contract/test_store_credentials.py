"""Credentials in every form that operators have them; each one is accepted, or refused, by a real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.model.policy import S3Credentials
from resticwrap.storage.s3 import S3Store
from tests.contract.stores import OssKit, S3Kit, Sts, start_sts

ALONE = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}
"""An environment in which only what a test adds can be found."""


@pytest.fixture
def sts() -> Iterator[Sts]:
    with start_sts() as server:
        yield server


@pytest.fixture(autouse=True)
def misleading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment says other things than the one that is handed in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMTHEPROCESS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-process")
    monkeypatch.setenv("AWS_PROFILE", "from-the-process")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


def made(kit: S3Kit, env: dict[str, str], endpoint: str = "", **credentials: Any) -> S3Store:
    """A store on a bucket that is there, with these credentials in its policy."""
    kit.store().create()
    given = S3Credentials(**credentials)
    return S3Store(kit.target(given, endpoint=endpoint or kit.endpoint), {**ALONE, **env})


def works(store: S3Store) -> None:
    store.put("signed", b"x")
    assert store.get("signed") == b"x"


def profile_files(kit: S3Kit, folder: Path) -> dict[str, str]:
    """Files with the profile `backup`, as the variables that name them."""
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = NOBODY\naws_secret_access_key = nothing\n"
        f"[backup]\naws_access_key_id = {kit.server.access_key}\naws_secret_access_key = {kit.server.secret_key}\n"
    )
    (folder / "config").write_text("[profile backup]\nregion = eu-test-1\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_CONFIG_FILE": str(folder / "config")}


def test_keys_in_the_environment(s3_kit: S3Kit) -> None:
    """The machine's own chain, out of the environment that was handed in."""
    keys = {"AWS_ACCESS_KEY_ID": s3_kit.server.access_key, "AWS_SECRET_ACCESS_KEY": s3_kit.server.secret_key}
    store = made(s3_kit, keys)
    works(store)
    access = store.restic_access()
    assert {name: access.env[name] for name in keys} == keys
    assert access.secrets == (s3_kit.server.secret_key,)


def test_a_profile_of_the_policy(s3_kit: S3Kit, tmp_path: Path) -> None:
    """It goes before keys in the environment."""
    env = {**profile_files(s3_kit, tmp_path), "AWS_ACCESS_KEY_ID": "OTHER", "AWS_SECRET_ACCESS_KEY": "other-secret"}
    store = made(s3_kit, env, profile="backup")
    works(store)
    assert store.restic_access().env["AWS_ACCESS_KEY_ID"] == s3_kit.server.access_key


def test_a_profile_of_the_environment(s3_kit: S3Kit, tmp_path: Path) -> None:
    """AWS_PROFILE counts where the policy gives neither keys nor a profile; so does its region."""
    env = {**profile_files(s3_kit, tmp_path), "AWS_PROFILE": "backup"}
    s3_kit.store().create()
    store = S3Store(s3_kit.target(S3Credentials(), region=None), {**ALONE, **env})
    works(store)
    assert "s3.region=eu-test-1" in store.restic_access().options
    keys = s3_kit.keys()
    works(S3Store(s3_kit.target(keys), {**ALONE, **env, "AWS_PROFILE": "no-such-profile"}))


def test_no_such_profile(s3_kit: S3Kit, tmp_path: Path) -> None:
    store = made(s3_kit, profile_files(s3_kit, tmp_path), profile="absent")
    for call in (store.probe, store.restic_access):
        with pytest.raises(errors.TargetRefused, match="no profile of that name") as caught:
            call()
        assert "'absent'" in caught.value.hint


def test_no_credentials_at_all(s3_kit: S3Kit) -> None:
    store = made(s3_kit, {})
    for call in (store.probe, store.restic_access):
        with pytest.raises(errors.TargetRefused, match="no credentials") as caught:
            call()
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_session_tokens(oss_kit: OssKit, s3_kit: S3Kit) -> None:
    """Temporary keys work with their token in both dialects, and restic is given it."""
    issued = oss_kit.server.issue_sts_token()
    oss_kit.store().create()
    store = oss_kit.with_keys(issued.access_key_id, issued.access_key_secret, issued.security_token)
    works_with_token = store.restic_access()
    assert works_with_token.env["AWS_SESSION_TOKEN"] == issued.security_token
    assert issued.security_token in works_with_token.secrets
    store.put("key", b"x")
    works(
        made(
            s3_kit,
            {},
            oss_kit.endpoint,
            access_key_id=issued.access_key_id,
            secret_access_key=issued.access_key_secret,
            session_token=issued.security_token,
        )
    )


def test_session_tokens_that_do_not_hold(oss_kit: OssKit) -> None:
    """Ended, and not the right one: two sentences, and the token in neither."""
    oss_kit.store().create()
    ended, good = oss_kit.server.issue_sts_token(-1), oss_kit.server.issue_sts_token()
    cases = {"has ended": (ended, ended.security_token), "does not accept the session token": (good, "a-wrong-token")}
    for sentence, (keys, token) in cases.items():
        with pytest.raises(errors.TargetRefused, match=sentence) as caught:
            oss_kit.with_keys(keys.access_key_id, keys.access_key_secret, token).probe()
        assert "OSS_SECURITY_TOKEN" in caught.value.hint
        assert token not in caught.value.message + caught.value.hint


def test_a_role_is_assumed(
    oss_kit: OssKit, s3_kit: S3Kit, sts: Sts, restic_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We sign with the role's temporary keys; restic is told to assume it by itself, with the keys below it, and does:
    only the role's may write here."""
    issued = oss_kit.server.issue_sts_token()
    sts.keys = (issued.access_key_id, issued.access_key_secret, issued.security_token)
    store = made(
        s3_kit,
        {},
        oss_kit.endpoint,
        access_key_id="AKIABASE",
        secret_access_key="base-secret",
        role_arn="arn:aws:iam::123456789012:role/backup",
        external_id="outside-42",
        sts_endpoint=sts.url,
    )
    works(store)
    (asked,) = sts.asked
    assert asked["signed_by"] == "AKIABASE" and asked["ExternalId"] == "outside-42"
    assert asked["RoleArn"].endswith("role/backup") and asked["RoleSessionName"] == "resticwrap"
    access = store.restic_access()
    assert access.env["AWS_ACCESS_KEY_ID"] == "AKIABASE"
    assert access.env["RESTIC_AWS_ASSUME_ROLE_ARN"].endswith("role/backup")
    assert access.env["RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT"] == sts.url
    assert {"base-secret", "outside-42"} <= set(access.secrets)
    monkeypatch.delenv("HTTP_PROXY")
    options = [word for option in access.options for word in ("-o", option)]
    made_it = subprocess.run(
        [str(restic_binary), "-r", access.url("hot"), *options, "--no-cache", "init"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RESTIC_PASSWORD": "x", **access.env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made_it.returncode == 0, made_it.stderr
    assert [one["signed_by"] for one in sts.asked] == ["AKIABASE"] * 2
    assert any(item.key.endswith("hot/config") for item in store.list(""))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("AccessDenied", "does not let us assume the role arn:aws:iam::123456789012:role/backup"),
        ("InvalidClientTokenId", "STS does not know the access key"),
        ("ExpiredToken", "STS: the session token has ended"),
    ],
)
def test_a_role_that_is_refused(s3_kit: S3Kit, sts: Sts, code: str, sentence: str) -> None:
    """What STS says is told apart from what the bucket says."""
    sts.refuse = code
    role = {"role_arn": "arn:aws:iam::123456789012:role/backup", "sts_endpoint": sts.url}
    store = made(s3_kit, {}, access_key_id="AKIABASE", secret_access_key="base-secret", **role)
    with pytest.raises(errors.TargetRefused, match=sentence):
        store.probe()


def test_clients_load_only_when_used() -> None:
    """The package and an S3 store load no client library; each store loads its own and not the other's."""
    script = (
        "import sys; import resticwrap.storage as s; from resticwrap.model.policy import S3Target;"
        "store = s.open_store(S3Target(provider='s3', bucket='abc', endpoint='http://127.0.0.1:9'), {});"
        "assert not {'boto3', 'botocore', 'oss2', 'tenacity', 'requests'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
