"""What services need of databases, as Protocols. `sources/` implements them."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from resticwrap.model.databases import DatabaseFacts, DatabaseHead
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

    def exchange(self, live: str, beside: str, kept: str) -> None:
        """Give `live` the name `kept`, and `beside` the name `live`: both or neither, whenever it is cut off. Whoever
        is connected to either is disconnected. Where there is no `live`, `beside` takes the name alone."""


class Engine(Protocol):
    """The database of one domain: its live server, and servers like it that are made to be thrown away."""

    @property
    def engine(self) -> EngineName: ...

    @property
    def name(self) -> str | None:
        """The one database of the domain; None: all of the server."""

    def live(self) -> Server:
        """The server that the policy names. Nothing is asked of it yet."""

    def scratch(self, folder: Path, version: str) -> AbstractContextManager[Server]:
        """An empty server for a dump of that version, with its data below `folder`: on no address that others reach,
        and gone after the block with all it held. Raises ClientMissing where there is no program for one."""
