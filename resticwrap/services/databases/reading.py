"""A dump as it comes out of a snapshot: piece by piece, never whole on disk."""

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from resticwrap import errors
from resticwrap.model.databases import DumpFacts
from resticwrap.planning import dumps
from resticwrap.ports import Repository
from resticwrap.services.choosing import Choice
from resticwrap.services.context import Context
from resticwrap.services.databases import moments

PIECE = 1 << 20
LAST_BLOBS = 8
"""So many blobs from the end are looked into for a dump's facts."""


def pieces(context: Context, choice: Choice, path: bytes = b"") -> Iterator[bytes]:
    """The bytes of a file of a snapshot (its root where none is named). Raises what went wrong while it was read, at
    the latest after its last piece: whoever acts on it before the end must be able to take that back."""
    return poured(context.repositories[choice.tier], choice.snapshot.id, path or choice.root)


def poured(repository: Repository, snapshot: str, path: bytes) -> Generator[bytes, None, None]:
    """The same of any repository."""
    reading, writing = os.pipe()
    trouble: list[BaseException] = []

    def dump() -> None:
        try:
            repository.dump(snapshot, path, writing)
        except BaseException as error:  # noqa: BLE001 - raised again below, where it is waited for
            trouble.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=dump, name="dump", daemon=True)
    thread.start()
    ended = False
    try:
        while piece := os.read(reading, PIECE):
            yield piece
        ended = True
    finally:
        os.close(reading)  # where nobody wants the rest, restic ends of it
        thread.join()
    if ended and trouble:
        raise trouble[0]


@dataclass(frozen=True)
class Opened:
    """A snapshot's databases: what they held, and their parts, each to be read before the next is asked for."""

    facts: DumpFacts
    sections: Iterator[dumps.Section]


@contextmanager
def opened(context: Context, choice: Choice) -> Iterator[Opened]:
    """What a snapshot of a database holds, whatever its form. Raises Damaged where it is none. A base and its log
    become a server first, which is dumped as it stood."""
    if choice.snapshot.tags is not None and (choice.snapshot.tags.base or moments.is_base(choice.root)):
        repository = context.repositories[choice.tier]
        with moments.recovered(context, choice.domain, choice.snapshot, repository, choice.until) as (server, found):
            yield Opened(moments.facts(server, found.facts), dumps.sections(server.dump()))
        return
    yield Opened(facts(context, choice), dumps.sections(pieces(context, choice)))


def facts(context: Context, choice: Choice, path: bytes = b"") -> DumpFacts:
    """What a dump holds, as it was told when it was made. Raises Damaged where that cannot be read."""
    repository = context.repositories[choice.tier]
    trees = choice.trees or repository.trees()
    entry = next(iter(trees.walk(choice.snapshot.tree, path or choice.root)), None)
    tail = b""
    for blob in reversed(entry.content[-LAST_BLOBS:] if entry else ()):
        tail = trees.blob(blob) + tail
        with suppress(ValueError):
            if (found := dumps.facts_of(tail)) is not None:
                return found
    raise errors.Damaged(
        f"Snapshot {choice.snapshot.original[:8]} of {choice.domain} does not say what its dump holds.",
        hint=f"rw ls --domain {choice.domain} --snapshot {choice.snapshot.original[:8]}",
    )
