"""The commands as an operator meets them: what is silent, what is verbose, what changes nothing, what is unknown."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab, tree
from tests.unit.restic.scene import script

ASK = [
    ["backup"], ["snapshots"], ["history"], ["ls"], ["restore", "--dry-run"], ["verify"], ["status"], ["doctor"],
    ["manifest", "show", "latest"], ["policy", "show"], ["policy", "check"], ["policy", "schema"],
    ["lifecycle", "plan"], ["lifecycle", "apply"], ["lifecycle", "remove"], ["lifecycle", "status"],
    ["init"], ["unlock"], ["catalog", "rebuild"], ["stats"], ["prune"], ["recover-deleted", "--at", "2026-01-01"],
]  # fmt: skip


def test_an_unknown_target_or_domain(lab: Lab) -> None:
    """Exit 2 with the names that there are, whatever the command."""
    lab.write("exams/a", "a")
    lab.rw("backup")
    for words in ("backup", "status", "policy show"):
        target = lab.rw(*words.split(), "--target", "nope", code=2)
        assert "nope" in target.err and "main" in target.err and target.out == "", words
    for command in ASK:
        domain = lab.rw(*command, "--domain", "nope", code=None)
        assert domain.code == 2, (command, domain)
        assert "nope" in domain.err and "exams, profiles" in domain.err and domain.out == "", command


def test_ls_of_several_domains(lab: Lab) -> None:
    """Every domain's own files, each under its name."""
    for path in ("exams/a.json", "exams/sub/b.json", "profiles/anna.json"):
        lab.write(path, path)
    lab.rw("backup")
    listed = {(row["domain"], row["path"]) for row in lab.rw("ls", "--json").lines if row["kind"] == "file"}
    assert listed == {("exams", "a.json"), ("exams", "sub/b.json"), ("profiles", "anna.json")}
    shown = lab.rw("ls").out
    assert shown.index("exams ") < shown.index("b.json") < shown.index("profiles ") < shown.index("anna.json")


def test_a_lost_catalogue_is_told(lab: Lab) -> None:
    """Status and history say nothing about backups that they know nothing of, and make no catalogue by asking."""
    assert lab.json("status")["domains"][0]["rpo_lag"] is None, "before the first backup there is nothing to tell"
    lab.write("exams/a", "a")
    lab.rw("backup")
    for file in lab.state.glob("catalog*"):
        file.unlink()
    for command in ("status", "history"):
        error = lab.json(command, code=1)["error"]
        assert error["kind"] == "CatalogUnavailable" and error["hint"].startswith("rw catalog rebuild")
    assert not list(lab.state.glob("catalog*"))
    lab.rw("catalog", "rebuild")
    assert lab.json("status")["domains"][0]["rpo_lag"] is not None


def test_quiet_and_verbose(lab: Lab) -> None:
    """-q says nothing where nothing went wrong; -v says on stderr what restic is run with, and never the password."""
    lab.write("exams/a", "a")
    for command in (
        ["backup"],
        ["verify"],
        ["status"],
        ["restore", "--to", "back"],
        ["snapshots"],
        ["policy", "check"],
    ):
        done = lab.rw(*command, "-q")
        assert (done.out, done.err) == ("", ""), command
    loud = lab.rw("backup", "-v", "--json")
    assert loud.json["job"]["outcome"] == "ok", "stdout is the result alone"
    (line,) = [line for line in loud.err.splitlines() if " backup " in line and "profiles" in line and "restic" in line]
    assert "--tag domain=profiles" in line and str(lab.restic) in line
    assert "exit code 0" in loud.err and PASSWORD not in loud.err
    assert "--tag" not in lab.rw("backup").err


def test_lines_for_who_looks_on(lab: Lab) -> None:
    """In a pipe: what was read of every domain, restored and verified, also where it was done in no time."""
    lab.fill("exams", 3, size=2048)
    lab.write("profiles/a", "a")
    backup = lab.rw("backup").err
    assert "exams: ok after" in backup and "3 files, 6.0 KiB" in backup and "1 file, 1 B" in backup
    restore = lab.rw("restore", "--to", "back").err
    assert "exams: started" in restore and "6.0 KiB" in restore
    verify = lab.rw("verify", "--share", "1").err
    assert "structure and packs: ok after" in verify and "sample: ok after" in verify and "4 files, 6.0 KiB" in verify
    job = lab.json("history")["rows"][0]["job"]
    with lab.house() as built:
        done = built.catalog.job(job)
        assert done is not None and done.bytes_done == 6145


