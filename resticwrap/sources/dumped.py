"""A dump that goes from its own process into restic, whoever makes it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from resticwrap.cancel import Cancel
from resticwrap.model.databases import DumpOrder
from resticwrap.model.sources import ServerSource
from resticwrap.ports import BackupResult, Look, Material
from resticwrap.sources.orders import named, told

S = TypeVar("S", bound=ServerSource)


class DumpedDomain(ABC, Generic[S]):
    """What the databases of all servers share that are captured by a dump (the `Source` port)."""

    def __init__(self, domain: str, source: S, cancel: Cancel) -> None:
        self._domain, self._source, self._cancel = domain, source, cancel

    @property
    def name(self) -> str | None:
        return self._source.name

    @abstractmethod
    def _size(self) -> int:
        """Bytes that the server says it has."""

    def look(self) -> Look:
        return look(self._domain)

    def empty(self, path: bytes) -> bool:  # noqa: ARG002
        return False

    def measure(self) -> BackupResult:
        size = self._size()
        return BackupResult(complete=True, snapshot=None, files=1, size=size, would_read=(1, size))


def look(domain: str) -> Look:
    """The one file that a domain's snapshot is."""
    return Look(cwd=b"/", name=f"{domain}.sql".encode(), identity=())


@contextmanager
def material(order: DumpOrder) -> Iterator[Material]:
    """See `Source.material`: its end raises what the program that makes the dump says."""
    with told(order) as (command, fds, said):

        def settle() -> None:
            heard = said()
            if not heard.ok:
                raise named(heard, order.domain)

        yield Material(cwd=b"/", name=look(order.domain).name, command=command, fds=fds, settle=settle)
