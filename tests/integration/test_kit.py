"""The server is gone: with an empty directory and the recovery kit as all that is left, everything comes back."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab, tree

PHRASE = "eleven purple goats in a rowboat"


def phrase(lab: Lab, text: str = PHRASE) -> str:
    """A file with a passphrase, outside of the lab, which is going to be lost."""
    file = lab.folder.parent / f"phrase-{abs(hash(text))}"
    file.write_text(f"{text}\n")
    return str(file)


def bare(lab: Lab) -> dict[str, str]:
    """The environment of another machine: it has rw and restic."""
    home = lab.folder.parent / "home"
    home.mkdir(exist_ok=True)
    network = {
        name: value for name, value in lab.env.items() if "PROXY" in name.upper() or "CERT" in name or "CA_" in name
    }
    return {**network, "PATH": lab.env["PATH"], "HOME": str(home), "RW_RESTIC": str(lab.restic), "COLUMNS": "100"}


def lose_everything(lab: Lab) -> None:
    """State, cache, policies, data, password and every variable are gone."""
    for name in ("state", "cache", "policies", "data", "password"):
        path = lab.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lab.env = bare(lab)


@pytest.mark.parametrize("kind", ["local", "s3", "oss"])
def test_the_server_is_gone(make_lab: MakeLab, kind: str) -> None:
    """From a kit alone, byte for byte; P0 before P1; a second run finds what the first one did."""
    lab = make_lab(kind)
    lab.fill("exams", 4, 3000)
    lab.write("profiles/deep/anna.json", "1")
    lab.rw("backup")
    lab.write("profiles/deep/anna.json", "2")
    lab.rw("backup")
    kit = str(lab.folder.parent / "teaching.kit")
    report = lab.json("kit", "export", "--out", kit, "--passphrase-file", phrase(lab))
    page = Path(report["page"]).read_text()
    assert report["digest"] in page and report["repositories"]["hot"] in page
    secrets = {PASSWORD, *(value for name, value in lab.env.items() if "SECRET" in name)}
    for secret in secrets:
        assert secret not in page and secret.encode() not in Path(kit).read_bytes()
    assert Path(kit).stat().st_mode & 0o777 == 0o600
    before = tree(lab.data)
    lose_everything(lab)
    place = lab.folder.parent / "recovered"
    lab.folder.mkdir(exist_ok=True)
    again: dict[str, Any] = {}
    for _ in range(2 if kind == "local" else 1):
        done = lab.json("kit", "restore", kit, "--to", str(place), "--passphrase-file", phrase(lab))
        assert tree(place / "system") == before
        assert [(one["domain"], one["priority"]) for one in done["domains"]] == [("exams", "P0"), ("profiles", "P1")]
        assert all(one["manifest"] and one["whole"] and one["rpo"] >= 0 for one in done["domains"])
        again = done
    assert all(one.get("resumed", False) is (kind == "local") for one in again["domains"])
    for private in (place, place / "rw" / "secrets", place / "rw" / "state"):
        assert private.stat().st_mode & 0o077 == 0
    lab.env |= {
        "RW_POLICIES": str(place / "rw/policies"),
        "RW_STATE_DIR": str(place / "rw/state"),
        "RESTIC_CACHE_DIR": str(place / "rw/cache"),
    }
    shell = f'. "{place}/rw/secrets/environment"; env'
    said = subprocess.run(["sh", "-c", shell], env=lab.env, capture_output=True, check=True).stdout.decode()
    lab.env = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert {row["domain"] for row in lab.json("history")["rows"] if row["kind"] == "backup"} == {"exams", "profiles"}
