"""Repositories that are damaged: what `rw verify` says of it, what it costs, and whether its advice heals it."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.broken import flip, refused, repository_files
from tests.conftest import MakeLab
from tests.lab import RAW, Lab, tree


def damaged_lab(make_lab: MakeLab, **more: Any) -> Lab:
    """One domain with two backups."""
    lab = make_lab("local", **more)
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 4)
    lab.rw("backup")
    return lab


def packs(lab: Lab) -> dict[str, list[Path]]:
    """The packs of `hot` by what is in them: data or tree."""
    found: dict[str, list[Path]] = {"data": [], "tree": []}
    by_name = {file.name: file for file in repository_files(lab, "data")}
    for index in repository_files(lab, "index"):
        for pack in json.loads(lab.bare("cat", "index", index.name).stdout)["packs"]:
            found[pack["blobs"][0]["type"]].append(by_name[pack["id"]])
    return found


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    """Lose the end, as a torn write does."""
    content = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(content[: len(content) // 2])


def flip_start(file: Path) -> None:
    flip(file, 20)


PACKS = {
    "flipped data": ("data", flip_start, "pack_damaged"),
    "flipped tree": ("tree", flip_start, "pack_damaged"),
    "missing data": ("data", remove, "pack_missing"),
    "missing tree": ("tree", remove, "pack_missing"),
    "cut data": ("data", cut, "pack_truncated"),
}


def heal(lab: Lab, advice: list[str]) -> None:
    """Follow an advice to the letter: what is a command is run; nothing can be brought back from elsewhere."""
    for line in advice:
        words = shlex.split(line.partition("   (")[0].replace("'s cache", "s cache"))
        if words[0] == "restic" and words[1] in ("repair",):
            lab.bare(*words[1:])
        elif words[0] == "rw":
            lab.rw(*words[1:])


@pytest.mark.parametrize(
    ("what", "warm"), [*((name, True) for name in PACKS), ("flipped tree", False), ("missing tree", False)]
)
def test_packs(make_lab: MakeLab, what: str, warm: bool) -> None:
    """A damaged, cut or lost pack is named with what it costs, cache or no cache, and the advice heals it."""
    kind_of_pack, break_it, expected = PACKS[what]
    lab = damaged_lab(make_lab)
    (pack, *_) = packs(lab)[kind_of_pack]
    before = tree(lab.data)
    break_it(pack)
    if not warm:
        lab.env["RESTIC_CACHE_DIR"] = str(lab.folder / "other-cache")
    lab.write_policies()
    report = lab.json("verify", "--share", "1", code=20)
    (damage,) = report["damages"]
    assert (damage["kind"], damage["name"]) == (expected, pack.name)
    snapshots = [row["snapshot"]["original"] for row in lab.json("snapshots")]
    assert damage["snapshots"] == snapshots
    assert damage["files"] == (4 if kind_of_pack == "data" else 1)
    assert all("exams/exam_00" in path for path in damage["paths"]) or damage["paths"] == ["/"]
    assert not report["proven"] and not report["ok"]
    heal(lab, damage["advice"])
    healed = lab.json("verify", "--share", "1")
    assert healed["ok"] and healed["proven"]
    lab.rw("restore", "--to", "back")
    assert tree(lab.folder / "back") == {name: node for name, node in before.items() if name.startswith("exams")}
    lab.bare("check", "--read-data")


def test_shown_to_people(make_lab: MakeLab) -> None:
    """Without --json the same is readable: the pack, the snapshot, the files, what to do."""
    lab = damaged_lab(make_lab)
    (pack, *_) = packs(lab)["data"]
    flip_start(pack)
    run = lab.rw("verify", "--share", "1", code=20)
    said = " ".join(run.out.split())
    assert pack.name[:8] in said and "exam_000.bin" in said and "restic repair packs" in said
    assert lab.json("status")["tiers"][0]["last_verify_ok"] is False


def test_index(make_lab: MakeLab) -> None:
    """A damaged index and a lost one are told, and `repair index` heals both."""
    for break_it in (flip, remove):
        lab = damaged_lab(make_lab)
        (index, *_) = repository_files(lab, "index")
        break_it(index)
        report = lab.json("verify", "--share", "1", code=20)
        (damage,) = report["damages"]
        assert damage["kind"] == "index" and "restic repair index" in damage["advice"]
        heal(lab, damage["advice"])
        assert lab.json("verify", "--share", "1")["ok"]
        assert lab.json("backup")["job"]["outcome"] == "ok"


def test_snapshot(make_lab: MakeLab) -> None:
    """A damaged snapshot, and the newest one of a domain gone, are told by name."""
    for break_it in (flip, remove):
        lab = damaged_lab(make_lab)
        (snapshot,) = repository_files(lab, "snapshots")
        whole = snapshot.read_bytes()
        break_it(snapshot)
        report = lab.json("verify", "--share", "1", code=20)
        (damage,) = report["damages"]
        assert (damage["kind"], damage["name"]) == ("snapshot", snapshot.name)
        assert any("rw backup" in line for line in damage["advice"])
        # The first advice: it comes back from somewhere.
        snapshot.write_bytes(whole)
        assert lab.json("verify", "--share", "1")["ok"]
        # The second: it cannot be had, and is taken out.
        snapshot.unlink()
        heal(lab, damage["advice"])
        assert lab.json("verify", "--share", "1")["ok"]


@pytest.mark.parametrize("kind", ["config", "key"])
def test_what_opens_it(make_lab: MakeLab, kind: str) -> None:
    """A damaged config or key is told apart from a wrong password; brought back, all is well."""
    lab = damaged_lab(make_lab)
    if kind == "config":
        file = lab.store / lab.namespace / "hot" / "config"
    else:
        (file,) = repository_files(lab, "keys")
    whole = file.read_bytes()
    for break_it in (flip, remove) if kind == "key" else (flip,):
        break_it(file)
        report = lab.json("verify", "--share", "1", code=20)
        (damage,) = report["damages"]
        assert damage["kind"] == kind and damage["advice"] and report["notes"]
        refused_backup = lab.rw("backup", "--json", code=None)
        assert refused_backup.code in (1, 12, 20)
        file.unlink(missing_ok=True)
        file.write_bytes(whole)
    lab.rw("verify", "--share", "1")
    lab.rw("backup")


def test_wrong_password_is_no_damage(make_lab: MakeLab) -> None:
    """With a wrong password nothing is verified, and nothing is called damaged."""
    lab = damaged_lab(make_lab)
    wrong = lab.folder / "wrong"
    wrong.write_text("something else")
    refused(lab, "verify", code=12, kind="WrongPassword", env={"RESTIC_PASSWORD_FILE": str(wrong)})


# What a verify covers


def test_clean(make_lab: MakeLab) -> None:
    """A clean repository is said to be so, and what was sampled is proven."""
    lab = damaged_lab(make_lab)
    report = lab.json("verify", "--share", "1")
    (row,) = lab.json("snapshots")
    assert (report["ok"], report["damages"], report["notes"]) == (True, [], [])
    assert report["proven"] == [row["snapshot"]["original"]] and row["proven_at"]
    assert report["coverage"]["packs_read"] == report["coverage"]["packs_total"] > 0
    (domain,) = lab.json("status")["domains"]
    assert domain["proven_at"]


def test_shares_cover_everything(make_lab: MakeLab) -> None:
    """Four verifies of a quarter each read every pack once, and status says so."""
    lab = damaged_lab(make_lab)
    for number in range(6):
        lab.write("exams/more.bin", bytes([number]) * 3000)
        lab.rw("backup")
    seen, read = set(), []
    for _ in range(4):
        report = lab.json("verify", "--share", "1/4", "--sample", "1")
        seen.add(report["bucket"])
        read.append(report["coverage"]["packs_read"])
    assert seen == {1, 2, 3, 4} and read == sorted(read)
    coverage = lab.json("status")["tiers"][0]["coverage"]
    assert coverage["packs_read"] == coverage["packs_total"] == len(repository_files(lab, "data"))
    assert coverage["bytes_read"] == coverage["bytes_total"]
    lab.write("exams/more.bin", b"written after it was read")
    lab.rw("backup")
    assert lab.json("verify", "--share", "1/256", "--sample", "1")["coverage"]["packs_read"] < len(
        repository_files(lab, "data")
    )


def test_sample_is_reproducible(make_lab: MakeLab) -> None:
    """The same seed samples the same files; each verify without one takes its own."""
    lab = damaged_lab(make_lab)
    lab.fill("exams", 30, 10)
    lab.rw("backup")

    def sampled(*more: str) -> list[str]:
        report = lab.json("verify", "--share", "1/64", "--sample", "5", *more)
        assert all(file["ok"] for file in report["sampled"])
        return [str(report["seed"]), *(file["path"] for file in report["sampled"])]

    first = sampled()
    assert sampled("--seed", first[0]) == first
    assert sampled("--seed", "7") != sampled("--seed", "8")


def test_nothing_to_restore(lab: Lab) -> None:
    """A repository without snapshots verifies, and says that nothing was restored or read."""
    report = lab.json("verify")
    assert report["sampled"] == report["proven"] == []
    assert any("no snapshot" in note for note in report["notes"])
    assert any("no pack" in note for note in report["notes"])


def test_only_confirmed_damage_counts(make_lab: MakeLab) -> None:
    """Damage that a second look does not find, as when a backup writes meanwhile, is no damage."""
    lab = damaged_lab(make_lab)
    (pack, *_) = packs(lab)["data"]
    hidden = pack.with_name("hidden")
    count = lab.folder / "count"
    # The first check meets a lost pack, which is back before the second one.
    wrapper = lab.folder / "restic-once"
    wrapper.write_text(
        "#!/bin/bash\n"
        f'for word in "$@"; do if [ "$word" = check ] && [ ! -e "{count}" ]; then\n'
        f'touch "{count}"; mv "{pack}" "{hidden}"; "{lab.restic}" "$@"; code=$?; mv "{hidden}" "{pack}"; exit $code\n'
        f'fi; done\nexec "{lab.restic}" "$@"\n'
    )
    wrapper.chmod(0o700)
    report: Mapping[str, Any] = lab.json("verify", "--share", "1", env={"RW_RESTIC": str(wrapper)})
    assert report["ok"] and count.exists()
    assert any("second look" in note for note in report["notes"])
