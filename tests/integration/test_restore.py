"""Restores beside: what comes back, from which snapshot, to where, and what is said of what does not."""

import json
import os
import shutil
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.services import restoreplace
from resticwrap.services.choosing import Wish
from tests.broken import faulty_restic, flip, refused, repository_files
from tests.conftest import MakeLab
from tests.lab import Lab, tree


@pytest.fixture
def two(lab: Lab) -> tuple[Lab, list[dict[str, str]]]:
    """Two backups of both domains: v1 and v2. With the jobs' ids and the times and ids of `profiles`' snapshots."""
    lab.fill("exams", 2)
    found = []
    for text in ("v1", "v2"):
        lab.write("profiles/anna.json", text)
        lab.write("profiles/sub/ben.json", text)
        lab.write("profiles/sub/deep/carl.json", text)
        job = lab.json("backup")["job"]
        found.append({"job": job["id"], "exams": job["domains"][0]["snapshot"], "id": job["domains"][1]["snapshot"]})
    for version, row in zip(found, lab.json("snapshots", "--domain", "profiles"), strict=True):
        version["time"] = row["snapshot"]["time"]
        assert row["snapshot"]["original"] == version["id"]
    return lab, found


def text(lab: Lab, to: str = "back", name: str = "profiles/anna.json") -> str:
    return (lab.folder / to / name).read_text()


