"""One index file of restic: JSON of packs and their blobs, read piece by piece.

A repository of many tiny files has index files of 250,000 blobs, 45 MB of JSON. restic writes them in one shape without
spaces, which is split here as it is decompressed; what other programs wrote is decoded whole.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from resticwrap.errors import Damaged

_HEAD = b'{"packs":['
_PACK = re.compile(rb'\}?,?\{"id":"([0-9a-f]{64})","blobs":\[')
_TAIL = re.compile(rb"\}?\]\}\s*")


class IndexBlob(msgspec.Struct, gc=False):
    """One blob of a pack. Lengths in bytes; without `uncompressed_length` it is not compressed."""

    id: str
    type: Literal["data", "tree"]
    offset: int
    length: int
    uncompressed_length: int = 0


class _Pack(msgspec.Struct, gc=False):
    id: str
    blobs: list[IndexBlob]


class _IndexFile(msgspec.Struct, gc=False):
    # Old files also have `supersedes`. restic reads every index file that is there and so do we.
    packs: list[_Pack]


Batch = tuple[str, Sequence[IndexBlob]]
"""A pack and some of its blobs."""


class OtherShape(Exception):
    """Not the shape that restic writes; what was yielded before is sound as far as it goes."""


_blobs = msgspec.json.Decoder(list[IndexBlob])
_file = msgspec.json.Decoder(_IndexFile)


def split(pieces: Iterable[bytes]) -> Iterator[Batch]:
    """The blobs of an index file in batches. Raises OtherShape, possibly after some batches."""
    text, pack, started = b"", "", False
    for piece in pieces:
        text += piece
        if not started:
            if len(text) < len(_HEAD):
                continue
            if not text.startswith(_HEAD):
                raise OtherShape
            text, started = text[len(_HEAD) :], True
        at = 0
        while True:
            if not pack:
                found = _PACK.match(text, at)
                if found is None:  # the end, or the next piece has the rest
                    break
                pack, at = found[1].decode(), found.end()
            stop = text.find(b"]", at)  # nothing inside a blob holds a bracket
            if stop < 0:
                comma = text.rfind(b"},", at)
                if comma >= 0:
                    yield pack, _decode(text[at : comma + 1])
                    at = comma + 2
                break
            yield pack, _decode(text[at:stop])
            pack, at = "", stop + 1
        text = text[at:]
    if pack or not started or not _TAIL.fullmatch(text):
        raise OtherShape


def whole(pieces: Iterable[bytes]) -> Iterator[Batch]:
    """The same out of any JSON of that meaning. Raises Damaged."""
    try:
        decoded = _file.decode(b"".join(pieces))
    except msgspec.DecodeError as error:
        raise Damaged("An index file of the repository is none that this version can read.") from error
    for pack in decoded.packs:
        yield pack.id, pack.blobs


def _decode(blobs: bytes) -> list[IndexBlob]:
    try:
        return _blobs.decode(b"[" + blobs + b"]")
    except msgspec.DecodeError as error:
        raise OtherShape from error
