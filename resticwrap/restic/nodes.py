"""What stands in a restic tree: the nodes of one folder, as restic writes them, and as `Entry`."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import cast, get_args

import msgspec

from resticwrap.errors import Damaged
from resticwrap.model.objects import Entry, Kind

KINDS: frozenset[str] = frozenset(get_args(Kind))

# restic keeps the mode as Go's os.FileMode: the lower nine bits are POSIX's, these three lie elsewhere.
_GO_SETUID, _GO_SETGID, _GO_STICKY = 1 << 23, 1 << 22, 1 << 20

_ESCAPES = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class Node(msgspec.Struct, gc=False):
    """One node as restic writes it. `name` is quoted the way Go quotes strings; fields not named here are ignored.

    inode, device_id, ctime and atime are left out of comparisons: a restore cannot bring them back, or they change
    without anybody changing the file.
    """

    name: str
    type: str = ""
    mode: int = 0
    mtime: str = ""
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    inode: int = 0
    size: int = 0
    links: int = 0
    linktarget: str = ""
    linktarget_raw: bytes | None = None
    device: int = 0
    extended_attributes: msgspec.Raw = msgspec.Raw(b"null")
    content: tuple[str, ...] | None = None
    subtree: str | None = None

    def link(self) -> bytes | None:
        """The target of a symlink in raw bytes."""
        if self.type != "symlink":
            return None
        return self.linktarget.encode() if self.linktarget_raw is None else self.linktarget_raw


class _Tree(msgspec.Struct, gc=False):
    nodes: list[Node] | None


_HEAD, _BETWEEN, _END = b'{"nodes":[', b'},{"name":"', b"]}"
_decoder = msgspec.json.Decoder(_Tree)


def read_nodes(pieces: Iterable[bytes]) -> Iterator[Node]:
    """The nodes of a tree in restic's order, as its JSON comes in. Raises Damaged where this is not a tree.

    What restic did not write (spaces, another order) is decoded whole at the end, which only takes more memory.
    """
    text = b""
    for piece in pieces:
        nodes, text = _split(text)
        yield from nodes
        text += piece
    try:
        nodes = _decoder.decode(text).nodes or []
    except msgspec.DecodeError as error:
        raise Damaged("A tree of the repository is none that this version can read.") from error
    yield from nodes


def _split(text: bytes) -> tuple[list[Node], bytes]:
    """The nodes that are whole, and what is left, as a tree again."""
    if not text.startswith(_HEAD):
        return [], text
    # A cut may lie within a node's list of attributes, but never within a string, where its quotes would be escaped.
    # What is cut there has an open bracket and does not decode: then an earlier cut is tried.
    cut = text.rfind(_BETWEEN)
    while cut >= 0:
        try:
            return _decoder.decode(text[: cut + 1] + _END).nodes or [], _HEAD + text[cut + 2 :]
        except msgspec.DecodeError:
            cut = text.rfind(_BETWEEN, 0, cut)
    return [], text


def raw_name(node: Node) -> bytes:
    """The name of a node as the bytes that it had on disk. Raises Damaged."""
    return unquote(node.name) if "\\" in node.name else node.name.encode()


def unquote(text: str) -> bytes:
    """Undo Go's `strconv.Quote` (without the quotes around it). Raises Damaged on what that never writes."""
    out = bytearray()
    at = 0
    while True:
        escape = text.find("\\", at)
        if escape < 0:
            return bytes(out + text[at:].encode())
        out += text[at:escape].encode()
        letter = text[escape + 1 : escape + 2]
        at = escape + 2
        if letter in _HEX_ESCAPES:
            digits = text[at : at + _HEX_ESCAPES[letter]]
            at += _HEX_ESCAPES[letter]
            out += _hex_escape(letter, digits)
        elif letter in _ESCAPES:
            out += _ESCAPES[letter]
        else:
            raise Damaged("A tree of the repository holds a name that is not quoted as restic quotes names.")


def _hex_escape(letter: str, digits: str) -> bytes:
    try:
        if len(digits) != _HEX_ESCAPES[letter]:
            raise ValueError(digits)
        number = int(digits, 16)
        return bytes([number]) if letter == "x" else chr(number).encode()
    except ValueError as error:
        raise Damaged("A tree of the repository holds a name that is not quoted as restic quotes names.") from error


def entry_of(node: Node, path: bytes) -> Entry:
    """The node as `rw` knows it. `mode` becomes POSIX's permission bits (as `stat.S_IMODE` gives them)."""
    return Entry(
        path=path,
        kind=cast(Kind, node.type) if node.type in KINDS else "irregular",
        size=node.size,
        mode=permission_bits(node.mode),
        mtime=parse_time(node.mtime),
        uid=node.uid,
        gid=node.gid,
        content=node.content or (),
        subtree=node.subtree or "",
        link=node.link(),
        links=node.links,
        inode=node.inode,
    )


def permission_bits(go_mode: int) -> int:
    """POSIX's twelve permission bits out of Go's os.FileMode."""
    bits = go_mode & 0o777
    if go_mode & _GO_SETUID:
        bits |= 0o4000
    if go_mode & _GO_SETGID:
        bits |= 0o2000
    if go_mode & _GO_STICKY:
        bits |= 0o1000
    return bits


def parse_time(text: str) -> datetime | None:
    """A time of restic's (RFC 3339 with nanoseconds, any zone) in UTC to the microsecond; None where a datetime
    cannot hold it, as with the year 0."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def same_instant(one: str, other: str) -> bool:
    """Whether two of restic's times are the same to the nanosecond; the zone they are written in does not matter."""
    if one == other:
        return True
    return parse_time(one) is not None and parse_time(one) == parse_time(other) and _fraction(one) == _fraction(other)


def _fraction(text: str) -> str:
    digits = text.partition(".")[2]
    return digits[: len(digits) - len(digits.lstrip("0123456789"))].rstrip("0")


def same_content(one: Node, other: Node) -> bool:
    """Whether two nodes of one type hold the same: bytes, link target or device."""
    return (one.content or ()) == (other.content or ()) and one.link() == other.link() and one.device == other.device


def same_metadata(one: Node, other: Node) -> bool:
    """Whether a restore would give both the same owner, mode, time and attributes."""
    return (
        one.mode == other.mode
        and one.uid == other.uid
        and one.gid == other.gid
        and one.user == other.user
        and one.group == other.group
        and bytes(one.extended_attributes) == bytes(other.extended_attributes)
        and same_instant(one.mtime, other.mtime)
    )


def join(parent: bytes, name: bytes) -> bytes:
    """A path below another; "" is the root."""
    return parent + b"/" + name if parent else name


def parts(path: bytes) -> list[bytes]:
    """The names along a path, without empty ones."""
    return [part for part in path.split(b"/") if part not in (b"", b".")]
