"""`rw repair` on real repositories that are really broken: what comes back, from where, and what is said of the rest.

After each: bare restic reads all back, and a restore is compared with the data as it was.
"""

import hashlib
import json
import os
import random
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import oss2
import pytest

from resticwrap import errors
from resticwrap.bootstrap import House
from resticwrap.model.policy import VerifyRule
from resticwrap.model.repair import RepairReport
from resticwrap.planning import verify as planning
from resticwrap.restic.crypto import MasterKey
from resticwrap.services import backup, repair, tiering, verify
from resticwrap.services.repairlook import Look
from tests.conftest import MakeLab
from tests.handmade import seal
from tests.integration.test_recover import s3_of
from tests.lab import RAW, Lab, tree


def lab_of(make_lab: MakeLab, kind: str = "local", **more: Any) -> Lab:
    """One domain of a few files, of which one has several blobs."""
    lab = make_lab(kind, **more)
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 3, 20_000)
    lab.write("exams/large.bin", secrets.token_bytes(3_000_000))
    lab.write("exams/below/small.bin", secrets.token_bytes(500))
    return lab


def back_up(built: House) -> None:
    context = built.context
    done = backup.backup(context, backup.plan(context, "incremental", context.settings.domains))
    assert done.job.outcome == "ok"


def cold(built: House) -> None:
    done = tiering.run(built.context, tiering.plan(built.context))
    assert done.job.outcome == "ok", done


def keys(built: House, folder: str, tier: str = "hot") -> list[str]:
    below = f"{folder}/" if folder else ""
    return [item.key for item in built.store.list(f"{built.target.namespace}/{tier}/{below}")]


def packs(built: House, trees: bool = False, tier: str = "hot") -> list[str]:
    """The keys of the packs of data, or of those with trees."""
    reader = built.context.repositories[tier].trees(no_cache=True)
    data = reader.data_only_packs()
    return [key for key in keys(built, "data", tier) if (key.rsplit("/", 1)[1] not in data) == trees]


def flipped(built: House, key: str, at: int = 50) -> None:
    content = bytearray(built.store.get(key))
    content[at] ^= 1
    built.store.put(key, bytes(content))


