"""Objects of a snapshot: files, folders and links, and what their bytes are called."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Literal

from resticwrap.model.base import Time, Value

Kind = Literal["file", "dir", "symlink", "dev", "chardev", "fifo", "socket", "irregular"]
EMPTY = "sha256:" + hashlib.sha256(b"").hexdigest()


class Entry(Value, frozen=True):
    """One node of a snapshot's tree.

    `path` is relative to the domain's root, in raw bytes ("" is the root itself). `content` are the ordered ids of
    the blobs (64 hex digits) of a file, `subtree` the tree id of a folder, `link` the target of a symlink.
    """

    path: bytes
    kind: Kind
    size: int = 0
    mode: int = 0
    mtime: Time | None = None
    uid: int = 0
    gid: int = 0
    content: tuple[str, ...] = ()
    subtree: str = ""
    link: bytes | None = None
    links: int = 0
    inode: int = 0


class Change(Value, frozen=True):
    """One path in which two trees differ. `old` is missing where it was added, `new` where it was removed."""

    path: bytes
    what: Literal["added", "removed", "changed", "metadata", "bitrot"]
    old: Entry | None = None
    new: Entry | None = None


class ObjectRow(Value, frozen=True):
    """A file as the manifest's object list shows it. `path_b64` stands where the path is not UTF-8."""

    path: str
    size: int
    content_id: str
    domain: str
    path_b64: str | None = None


def content_id(content: Sequence[str], chunker: str) -> str:
    """What a file's bytes are called.

    The sha256 of the bytes where restic kept them as one blob (a blob's id is its sha256); otherwise the sha256 over
    the ordered blob ids and the fingerprint of the chunker that cut them, comparable only where that is the same.
    """
    if not content:
        return EMPTY
    if len(content) == 1:
        return "sha256:" + content[0]
    digest = hashlib.sha256(chunker.encode())
    for blob in content:
        digest.update(bytes.fromhex(blob))
    return "blobs:" + digest.hexdigest()


def show_path(path: bytes) -> str:
    """A path for people and JSON: what is not UTF-8 is shown as backslash escapes."""
    return path.decode("utf-8", "backslashreplace")


def path_b64(path: bytes) -> str | None:
    """The path in base64 where it is not UTF-8, else None."""
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(path).decode()
    return None


def object_row(entry: Entry, domain: str, chunker: str) -> ObjectRow:
    """The manifest's row of a file."""
    return ObjectRow(
        path=show_path(entry.path),
        size=entry.size,
        content_id=content_id(entry.content, chunker),
        domain=domain,
        path_b64=path_b64(entry.path),
    )


class BlobSums(Value, frozen=True):
    """Blobs, trees among them, each counted once. `stored` bytes are as they lie in the packs (without what a pack
    adds), `plain` as they were before. `lost` trees and blobs could not be read or found: then all of it is "at least".
    """

    blobs: int = 0
    stored: int = 0
    plain: int = 0
    lost: int = 0
