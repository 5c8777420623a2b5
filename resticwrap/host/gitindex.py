"""Whether git tracks a file, out of the index itself: git may not be installed, and refuses to answer root about a
repository that is somebody else's.

The format: https://git-scm.com/docs/index-format
"""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 512 << 20
STAT_BYTES = 40
"""Of an entry, before the name of its object: times, device, inode, mode, owner, size."""
EXTENDED, NAME_LENGTH = 0x4000, 0x0FFF
OPTIONAL = range(ord("A"), ord("Z") + 1)
"""How the name of an extension begins that a reader may pass over."""


class Unreadable(ValueError):
    """An index that we do not understand: whether it has a file is not known."""


def tracker(path: Path) -> Path | None:
    """The working tree whose index has this file; None where no index has it. Raises Unreadable, OSError."""
    real = path.parent.resolve() / path.name
    for folder in real.parents:
        index = _index(folder)
        if index is not None:
            name = str(real.relative_to(folder)).encode("utf-8", "surrogateescape")
            return folder if index.is_file() and name in set(_names(_bytes(index))) else None
    return None


def _index(folder: Path) -> Path | None:
    """Where the index of a working tree is; None where the folder is none. That of a submodule or a second working
    tree is elsewhere, and a file says where."""
    git = folder / ".git"
    if git.is_dir():
        return git / "index"
    if not git.is_file():
        return None
    text = git.read_text(encoding="utf-8", errors="surrogateescape")
    return (folder / text.removeprefix("gitdir:").strip() / "index").resolve() if text.startswith("gitdir:") else None


def _bytes(index: Path) -> bytes:
    if index.stat().st_size > MOST_BYTES:
        raise Unreadable(f"{index} is too large")
    return index.read_bytes()


def _names(data: bytes) -> Iterator[bytes]:
    """The paths of an index. Raises Unreadable."""
    if data[:4] != b"DIRC" or len(data) < 12:
        raise Unreadable("no index")
    version, count = struct.unpack_from(">II", data, 4)
    if version not in (2, 3, 4):
        raise Unreadable(f"version {version}")
    id_bytes = 32 if hashlib.sha256(data[:-32]).digest() == data[-32:] else 20
    at, name = 12, b""
    try:
        for _ in range(count):
            begin = at
            at += STAT_BYTES + id_bytes
            (flags,) = struct.unpack_from(">H", data, at)
            at += 4 if flags & EXTENDED and version > 2 else 2
            if version == 4:
                strip, at = _number(data, at)
                end = data.index(b"\0", at)
                name = name[: len(name) - strip] + data[at:end]
                at = end + 1
            else:
                length = flags & NAME_LENGTH
                end = at + length if length < NAME_LENGTH else data.index(b"\0", at)
                name, at = data[at:end], end
                at += 8 - (at - begin) % 8
            yield name
        _known_extensions(data, at, len(data) - id_bytes)
    except (struct.error, ValueError, IndexError) as error:
        raise Unreadable("cut off") from error


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, as git writes offsets, and where it ends."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
    return value, at + 1


def _known_extensions(data: bytes, at: int, end: int) -> None:
    """Raises Unreadable where a part of the index lies elsewhere (`link`), or is of a kind that must be understood."""
    while at < end:
        if data[at] not in OPTIONAL and data[at : at + 4] != b"sdir":
            raise Unreadable("a part of it lies elsewhere")
        (size,) = struct.unpack_from(">I", data, at + 4)
        at += 8 + size
