"""`rw stats` says what restic itself says of the same snapshots, and tells damage without coming down over it."""

import json
import os
from typing import Any

import pytest

from tests.conftest import MakeLab
from tests.lab import Lab


@pytest.fixture
def filled(lab: Lab) -> Lab:
    """Two domains that share some data, three snapshots of one of them."""
    shared = os.urandom(300_000)
    lab.write("exams/shared.bin", shared)
    lab.write("profiles/deep/shared.bin", shared)
    lab.write("profiles/text.txt", "the same line again\n" * 5000)
    # One after the other: two that run at once do not see each other's blobs, and both store them.
    lab.rw("backup", "--domain", "profiles")
    lab.rw("backup", "--domain", "exams")
    for number in range(2):
        lab.write(f"exams/new/{number}.bin", os.urandom(40_000))
        lab.rw("backup", "--domain", "exams")
    return lab


def restic_stats(lab: Lab, *more: str) -> Any:
    return json.loads(lab.bare("stats", "--mode", "raw-data", "--json", *more).stdout)


def test_it_is_what_restic_says(filled: Lab) -> None:
    """Of all together and of each domain: blobs, stored and plain bytes; the dedup ratio is of them."""
    lab = filled
    report = lab.json("stats")
    hot = report["tiers"][0]
    rows = {"": hot["space"], **{one["domain"]: one["space"] for one in hot["domains"]}}
    assert set(rows) == {"", "exams", "profiles"}
    for domain, space in rows.items():
        theirs = restic_stats(lab, *(["--tag", f"domain={domain}"] if domain else []))
        assert space["blobs"] == theirs["total_blob_count"], domain
        # restic counts what it adds to each blob, an initial vector and a code, into the plain size as well.
        plain = theirs["total_uncompressed_size"] - 32 * space["blobs"]
        assert (space["stored"], space["plain"]) == (theirs["total_size"], plain), domain
        assert space["snapshots"] == theirs["snapshots_count"] and space["lost"] == 0
    assert rows["exams"]["stored"] + rows["profiles"]["stored"] > rows[""]["stored"] + 300_000
    assert rows["exams"]["logical"] == 3 * 300_000 + 3 * 40_000
    assert hot["packs"] >= rows[""]["stored"]
    assert report["total"]["added"][-1] >= rows[""]["stored"] - 5000 and sum(report["total"]["added"][:-1]) == 0
    assert report["total"]["per_day"] == report["total"]["added"][-1] and len(report["days"]) == 30
    (disk,) = report["limits"]
    assert disk["what"] == "disk" and disk["days"] > 0
    one = lab.json("stats", "--tier", "hot", "--domain", "exams")
    assert (
        [row["domain"] for row in one["tiers"][0]["domains"]] == ["exams"] == [row["domain"] for row in one["growth"]]
    )
    assert lab.json("stats", "--domain", "nothing", code=2)["error"]["kind"] == "UsageError"


def test_quotas(filled: Lab) -> None:
    """Of the target and of a domain, both repositories together; soonest full first."""
    lab = filled
    lab.target["quota"] = {"max_bytes": "1GiB"}
    lab.domains["exams"]["quota"] = {"max_bytes": 100_000}
    lab.write_policies()
    limits = lab.json("stats")["limits"]
    assert [one["what"] for one in limits][:2] == ["quota of exams", "quota of the target"]
    assert limits[0]["days"] == 0 and limits[0]["used"] > 100_000
    assert 0 < limits[1]["days"] == (limits[1]["limit"] - limits[1]["used"]) / limits[1]["per_day"]
    assert "full" in lab.rw("stats").out
    assert [one["what"] for one in lab.json("stats", "--tier", "hot")["limits"]] == ["disk"]


def test_damage_is_told(filled: Lab) -> None:
    """A lost pack of trees makes the sums a least; a lost index leaves them out. Both end with 0 and say what to do."""
    lab = filled
    whole = lab.json("stats")["tiers"][0]["space"]
    with lab.house() as built:
        trees = built.context.hot.trees()
        without = {pack for pack in trees.packs() if pack not in trees.data_only_packs()}
    repository = lab.store / lab.namespace / "hot"
    lost = next(path for path in repository.glob("data/*/*") if path.name in without)
    kept = lost.read_bytes()
    lost.unlink()
    env = {"RESTIC_CACHE_DIR": str(lab.folder / "other-cache")}
    report = lab.json("stats", env=env)
    space = report["tiers"][0]["space"]
    assert space["lost"] > 0 and space["stored"] < whole["stored"] and "rw verify" in report["notes"][0]
    lost.write_bytes(kept)
    for index in repository.glob("index/*"):
        index.write_bytes(b"garbage" + index.read_bytes())
    report = lab.json("stats", env={"RESTIC_CACHE_DIR": str(lab.folder / "third-cache")})
    assert report["tiers"][0]["space"]["stored"] is None and report["notes"]


def test_without_the_catalogue(filled: Lab) -> None:
    error = filled.json("stats", code=1, env={"RW_CATALOG_URL": "sqlite:////dev/null/none.sqlite"})["error"]
    assert error["kind"] == "CatalogUnavailable"


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_on_a_bucket(kind: str, make_lab: MakeLab) -> None:
    """There is no disk there that could be full."""
    lab = make_lab(kind)
    lab.write("exams/a", os.urandom(5000))
    lab.rw("backup", "--domain", "exams")
    report = lab.json("stats")
    assert report["limits"] == [] and report["tiers"][0]["space"]["stored"] > 5000
