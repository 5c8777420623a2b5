"""A cluster's base backup and its write-ahead log: what is known of them, here and in their snapshots."""

from resticwrap.model.base import Time, Value


class BaseFacts(Value, frozen=True):
    """One base backup. It is whole by itself: its tar holds the log from `start` to `end` (LSNs).

    `system` and `timeline` say whose log goes on from it. Times are the server's; `ended` is the first instant that can
    be restored. `segment`: bytes of one file of the log. `user`: the role that nobody can drop. `settings`: what a
    server needs at least to replay this log.
    """

    system: str
    timeline: int
    start: str
    end: str
    began: Time
    ended: Time
    server: str
    segment: int
    user: str
    settings: dict[str, str] = {}


class LogFacts(Value, frozen=True):
    """`base.json` beside the log in its snapshot: the base that it goes on from, its snapshot's original id, and how
    far it reaches: every commit before `until` is in it."""

    base: BaseFacts
    snapshot: str
    reached: str
    until: Time


class KeptBase(Value, frozen=True):
    """A base that the log here goes on from, by its snapshot's original id. `origin`: see `Origin`."""

    snapshot: str
    facts: BaseFacts
    origin: str


class ArchiveState(Value, frozen=True):
    """What the state directory knows of a domain in one target: its bases, oldest first, and the newest snapshot of the
    log with the base that it stands on, and the instant that it reaches."""

    bases: tuple[KeptBase, ...] = ()
    last: str = ""
    last_base: str = ""
    until: Time | None = None


class Origin(Value, frozen=True):
    """Whose log lies in the folder that it is received in. A lost slot, another server or another timeline begins a
    new one, and no base of an older one can be gone on from."""

    id: str
    system: str
    timeline: int


class ServerState(Value, frozen=True):
    """A server as it is asked before a base or a fetch. `slot`: its `wal_status`; empty where there is none. `kept`:
    from where on the slot keeps the log, `flushed`: where it ends (both empty: not known)."""

    system: str
    timeline: int
    version: int
    server: str
    segment: int
    user: str
    standby: bool
    slot: str
    keep_size: str
    level: str
    tablespaces: tuple[str, ...]
    settings: dict[str, str]
    now: Time
    kept: str = ""
    flushed: str = ""


class BaseOrder(Value, frozen=True):
    """What the producer of a base is told besides how to reach the server: the database to ask, and the server."""

    database: str
    server: ServerState


class Span(Value, frozen=True):
    """Between which instants a domain can be restored."""

    since: Time
    until: Time
