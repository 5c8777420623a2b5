"""The runbook's disasters from end to end where it is not told elsewhere, by the commands that a person types.

The server gone: tests/integration/test_kit.py, on all three kinds of targets. One record brought back, and packs
flipped and deleted, on a folder: tests/integration/test_drill.py and tests/faults/test_repair.py.
"""

import pytest

from tests.conftest import MakeLab
from tests.faults.test_repair import back_up, cold, deleted, flipped, lab_of, no_cache, packs, whole
from tests.lab import tree


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_a_record_lost_and_a_store_damaged(make_lab: MakeLab, kind: str) -> None:
    """In a bucket without versions. A record deleted by mistake comes back in its place, and nothing next to it is
    touched. Then packs are flipped and deleted: what the live source has no more comes from cold, the rest from the
    live source, and every byte of every snapshot is what it was."""
    lab = lab_of(make_lab, kind)
    with lab.house() as built:
        back_up(built)
        (first,) = built.context.hot.snapshots()
        cold(built)
        old = packs(built)
    was = tree(lab.data / "exams")
    lost = lab.data / "exams/exam_001.bin"
    content = lost.read_bytes()
    lost.unlink()
    others = {path: path.stat() for path in lab.data.rglob("*.bin")}
    job = lab.json("restore", "object", "exams", "exam_001", "--in-place")["job"]["id"]
    assert lost.read_bytes() == content
    for path, before in others.items():
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns), path
    lab.rw("restore", "--accept", job)
    assert tree(lab.data / "exams") == was
    (lab.data / "exams/large.bin").unlink()
    lab.write("exams/later.bin", content[::-1])
    current = tree(lab.data / "exams")
    with lab.house() as built:
        back_up(built)
        last = max(built.context.hot.snapshots(), key=lambda one: one.time)
        young = [key for key in packs(built) if key not in old]
        assert young and old
        for key in old:
            flipped(built, key)
        for key in young:
            deleted(built, key)
    no_cache(lab)
    found = lab.json("verify", "--share", "1", code=20)
    named = {(one["name"], one["kind"]) for one in found["damages"]}
    assert named == {(key.rsplit("/", 1)[1], "pack_damaged") for key in old} | {
        (key.rsplit("/", 1)[1], "pack_missing") for key in young
    }
    report = lab.json("repair", "--yes")
    assert not report["lost"] and {"copy", "back_up"} <= {step["action"] for step in report["done"]}
    assert lab.json("verify", "--share", "1")["damages"] == []
    whole(lab, was, first.id)
    whole(lab, current, last.id)
