"""The reader of trees against what restic wrote: every version, cached and not, sound and damaged."""

import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from resticwrap.errors import Damaged, ObjectMissing, ResticFailed
from resticwrap.model.objects import Entry, content_id
from resticwrap.restic.crypto import MasterKey, chunker_fingerprint
from resticwrap.restic.find import contents_by_find, entries_from_find, find_arguments
from resticwrap.restic.repofiles import CacheThenStore, StoreFiles
from resticwrap.restic.trees import TreeReader
from resticwrap.storage.local import LocalStore
from tests.handmade import cheap_key


@dataclass(frozen=True)
class Lab:
    """A repository, its cache and its source."""

    restic: Path
    root: Path

    def run(self, *arguments: str | bytes, check: bool = True) -> bytes:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "RESTIC_PASSWORD": "test",
            "RESTIC_CACHE_DIR": str(self.root / "cache"),
            "RESTIC_REPOSITORY": str(self.root / "repo"),
        }
        done = subprocess.run(
            [str(self.restic), *arguments], cwd=self.root, env=env, check=check, stdout=-1, stderr=-1, timeout=60
        )
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json", "--no-lock"))

    def backup(self, name: str, *more: str) -> str:
        """The tree of the snapshot."""
        lines = self.run("backup", "--json", "--quiet", *more, name).splitlines()
        return str(self.json("snapshots", json.loads(lines[-1])["snapshot_id"])[0]["tree"])

    def snapshot_of(self, tree: str) -> str:
        return next(str(one["id"]) for one in self.json("snapshots") if one["tree"] == tree)

    @property
    def cache(self) -> Path:
        return next(path for path in (self.root / "cache").iterdir() if path.is_dir())

    def reader(self, *, no_cache: bool = False) -> TreeReader:
        key = MasterKey.from_json(self.run("cat", "masterkey", "--no-lock"))
        store = LocalStore(self.root)
        files = StoreFiles(store, "repo") if no_cache else CacheThenStore(self.cache, store, "repo")
        polynomial = self.json("cat", "config")["chunker_polynomial"]
        return TreeReader(files, key, chunker_fingerprint(polynomial))

    def packs_of(self, tree: str, kind: str) -> set[str]:
        """The packs that hold trees or data."""
        reader = self.reader()
        return {pack for pack in reader.packs() if any(blob.kind == kind for blob in reader.blobs_in([pack]))}

    def stored(self, pack: str) -> Path:
        return self.root / "repo" / "data" / pack[:2] / pack

    def cached(self, pack: str) -> Path:
        return self.cache / "data" / pack[:2] / pack

    def copy(self, to: Path) -> "Lab":
        """A copy to be broken."""
        subprocess.run(["cp", "-a", f"{self.root}/.", str(to)], check=True)
        return Lab(self.restic, to)


ODD_NAMES = [b"new\nline", b"bad\xff\xfe", b'quo"te', b"back\\slash", "ünï😀\u200b\u00ad".encode(), b"\x01\x7f", b"<&>"]


def write_source(source: Path) -> None:
    (source / "deep" / "er").mkdir(parents=True)
    (source / "small").write_bytes(b"small")
    (source / "empty").touch()
    dice = random.Random(1)
    (source / "deep" / "large").write_bytes(dice.randbytes(5_000_000))
    (source / "deep" / "zeros").write_bytes(bytes(9_000_000))
    (source / "deep" / "er" / "twin").write_bytes(b"small")
    os.link(source / "small", source / "hard")
    os.symlink("small", source / "link")
    os.symlink(b"to\xff\n", os.fsencode(source) + b"/odd-link")
    os.mkfifo(source / "pipe")
    for name in ODD_NAMES:
        with open(os.fsencode(source) + b"/deep/" + name, "wb") as file:
            file.write(name * 3)
    (source / "small").chmod(0o4711)
    (source / "deep").chmod(0o1755)
    os.utime(source / "empty", ns=(0, 1_234_567_890_123_456_789))
    (source / "linked").mkdir()
    (source / "linked-too").mkdir()
    for number in range(3):
        (source / "linked" / str(number)).write_bytes(b"%d" % number)
        os.link(source / "linked" / str(number), source / "linked-too" / str(number))


