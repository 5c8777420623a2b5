"""In-place restores that could cost data: each is refused, or keeps both trees and says where they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.services import compare, restore, restoreplace
from resticwrap.services.choosing import Wish
from resticwrap.services.context import Context
from resticwrap.services.restoreplace import own_places
from tests.broken import faulty_restic, refused
from tests.lab import Lab, answer, tree


@pytest.fixture
def profiles(lab: Lab) -> Path:
    """`profiles`, backed up and then changed; it leaves `*.tmp` and `cache` out."""
    lab.domains["profiles"]["excludes"] = ["*.tmp", "cache"]
    lab.write_policies()
    lab.write("profiles/anna.json", "old")
    lab.write("profiles/sub/ben.json", "old")
    lab.rw("backup", "--domain", "profiles")
    lab.write("profiles/anna.json", "spoilt")
    return lab.data / "profiles"


def in_place(lab: Lab, *arguments: str, **more: Any) -> Any:
    (first, *_) = lab.json("snapshots", "--domain", "profiles")
    wanted = ("--domain", "profiles", "--snapshot", first["snapshot"]["original"])
    return lab.json("restore", "--in-place", *wanted, *arguments, **more)


def killed_after(lab: Lab, moment: str) -> str:
    """Kill an in-place restore where it would begin this step; returns its job."""
    script = (
        "import os\n"
        "from resticwrap.services.inplace import InPlace\n"
        f"InPlace.{moment} = lambda *_: os._exit(9)\n"
        "from resticwrap.cli.main import main\n"
        "main()\n"
    )
    return killed(lab, script)


def killed(lab: Lab, script: str) -> str:
    (first, *_) = lab.json("snapshots", "--domain", "profiles")
    wanted = ("--domain", "profiles", "--snapshot", first["snapshot"]["original"])
    command = [sys.executable, "-c", script, "restore", "--in-place", *wanted, *answer()]
    done = subprocess.run(command, env=lab.env, cwd=Path.cwd(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 9, done.stderr
    return next(lab.data.rglob(".rw-restore-*")).name.removeprefix(".rw-restore-")


def killed_half_way(lab: Lab, renames: int) -> str:
    """Kill an in-place restore, entry by entry as in a mount point, after so many of its renames; returns its job."""
    script = (
        "import os\n"
        "from resticwrap import bootstrap\n"
        "from resticwrap.host import exchange\n"
        f"left = iter(range({renames}))\n"
        "real = exchange.renameat2\n"
        "rename = lambda *words: real(*words) if next(left, None) is not None else os._exit(9)\n"
        "bootstrap.Exchange = lambda: exchange.Exchange(always_inside=True, rename=rename)\n"
        "from resticwrap.cli.main import main\n"
        "main()\n"
    )
    return killed(lab, script)


def test_what_was_written_after_a_crash_stays(lab: Lab, profiles: Path) -> None:
    """Killed after the exchange, then used: the next backup keeps what was written, and status says what to run."""
    job = killed_after(lab, "_compare_live")
    status = lab.json("status")
    assert any(job in note and "not finished (exchanged)" in note for note in status["notes"])
    lab.write("profiles/upload.json", "a day's work")
    lab.write("profiles/sub/ben.json", "edited")
    run = lab.rw("backup")
    assert job in run.err and f"--undo {job}" in run.err
    assert (profiles / "upload.json").read_text() == "a day's work"
    assert (profiles / "sub" / "ben.json").read_text() == "edited"
    (note,) = [note for note in lab.json("status")["notes"] if job in note]
    assert f"rw restore --accept {job}" in note and f"rw restore --undo {job}" in note and "ben.json" in note
    undone = lab.json("restore", "--undo", job)
    assert (profiles / "anna.json").read_text() == "spoilt"
    (kept,) = undone["kept"]
    assert (Path(kept) / "upload.json").read_text() == "a day's work"
    refused(lab, "restore", "--accept", job, code=1, kind="RestoreRefused")
    assert (Path(kept) / "upload.json").exists()


def test_nothing_is_exchanged_under_open_files(lab: Lab, profiles: Path) -> None:
    """A service runs again when a crash is recovered: its place stays as it is until it is stopped."""
    lab.write("profiles/sub/ben.json", "spoilt")
    job = killed_half_way(lab, 1)
    with (profiles / "anna.json").open():
        run = lab.rw("backup", code=None)
        assert f"process {os.getpid()}" in run.err and (profiles / "anna.json").read_text() == "old"
        refused(lab, "restore", "--undo", job, code=1, kind="RestoreRefused")
        assert (profiles / "sub" / "ben.json").read_text() == "spoilt"
    run = lab.rw("backup")
    assert "half way" in run.err and f"--accept {job}" in run.err
    assert (profiles / "anna.json").read_text() == "spoilt"
    (kept,) = profiles.glob(f".rw-restore-{job}/profiles")
    with (kept / "anna.json").open():  # somebody still writes to the tree that was put aside
        refused(lab, "restore", "--accept", job, code=1, kind="RestoreRefused")
    assert (kept / "anna.json").read_text() == "old"


def test_half_a_tree_is_no_complete_backup(lab: Lab, profiles: Path) -> None:
    """What is live is a mix of two trees, and cannot be put right while somebody uses it: its backup is partial and
    names the restore, whether anything changed or not, and the next one stands on the last complete one."""
    lab.write("profiles/sub/ben.json", "spoilt")
    lab.rw("backup", "--domain", "profiles")
    complete = lab.json("snapshots", "--domain", "profiles")[-1]["snapshot"]["original"]
    job = killed_half_way(lab, 1)
    with (profiles / "anna.json").open():
        for _ in range(2):
            report = lab.json("backup", code=3)
            runs = {run["domain"]: run for run in report["job"]["domains"]}
            assert runs["exams"]["outcome"] == "ok" or runs["exams"]["outcome"] == "unchanged"
            assert runs["profiles"]["outcome"] == "partial" and job in runs["profiles"]["missed"][0]
            assert runs["profiles"]["parent"] == complete
        assert not lab.json("snapshots", "--domain", "profiles")[-1]["complete"]
    (run,) = lab.json("backup", "--domain", "profiles")["job"]["domains"]
    assert run["outcome"] in ("ok", "unchanged") and not run["missed"]


def test_a_journal_that_cannot_be_read(lab: Lab, profiles: Path) -> None:
    """It keeps nobody from backing up or restoring beside, which tell of it; in place, undo and accept are refused. A
    domain where it left a tree is backed up as partial: nobody can say what was exchanged there."""
    kept = in_place(lab)["job"]["id"]
    journals = lab.state / "journals"
    (journals / "restore_20260101T000000Z_aaaaaa.json").write_bytes(b"")
    run = lab.rw("backup")
    assert "restore_20260101T000000Z_aaaaaa" in run.err
    assert "restore_20260101T000000Z_aaaaaa" in lab.rw("restore", "--to", str(lab.folder / "back")).err
    notes = lab.json("status")["notes"]
    assert any("aaaaaa" in note for note in notes) and any(f"--undo {kept}" in note for note in notes)
    for arguments in (("--in-place", "--domain", "profiles"), ("--undo", kept), ("--accept", kept)):
        error = refused(lab, "restore", *arguments, code=20, kind="Damaged")
        assert "move the journal away" in error["hint"]
    (journals / f"{kept}.json").write_bytes(b"torn")
    report = lab.json("backup", code=3)
    outcomes = {run["domain"]: run for run in report["job"]["domains"]}
    assert outcomes["profiles"]["outcome"] == "partial" and kept in outcomes["profiles"]["missed"][0]


def test_a_crash_before_the_exchange_rolls_nothing_back(lab: Lab, profiles: Path) -> None:
    """Killed before the first rename; a service wrote for days. A nightly backup keeps all of it, used or not."""
    killed_after(lab, "_apply")
    for day in ("one", "two"):
        lab.write(f"profiles/{day}.json", f"work of day {day}")
        with (profiles / "anna.json").open():
            lab.rw("backup", "--domain", "profiles")
    before = tree(profiles)
    lab.rw("backup", "--domain", "profiles")
    assert tree(profiles) == before and before["two.json"][2] == b"work of day two"
    assert before["anna.json"][2] == b"spoilt" and not list(lab.data.rglob(".rw-restore-*"))


def test_what_the_policy_leaves_out_is_kept(lab: Lab, profiles: Path) -> None:
    """Excluded files are told of at the exchange, and keep the old tree from being accepted until somebody insists."""
    lab.write("profiles/draft.tmp", "draft")
    lab.write("profiles/cache/a/b", "cached")
    lab.write("profiles/cache/c", "cached")
    report = in_place(lab)
    job, (kept,) = report["job"]["id"], report["kept"]
    assert any("3 in" in note and "cache/" in note and "draft.tmp" in note for note in report["notes"])
    assert not (profiles / "draft.tmp").exists()
    (Path(kept) / "anna.json").write_text("written by somebody after the safety snapshot")
    error = refused(lab, "restore", "--accept", job, code=1, kind="RestoreRefused")
    assert "4 in" in error["message"] and "anna.json (has" in error["message"] and "--force" in error["hint"]
    assert (Path(kept) / "cache" / "a" / "b").read_text() == "cached"
    assert "belongs to" in lab.rw("restore", "--force", code=2).err
    assert "--dry-run" in lab.rw("restore", "--accept", job, "--dry-run", code=2).err
    lab.rw("restore", "--accept", job, "--force")
    assert not Path(kept).exists() and (profiles / "anna.json").read_text() == "old"


def test_a_kept_tree_within_a_kept_tree(lab: Lab, profiles: Path) -> None:
    """The old tree of a folder lies within the old tree of its domain: accepting the outer one would remove both."""
    lab.write("profiles/sub/ben.json", "spoilt")
    lab.write("profiles/sub/draft.tmp", "draft")
    inner = in_place(lab, "sub")["job"]["id"]
    outer = in_place(lab)
    error = refused(lab, "restore", "--accept", outer["job"]["id"], code=1, kind="RestoreRefused")
    assert inner in error["message"]
    assert (Path(outer["kept"][0]) / f".rw-restore-{inner}" / "profiles" / "sub" / "draft.tmp").exists()


def test_a_kept_tree_is_no_leftover_of_a_restore_beside(lab: Lab, profiles: Path) -> None:
    """A restore into the folder where an in-place restore keeps its old tree is refused as into any full folder: it
    removes nothing and renames nothing, and the undo still works."""
    lab.write("profiles/draft.tmp", "in no snapshot")
    report = in_place(lab)
    before = tree(lab.data)
    refused(lab, "restore", "--domain", "profiles", "--to", str(lab.data), code=1, kind="RestoreRefused")
    assert tree(lab.data) == before
    lab.rw("restore", "--undo", report["job"]["id"])
    assert (profiles / "draft.tmp").read_text() == "in no snapshot"


def test_without_its_safety_snapshot_nothing_is_removed(lab: Lab, profiles: Path) -> None:
    """Somebody forgot the snapshot of what was live: its tree is the last copy."""
    report = in_place(lab)
    lab.bare("forget", report["safety"]["profiles"])
    error = refused(lab, "restore", "--accept", report["job"]["id"], code=1, kind="RestoreRefused")
    assert "not there any more" in error["message"] and Path(report["kept"][0]).exists()


@pytest.mark.parametrize("own", ["state", "cache", "password"])
def test_what_rw_lives_on(lab: Lab, profiles: Path, own: str) -> None:
    """Its state, cache and password (and a repository, which no domain may hold) are never exchanged; of "everything"
    they are left out, and told."""
    (lab.folder / "cache").mkdir(exist_ok=True)
    place = lab.folder / own
    lab.domains = {"profiles": lab.domains["profiles"], "mine": {**lab.files("other"), "source": {"root": str(place)}}}
    lab.write_policies()
    lab.rw("backup", code=None)
    # What rw itself writes to meanwhile may be partial at first.
    for _ in range(5):
        if lab.rw("backup", "--domain", "mine", code=None).code == 0:
            break
    with lab.house() as built:
        assert {place, lab.store} <= set(own_places(built.context))
    before = place.stat().st_ino
    error = refused(lab, "restore", "--in-place", "--domain", "mine", code=1, kind="RestoreRefused")
    assert "rw itself lives on" in error["message"] and str(place) in error["message"]
    refused(lab, "restore", "--in-place", "--domain", "mine", "--dry-run", code=1, kind="RestoreRefused")
    run = lab.rw("restore", "--in-place", "--at", "2200-01-01T00:00")
    assert "mine is left out" in run.err and place.stat().st_ino == before
    assert not list(lab.folder.glob(".rw-restore-*"))


@pytest.mark.parametrize("excluded", [False, True], ids=["in its snapshots", "left out of them"])
def test_a_domain_within_the_domain(lab: Lab, profiles: Path, excluded: bool) -> None:
    """An inner domain is neither rolled back nor moved away with the outer one: refused by name, also beforehand, and
    what lies beside the inner one can be put back."""
    inner = profiles / "inner"
    lab.domains["inner"] = {**lab.files("profiles/inner"), "priority": "P0"}
    lab.domains["profiles"]["excludes"] = [str(inner)] if excluded else []
    lab.write_policies()
    lab.write("profiles/inner/i.json", "old")
    lab.rw("backup", "--type", "full")
    (lab.folder / "link").symlink_to(lab.data)
    lab.domains["inner"]["source"]["root"] = str(lab.folder / "link" / "profiles" / "inner")  # by another name
    lab.write_policies()
    lab.write("profiles/inner/i.json", "new")
    lab.write("profiles/sub/ben.json", "spoilt")
    before = tree(lab.data)
    arguments = ["restore", "--in-place", "--domain", "profiles"]
    for more in ([], ["--dry-run"], ["inner"][: not excluded]):
        error = refused(lab, *arguments, *more, code=1, kind="RestoreRefused")
        assert "inner (" in error["message"] and "--to FOLDER" in error["hint"]
    assert tree(lab.data) == before
    lab.rw(*arguments, "sub")
    assert (profiles / "sub" / "ben.json").read_text() == "old" and (inner / "i.json").read_text() == "new"


def test_a_symlink_out_of_the_domain(lab: Lab, profiles: Path) -> None:
    """A folder was replaced by a link to another one: nothing is put there."""
    lab.write("elsewhere/ben.json", "somebody else's")
    shutil.rmtree(profiles / "sub")
    (profiles / "sub").symlink_to(lab.data / "elsewhere")
    (first, *_) = lab.json("snapshots", "--domain", "profiles")
    arguments = ("--in-place", "sub/ben.json", "--domain", "profiles", "--snapshot", first["snapshot"]["original"])
    error = refused(lab, "restore", *arguments, code=1, kind="RestoreRefused")
    assert "outside of the domain" in error["message"]
    assert tree(lab.data / "elsewhere")["ben.json"][2] == b"somebody else's"


def test_owners(lab: Lab, profiles: Path) -> None:
    """As root owners come back and count. As another user, what belongs to somebody else is told beside, and refused in
    place until somebody answers for it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(profiles / "anna.json", 33, 34)
    lab.rw("backup", "--domain", "profiles")
    os.chown(profiles / "anna.json", 65534, 65534)
    in_place_latest = ["restore", "--in-place", "--domain", "profiles"]
    job = lab.json(*in_place_latest)["job"]["id"]
    assert ((profiles / "anna.json").stat().st_uid, (profiles / "anna.json").stat().st_gid) == (33, 34)
    lab.rw("restore", "--accept", job)
    take = f"find {lab.folder} -path '*/.rw-beside-*' -name anna.json -exec chown 0:0 {{}} +"
    env = faulty_restic(lab, f'restic "$@"; code=$?; {take}; exit $code', on="restore")
    report = lab.json("restore", "--domain", "profiles", "--to", "b1", code=3, env=env)
    assert [mismatch["what"] for mismatch in report["domains"][0]["mismatches"]] == ["owner"]
    lab.env |= env
    with lab.house() as built, pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "may_own", lambda entry: entry.uid == 0)
        patch.setattr(restoreplace, "may_own", lambda entry: entry.uid == 0)
        wish = Wish(("profiles",))
        with pytest.raises(errors.RestoreRefused, match="1 belong to users") as caught:
            restoreplace.preview(built.context, wish)
        assert "--force" in caught.value.hint
        assert "anna.json (65534:65534)" in restoreplace.preview(built.context, wish, force=True).notes[0]
        beside = restore.restore(built.context, wish, lab.folder / "b2")
        assert beside.job.outcome == "ok" and "1 belong to users" in beside.notes[0]


