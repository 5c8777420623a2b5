"""Manifests: what they say, what they keep to themselves, what they cost, and where they wait for a target."""

import base64
import dataclasses
import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.errors import Damaged, ResticFailed
from resticwrap.ports import StateFiles
from resticwrap.restic.crypto import chunker_fingerprint
from resticwrap.restic.repository import ResticRepository
from resticwrap.restic.trees import TreeReader
from resticwrap.services import backup
from tests.broken import faulty_restic
from tests.conftest import MakeLab
from tests.lab import RAW, SERVING, Lab
from tests.servers.oss import OssServer

NAME = "pruefling-mueller-7731"


def stored(lab: Lab) -> dict[str, bytes]:
    """Every object of the store."""
    with lab.house() as built:
        return {item.key: built.store.get(item.key) for item in built.store.list("")}


def shown(lab: Lab, job: str = "latest", *more: str) -> tuple[Any, dict[str, Any]]:
    """A manifest and its objects by path."""
    first, *rows = lab.rw("manifest", "show", job, "--json", *more).lines
    return first, {f"{row['domain']}/{row['path']}": row for row in rows}


def test_object_list(any_lab: Lab) -> None:
    """The list names every file with its size and the sha256 of its bytes, on every kind of target."""
    lab = any_lab
    lab.domains["exams"]["schema"] = {"kind": "exam_sheet", "version": 3}
    lab.write_policies()
    lab.fill("exams", 3)
    lab.write("profiles/sub/anna.json", '{"name": "Anna"}')
    lab.write("profiles/empty", b"")
    odd = os.path.join(os.fsencode(lab.data), b"profiles", b"odd-\xff\n")
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    job = lab.json("backup")["job"]
    manifest, rows = shown(lab)
    assert manifest["job_id"] == job["id"] and manifest["target_provider"] == lab.target["provider"]
    assert manifest["snapshot_type"] == "incremental" and manifest["started_at"] <= manifest["finished_at"]
    assert manifest["schema_versions"] == {"exams": {"exam_sheet": 3}}
    assert {"resticwrap", "restic"} <= manifest["tool_versions"].keys()
    assert len(rows) == 6
    for path, row in rows.items():
        raw = base64.b64decode(row["path_b64"]) if row.get("path_b64") else row["path"].encode()
        content = Path(os.fsdecode(os.path.join(os.fsencode(lab.data), row["domain"].encode(), raw))).read_bytes()
        assert row["size"] == len(content), path
        assert row["content_id"] == f"sha256:{hashlib.sha256(content).hexdigest()}", path
    assert [row["path_b64"] for row in rows.values() if row.get("path_b64")] == [
        base64.b64encode(b"odd-\xff\n").decode()
    ]
    back = lab.folder / "back"
    lab.rw(*manifest["restore_entrypoint"].replace("FOLDER", str(back)).split()[1:])
    assert (back / "profiles" / "sub" / "anna.json").read_text() == '{"name": "Anna"}'
    assert shown(lab, job["id"], "--domain", "exams")[1].keys() == {k for k in rows if k.startswith("exams/")}


def test_sealed_keeps_names(lab: Lab) -> None:
    """Sealed: no file name stands in clear anywhere in the store, and the list is to be had all the same."""
    lab.write(f"profiles/{NAME}/{NAME}.json", NAME)
    lab.rw("backup")
    lab.write(f"profiles/{NAME}-2.json", NAME)
    lab.rw("backup")
    for key, content in stored(lab).items():
        assert NAME.encode() not in content and NAME not in key
    manifest, rows = shown(lab)
    assert manifest["object_list"]["mode"] == "sealed" and not manifest["object_list"].get("objects")
    assert f"profiles/{NAME}/{NAME}.json" in rows


