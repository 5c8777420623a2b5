"""The reader of trees on repositories made by hand: shapes and faults that restic itself does not make."""

import hashlib
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.errors import Damaged, ObjectMissing, ResticFailed
from resticwrap.ports import ObjectInfo, Trees
from resticwrap.restic.crypto import LARGE, MasterKey, chunker_fingerprint
from resticwrap.restic.find import contents_by_find, entries_from_find, find_arguments
from resticwrap.restic.index import Table
from resticwrap.restic.indexfile import OtherShape, split, whole
from resticwrap.restic.nodes import parse_time, permission_bits, read_nodes, same_instant, unquote
from resticwrap.restic.repofiles import BLOCK, CacheThenStore, StoreFiles
from resticwrap.restic.trees import TreeReader
from tests.handmade import KEY, HandmadeRepository, node, seal

# --- the key


def test_master_key_stays_secret() -> None:
    """Neither repr, str, pickle nor an error tells the key."""
    document = b'{"mac":{"k":"T01bjW2W/3G7te2p4ip3RA==","r":"4eRPMWD0v8btSzr3mqdRXg=="},"encrypt":"SECRET"}'
    assert repr(KEY) == str(KEY) == "MasterKey(***)"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(Damaged) as caught:
        MasterKey.from_json(document)
    assert "SECRET" not in repr(caught.value)
    assert caught.value.__cause__ is None


@given(plain=st.binary(max_size=200), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_damage(plain: bytes, at: int, bit: int) -> None:
    """What was sealed opens; with one bit flipped anywhere, or cut short, it never does."""
    sealed = bytearray(seal(plain))
    assert KEY.decrypt(bytes(sealed)) == plain
    with pytest.raises(Damaged):
        KEY.decrypt(bytes(sealed[:-1]))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(Damaged):
        KEY.decrypt(bytes(sealed))


def test_blob_must_hash_to_its_name() -> None:
    """A blob that decrypts well under another blob's name is damage."""
    with pytest.raises(Damaged):
        KEY.open_blob(seal(b"one"), hashlib.sha256(b"two").digest(), 0)
    with pytest.raises(Damaged):
        KEY.open_blob(seal(b"not zstd"), hashlib.sha256(b"not zstd").digest(), 8)


def test_chunker_fingerprint_is_fixed() -> None:
    """Content ids in old manifests depend on it: it must never change."""
    expected = hashlib.sha256(b"resticwrap chunker v1:21873deb084381").hexdigest()[:16]
    assert chunker_fingerprint("21873deb084381") == expected
    assert len(expected) == 16


# --- names and times


def go_quote(name: bytes, escape: list[bool]) -> str:
    """Go's strconv.Quote; which printable characters it would escape is left to `escape`, for tests to vary."""
    short = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\", '"': '"'}
    out = []
    for position, character in enumerate(name.decode("utf-8", "surrogateescape")):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif character in short:
            out.append("\\" + short[character])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif code >= 0x80 and escape[position % len(escape)]:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            out.append(character)
    return "".join(out)


@given(
    name=st.one_of(st.binary(), st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)),
    escape=st.lists(st.booleans(), min_size=1),
)
def test_unquote_undoes_go_quote(name: bytes, escape: list[bool]) -> None:
    """Whatever bytes a name has on disk come back exactly."""
    assert unquote(go_quote(name, escape)) == name


@pytest.mark.parametrize("text", ["\\", "\\x4", "\\xzz", "\\u12", "\\ud800", "\\U00110000", "\\q", "\\'"])
def test_unquote_refuses_what_go_never_writes(text: str) -> None:
    """A name that cannot be understood is damage, not a guess."""
    with pytest.raises(Damaged):
        unquote(text)


ATTRIBUTES = [{"name": "user.a", "value": "QQ=="}, {"name": '},{"name":"', "value": "QQ=="}]
NODES = [node(f"f{number}", size=number, extended_attributes=ATTRIBUTES[: number % 3]) for number in range(8)]


@given(size=st.integers(1, 1500), compact=st.booleans())
def test_nodes_come_whole_however_their_json_is_cut(size: int, compact: bool) -> None:
    """Attributes look like the beginning of a node; still every node comes once, with all of its own."""
    text = json.dumps({"nodes": NODES}, separators=(",", ":") if compact else None).encode() + b"\n"
    found = list(read_nodes(text[at : at + size] for at in range(0, len(text), size)))
    assert [(one.name, one.size) for one in found] == [(one["name"], one["size"]) for one in NODES]
    assert [json.loads(bytes(one.extended_attributes)) for one in found] == [
        one["extended_attributes"] for one in NODES
    ]


