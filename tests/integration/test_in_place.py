"""In-place restores through `rw`: put back, undo, accept, refuse, and recover after a crash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.broken import faulty_restic, flip, refused, repository_files
from tests.lab import Lab, answer, tree

Trees = dict[str, Any]


@pytest.fixture
def changed(lab: Lab) -> tuple[Lab, Trees, Trees]:
    """`profiles` as it was backed up, and as it is live now."""
    for path, text in {"anna.json": "old", "sub/ben.json": "old", "sub/deep/carl.json": "old"}.items():
        lab.write(f"profiles/{path}", text)
    (lab.data / "profiles" / "link").symlink_to("anna.json")
    lab.rw("backup", "--domain", "profiles")
    old = tree(lab.data / "profiles")
    lab.write("profiles/anna.json", "spoilt")
    lab.write("profiles/extra.json", "new")
    (lab.data / "profiles" / "sub" / "ben.json").unlink()
    return lab, old, tree(lab.data / "profiles")


def in_place(lab: Lab, *arguments: str, **more: Any) -> Any:
    return lab.json("restore", "--in-place", "--domain", "profiles", "--snapshot", first(lab), *arguments, **more)


def first(lab: Lab) -> str:
    """The id of the first snapshot: later ones are safety snapshots."""
    return str(lab.json("snapshots", "--domain", "profiles")[0]["snapshot"]["original"])


def live(lab: Lab) -> Trees:
    """What is live; the stages of restores that may still be undone are not."""
    return {path: what for path, what in tree(lab.data / "profiles").items() if ".rw-restore-" not in path}


def staged(lab: Lab) -> list[str]:
    """Staging folders that lie beside the data."""
    return [str(path) for path in lab.data.rglob(".rw-restore-*")]


def test_whole_domain(changed: tuple[Lab, Trees, Trees]) -> None:
    """A domain is as it was; what was live has a snapshot, is kept, comes back by --undo, and goes by --accept."""
    lab, old, new = changed
    report = in_place(lab)
    assert live(lab) == old
    job, safety = report["job"]["id"], report["safety"]["profiles"]
    assert safety != first(lab) and report["kept"]
    assert tree(Path(report["kept"][0])) == new
    lab.rw("restore", "--domain", "profiles", "--snapshot", safety, "--to", "safe")
    assert tree(lab.folder / "safe" / "profiles") == new
    undone = lab.json("restore", "--undo", job)
    assert (undone["mode"], undone["restored"]) == ("undo", job)
    assert live(lab) == new and tree(Path(undone["kept"][0])) == old
    lab.rw("restore", "--accept", job)
    assert live(lab) == new and not staged(lab)
    refused(lab, "restore", "--undo", job, code=1, kind="RestoreRefused")
    assert live(lab) == new
    # A backup afterwards sees only live data.
    lab.rw("backup", "--domain", "profiles")


def test_accept(changed: tuple[Lab, Trees, Trees]) -> None:
    """Accepted, the old tree is gone, and only its safety snapshot has it."""
    lab, old, _ = changed
    job = in_place(lab)["job"]["id"]
    assert staged(lab)
    lab.rw("restore", "--accept", job)
    assert live(lab) == old and not staged(lab)
    error = refused(lab, "restore", "--undo", job, code=1, kind="RestoreRefused")
    assert "--snapshot" in error["hint"]


def test_paths(changed: tuple[Lab, Trees, Trees]) -> None:
    """One file, one deleted file, one folder: nothing beside them changes."""
    lab, old, new = changed
    in_place(lab, "sub/ben.json")
    assert live(lab) == new | {"sub/ben.json": old["sub/ben.json"]}
    lab.rw("restore", "anna.json", "--in-place", "--domain", "profiles", "--snapshot", first(lab))
    assert live(lab)["anna.json"] == old["anna.json"] and "extra.json" in live(lab)
    shutil.rmtree(lab.data / "profiles" / "sub")
    in_place(lab, "sub")
    assert {k: v for k, v in live(lab).items() if k.startswith("sub")} == {
        k: v for k, v in old.items() if k.startswith("sub")
    }


def test_live_root_missing(changed: tuple[Lab, Trees, Trees]) -> None:
    """A root that is gone altogether comes back; there was nothing to keep."""
    lab, old, _ = changed
    shutil.rmtree(lab.data / "profiles")
    report = in_place(lab)
    assert live(lab) == old and not report.get("kept")


def test_refused_while_in_use(changed: tuple[Lab, Trees, Trees]) -> None:
    """While a process holds a file open nothing is begun, and the process is named."""
    lab, old, new = changed
    with (lab.data / "profiles" / "anna.json").open():
        error = refused(lab, "restore", "--in-place", "--domain", "profiles", code=1, kind="RestoreRefused", within=20)
    assert str(os.getpid()) in error["message"]
    assert live(lab) == new and not staged(lab)
    in_place(lab)
    assert live(lab) == old


def test_refused_without_catalogue(changed: tuple[Lab, Trees, Trees]) -> None:
    """Without a record nothing live is touched; a restore beside goes on."""
    lab, _, new = changed
    env = {"RW_CATALOG_URL": f"sqlite:///{lab.folder}/password/catalogue.db"}
    error = refused(lab, "restore", "--in-place", "--domain", "profiles", code=1, kind="CatalogUnavailable", env=env)
    assert error["hint"]
    assert live(lab) == new and not staged(lab)
    lab.rw("restore", "--domain", "profiles", "--to", "back", env=env)


def test_damaged_repository(changed: tuple[Lab, Trees, Trees]) -> None:
    """What does not come back whole is not put in place: live data stays, and nothing is left beside it."""
    lab, _, new = changed
    with lab.house() as built:
        trees = built.context.hot.trees()
        data = {blob.pack for blob in trees.blobs_in(trees.packs()) if blob.kind == "data"}
    for pack in repository_files(lab, "data"):
        if pack.name in data:
            flip(pack, 20)
    run = lab.rw("restore", "--in-place", "--domain", "profiles", "--json", code=None)
    assert run.code in (1, 3, 20), run
    assert run.json["error"]["hint"] and "did not foresee" not in run.json["error"]["message"]
    assert live(lab) == new and not staged(lab)


def test_dry_run(changed: tuple[Lab, Trees, Trees]) -> None:
    """A preview names the live place and changes nothing."""
    lab, _, new = changed
    report = lab.json("restore", "--in-place", "--domain", "profiles", "--dry-run")
    assert report["domains"][0]["place"] == str(lab.data / "profiles")
    assert live(lab) == new and not staged(lab)
    assert len(lab.json("snapshots")) == 1


def test_killed_while_restoring_beside(changed: tuple[Lab, Trees, Trees]) -> None:
    """Killed before the exchange: live data is as it was, and the next backup cleans up first."""
    lab, _, new = changed
    env = faulty_restic(lab, "kill -9 $PPID; exit 1", on="restore")
    run = lab.rw("restore", "--in-place", "--domain", "profiles", "--json", code=None, env=env)
    assert run.code == -9 and live(lab) == new and staged(lab)
    lab.rw("backup")
    assert live(lab) == new and not staged(lab)
    assert all(row["outcome"] != "running" for row in lab.json("history")["rows"])


@pytest.mark.parametrize("moment", ["_apply", "_compare_live"])
@pytest.mark.parametrize("then", ["backup", "restore"])
def test_killed_in_the_exchange(changed: tuple[Lab, Trees, Trees], moment: str, then: str) -> None:
    """Killed before the exchange: the next command that writes removes what was never live. Killed after it: it is
    finished first, and can be undone."""
    lab, old, new = changed
    script = (
        "import os, sys\n"
        "from resticwrap.services.inplace import InPlace\n"
        f"InPlace.{moment} = lambda *_: os._exit(9)\n"
        "from resticwrap.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "restore", "--in-place", "--domain", "profiles", *answer()]
    done = subprocess.run(command, env=lab.env, cwd=Path.cwd(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 9, done.stderr
    assert live(lab) == (new if moment == "_apply" else old) and staged(lab)
    if then == "backup":
        lab.rw("backup")
    else:
        lab.rw("restore", "--domain", "profiles", "--to", "beside")
    if moment == "_apply":
        assert live(lab) == new and not staged(lab)
        return
    assert live(lab) == old
    job = staged(lab)[0].partition(".rw-restore-")[2].partition("/")[0]
    lab.rw("restore", "--undo", job)
    assert live(lab) == new