@pytest.fixture(scope="module")
def pristine(either_restic: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, str]:
    """A repository with one snapshot of everything, and its tree. Made once; not to be changed."""
    lab = Lab(either_restic, tmp_path_factory.mktemp("trees"))
    lab.run("init")
    cheap_key(lab.root / "repo", "test", lab.run("cat", "masterkey"))
    write_source(lab.root / "source")
    return lab, lab.backup("source")


@pytest.fixture
def lab(pristine: tuple[Lab, str], tmp_path: Path) -> tuple[Lab, str]:
    """A copy that a test may change."""
    return pristine[0].copy(tmp_path), pristine[1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def on_disk(root: Path, path: bytes) -> bytes:
    return os.fsencode(root) + b"/" + path


@pytest.mark.parametrize("no_cache", [False, True])
def test_walk_tells_what_is_on_disk(pristine: tuple[Lab, str], no_cache: bool) -> None:
    """Every path, kind, size, mode, time, owner, link and content id, odd names included."""
    lab, tree = pristine
    reader = lab.reader(no_cache=no_cache)
    entries = {entry.path: entry for entry in reader.walk(tree)}
    expected = {b"source"}
    for folder, folders, files in os.walk(os.fsencode(lab.root / "source")):
        expected |= {os.path.relpath(os.path.join(folder, name), os.fsencode(lab.root)) for name in folders + files}
    assert set(entries) == expected
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
    for path, entry in entries.items():
        found = os.lstat(on_disk(lab.root, path))
        assert entry.kind == kinds[stat.S_IFMT(found.st_mode)]
        assert entry.mode == stat.S_IMODE(found.st_mode)
        assert entry.mtime == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=found.st_mtime_ns // 1000)
        assert (entry.uid, entry.gid, entry.inode) == (found.st_uid, found.st_gid, found.st_ino)
        if entry.kind == "file":
            assert (entry.size, entry.links) == (found.st_size, found.st_nlink)
            check_content(reader, entry, on_disk(lab.root, path))
        if entry.kind == "symlink":
            assert entry.link == os.readlink(on_disk(lab.root, path))
        assert bool(entry.subtree) == (entry.kind == "dir")


def check_content(reader: TreeReader, entry: Entry, path: bytes) -> None:
    """The blobs in order are the file: each hashes to its id."""
    content = Path(os.fsdecode(path)).read_bytes()
    lengths = reader.blob_lengths(entry.content)
    at = 0
    for blob in entry.content:
        assert sha256(content[at : at + lengths[blob]]) == blob
        at += lengths[blob]
    assert at == len(content) == entry.size
    if len(entry.content) <= 1:
        assert content_id(entry.content, reader.chunker) == "sha256:" + sha256(content)
    else:
        assert content_id(entry.content, reader.chunker).startswith("blobs:")


def test_agrees_with_ls_and_find(lab: tuple[Lab, str]) -> None:
    """restic's own `find` and `ls` give the same entries, but for link targets and counts of links."""
    here, tree = lab
    with pytest.raises(ResticFailed):  # names that are not UTF-8
        list(second_way(here, tree))
    (here.root / "tidy").mkdir()
    for name in ("small", "hard", "empty", "link", "pipe", "deep/large", "deep/zeros", "linked", "linked-too"):
        os.renames(here.root / "source" / name, here.root / "tidy" / name)
    tidy = here.backup("tidy")
    walked = [
        Entry(
            path=entry.path,
            kind=entry.kind,
            size=entry.size,
            mode=entry.mode,
            mtime=entry.mtime,
            uid=entry.uid,
            gid=entry.gid,
            content=entry.content,
            inode=entry.inode,
        )
        for entry in here.reader().walk(tidy)
    ]
    assert list(second_way(here, tidy)) == walked
    assert len(next(entry.content for entry in walked if entry.path == b"tidy/deep/zeros")) > 1


def second_way(lab: Lab, tree: str) -> Iterator[Entry]:
    snapshot = lab.snapshot_of(tree)
    packs = lab.run("list", "packs").decode().split()
    found = lab.run(*find_arguments(snapshot, packs), "--json")
    return entries_from_find(found, lab.run("ls", "--json", snapshot))


def test_packs_and_blobs_agree_with_restic(lab: tuple[Lab, str]) -> None:
    """Pack sizes are those of the files; the blobs of all packs are those that restic lists."""
    here, _ = lab
    for number in range(3):
        (here.root / "source" / f"more{number}").write_bytes(random.Random(number).randbytes(700_000))
        here.backup("source")
    reader = here.reader(no_cache=True)
    packs = reader.packs()
    assert packs == {path.name: path.stat().st_size for path in (here.root / "repo" / "data").glob("*/*")}
    listed = sorted(line.split() for line in here.run("list", "blobs").decode().splitlines())
    assert sorted([blob.kind, blob.id] for blob in reader.blobs_in(packs)) == listed


def test_uncompressed_repository(either_restic: Path, tmp_path: Path) -> None:
    """The older format of repositories, without compression: the same entries, and pack sizes hold as well."""
    lab = Lab(either_restic, tmp_path)
    lab.run("init", "--repository-version", "1")
    cheap_key(lab.root / "repo", "test", lab.run("cat", "masterkey"))
    write_source(lab.root / "source")
    tree = lab.backup("source")
    reader = lab.reader()
    for entry in reader.walk(tree):
        if entry.kind == "file":
            check_content(reader, entry, on_disk(lab.root, entry.path))
    assert reader.packs() == {path.name: path.stat().st_size for path in (tmp_path / "repo" / "data").glob("*/*")}


def test_changes_agree_with_diff(lab: tuple[Lab, str]) -> None:
    """What was added, removed, rewritten, silently changed, touched and replaced, as `restic diff` has it."""
    here, old = lab
    source = here.root / "source"
    before = os.stat(source / "deep" / "large")
    with (source / "deep" / "large").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"rot")
    os.utime(source / "deep" / "large", ns=(before.st_atime_ns, before.st_mtime_ns))
    (source / "deep" / "er" / "twin").write_bytes(b"other")
    (source / "added" / "below").mkdir(parents=True)
    (source / "added" / "below" / "file").write_bytes(b"new")
    shutil.rmtree(source / "linked-too")
    (source / "empty").chmod(0o600)
    (source / "link").unlink()
    (source / "link").write_bytes(b"now a file")
    os.unlink(os.fsencode(source) + b"/deep/" + ODD_NAMES[1])
    new = here.backup("source", "--force")
    found = {change.path: change for change in here.reader().changes(old, new)}
    kinds = {path: change.what for path, change in found.items() if change.what != "metadata"}
    assert kinds == {
        b"source/added": "added",
        b"source/added/below": "added",
        b"source/added/below/file": "added",
        b"source/deep/" + ODD_NAMES[1]: "removed",
        b"source/deep/er/twin": "changed",
        b"source/deep/large": "bitrot",
        b"source/link": "changed",
        b"source/linked-too": "removed",
        **{b"source/linked-too/%d" % number: "removed" for number in range(3)},
    }
    assert found[b"source/empty"].what == "metadata"
    assert list(found) == sorted(found, key=lambda path: path.split(b"/"))
    letters = {"added": "+", "removed": "-", "changed": "M", "bitrot": "M"}
    ours = {(letters[what], path.decode("utf-8", "replace")) for path, what in kinds.items() if path != b"source/link"}
    lines = here.run("diff", "--json", here.snapshot_of(old), here.snapshot_of(new)).splitlines()
    theirs = {
        (line["modifier"].strip("?"), line["path"].strip("/"))
        for line in map(json.loads, lines)
        if line["message_type"] == "change" and line["path"] != "/source/link"
    }
    # restic puts one mark for each byte that is not UTF-8, Python one for several: compare without them.
    assert {(mark, path.replace("\ufffd", "")) for mark, path in ours} == {
        (mark, path.replace("\ufffd", "")) for mark, path in theirs
    }


