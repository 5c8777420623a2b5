"""What a backup must not be fooled by: emptied roots, wrong clocks, crashes half-way, state that is gone."""

import dataclasses
import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.ports import Repository, Trees
from resticwrap.services import backup
from resticwrap.services.status import status
from tests.conftest import MakeLab
from tests.lab import Lab


def kill_parent_at(lab: Lab, domain: str) -> Path:
    """A restic that kills `rw`, and itself, when it is to back this domain up."""
    script = lab.folder / "deadly-restic"
    script.write_text(
        f"""#!{sys.executable}
import os, signal, sys
if sys.argv[-1] == {domain!r} and "backup" in sys.argv:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
os.execv({str(lab.restic)!r}, ["restic", *sys.argv[1:]])
"""
    )
    script.chmod(0o755)
    return script


def test_a_target_inside_by_another_name(make_lab: MakeLab) -> None:
    """The root leads by a link to where the target lies: nothing is backed up into itself, neither planned nor for the
    safety of an in-place restore, until an exclude keeps it out."""
    lab = make_lab("local")
    lab.write("profiles/anna.json", "{}")
    real = lab.folder / "real"
    real.mkdir()
    lab.store.rename(real / "store")
    (lab.folder / "link").symlink_to(real)
    lab.target["path"] = str(real / "store")
    lab.domains = {"all": {**lab.domains["profiles"], "source": {"root": str(lab.folder / "link")}}}
    lab.write_policies()
    for more in ([], ["--dry-run"]):
        run = lab.rw("backup", *more, "--json", code=2)
        assert run.json["error"]["kind"] == "PolicyError" and run.json["error"]["hint"]
        assert "really lies inside the root of domain all" in run.json["problems"][0]
    assert not lab.json("snapshots")
    lab.domains["all"]["excludes"] = ["store"]
    (real / "a").write_text("a")
    lab.write_policies()
    assert lab.json("backup")["job"]["domains"][0]["files"] == 1
    lab.domains["all"]["source"]["root"] = str(real / "store" / "data")
    (real / "store" / "data").mkdir()
    lab.target["path"] = str(lab.folder / "link" / "store")
    lab.write_policies()
    assert "really contains the root" in lab.rw("backup", code=2).err


def test_an_emptied_root_is_refused(lab: Lab) -> None:
    """It is most likely not mounted: no snapshot, a hint, and the last one stays what restores bring back."""
    lab.fill("exams", 2)
    lab.write("profiles/anna.json", "{}")
    lab.rw("backup")
    shutil.rmtree(lab.data / "exams")
    (lab.data / "exams").mkdir()
    report = lab.json("backup", code=3)
    exams = report["job"]["domains"][0]
    assert (exams["outcome"], exams["error"]["kind"], exams["snapshot"]) == ("failed", "EmptySource", None)
    assert "allow_empty" in exams["error"]["hint"]
    assert "EmptySource" in json.dumps(lab.json("backup", "--dry-run", code=3))
    lab.rw("restore", "--domain", "exams", "--to", str(lab.folder / "back"))
    assert len(list((lab.folder / "back" / "exams").iterdir())) == 2
    lab.domains["exams"]["allow_empty"] = True
    lab.write_policies()
    assert lab.json("backup")["job"]["domains"][0]["outcome"] == "ok"


def test_a_crash_forgets_nothing_that_was_finished(make_lab: MakeLab) -> None:
    """A domain that was done when `rw` was killed is restored as it was then, and is in history and rebuild."""
    lab = make_lab("local", parallel=1)
    lab.write("exams/a.txt", "old")
    lab.write("profiles/b.txt", "old")
    lab.rw("backup")
    lab.write("exams/a.txt", "new")
    killed = lab.rw("backup", code=None, env={"RW_RESTIC": str(kill_parent_at(lab, "profiles"))})
    assert killed.code == -9
    (exams, profiles) = lab.json("backup")["job"]["domains"]
    assert (exams["outcome"], profiles["outcome"]) == ("unchanged", "unchanged")
    lab.rw("restore", "--domain", "exams", "--to", str(lab.folder / "back"))
    assert (lab.folder / "back" / "exams" / "a.txt").read_text() == "new"
    rows = [row for row in lab.json("history")["rows"] if row["kind"] == "backup"]
    assert [row["outcome"] for row in rows if row["domain"] == "exams"] == ["unchanged", "ok", "ok"]
    lab.copy_state_away()
    rebuilt = lab.json("catalog", "rebuild")
    assert (rebuilt["manifests"], rebuilt["without_manifest"]) == (3, 0)
    assert {row["complete"] for row in lab.json("snapshots")} == {True}


class Holding:
    """A repository whose trees are these."""

    def __init__(self, repository: Repository, trees: Trees) -> None:
        self._repository, self._trees = repository, trees

    def trees(self, *, no_cache: bool = False) -> Trees:
        del no_cache
        return self._trees

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)


class Away:
    """A repository of which the target is away when one thing is asked of it, so many times."""

    def __init__(self, repository: Repository, what: str, times: int = 1_000) -> None:
        self._repository, self._what, self._times = repository, what, times

    def __getattr__(self, name: str) -> Any:
        if name == self._what and self._times:
            self._times -= 1
            return self._away
        return getattr(self._repository, name)

    def _away(self, *_: object) -> None:
        raise errors.TargetUnreachable("The target does not answer.")


