"""The second way to a file list with content ids: restic's own `find` and `ls`, should our reader of trees fail.

`find` with every pack of the repository names the blobs of every file, in order, but says nothing of empty files,
links and sizes; `ls` says those. Together they give what `Trees.walk` gives, but for the target of a link, the
number of hard links and names that are not UTF-8: restic prints those mangled, and we refuse to guess.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import msgspec

from resticwrap.errors import ResticFailed
from resticwrap.model.base import from_json
from resticwrap.model.objects import Entry, Kind
from resticwrap.restic.nodes import KINDS, parse_time, permission_bits

T = TypeVar("T")

_MANGLED = "\N{REPLACEMENT CHARACTER}"
_SEPARATOR = b'},{"object_type":'


class _Hit(msgspec.Struct, gc=False):
    object_type: str
    id: str
    path: str = ""


class _Listed(msgspec.Struct, gc=False):
    message_type: str = ""
    struct_type: str = ""
    path: str = ""
    type: str = ""
    size: int = 0
    mode: int = 0
    mtime: str = ""
    uid: int = 0
    gid: int = 0
    inode: int = 0


def find_arguments(snapshot: str, packs: Sequence[str]) -> list[str]:
    """What follows `restic --json`: ids of packs are shortened to 8 digits, since all of them must fit one command
    (2 MiB: 120,000 packs). Every pack's header is read: one request each from a store, none of them on cold packs."""
    return ["find", "--snapshot", snapshot, "--pack", *(pack[:8] for pack in packs)]


def contents_by_find(output: bytes) -> dict[bytes, tuple[str, ...]]:
    """The ordered blob ids of every file that has any, by path relative to the tree's root.

    `output` is what `restic find --json --snapshot S --pack PACK...` printed. Raises ResticFailed where it cannot be
    read, or where a path in it is mangled.
    """
    found: dict[bytes, tuple[str, ...]] = {}
    path, content = b"", list[str]()
    for hit in _hits(output):
        if hit.object_type != "blob":
            continue
        here = _path(hit.path)
        if here != path:
            if content:
                found[path] = tuple(content)
            path, content = here, []
        content.append(hit.id)
    if content:
        found[path] = tuple(content)
    return found


def entries_from_find(found: bytes, listed: bytes) -> Iterator[Entry]:
    """Every node of a snapshot, in the order of `listed`, the output of `restic ls --json S`. `found` as above.

    Raises ResticFailed, also where a file that is not empty has no blobs: then not all packs were asked for.
    """
    contents = contents_by_find(found)
    for line in listed.splitlines():
        node = _decode(line, _Listed)
        if "node" not in (node.message_type, node.struct_type):
            continue
        path = _path(node.path)
        content = contents.get(path, ()) if node.type == "file" else ()
        if node.type == "file" and node.size and not content:
            raise ResticFailed("restic find names no content for a file that has some.", hint="rw verify")
        yield Entry(
            path=path,
            kind=cast(Kind, node.type) if node.type in KINDS else "irregular",
            size=node.size,
            mode=permission_bits(node.mode),
            mtime=parse_time(node.mtime),
            uid=node.uid,
            gid=node.gid,
            content=content,
            inode=node.inode,
        )


def _hits(output: bytes) -> Iterator[_Hit]:
    """One by one, for the array may be hundreds of MiB. The separator cannot be part of a path: there its quotes
    would be escaped. An empty answer is an empty array or nothing at all."""
    text = output.strip()
    if text in (b"", b"[]", b"null"):
        return
    if not (text.startswith(b"[{") and text.endswith(b"}]")):
        raise ResticFailed("restic find did not print the list that it should.")
    at, end = 1, len(text) - 1
    while at < end:
        cut = text.find(_SEPARATOR, at, end)
        stop = end if cut < 0 else cut + 1
        yield _decode(text[at:stop], _Hit)
        at = stop + 1


def _decode(line: bytes, kind: type[T]) -> T:
    try:
        return from_json(kind, line)
    except msgspec.DecodeError as error:
        raise ResticFailed("restic printed JSON that this version cannot read.") from error


def _path(text: str) -> bytes:
    if _MANGLED in text:
        raise ResticFailed("restic cannot print a name that is not UTF-8, so its content cannot be told this way.")
    return text.strip("/").encode()