def test_quiet_still_tells_of_trouble(lab: Lab) -> None:
    """As cron wants it: a mail when something went wrong."""
    lab.write("exams/a", "a")
    (lab.data / "profiles").rmdir()
    partial = lab.rw("backup", "-q", code=3)
    assert partial.out == "" and "profiles" in partial.err


def files(*folders: Path) -> dict[str, object]:
    """What is kept below some folders; that there are folders and lock files does not count."""
    return {
        f"{folder}/{name}": found
        for folder in folders
        for name, found in tree(folder).items()
        if found[0] != "dir" and not name.startswith(("locks/", "leases/"))
    }


def test_a_dry_run_changes_nothing_and_shows_what_a_run_does(lab: Lab) -> None:
    """Store, records and data are to the byte as they were; the plan is the one that is executed then."""
    lab.domains["nested"] = {**lab.domains["profiles"], "source": {"root": str(lab.data / "exams" / "sub")}}
    lab.write("exams/sub/a", "a")
    lab.write("exams/b", "b" * 1000)
    lab.write_policies()
    lab.rw("backup", "--domain", "exams")
    lab.write("exams/c", "c")
    before = files(lab.store, lab.state, lab.data)
    plan = lab.json("backup", "--dry-run")
    preview = lab.json("restore", "--dry-run", "--domain", "exams", "--to", "back")
    shown = lab.rw("backup", "--dry-run").out
    assert files(lab.store, lab.state, lab.data) == before and not (lab.folder / "back").exists()
    assert all(domain["domain"] in shown and domain["why"] in shown for domain in plan["domains"])
    done = lab.json("backup")["job"]["domains"]
    assert [(run["domain"], run["type"], run["parent"]) for run in done] == [
        (planned["domain"], planned["type"], planned["parent"]) for planned in plan["domains"]
    ]
    assert {planned["domain"]: planned["after"] for planned in plan["domains"]} == {
        "exams": [], "nested": ["exams"], "profiles": []
    }  # fmt: skip
    snapshot = preview["domains"][0]["snapshot"]
    restored = lab.json("restore", "--domain", "exams", "--to", "back", "--snapshot", snapshot)
    for key in ("domain", "snapshot", "place", "files", "size"):
        assert restored["domains"][0][key] == preview["domains"][0][key], key


def test_policy(lab: Lab) -> None:
    """Checked with every problem, shown without secrets, described for editors."""
    assert "hold" in lab.rw("policy", "check").out
    shown = lab.rw("policy", "show").out
    assert "exams" in shown and "main" in shown and "within 30d" in shown
    assert set(lab.json("policy", "show", "--domain", "exams")["domains"]) == {"exams"}
    assert lab.json("policy", "schema", "--file", "domains")["title"] == "domains.yaml of resticwrap"
    lab.target["password_command"] = "echo hunter2"
    lab.domains["exams"]["layer"] = "cooked"
    lab.domains["profiles"]["rpo"] = "soon"
    lab.write_policies()
    failed = lab.rw("policy", "check", code=2)
    assert "domains.yaml:" in failed.err and "exams" in failed.err and "profiles" in failed.err
    assert len(lab.json("policy", "check", code=2)["problems"]) == 2
    lab.domains["exams"]["layer"], lab.domains["profiles"]["rpo"] = "raw", "5m"
    lab.write_policies()
    for run in (lab.rw("policy", "show"), lab.rw("policy", "show", "--json")):
        assert "hunter2" not in run.out + run.err


def verdicts(lab: Lab, code: int = 1, **env: str) -> dict[str, dict[str, str]]:
    """The answers of the doctor that are not well, by question; each has something to do."""
    checks = lab.json("doctor", code=code, env=env)["checks"]
    found = {check["name"]: check for check in checks if check["verdict"] == "fail"}
    assert all(check["hint"] for check in found.values())
    return found


def no_source(lab: Lab) -> None:
    (lab.data / "exams").rename(lab.data / "gone")


def no_target(lab: Lab) -> None:
    lab.store.rename(lab.folder / "unplugged")


def no_repository(lab: Lab) -> None:
    (lab.store / lab.namespace / "hot").rename(lab.folder / "hot")


