"""Whether hot may rely on cold: what a mark, a catalogue and a hand-made copy say is not believed, proven packs are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.broken import flip
from tests.conftest import MakeLab
from tests.lab import RAW, Lab
from tests.past import backed_up, ids, keep_in_hot, originals

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def one(make_lab: MakeLab) -> Lab:
    """A lab of one domain; hot keeps the last snapshot only, cold one a day."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    keep_in_hot(lab, {"last": 1})
    lab.fill("exams", 4, 30_000)
    return lab


def day(lab: Lab, ago: int) -> str:
    lab.write("exams/today", str(ago) * 30_000)
    return backed_up(lab, "exams", NOON - timedelta(days=ago))


def damage(lab: Lab, tier: str = "cold") -> None:
    """Flip a bit in every pack of data of a repository; sizes stay."""
    with lab.house() as built:
        packs = built.context.repositories[tier].trees().data_only_packs()
    for pack in packs:
        file = lab.store / lab.namespace / tier / "data" / pack[:2] / pack
        file.chmod(0o600)
        flip(Path(file))


def test_what_a_verify_found_damaged_is_proven_no_more(one: Lab) -> None:
    """Its size is right, its mark stands, and it was proven once: hot keeps what needs it all the same."""
    days = {day(one, ago) for ago in (5, 4, 3)}
    one.rw("tier", "run")
    damage(one)
    one.rw("verify", "--tier", "cold", "--share", "1", code=20)
    report = one.json("forget")
    assert originals(one, "hot") == days and "not known to be proven" in report["plan"]["warnings"][0]
    # What comes later and shares the damaged packs is not called proven either.
    later = day(one, 2)
    assert later in one.json("tier", "run", code=20)["left"]
    one.rw("forget")
    assert originals(one, "hot") == days | {later}


def test_a_damaged_pack_of_cold_is_mended_as_the_documents_say(one: Lab) -> None:
    """While hot has what needs it: out of the index, the copies away, copied and proven again."""
    days = {day(one, ago) for ago in (3, 2)}
    one.rw("tier", "run")
    damage(one)
    damages = one.json("verify", "--tier", "cold", "--share", "1", code=20)["damages"]
    one.bare("forget", *ids(one, "cold"), tier="cold")
    for pack in damages:
        one.bare("repair", "packs", pack["name"], tier="cold")
    report = one.json("tier", "run")
    assert set(report["details"]["marked"]) == days and report["left"] == {}
    one.bare("check", "--read-data", tier="cold")


def test_a_pack_that_was_repaired_away_is_no_sound_cold(one: Lab) -> None:
    """The index names nothing any more that is damaged, nor what the marked copies need: hot keeps them."""
    days = {day(one, ago) for ago in (4, 3)}
    one.rw("tier", "run")
    damage(one)
    for pack in one.json("verify", "--tier", "cold", "--share", "1", code=20)["damages"]:
        one.bare("repair", "packs", pack["name"], tier="cold")
    one.rw("tier", "run", code=None)
    one.rw("forget")
    assert originals(one, "hot") == days


def test_what_was_found_damaged_is_cleared_by_a_whole_read_only(one: Lab) -> None:
    """Not by a sample of the others, nor by a label."""
    day(one, 3)
    one.rw("tier", "run")
    damage(one)
    one.rw("verify", "--tier", "cold", "--share", "1", code=20)
    policy = one.folder / "policies" / "tiers.yaml"
    policy.write_text(policy.read_text().replace("cold:\n", "cold:\n    read_back: 1/256\n"))
    assert one.json("tier", "run", code=20)["details"]["bad"]
    with one.house() as built:
        known = built.catalog.packs("main", "cold")
        assert {pack.how for pack in known.values() if pack.proven_at is None} == {"damaged"}


def test_a_rebuild_takes_no_rewritten_snapshot_for_complete(one: Lab) -> None:
    """It has the original id of one that a manifest calls complete, and another tree."""
    one.rw("backup", "--type", "full")
    (old,) = ids(one)
    one.bare("rewrite", "--forget", "--exclude", "exam_000.bin", old)
    one.rw("catalog", "rebuild")
    assert one.json("tier", "plan")["unknown"] == 1
    assert one.json("tier", "run")["details"]["copied"] == []


def test_nothing_leaves_cold_while_packs_are_unproven(one: Lab) -> None:
    """After a prune of cold wrote packs anew, or with another catalogue: first they are read."""
    for ago in (400, 390, 2):
        day(one, ago)
    with one.house() as built:
        context = built.context
        context.cold.copy(context.hot, sorted(ids(one)))
    before = ids(one, "cold")
    report = one.json("forget", "--tier", "cold")
    assert ids(one, "cold") == before and "not proven yet" in str(report["plan"]["verdicts"])


def test_a_lost_catalogue_proves_nothing(one: Lab) -> None:
    """The marks are there; the packs must be read again before hot relies on them."""
    policy = one.folder / "policies" / "tiers.yaml"
    policy.write_text(policy.read_text().replace("within_daily: 180d", "last: 9"))
    one.rw("backup", "--type", "full")
    one.write("exams/more", "1")
    one.rw("backup", "--type", "full")
    one.rw("tier", "run")
    for file in one.state.glob("catalog.sqlite*"):
        file.unlink()
    one.rw("catalog", "rebuild")
    damage(one)
    before = originals(one, "hot")
    assert "not known to be proven" in one.json("forget")["plan"]["warnings"][0]
    assert originals(one, "hot") == before
    assert one.json("tier", "run", code=20)["details"]["bad"]


