"""Drills as an operator runs them: restored from the target, compared whole, timed, and kept as evidence."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from resticwrap import errors
from resticwrap.model.drill import Level
from resticwrap.model.drills import DrillReport
from resticwrap.model.objects import Entry
from resticwrap.services import backup as backups
from resticwrap.services import compare, gate
from resticwrap.services.choosing import Wish, choose
from resticwrap.services.drill import canary, levels, place
from resticwrap.services.drill.frame import Order
from resticwrap.services.drill.history import history
from resticwrap.services.drill.levels import Asked, drill
from resticwrap.services.forget import preview as forget_preview
from resticwrap.services.leftovers import SCRATCH
from resticwrap.services.listing import snapshots
from resticwrap.services.objects import wish_of_keys, wish_of_time
from resticwrap.services.restore import restore
from resticwrap.services.status import status
from tests.broken import repository_files
from tests.conftest import MakeLab
from tests.lab import Lab, tree


def asked(level: Level, *, objects: int | None = None, trial: bool = False, **order: Any) -> Asked:
    """A drill, without the canary unless that is what a test is about."""
    return Asked(order=Order(level=level, **order), objects=objects, canary=trial)


def drilled(lab: Lab, level: Level, **more: Any) -> DrillReport:
    """A drill inside this process."""
    with lab.house() as built:
        return drill(built.context, asked(level, **more))


def backup(lab: Lab, *domains: str) -> None:
    """A backup inside this process."""
    with lab.house() as built:
        backups.backup(
            built.context, backups.plan(built.context, "incremental", built.settings.select_domains(domains))
        )


@pytest.fixture
def full(lab: Lab) -> Lab:
    """Two domains, backed up twice; the second time one file had changed."""
    lab.fill("exams", 5)
    lab.fill("profiles", 2)
    backup(lab)
    lab.write("exams/exam_000.bin", "changed")
    backup(lab)
    return lab


def test_a_drill(full: Lab, tmp_path: Path) -> None:
    """What a dry run shows is what is restored: newest and oldest snapshot, compared, timed; nothing stays behind. The
    evidence says so without the name of any file, and the next drill takes what this one did not."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with full.house() as built:
        context = built.context
        planned = levels.plan(context, asked("l1", seed=7, scratch=scratch, objects=12))
        report = drill(context, asked("l1", seed=7, scratch=scratch, objects=12, trial=True))
        assert os.listdir(scratch) == []
        assert [(one.domain, one.path, one.snapshot, one.reason) for one in report.drill.sample] == [
            (one.domain, one.path, one.snapshot, one.reason) for one in planned.objects
        ]
        assert report.ok and report.met and report.job.outcome == "ok" and not report.missed
        assert report.drill.canary is not None and report.drill.canary.ok
        assert {"lock", "download", "compare"} <= report.drill.phases.keys()
        exams, profiles = report.drill.domains
        assert (exams.domain, exams.manifest, profiles.manifest) == ("exams", True, True)
        assert len({one.snapshot for one in report.drill.sample if one.domain == "exams"}) == 2
        # The second look found profiles unchanged: its data is as new as that look, and not as its snapshot.
        second = max(built.catalog.history("main", domains=["profiles"]), key=lambda row: row.time)
        assert profiles.source_time == second.time and second.outcome == "unchanged"
        assert 0 <= profiles.actual_rpo < 60 and 0 < profiles.actual_rto < 60
        (record,) = built.catalog.evidence("main", kind="drill")
        assert record.event.body["outcome"] == "ok" and record.event.body["digest"] == report.drill.digest
        assert "exam_0" not in msgspec.json.encode(record).decode() and record.event.job == report.job.id
        before = set(built.catalog.drilled("main", "exams"))
        assert before == {b"exam_%03d.bin" % n for n in range(5)}
        full.write("exams/new.bin", "new")
        backup(full)
        (again,) = levels.plan(context, replace(asked("l1", seed=8, objects=1), domains=("exams",))).objects
        assert (again.path, again.reason) == ("new.bin", "longest")


def test_damage_that_the_cache_hides(full: Lab) -> None:
    """A pack that is gone from the target fails the drill of what needs it, and of nothing else; nobody proves that."""
    full.rw("restore", "--to", "warm")
    gone = _data_pack(full, "profiles")
    gone.unlink()
    report = drilled(full, "l2")
    by_domain = {one.domain: one for one in report.drill.domains}
    assert (report.ok, report.job.outcome) == (False, "failed")
    assert by_domain["exams"].ok and not by_domain["profiles"].ok and by_domain["profiles"].failures
    assert {one.domain for one in report.drill.sample if not one.ok} == {"profiles"}
    with full.house() as built:
        proven = {one.domain: one.proven_at is not None for one in built.catalog.snapshots("main", "hot").values()}
        assert not proven["profiles"]
        (record,) = built.catalog.evidence("main", kind="drill")
        assert record.event.body["outcome"] == "failed" and "exam_0" not in str(record.event.body)
    only = ("drill", "l1", "--no-canary", "--domain", "profiles", "--objects", "1", "--json")
    (bad,) = full.rw(*only, code=20).json["drill"]["sample"]
    with full.house() as built:  # what failed comes first again, though another has never been drilled
        order = replace(asked("l1", seed=5, objects=1), domains=("profiles",))
        (again,) = levels.plan(built.context, order).objects
        assert (again.path, bad["ok"]) == (bad["path"], False)