def other_repository(lab: Lab) -> None:
    hot, cold = lab.store / lab.namespace / "hot", lab.store / lab.namespace / "cold"
    hot.rename(lab.folder / "hot")
    cold.rename(hot)
    (lab.folder / "hot").rename(cold)


def no_password(lab: Lab) -> None:
    (lab.folder / "password").unlink()


def other_password(lab: Lab) -> None:
    (lab.folder / "password").write_text("another one")


def old_restic(lab: Lab) -> None:
    old = '{"message_type":"version","version":"0.16.4","go_version":"go1","go_os":"linux","go_arch":"amd64"}'
    lab.env["RW_RESTIC"] = str(script(lab.folder, f"echo '{old}'"))


def broken_catalogue(lab: Lab) -> None:
    for file in lab.state.glob("catalog*"):
        file.unlink()
    (lab.state / "catalog.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 100)


@pytest.mark.parametrize(
    ("broken", "question"),
    [
        (no_source, "source: exams"),
        (no_target, "target"),
        (no_repository, "repositories"),
        (other_repository, "repositories"),
        (no_password, "password"),
        (other_password, "repositories"),
        (old_restic, "restic"),
        (broken_catalogue, "state"),
    ],
)
def test_doctor_finds_what_is_broken(broken: Callable[[Lab], None], question: str, lab: Lab) -> None:
    """Each thing by its name, with what to do, and exit 1; what depends on it may fail too, the rest does not."""
    lab.write("exams/a", "a")
    lab.json("doctor")
    broken(lab)
    found = verdicts(lab)
    assert question in found
    assert "policies" not in found and "space: state" not in found


def test_doctor_of_a_bucket(make_lab: MakeLab) -> None:
    """A wrong secret and a missing bucket are told in seconds, in the words of the store's own client."""
    lab = make_lab("s3")
    assert verdicts(lab, code=0) == {}
    assert "target" in verdicts(lab, LAB_SECRET="a-wrong-secret")
    lab.target["bucket"] = "a-bucket-that-is-not-there"
    lab.write_policies()
    assert "target" in verdicts(lab)


def test_the_state_directory_is_private(make_lab: MakeLab) -> None:
    """All that rw makes of its own is for its owner only, so the doctor has nothing to say of it."""
    lab = make_lab("local")
    lab.rw("backup")
    for folder in (lab.state, *(path for path in lab.state.rglob("*") if path.is_dir())):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    state = [check for check in lab.json("doctor")["checks"] if check["name"] == "state"]
    assert [check["verdict"] for check in state] == ["ok"]


def test_a_closed_pipe_is_no_trouble(lab: Lab) -> None:
    """`rw ls | head -1` ends without a word."""
    lab.fill("exams", 50)
    lab.rw("backup")
    words = " ".join(lab.command("ls", "--domain", "exams", "--json"))
    env = {**lab.env, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["/bin/bash", "-c", f"{words} | head -1"], env=env, cwd=lab.folder, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["path"] in ("", ".") and done.stderr == ""


def test_policies_are_found_in_their_order(lab: Lab, tmp_path: Path) -> None:
    """--policies before $RW_POLICIES; a folder without them is named."""
    other = tmp_path / "other"
    other.mkdir()
    for file in (lab.folder / "policies").iterdir():
        (other / file.name).write_text(file.read_text())
    domains = {"host": "lab", "domains": {"exams": lab.domains["exams"]}}
    (other / "domains.yaml").write_text(yaml.safe_dump(domains))
    assert set(lab.json("policy", "show", "--policies", str(other))["domains"]) == {"exams"}
    assert set(lab.json("policy", "show")["domains"]) == {"exams", "profiles"}
    assert str(tmp_path / "nowhere") in lab.rw("status", "--policies", str(tmp_path / "nowhere"), code=2).err
    assert os.fspath(lab.folder / "policies") in lab.rw("policy", "check").out


def test_cold_that_cuts_files_differently(make_lab: MakeLab) -> None:
    """It is adopted, and told: copies would not deduplicate. Repositories that cut alike are not worth a word."""
    lab, other = make_lab("local", ready=False), make_lab("local", ready=False)
    assert "cut files differently" not in lab.rw("init").err
    other.rw("init")
    cold = lab.store / lab.namespace / "cold"
    shutil.rmtree(cold)
    (other.store / other.namespace / "cold").rename(cold)
    lab.copy_state_away()
    assert "cut files differently" in lab.rw("init").err