def test_everything_and_domains(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """Without a domain everything comes back, with one that domain, and a folder that holds anything is refused."""
    lab, _ = two
    report = lab.json("restore", "--to", "back")
    assert {domain["domain"] for domain in report["domains"]} == {"exams", "profiles"}
    assert tree(lab.folder / "back") == tree(lab.data)
    lab.rw("restore", "--domain", "profiles", "--to", "one")
    assert tree(lab.folder / "one") == {k: v for k, v in tree(lab.data).items() if k.startswith("profiles")}
    before = tree(lab.folder / "back")
    refused(lab, "restore", "--to", "back", code=1, kind="RestoreRefused")
    assert tree(lab.folder / "back") == before
    (lab.folder / "empty").mkdir()
    lab.rw("restore", "--to", "empty")
    refused(lab, "restore", "--domain", "nobody", "--to", "none", code=2, kind="UsageError")
    assert not (lab.folder / "none").exists()


def test_paths(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """One path, several, a folder; nothing beside them; one that is not there is told before anything is written."""
    lab, _ = two
    lab.rw("restore", "anna.json", "sub/deep", "--domain", "profiles", "--to", "some")
    files = {str(path.relative_to(lab.folder / "some")) for path in (lab.folder / "some").rglob("*") if path.is_file()}
    assert files == {"profiles/anna.json", "profiles/sub/deep/carl.json"}
    refused(lab, "restore", "nobody.json", "--domain", "profiles", "--to", "none", code=1, kind="NotFound")
    refused(lab, "restore", "../exams", "--domain", "profiles", "--to", "none", code=2, kind="UsageError")
    refused(lab, "restore", "anna.json", "--to", "none", code=2, kind="UsageError")
    assert not (lab.folder / "none").exists()


def test_which_snapshot(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """By id or its beginning, by time, by job; `exams` did not change, so its one snapshot stands for both jobs."""
    lab, (first, second) = two
    lab.rw("restore", "--domain", "profiles", "--snapshot", first["id"][:8], "--to", "by-id")
    lab.rw("restore", "--domain", "profiles", "--at", first["time"], "--to", "by-time")
    lab.rw("restore", "--job", first["job"], "--to", "by-job")
    for place in ("by-id", "by-time", "by-job"):
        assert text(lab, place) == "v1"
    lab.rw("restore", "--at", second["time"], "--to", "by-time-2")
    lab.rw("restore", "--job", second["job"], "--to", "by-job-2")
    for place in ("by-time-2", "by-job-2"):
        assert text(lab, place) == "v2"
        assert tree(lab.folder / place / "exams") == tree(lab.data / "exams")
    refused(lab, "restore", "--at", "2001-01-01T00:00:00Z", "--to", "none", code=1, kind="NotFound")
    refused(lab, "restore", "--domain", "profiles", "--snapshot", "ffffffff", "--to", "none", code=1, kind="NotFound")
    refused(lab, "restore", "--job", "snapshot_20250101T000000Z_abcdef", "--to", "none", code=1, kind="NotFound")
    refused(lab, "restore", "--tier", "cold", "--to", "none", code=1, kind="NotFound")
    lab.rw("restore", "--at", first["time"], "--job", first["job"], "--to", "none", code=2)
    assert not (lab.folder / "none").exists()


def test_dry_run_writes_nothing(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """A preview names snapshot, place, files and bytes, and leaves no trace."""
    lab, (_, second) = two
    before = tree(lab.folder / "state")
    report = lab.json("restore", "--domain", "profiles", "--to", "back", "--dry-run")
    (domain,) = report["domains"]
    assert (domain["snapshot"], domain["files"], domain["size"]) == (second["id"], 3, 6)
    assert domain["place"] == str(lab.folder / "back" / "profiles")
    assert not (lab.folder / "back").exists()
    assert {name for name in tree(lab.folder / "state") if "job" in name} == {n for n in before if "job" in n}
    assert len(lab.json("history")["rows"]) == 4


def data_packs(lab: Lab) -> set[str]:
    """The ids of packs that hold data and not trees."""
    indexes = [json.loads(lab.bare("cat", "index", file.name).stdout) for file in repository_files(lab, "index")]
    return {pack["id"] for index in indexes for pack in index["packs"] if pack["blobs"][0]["type"] == "data"}


def test_damage_is_set_aside(make_lab: MakeLab) -> None:
    """A file that a damaged pack spoilt is renamed and told; the others come back; the exit code says partial."""
    lab = make_lab("local")
    lab.write("exams/good.bin", b"good" * 300)
    lab.rw("backup", "--domain", "exams")
    before = set(repository_files(lab, "data"))
    lab.write("exams/bad.bin", b"bad" * 300)
    lab.rw("backup", "--domain", "exams")
    for pack in set(repository_files(lab, "data")) - before:
        if pack.name in data_packs(lab):
            flip(pack, 20)
    report = lab.json("restore", "--domain", "exams", "--to", "back", code=3)
    (mismatch,) = report["domains"][0]["mismatches"]
    assert mismatch["path"] == "exams/bad.bin" and mismatch["why"]
    assert report["job"]["outcome"] == "partial"
    names = sorted(path.name for path in (lab.folder / "back" / "exams").iterdir())
    assert "good.bin" in names and "bad.bin" not in names
    plain = lab.rw("restore", "--domain", "exams", "--to", "again", code=3)
    assert "bad.bin" in plain.out + plain.err


def test_one_lost_tree(make_lab: MakeLab) -> None:
    """One folder's list is lost: what lies beside it comes back, the folder is named, and so does every other domain;
    of a snapshot whose own tree is lost it is told as well. Where nothing at all comes back the restore has failed."""
    lab = make_lab("local")
    for number in range(3):
        lab.write(f"exams/a/f{number}", f"a{number}" * 10)
    lab.rw("backup", "--domain", "exams")
    lab.write("profiles/x.json", "x")
    lab.write("exams/b/f", "b" * 10)
    lab.rw("backup")
    with lab.house() as built:
        (*_, snapshot) = [one for one in built.context.hot.snapshots() if one.domain == "exams"]
        trees = built.context.hot.trees()
        subtree = {entry.path: entry.subtree for entry in trees.walk(snapshot.tree)}
        of_folder, of_root = (
            [pack for pack in trees.packs() if any(blob.id == wanted for blob in trees.blobs_in([pack]))]
            for wanted in (subtree[b"exams/a"], snapshot.tree)
        )
    packs = {file.name: file for file in repository_files(lab, "data")}
    for pack in of_folder:
        packs[pack].unlink()
    shutil.rmtree(lab.folder / "cache")
    report = lab.json("restore", "--to", "back", code=3)
    (exams, profiles) = report["domains"]
    assert report["job"]["outcome"] == "partial" and profiles["compared"] == 1 and not profiles["unreadable"]
    assert any("exams/a" in lost for lost in exams["unreadable"])
    assert (exams["files"], text(lab, "back", "exams/b/f"), text(lab, "back", "profiles/x.json")) == (1, "b" * 10, "x")
    for pack in set(of_root) - set(of_folder):
        packs[pack].unlink()
    shutil.rmtree(lab.folder / "cache")
    report = lab.json("restore", "--to", "again", code=3)
    (exams, profiles) = report["domains"]
    assert exams["unreadable"] and not exams["files"] and profiles["compared"] == 1
    run = lab.rw("restore", "--domain", "exams", "--to", "nothing", "--json", code=None)
    assert run.code in (1, 20) and run.json["error"]["message"] and not any((lab.folder / "nothing").iterdir())


def test_default_folder(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """Without --to it goes into a new folder named by the time, beside which nothing is touched."""
    lab, _ = two
    before = {path.name for path in lab.folder.iterdir()}
    lab.rw("restore", "--domain", "profiles")
    (new,) = {path.name for path in lab.folder.iterdir()} - before
    assert new.startswith("restore-2") and text(lab, new) == "v2"


def test_modes_and_dates(lab: Lab) -> None:
    """Modes with setuid and sticky bits, dates to the nanosecond, of files and of folders, the root's own too."""
    root = lab.data / "profiles"
    lab.write("profiles/run", b"#!").chmod(0o6755)
    (root / "drop").mkdir()
    (root / "drop").chmod(0o1777)
    lab.write("profiles/none", b"").chmod(0)
    root.chmod(0o2750)
    for path, stamp in (
        (root / "run", 1),
        (root / "drop", 1_600_000_000_123_456_789),
        (root, 1_500_000_000_000_000_001),
    ):
        os.utime(path, ns=(stamp, stamp))
    lab.rw("backup", "--domain", "profiles")
    lab.rw("restore", "--domain", "profiles", "--to", "back")
    for path in (root, *root.iterdir()):
        ours, theirs = path.stat(), (lab.folder / "back" / path.relative_to(lab.data)).stat()
        assert (ours.st_mode, ours.st_mtime_ns, ours.st_uid) == (theirs.st_mode, theirs.st_mtime_ns, theirs.st_uid)


def test_target_that_cannot_be_written(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """A destination below a file is refused with a sentence."""
    lab, _ = two
    (lab.folder / "file").write_text("x")
    run = lab.rw("restore", "--to", "file/back", "--json", code=1)
    assert run.json["error"]["hint"] and "did not foresee" not in run.json["error"]["message"]


def test_only_a_leftover_of_this_folder_is_finished(two: tuple[Lab, list[dict[str, str]]]) -> None:
    """Killed, the same restore finishes it; what it left, moved to where other things are, proves nothing there."""
    lab, _ = two
    killed = faulty_restic(lab, "kill -9 $PPID; exit 1", on="restore")
    assert lab.rw("restore", "--to", "back", code=None, env=killed).code == -9
    (stage,) = (lab.folder / "back").glob(".rw-beside-*")
    elsewhere = lab.folder / "elsewhere"
    (elsewhere / "profiles").mkdir(parents=True)
    (elsewhere / "profiles" / "anna.json").write_text("somebody else's")
    shutil.copytree(stage, elsewhere / stage.name)
    before = tree(elsewhere)
    refused(lab, "restore", "--to", "elsewhere", code=1, kind="RestoreRefused")
    assert tree(elsewhere) == before
    lab.rw("restore", "--to", "back")
    assert tree(lab.folder / "back") == tree(lab.data)


@pytest.fixture
def partly(two: tuple[Lab, list[dict[str, str]]]) -> tuple[Lab, dict[str, str]]:
    """After two complete backups a partial one of `profiles`, which lacks anna.json; with its job and snapshot."""
    lab, _ = two
    lab.write("profiles/sub/ben.json", "v3")
    anna, aside = lab.data / "profiles" / "anna.json", lab.folder / "aside"
    fault = '{"message_type":"error","error":{"message":"permission denied"},"during":"archival","item":"/anna.json"}'
    script = f"""mv {anna} {aside}; restic "$@"; mv {aside} {anna}; echo '{fault}' >&2; exit 3"""
    report = lab.json("backup", "--domain", "profiles", code=3, env=faulty_restic(lab, script))
    (run,) = report["job"]["domains"]
    assert run["outcome"] == "partial"
    return lab, {"job": report["job"]["id"], "id": run["snapshot"]}


def test_a_partial_snapshot_is_named(partly: tuple[Lab, dict[str, str]]) -> None:
    """Asked for by its id or its job it comes back beside, and the report says what it is; a complete one says nothing.
    In place it is refused until somebody insists."""
    lab, made = partly
    for number, how in enumerate((("--snapshot", made["id"]), ("--job", made["job"]))):
        report = lab.json("restore", "--domain", "profiles", *how, "--to", f"back{number}")
        assert made["id"][:8] in report["notes"][0] and "not known to be complete" in report["notes"][0]
        assert report["job"]["outcome"] == "ok"
        job = made["job"] if "--job" in how else None
        wish = Wish(("profiles",), snapshot="latest" if job else made["id"], job=job)
        with lab.house() as built, pytest.raises(errors.RestoreRefused, match="not known to be complete") as caught:
            restoreplace.restore(built.context, wish)
        assert "--force" in caught.value.hint
    assert lab.json("restore", "--domain", "profiles", "--to", "latest")["notes"] == []
    assert (lab.data / "profiles" / "anna.json").exists()
    report = lab.json("restore", "--in-place", "--domain", "profiles", "--snapshot", made["id"], "--force")
    assert any("not known to be complete" in note for note in report["notes"])
    assert not (lab.data / "profiles" / "anna.json").exists()


@pytest.mark.parametrize("left", ["all", "manifests", "nothing"])
def test_without_the_catalogue(partly: tuple[Lab, dict[str, str]], left: str) -> None:
    """A partial snapshot is nobody's latest without the catalogue either: the state directory or the manifests tell.
    Where nothing tells, the newest is taken, and the report says that it may lack something."""
    lab, made = partly
    for file in lab.state.glob("catalog.sqlite*"):
        file.unlink()
    (lab.state / "catalog.sqlite").mkdir()
    if left != "all":
        (lab.state / "latest_main.json").unlink()
    if left == "nothing":
        for manifest in lab.manifests():
            manifest.unlink()
    report = lab.json("restore", "--domain", "profiles", "--to", "back")
    (domain,) = report["domains"]
    assert any("state directory" in note for note in report["notes"])
    doubt = [note for note in report["notes"] if "not known to be complete" in note]
    if left == "nothing":
        assert domain["snapshot"] == made["id"] and made["id"][:8] in doubt[0]
    else:
        assert not doubt and text(lab) == "v2"


def test_any_target(any_lab: Lab) -> None:
    """The same from a bucket."""
    lab = any_lab
    lab.fill("exams", 2)
    lab.rw("backup", "--domain", "exams")
    lab.rw("restore", "exam_001.bin", "--domain", "exams", "--to", "back")
    place: Path = lab.folder / "back" / "exams"
    assert [path.name for path in place.iterdir()] == ["exam_001.bin"]