def test_interrupted_while_it_compares(lab: Lab, profiles: Path) -> None:
    """Whichever entry is compared when somebody interrupts, before the exchange or after: it is heard there, live data
    is as it was, and nothing is removed that was ever live. An accept that is interrupted removes nothing."""
    before, phases, at, job = tree(profiles), set(), 0, ""
    (first, *_) = lab.json("snapshots", "--domain", "profiles")
    wish = Wish(("profiles",), snapshot=first["snapshot"]["original"])
    while "done" not in phases:
        at += 1
        left = iter(range(at))
        with lab.house() as built, pytest.MonkeyPatch.context() as patch:
            patch.setattr(Context, "heed", lambda self: interrupt() if next(left, None) is None else None)  # noqa: B023
            try:
                job = restoreplace.restore(built.context, wish, force=True).job.id
                phases.add("done")
            except errors.Interrupted:
                assert tree(profiles) == before
                phases.add(built.context.journals.all()[-1].phase if built.context.journals.all() else "none")
    assert phases == {"none", "failed", "reverted", "done"}
    assert (profiles / "anna.json").read_text() == "old"
    with lab.house() as built, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "heed", lambda self: interrupt())
        with pytest.raises(errors.Interrupted):
            restoreplace.accept(built.context, job)
        assert built.context.journals.all()[-1].phase == "kept"


