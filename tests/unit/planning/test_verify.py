"""Which packs a verify reads: as restic counts them, and in a cycle that leaves nothing out."""

import hashlib
import math
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.planning.verify import (
    advice,
    by_first_byte,
    coverage,
    detection,
    fitting,
    in_bucket,
    next_bucket,
    sample,
    shares,
)
from tests.conftest import MakeLab
from tests.unit.restic.scene import repository_of, request

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PARTS = st.integers(1, 256)


@given(st.integers(0, 255), PARTS)
def test_every_pack_is_in_one_part(byte: int, parts: int) -> None:
    """No pack is left out and none is read twice in a cycle."""
    assert [in_bucket(byte, bucket, parts) for bucket in range(1, parts + 1)].count(True) == 1


def test_parts_are_restics_own(make_lab: MakeLab, either_restic: Path) -> None:
    """A pack that is damaged is found by the part that we say it is in, and by no other, with the real restic."""
    lab = make_lab("local", restic=either_restic)
    with repository_of(lab) as repository:
        for _ in range(2):
            lab.write("exams/a", secrets.token_bytes(2000))
            repository.backup(request(lab), lambda _: None)
        packs = [file for file in (lab.store / lab.namespace / "hot" / "data").rglob("*/*") if file.is_file()]
        pack = max(packs, key=lambda file: file.stat().st_size)
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[50] ^= 1
        pack.write_bytes(content)
        first = int(pack.name[:2], 16)
        for parts in (3, 7):
            own = next(bucket for bucket in range(1, parts + 1) if in_bucket(first, bucket, parts))
            for bucket in {own, own % parts + 1}:
                found = repository.check(bucket=bucket, parts=parts)
                assert (pack.name in found.broken_packs) == (bucket == own), (parts, bucket, pack.name)


@pytest.mark.parametrize("parts", [1, 2, 5, 12, 52])
def test_a_cycle_reads_everything(parts: int) -> None:
    """As many verifies as there are parts, and every first byte was read once."""
    reads: dict[int, datetime] = {}
    for week in range(min(parts, 256)):
        bucket = next_bucket(reads, parts)
        fresh = [byte for byte in range(256) if in_bucket(byte, bucket, parts)]
        assert not set(fresh) & set(reads)
        reads |= dict.fromkeys(fresh, NOW + timedelta(weeks=week))
    assert len(reads) == 256
    assert next_bucket(reads, parts) == 1, "and then from the beginning: what was read longest ago"


def test_changing_the_share_loses_nothing() -> None:
    """What was never read comes first under another number of parts, too."""
    reads = {byte: NOW for byte in range(256) if in_bucket(byte, 1, 2)}
    bucket = next_bucket(reads, 4)
    assert not {byte for byte in range(256) if in_bucket(byte, bucket, 4)} & set(reads)
    old = {**dict.fromkeys(range(256), NOW), 7: NOW - timedelta(days=1)}
    assert in_bucket(7, next_bucket(old, 12), 12)


def test_coverage() -> None:
    """A pack counts when it was read after it was written, within the days."""
    before, after = NOW - timedelta(days=2), NOW - timedelta(hours=1)
    reads = {0x01: NOW - timedelta(days=1), 0x02: NOW - timedelta(days=40)}
    packs = {
        "01aa": (100, before),  # read
        "01bb": (30, after),  # written since
        "02aa": (7, NOW - timedelta(days=50)),  # read too long ago
        "03aa": (1, before),  # never read
    }
    sums = by_first_byte(packs, reads)
    found = coverage(sums, NOW, reads, NOW, 35)
    assert (found.packs_read, found.packs_total, found.bytes_read, found.bytes_total) == (1, 4, 100, 138)
    assert found.days == 35 and found.share == pytest.approx(100 / 138)
    nothing = coverage({}, NOW, reads, NOW, 35)
    assert (nothing.packs_total, nothing.share) == (0, 1.0)