def cut_short(built: House, key: str) -> None:
    content = built.store.get(key)
    built.store.put(key, content[: len(content) // 2])


def deleted(built: House, key: str) -> None:
    built.store.delete(key)


def no_cache(lab: Lab) -> None:
    lab.env["RESTIC_CACHE_DIR"] = str(lab.folder / f"cache-{secrets.token_hex(3)}")


def whole(lab: Lab, before: Mapping[str, Any], *more: str) -> None:
    """Bare restic reads all back, and its restore is what was there."""
    lab.bare("check", "--read-data")
    place = lab.folder / f"back-{secrets.token_hex(3)}"
    lab.bare("restore", *(more or ("latest",)), "--target", str(place))
    assert tree(place / "exams") == before


def repaired(lab: Lab, **more: Any) -> RepairReport:
    with lab.house() as built:
        return repair.repair(built.context, "hot", **more)


BREAKS: dict[str, Callable[[House, str], None]] = {"flip": flipped, "delete": deleted, "truncate": cut_short}


@pytest.mark.parametrize("how", list(BREAKS))
def test_the_live_source_brings_it_back(make_lab: MakeLab, how: str) -> None:
    """All packs of data are broken, and the live source still has it all: the plan says so and changes nothing, the
    run stores it again, and every object of the affected snapshot is compared."""
    lab = lab_of(make_lab)
    before = tree(lab.data / "exams")
    with lab.house() as built:
        back_up(built)
        (original,) = (one.original for one in built.context.hot.snapshots())
        for key in packs(built):
            BREAKS[how](built, key)
        stood = {key: built.store.get(key) for key in keys(built, "")}
    no_cache(lab)
    with lab.house() as built:
        planned = repair.plan(built.context, "hot", full=True)
        assert {key: built.store.get(key) for key in keys(built, "")} == stood
        actions = [step.action for step in planned.steps]
        assert actions[-2:] == ["back_up", "compare"] and "cut" not in actions
        assert planned.affected == (original,) and {one.hope for one in planned.lost} <= {"live"}
    report = repaired(lab, full=True)
    assert report.ok and [one.ok for one in report.healed] == [True] * len(report.healed), report
    assert original in {one.snapshot for one in report.healed} and not report.lost
    assert [step.action for step in report.done][: len(actions) - 1] == actions[:-1]
    whole(lab, before, original)
    again = repaired(lab, full=True)
    assert again.ok and not again.done


def test_the_other_tier_brings_it_back(make_lab: MakeLab) -> None:
    """The source has gone on, packs of data and of trees are lost: cold brings them back, no copy of a snapshot stays,
    and hot is as it was."""
    lab = lab_of(make_lab)
    before = tree(lab.data / "exams")
    with lab.house() as built:
        back_up(built)
        cold(built)
        gone = keys(built, "data")
        for file in (lab.data / "exams").rglob("*.bin"):
            file.unlink()
        back_up(built)
        ids = [one.id for one in built.context.hot.snapshots()]
        for key in gone:
            deleted(built, key)
    no_cache(lab)
    report = repaired(lab)
    assert report.ok and not report.lost, report
    assert "copy" in [step.action for step in report.done]
    with lab.house() as built:
        assert [one.id for one in built.context.hot.snapshots()] == ids
    whole(lab, before, ids[0])


def test_nothing_is_left_of_it(make_lab: MakeLab) -> None:
    """No copy anywhere: what is lost is named, nothing is cut, exit 20. With --allow-loss it is cut, said, and the
    snapshot is partial, kept aside as it was, and neither parent nor proof of anything."""
    lab = lab_of(make_lab)
    with lab.house() as built:
        back_up(built)
        verify.verify(built.context, "hot", built.settings.schedule.verify, ())
        (snapshot,) = built.context.hot.snapshots()
        known = built.context.catalog().snapshots("main", "hot")[snapshot.original]
        assert known.complete and known.proven_at
        (lab.data / "exams" / "large.bin").unlink()
        for key in packs(built):
            deleted(built, key)
    no_cache(lab)
    printed = lab.rw("repair", code=20).out
    assert "exams/large.bin" in printed and "--allow-loss" in printed
    report = repaired(lab)
    assert not report.ok and not report.cut and {one.path for one in report.lost} == {"exams/large.bin"}, report.lost
    (lost,) = report.lost
    assert (lost.domain, lost.size, lost.hope) == ("exams", 3_000_000, "none") and snapshot.original in lost.snapshots
    with lab.house() as built:
        assert snapshot.id in {one.id for one in built.context.hot.snapshots()}
        assert built.context.catalog().snapshots("main", "hot")[snapshot.original].proven_at is None
    assert lab.bare("check", check=False).returncode != 0
    report = repaired(lab, allow_loss=True)
    assert not report.ok and report.cut == (snapshot.original,) and report.lost == (lost,)
    lab.bare("check", "--read-data")
    with lab.house() as built:
        assert snapshot.id not in {one.id for one in built.context.hot.snapshots()}
        assert not built.context.catalog().snapshots("main", "hot")[snapshot.original].complete
        assert any(snapshot.id in key for key in [one.key for one in built.store.list("resticwrap/hot-damaged/")])
        events = built.context.catalog().evidence("main", kind="repair")
        assert events[0].event.body["lost"] == 1 and "large.bin" not in str(events)
        job = built.context.catalog().jobs("main", kind="repair")[0]
        assert job.details["lost"][0]["path"] == "exams/large.bin"
    assert repaired(lab).ok


@pytest.mark.parametrize("kind", ["index", "lost index", "snapshot", "key"])
def test_small_files(make_lab: MakeLab, kind: str) -> None:
    """Damaged indexes are made anew; what restic's cache has comes back out of it; a key that nobody has is said."""
    lab = lab_of(make_lab)
    before = tree(lab.data / "exams")
    with lab.house() as built:
        back_up(built)
        (snapshot,) = built.context.hot.snapshots()
        folder = {"index": "index", "lost index": "index", "snapshot": "snapshots", "key": "keys"}[kind]
        for key in keys(built, folder):
            (deleted if kind == "lost index" else flipped)(built, key)
    if kind != "snapshot":
        no_cache(lab)
    report = repaired(lab)
    if kind == "key":
        assert not report.ok and not report.done and report.left and "Nothing opens" in " ".join(report.notes)
        return
    assert report.ok, report
    assert report.done[0].action == ("bring_back" if kind == "snapshot" else "rebuild_index")
    assert snapshot.original in {one.snapshot for one in report.healed}
    whole(lab, before, snapshot.id)


def keep_versions(lab: Lab, kind: str, request: pytest.FixtureRequest) -> None:
    """From now on the bucket keeps versions of what is overwritten and deleted."""
    bucket = lab.target["bucket"]
    if kind == "s3":
        s3_of(lab, request.getfixturevalue("weed")).put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        return
    raw = oss2.Bucket(
        oss2.AuthV4(lab.env["LAB_KEY"], lab.env["LAB_SECRET"]),
        lab.target["endpoint"],
        bucket,
        region=lab.target["region"].removeprefix("oss-"),
    )
    raw.put_bucket_versioning(oss2.models.BucketVersioningConfig(status="Enabled"))


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_a_bucket_that_keeps_versions(
    make_lab: MakeLab, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Flipped, cut and deleted packs, a deleted newest snapshot, a garbled index and key: all of it comes back out of
    older versions as it was, and nothing else is done."""
    lab = lab_of(make_lab, kind)
    before = tree(lab.data / "exams")
    if kind == "oss":
        monkeypatch.setenv("HTTP_PROXY", lab.env["HTTP_PROXY"])
    keep_versions(lab, kind, request)
    with lab.house() as built:
        back_up(built)
        (snapshot,) = built.context.hot.snapshots()
        stood = {key: built.store.get(key) for key in keys(built, "")}
        first, *others = keys(built, "data")
        flipped(built, first)
        cut_short(built, others[0])
        for key in (*others[1:], *keys(built, "snapshots")):
            deleted(built, key)
        for key in (*keys(built, "index"), f"{lab.namespace}/hot/config"):
            flipped(built, key, 20)
    no_cache(lab)
    report = repaired(lab, full=True)
    assert report.ok and {step.action for step in report.done} == {"bring_back"}, report
    assert [one.snapshot for one in report.healed] == [snapshot.original]
    with lab.house() as built:
        now = {key: built.store.get(key) for key in keys(built, "") if "/locks/" not in key}
        assert now == {key: content for key, content in stood.items() if "/locks/" not in key}
    whole(lab, before, snapshot.id)


def test_what_may_go_better_another_time(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack stays in the repository where what can be saved of it could not be saved for now, where older versions
    could not be looked at, and where it turns out to be sound; a snapshot that a backup writes meanwhile stays too."""
    lab = lab_of(make_lab)
    with lab.house() as built:
        context, hot = built.context, built.context.hot
        back_up(built)
        cold(built)
        key = next(key for key in packs(built))
        name, sound = key.rsplit("/", 1)[1], built.store.get(key)
        flipped(built, key)
        (lab.data / "exams" / "large.bin").unlink()

        def locked(*_: object) -> None:
            raise errors.Locked("busy")

        with monkeypatch.context() as patch:
            patch.setattr(hot, "repair_packs", locked)
            report = repair.repair(context, "hot", full=True, allow_loss=True)
            assert not {"set_aside", "cut"} & {one.action for one in report.done} and [one.name for one in report.left]
            assert key in keys(built, "data")
        with monkeypatch.context() as patch:
            patch.setattr(Look, "_version", lambda look, one: look.unlooked.add(one.name) or look.doubt("refused"))
            steps = repair.plan(context, "hot", full=True, allow_loss=True).steps
            assert not {"salvage", "set_aside", "cut"} & {one.action for one in steps}
        with monkeypatch.context() as patch:

            def untrue(look: Look, pack: str) -> bool:
                built.store.put(key, sound)  # from now on the target says the truth
                return pack != name

            patch.setattr(Look, "_is_sound", untrue)
            report = repair.repair(context, "hot", full=True)
            assert [one.why for one in report.done if one.action == "salvage" and "sound now" in one.why]
            assert built.store.get(key) == sound
        for broken in packs(built):
            deleted(built, broken)
        no_cache(lab)
    with lab.house() as built:
        hot, real = built.context.hot, built.context.hot.copy

        def copy(*args: Any) -> None:
            real(*args)
            lab.write("exams/meanwhile.bin", secrets.token_bytes(5000))
            back_up(built)

        monkeypatch.setattr(hot, "copy", copy)
        report = repair.repair(built.context, "hot")
        assert "copy" in [one.action for one in report.done]
        written = [job.domains[0].snapshot for job in built.catalog.jobs("main", kind="backup", limit=2)]
        assert set(written) <= {one.original for one in hot.snapshots(no_cache=True)}


class Killed(BaseException):
    """As if by SIGKILL between two calls."""


class Dying:
    """A repository that is killed right before (even numbers) or right after (odd ones) one of its acts."""

    ACTS = ("repair_packs", "repair_index", "copy", "forget", "backup")

    def __init__(self, built: House, at: int) -> None:
        self.at, self.count, self.said = at, 0, ""
        for name in self.ACTS:
            setattr(built.context.hot, name, self.act(name, getattr(built.context.hot, name)))

    def act(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **more: Any) -> Any:
            mine, self.count = self.count == self.at // 2, self.count + 1
            if mine and self.at % 2 == 0:
                self.said = f"before {name}"
                raise Killed
            done = real(*args, **more)
            if mine:
                self.said = f"after {name}"
                raise Killed
            return done

        return dying


def test_killed_between_any_two_steps(make_lab: MakeLab) -> None:
    """Killed at one of its acts after the other, the repository keeps every snapshot, and running it again goes on from
    there until all is healed."""
    lab = lab_of(make_lab)
    before = tree(lab.data / "exams")
    with lab.house() as built:
        back_up(built)
        cold(built)
        lab.write("exams/later.bin", os.urandom(5000))
        now = tree(lab.data / "exams")
        back_up(built)
        first, last = [one.id for one in built.context.hot.snapshots()]
        (lab.data / "exams" / "large.bin").rename(lab.folder / "large.bin")
        key, *others = packs(built)
        flipped(built, key)
        for other in others:
            deleted(built, other)
    no_cache(lab)
    seen, report = list[str](), None
    while report is None:
        with lab.house() as built:
            dying = Dying(built, len(seen) % 2)
            try:
                report = repair.repair(built.context, "hot", full=True)
            except Killed:
                seen.append(dying.said)
        with lab.house() as built:
            assert {first, last} <= {one.id for one in built.context.hot.snapshots()}
        assert len(seen) < 30, seen
    assert report.ok and not report.lost, report
    whole(lab, before, first)
    whole(lab, now, last)


def thousand_packs(lab: Lab, built: House, count: int) -> list[str]:
    """So many packs of one blob each beside a real backup, in restic's own format, and an index that names them."""
    master = MasterKey.from_json(lab.bare("cat", "masterkey").stdout)
    parts = (master._encrypt, master._mac_k, master._mac_r)
    named, made = [], []
    folder = lab.store / lab.namespace / "hot"
    for _ in range(count):
        plain = secrets.token_bytes(64)
        blob, sealed = hashlib.sha256(plain), seal(plain, *parts)
        header = seal(b"\0" + len(sealed).to_bytes(4, "little") + blob.digest(), *parts)
        content = sealed + header + len(header).to_bytes(4, "little")
        pack = hashlib.sha256(content).hexdigest()
        (folder / "data" / pack[:2]).mkdir(exist_ok=True)
        (folder / "data" / pack[:2] / pack).write_bytes(content)
        entry = {"id": blob.hexdigest(), "type": "data", "offset": 0, "length": len(sealed)}
        named.append({"id": pack, "blobs": [entry]})
        made.append(pack)
    index = seal(json.dumps({"packs": named}).encode(), *parts)
    (folder / "index" / hashlib.sha256(index).hexdigest()).write_bytes(index)
    return made


@pytest.mark.parametrize(
    ("parts", "damaged"),
    [(3, 5), *(pytest.param(12, many, marks=pytest.mark.soak) for many in (1, 5, 50))],
)
def test_verifies_find_flipped_packs(make_lab: MakeLab, parts: int, damaged: int) -> None:
    """1,000 packs, of which some have a flipped bit: over a cycle each verify finds those of its own part and no other,
    so all are found; and it claims what its reading was worth."""
    lab = lab_of(make_lab)
    with lab.house() as built:
        back_up(built)
        made = thousand_packs(lab, built, 1000 - len(keys(built, "data")))
        broken = set(random.Random(parts * damaged).sample(made, damaged))
        for pack in broken:
            flipped(built, f"{lab.namespace}/hot/data/{pack[:2]}/{pack}", 20)
        rule = VerifyRule.model_validate({"share": f"1/{parts}", "sample": 1})
        found = set[str]()
        for _ in range(parts):
            report = verify.verify(built.context, "hot", rule, ())
            mine = {pack for pack in broken if int(pack[:2], 16) % parts == report.bucket - 1}
            assert {one.name for one in report.damages} == mine and report.ok == (not mine)
            listed = [key.rsplit("/", 1)[1] for key in keys(built, "data")]
            read = sum(int(pack[:2], 16) % parts == report.bucket - 1 for pack in listed)
            assert report.read_packs == read and report.coverage.packs_total == len(listed) == 1000
            assert report.detects[damaged] == pytest.approx(planning.detection(1000, read, damaged))
            assert report.detects[1] == pytest.approx(read / 1000)
            found |= mine
        assert found == broken
