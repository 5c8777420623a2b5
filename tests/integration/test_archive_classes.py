"""Real packs in real archive classes, as far as the servers of the tests are real: what stays readable, what does not,
and how it comes back."""

from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.model.bucket import TIER_TAG, Thaw
from tests.conftest import MakeLab
from tests.lab import Lab

RULES = {
    "s3_cold": "<LifecycleConfiguration><Rule><ID>cold</ID><Filter><And><Prefix>{prefix}</Prefix>"
    "<Tag><Key>tier</Key><Value>cold</Value></Tag></And></Filter><Status>Enabled</Status>"
    "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition></Rule></LifecycleConfiguration>",
    "oss": "<LifecycleConfiguration><Rule><ID>cold</ID><Prefix>{prefix}</Prefix>"
    "<Tag><Key>tier</Key><Value>cold</Value></Tag><Status>Enabled</Status>"
    "<Transition><Days>1</Days><StorageClass>Archive</StorageClass></Transition></Rule></LifecycleConfiguration>",
}
FROZEN = {"s3_cold": "GLACIER", "oss": "Archive"}


@pytest.mark.parametrize("kind", ["s3_cold", "oss"])
def test_packs_of_data_can_be_frozen_and_thawed(
    kind: str, make_lab: MakeLab, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Labelled packs of data move and nothing else: the repository is listed, checked and backed up to; a restore
    needs exactly these, and succeeds once they are thawed."""
    server: Any = request.getfixturevalue(kind)
    lab: Lab = make_lab(kind)
    lab.fill("exams", 4, 3000)
    lab.rw("backup", "--domain", "exams")
    prefix = f"{lab.namespace}/hot/data/"
    with lab.house() as built:
        bucket = built.bucket
        assert bucket is not None
        only_data = built.context.hot.trees(no_cache=True).data_only_packs()
        packs = {f"{prefix}{pack[:2]}/{pack}" for pack in only_data}
        assert packs and packs < {item.key for item in bucket.objects(prefix)}
        for key in packs:
            assert bucket.tag(key, *TIER_TAG)
        bucket.put_lifecycle(RULES[kind].format(prefix=prefix).encode())
        assert server.advance(days=1.1) >= len(packs)
        frozen = {item.key for item in bucket.objects("") if item.storage_class == FROZEN[kind]}
        assert frozen == packs
        lab.bare("check")
        assert lab.bare("ls", "latest").stdout
        lab.write("exams/new.bin", b"new")
        lab.rw("backup", "--domain", "exams")
        one = min(packs)
        with pytest.raises(errors.Failure, match="in cold storage"):
            built.store.get(one)
        server.thaw_takes(0)
        for key in packs:
            bucket.thaw(key, 2, "standard")
        server.thaw_takes(-1)
        assert {bucket.thaw_state(key).state for key in packs} == {"thawed"}
        lab.bare("restore", "latest", "--target", str(tmp_path / "back"))
        assert len(list((tmp_path / "back").rglob("*.bin"))) == 5
        server.advance(days=3)
        assert bucket.thaw_state(one) == Thaw(state="frozen")
