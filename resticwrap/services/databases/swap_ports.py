"""What giving a loaded database its name needs of the outside."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from resticwrap.errors import Failure
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.services.database_ports import Server


class DbJournals(Protocol):
    """Journals on disk, each written whole or not at all, and flushed."""

    def write(self, journal: DbJournal) -> None: ...

    def read(self, job: str) -> DbJournal | None: ...

    def all(self) -> Sequence[DbJournal]:
        """Oldest first. Raises Damaged where one cannot be read."""

    def scan(self) -> tuple[Sequence[DbJournal], Mapping[str, Failure]]:
        """Those that can be read, oldest first, and by job what is wrong with the others."""


class DbWork(Protocol):
    """What knows snapshots and policies. None of it changes what is live."""

    def server(self, journal: DbJournal) -> Server:
        """The server that a restore works on. Raises RestoreRefused where the policy names another one by now."""

    def safety(self, journal: DbJournal) -> str:
        """Back up what is live: a snapshot that has all of it, by its original id; empty where there can be none.
        Raises RestoreRefused."""

    def load(self, journal: DbJournal, server: Server) -> Sequence[RestoredDatabase]:
        """Load every piece under its name `beside`, and compare it with what the dump held."""

    def unsaved(self, journal: DbJournal, piece: DbPiece, name: str, server: Server) -> str:
        """What a database that was put aside has and no snapshot of ours has, as the end of a sentence; empty where
        there is nothing."""

    def unheeding(self) -> AbstractContextManager[None]:
        """A while in which nobody's wish to stop is heeded."""
