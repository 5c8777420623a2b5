"""The values of a database that is loaded beside and given a name: the journal that lets a later start end it."""

from typing import Literal

from resticwrap.model.base import Time, Value

DbPhase = Literal[
    "loading", "naming", "exchanging", "kept", "undoing", "undone", "reverting", "reverted", "cleaning", "accepting",
    "made", "failed", "accepted",
]  # fmt: skip
"""Where a restore of databases stands; each is written before what it names is begun.

loading: what is live is untouched. naming: what was loaded gets a name that nothing has. exchanging: it gets the name
of what is live, which is kept under another. kept: done. undoing, undone: the old gets its name again, has it and the
other is kept. reverting, reverted: the same after a crash half way. cleaning: nothing was ever live, and what was
loaded is being dropped. accepting: what was kept is being dropped. made, failed, accepted: closed.
"""
STAGE_PREFIX = "rw_"
"""What the name of every database begins with that is loaded and has no name of its own yet."""


class DbPiece(Value, frozen=True):
    """One database on its way: the `database` of the dump, the name `live` that it is to get, the name `beside` that it
    is loaded under, and the name `kept` of what has been live (empty: nothing was)."""

    database: str
    live: str
    beside: str
    kept: str = ""


class DbJournal(Value, frozen=True):
    """The record of one restore, `journals/databases/<job>.json` in the state directory.

    `domain` is whose server it works on, `place` where that was, `source` whose `snapshot` (by its original id) is
    loaded, and `until` the moment at which the replay of a log stopped (None: at its end). `safety` is the snapshot of
    what was live; empty where there is none that has all of it. `reason`: why it did not end well.
    """

    job: str
    target: str
    domain: str
    place: str
    source: str
    snapshot: str
    phase: DbPhase
    started_at: Time
    changed_at: Time
    pieces: tuple[DbPiece, ...] = ()
    safety: str = ""
    until: Time | None = None
    reason: str = ""
