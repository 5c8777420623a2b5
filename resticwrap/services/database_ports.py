"""What services need of databases, as Protocols. `sources/` implements them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from resticwrap.model.databases import DatabaseFacts, DatabaseHead, PutBack
from resticwrap.model.databases import Engine as EngineName


class Server(Protocol):
    """A server that can be loaded and asked: the live one of a domain, or one that is thrown away.

    Every call raises DatabaseUnavailable, DatabaseRefused, ClientMissing. No name that is given is ever part of a
    command that a shell reads, and no text of SQL is made of one unquoted.
    """

    @property
    def place(self) -> str:
        """Where it is, without a secret."""

    def version(self) -> str:
        """Such as `15.18`."""

    def databases(self) -> Sequence[str]:
        """The names of its databases, without those that the server needs for itself."""

    def identity(self, name: str) -> str:
        """What tells this database from every other, by whatever address it is reached; empty where it is not there."""

    def size(self, name: str) -> int | None:
        """Its bytes on the server's disk; None where that cannot be told."""

    def room(self) -> int | None:
        """Bytes that the server's disk has free; None where that cannot be told, as of another machine."""

    def create(self, head: DatabaseHead, name: str) -> None:
        """Make an empty database of this name, like the dumped one. Raises LoadFailed where there is one already."""

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected; one that is not there is no error."""

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:
        """Make the roles of a dump; with `only_missing` those that are there stay as they are. Returns complaints."""

    def load(self, name: str, body: Iterable[bytes]) -> None:
        """Load one database's part of a dump into an empty database. Raises LoadFailed at the first error."""

    def value(self, name: str, sql: str) -> str | None:
        """The one value that a query gives, as text; None for NULL. Raises LoadFailed where it gives none."""

    def facts(self, name: str) -> DatabaseFacts:
        """What a database holds now, read as a dump reads it, so that it compares with what a dump says."""

    def tables(self, name: str) -> Sequence[str]:
        """The tables of a database, as its dump names them (schema and name, quoted where that is needed), sorted."""

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        """The rows of a table as CSV (RFC 4180) in UTF-8, a line of column names first: NULL is an empty field, an
        empty text is `""`. `where` is SQL of the operator's own. Raises LoadFailed where it is not understood."""

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        """Insert rows of such CSV into a table, all in one transaction. A row that is there already, the same in every
        column, is left out. One whose key (of any unique constraint) another row has is a conflict: with
        `skip_conflicts` it is left out too, else nothing is inserted; with `dry_run` nothing is in any case. Raises
        LoadFailed, with nothing changed, where a row does not fit or points to nothing, or where it is no CSV."""

    def exchange(self, live: str, beside: str, kept: str) -> None:
        """Give `live` the name `kept`, and `beside` the name `live`: both or neither, whenever it is cut off. Whoever
        is connected to either is disconnected. Where there is no `live`, `beside` takes the name alone. May be
        repeated: where `beside` is gone and `kept` is there, it was done."""


class Engine(Protocol):
    """The database of one domain: its live server, and servers like it that are made to be thrown away."""

    @property
    def engine(self) -> EngineName: ...

    @property
    def name(self) -> str | None:
        """The one database of the domain; None: all of the server."""

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
        """Of one database's part of a dump: every definition that its rows need, and the rows of these tables alone,
        named as the dump names them or as people write them. Reads no further than the last of those rows. Raises
        NotFound (with names like it) where there is no such table, UsageError where several are meant, ValueError where
        the dump is not whole."""

    def live(self) -> Server:
        """The server that the policy names. Nothing is asked of it yet."""

    def scratch(self, folder: Path, version: str) -> AbstractContextManager[Server]:
        """An empty server for a dump of that version, with its data below `folder`: on no address that others reach,
        and gone after the block with all it held. Raises ClientMissing where there is no program for one."""

    def scratch_by(self, version: str) -> str:
        """What such a server is made by, for people: a folder, a program, an image; empty where it takes none. Raises
        ClientMissing where there is none."""
