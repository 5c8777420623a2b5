"""The index of a repository: which blob lies where in which pack.

Built for a small footprint: half a million blobs take about 20 MiB. Index files are read one at a time and only as far
as needed: newest first, until the tree asked for is found. Blobs of file data are left out until somebody needs them.
"""

import hashlib
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, groupby
from typing import NamedTuple

from resticwrap.errors import Damaged, Failure, ObjectMissing
from resticwrap.ports import BlobPlace, PackBlob
from resticwrap.restic.crypto import OVERHEAD, MasterKey
from resticwrap.restic.indexfile import Batch, OtherShape, split, whole
from resticwrap.restic.repofiles import RepositoryFiles

ID_BYTES = 32
HEADER_BYTES = OVERHEAD + 4
"""A pack ends in its encrypted list of blobs and four bytes that tell how long that is."""
PLAIN_ENTRY_BYTES = 1 + 4 + ID_BYTES
COMPRESSED_ENTRY_BYTES = PLAIN_ENTRY_BYTES + 4


class Place(NamedTuple):
    """Where a blob lies. Lengths in bytes; `uncompressed` 0 means that it is not compressed."""

    pack: str
    offset: int
    length: int
    uncompressed: int


class Table:
    """Rows of a 32-byte id and a fixed number of bytes. An id may have several rows; the same row counts once.

    The rows lie in 256 byte arrays by the id's first byte, each sorted when it is next looked into.
    """

    def __init__(self, value: str) -> None:
        self._value = struct.Struct(value)
        self._row = ID_BYTES + self._value.size
        self._buckets = [bytearray() for _ in range(256)]
        self._unsorted = [False] * 256
        self._starts: list[int] = []

    def add(self, id_: bytes, *values: int) -> None:
        """Add a row."""
        bucket = id_[0]
        self._buckets[bucket] += id_ + self._value.pack(*values)
        self._unsorted[bucket] = True
        self._starts = []

    def get(self, id_: bytes) -> list[tuple[int, ...]]:
        """The values of every row of this id."""
        return self._look(id_)[1]

    def find(self, id_: bytes) -> tuple[int, list[tuple[int, ...]]]:
        """The number of the first row of this id, which holds for as long as nothing is added, and their values."""
        if not self._starts:
            lengths = (len(self._sorted(bucket)) // self._row for bucket in range(256))
            self._starts = [0, *accumulate(lengths)]
        at, found = self._look(id_)
        return self._starts[id_[0]] + at, found

    def __len__(self) -> int:
        """How many rows there are, at most: one that was added twice may still count twice."""
        return sum(map(len, self._buckets)) // self._row

    def _look(self, id_: bytes) -> tuple[int, list[tuple[int, ...]]]:
        rows, size = self._sorted(id_[0]), self._row
        low, high = 0, len(rows) // size
        while low < high:
            middle = (low + high) // 2
            if rows[middle * size : middle * size + ID_BYTES] < id_:
                low = middle + 1
            else:
                high = middle
        found: list[tuple[int, ...]] = []
        at = low * size
        while rows[at : at + ID_BYTES] == id_:
            found.append(self._value.unpack_from(rows, at + ID_BYTES))
            at += size
        return low, found

    def __iter__(self) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        """Every row, in the order of the ids."""
        for bucket in range(256):
            rows = self._sorted(bucket)
            for at in range(0, len(rows), self._row):
                yield bytes(rows[at : at + ID_BYTES]), self._value.unpack_from(rows, at + ID_BYTES)

    def _sorted(self, bucket: int) -> bytearray:
        rows = self._buckets[bucket]
        if self._unsorted[bucket]:
            size = self._row
            rows = bytearray(b"".join(sorted({bytes(rows[at : at + size]) for at in range(0, len(rows), size)})))
            self._buckets[bucket] = rows
            self._unsorted[bucket] = False
        return rows


class Index:
    """The index as it was when first asked; after a backup, make a new one. For one thread."""

    def __init__(self, files: RepositoryFiles, key: MasterKey) -> None:
        self._files = files
        self._key = key
        self._to_read: list[str] | None = None  # for the trees; None before the first look, the last is read next
        self._read: set[str] = set()
        self._problem: Failure | None = None  # the last index file that could not be read
        self._pack_ids: list[bytes] = []
        self._pack_numbers: dict[bytes, int] = {}
        self._pack_sizes = array("Q")
        self._trees = Table(">IQII")  # pack, offset, length, uncompressed
        self._data: Table | None = None  # pack, length of the plaintext, length in the pack

    def tree(self, id_: bytes) -> list[Place]:
        """Everywhere that a tree lies; raises Damaged where the index does not name it."""
        while True:
            found = self._trees.get(id_)
            if found:
                return [
                    Place(self._pack_ids[pack].hex(), offset, length, plain) for pack, offset, length, plain in found
                ]
            if not self._read_next():
                missing = f"The index of the repository does not name the tree {id_.hex()[:8]}."
                raise Damaged(missing, hint="restic repair index") from self._problem

    def packs(self) -> dict[str, int]:
        """Every pack, with the size in bytes that its file must have."""
        self._read_all()
        return {pack.hex(): size for pack, size in zip(self._pack_ids, self._pack_sizes, strict=True)}

    def lengths(self, blobs: Iterable[str]) -> dict[str, int]:
        """The plaintext length of each of these data blobs; those that the index does not name are left out."""
        table = self._data_table()
        found = ((blob, table.get(bytes.fromhex(blob))) for blob in blobs)
        return {blob: rows[0][1] for blob, rows in found if rows}

    def packs_of(self, blobs: Iterable[str]) -> dict[str, list[str]]:
        """Every pack that each of these data blobs lies in; those that the index does not name are left out."""
        table = self._data_table()
        found = ((blob, table.get(bytes.fromhex(blob))) for blob in blobs)
        return {blob: sorted({self._pack_ids[row[0]].hex() for row in rows}) for blob, rows in found if rows}

    def placed(self, blob: bytes) -> tuple[int, int, int] | None:
        """Of a data blob its number, which stays as it is from now on, its plaintext length and its length in the first
        pack that has it; None where the index does not name it."""
        table = self._data_table()
        at, rows = table.find(blob)
        return (at, rows[0][1], rows[0][2]) if rows else None

    def places(self, blob: str) -> list[BlobPlace]:
        """Everywhere that a data blob lies. Offsets of data are not kept in memory, so all index files are read."""
        found: set[tuple[str, int, int]] = set()

        def take(batches: Iterator[Batch]) -> None:
            for pack, blobs in batches:
                found.update((pack, one.offset, one.length) for one in blobs if one.id == blob and one.type == "data")

        for name in self._names():
            self._visit(name, take)
        return [BlobPlace(pack=pack, offset=offset, length=length) for pack, offset, length in sorted(found)]

    def data_count(self) -> int:
        """One more than the largest number that `placed` tells."""
        return len(self._data_table())

    def data_only(self) -> frozenset[str]:
        """The packs that hold data blobs and nothing else."""
        with_data = {values[0] for _, values in self._data_table()}
        with_trees = {values[0] for _, values in self._trees}
        return frozenset(self._pack_ids[number].hex() for number in with_data - with_trees)

    def only_in(self, packs: Iterable[str]) -> list[PackBlob]:
        """The blobs that lie in these packs and in no other. One that lies in several of them stands there for each."""
        self._read_all()
        numbers = (self._pack_numbers.get(bytes.fromhex(pack)) for pack in packs)
        wanted = {number for number in numbers if number is not None}
        found: list[PackBlob] = []
        for kind, table in (("data", self._data_table()), ("tree", self._trees)):
            for id_, rows in groupby(table, key=lambda row: row[0]):
                places = {values[0] for _, values in rows}
                if places <= wanted:
                    packs_of = [self._pack_ids[number].hex() for number in sorted(places)]
                    found += [PackBlob(id=id_.hex(), kind=kind, pack=pack) for pack in packs_of]
        return found

    def _read_next(self) -> bool:
        """Read one more index file; False when all were read."""
        if self._to_read is None:
            self._to_read = self._names()
        if not self._to_read:
            return False
        name = self._to_read[-1]
        try:
            self._visit(name, self._take_trees)
        except ObjectMissing as error:
            # A prune may have written the index anew since we listed it; then its new files say it all.
            names = self._names()
            if name in names:
                self._problem = error
            self._to_read = [listed for listed in names if listed not in self._read and listed != name]
            return True
        except Damaged as error:
            # The other index files still lead to most of the trees.
            self._problem = error
        else:
            self._read.add(name)
        self._to_read.pop()
        return True

    def _read_all(self) -> None:
        """Read what is left. Raises what is wrong with any index file: these answers must not be short."""
        while self._read_next():
            pass
        if self._problem is not None:
            raise self._problem

    def _names(self) -> list[str]:
        """Oldest first: the last one is read first, since what is asked for was mostly written lately."""
        return [name for name, _ in reversed(self._files.names("index"))]

    def _take_trees(self, batches: Iterator[Batch]) -> None:
        """Take the trees, and the sizes of all packs."""
        sizes: dict[int, int] = {}
        for pack, blobs in batches:
            number = self._number(pack)
            size = sizes.get(number, HEADER_BYTES)
            for blob in blobs:
                size += blob.length + (COMPRESSED_ENTRY_BYTES if blob.uncompressed_length else PLAIN_ENTRY_BYTES)
                if blob.type == "tree":
                    self._trees.add(bytes.fromhex(blob.id), number, blob.offset, blob.length, blob.uncompressed_length)
            sizes[number] = size
        for number, size in sizes.items():
            # A pack may stand in several index files; each names all of it.
            self._pack_sizes[number] = max(self._pack_sizes[number], size)

    def _take_data(self, table: Table, batches: Iterator[Batch]) -> None:
        for pack, blobs in batches:
            number = self._number(pack)
            for blob in blobs:
                if blob.type == "data":
                    plain = blob.uncompressed_length or blob.length - OVERHEAD
                    table.add(bytes.fromhex(blob.id), number, plain, blob.length)

    def _number(self, pack: str) -> int:
        id_ = bytes.fromhex(pack)
        number = self._pack_numbers.setdefault(id_, len(self._pack_ids))
        if number == len(self._pack_ids):
            self._pack_ids.append(id_)
            self._pack_sizes.append(0)
        return number

    def _data_table(self) -> Table:
        if self._data is None:
            self._read_all()
            table = Table(">III")
            for name in sorted(self._read):
                self._visit(name, partial(self._take_data, table))
            self._data = table
        return self._data

    def _visit(self, name: str, take: Callable[[Iterator[Batch]], None]) -> None:
        """Let `take` have an index file, from the first place that has a sound copy. Raises Damaged, ObjectMissing."""
        for sealed in self._files.copies("index", name):
            if hashlib.sha256(sealed).hexdigest() != name:
                continue
            try:
                take(split(self._key.open_file(sealed)))
            except OtherShape:
                take(whole(self._key.open_file(sealed)))  # what was taken already counts once
            return
        raise Damaged(f"The index file {name[:8]} does not hash to its name.", hint="restic repair index")
