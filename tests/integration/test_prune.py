"""`rw prune`: what nothing needs goes, in the window, until the deadline, and nothing else goes."""

import dataclasses
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import oss2
import pytest
import yaml

from resticwrap.clock import FixedClock
from resticwrap.model.aging import KnownPack
from resticwrap.services.prune import prune
from tests.conftest import MakeLab
from tests.faults.machine import outcomes, packs, snapshot_files
from tests.lab import Lab, tree

MIB = 1 << 20
FACTS = ("tier", "packs", "stored", "max_unused", "cacheable_only", "why")


def rule(lab: Lab, **rule: Any) -> None:
    """The policy's rule for prunes."""
    file = lab.folder / "policies" / "tiers.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "prune": rule}))


def stored(lab: Lab) -> int:
    return sum(pack.stat().st_size for pack in packs(lab))


@pytest.fixture
def wasteful(lab: Lab) -> Lab:
    """Two backups of which the first is forgotten: two MiB of it are needed by nothing, some of a pack still is."""
    lab.write("exams/old.bin", os.urandom(2 * MIB))
    for number in range(4):
        lab.write(f"exams/kept_{number}.bin", os.urandom(100_000))
    lab.rw("backup", "--domain", "exams")
    old = snapshot_files(lab)
    (lab.data / "exams" / "old.bin").unlink()
    lab.write("exams/new.bin", os.urandom(60_000))
    lab.rw("backup", "--domain", "exams")
    lab.bare("forget", *old)
    return lab


def test_what_nothing_needs_goes(wasteful: Lab) -> None:
    """The dry run shows the plan that the run executes, and removes nothing; what is left can be restored."""
    lab = wasteful
    before = stored(lab)
    dry = lab.json("prune", "--dry-run")
    assert stored(lab) == before and dry["open"] and dry["tiers"][0]["stored"] == before
    report = lab.json("prune")
    planned = report["plan"]["tiers"]
    assert [[tier[fact] for fact in FACTS] for tier in planned] == [
        [one[fact] for fact in FACTS] for one in dry["tiers"]
    ]
    hot, cold = report["tiers"]
    assert hot["ended"] and hot["stored"] == before and hot["stored_after"] == stored(lab) < before - 2_000_000
    assert cold["ended"] and cold["packs_after"] == 0
    assert report["job"]["outcome"] == "ok" and outcomes(lab, "prune") == ["ok"]
    lab.bare("check", "--read-data")
    lab.rw("restore", "--domain", "exams", "--to", str(lab.folder / "back"))
    assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")
    assert lab.json("prune")["tiers"][0]["stored_after"] == stored(lab) == hot["stored_after"]


def test_nothing_is_done_without_a_record(wasteful: Lab) -> None:
    lab = wasteful
    before = stored(lab)
    error = lab.json("prune", code=1, env={"RW_CATALOG_URL": "sqlite:////dev/null/none.sqlite"})["error"]
    assert error["kind"] == "CatalogUnavailable" and stored(lab) == before
    lab.rw("prune")
    assert stored(lab) < before


def test_outside_the_window(wasteful: Lab) -> None:
    """It is refused with 2 and says when the window opens; `--now` and a dry run do not mind."""
    lab = wasteful
    before, opens = stored(lab), datetime.now(UTC) + timedelta(hours=2)
    rule(lab, window=f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}")
    error = lab.json("prune", code=2)["error"]
    assert f"{opens:%Y-%m-%d %H:%M} (UTC)" in error["message"] and "--now" in error["hint"]
    dry = lab.json("prune", "--dry-run")
    assert not dry["open"] and stored(lab) == before and outcomes(lab, "prune") == []
    assert lab.json("prune", "--now", "--tier", "hot")["job"]["outcome"] == "ok"
    assert stored(lab) < before


def test_the_end_of_the_window_is_a_deadline(wasteful: Lab) -> None:
    """What does not fit into what is left of it is left to the next one."""
    lab = wasteful
    rule(lab, window="01:00-05:00")
    before = stored(lab)
    clock = FixedClock(datetime(2026, 11, 28, 4, 59, 59, tzinfo=UTC))
    with lab.house(clock) as built:
        context = built.context
        report = prune(dataclasses.replace(context, locks=_Slow(context.locks, clock)), ("hot", "cold"))
    assert report.job.outcome == "partial" and [tier.ended for tier in report.tiers] == [False, False]
    assert "at 05:00, when the window 01:00-05:00 closed" in report.notes[-1]
    assert stored(lab) == before


class _Slow:
    """Locks that are had after two seconds."""

    def __init__(self, locks: Any, clock: FixedClock) -> None:
        self._locks, self._clock = locks, clock

    def hold(self, name: str, **more: Any) -> Any:
        self._clock.sleep(2)
        return self._locks.hold(name, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._locks, name)