@pytest.mark.parametrize("text", [b"", b"{", b'{"nodes":[', b'{"nodes":[{"name":"a"},{"name":"b"}', b'{"nodes":[]}}'])
def test_cut_off_tree_is_damage(text: bytes) -> None:
    """A tree that ends early is not a shorter tree."""
    with pytest.raises(Damaged):
        list(read_nodes(text[at : at + 5] for at in range(0, len(text), 5)))


def test_times_are_instants() -> None:
    """The zone does not matter, the last nanosecond does; a year that no datetime has is no error."""
    assert parse_time("2026-03-01T10:00:00.123456789+02:00") == datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
    assert parse_time("0000-01-01T00:00:00Z") is None
    assert same_instant("2026-03-01T10:00:00.5+02:00", "2026-03-01T08:00:00.500Z")
    assert not same_instant("2026-03-01T08:00:00.123456789Z", "2026-03-01T08:00:00.123456788Z")
    assert not same_instant("0000-01-01T00:00:00Z", "0000-01-02T00:00:00Z")


def test_modes_become_posix() -> None:
    """Setuid, setgid and sticky lie elsewhere in Go's mode."""
    assert permission_bits(1 << 31 | 1 << 20 | 0o777) == 0o1777
    assert permission_bits(1 << 23 | 1 << 22 | 0o755) == 0o6755


# --- the index


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32) | st.just(bytes(32)), st.integers(0, 3)), max_size=60))
def test_table_is_a_multimap(rows: list[tuple[bytes, int]]) -> None:
    """Every row is found by its id, the same row once, and all of them in order."""
    table = Table(">I")
    for id_, value in rows:
        table.add(id_, value)
    assert list(table) == [(id_, (value,)) for id_, value in sorted(set(rows))]
    for id_, _ in rows:
        assert table.get(id_) == sorted({(value,) for other, value in rows if other == id_})
    assert table.get(b"\xff" * 31 + b"\xfe") == sorted({(v,) for i, v in rows if i == b"\xff" * 31 + b"\xfe"})


PACKS = [
    {
        "id": f"{pack:064x}",
        "blobs": [
            {"id": f"{pack:032x}{blob:032x}", "type": "tree" if blob % 2 else "data", "offset": blob, "length": 50}
            for blob in range(pack)
        ],
    }
    for pack in range(4)
]


@given(size=st.integers(1, 400))
def test_index_splits_as_it_decodes(size: int) -> None:
    """However the JSON is cut into pieces, splitting gives what decoding all of it gives."""
    text = json.dumps({"packs": PACKS}, separators=(",", ":")).encode() + b"\n"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    gathered: dict[str, list[Any]] = {}
    for pack, blobs in split(pieces):
        gathered.setdefault(pack, []).extend(blobs)
    assert gathered == {pack: list(blobs) for pack, blobs in whole([text])}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"packs"',
        b'{"packs":[',
        b'{"packs": []}',
        b'{"packs":[{"id":"zz","blobs":[]}]}',
        b'{"packs":[{"id":"' + b"0" * 64 + b'","blobs":[{"id":"x"}]}]}',
        b'{"packs":[{"id":"' + b"0" * 64 + b'","blobs":[',
        b'{"packs":[]}garbage',
    ],
)
def test_index_of_another_shape_is_noticed(text: bytes) -> None:
    """Nothing is quietly left out where the JSON is not as restic writes it."""
    with pytest.raises(OtherShape):
        list(split([text]))


def reader(repository: HandmadeRepository) -> Trees:
    return TreeReader(repository, KEY, "chunker")


def test_index_of_another_program_is_read() -> None:
    """Spaces, an old `supersedes` and unknown fields make no difference to what is found."""
    repository = HandmadeRepository()
    tree = repository.tree(node("a"), compress=False)
    data = repository.blob(b"hello")
    pack = repository.pack()
    repository.index(pack, spaces=True, supersedes=["00" * 32], unknown=[1])
    trees = reader(repository)
    assert [entry.path for entry in trees.walk(tree)] == [b"a"]
    assert trees.packs() == {pack["id"]: len(repository.files["data", pack["id"]][0]) + 36 + 2 * 37}
    assert trees.blob_lengths([data, "ab" * 32]) == {data: 5}


