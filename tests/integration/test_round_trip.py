"""Backup, verify and restore, as an operator runs them: the same suite on a local, an S3 and an OSS target."""

import json
from pathlib import Path

from tests.conftest import MakeLab
from tests.lab import Lab, tree


def test_round_trip(any_lab: Lab) -> None:
    """What is backed up, changed and backed up again verifies, and comes back as it was."""
    lab = any_lab
    lab.fill("exams", 4)
    lab.write("exams/booklet.bin", bytes(range(256)) * 16_000)
    lab.write("profiles/anna.json", '{"name": "Anna"}')
    first = lab.json("backup")
    assert [run["outcome"] for run in first["job"]["domains"]] == ["ok", "ok"]
    lab.write("profiles/anna.json", '{"name": "Anne"}')
    lab.write("profiles/ben.json", "{}")
    second = lab.json("backup")
    runs = {run["domain"]: run for run in second["job"]["domains"]}
    assert runs["exams"]["outcome"] == "unchanged"
    assert runs["profiles"]["outcome"] == "ok"
    assert (runs["profiles"]["files_new"], runs["profiles"]["files_changed"]) == (1, 1)
    verified = lab.json("verify", "--share", "1")
    assert verified["ok"] and len(verified["proven"]) == 2
    restored = lab.json("restore", "--to", str(lab.folder / "back"))
    assert [domain["mismatches"] for domain in restored["domains"]] == [[], []]
    for domain in ("exams", "profiles"):
        assert tree(lab.folder / "back" / domain) == tree(lab.data / domain)


def test_bare_restic_reads_it(any_lab: Lab) -> None:
    """A bare restic with the same password reads, checks and restores what `rw` made."""
    lab = any_lab
    lab.fill("exams", 3)
    lab.rw("backup", "--domain", "exams")
    (snapshot,) = json.loads(lab.bare("snapshots", "--json").stdout)
    assert "domain=exams" in snapshot["tags"] and snapshot["hostname"] == "lab"
    lab.bare("check", "--read-data")
    lab.bare("restore", "latest", "--target", str(lab.folder / "bare"))
    assert tree(lab.folder / "bare" / "exams") == tree(lab.data / "exams")


def test_both_restics(make_lab: MakeLab, either_restic: Path) -> None:
    """The oldest restic that is supported and the newest do the same."""
    lab = make_lab("local", ready=False, restic=either_restic)
    lab.rw("init")
    lab.fill("exams", 3)
    lab.rw("backup")
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--to", str(lab.folder / "back"))
    assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")