def test_packs_that_are_gone_are_forgotten(wasteful: Lab) -> None:
    """The catalogue knows no pack that is not there."""
    lab = wasteful
    known = {pack.name for pack in packs(lab)}
    with lab.house() as built:
        built.catalog.put_packs("main", "hot", [KnownPack(pack=name) for name in known])
    lab.rw("prune")
    with lab.house() as built:
        left = set(built.catalog.packs("main", "hot"))
    assert left == known & {pack.name for pack in packs(lab)} != known


def test_a_pack_that_is_not_there_fails_it(wasteful: Lab) -> None:
    """Where a pack that is needed is not there, the prune fails, removes nothing, and the other tier is done."""
    lab = wasteful
    with lab.house() as built:
        hot = built.context.hot
        needed = hot.trees().needed_packs([hot.snapshots()[-1].tree])
    lost = next(pack for pack in packs(lab) if pack.name in needed)
    lost.rename(lab.folder / lost.name)
    before = stored(lab)
    report = lab.json("prune", code=None)
    assert report["job"]["outcome"] == "failed" and stored(lab) == before
    assert report["tiers"][0]["error"] and report["tiers"][1]["ended"]
    lost.parent.mkdir(exist_ok=True)
    (lab.folder / lost.name).rename(lost)
    assert lab.json("prune")["job"]["outcome"] == "ok"


def test_frozen_packs_are_left_alone(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack in an archive class, which cannot be read, is not repacked though half of it is unused; one that nothing
    needs goes. Nothing hangs over what is frozen, and the plan says why."""
    lab = make_lab("oss")
    monkeypatch.setenv("HTTP_PROXY", lab.env["HTTP_PROXY"])
    for number in range(4):
        lab.write(f"exams/kept_{number}.bin", os.urandom(100_000))
        lab.write(f"exams/old_{number}.bin", os.urandom(150_000))
    lab.rw("backup", "--domain", "exams")
    for number in range(4):
        (lab.data / "exams" / f"old_{number}.bin").unlink()
    lab.rw("backup", "--domain", "exams")
    with lab.house() as built:
        context = built.context
        old = context.hot.snapshots()[0]
        (pack, *_), store = sorted(context.hot.trees().data_only_packs()), context.store
        key = f"{lab.namespace}/hot/data/{pack[:2]}/{pack}"
        raw = oss2.Bucket(
            oss2.AuthV4(lab.env["LAB_KEY"], lab.env["LAB_SECRET"]),
            lab.target["endpoint"],
            lab.target["bucket"],
            region=lab.target["region"].removeprefix("oss-"),
        )
        raw.put_object(key, store.get(key), headers={"x-oss-storage-class": "Archive"})
    lab.bare("forget", old.id)
    rule(lab, max_unused="0%")
    report = lab.json("prune", "--tier", "hot")
    (planned,) = report["plan"]["tiers"]
    assert planned["cacheable_only"] and "Archive" in planned["why"] and report["job"]["outcome"] == "ok"
    with lab.house() as built:
        bucket = built.context.bucket()
        assert bucket is not None
        classes = {item.key: item.storage_class for item in bucket.objects(f"{lab.namespace}/hot/data/")}
    assert classes[key] == "Archive"
    assert lab.json("prune", "--tier", "cold")["plan"]["tiers"][0]["cacheable_only"] is False


def test_frozen_trees_are_not_waited_for(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of hot was archived by a rule: the prune, and its dry run, end at once, say so, and leave no lock."""
    lab = make_lab("oss")
    monkeypatch.setenv("HTTP_PROXY", lab.env["HTTP_PROXY"])
    lab.fill("exams")
    lab.rw("backup", "--domain", "exams")
    rule(lab, deadline="20s")
    raw = oss2.Bucket(
        oss2.AuthV4(lab.env["LAB_KEY"], lab.env["LAB_SECRET"]),
        lab.target["endpoint"],
        lab.target["bucket"],
        region=lab.target["region"].removeprefix("oss-"),
    )
    with lab.house() as built:
        for item in list(built.store.list(f"{lab.namespace}/hot/data/")):
            raw.put_object(item.key, built.store.get(item.key), headers={"x-oss-storage-class": "Archive"})
    lab.copy_state_away()
    lab.rw("init")
    started = time.monotonic()
    report = lab.json("prune", code=None)
    assert time.monotonic() - started < 12
    hot, cold = report["tiers"]
    assert hot["error"]["kind"] == "Frozen" and not hot["ended"] and cold["ended"]
    with lab.house() as built:
        assert list(built.store.list(f"{lab.namespace}/hot/locks/")) == []
    assert lab.json("prune", "--dry-run", "--tier", "hot", code=1)["error"]["kind"] == "Frozen"