def interrupt() -> None:
    raise errors.Interrupted("Interrupted.")


FAULT = '{"message_type":"error","error":{"message":"lsetxattr: not supported"},"during":"restore","item":"/anna.json"}'


def test_what_restic_could_not_restore(lab: Lab, profiles: Path) -> None:
    """restic says that a file did not come back whole though its bytes did: beside it is partial, in place refused."""
    env = faulty_restic(lab, f"""restic "$@"; echo '{FAULT}' >&2; exit 1""", on="restore")
    report = lab.json("restore", "--domain", "profiles", "--to", str(lab.folder / "back"), code=3, env=env)
    assert report["domains"][0]["unreadable"] == ["/anna.json: lsetxattr: not supported"]
    assert report["job"]["outcome"] == "partial"
    before = tree(profiles)
    arguments = ("restore", "--in-place", "--domain", "profiles")
    error = refused(lab, *arguments, code=20, kind="VerifyFailed", env=env)
    assert "lsetxattr" in error["message"] and "not touched" in error["hint"]
    assert tree(profiles) == before and not list(lab.data.rglob(".rw-restore-*"))


def test_refused_where_users_cannot_be_seen(lab: Lab, profiles: Path) -> None:
    """In a PID namespace of its own rw cannot see who uses the place: somebody has to answer for it."""
    away = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*away, sys.executable, "-m", "resticwrap", "restore", *arguments]
        return subprocess.run(
            command, env=lab.env, cwd=lab.folder, capture_output=True, text=True, timeout=60, check=False
        )

    done = run("--in-place", "--domain", "profiles")
    assert done.returncode == 1 and "PID namespace" in done.stderr and "--force" in done.stderr
    assert (profiles / "anna.json").read_text() == "spoilt" and not list(lab.data.rglob(".rw-restore-*"))
    done = run("--in-place", "--domain", "profiles", "--force")
    assert done.returncode == 0, done.stderr
    assert "PID namespace" in done.stdout


def test_what_is_kept_is_found(lab: Lab, profiles: Path) -> None:
    """Without the report of a restore its job is in status, history and doctor, with what to run, until it is over."""
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--domain", "profiles", "--to", str(lab.folder / "back"))
    job = in_place(lab)["job"]["id"]
    for command in ("status", "history", "doctor"):
        said = lab.rw(command, code=None, env={"COLUMNS": "300"}).out
        assert f"rw restore --accept {job}" in said and f"rw restore --undo {job}" in said, said
    (newest, beside, verify) = lab.json("history")["jobs"]
    assert (newest["job"], newest["kind"], newest["outcome"]) == (job, "restore", "ok")
    assert f"--undo {job}" in newest["next"] and "keeps what was live before" in newest["what"]
    assert str(lab.folder / "back") in beside["what"] and not beside["next"] and verify["kind"] == "verify"
    assert [row["kind"] for row in lab.json("history", "--domain", "exams")["jobs"]] == ["verify"]
    lab.rw("restore", "--accept", job)
    assert job not in lab.rw("status").out
    history = lab.json("history")["jobs"]
    assert [row["what"] for row in history[:2]] == [f"accept of {job}", "in place: profiles"]
    assert not any(row["next"] for row in history)
