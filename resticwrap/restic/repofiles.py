"""Where the bytes of a repository's files come from: restic's local cache, then the store.

The cache may hold old, torn or rotten copies, so a read offers one copy after the other and whoever can tell a sound
one takes it: `copies` is an iterator, and the store is asked only when the cache's copy was not good enough.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

from resticwrap.errors import ObjectMissing
from resticwrap.ports import Store

FileKind = Literal["index", "data", "snapshots"]

BLOCK = 1 << 20
BLOCKS_KEPT = 12
"""Packs are read from the store in blocks of 1 MiB, of which the last few are kept: the trees of one snapshot lie
close together, and a request for each would cost a round trip per folder."""


class RepositoryFiles(Protocol):
    """The files of one repository, read-only."""

    def names(self, kind: FileKind) -> list[tuple[str, int]]:
        """Name and size in bytes of every file of a kind, the newest first where that is known."""

    def copies(self, kind: FileKind, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same range of a file out of each place that has it, in the order in which to try them. What comes may
        be damaged or too short. Raises ObjectMissing (and what else the store raises) once the store is asked."""


class StoreFiles:
    """Straight from the store. `prefix` is where the repository lies in it ("" for its root)."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix.strip("/")
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._missing: set[str] = set()  # packs that are gone: asked for once, not once for each tree in them

    def names(self, kind: FileKind) -> list[tuple[str, int]]:
        found = sorted(self._store.list(self._key(kind, "")), key=lambda info: info.modified, reverse=True)
        named = [(info.key.rpartition("/")[2], info.size) for info in found]
        return [(name, size) for name, size in named if is_id(name)]

    def copies(self, kind: FileKind, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        key = self._key(kind, f"{name[:2]}/{name}" if kind == "data" else name)
        if length is None:
            yield self._store.get(key, offset)
        elif length >= BLOCK:
            yield self._store.get(key, offset, length)
        else:
            yield self._in_blocks(key, offset, length)

    def _key(self, kind: str, rest: str) -> str:
        return "/".join(part for part in (self._prefix, kind, rest) if part) + ("" if rest else "/")

    def _in_blocks(self, key: str, offset: int, length: int) -> bytes:
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        joined = b"".join(self._block(key, number) for number in range(first, last + 1))
        start = offset - first * BLOCK
        return joined[start : start + length]

    def _block(self, key: str, number: int) -> bytes:
        block = self._blocks.get((key, number))
        if block is None:
            if key in self._missing:
                raise ObjectMissing(f"The store has no object {key}.")
            try:
                block = self._store.get(key, number * BLOCK, BLOCK)
            except ObjectMissing:
                self._missing.add(key)
                raise
            self._blocks[key, number] = block
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end((key, number))
        return block


class CacheThenStore:
    """restic's cache directory first, then the store.

    `cache` is `$RESTIC_CACHE_DIR/<repository id>`; it need not exist. The names come from the store all the same, for
    the cache may lack some; with `names_from_cache` they come from the cache: quicker, and right only just after
    restic itself has brought the cache up to date.
    """

    def __init__(self, cache: Path, store: Store, prefix: str, *, names_from_cache: bool = False) -> None:
        self._cache = cache
        self._store = StoreFiles(store, prefix)
        self._names_from_cache = names_from_cache

    def names(self, kind: FileKind) -> list[tuple[str, int]]:
        if not self._names_from_cache:
            return self._store.names(kind)
        found: list[tuple[float, str, int]] = []
        for folder in _folders(self._cache / kind):
            with os.scandir(folder) as files:
                found += [(file.stat().st_mtime, file.name, file.stat().st_size) for file in files if is_id(file.name)]
        return [(name, size) for _, name, size in sorted(found, reverse=True)]

    def copies(self, kind: FileKind, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        cached = self._cached(kind, name, offset, length)
        if cached is not None:
            yield cached
        yield from self._store.copies(kind, name, offset, length)

    def _cached(self, kind: FileKind, name: str, offset: int, length: int | None) -> bytes | None:
        try:
            with (self._cache / kind / name[:2] / name).open("rb", buffering=0) as file:
                file.seek(offset)
                return file.read() if length is None else file.read(length)
        except OSError:  # not cached, or a cache that cannot be read: the store has it
            return None


def is_id(name: str) -> bool:
    """Whether this is how restic names a file: 64 hex digits. Temporary files beside them are not."""
    return len(name) == 64 and all(character in "0123456789abcdef" for character in name)


def _folders(kind: Path) -> list[Path]:
    try:
        return sorted(path for path in kind.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