def test_sealed_keeps_names_of_what_went_wrong(lab: Lab) -> None:
    """Rotten and missed files and what a failure says of them stay on their machine; how many there were does not."""
    rotten = lab.write(f"exams/{NAME}.bin", b"a" * 3000)
    lab.write("profiles/anna.json", "{}")
    lab.domains["other"] = lab.files(f"{NAME}/other", SERVING)
    lab.write(f"{NAME}/other/x", "x")
    lab.write_policies()
    lab.rw("backup")
    stat = rotten.stat()
    rotten.write_bytes(b"b" * 3000)
    os.utime(rotten, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (lab.data / NAME / "other").rename(lab.data / "away")
    said = (
        f'echo \'{{"message_type":"error","error":{{"message":"input/output error"}},"during":"archival",'
        f'"item":"/{NAME}-missed"}}\' >&2; restic "$@"; exit 3'
    )
    odd = faulty_restic(lab, f'case "$*" in *domain=profiles*) {said};; esac')
    job = lab.json("backup", "--type", "full", code=3, env=odd)["job"]
    runs = {run["domain"]: run for run in job["domains"]}
    assert runs["exams"]["bitrot"] and NAME in runs["other"]["error"]["message"]
    assert NAME in runs["profiles"]["missed"][0]
    for key, content in stored(lab).items():
        assert NAME.encode() not in content and NAME not in key
    manifest, _ = shown(lab, job["id"], "--no-objects")
    told = {one["run"]["domain"]: one["run"] for one in manifest["domains"]}
    assert (told["exams"]["bitrot_count"], told["profiles"]["missed_count"]) == (1, 1)
    assert (told["other"]["error"]["kind"], told["other"]["error"]["exit_code"]) == ("NotFound", 1)

    def recorded() -> dict[str, Any]:
        with lab.house() as built:
            known = built.catalog.job(job["id"])
            assert known is not None
            return {run.domain: (run.outcome, run.missed, run.bitrot, run.error) for run in known.domains}

    # A rebuild brings back what there is to be had, and takes nothing from a catalogue that knows more.
    whole = recorded()
    lab.rw("catalog", "rebuild")
    assert recorded() == whole and NAME in str(whole)
    lab.copy_state_away()
    lab.rw("catalog", "rebuild")
    assert {name: one[0] for name, one in recorded().items()} == {name: one[0] for name, one in whole.items()}


def test_plain_publishes_the_change(make_lab: MakeLab) -> None:
    """Plain: whole with a full, the change in between."""
    lab = make_lab("local", manifests="plain")
    lab.domains = {"profiles": lab.files("profiles", SERVING)}
    lab.write_policies()
    for name in ("a", "b", "c"):
        lab.write(f"profiles/{name}", name)

    def listed() -> tuple[bool, list[str], list[str]]:
        found = shown(lab, "latest", "--no-objects")[0]["object_list"]
        return found["whole"], [o["path"] for o in found["objects"]], [o["path"] for o in found.get("removed", [])]

    lab.rw("backup")
    assert listed() == (True, ["a", "b", "c"], [])
    lab.write("profiles/b", "other")
    lab.write("profiles/d", "new")
    (lab.data / "profiles" / "a").unlink()
    lab.rw("backup")
    assert listed() == (False, ["b", "d"], ["a"])
    lab.rw("backup")
    assert listed() == (False, [], [])
    lab.rw("backup", "--type", "full")
    assert listed() == (True, ["b", "c", "d"], [])
    assert sorted(shown(lab)[1]) == ["profiles/b", "profiles/c", "profiles/d"]


def test_costs_by_the_change(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed file in a hundred folders costs the trees on the way to it, in two snapshots, and no more."""
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    for number in range(100):
        lab.write(f"exams/{number % 10}/{number}/file", str(number))
    lab.rw("backup")
    lab.write("exams/3/33/file", "changed")
    read: list[str] = []
    original = TreeReader._nodes_of

    def counted(self: TreeReader, tree: bytes) -> Any:
        read.append(tree.hex())
        return original(self, tree)

    monkeypatch.setattr(TreeReader, "_nodes_of", counted)
    with lab.house() as built:
        plan = backup.plan(built.context, "incremental", built.settings.domains)
        report = backup.backup(built.context, plan)
    assert report.job.domains[0].files_changed == 1
    # Four levels (above the root, root, 3, 33) in two snapshots, and the root's own once more to see that it is there.
    assert len(read) <= 10


def test_kept_until_it_can_be_written(make_lab: MakeLab, oss: OssServer) -> None:
    """A manifest that the target refuses makes the job partial, is kept, and is written by the next job."""
    lab = make_lab("oss")
    lab.fill()
    oss.fail_next(50, 403, "AccessDenied", method="PUT", contains="backup_manifest")
    try:
        report = lab.json("backup", code=3)
    finally:
        oss.clear()
    first = report["job"]["id"]
    assert any("manifest" in warning for warning in report["warnings"]) and report["job"].get("manifest") is None
    assert all(run["outcome"] == "ok" for run in report["job"]["domains"])
    assert any("manifest" in note for note in lab.json("status")["notes"])
    assert not any("backup_manifest" in key for key in stored(lab))
    lab.rw("backup")
    assert shown(lab, first)[0]["job_id"] == first
    assert not any("manifest" in note for note in lab.json("status")["notes"])


class Full:
    """A state directory that takes nothing more of some things."""

    def __init__(self, state: StateFiles, *what: str) -> None:
        self._state, self._what = state, what

    def __getattr__(self, name: str) -> Any:
        return self._no_room if name in self._what else getattr(self._state, name)

    def _no_room(self, *_: object) -> None:
        raise errors.DiskFull("There is no room left for it.")


@pytest.mark.parametrize("what", [("keep",), ("put_latest",), ("keep", "put_latest", "kept", "drop")])
def test_a_full_state_directory_keeps_none_out_of_the_target(lab: Lab, what: tuple[str, ...]) -> None:
    """The manifest is written where there is room: in the target."""
    lab.fill()
    with lab.house() as built:
        context = dataclasses.replace(built.context, state=cast(StateFiles, Full(built.state, *what)))
        plan = backup.plan(context, "incremental", built.settings.domains)
        report = backup.backup(context, plan)
    assert report.job.outcome == "ok" and report.job.manifest
    assert shown(lab, report.job.id)[0]["outcome"] == "ok"
    assert any("no room" in warning for warning in report.warnings) == ("put_latest" in what)
    assert lab.json("backup")["warnings"] == []


def test_the_chunker_cannot_be_guessed(lab: Lab) -> None:
    """Nothing in the target or in the pins is a digest of the polynomial alone."""
    lab.fill()
    lab.rw("backup")
    polynomial = json.loads(lab.bare("cat", "config").stdout)["chunker_polynomial"]
    pins = json.loads((lab.state / "pins" / "main.json").read_text())
    assert pins["hot"]["chunker"] != pins["cold"]["chunker"], "one chunker under two keys"
    weak = chunker_fingerprint(polynomial).encode()
    kept = [file.read_bytes() for file in (lab.state / "pins").iterdir()]
    assert not any(weak in content for content in (*kept, *stored(lab).values()))
    assert shown(lab)[0]["chunker"] == pins["hot"]["chunker"]


def test_reader_agrees_with_restic(make_lab: MakeLab, either_restic: Path) -> None:
    """Our reader of trees and restic's own `find` give the same list."""
    lab = make_lab("local", restic=either_restic)
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 4)
    lab.write("exams/large.bin", secrets.token_bytes(5_000_000))
    lab.write("exams/sub dir/ünïcode [x]*.txt", "x")
    lab.write("exams/empty", b"")
    (lab.data / "exams" / "link").symlink_to("empty")
    lab.rw("backup")
    with lab.house() as built:
        hot = built.context.hot
        assert isinstance(hot, ResticRepository)
        (snapshot,) = hot.snapshots()

        def told(entries: Any) -> dict[bytes, Any]:
            return {e.path: (e.kind, e.size, e.mode, e.mtime, e.content) for e in entries}

        ours, theirs = told(hot.entries(snapshot.id, snapshot.tree)), told(hot.entries_by_find(snapshot.id))
    assert ours == theirs and len(ours[b"exams/large.bin"][-1]) > 1


def test_where_the_reader_fails(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever folder our reader fails, restic's own `find` tells the rest, and nothing twice; where restic cannot
    either, it is the reader's failure that is told."""
    for path in ("a", "b/c", "b/d/e", "f/g", "h"):
        lab.write(f"exams/{path}.json", path)
    lab.rw("backup", "--domain", "exams")
    whole = TreeReader._nodes_of
    with lab.house() as built:
        hot = built.context.hot
        assert isinstance(hot, ResticRepository)
        (snapshot,) = hot.snapshots()
        expected = [entry.path for entry in hot.entries(snapshot.id, snapshot.tree)]
        for left in range(6):
            folders = itertools.count()

            def fails(
                self: TreeReader, tree: bytes, folders: Iterator[int] = folders, left: int = left
            ) -> Iterator[Any]:
                if next(folders) >= left:
                    raise Damaged("The reader does not understand it.")
                return whole(self, tree)

            monkeypatch.setattr(TreeReader, "_nodes_of", fails)
            assert [entry.path for entry in hot.entries(snapshot.id, snapshot.tree)] == expected
        monkeypatch.setattr(ResticRepository, "entries_by_find", refused)
        with pytest.raises(Damaged, match="does not understand"):
            list(hot.entries(snapshot.id, snapshot.tree))


def refused(*_: object) -> Iterator[Any]:
    """restic's own way, where that fails too."""
    yield from [][:]
    raise ResticFailed("restic find failed.")


def test_unknown_job(lab: Lab) -> None:
    """A job that nobody knows, and `latest` before the first backup, are told."""
    for job in ("snapshot_20250101T000000Z_abcdef", "nonsense", "latest"):
        run = lab.rw("manifest", "show", job, "--json", code=1)
        assert run.json["error"]["kind"] == "NotFound" and run.json["error"]["hint"]
