"""Databases as they are dumped: what a dump holds, and what the program that makes one is told and says."""

from typing import Literal

from resticwrap.model.base import Value
from resticwrap.model.wal import BaseFacts, BaseOrder

Engine = Literal["postgres", "mysql", "sqlite"]


class TableFacts(Value, frozen=True):
    """The content of one table in a dump: `name` as the dump writes it (for PostgreSQL with its columns), how many
    rows, how many bytes of text, and the sha256 over that text, in hex."""

    name: str
    rows: int
    size: int
    digest: str


class DatabaseFacts(Value, frozen=True):
    """One database in a dump. `schema_digest` is the sha256 over all that is not rows, without comments."""

    name: str
    tables: tuple[TableFacts, ...] = ()
    schema_digest: str = ""

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


class DatabaseHead(Value, frozen=True):
    """What it takes to make an empty database like the dumped one: the words of CREATE DATABASE, by their names, and
    what is to be set on it afterwards (SQL, in which `{}` stands for its name)."""

    name: str
    options: dict[str, str] = {}
    after: tuple[str, ...] = ()


class DumpFacts(Value, frozen=True):
    """What a whole dump holds. `client` and `server` are versions, such as `15.18`."""

    engine: Engine
    server: str
    client: str = ""
    databases: tuple[DatabaseFacts, ...] = ()


class PutBack(Value, frozen=True):
    """How rows were put back: how many were given, how many were inserted, how many were there as they are (`same`),
    and whose keys other rows have (some of them by name, and how many). `notes`: what a person should know."""

    rows: int
    inserted: int
    conflicts: tuple[str, ...] = ()
    conflict_count: int = 0
    same: int = 0
    notes: tuple[str, ...] = ()


class DumpOrder(Value, frozen=True):
    """What `sources/produce.py` is told: which engine, the folder of the client's programs, the words that go before
    each of them (`docker exec …`), the environment that they get (it holds secrets), what is to be dumped, and how to
    call the `place`. `databases` empty: all. `arguments` go after each program, and hold no secret."""

    engine: Engine
    domain: str
    place: str = ""
    binaries: str = ""
    before: tuple[str, ...] = ()
    env: dict[str, str] = {}
    databases: tuple[str, ...] = ()
    exclude_data: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    base: BaseOrder | None = None
    """A base backup of the whole cluster, instead of a dump."""


class DumpSaid(Value, frozen=True):
    """What it says when it ends: nothing at all where it was killed. `kind` is that of an error."""

    ok: bool = False
    kind: str = ""
    message: str = ""
    hint: str = ""
    facts: DumpFacts | None = None
    base: BaseFacts | None = None
