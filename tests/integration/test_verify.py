"""What a verify says where it is hard to say the right thing: races, lost records, faults on top of damage."""

import dataclasses
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.model.policy import VerifyRule
from resticwrap.model.reports import VerifyReport
from resticwrap.planning.verify import sample
from resticwrap.ports import Manifests, ObjectInfo, Store
from resticwrap.services.context import Context
from resticwrap.services.status import status
from resticwrap.services.verify import verify
from tests.broken import faulty_restic, flip, repository_files
from tests.conftest import MakeLab
from tests.lab import RAW, Lab

ALL = VerifyRule(share="1", sample=6)


@pytest.fixture
def one(make_lab: MakeLab) -> Lab:
    """A lab of one domain, backed up once."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 4)
    lab.rw("backup")
    return lab


def test_a_domain_without_files_can_be_proven(one: Lab) -> None:
    """Its folder is restored and compared."""
    one.domains["profiles"] = one.files("profiles")
    one.write_policies()
    one.rw("backup")
    report = one.json("verify", "--sample", "4")
    assert ("profiles", "profiles", True) in {(file["domain"], file["path"], file["ok"]) for file in report["sampled"]}
    assert all(domain["proven_at"] for domain in one.json("status")["domains"])


def data_packs(lab: Lab) -> list[Path]:
    """The packs that hold file data."""
    by_name = {file.name: file for file in repository_files(lab, "data")}
    indexes = [json.loads(lab.bare("cat", "index", file.name).stdout) for file in repository_files(lab, "index")]
    found = {pack["id"] for index in indexes for pack in index["packs"] if pack["blobs"][0]["type"] == "data"}
    return [by_name[name] for name in sorted(found)]


def verified(lab: Lab, change: Callable[[Context], Context], rule: VerifyRule = ALL) -> VerifyReport:
    """A verify inside this process, of a context that a test has changed."""
    with lab.house() as built:
        return verify(change(built.context), "hot", rule, (), 1)


class Busy:
    """A store in which a backup ends whenever somebody has listed the packs."""

    def __init__(self, store: Store, backup: Callable[[], None]) -> None:
        self._store, self._backup = store, backup

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = list(self._store.list(prefix))
        if prefix.endswith("/data/"):
            self._backup()
        return iter(found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_backup_meanwhile_loses_no_pack(one: Lab) -> None:
    """Packs that a backup adds while the verify looks are never missed, however often it looks."""
    ends: list[None] = []

    def backup() -> None:
        ends.append(None)
        one.fill("exams", 2)
        one.rw("backup")

    report = verified(one, lambda context: dataclasses.replace(context, store=cast(Store, Busy(context.store, backup))))
    assert ends
    assert report.ok and report.damages == ()


def test_what_is_complete_is_known_without_latest(one: Lab) -> None:
    """Without the small file of the newest snapshots, the catalogue knows what to restore."""
    (one.state / "latest_main.json").unlink()
    report = one.json("verify", "--share", "1")
    assert report["ok"] and len(report["sampled"]) == 4 and len(report["proven"]) == 1


def test_nothing_restored_is_no_good_end(one: Lab) -> None:
    """Where no snapshot is known to be complete nothing is proven: exit code 20 and what to do, which helps."""
    for file in (*one.state.glob("latest_*"), *one.state.glob("catalog*")):
        file.unlink()
    report = one.json("verify", "--share", "1", code=20)
    assert (report["ok"], report["sampled"], report["damages"], report["job"]["outcome"]) == (False, [], [], "failed")
    assert any("rw catalog rebuild" in note for note in report["notes"])
    assert "Nothing was proven" in one.rw("verify", code=20).out
    one.rw("catalog", "rebuild")
    assert one.json("verify", "--share", "1")["proven"]


def test_a_damaged_snapshot_is_not_proven(one: Lab) -> None:
    """A sample that happens to miss the damage proves nothing of a snapshot that has it."""
    one.write("exams/large.bin", secrets.token_bytes(200_000))
    one.rw("backup")
    flip(max(repository_files(one, "data"), key=lambda file: file.stat().st_size), 20)
    names = [*(f"exam_{number:03d}.bin" for number in range(4)), "large.bin"]
    seed = next(seed for seed in range(100) if sample(names, 1, seed) != ["large.bin"])
    report = one.json("verify", "--share", "1", "--sample", "1", "--seed", str(seed), code=20)
    (damage,) = report["damages"]
    (file,) = report["sampled"]
    assert damage["kind"] == "pack_damaged" and damage["snapshots"] == [file["snapshot"]]
    assert file["ok"] and report["proven"] == []
    assert [row["proven_at"] for row in one.json("snapshots")] == [None, None]


def test_a_blob_in_two_lost_packs_is_lost(one: Lab) -> None:
    """Each of two packs that held the same data, and are both gone, is told with what both cost."""
    (index,) = repository_files(one, "index")
    content = index.read_bytes()
    index.unlink()  # restic stores again what no index names
    one.bare("backup", "--host", "elsewhere", str(one.data / "exams"))
    index.write_bytes(content)
    packs = data_packs(one)
    assert len(packs) == 2
    for pack in packs:
        pack.unlink()
    report = one.json("verify", "--share", "1", code=20)
    costs = {damage["name"]: (damage["kind"], len(damage["snapshots"])) for damage in report["damages"]}
    assert costs == {pack.name: ("pack_missing", 2) for pack in packs}
    assert all(damage["files"] >= 4 for damage in report["damages"])


def test_a_restore_that_fails_hides_no_damage(one: Lab) -> None:
    """restic failing on the sample of one domain is told beside the damage that was found."""
    (pack,) = data_packs(one)
    flip(pack, 20)
    report = one.json("verify", "--share", "1", code=20, env=faulty_restic(one, "exit 1", on="restore"))
    assert [damage["name"] for damage in report["damages"]] == [pack.name]
    (file,) = report["sampled"]
    assert (file["ok"], file["path"]) == (False, "/") and file["why"]


SAYS = """
echo '{"message_type":"error","error":{"message":"error for tree 12:\\n  file exam_000.bin is odd"}}' >&2
echo '{"message_type":"summary","num_errors":1}'
exit 1
"""


def test_a_fault_of_the_structure(one: Lab) -> None:
    """What restic says is told on one line; nothing is proven by it, and its part of the packs is due again."""
    report = one.json("verify", "--share", "1/4", code=20, env=faulty_restic(one, SAYS, on="check"))
    (damage,) = report["damages"]
    assert (damage["kind"], damage["name"]) == ("structure", "error for tree 12: file exam_000.bin is odd")
    assert all(file["ok"] for file in report["sampled"]) and report["proven"] == []
    assert report["coverage"]["packs_read"] == 0
    assert one.json("verify", "--share", "1/4")["bucket"] == report["bucket"]
    # No name of a file gets into the target in clear.
    records = [record.read_text() for record in one.store.rglob("verify_record.json")]
    assert len(records) == 2 and not any("exam_" in record for record in records)
    assert any("structure" in record for record in records)


def test_coverage_ages(one: Lab) -> None:
    """`rw status` counts what is covered now, not what was when the last verify ended."""
    one.rw("verify", "--share", "1")
    (tier, _) = one.json("status")["tiers"]
    assert tier["coverage"]["packs_read"] == tier["coverage"]["packs_total"] > 0
    with one.house() as built:
        late = status(built.records, (), built.clock.now() + timedelta(days=30))
    assert late.tiers[0].coverage is not None
    assert (late.tiers[0].coverage.packs_read, late.tiers[0].coverage.packs_total) == (
        0,
        tier["coverage"]["packs_total"],
    )


def test_a_wrong_clock(one: Lab) -> None:
    """What a verify recorded years ahead counts for nothing: its part is due again, and the next verify is the last."""
    with one.house() as built:
        now = built.clock.now()
    with one.house(FixedClock(now + timedelta(days=3650))) as built:
        wrong = verify(built.context, "hot", VerifyRule(share="1/4", sample=6), (), 1)
    assert wrong.ok and wrong.proven
    before = one.json("status")
    assert before["tiers"][0]["last_verify"] is None and before["tiers"][0]["coverage"] is None
    assert [row["proven_at"] for row in before["domains"] + one.json("snapshots")] == [None, None]
    right = one.json("verify", "--share", "1/4")
    assert right["bucket"] == wrong.bucket
    (hot, _) = one.json("status")["tiers"]
    assert (hot["last_verify"], hot["last_verify_ok"]) == (right["job"]["started_at"], True)
    assert hot["coverage"] == right["coverage"]
    assert all(row["proven_at"] < right["job"]["finished_at"] for row in one.json("snapshots"))
    # Nor does a rebuild bring it back.
    one.copy_state_away()
    one.rw("catalog", "rebuild")
    with one.house() as built:
        assert len(built.catalog.reads("main", "hot")) == 64
        assert max(built.catalog.reads("main", "hot").values()) < now + timedelta(days=1)


# The record in the target


def test_the_record_in_the_target(any_lab: Lab) -> None:
    """A verify leaves its record beside the manifests: what was read and proven, and nothing secret."""
    lab = any_lab
    lab.fill("exams", 2)
    lab.rw("backup")
    report = lab.json("verify", "--share", "1")
    with lab.house() as built:
        manifests = built.context.manifests
        (key,) = manifests.record_keys()
        assert manifests.record(key).job.details == report["job"]["details"]
        text = built.store.get(key).decode()
    details = report["job"]["details"]
    assert f"/{report['job']['id']}/" in key
    assert details["proven"] == report["proven"] and details["reads"] == list(range(256))
    assert not any(lab.env.get(name, "?" * 9) in text for name in ("LAB_SECRET", "RESTIC_PASSWORD"))
    assert "exam_" not in text


class Deaf:
    """Manifests in a store that takes none."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests

    def put(self, written: object) -> str:
        raise errors.TargetUnreachable("The target does not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manifests, name)


def test_a_record_that_cannot_be_written_yet(one: Lab) -> None:
    """It is a note and no failure, it is kept, and the next job writes it."""
    report = verified(
        one, lambda context: dataclasses.replace(context, manifests=cast(Manifests, Deaf(context.manifests)))
    )
    assert report.ok and report.proven
    assert any("kept for the next job" in note for note in report.notes)
    (kept,) = (one.state / "records" / "main").iterdir()
    assert not list(one.store.rglob("verify_record.json"))
    assert any("not in the target yet" in check["detail"] for check in one.json("doctor", code=None)["checks"])
    assert one.json("backup")["job"]["outcome"] == "ok"
    (written,) = one.store.rglob("verify_record.json")
    assert written.parent.name == kept.stem and not kept.exists()


def test_a_record_in_the_way_of_another(one: Lab) -> None:
    """One that can never be written does not keep later jobs from writing theirs, nor makes a backup partial."""
    report = one.json("verify")
    (record,) = one.store.rglob("verify_record.json")
    stuck = one.state / "records" / "main" / f"{report['job']['id']}.json"
    stuck.parent.mkdir(parents=True, exist_ok=True)
    stuck.write_text(record.read_text().replace('"ok"', '"failed"'))
    backup = one.json("backup")
    assert backup["job"]["outcome"] == "ok" and backup["job"]["manifest"]
    assert any(report["job"]["id"] in warning for warning in backup["warnings"])
    assert stuck.exists()
