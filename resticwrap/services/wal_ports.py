"""What services need of a domain whose log is kept (`mode: wal`). `sources/postgres/wal.py` implements it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resticwrap.model.base import Time
from resticwrap.model.wal import ArchiveState, BaseFacts
from resticwrap.services.database_ports import Server


@dataclass(frozen=True)
class Recovered:
    """A server that was brought to a moment, and the names of its databases that are the domain's."""

    server: Server
    databases: Sequence[str]
    dump: Callable[[], Iterator[bytes]]
    """All of them as a dump of them is. What goes wrong is raised, at the latest after the last piece."""


class Archive(Protocol):
    """What is kept here of a domain's log, and how a base and a log become a server again."""

    def state(self) -> ArchiveState:
        """The bases that the log goes on from, oldest first, and the newest snapshot of the log."""

    def keep(self, bases: Collection[str]) -> None:
        """Only these bases (original ids) are gone on from; what of the log none of them needs is removed here."""

    def why_base(self) -> str:
        """Why the next snapshot must be a base. Asks nobody."""

    def why_base_now(self) -> str:
        """The same, and the server is asked. Raises DatabaseUnavailable and kin."""

    def receive(self) -> None:
        """Fetch the log without an end. Raises Interrupted where somebody wishes to stop, Locked where another does
        it, and what the server says."""

    def recovered(
        self, data: Path, log: Path, base: BaseFacts, until: Time | None, *, lasting: bool = False
    ) -> AbstractContextManager[Recovered]:
        """Start a server on the unpacked base in `data`, which is changed, and replay the log in the folder `log`: up
        to a moment, or all of it. It is on no address that others reach, and is down after the block; `lasting`: shut
        down in order, with all of it on the disk. Raises ClientMissing, LoadFailed."""