def test_blob_in_two_packs_and_pack_in_two_indexes() -> None:
    """A blob that also lies elsewhere is not lost with a pack, and a pack that stands twice counts once."""
    repository = HandmadeRepository()
    both, alone = repository.blob(b"both"), repository.blob(b"alone")
    one = repository.pack()
    repository.blob(b"both")
    tree = repository.tree(node("a"))
    two = repository.pack()
    repository.index(one, two)
    repository.index(one)
    trees = reader(repository)
    assert [(blob.kind, blob.id, blob.pack) for blob in trees.blobs_in([one["id"]])] == [("data", alone, one["id"])]
    assert [(blob.kind, blob.id) for blob in trees.blobs_in([two["id"]])] == [("tree", tree)]
    assert {blob.id for blob in trees.blobs_in([one["id"], two["id"]])} == {both, alone, tree}
    assert trees.blobs_in(["ff" * 32]) == []
    assert trees.packs()[one["id"]] == sum(blob["length"] for blob in one["blobs"]) + 36 + 2 * 37


def test_only_as_much_index_as_needed_is_read() -> None:
    """The newest index file has the newest tree; the older ones are left alone."""
    repository = HandmadeRepository()
    repository.tree(node("old"))
    older = repository.index(repository.pack())
    tree = repository.tree(node("new"))
    newer = repository.index(repository.pack())
    list(reader(repository).walk(tree))
    assert ("index", newer, 0) in repository.reads
    assert ("index", older, 0) not in repository.reads


def test_damaged_index_file_hides_only_its_own() -> None:
    """Trees in other index files are still found; answers about all packs are refused rather than short."""
    repository = HandmadeRepository()
    tree = repository.tree(node("a"))
    repository.index(repository.pack())
    lost = repository.tree(node("b"))
    name = repository.index(repository.pack())
    repository.files["index", name] = [b"rotten" * 20]
    trees = reader(repository)
    assert [entry.path for entry in trees.walk(tree)] == [b"a"]
    with pytest.raises(Damaged):
        list(trees.walk(lost))
    with pytest.raises(Damaged):
        trees.packs()
    assert list(trees.affected([lost], frozenset())[lost]) == [b"/"]


def test_index_rewritten_while_we_read() -> None:
    """A prune that replaces index files between our listing and our reading does no harm."""
    repository = HandmadeRepository()
    tree = repository.tree(node("a"))
    pack = repository.pack()
    old = repository.index(pack)

    class Pruned(HandmadeRepository):
        def copies(self, *arguments: Any) -> Iterator[bytes]:
            if self.files.pop(("index", old), None):
                self.index(pack)
            return super().copies(*arguments)

    pruned = Pruned()
    pruned.files = repository.files
    assert [entry.path for entry in reader(pruned).walk(tree)] == [b"a"]


# --- trees


def test_tree_is_taken_from_the_next_sound_copy() -> None:
    """First the other place of the same pack, then another pack that has the tree as well."""
    repository = HandmadeRepository()
    tree = repository.tree(node("a"))
    name = repository.pack()["id"]
    repository.tree(node("a"))
    two = repository.pack()
    blob = repository.files["data", name][0]
    entry = {"id": tree, "type": "tree", "offset": 0, "length": len(blob), "uncompressed_length": 0}
    entry["uncompressed_length"] = two["blobs"][0]["uncompressed_length"]
    repository.index({"id": name, "blobs": [entry]}, two)
    repository.files["data", name] = [b"short", blob]
    assert [found.path for found in reader(repository).walk(tree)] == [b"a"]
    repository.files["data", name] = [b"short"]
    assert [found.path for found in reader(repository).walk(tree)] == [b"a"]
    del repository.files["data", name]
    assert [found.path for found in reader(repository).walk(tree)] == [b"a"]
    repository.files["data", two["id"]] = [bytes(500)]
    with pytest.raises(Damaged):
        list(reader(repository).walk(tree))
    del repository.files["data", two["id"]]
    with pytest.raises(ObjectMissing):
        list(reader(repository).walk(tree))


