"""What the commands of databases report."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.job import Job

DbRestoreMode = Literal["new", "replace", "copy", "undo", "accept", "planned", "folder"]


class RestoredDatabase(Value, frozen=True):
    """One database of a dump, under the `name` that it got. `wrong`: the tables that are not what the dump said;
    `definitions`: whether all that is no rows is; `unexpected`: what the policy's queries say otherwise."""

    database: str
    name: str
    tables: int
    rows: int
    wrong: tuple[str, ...] = ()
    definitions: bool = True
    unexpected: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.wrong and self.definitions and not self.unexpected


class KeptDatabase(Value, frozen=True):
    """A database that a restore has put aside: what had the `name` is `kept` under another; `command` removes it."""

    name: str
    kept: str
    job: str = ""
    since: Time | None = None
    command: str = ""
    undo: str = ""


class DbRestoreReport(Value, frozen=True):
    """How a restore of a database ended, its undo, or its acceptance. `domain` is whose server it worked on, `source`
    whose `snapshot` was loaded; `restored` is the restore that `undo` and `accept` are of, and of others its own."""

    job: Job
    domain: str
    snapshot: str
    time: Time | None
    databases: tuple[RestoredDatabase, ...]
    notes: tuple[str, ...] = ()
    mode: DbRestoreMode = "new"
    source: str = ""
    place: str = ""
    restored: str = ""
    safety: str = ""
    kept: tuple[KeptDatabase, ...] = ()


class DatabaseSize(Value, frozen=True):
    """One database of a server, and its bytes there; None where that cannot be told."""

    name: str
    size: int | None


class ListedDatabase(Value, frozen=True):
    """One domain of `rw db list`. `error`: why its server does not answer; `since` and `until`: the moments that it can
    be restored to, where its log is kept; `snapshot` and `time` of its newest snapshot."""

    domain: str
    engine: str
    place: str
    version: str = ""
    error: str = ""
    hint: str = ""
    databases: tuple[DatabaseSize, ...] = ()
    snapshot: str | None = None
    time: Time | None = None
    since: Time | None = None
    until: Time | None = None
    kept: tuple[KeptDatabase, ...] = ()


class DbListReport(Value, frozen=True):
    """The databases of the policy."""

    target: str
    rows: tuple[ListedDatabase, ...]
    notes: tuple[str, ...] = ()
