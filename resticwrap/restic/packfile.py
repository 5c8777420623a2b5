"""What a pack holds, by its own list of blobs, which stands at its end: independent of the index.

The format is in restic's design document: https://restic.readthedocs.io/en/stable/100_references.html#pack-format
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

from resticwrap.errors import Damaged
from resticwrap.restic.crypto import MasterKey

LENGTH = struct.Struct("<I")
ENTRIES = {0: struct.Struct("<I"), 1: struct.Struct("<I"), 2: struct.Struct("<II"), 3: struct.Struct("<II")}
"""By kind (data, tree, and the same compressed): the length in the pack, and that of the plaintext."""
ID_BYTES = 32


class Packed(NamedTuple):
    """A blob in a pack. Lengths in bytes; `uncompressed` 0 means that it is not compressed."""

    id: bytes
    offset: int
    length: int
    uncompressed: int


def sound(key: MasterKey, name: str, content: bytes) -> frozenset[str]:
    """The ids of all blobs, each of them decrypted and hashed. Raises Damaged where anything is not as it was."""
    if hashlib.sha256(content).hexdigest() != name:
        raise Damaged(f"Pack {name[:8]} does not hash to its name.")
    found = set[str]()
    for blob in blobs(key, content):
        for _ in _opened(key, content, blob):
            pass
        found.add(blob.id.hex())
    return frozenset(found)


def readable(key: MasterKey, content: bytes) -> frozenset[str]:
    """The ids of those blobs that are sound; none where the list of them cannot be read."""
    found = set[str]()
    try:
        listed = list(blobs(key, content))
    except Damaged:
        return frozenset()
    for blob in listed:
        try:
            for _ in _opened(key, content, blob):
                pass
        except Damaged:
            continue
        found.add(blob.id.hex())
    return frozenset(found)


def _opened(key: MasterKey, content: bytes, blob: Packed) -> Iterator[bytes]:
    yield from key.open_blob(content[blob.offset : blob.offset + blob.length], blob.id, blob.uncompressed)


def blobs(key: MasterKey, content: bytes) -> Iterator[Packed]:
    """Every blob that a pack lists, in order. Raises Damaged."""
    if len(content) < LENGTH.size:
        raise Damaged(f"{len(content)} bytes are too few for a pack.")
    (length,) = LENGTH.unpack(content[-LENGTH.size :])
    end = len(content) - LENGTH.size
    if length > end:
        raise Damaged("The end of a pack does not tell where its list of blobs is.")
    listed = key.decrypt(content[end - length : end])
    at = offset = 0
    while at < len(listed):
        entry = ENTRIES.get(listed[at])
        if entry is None or at + 1 + entry.size + ID_BYTES > len(listed):
            raise Damaged("The list of blobs of a pack is not in the format that is known.")
        stored, *plain = entry.unpack_from(listed, at + 1)
        at += 1 + entry.size
        yield Packed(listed[at : at + ID_BYTES], offset, stored, plain[0] if plain else 0)
        at += ID_BYTES
        offset += stored
