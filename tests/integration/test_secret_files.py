"""Configuration secrets as a domain: which files, when there is a snapshot, what is told, how they come back."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from resticwrap.host.sealing import AgeSealing
from resticwrap.services import kit as service
from tests.broken import refused
from tests.conftest import MakeLab
from tests.handmade import cheap_age
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import Lab

HUSH = "hunter2-is-not-a-password"


def secrets_of(root: Path, *files: str, **more: Any) -> dict[str, Any]:
    source = {"type": "secrets", "root": str(root), "files": list(files), **more}
    return {"layer": "serving", "priority": "P0", "source": source}


@pytest.fixture
def lab(make_lab: MakeLab, tmp_path: Path) -> Lab:
    """A lab whose one domain is two files of a folder with other files in it."""
    root = tmp_path / "app"
    (root / "conf").mkdir(parents=True)
    for name, mode in ((".env.prod", 0o600), ("conf/db.key", 0o640), ("app.log", 0o644)):
        (root / name).write_text(f"{HUSH} in {name}")
        (root / name).chmod(mode)
    return make_lab("local", domains={"config": secrets_of(root, ".env.prod", "conf/db.key")})


def root_of(lab: Lab) -> Path:
    return Path(lab.domains["config"]["source"]["root"])


def backup(lab: Lab, *arguments: str, code: int = 0) -> Any:
    (run,) = lab.json("backup", *arguments, code=code)["job"]["domains"]
    return run


def test_every_change_is_a_snapshot_and_nothing_else_is(lab: Lab) -> None:
    """What happens to other files of the folder is none; what another mode or other bytes make is one."""
    root = root_of(lab)
    assert (backup(lab)["files"], backup(lab)["outcome"]) == (2, "unchanged")
    (root / "app.log").write_text("more")
    (root / "new.log").write_text("more")
    assert backup(lab)["outcome"] == "unchanged"
    before = (root / ".env.prod").stat()
    (root / ".env.prod").write_text(f"{HUSH} IN .env.prod")
    os.utime(root / ".env.prod", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert backup(lab)["outcome"] == "ok"
    (root / "conf/db.key").chmod(0o600)
    assert backup(lab)["outcome"] == "ok"
    assert len(lab.json("snapshots")) == 3
    rows = lab.rw("ls", "--domain", "config", "--json").lines
    assert sorted(row["path"] for row in rows if row["kind"] == "file") == [".env.prod", "conf/db.key"]


def test_they_stay_forever_and_no_quota_takes_them(lab: Lab) -> None:
    """Where the policy says nothing else; a quota gives way."""
    backup(lab)
    (root_of(lab) / ".env.prod").write_text("changed")
    backup(lab)
    lab.domains["config"]["quota"] = {"max_snapshots": 1}
    lab.write_policies()
    plan = lab.json("forget", "--dry-run")["plan"]
    hot = [one for one in plan["verdicts"] if one["tier"] == "hot"]
    assert [one["keep"] for one in hot] == [True, True]
    assert all("kept forever" in one["reasons"] for one in hot)


def test_what_is_missing_is_named(lab: Lab) -> None:
    """The others are backed up; whether it ever was there is told. Without any of them nothing is."""
    root = root_of(lab)
    (root / "conf/db.key").rename(root / "kept")
    run = backup(lab, code=3)
    assert run["missed"] == [f"{root}/conf/db.key: is not there, and was in no complete backup"]
    (root / "kept").rename(root / "conf/db.key")
    whole = backup(lab)
    (root / "conf/db.key").rename(root / "kept")
    run = backup(lab, code=3)
    (said,) = run["missed"]
    assert said.endswith(f"is not there; snapshot {whole['snapshot'][:8]} has it: rw restore --domain config")
    assert run["snapshot"] is None  # the whole one has all that is left
    (root / ".env.prod").unlink()
    run = backup(lab, code=1)
    assert run["error"]["kind"] == "NotFound" and "None of the files of app" in run["error"]["message"]


def test_a_link_is_not_taken_for_what_it_points_to(lab: Lab, tmp_path: Path) -> None:
    """restic would store the link alone. One to another file of the list loses nothing."""
    root = root_of(lab)
    (tmp_path / "elsewhere").write_text(HUSH)
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "in").symlink_to(".env.prod")
    (root / "way").symlink_to("conf")
    lab.domains["config"] = secrets_of(root, ".env.prod", "in", "out", "conf", "way/db.key")
    lab.write_policies()
    run = backup(lab, code=3)
    said = dict(one.split(": ", 1) for one in run["missed"])
    assert "name that one" in said.pop(f"{root}/out")
    assert "is no file" in said.pop(f"{root}/conf")
    assert "behind a symlink" in said.pop(f"{root}/way/db.key")
    assert said == {}


def test_no_byte_of_them_is_told(lab: Lab) -> None:
    """Neither printed, nor in the state, nor published: not even their names and checksums in a plain manifest."""
    lab.target["manifests"] = "plain"
    lab.domains["profiles"] = lab.files("profiles")
    lab.fill("profiles", files=1)
    lab.write_policies()
    lab.rw("backup", "--type", "full", "-v")
    (root_of(lab) / "conf/db.key").unlink()
    (root_of(lab) / ".env.prod").write_text(f"{HUSH}!")
    said = [lab.rw(*words, code=None) for words in (("backup", "-v"), ("ls", "--domain", "config"), ("logs",))]
    assert not any(HUSH in run.out + run.err for run in said)
    manifests = [path.read_text() for path in lab.manifests()]
    assert len(manifests) == 2 and all("exam_000.bin" in text or "profiles" in text for text in manifests)
    assert not any(word in text for text in manifests for word in ("db.key", ".env.prod"))
    for path in (*lab.state.rglob("*"), *lab.store.rglob("*")):
        assert not path.is_file() or HUSH.encode() not in path.read_bytes(), path


def test_each_file_comes_back_alone(lab: Lab) -> None:
    """In place they are exchanged one by one; the folder and what else is in it stay as they are, and undo brings
    back what was there."""
    root = root_of(lab)
    backup(lab)
    for name in (".env.prod", "conf/db.key"):
        (root / name).write_text("spoilt")
        (root / name).chmod(0o666)
    (root / "app.log").write_text("went on")
    inode = root.stat().st_ino
    restored = lab.json("restore", "--in-place", "--domain", "config")
    assert (root / ".env.prod").read_text() == f"{HUSH} in .env.prod"
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in (".env.prod", "conf/db.key")] == [0o600, 0o640]
    assert (root.stat().st_ino, (root / "app.log").read_text()) == (inode, "went on")
    lab.rw("restore", "--undo", restored["job"]["id"])
    assert (root / "conf/db.key").read_text() == "spoilt"
    lab.rw("restore", "--accept", restored["job"]["id"])
    assert sorted(os.listdir(root)) == [".env.prod", "app.log", "conf"]
    one = lab.json("restore", "conf", "--in-place", "--domain", "config", "--at", restored["domains"][0]["time"])
    assert (root / "conf/db.key").read_text() == f"{HUSH} in conf/db.key"
    assert (root / ".env.prod").read_text() == "spoilt" and len(one["kept"]) == 1


def test_everything_in_place_is_all_but_databases(lab: Lab, tmp_path: Path) -> None:
    """These are put back by commands of their own, and a note says which."""
    with sqlite3.connect(tmp_path / "desk.sqlite") as connection:
        connection.execute("CREATE TABLE t (a)")
    source = {"type": "sqlite", "path": str(tmp_path / "desk.sqlite")}
    lab.domains["desk"] = {"layer": "serving", "priority": "P1", "source": source}
    lab.write_policies()
    lab.rw("backup")
    (root_of(lab) / ".env.prod").write_text("spoilt")
    run = lab.rw("restore", "--in-place", "--json")
    assert [one["domain"] for one in run.json["domains"]] == ["config"]
    assert "desk is left out: it is a database. rw db restore desk" in run.err
    assert (root_of(lab) / ".env.prod").read_text() == f"{HUSH} in .env.prod"


def test_no_other_domain_takes_them_along(lab: Lab) -> None:
    """A folder with one of them in it is not exchanged: what is in it now would be put away."""
    lab.domains["conf"] = {"layer": "serving", "priority": "P1", "source": {"root": str(root_of(lab) / "conf")}}
    lab.write_policies()
    lab.rw("backup")
    error = refused(lab, "restore", "--in-place", "--domain", "conf", code=1, kind="RestoreRefused")
    assert "holds another domain" in error["message"] and "config: conf/db.key" in error["message"]


def test_they_come_back_beside_with_their_modes(lab: Lab, tmp_path: Path) -> None:
    backup(lab)
    lab.rw("restore", "--domain", "config", "--to", str(tmp_path / "out"))
    found = tmp_path / "out/config"
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()) == [
        ".env.prod", "conf/db.key",
    ]  # fmt: skip
    assert stat.S_IMODE((found / ".env.prod").stat().st_mode) == 0o600
    assert (found / "conf/db.key").read_text() == f"{HUSH} in conf/db.key"


def test_they_are_in_the_kit_where_the_policy_wants_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed; told by name alone; out of it with their modes. A kit is old once one of them has changed."""
    lab.domains["config"]["source"]["in_kit"] = True
    lab.write_policies()
    backup(lab)
    monkeypatch.setattr(AgeSealing, "seal", lambda _, plain, passphrase: cheap_age(plain, passphrase))
    phrase = tmp_path / "phrase"
    phrase.write_text("eleven purple goats in a rowboat")
    kit, words = tmp_path / "main.kit", ("--passphrase-file", str(phrase))
    with lab.house() as built:
        report = service.export(built.context, kit, phrase.read_text())
    assert report.secrets == ("config/.env.prod", "config/conf/db.key")
    assert "rw kit secrets main.kit --to FOLDER" in Path(report.page).read_text()
    shown = lab.rw("kit", "show", str(kit), *words)
    assert "config/conf/db.key" in shown.out and HUSH not in shown.out
    assert HUSH.encode() not in kit.read_bytes()
    out = tmp_path / "out"
    assert lab.json("kit", "secrets", str(kit), "--to", str(out), *words, "--dry-run")["planned"] and not out.exists()
    written = lab.json("kit", "secrets", str(kit), "--to", str(out), *words)
    fits(ELSEWHERE["kit secrets"], written, "kit secrets")
    assert (out / "config/conf/db.key").read_text() == f"{HUSH} in conf/db.key"
    modes = [stat.S_IMODE((out / "config" / name).stat().st_mode) for name in (".", ".env.prod", "conf/db.key")]
    assert modes == [0o700, 0o600, 0o640]
    refused(lab, "kit", "secrets", str(kit), "--to", str(out), *words, code=1, kind="RestoreRefused")
    with lab.house() as built:
        assert service.state_of(built.context).stale == ()
        (root_of(lab) / ".env.prod").write_text("changed")
        assert service.state_of(built.context).stale == ("files of secrets that belong into it were changed since",)