def test_a_mark_that_was_set_by_hand_is_no_proof(one: Lab) -> None:
    """A copy by bare restic of snapshots that bear the mark already: born marked, never read back, damaged."""
    days = [day(one, ago) for ago in (3, 2)]
    one.bare("tag", "--remove", "tier=hot", "--add", "tier=cold")
    with one.house() as built:
        built.context.cold.copy(built.context.hot, sorted(ids(one)))
    damage(one)
    one.rw("tier", "run", code=20)
    one.rw("forget")
    assert originals(one, "hot") == set(days)


def test_a_snapshot_that_restic_rewrote_is_not_its_original(one: Lab) -> None:
    """It has the same original id and less in it: the original is copied, and neither goes for the other's sake."""
    old = day(one, 5)
    day(one, 1)
    one.bare("rewrite", "--exclude", "exam_000.bin", old)
    rewritten = ids(one) - {old} - originals(one, "hot")
    assert len(rewritten) == 1
    one.rw("tier", "run")
    one.rw("forget")
    assert rewritten <= ids(one)
    (copy,) = [
        snapshot for snapshot in one.json("snapshots", "--tier", "cold") if snapshot["snapshot"]["original"] == old
    ]
    place = one.folder / "back"
    one.bare("restore", copy["snapshot"]["id"], "--target", str(place), tier="cold")
    assert next(place.rglob("exam_000.bin")).read_bytes() == (one.data / "exams/exam_000.bin").read_bytes()


def test_one_snapshot_that_cannot_be_copied_keeps_no_other(one: Lab) -> None:
    """Its data are damaged in hot; the healthy ones are copied and proven."""
    broken = day(one, 4)
    damage(one, "hot")
    for file in (one.data / "exams").iterdir():
        file.unlink()
    one.write("exams/other", "x" * 50_000)
    healthy = backed_up(one, "exams", NOON - timedelta(days=1))
    report = one.json("tier", "run", code=3)
    assert list(report["left"]) == [broken] and report["details"]["marked"] == [healthy]


def test_a_domain_that_the_policy_dropped_keeps_everything(one: Lab) -> None:
    """Until somebody names it: its own wishes are gone with it."""
    old = [backed_up(one, "exams", NOON - timedelta(days=ago)) for ago in (400, 390)]
    one.domains = {"profiles": one.files("profiles")}
    one.write_policies()
    keep_in_hot(one, {"last": 1})
    one.rw("tier", "run")
    one.rw("forget")
    assert originals(one, "hot") == set(old)
    one.rw("tier", "run", "--domain", "exams")
    one.rw("forget", "--domain", "exams")
    assert originals(one, "hot") == {old[1]}


@pytest.mark.parametrize("command", [["tier", "run"], ["forget"], ["prune", "--now"]])
def test_nothing_goes_on_over_rules_that_would_delete(make_lab: MakeLab, command: list[str]) -> None:
    """The bucket's rules are looked at by each; so does a dry run."""
    lab = make_lab("s3")
    lab.fill("exams", 2)
    lab.rw("backup", "--type", "full")
    with lab.house() as built:
        bucket = built.bucket
        assert bucket is not None
        bucket.put_lifecycle(
            b"<LifecycleConfiguration><Rule><ID>sweep</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
            b"<Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"
        )
    before = ids(lab)
    for more in ([], ["--dry-run"]):
        run = lab.rw(*command, *more, code=2)
        assert "sweep" in run.err
    assert ids(lab) == before and ids(lab, "cold") == set()


def test_labels_are_set_again_after_a_prune_and_when_asked(make_lab: MakeLab) -> None:
    """A prune wrote a new pack of data: it is proven and labelled. Labels that somebody took away come back."""
    lab = make_lab("s3")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    (lab.folder / "policies" / "tiers.yaml").write_text(
        (lab.folder / "policies" / "tiers.yaml").read_text() + "prune: {max_unused: 0%}\n"
    )
    lab.fill("exams", 4, 40_000)
    gone = backed_up(lab, "exams", NOON - timedelta(days=3))
    for number in range(2):
        (lab.data / f"exams/exam_{number:03d}.bin").unlink()
    backed_up(lab, "exams", NOON - timedelta(days=2))
    lab.rw("tier", "run")
    with lab.house() as built:
        (copy,) = [one.id for one in built.context.cold.snapshots(no_cache=True) if one.original == gone]
        before = built.context.cold.trees().data_only_packs()
    lab.bare("forget", copy, tier="cold")
    lab.rw("prune", "--now", "--tier", "cold")
    with lab.house() as built:
        after, bucket = built.context.cold.trees().data_only_packs(), built.bucket
        assert bucket is not None and after and after != before
        prefix = f"{lab.namespace}/cold/data/"

        def labelled() -> set[str]:
            names = {one.key for one in bucket.objects(prefix) if bucket.tags(one.key).get("tier") == "cold"}
            return {name.rpartition("/")[2] for name in names}

        assert labelled() == after
        known = built.catalog.packs("main", "cold")
        assert all(known[pack].how == "read" for pack in after)
        for pack in after:
            bucket.tag(f"{prefix}{pack[:2]}/{pack}", "tier", "elsewhere")
        assert labelled() == set()
        assert lab.json("tier", "run", "--relabel")["details"]["labelled"] >= len(after)
        assert labelled() >= after