def test_affected_agrees_with_find(pristine: tuple[Lab, str]) -> None:
    """The paths that need a blob are those that `restic find --blob` names."""
    lab, tree = pristine
    reader = lab.reader()
    blob = sha256(b"small")
    hits = lab.json("find", "--blob", blob)
    theirs = {hit["path"].strip("/").encode() for hit in hits if hit["object_type"] == "blob"}
    ours = list(reader.affected([tree], frozenset([blob]))[tree])
    assert sorted(ours) == sorted(theirs) == [b"source/deep/er/twin", b"source/hard", b"source/small"]


def rot(path: Path) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    for at in range(0, len(content), 20):
        content[at] ^= 1
    path.write_bytes(content)


def walk(reader: TreeReader, tree: str) -> list[Entry]:
    return list(reader.walk(tree))


def test_damage_is_healed_from_the_store_or_told(lab: tuple[Lab, str]) -> None:
    """A rotten, torn or missing cache changes nothing; with the store rotten too it is Damaged, then ObjectMissing."""
    here, tree = lab
    sound = walk(here.reader(), tree)
    packs = here.packs_of(tree, "tree")
    for pack in packs:
        rot(here.cached(pack))
    for index in (here.cache / "index").glob("*/*"):
        rot(index)
    assert walk(here.reader(), tree) == sound
    for pack in packs:
        here.cached(pack).write_bytes(b"torn")
    assert walk(here.reader(), tree) == sound
    for pack in packs:
        rot(here.stored(pack))
    with pytest.raises(Damaged):
        walk(here.reader(), tree)
    with pytest.raises(Damaged):
        walk(here.reader(no_cache=True), tree)
    for pack in packs:
        here.stored(pack).unlink()
    with pytest.raises(ObjectMissing):
        walk(here.reader(no_cache=True), tree)
    assert list(here.reader().affected([tree], frozenset())[tree]) == [b"/"]


