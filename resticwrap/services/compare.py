"""Compares what lies on a disk with what a snapshot's tree says: by content id, not by date or size alone."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Literal

from resticwrap.model.objects import Entry, show_path
from resticwrap.model.reports import Mismatch
from resticwrap.ports import Trees

What = Literal["missing", "kind", "link", "mode", "size", "content", "unreadable", "time", "owner"]
BATCH = 2000
PIECE = 1 << 20
Proven = Callable[[int, Entry, os.stat_result], bool]
"""Whether the bytes of the entry of this number were compared well already, and lie there still."""


def compare(
    trees: Trees,
    entries: Iterable[Entry],
    place: bytes,
    domain: str,
    *,
    modes: bool = True,
    owners: bool = False,
    cut: bool = False,
    proven: Proven = lambda *_: False,
) -> Iterator[tuple[Entry, Mismatch | None]]:
    """Every entry with what is wrong with it below `place` (None: it is as backed up).

    A file kept as several blobs is cut at the blobs' lengths from the index, and every piece is hashed to its name.
    With `owners`, owner and group of all count as well, and the time of files, to the two seconds that the coarsest
    file systems keep.

    `cut` is for what restic has just restored: a file that grew while it was backed up stands in the tree with more
    bytes than were kept, since restic up to 0.19.1 counts the piece at which it first met the end twice (measured: one
    in five of such files). Its restore fills that up with zeros, which nobody ever wrote. They are cut off.
    """
    source = enumerate(entries)
    while batch := list(islice(source, BATCH)):
        split = {blob for _, entry in batch if len(entry.content) > 1 for blob in entry.content}
        lengths = trees.blob_lengths(split) if split else {}
        for number, entry in batch:
            path = os.path.join(place, entry.path) if entry.path else place
            size = kept_size(entry, lengths)
            if cut and size < entry.size:
                _cut(path, entry.size, size)
            before = partial(proven, number, entry)
            yield entry, _difference(entry, size, path, lengths, modes, owners, domain, before)


def kept_size(entry: Entry, lengths: Mapping[str, int]) -> int:
    """How many bytes of a file were kept: what its blobs hold, where their lengths are known."""
    known = [lengths.get(blob) for blob in entry.content] if len(entry.content) > 1 else [None]
    return entry.size if None in known else sum(length for length in known if length is not None)


def _cut(path: bytes, told: int, kept: int) -> None:
    """Shorten a file of the size that the tree tells to what was kept; mode and time stay. What cannot be cut is
    compared as it is."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size != told:
            return
        mode = stat.S_IMODE(found.st_mode)
        try:
            os.chmod(path, mode | stat.S_IWUSR)
            os.truncate(path, kept)
        finally:
            os.chmod(path, mode)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _difference(
    entry: Entry,
    size: int,
    path: bytes,
    lengths: Mapping[str, int],
    modes: bool,
    owners: bool,
    domain: str,
    proven: Callable[[os.stat_result], bool],
) -> Mismatch | None:
    def wrong(what: What, why: str) -> Mismatch:
        return Mismatch(domain=domain, path=show_path(entry.path), what=what, why=why)

    try:
        found = os.lstat(path)
    except OSError as error:
        return wrong("missing", f"cannot be looked at: {error.strerror}")
    if _kind(found.st_mode) != entry.kind:
        return wrong("kind", f"is a {_kind(found.st_mode)}, was a {entry.kind}")
    if entry.kind == "symlink" and entry.link not in (None, os.readlink(path)):
        return wrong("link", "points elsewhere")
    if entry.kind == "file":
        if found.st_size != size:
            return wrong("size", f"has {found.st_size} bytes, had {size}")
        try:
            if not proven(found) and not same_content(entry, path, lengths):
                return wrong("content", "has other content")
        except OSError as error:
            return wrong("unreadable", f"cannot be read: {error.strerror}")
    if modes and entry.kind != "symlink" and stat.S_IMODE(found.st_mode) != entry.mode:
        return wrong("mode", f"has mode {stat.S_IMODE(found.st_mode):o}, had {entry.mode:o}")
    if owners and entry.kind == "file" and entry.mtime and abs(found.st_mtime - entry.mtime.timestamp()) > 2:
        return wrong("time", f"was changed at another time than {entry.mtime:%Y-%m-%d %H:%M:%S %Z}")
    # Last: where it cannot be helped it must not hide anything else.
    if owners and (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
        return wrong("owner", f"belongs to {found.st_uid}:{found.st_gid}, belonged to {entry.uid}:{entry.gid}")
    return None


def may_own(entry: Entry) -> bool:
    """Whether this process may give something the owner and group of an entry."""
    if os.geteuid() == 0:
        return True
    return entry.uid == os.geteuid() and (entry.gid == os.getegid() or entry.gid in os.getgroups())


def excused(entry: Entry, mismatch: Mismatch | None) -> bool:
    """Whether all that is wrong is an owner or group that this process may not set."""
    return mismatch is not None and mismatch.what == "owner" and not may_own(entry)


def same_content(
    entry: Entry,
    path: bytes,
    lengths: Mapping[str, int],
    *,
    heed: Callable[[], None] = lambda: None,
    seen: Callable[[os.stat_result], None] = lambda _: None,
) -> bool:
    """Whether a file's bytes are the entry's blobs, in order and to the last byte.

    `heed` is called once for every piece that is read. `seen` gets what the file that was read is, before it is.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        seen(os.fstat(file))
        if len(entry.content) == 1 and entry.size < PIECE:
            whole = os.read(file, entry.size + 1)
            # Where less comes than there is, it is read in pieces below.
            if len(whole) == entry.size:
                return hashlib.sha256(whole).hexdigest() == entry.content[0] and not os.read(file, 1)
            os.lseek(file, 0, os.SEEK_SET)
        for blob in entry.content:
            length = entry.size if len(entry.content) == 1 else lengths.get(blob)
            if length is None:
                return False
            digest = hashlib.sha256()
            while length > 0 and (piece := os.read(file, min(length, PIECE))):
                heed()
                digest.update(piece)
                length -= len(piece)
            if length or digest.hexdigest() != blob:
                return False
        return not os.read(file, 1)
    finally:
        os.close(file)


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISREG, "file"),
        (stat.S_ISDIR, "dir"),
        (stat.S_ISLNK, "symlink"),
        (stat.S_ISFIFO, "fifo"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISBLK, "dev"),
        (stat.S_ISCHR, "chardev"),
    ):
        if test(mode):
            return name
    return "irregular"
