"""The values of an in-place restore: what is exchanged, and the journal that lets a later start finish or undo it.

Paths and names are bytes (base64 in JSON), since names need not be UTF-8.
"""

from typing import Literal

from resticwrap.model.base import Time, Value

SwapState = Literal["before", "between", "after"]
Phase = Literal[
    "staging", "exchanging", "exchanged", "reverting", "reverted", "cleaning", "kept", "undoing", "undone", "accepting",
    "failed", "accepted",
]  # fmt: skip
"""Where an in-place restore stands; each is written before what it names is begun.

staging: live is untouched. exchanging, exchanged: new trees go in, are in but not yet compared. reverting, reverted:
the old trees go back in, are back and the new ones kept, since something may have been written to them. cleaning: live
was never touched, the stage is being removed. kept: done, old tree kept. undoing, undone: the old tree goes back in,
is back and the other one kept. accepting: the kept tree is being removed. failed, accepted: closed.
"""
STAGE_PREFIX = ".rw-restore-"
"""What the name of every staging folder of an in-place restore begins with; it holds the kept tree afterwards."""
BESIDE_PREFIX = ".rw-beside-"
"""The same of a restore beside. Another name, since what it left unfinished is removed, and a kept tree never is."""
OWN_PREFIXES = (STAGE_PREFIX, BESIDE_PREFIX)
"""Backups leave such names out, exchanges leave them in place."""


class RootMeta(Value, frozen=True):
    """A folder's own metadata, for a folder that cannot be exchanged itself. Times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class SwapEntry(Value, frozen=True):
    """One name: `name` in the live folder, `staged` in the stage, and the inodes they had before; None: not there."""

    name: bytes
    staged: bytes
    live: int | None
    new: int | None


class Swap(Value, frozen=True):
    """A set of names exchanged between two folders of one file system.

    Inode numbers tell for each whether it was exchanged; device numbers do not, as they may change with a reboot.
    `old_root` and `new_root` are there where the entries of a mount point are exchanged instead of the folder itself.
    """

    container: bytes
    stage: bytes
    entries: tuple[SwapEntry, ...]
    old_root: RootMeta | None = None
    new_root: RootMeta | None = None


class Place(Value, frozen=True):
    """How a live path can be exchanged: `whole`, by its name in `container`, or else by the entries inside it.

    `live` is the path with its parents resolved; the stage goes into `container`; `missing` are the parents that do not
    exist yet, outermost first.
    """

    live: bytes
    whole: bool
    container: bytes
    missing: tuple[bytes, ...] = ()


class Piece(Value, frozen=True):
    """One thing to put back: the path `inside` a snapshot goes to `live`, which is the domain's `root` (resolved) or
    lies below it. `size` is what it needs, in bytes."""

    domain: str
    snapshot: str
    inside: bytes
    root: bytes
    live: bytes
    size: int
    tier: str = "hot"


class JournalPiece(Value, frozen=True):
    """One piece on its way: `staged` is where the new tree was restored and, after, where the old one is kept.

    `safety` is the snapshot of what was live, None where nothing was. `undo` is the exchange back, planned anew since
    live names may have changed by then.
    """

    piece: Piece
    place: Place
    stage: bytes
    safety: str | None = None
    staged: bytes | None = None
    swap: Swap | None = None
    undo: Swap | None = None


class Journal(Value, frozen=True):
    """The record of one in-place restore, `journals/<job>.json` in the state directory.

    `reason`: why it did not end well, or what is strange about what it put in place. `forced`: a person said that
    nothing uses the place though not every process could be looked into.
    """

    job: str
    target: str
    phase: Phase
    started_at: Time
    changed_at: Time
    pieces: tuple[JournalPiece, ...]
    reason: str = ""
    forced: bool = False


class Safety(Value, frozen=True):
    """A snapshot of what is live, taken before anything is exchanged."""

    snapshot: str
    complete: bool


class Holder(Value, frozen=True):
    """A process that uses something below a path. `what`: fd, cwd, root, exe, map, or mount (of it, elsewhere)."""

    pid: int
    command: str
    what: str
    path: str


class HolderReport(Value, frozen=True):
    """Who holds files open. `unseen` processes could not be looked into; `namespaced`: others may exist unseen."""

    holders: tuple[Holder, ...] = ()
    unseen: int = 0
    namespaced: bool = False


class Unsaved(Value, frozen=True):
    """What a tree has and a snapshot has not, or has with other content: how many, and the first of them by name."""

    count: int = 0
    named: tuple[str, ...] = ()


class InPlaceResult(Value, frozen=True):
    """How an in-place restore, its undo or its acceptance ended. `kept` names the trees that were put aside."""

    job: str
    phase: Phase
    kept: tuple[str, ...] = ()
    safety: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Recovered(Value, frozen=True):
    """What a later start did with a restore that a crash left open. `error` where it could not (yet) be closed,
    `reason` where it was, and a person should look."""

    job: str
    was: Phase
    now: Phase
    kept: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    reason: str = ""
