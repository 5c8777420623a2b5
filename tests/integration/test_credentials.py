"""The policies in docs/credentials: a writer backs up and can delete nothing but locks; a maintainer may forget."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.weed import S3Server

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "credentials"
RESTIC = {
    "s3": {"s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
    "oss": {"oss:ListObjects", "oss:GetBucketLocation", "oss:GetObject", "oss:PutObject", "oss:DeleteObject"},
}
"""What restic and the plain store need. What the bucket's administrative side needs its own messages name."""


def policy(name: str, **words: str) -> Any:
    text = (FOLDER / f"{name}.json").read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    return json.loads(text)


def actions(document: Any) -> set[str]:
    """Everything that it allows."""
    return {action for one in document["Statement"] if one["Effect"] == "Allow" for action in one["Action"]}


def deletable(document: Any) -> list[str]:
    """Where something may be deleted."""
    found = [
        one["Resource"] for one in document["Statement"] if any("DeleteObject" in action for action in one["Action"])
    ]
    return [resource for listed in found for resource in listed]


@pytest.mark.parametrize("provider", ["s3", "oss"])
def test_every_action_is_allowed(provider: str) -> None:
    """A maintainer may do all that the adapter asks permission for, a writer what a backup needs; no wildcards."""
    needed = set(re.findall(rf"{provider}:[A-Z]\w+", (ROOT / f"resticwrap/storage/{provider}_bucket.py").read_text()))
    assert len(needed) > 10
    writer, maintainer = policy(f"writer-{provider}"), policy(f"maintainer-{provider}")
    assert needed | RESTIC[provider] <= actions(maintainer)
    assert RESTIC[provider] <= actions(writer) < actions(maintainer)
    assert not any("*" in action for action in actions(maintainer))
    assert all(resource.endswith("/NAMESPACE/*/locks/*") for resource in deletable(writer))


@pytest.fixture
def writer(make_lab: MakeLab, weed: S3Server) -> Lab:
    """A lab whose key may delete only what the writer's policy names. SeaweedFS holds it to that by a bucket policy."""
    lab = make_lab("s3")
    bucket = lab.target["bucket"]
    (resource,) = deletable(policy("writer-s3", BUCKET=bucket, NAMESPACE=lab.namespace))
    weed.deny_deletes(bucket, but=resource.partition(f"{bucket}/")[2])
    lab.env |= {"LAB_KEY": weed.second.access_key, "LAB_SECRET": weed.second.secret_key}
    return lab


def test_a_writer_backs_up_and_a_maintainer_forgets(writer: Lab, weed: S3Server) -> None:
    """As writer nothing that is stored goes away, however it is asked for; as maintainer it does. The writer's locks
    are removed each time."""
    writer.fill("exams", 2)
    writer.fill("profiles", 1)
    report = writer.json("backup")
    assert report["job"]["outcome"] == "ok"
    with writer.house() as built:
        hot, cold = built.context.hot, built.context.cold
        ids = [one.id for one in hot.snapshots()]
        assert hot.forget(ids) is False
        assert [one.id for one in hot.snapshots()] == ids
        cold.copy(hot, ids)
        copies = {one.id for one in cold.snapshots()}
        cold.retag(sorted(copies), add=["tier=cold"], remove=["tier=hot"])  # restic says nothing where it cannot
        assert copies <= {one.id for one in cold.snapshots()}
        assert list(hot.locks()) == [] and list(cold.locks()) == []
    writer.env |= {"LAB_KEY": weed.access_key, "LAB_SECRET": weed.secret_key}
    with writer.house() as built:
        assert built.context.hot.forget(ids) is True
        assert built.context.hot.snapshots() == []