def test_not_a_tree() -> None:
    """A blob that hashes well but is no tree is damage; one that the index does not know as well."""
    repository = HandmadeRepository()
    odd = repository.blob(b"[1, 2]", "tree")
    repository.index(repository.pack())
    for tree in (odd, "00" * 32):
        with pytest.raises(Damaged):
            list(reader(repository).walk(tree))


def changes(repository: HandmadeRepository, old: str | None, new: str) -> list[tuple[str, str]]:
    return [(change.what, change.path.decode()) for change in reader(repository).changes(old, new)]


def test_changes_are_told_apart() -> None:
    """Content, metadata, bit-rot, kinds and folders, by name and parents first."""
    repository = HandmadeRepository()
    x, y = "11" * 32, "22" * 32
    inner = repository.tree(node("deep", content=[x]), node("gone", content=[x]))
    other = repository.tree(node("deep", content=[x]), node("new", content=[x]))
    later = "2026-03-02T08:00:00Z"
    old = repository.tree(
        node("a", content=[x], size=1),
        node("bitrot", content=[x], size=1),
        node("content", content=[x], size=1),
        node("dir", "dir", subtree=inner),
        node("into-dir", content=[x]),
        node("into-file", "dir", subtree=inner),
        node("link", "symlink", linktarget="a"),
        node("mode", content=[x], size=1),
        node("removed", "dir", subtree=inner),
        node("same", "dir", subtree=inner, mode=0o700, inode=1),
        node("touched", content=[x], size=1, inode=3),
    )
    new = repository.tree(
        node("a", content=[x], size=1, inode=99, ctime=later, atime=later, mtime="2026-03-01T09:00:00.123456789+01:00"),
        node("added", "dir", subtree=inner),
        node("bitrot", content=[y], size=1),
        node("content", content=[y], size=1, mtime=later),
        node("dir", "dir", subtree=other),
        node("into-dir", "dir", subtree=inner),
        node("into-file", content=[x]),
        node("link", "symlink", linktarget="\ufffd", linktarget_raw="/w=="),
        node("mode", content=[x], size=1, mode=0o600),
        node("same", "dir", subtree=inner, mode=0o755),
        node("touched", content=[x], size=1, mtime=later),
    )
    repository.index(repository.pack())
    assert changes(repository, old, new) == [
        ("added", "added"),
        ("added", "added/deep"),
        ("added", "added/gone"),
        ("bitrot", "bitrot"),
        ("changed", "content"),
        ("removed", "dir/gone"),
        ("added", "dir/new"),
        ("changed", "into-dir"),
        ("added", "into-dir/deep"),
        ("added", "into-dir/gone"),
        ("changed", "into-file"),
        ("removed", "into-file/deep"),
        ("removed", "into-file/gone"),
        ("changed", "link"),
        ("metadata", "mode"),
        ("removed", "removed"),
        ("removed", "removed/deep"),
        ("removed", "removed/gone"),
        ("metadata", "same"),
        ("metadata", "touched"),
    ]
    assert changes(repository, None, inner) == [("added", "deep"), ("added", "gone")]
    assert changes(repository, "00" * 32, "00" * 32) == []  # equal trees are not even read


def test_large_folder_is_read_in_pieces() -> None:
    """A tree of more than 4 MiB is compared with its name before its nodes are told, and told in full."""
    repository = HandmadeRepository()
    names = [f"answer-sheet-{number:06d}" for number in range(12_000)]
    old = repository.tree(*(node(name, content=["11" * 32], comment="x" * 300) for name in names))
    new = repository.tree(*(node(name, content=["22" * 32], comment="x" * 300) for name in names[1:]))
    pack = repository.pack()
    repository.index(pack)
    assert pack["blobs"][0]["uncompressed_length"] > LARGE
    assert [entry.path.decode() for entry in reader(repository).walk(old)] == names
    told = changes(repository, old, new)
    assert told == [("removed", names[0]), *(("bitrot", name) for name in names[1:])]
    assert len(reader(repository).affected([old], frozenset(["11" * 32]))[old]) == len(names)
    with pytest.raises(Damaged):
        KEY.open_blob(seal(zstandard.compress(bytes(LARGE + 1))), bytes(32), LARGE + 1)
    with pytest.raises(Damaged):
        KEY.open_blob(seal(b"not zstd"), bytes(32), LARGE + 1)


