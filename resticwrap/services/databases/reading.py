"""A dump as it comes out of a snapshot: piece by piece, never whole on disk."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resticwrap import errors, pipes
from resticwrap.model.base import from_json
from resticwrap.model.databases import DatabaseHead, DumpFacts
from resticwrap.planning import dumps
from resticwrap.ports import Repository
from resticwrap.services.choosing import Choice
from resticwrap.services.context import Context
from resticwrap.services.databases import moments

PIECE = 1 << 20
FACTS = "facts.json"
"""Where the root of a snapshot is a folder: what the file beside this one holds."""
LAST_BLOBS = 8
"""So many blobs from the end are looked into for a dump's facts."""


def pieces(context: Context, choice: Choice, path: bytes = b"") -> Iterator[bytes]:
    """The bytes of a file of a snapshot (its root where none is named). Raises what went wrong while it was read, at
    the latest after its last piece: whoever acts on it before the end must be able to take that back."""
    return poured(context.repositories[choice.tier], choice.snapshot.id, path or choice.root)


def poured(repository: Repository, snapshot: str, path: bytes) -> Generator[bytes, None, None]:
    """The same of any repository."""
    return pipes.read(lambda writing: repository.dump(snapshot, path, writing))


@dataclass(frozen=True)
class Opened:
    """A snapshot's databases: what they held, and their parts, each to be read before the next is asked for."""

    facts: DumpFacts
    sections: Iterator[dumps.Section]


@contextmanager
def opened(context: Context, choice: Choice, within: Path | None = None) -> Iterator[Opened]:
    """What a snapshot of a database holds, whatever its form. Raises Damaged where it is none. A base and its log
    become a server first (`within` a folder, else in the state directory), which is dumped as it stood."""
    if choice.snapshot.tags is not None and (choice.snapshot.tags.base or moments.is_base(choice.root)):
        repository = context.repositories[choice.tier]
        with moments.recovered(context, choice.domain, choice.snapshot, repository, choice.until, within) as (
            server,
            found,
        ):
            yield Opened(moments.facts(server, found.facts), dumps.sections(server.dump()))
        return
    said = facts(context, choice)
    whole = _whole_file(context, choice, said) if said.engine == "sqlite" else None
    yield Opened(said, whole or dumps.sections(pieces(context, choice)))


def _whole_file(context: Context, choice: Choice, said: DumpFacts) -> Iterator[dumps.Section]:
    """The one part of a database that is a file: its bytes."""
    for database in said.databases:
        path = choice.root + b"/" + os.fsencode(database.name)
        yield dumps.Section(DatabaseHead(name=database.name), pieces(context, choice, path))


def facts(context: Context, choice: Choice, path: bytes = b"") -> DumpFacts:
    """What a dump holds, as it was told when it was made. Raises Damaged where that cannot be read."""
    repository = context.repositories[choice.tier]
    trees = choice.trees or repository.trees()
    root = path or choice.root
    entry = next(iter(trees.walk(choice.snapshot.tree, root)), None)
    if entry is not None and entry.kind == "dir":
        entry = next(iter(trees.walk(choice.snapshot.tree, root + b"/" + FACTS.encode())), None)
        with suppress(msgspec.DecodeError):
            return from_json(DumpFacts, b"".join(map(trees.blob, entry.content if entry else ())))
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