def test_cost_of_a_lost_pack(lab: tuple[Lab, str]) -> None:
    """With a pack of data gone, the blobs in it and the paths that need them are known, from the cache alone too."""
    here, tree = lab
    data = here.packs_of(tree, "data")
    for pack in data | here.packs_of(tree, "tree"):
        here.stored(pack).unlink()
    reader = here.reader()
    lost = frozenset(blob.id for blob in reader.blobs_in(data))
    paths = reader.affected([tree], lost)[tree]
    assert set(paths) == {entry.path for entry in reader.walk(tree) if entry.content}
    assert len(paths) == len(list(paths))


def test_content_survives_copy(lab: tuple[Lab, str]) -> None:
    """A tree keeps its id, and its content ids, in a repository that a snapshot was copied to."""
    here, tree = lab
    cold = here.root / "cold"
    (here.root / "password").write_text("test")
    source = ("--from-repo", "repo", "--from-password-file", "password")
    here.run("-r", str(cold), "init", *source, "--copy-chunker-params")
    here.run("-r", str(cold), "copy", *source, here.snapshot_of(tree))
    key = MasterKey.from_json(here.run("-r", str(cold), "cat", "masterkey"))
    polynomial = json.loads(here.run("-r", str(cold), "cat", "config"))["chunker_polynomial"]
    reader = TreeReader(StoreFiles(LocalStore(cold), ""), key, chunker_fingerprint(polynomial))
    assert reader.chunker == here.reader().chunker
    assert walk(reader, tree) == walk(here.reader(), tree)


def test_stale_cache_after_prune(lab: tuple[Lab, str]) -> None:
    """After a prune by another machine our cache names packs that are gone; the store's index is what counts."""
    here, _ = lab
    shutil.rmtree(here.root / "source" / "deep")
    tree = here.backup("source")
    sound = walk(here.reader(), tree)
    shutil.copytree(here.cache, here.root / "kept")
    here.run("forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--quiet")
    shutil.rmtree(here.cache)
    shutil.copytree(here.root / "kept", here.root / "cache" / "stale")
    reader = here.reader()
    assert walk(reader, tree) == sound
    assert set(reader.packs()) == {path.name for path in (here.root / "repo" / "data").glob("*/*")}


def test_find_lists_every_blob(pristine: tuple[Lab, str]) -> None:
    """`find` given all packs agrees on every single content, repeats included, where names can be printed."""
    lab, tree = pristine
    packs = lab.run("list", "packs").decode().split()
    output = lab.run(*find_arguments(lab.snapshot_of(tree), packs), "--json")
    printable = [hit for hit in json.loads(output) if "\ufffd" not in hit["path"]]
    contents = contents_by_find(json.dumps(printable, separators=(",", ":")).encode())
    walked = {entry.path: entry.content for entry in walk(lab.reader(), tree) if entry.content}
    assert contents == {path: content for path, content in walked.items() if ODD_NAMES[1] not in path}