def test_unsorted_folder_is_damage() -> None:
    """Trees are merged by name: two unsorted ones are refused rather than compared wrongly."""
    repository = HandmadeRepository()
    old = repository.tree(node("b"), node("a"))
    new = repository.tree(node("c"))
    repository.index(repository.pack())
    with pytest.raises(Damaged):
        changes(repository, old, new)


def deep_chain(repository: HandmadeRepository, leaf: str, depth: int) -> str:
    tree = repository.tree(node(leaf, content=["11" * 32]))
    for _ in range(depth):
        tree = repository.tree(node("d", "dir", subtree=tree))
    return tree


def test_deeper_than_python_recurses() -> None:
    """Two thousand folders inside one another are walked, compared and surveyed."""
    repository = HandmadeRepository()
    old, new = deep_chain(repository, "a", 2000), deep_chain(repository, "b", 2000)
    repository.index(repository.pack())
    trees = reader(repository)
    folder = b"d/" * 2000
    assert [entry.path for entry in trees.walk(old)][-1] == folder + b"a"
    assert [(change.what, change.path) for change in trees.changes(old, new)] == [
        ("removed", folder + b"a"),
        ("added", folder + b"b"),
    ]
    assert list(trees.affected([old], frozenset(["11" * 32]))[old]) == [folder + b"a"]


def test_walk_under_a_path() -> None:
    """The path itself comes first, then what is below; nothing for what is not there."""
    repository = HandmadeRepository()
    inner = repository.tree(node("b"), node("c\\xff"))
    tree = repository.tree(node("a", "dir", subtree=inner), node("z"))
    repository.index(repository.pack())
    trees = reader(repository)

    def paths(under: bytes) -> list[bytes]:
        return [entry.path for entry in trees.walk(tree, under)]

    assert paths(b"") == paths(b"/") == [b"a", b"a/b", b"a/c\xff", b"z"]
    assert paths(b"a") == paths(b"a/") == [b"a", b"a/b", b"a/c\xff"]
    assert paths(b"a/c\xff") == [b"a/c\xff"]
    assert paths(b"x") == paths(b"z/b") == paths(b"a/b/c") == []


def test_affected_reads_a_shared_folder_once() -> None:
    """Snapshots that share a folder tell its paths each, but it is read only once; equal folders by other names too."""
    repository = HandmadeRepository()
    hurt, fine = "11" * 32, "22" * 32
    shared = repository.tree(node("one", content=[fine, hurt]), node("two", content=[fine]))
    clean = repository.tree(node("two", content=[fine]))
    lost = repository.tree(node("three", content=[fine]))
    roots = [
        repository.tree(
            node("a", "dir", subtree=shared),
            node("b", "dir", subtree=clean),
            node("c", "dir", subtree=shared),
            node("d", "dir", subtree=lost),
            node(f"file{number}", content=[hurt]),
        )
        for number in range(3)
    ]
    repository.index(repository.pack())
    found = reader(repository).affected([*roots, clean], frozenset([hurt, lost]))
    for number, root in enumerate(roots):
        assert list(found[root]) == [b"file%d" % number, b"a/one", b"c/one", b"d/"]
    assert list(found[clean]) == []
    assert len(found[clean]) == 0
    assert len([read for read in repository.reads if read[0] == "data"]) == 5  # 3 roots, shared, clean
    paths = found[roots[0]]
    assert (len(paths), paths[1], paths[-1]) == (4, b"a/one", b"d/")
    assert list(paths[1:3]) == [b"a/one", b"c/one"]
    assert list(paths[::-1]) == [b"d/", b"c/one", b"a/one", b"file0"]
    with pytest.raises(IndexError):
        paths[4]


def test_affected_where_the_pack_is_gone() -> None:
    """A folder whose tree cannot be read counts whole, and so does a snapshot."""
    repository = HandmadeRepository()
    inner = repository.tree(node("f", content=["11" * 32]))
    gone = repository.pack()
    root = repository.tree(node("d", "dir", subtree=inner), node("f"))
    repository.index(gone, repository.pack())
    del repository.files["data", gone["id"]]
    assert {tree: list(paths) for tree, paths in reader(repository).affected([root, inner], frozenset()).items()} == {
        root: [b"d/"],
        inner: [b"/"],
    }


# --- where files come from