@given(st.integers(0, 200), st.integers(1, 50), st.integers())
def test_sample(many: int, count: int, seed: int) -> None:
    """So many as are wanted and there, none twice, the same for the same seed."""
    chosen = sample(range(many), count, seed)
    assert len(chosen) == min(many, count) and len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(range(many)) and chosen == sample(iter(range(many)), count, seed)


def test_samples_differ_and_are_fair() -> None:
    """Another seed, another sample; the last files have the same chance as the first."""
    assert sample(range(1000), 10, 1) != sample(range(1000), 10, 2)
    hits = [file for seed in range(400) for file in sample(range(20), 5, seed)]
    assert all(60 < hits.count(file) < 140 for file in range(20))


@given(st.lists(st.integers(0, 20)), st.integers(0, 60))
def test_fitting(sizes: list[int], room: int) -> None:
    """What is kept has room together and keeps its order; what is left out would have had none."""
    kept = fitting(list(enumerate(sizes)), room, lambda item: item[1])
    assert sum(size for _, size in kept) <= room and kept == sorted(kept)
    for number, size in enumerate(sizes):
        before = sum(other for place, other in kept if place < number)
        assert ((number, size) in kept) == (before + size <= room)


@given(st.integers(1, 100), st.lists(st.text("abc", min_size=1), unique=True, max_size=20))
def test_shares(total: int, names: list[str]) -> None:
    """Every domain at least one file, the sum as wanted where it can be, nobody more than one ahead."""
    found = shares(total, names)
    assert list(found) == names
    if names:
        assert sum(found.values()) == max(total, len(names))
        assert min(found.values()) >= 1 and max(found.values()) - min(found.values()) <= 1


@pytest.mark.parametrize("kind", ["pack_damaged", "pack_missing", "pack_truncated", "index", "structure"])
def test_advice(kind: str) -> None:
    """Every damage has something to do, ends in reading everything back, and never shortens a snapshot."""
    steps = advice(kind, "abcdef", "main", ["exams"])
    assert steps[-1] == "rw verify --target main --share 1" or kind == "structure"
    assert steps[0].startswith("rw repair --target main --dry-run")
    text = "\n".join(steps)
    assert "repair snapshots" not in text and "forget" not in text and "prune" not in text
    if kind.startswith("pack"):
        assert "data/ab/abcdef" in text and "rw backup --target main --type full --domain exams" in text


@given(st.integers(1, 400), st.data())
def test_detection_is_the_hypergeometric_one(packs: int, data: st.DataObject) -> None:
    """The claim is exactly one less the ways to miss all, out of all ways to choose what is read."""
    read, damaged = data.draw(st.integers(0, packs)), data.draw(st.integers(0, packs))
    missed = math.comb(packs - damaged, read) / math.comb(packs, read)
    assert detection(packs, read, damaged) == pytest.approx(1 - missed if damaged and read else 0.0, abs=1e-9)


@pytest.mark.parametrize("damaged", [1, 5, 50])
def test_a_verify_finds_as_often_as_it_claims(damaged: int) -> None:
    """1,000 packs with random ids, and the parts that the real selection reads: over many repositories and the weeks of
    a cycle, damage is found no less often than each run claims, but for the noise of so many draws."""
    parts, found, claimed, variance, runs = 12, 0, 0.0, 0.0, 0
    for seed in range(120):
        ids = [hashlib.sha256(f"{seed} {damaged} {number}".encode()).digest() for number in range(1000)]
        broken, reads = ids[:damaged], dict[int, datetime]()  # which ids come first is as random as they are
        for week in range(parts):
            bucket = next_bucket(reads, parts)
            read = sum(in_bucket(one[0], bucket, parts) for one in ids)
            reads |= {byte: NOW + timedelta(weeks=week) for byte in range(256) if in_bucket(byte, bucket, parts)}
            chance = detection(len(ids), read, damaged)
            found += any(in_bucket(one[0], bucket, parts) for one in broken)
            claimed, variance, runs = claimed + chance, variance + chance * (1 - chance), runs + 1
    assert found >= claimed - 3 * math.sqrt(variance), (found, claimed, runs)
    assert found <= claimed + 3 * math.sqrt(variance), "and it claims no less than is true"
