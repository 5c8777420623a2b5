"""A bare machine, with nothing but the policies and the password, gets its catalogue back from the target."""

import json
import shutil
from typing import Any

import pytest

from tests.broken import faulty_restic, refused
from tests.conftest import MakeLab
from tests.lab import Lab


def told(lab: Lab) -> dict[str, Any]:
    """What the records say that a rebuild must bring back."""
    rows = [
        {
            key: row[key]
            for key in ("job", "time", "domain", "type", "outcome", "files_new", "added", "size", "snapshot")
        }
        for row in lab.json("history")["rows"]
        if row["kind"] == "backup"
    ]
    snapshots = [(row["snapshot"]["id"], row["tier"], row["complete"]) for row in lab.json("snapshots")]
    return {"history": rows, "snapshots": snapshots, "pins": pins(lab)}


def pins(lab: Lab) -> Any:
    return json.loads((lab.state / "pins" / "main.json").read_text())


def latest(lab: Lab) -> dict[str, tuple[str, str, str]]:
    found = json.loads((lab.state / "latest_main.json").read_text())["domains"]
    return {name: (one["snapshot"], one["current_id"], one["tree"]) for name, one in found.items()}


@pytest.mark.parametrize("kind", ["local", "oss"])
def test_bare_machine(make_lab: MakeLab, kind: str) -> None:
    """History, snapshots with their completeness, pins and parents are back; the next backup goes on from there."""
    lab = make_lab(kind)
    lab.fill("exams", 3)
    lab.write("profiles/anna.json", "1")
    lab.rw("backup")
    lab.write("profiles/anna.json", "2")
    lab.rw("backup")
    # A partial one, which must not come back as complete.
    lab.write("profiles/ben.json", "3")
    gone = f'mv "{lab.data}/profiles" "{lab.data}/profiles.gone"'
    lab.rw(
        "backup", "--domain", "profiles", code=3, env=faulty_restic(lab, f'restic "$@"; code=$?; {gone}; exit $code')
    )
    (lab.data / "profiles.gone").rename(lab.data / "profiles")
    before, newest = told(lab), latest(lab)
    assert [complete for _, _, complete in before["snapshots"]].count(False) == 1
    lab.copy_state_away()
    error = refused(lab, "backup", code=10, kind="NoRepository")
    assert "rw init" in error["hint"]
    report = lab.json("catalog", "rebuild")
    assert (report["manifests"], report["jobs"], report["without_manifest"]) == (3, 3, 0)
    assert not report.get("skipped")
    assert told(lab) == before and latest(lab) == newest
    runs = {run["domain"]: run for run in lab.json("backup")["job"]["domains"]}
    assert (runs["exams"]["outcome"], runs["exams"]["snapshot"]) == ("unchanged", newest["exams"][0])
    assert runs["profiles"]["parent"] == newest["profiles"][0]
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--to", "back")


def test_rebuild_may_be_repeated(lab: Lab) -> None:
    """Over a catalogue that is whole it changes nothing that was known, proofs included."""
    lab.fill()
    lab.rw("backup")
    lab.rw("verify", "--share", "1")
    before, proven = told(lab), [row["proven_at"] for row in lab.json("snapshots")]
    assert any(proven)
    lab.rw("catalog", "rebuild")
    assert told(lab) == before
    assert [row["proven_at"] for row in lab.json("snapshots")] == proven


def test_damaged_manifest(lab: Lab) -> None:
    """A manifest that cannot be read is named and passed over; its snapshots count as partial."""
    lab.fill()
    lab.rw("backup")
    lab.write("exams/new.bin", b"new")
    lab.rw("backup")
    for content in (b"\x00garbage", b"{}", b""):
        spoilt = lab.manifests()[-1]
        whole = spoilt.read_bytes()
        spoilt.chmod(0o600)
        spoilt.write_bytes(content)
        lab.copy_state_away()
        report = lab.json("catalog", "rebuild", code=3)
        assert (report["manifests"], len(report["skipped"])) == (1, 1)
        assert spoilt.parent.name in report["skipped"][0]
        assert report["without_manifest"] == 1
        spoilt.write_bytes(whole)
    assert sorted(row["complete"] for row in lab.json("snapshots")) == [False, True, True]
    # What nobody vouches for is no parent: the older one is.
    assert lab.json("backup", "--domain", "exams")["job"]["domains"][0]["outcome"] == "ok"


def test_manifests_of_others(make_lab: MakeLab) -> None:
    """Manifests of another namespace or of another repository in the same bucket are not ours."""
    lab = make_lab("local")
    other = make_lab("local", ready=False, path=str(lab.store), namespace="elsewhere")
    other.rw("init")
    for one in (lab, other):
        one.fill()
        one.rw("backup")
    # Another repository that publishes under our own environment.
    third = make_lab("local", ready=False, path=str(lab.store), namespace="third", environment="resticwrap")
    third.rw("init")
    third.fill()
    third.rw("backup")
    assert len(lab.manifests()) == 3
    before = told(lab)
    lab.copy_state_away()
    report = lab.json("catalog", "rebuild")
    assert (report["manifests"], report["snapshots"]) == (1, len(before["snapshots"]))
    assert told(lab) == before


def test_wrong_password(lab: Lab) -> None:
    """With a wrong password nothing is rebuilt and nothing is lost."""
    lab.fill()
    lab.rw("backup")
    before = told(lab)
    wrong = lab.folder / "wrong"
    wrong.write_text("something else")
    refused(lab, "catalog", "rebuild", code=12, kind="WrongPassword", env={"RESTIC_PASSWORD_FILE": str(wrong)})
    assert told(lab) == before


def test_nothing_there(make_lab: MakeLab) -> None:
    """A target without repositories has nothing to rebuild from."""
    lab = make_lab("local", ready=False)
    lab.store.mkdir()
    refused(lab, "catalog", "rebuild", code=10, kind="NoRepository")


def test_cold_is_missing(lab: Lab) -> None:
    """Hot alone is enough to go on from."""
    lab.fill()
    lab.rw("backup")
    shutil.rmtree(lab.store / lab.namespace / "cold")
    lab.copy_state_away()
    lab.rw("catalog", "rebuild")
    assert set(pins(lab)) == {"hot"}
    lab.rw("backup")
    lab.rw("init")
    assert set(pins(lab)) == {"hot", "cold"}