def _data_pack(lab: Lab, domain: str) -> Path:
    with lab.house() as built:
        (choice,) = choose(built.context, Wish((domain,)))
        trees = built.context.hot.trees()
        blobs = [blob for entry in trees.walk(choice.snapshot.tree) for blob in entry.content]
        (packs,) = {tuple(found) for found in trees.packs_of(blobs).values()}
    return next(file for file in repository_files(lab, "data") if file.name == packs[0])


def test_a_comparison_that_does_not_compare(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is found out by the canary: the drill fails."""

    def all_well(_: Any, entries: Iterator[Entry], *__: Any, **___: Any) -> Iterator[tuple[Entry, None]]:
        return ((entry, None) for entry in entries)

    assert drilled(full, "l1", trial=True).ok
    monkeypatch.setattr(compare, "compare", all_well)
    report = drilled(full, "l1", trial=True)
    assert report.drill.canary is not None
    assert (report.ok, report.drill.canary.sound, report.drill.canary.caught) == (False, True, False)
    monkeypatch.setattr(compare, "compare", lambda *_, **__: iter(()))
    report = drilled(full, "l1", trial=True)
    assert not report.ok and report.drill.canary is not None and not report.drill.canary.sound


def test_a_canary_that_cannot_be_tried(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the drill, and the gate says so. Why stays on this machine: restic's words may name anything."""

    def broken(*_: object) -> None:
        raise errors.ResticFailed("restic said: anna.json", hint="rw doctor")

    monkeypatch.setattr(canary, "refresh", broken)
    report = drilled(full, "l1", objects=2, trial=True)
    assert not report.ok and any("anna.json" in note for note in report.notes)
    with full.house() as built:
        (record,) = built.catalog.evidence("main", kind="drill")
        assert "could not be tried" in str(record.event.body) and "anna.json" not in str(record.event.body)
        assert f"drill canary {report.job.id}" in {one.key for one in gate.ask(built.records).reasons}


def test_the_canary_is_no_data(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in no list, no restore of everything, no verdict of a forget. It is renewed when it is old, not before."""
    with full.house() as built:
        context = built.context
        canary.refresh(context, "drill_test")
        assert {one.snapshot.domain for one in snapshots(context, ["hot"], ())} == {"exams", "profiles"}
        assert [one.snapshot.domain for one in snapshots(context, ["hot"], ["_canary"])] == ["_canary"]
        report = restore(context, Wish(()), full.folder / "all")
        assert {one.domain for one in report.domains} == {"exams", "profiles"}
        told = forget_preview(context, ("hot", "cold"), ()).plan
        assert told is not None
        assert {one.domain for one in told.verdicts} == {"exams", "profiles"}
        shown = status(built.records, (), built.clock.now())
        assert {one.domain for one in shown.domains} == {"exams", "profiles"} and shown.tiers[0].snapshots == 3
    drilled(full, "l1", trial=True)
    with full.house() as built:
        held = [one for one in built.context.hot.snapshots() if one.domain == "_canary"]
        assert len(held) == 1
    monkeypatch.setattr(canary, "MAX_AGE", -canary.MAX_AGE)
    drilled(full, "l1", trial=True)
    with full.house() as built:
        assert len([one for one in built.context.hot.snapshots() if one.domain == "_canary"]) == 2


def test_a_scratch_place(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never where anything lives, nor where there is no room. What a killed drill left is removed, links as links."""
    live = tree(full.data)
    (full.folder / "way-in").symlink_to(full.data / "exams")
    for inside in (full.data / "exams", full.state, full.store / "x", full.folder / "cache", full.folder / "way-in"):
        inside.mkdir(exist_ok=True)
        with pytest.raises(errors.RestoreRefused):
            drilled(full, "l1", scratch=inside)
    with monkeypatch.context() as patched:
        patched.setattr(place, "room", lambda _: 4000)
        with pytest.raises(errors.DiskFull, match="4,000"):
            drilled(full, "l2")
        report = drilled(full, "l1", objects=7)
        assert report.ok and report.drill.domains and sum(one.size for one in report.drill.sample) <= 4000
    scratch = full.folder / "scratch"
    scratch.mkdir()
    done = drilled(full, "l1", scratch=scratch)
    left = scratch / f"{SCRATCH}{done.job.id}-abcd"
    (left / "shut").mkdir(parents=True)
    (left / "shut/file").write_text("restored")
    (left / "link").symlink_to(full.data / "exams")
    (left / "shut").chmod(0)
    (scratch / f"{SCRATCH}drill_of_somebody-else").mkdir()
    drilled(full, "l1")  # elsewhere: the record says where to look
    assert os.listdir(scratch) == [f"{SCRATCH}drill_of_somebody-else"]
    assert tree(full.data) == live
    assert not list(Path(tempfile.gettempdir()).glob(f"{SCRATCH}{done.job.id}*"))


def test_history(full: Lab) -> None:
    """A failure, since one domain was never backed up, though all others came back; then a success that missed an
    objective. Both have their row, and what is due is told."""
    full.domains["exams"]["rpo"] = "1s"
    full.domains["forgotten"] = full.files("forgotten")
    full.write_policies()
    report = drilled(full, "l2")
    assert not report.ok and "forgotten" in report.drill.failures[0]
    assert all(one.ok for one in report.drill.domains) and len(report.drill.domains) == 2
    full.domains.pop("forgotten")
    full.write_policies()
    with full.house() as built:
        built.clock.sleep(1.0)
    late = drilled(full, "l2")
    assert (late.ok, late.met) == (True, False) and [one.what for one in late.missed] == ["rpo"]
    with full.house() as built:
        told = history(built.records, (), None, built.clock.now())
    assert [row.job for row in told.rows] == [late.job.id, report.job.id] and not told.rows[0].met
    assert {one.level: one.overdue for one in told.due} == {"l1": True, "l2": False, "l3": True}
    assert [one.level for one in told.estimates] == ["l3"]
    shown = full.json("status")
    (exams,) = [one for one in shown["domains"] if one["domain"] == "exams"]
    assert exams["actual_rpo"] > exams["rpo"] == 1 and exams["drill_level"] == "l2"


def test_a_record_deleted_by_mistake(full: Lab) -> None:
    """It comes back by its key, in place, and nothing next to it is touched: neither its bytes nor its inode."""
    lost = full.data / "exams/exam_003.bin"
    content = lost.read_bytes()
    lost.unlink()
    others = {path.name: path.stat() for path in (full.data / "exams").iterdir()}
    report = full.json("restore", "object", "exams", "exam_003", "--in-place")
    assert lost.read_bytes() == content and report["mode"] == "in-place"
    after = {path.name: path.stat() for path in (full.data / "exams").iterdir()}
    for name, before in others.items():
        assert (after[name].st_ino, after[name].st_mtime_ns) == (before.st_ino, before.st_mtime_ns), name


def test_keys(full: Lab) -> None:
    """By the domain's pattern, else by name; what may be several is listed, what is nothing gets suggestions. And a
    window: every domain as it stood before that backup."""
    with full.house() as built:
        then = built.clock.now()
    full.write("exams/2025/exam_001.bin", "old")
    full.write("exams/2026/note.txt", "note")
    backup(full)
    with full.house() as built:
        context = built.context

        def paths(key: str) -> tuple[str, ...]:
            return wish_of_keys(context, "exams", [key], Wish(("exams",))).paths

        assert paths("exam_002") == ("exam_002.bin",) and paths("note") == ("2026/note.txt",)
        with pytest.raises(errors.UsageError, match=r"2025/exam_001\.bin, exam_001\.bin"):
            paths("exam_001")
        with pytest.raises(errors.NotFound) as caught:
            paths("exam_01")
        assert "exam_001" in caught.value.hint
        with pytest.raises(errors.UsageError):
            paths("../exams")
        wish = wish_of_time(context, (), then, None)
        report = restore(context, wish, full.folder / "then")
        assert {one.domain for one in report.domains} == {"exams", "profiles"}
        assert not (full.folder / "then/exams/2026").exists() and (full.folder / "then/exams/exam_001.bin").exists()
        job = built.catalog.history("main", until=then, limit=1)[0].job
        assert any(job in note for note in report.notes)
    full.domains["exams"]["object"] = "20*/{key}.bin"
    full.write_policies()
    with full.house() as built:
        assert wish_of_keys(built.context, "exams", ["exam_001"], Wish(("exams",))).paths == ("2025/exam_001.bin",)


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_on_a_bucket(make_lab: MakeLab, kind: str) -> None:
    """The same there, the canary too, whose packs are read with the client of the store."""
    lab = make_lab(kind)
    lab.fill("exams", 2)
    lab.fill("profiles", 1)
    backup(lab)
    report = drilled(lab, "l1", trial=True)
    assert report.ok and report.drill.canary is not None and report.drill.canary.caught, report
