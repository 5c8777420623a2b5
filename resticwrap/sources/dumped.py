"""A dump that goes from its own process into restic, whoever makes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from resticwrap.model.databases import DumpOrder
from resticwrap.ports import Look, Material
from resticwrap.sources.orders import named, told


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