class CountingStore:
    """The few calls of a store that reading needs."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.calls: list[tuple[str, int, int | None]] = []

    def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        self.calls.append((key, offset, length))
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key][offset:][:length]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for age, key in enumerate(sorted(self.objects)):
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size=len(self.objects[key]), modified=datetime.fromtimestamp(age, UTC))

    def probe(self) -> None: ...

    def create(self) -> bool:
        return False

    def put(self, key: str, body: object, *, if_absent: bool = False) -> None: ...

    def delete(self, key: str) -> None: ...

    def time(self) -> None: ...


A, B = "aa" * 32, "bb" * 32


def test_store_is_read_in_blocks() -> None:
    """Neighbouring trees cost one request, across the edge of a block two; a pack that is gone is asked for once."""
    pack = bytes(range(256)) * (3 * BLOCK // 256) + b"end"
    store = CountingStore({f"ns/hot/data/aa/{A}": pack, f"ns/hot/index/{A}": b"index"})
    files = StoreFiles(store, "ns/hot")
    for offset in range(0, 5000, 500):
        assert next(files.copies("data", A, offset, 500)) == pack[offset : offset + 500]
    assert len(store.calls) == 1
    assert next(files.copies("data", A, BLOCK - 10, 20)) == pack[BLOCK - 10 : BLOCK + 10]
    assert next(files.copies("data", A, 3 * BLOCK, 3)) == b"end"
    assert len(store.calls) == 3
    assert next(files.copies("index", A)) == b"index"
    for _ in range(3):
        with pytest.raises(ObjectMissing):
            next(files.copies("data", B, 0, 10))
    assert len(store.calls) == 5


def test_cache_first_then_store(tmp_path: Path) -> None:
    """The store is asked only for what the cache lacks or has wrong; names come newest first."""
    store = CountingStore({f"index/{A}": b"old", f"index/{B}": b"new", "index/.tmp": b"", "other": b""})
    folder = tmp_path / "index" / "aa"
    folder.mkdir(parents=True)
    (folder / A).write_bytes(b"cached")
    files = CacheThenStore(tmp_path, store, "")
    assert files.names("index") == [(B, 3), (A, 3)]
    copies = files.copies("index", A)
    assert next(copies) == b"cached"
    assert store.calls == []
    assert list(copies) == [b"old"]
    assert list(files.copies("index", B)) == [b"new"]
    assert CacheThenStore(tmp_path, store, "", names_from_cache=True).names("index") == [(A, 6)]
    assert CacheThenStore(tmp_path / "none", store, "", names_from_cache=True).names("index") == []


# --- restic's own find


def hit(path: str, blob: str, kind: str = "blob") -> dict[str, str]:
    return {"object_type": kind, "id": blob, "path": path, "parent_tree": B, "snapshot": A, "time": "x"}


def test_find_gives_ordered_contents() -> None:
    """Blobs keep their order and their repeats; trees are left out; a separator inside a name does not fool it."""
    trap = '/x},{"object_type":"blob'
    hits = [hit("/", B, "tree"), hit("/a", A), hit("/a", B), hit("/a", A), hit(trap, A)]
    text = json.dumps(hits, separators=(",", ":")).encode()
    assert contents_by_find(text + b"\n") == {b"a": (A, B, A), trap[1:].encode(): (A,)}
    assert contents_by_find(b"[]\n") == contents_by_find(b"") == {}
    assert find_arguments("snap", [A, B]) == ["find", "--snapshot", "snap", "--pack", A[:8], B[:8]]


@pytest.mark.parametrize("text", [b"{}", b"[{}]", b'[{"object_type":"blob"', b"Fatal: no"])
def test_find_refuses_what_it_cannot_read(text: bytes) -> None:
    """A miss is never turned into nothing."""
    with pytest.raises(ResticFailed):
        contents_by_find(text)


def test_find_refuses_mangled_names_and_missing_contents() -> None:
    """Two names that are not UTF-8 look alike, and a file without its blobs is not an empty one."""
    with pytest.raises(ResticFailed):
        contents_by_find(json.dumps([hit("/a\ufffd", A)], separators=(",", ":")).encode())
    listed = json.dumps({"message_type": "node", "path": "/a", "type": "file", "size": 3}).encode()
    with pytest.raises(ResticFailed):
        list(entries_from_find(b"[]", b'{"message_type":"snapshot"}\n' + listed))