@pytest.mark.parametrize(("what", "outcome"), [("snapshot", "partial"), ("trees", "partial"), ("changes", "ok")])
def test_what_restic_has_stored_is_never_called_failed(lab: Lab, what: str, outcome: str) -> None:
    """A target that goes away for good between the end of restic and our look at the snapshot costs that look alone."""
    lab.target["grace"] = "2s"
    lab.write_policies()
    lab.fill("exams", 2)
    lab.rw("backup", "--domain", "exams")
    lab.fill("exams", 3)
    with lab.house() as built:
        hot = built.context.hot
        if what == "changes":
            trees = cast(Trees, Away(cast(Repository, hot.trees()), what))
            hot = cast(Repository, Holding(hot, trees))
        else:
            hot = cast(Repository, Away(hot, what))
        context = dataclasses.replace(built.context, hot=hot)
        report = backup.backup(context, backup.plan(context, "incremental", {"exams": built.settings.domains["exams"]}))
    (run,) = report.job.domains
    assert (run.outcome, run.snapshot) == (outcome, lab.json("snapshots")[-1]["snapshot"]["id"])
    assert (run.files_new, run.files_changed) == (1, 2) and run.error is None
    assert bool(run.missed) == (outcome == "partial")
    rows = lab.json("history")["rows"]
    assert rows[0]["snapshot"] == run.snapshot
    assert [row["complete"] for row in lab.json("snapshots")] == [True, outcome == "ok"]
    again = lab.json("backup", "--domain", "exams")["job"]["domains"][0]
    assert again["outcome"] == ("unchanged" if outcome == "ok" else "ok")


def test_a_target_that_is_away_for_a_moment(lab: Lab) -> None:
    """It is asked again, within the grace, for the snapshot that restic has just stored in it."""
    lab.fill("exams", 2)
    with lab.house() as built:
        context = dataclasses.replace(built.context, hot=cast(Repository, Away(built.context.hot, "snapshot", 2)))
        plan = backup.plan(context, "incremental", {"exams": built.settings.domains["exams"]})
        (run,) = backup.backup(context, plan).job.domains
    assert (run.outcome, run.missed) == ("ok", ()) and run.tree


def test_a_clock_that_was_wrong_once(lab: Lab) -> None:
    """A backup dated in the future does not keep later ones from counting, nor look like a good lag."""
    lab.fill("exams", 1)
    lab.fill("profiles", 1)
    future = FixedClock(datetime.now(UTC) + timedelta(days=200))
    with lab.house(clock=future) as built:
        backup.backup(built.context, backup.plan(built.context, "incremental", built.settings.select_domains()))
    now = datetime.now(UTC)
    with lab.house() as built:
        before = status(built.records, (), now)
        assert [domain.rpo_lag for domain in before.domains] == [None, None]
        assert not any(domain.within for domain in before.domains)
    lab.rw("backup")
    with lab.house() as built:
        after = status(built.records, (), datetime.now(UTC))
        assert all(domain.within and domain.rpo_lag is not None and domain.rpo_lag >= 0 for domain in after.domains)


def test_dry_run_says_what_would_be_read(lab: Lab) -> None:
    """New and changed files with their bytes, out of all that is looked at."""
    lab.fill("exams", 3, size=1000)
    lab.rw("backup", "--domain", "exams")
    lab.write("exams/exam_001.bin", b"x" * 70)
    lab.write("exams/new.bin", b"y" * 30)
    (planned,) = lab.json("backup", "--dry-run", "--domain", "exams")["domains"]
    assert (planned["files"], planned["size"]) == (2, 100)
    assert (planned["total_files"], planned["total_size"]) == (4, 2100)
    assert "2" in lab.rw("backup", "--dry-run", "--domain", "exams").out


def test_without_latest_everything_is_read_again(lab: Lab) -> None:
    """Damaged, it is taken for none: slower, and right."""
    lab.fill("exams", 2)
    lab.rw("backup", "--domain", "exams")
    (lab.state / "latest_main.json").write_text("{")
    run = lab.json("backup", "--domain", "exams")["job"]["domains"][0]
    assert (run["outcome"], run["type"], run["parent"]) == ("ok", "full", None)
    assert lab.json("backup", "--domain", "exams")["job"]["domains"][0]["outcome"] == "unchanged"


def test_a_forgotten_parent_is_no_parent(lab: Lab) -> None:
    """Somebody removed the snapshot behind our back: every byte is read again, and nothing fails."""
    lab.fill("exams", 2)
    first = lab.json("backup", "--domain", "exams")["job"]["domains"][0]["snapshot"]
    lab.bare("forget", first)
    run = lab.json("backup", "--domain", "exams")["job"]["domains"][0]
    assert run["outcome"] == "ok" and run["snapshot"] != first


def test_a_path_that_is_not_unicode_in_an_error(lab: Lab) -> None:
    """It is shown escaped, in JSON too."""
    lab.fill("exams", 1)
    lab.rw("backup", "--domain", "exams")
    odd = os.fsdecode(b"no\xff")
    assert lab.json("ls", "--domain", "exams", odd, code=1)["error"]["kind"] == "NotFound"
    lab.rw("restore", "--domain", "exams", "--to", os.fsdecode(os.fsencode(lab.folder) + b"/to\xff"))
