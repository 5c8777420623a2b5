"""Reads restic's trees without restic: what a snapshot holds, where two differ, what a damaged pack costs.

Every tree is authenticated, decrypted and hashed again; a damaged copy in restic's cache is replaced by the store's.
A reader shows the index as it was when first asked. For one thread.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, overload

from resticwrap.errors import Damaged, Failure, ObjectMissing
from resticwrap.model.objects import BlobSums, Change, Entry
from resticwrap.ports import BlobPlace, Lost, PackBlob
from resticwrap.restic.crypto import OVERHEAD, MasterKey
from resticwrap.restic.index import Index, Place
from resticwrap.restic.nodes import (
    Node,
    entry_of,
    join,
    parts,
    raw_name,
    read_nodes,
    same_content,
    same_instant,
    same_metadata,
)
from resticwrap.restic.repofiles import RepositoryFiles

Named = tuple[bytes, Node]
What = Literal["added", "removed", "changed", "metadata", "bitrot"]


class TreeReader:
    """Implements `ports.Trees`. `chunker` is `crypto.chunker_fingerprint` of the repository's polynomial."""

    def __init__(self, files: RepositoryFiles, key: MasterKey, chunker: str) -> None:
        self._files = files
        self._key = key
        self._chunker = chunker
        self._index = Index(files, key)

    @property
    def chunker(self) -> str:
        return self._chunker

    def walk(self, tree: str, under: bytes = b"", *, lost: Lost | None = None) -> Iterator[Entry]:
        wanted = parts(under)
        parent = b""
        for depth, name in enumerate(wanted):
            node = next((node for raw, node in self._named(tree) if raw == name), None)
            if node is None:
                return
            path = join(parent, name)
            if depth == len(wanted) - 1:
                yield entry_of(node, path)
            if not node.subtree:
                return
            parent, tree = path, node.subtree
        yield from self._beneath(tree, parent, lost)

    def changes(self, old: str | None, new: str) -> Iterator[Change]:
        """As the port says, parents first and siblings by name. What is compared of a node is its content, owner,
        mode, time and attributes, and not inode, ctime or atime. A folder is a change of its own only where its own
        metadata differ. A path that became another kind of thing is `changed`; what lay beneath it is `removed`, what
        lies there now `added`."""
        if old is None:
            for entry in self._beneath(new, b""):
                yield Change(path=entry.path, what="added", new=entry)
            return
        # One iterator for each open folder; an explicit stack, since paths may be deeper than Python recurses.
        stack: list[Iterator[_Pair]] = []
        if old != new:
            stack.append(self._pairs(old, new, b""))
        while stack:
            pair = next(stack[-1], None)
            if pair is None:
                stack.pop()
                continue
            before, after = pair.old, pair.new
            what = _difference(before, after)
            if what is not None:
                yield Change(
                    path=pair.path,
                    what=what,
                    old=entry_of(before, pair.path) if before else None,
                    new=entry_of(after, pair.path) if after else None,
                )
            old_tree = before.subtree if before else None
            new_tree = after.subtree if after else None
            if old_tree and new_tree:
                if old_tree != new_tree:
                    stack.append(self._pairs(old_tree, new_tree, pair.path))
            elif old_tree:
                for entry in self._beneath(old_tree, pair.path):
                    yield Change(path=entry.path, what="removed", old=entry)
            elif new_tree:
                for entry in self._beneath(new_tree, pair.path):
                    yield Change(path=entry.path, what="added", new=entry)

    def blob_lengths(self, blobs: Iterable[str]) -> Mapping[str, int]:
        return self._index.lengths(blobs)

    def packs(self) -> Mapping[str, int]:
        return self._index.packs()

    def blobs_in(self, packs: Iterable[str]) -> Sequence[PackBlob]:
        return self._index.only_in(packs)

    def data_only_packs(self) -> frozenset[str]:
        return self._index.data_only()

    def packs_of(self, blobs: Iterable[str]) -> Mapping[str, Sequence[str]]:
        return self._index.packs_of(blobs)

    def places(self, blob: str) -> Sequence[BlobPlace]:
        return self._index.places(blob)

    def blob(self, blob: str) -> bytes:
        lengths = self.blob_lengths([blob])
        problem: Failure = Damaged(f"The index does not name the blob {blob[:8]}.")
        for place in self.places(blob):
            uncompressed = 0 if place.length - OVERHEAD == lengths[blob] else lengths[blob]
            try:
                return b"".join(
                    self._blob(bytes.fromhex(blob), Place(place.pack, place.offset, place.length, uncompressed))
                )
            except (Damaged, ObjectMissing) as error:
                problem = error
        raise problem

    def needed_packs(self, trees: Iterable[str]) -> frozenset[str]:
        """As the port says. Of a blob that lies in several packs all of them count as needed."""
        seen: set[bytes] = set()
        needed: set[str] = set()
        stack = [bytes.fromhex(tree) for tree in trees]
        while stack:
            tree = stack.pop()
            if tree in seen:
                continue
            seen.add(tree)
            needed.update(place.pack for place in self._index.tree(tree))
            content: set[str] = set()
            for node in self._nodes_of(tree):
                content.update(node.content or ())
                if node.subtree:
                    stack.append(bytes.fromhex(node.subtree))
            places = self._index.packs_of(content)
            if missing := content - places.keys():
                raise Damaged(
                    f"The index does not name {len(missing)} pieces of the files in tree {tree.hex()[:8]}.",
                    hint="restic repair index",
                )
            for packs in places.values():
                needed.update(packs)
        return frozenset(needed)

    def union(self, groups: Mapping[str, Iterable[str]]) -> Mapping[str, BlobSums]:
        """As the port says. Two groups whose different trees share one below read that once for each of them."""
        union = _Union(self._index, len(groups))
        for tree, members in _members(groups).items():
            stack = [(tree, members)]
            while stack:
                tree, members = stack.pop()
                fresh = union.tree(tree, members)
                if not fresh:
                    continue
                try:
                    for node in self._nodes_of(tree):
                        for blob in node.content or ():
                            union.data(bytes.fromhex(blob), fresh)
                        if node.subtree:
                            stack.append((bytes.fromhex(node.subtree), fresh))
                except (Damaged, ObjectMissing):
                    union.lose(fresh)
        return dict(zip(groups, union.sums(), strict=True))

    def affected(self, trees: Iterable[str], blobs: frozenset[str]) -> Mapping[str, Sequence[bytes]]:
        """As the port says; in `blobs` may be trees as well as data. A folder whose own tree is among them, or cannot
        be read any more, counts whole: its path ends in "/" ("/" alone is the whole snapshot).

        The paths are put together as they are iterated, so ten thousand snapshots that share a damaged folder cost
        it once.
        """
        known: dict[bytes, _Hurt | None] = {}
        found: dict[str, Sequence[bytes]] = {}
        for tree in trees:
            root = bytes.fromhex(tree)
            self._survey(root, blobs, known)
            found[tree] = AffectedPaths(known[root])
        return found

    def unsound(self, trees: Iterable[str], packs: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        lost, unnamed = set[str](), set[str]()
        seen: set[bytes] = set()
        stack = [bytes.fromhex(tree) for tree in trees]
        while stack:
            tree = stack.pop()
            if tree in seen:
                continue
            seen.add(tree)
            content: set[str] = set()
            try:
                if all(place.pack in packs for place in self._index.tree(tree)):
                    lost.add(tree.hex())
                for node in self._nodes_of(tree):
                    content.update(node.content or ())
                    if node.subtree:
                        stack.append(bytes.fromhex(node.subtree))
            except (Damaged, ObjectMissing):
                lost.add(tree.hex())
                if not self._names(tree):
                    unnamed.add(tree.hex())
                continue
            places = self._index.packs_of(content)
            unnamed |= content - places.keys()
            lost |= {blob for blob in content if packs.issuperset(places.get(blob, ()))}
        return frozenset(lost), frozenset(unnamed)

    def _names(self, tree: bytes) -> bool:
        try:
            return bool(self._index.tree(tree))
        except Damaged:
            return False

    def wanting(self, trees: Iterable[str], blobs: frozenset[str]) -> Mapping[str, frozenset[str]]:
        """As the port says. What lies below a tree that cannot be read is left out."""
        known: dict[bytes, frozenset[str]] = {}
        below: dict[bytes, tuple[set[str], list[bytes]]] = {}
        found: dict[str, frozenset[str]] = {}
        for root in trees:
            stack = [bytes.fromhex(root)]
            while stack:
                tree = stack[-1]
                if tree in known:
                    stack.pop()
                elif tree in below:
                    stack.pop()
                    own, subtrees = below.pop(tree)
                    known[tree] = frozenset(own.union(*(known[one] for one in subtrees)))
                else:
                    below[tree] = self._wanted(tree, blobs)
                    stack += [one for one in below[tree][1] if one not in known]
            found[root] = known[bytes.fromhex(root)]
        return found

    def _wanted(self, tree: bytes, blobs: frozenset[str]) -> tuple[set[str], list[bytes]]:
        """Of the blobs those that a folder itself needs, and its subfolders."""
        own, subtrees = set[str](), list[bytes]()
        if tree.hex() in blobs:
            own.add(tree.hex())
        try:
            for node in self._nodes_of(tree):
                own.update(blobs.intersection(node.content or ()))
                if node.subtree:
                    subtrees.append(bytes.fromhex(node.subtree))
        except (Damaged, ObjectMissing):
            pass
        return own, subtrees

    def _survey(self, root: bytes, blobs: frozenset[str], known: "dict[bytes, _Hurt | None]") -> None:
        """Fill `known` for this tree and all below: None where nothing is hurt."""
        stack = [root]
        waiting: dict[bytes, _Draft] = {}  # folders of which some subfolder is not known yet
        while stack:
            tree = stack[-1]
            if tree in known:
                stack.pop()
            elif tree in waiting:
                stack.pop()
                known[tree] = waiting.pop(tree).finish(known)
            elif tree.hex() in blobs:
                known[tree] = WHOLE
            else:
                try:
                    draft = _Draft.of(self._nodes_of(tree), blobs)
                except (Damaged, ObjectMissing):
                    known[tree] = WHOLE
                    continue
                waiting[tree] = draft
                stack += [subtree for _, subtree in draft.folders if subtree not in known]

    def _beneath(self, tree: str, path: bytes, lost: Lost | None = None) -> Iterator[Entry]:
        """Every node below a folder, parents before children. What `lost` is told of holds nothing."""
        stack = [(path, self._readable(tree, path, lost))]
        while stack:
            parent, nodes = stack[-1]
            for name, node in nodes:
                below = join(parent, name)
                yield entry_of(node, below)
                if node.subtree:
                    stack.append((below, self._readable(node.subtree, below, lost)))
                    break
            else:
                stack.pop()

    def _readable(self, tree: str, path: bytes, lost: Lost | None) -> Iterator[Named]:
        try:
            yield from self._named(tree)
        except (Damaged, ObjectMissing) as error:
            if lost is None:
                raise
            lost(path, error)

    def _pairs(self, old: str, new: str, path: bytes) -> "Iterator[_Pair]":
        """The nodes of two folders side by side, by name."""
        before, after = _in_order(self._named(old)), _in_order(self._named(new))
        left, right = next(before, None), next(after, None)
        while left is not None or right is not None:
            name = min(side[0] for side in (left, right) if side is not None)
            old_node = new_node = None
            if left is not None and left[0] == name:
                old_node, left = left[1], next(before, None)
            if right is not None and right[0] == name:
                new_node, right = right[1], next(after, None)
            yield _Pair(join(path, name), old_node, new_node)

    def _named(self, tree: str) -> Iterator[Named]:
        return ((raw_name(node), node) for node in self._nodes_of(bytes.fromhex(tree)))

    def _nodes_of(self, tree: bytes) -> Iterator[Node]:
        """The nodes of a folder, from the first sound copy. Raises Damaged, ObjectMissing."""
        problem: Failure | None = None
        for place in self._index.tree(tree):
            try:
                return read_nodes(self._blob(tree, place))
            except (Damaged, ObjectMissing) as error:  # the tree may lie in another pack as well
                problem = error
        assert problem is not None  # the index never answers with no place at all
        raise problem

    def _blob(self, id_: bytes, place: Place) -> Iterable[bytes]:
        problem = Damaged(f"The tree {id_.hex()[:8]} cannot be read.")
        for sealed in self._files.copies("data", place.pack, place.offset, place.length):
            try:
                return self._key.open_blob(sealed, id_, place.uncompressed)
            except Damaged as error:
                problem = error
        raise problem


def _members(groups: Mapping[str, Iterable[str]]) -> dict[bytes, int]:
    """By tree the groups that name it, as bits."""
    found: dict[bytes, int] = {}
    for number, trees in enumerate(groups.values()):
        for tree in trees:
            id_ = bytes.fromhex(tree)
            found[id_] = found.get(id_, 0) | 1 << number
    return found


class _Union:
    """Sums over blobs, each counted once for each group. Groups are bits of a number: a bit for each blob and group is
    all that is kept of the data."""

    def __init__(self, index: Index, groups: int) -> None:
        self._index = index
        self._trees: dict[bytes, int] = {}
        self._seen = [bytearray(index.data_count() // 8 + 1) for _ in range(groups)]
        self._unknown: dict[bytes, int] = {}
        self._sums = [[0, 0, 0, 0] for _ in range(groups)]

    def tree(self, tree: bytes, groups: int) -> int:
        """Count a tree; returns those of the groups for which it is new."""
        before = self._trees.get(tree, 0)
        fresh = groups & ~before
        if fresh:
            self._trees[tree] = before | fresh
            try:
                place = self._index.tree(tree)[0]
            except Damaged:
                return fresh  # reading it fails too, and is what counts
            self._count(fresh, place.length, place.uncompressed or place.length - OVERHEAD)
        return fresh

    def data(self, blob: bytes, groups: int) -> None:
        """Count a data blob."""
        placed = self._index.placed(blob)
        if placed is None:
            before = self._unknown.get(blob, 0)
            self._unknown[blob] = before | groups
            self.lose(groups & ~before)
            return
        number, plain, stored = placed
        at, bit = number >> 3, 1 << (number & 7)
        fresh = 0
        for group in _bits(groups):
            seen = self._seen[group]
            if not seen[at] & bit:
                seen[at] |= bit
                fresh |= 1 << group
        self._count(fresh, stored, plain)

    def lose(self, groups: int) -> None:
        """Something of these groups could not be read or found."""
        for group in _bits(groups):
            self._sums[group][3] += 1

    def sums(self) -> list[BlobSums]:
        """By group."""
        return [
            BlobSums(blobs=blobs, stored=stored, plain=plain, lost=lost) for blobs, stored, plain, lost in self._sums
        ]

    def _count(self, groups: int, stored: int, plain: int) -> None:
        for group in _bits(groups):
            sums = self._sums[group]
            sums[0] += 1
            sums[1] += stored
            sums[2] += plain


def _bits(number: int) -> Iterator[int]:
    """The places of its bits that are set, lowest first."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


@dataclass(frozen=True, slots=True)
class _Pair:
    path: bytes
    old: Node | None
    new: Node | None


def _in_order(nodes: Iterator[Named]) -> Iterator[Named]:
    """restic sorts nodes by the bytes of their names. Comparing unsorted ones would lie, so that is refused."""
    last: bytes | None = None
    for named in nodes:
        if last is not None and named[0] <= last:
            raise Damaged("A tree of the repository is not in the order of its names.")
        last = named[0]
        yield named


def _difference(old: Node | None, new: Node | None) -> What | None:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if old.type != new.type:
        return "changed"
    if not same_content(old, new):
        unmoved = old.type == "file" and old.size == new.size and same_instant(old.mtime, new.mtime)
        return "bitrot" if unmoved else "changed"
    return None if same_metadata(old, new) else "metadata"


@dataclass(frozen=True, slots=True)
class _Hurt:
    """What is hurt below one folder: `files` of its own, and folders in which something is. `count` is all of it."""

    files: tuple[bytes, ...]
    folders: "tuple[tuple[bytes, _Hurt], ...]"
    count: int


WHOLE = _Hurt((), (), 1)
"""The folder itself cannot be read."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A folder whose subfolders are still to be looked into."""

    files: tuple[bytes, ...]
    folders: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, nodes: Iterator[Node], blobs: frozenset[str]) -> "_Draft":
        files: list[bytes] = []
        folders: list[tuple[bytes, bytes]] = []
        for node in nodes:
            if not blobs.isdisjoint(node.content or ()):
                files.append(raw_name(node))
            if node.subtree:
                folders.append((raw_name(node), bytes.fromhex(node.subtree)))
        return cls(tuple(files), tuple(folders))

    def finish(self, known: Mapping[bytes, _Hurt | None]) -> _Hurt | None:
        folders = [(name, below) for name, tree in self.folders if (below := known[tree]) is not None]
        count = len(self.files) + sum(below.count for _, below in folders)
        return _Hurt(self.files, tuple(folders), count) if count else None


class AffectedPaths(Sequence[bytes]):
    """Paths of one snapshot, put together as they are iterated: files of a folder first, then its subfolders."""

    def __init__(self, hurt: _Hurt | None) -> None:
        self._hurt = hurt

    def __len__(self) -> int:
        return self._hurt.count if self._hurt else 0

    def __iter__(self) -> Iterator[bytes]:
        stack = [(b"", self._hurt)] if self._hurt else []
        while stack:
            path, hurt = stack.pop()
            if hurt is WHOLE:
                yield path + b"/"
            else:
                yield from (join(path, name) for name in hurt.files)
                stack += [(join(path, name), below) for name, below in reversed(hurt.folders)]

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return list(islice(self, start, stop, step)) if step > 0 else list(self)[at]
        position = at + len(self) if at < 0 else at
        if not 0 <= position < len(self):
            raise IndexError(at)
        return next(islice(self, position, None))

    def __repr__(self) -> str:
        return f"AffectedPaths({len(self)})"
