"""Copies from hot to cold: what is promised gets there, is read back, and only then bears the mark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resticwrap.clock import FixedClock
from resticwrap.model.aging import KnownPack
from resticwrap.services import tiering
from tests.broken import flip
from tests.conftest import MakeLab
from tests.lab import RAW, Lab
from tests.past import backed_up, ids, originals

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def one(make_lab: MakeLab) -> Lab:
    """A lab of one domain."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 4, 30_000)
    return lab


def cold_packs(lab: Lab) -> list[Path]:
    return sorted(path for path in (lab.store / lab.namespace / "cold" / "data").rglob("*") if path.is_file())


def test_a_full_is_copied_proven_and_marked(any_lab: Lab) -> None:
    """On every kind of target; a second run has nothing to do."""
    any_lab.fill("exams", 4, 30_000)
    any_lab.fill("profiles", 2)
    any_lab.rw("backup", "--type", "full")
    plan = any_lab.json("tier", "plan")
    assert [copy["action"] for copy in plan["copies"]] == ["copy", "copy"]
    assert {count["tier"]: count["now"] for count in plan["counts"]} == {"hot": 2, "cold": 0}
    report = any_lab.json("tier", "run")
    assert report["job"]["outcome"] == "ok" and report["left"] == {}
    assert len(report["details"]["marked"]) == 2 and report["details"]["packs_read"] >= 2
    hot = originals(any_lab, "hot")
    assert originals(any_lab, "cold", tier="cold", **{"expire-after-days": "180"}) == hot
    assert originals(any_lab, "cold", tier="hot") == set()
    any_lab.bare("check", "--read-data", tier="cold")
    again = any_lab.json("tier", "run")
    assert (again["details"]["copied"], again["details"]["packs_read"]) == ([], 0)
    assert any_lab.json("tier", "plan")["copies"] == []


def test_only_packs_of_data_alone_are_labelled(make_lab: MakeLab) -> None:
    """A rule that goes by the label never moves a tree pack."""
    for kind in ("s3", "oss"):
        lab = make_lab(kind)
        lab.fill("exams", 4, 30_000)
        lab.rw("backup", "--type", "full")
        assert lab.json("tier", "run")["details"]["labelled"] >= 1
        with lab.house() as built:
            data = built.context.cold.trees().data_only_packs()
            bucket = built.bucket
            assert bucket is not None
            tagged = {
                one.key.rpartition("/")[2]
                for one in bucket.objects(f"{lab.namespace}/cold/")
                if bucket.tags(one.key).get("tier") == "cold"
            }
        assert tagged == data and len(data) >= 1
        assert lab.json("tier", "run")["details"]["labelled"] == 0


def test_a_day_is_copied_by_its_full_and_an_incremental_once_the_day_is_over(one: Lab) -> None:
    two_days = NOW - timedelta(days=2)
    full = backed_up(one, "exams", two_days.replace(hour=2))
    one.write("exams/more", "1")
    backed_up(one, "exams", two_days.replace(hour=3), "incremental")
    one.write("exams/more", "2")
    late = backed_up(one, "exams", (NOW - timedelta(days=1)).replace(hour=5), "incremental")
    one.write("exams/more", "3")
    today = NOW.replace(hour=12, minute=0, second=0)
    backed_up(one, "exams", today - timedelta(minutes=5), "incremental")
    with one.house(FixedClock(today)) as built:
        tiering.run(built.context, tiering.plan(built.context))
    assert originals(one, "cold", tier="cold") == {full, late}


@pytest.mark.parametrize("fault", ["flipped", "missing", "cut"])
def test_what_does_not_hash_to_its_name_is_not_marked(one: Lab, fault: str) -> None:
    """A copy was killed before it was proven, and what it wrote is damaged: the run says so and marks nothing."""
    one.rw("backup", "--type", "full")
    with one.house() as built:
        built.context.cold.copy(built.context.hot, sorted(ids(one)))
    pack = max(cold_packs(one), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    if fault == "flipped":
        flip(pack)
    elif fault == "missing":
        pack.unlink()
    else:
        pack.write_bytes(pack.read_bytes()[:-1])
    report = one.json("tier", "run", code=20)
    assert [bad["pack"] for bad in report["details"]["bad"]] == [pack.name]
    assert list(report["left"]) == sorted(originals(one, "hot")) and report["details"]["marked"] == []
    assert originals(one, "cold", tier="cold") == set()
    assert "not proven" in one.rw("tier", "run", code=20).out


def test_a_share_is_read_back_where_the_policy_says_so(one: Lab) -> None:
    """The others must be there with their size, and the record says which."""
    for number in range(6):
        one.write(f"exams/part{number}", bytes([number]) * 100)
        backed_up(one, "exams", NOW - timedelta(days=9 - number))
    policy = one.folder / "policies" / "tiers.yaml"
    policy.write_text(policy.read_text().replace("cold:\n", "cold:\n    read_back: 1/256\n"))
    details = one.json("tier", "run")["details"]
    assert (details["read_back"], details["packs_read"]) == ("1/256", 1) and details["packs_looked"] >= 1
    with one.house() as built:
        how = [pack.how for pack in built.catalog.packs("main", "cold").values()]
    assert sorted(set(how), key=str) == ["read", "sampled"] and how.count("read") == 1


def test_an_unproven_copy_of_a_dead_run_is_proven_though_hot_has_lost_it(one: Lab) -> None:
    one.rw("backup", "--type", "full")
    (id_,) = ids(one)
    with one.house() as built:
        built.context.cold.copy(built.context.hot, [id_])
    one.bare("forget", id_)
    plan = one.json("tier", "plan")
    assert [copy["action"] for copy in plan["copies"]] == ["prove"]
    assert one.json("tier", "run")["details"]["marked"] == [id_]


def test_a_partial_or_unknown_snapshot_is_not_copied(one: Lab) -> None:
    backed_up(one, "exams", NOW - timedelta(days=2), complete=False)
    assert one.json("tier", "plan")["copies"] == []


def test_the_catalogue_must_hold_the_record(one: Lab) -> None:
    one.rw("backup", "--type", "full")
    run = one.rw("tier", "run", code=None, env={"RW_CATALOG_URL": f"sqlite:///{one.folder}/no/such/folder/c.sqlite"})
    assert run.code == 1 and "rw catalog rebuild" in run.err + run.out and originals(one, "cold") == set()


def test_what_is_known_of_a_pack_grows(one: Lab) -> None:
    with one.house() as built:
        catalog = built.catalog
        catalog.put_packs("main", "cold", [KnownPack(pack="a" * 64, proven_at=NOW, how="read")])
        catalog.put_packs("main", "cold", [KnownPack(pack="a" * 64, labelled_at=NOW), KnownPack(pack="b" * 64)])
        known = catalog.packs("main", "cold")
        assert known["a" * 64] == KnownPack(pack="a" * 64, proven_at=NOW, how="read", labelled_at=NOW)
        catalog.forget_packs("main", "cold", ["a" * 64, "c" * 64])
        assert set(catalog.packs("main", "cold")) == {"b" * 64}
