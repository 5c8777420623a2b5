"""A cluster to a moment: which snapshot of its log reaches it, and the server that the base and the log become."""

import contextlib
import fcntl
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time, from_json
from resticwrap.model.databases import DumpFacts
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.wal import BaseFacts, LogFacts, Span
from resticwrap.planning import wal as planning
from resticwrap.ports import Repository, Trees
from resticwrap.services.context import Context
from resticwrap.services.wal_ports import Archive, Recovered

BASE_TAR = b".base.tar"
LAST_BLOBS = 4
"""So many blobs from the end are looked into for what a base says of itself."""
SCRATCH = "moments"
SECOND = timedelta(seconds=1)
LOCK = "lock"


def is_base(root: bytes) -> bool:
    """Whether a snapshot with this root is a base backup."""
    return root.endswith(BASE_TAR)


def log_facts(trees: Trees, snapshot: Snapshot, domain: str) -> LogFacts:
    """What a snapshot of a log says of itself. Raises Damaged."""
    path = f"{domain}.wal/{planning.BASE_JSON}".encode()
    with contextlib.suppress(ValueError):
        for entry in trees.walk(snapshot.tree, path):
            return from_json(LogFacts, b"".join(trees.blob(blob) for blob in entry.content))
    raise _unsaid(snapshot, domain)


def base_facts(trees: Trees, snapshot: Snapshot, domain: str) -> BaseFacts:
    """What a base backup says of itself, at its end. Raises Damaged."""
    tail = b""
    for entry in trees.walk(snapshot.tree, f"{domain}.base.tar".encode()):
        for blob in reversed(entry.content[-LAST_BLOBS:]):
            tail = trees.blob(blob) + tail
            with contextlib.suppress(ValueError, tarfile.TarError, KeyError):
                if (found := planning.facts_of(tail)) is not None:
                    return found
    raise _unsaid(snapshot, domain)


def _unsaid(snapshot: Snapshot, domain: str) -> errors.Failure:
    return errors.Damaged(
        f"Snapshot {snapshot.original[:8]} of {domain} does not say what it holds.",
        hint=f"rw ls --domain {domain} --snapshot {snapshot.original[:8]}",
    )


@dataclass(frozen=True)
class Pick:
    """The snapshot from which a moment is restored, where its log is to stop (None: at its end), and what a person
    should know."""

    snapshot: Snapshot
    until: Time | None
    notes: tuple[str, ...] = ()


def pick(
    snapshots: Sequence[Snapshot],
    domain: str,
    at: Time,
    complete: Callable[[Snapshot], bool | None],
    trees: Callable[[Snapshot], Trees | None],
) -> Pick | None:
    """From which snapshot a domain is brought to a moment; None where no log of it is kept.

    It is the first one that reaches the moment; else the one that gets furthest, with a note. Raises NotFound where
    none began early enough.
    """
    own = [one for one in snapshots if one.domain == domain and complete(one)]
    logs = [one for one in own if one.tags is not None and one.tags.base]
    if not logs:
        return None
    late: set[str] = set()
    for one in sorted(logs, key=lambda one: (one.time, one.id)):
        base = one.tags.base if one.tags else ""
        reader = trees(one)
        if one.time < at - CLOCK_SLACK or base in late or reader is None:
            continue
        found = log_facts(reader, one, domain)
        if planning.reaches(found, at):
            return Pick(one, at)
        if found.base.ended > at:
            late.add(base)  # so are all others that go on from it
    return _furthest(own, domain, at, trees)


def _furthest(own: Sequence[Snapshot], domain: str, at: Time, trees: Callable[[Snapshot], Trees | None]) -> Pick:
    best: tuple[Time, Snapshot, bool] | None = None
    first: Time | None = None
    # The newest of each base gets furthest; a base alone gets to its own end.
    newest: dict[str, Snapshot] = {}
    for one in sorted(own, key=lambda one: (one.time, one.id)):
        newest[(one.tags.base if one.tags else "") or one.original] = one
    for one in newest.values():
        if (reader := trees(one)) is None:
            continue
        is_log = bool(one.tags is not None and one.tags.base)
        if is_log:
            said = log_facts(reader, one, domain)
            began, until = said.base.ended, said.until
        else:
            began = until = base_facts(reader, one, domain).ended
        first = began if first is None else min(first, began)
        if began <= at and (best is None or until > best[0]):
            best = (until, one, is_log)
    if best is None:
        if first is not None:
            first = first.replace(microsecond=0) + SECOND  # what is shown must be one that can be asked for
        since = f" Its first moment is {first:%Y-%m-%d %H:%M:%S %Z}." if first else ""
        raise errors.NotFound(
            f"Nothing of {domain} reaches back to {at:%Y-%m-%d %H:%M:%S %Z}.{since}",
            hint=f"rw db restore {domain} --at {first.isoformat()}" if first else "rw snapshots",
        )
    until, snapshot, is_log = best
    if is_log and at < until:
        return Pick(snapshot, at)  # its server's clock is ahead of ours
    # A log holds a little more than it promises, and that may be of after the moment.
    notes = (f"{domain}: its log ends at {until:%Y-%m-%d %H:%M:%S %Z}, before the time asked.",)
    return Pick(snapshot, until if is_log else None, notes)


def span(snapshots: Sequence[Snapshot], domain: str, trees: Callable[[Snapshot], Trees | None]) -> Span | None:
    """From which instant on a domain can be restored at any, by its complete snapshots, up to the newest; None where no
    log of it is kept. What lies before a gap does not count: between two logs there is nothing."""
    newest: dict[str, Snapshot] = {}
    for one in sorted(snapshots, key=lambda one: (one.time, one.id)):
        if one.domain == domain and one.tags is not None and one.tags.base:
            newest[one.tags.base] = one
    found: list[Span] = []
    for one in newest.values():
        if (reader := trees(one)) is not None:
            said = log_facts(reader, one, domain)
            found.append(Span(since=said.base.ended, until=said.until))
    if not found:
        return None
    found.sort(key=lambda one: one.until, reverse=True)
    since = found[0].since
    for older in found[1:]:
        if older.until >= since:
            since = min(since, older.since)
    return Span(since=since, until=found[0].until)


@dataclass(frozen=True)
class Parts:
    """A log and its base, and where each is read from. `log` None: a base alone, up to its own end."""

    base: Snapshot
    base_in: Repository
    facts: BaseFacts
    log: Snapshot | None
    log_in: Repository


def parts(context: Context, domain: str, snapshot: Snapshot, repository: Repository) -> Parts:
    """What it takes to restore from a snapshot of a domain's log, or from a base. Raises NotFound where the base is
    gone."""
    if snapshot.tags is None or not snapshot.tags.base:
        return Parts(snapshot, repository, base_facts(repository.trees(), snapshot, domain), None, repository)
    facts = log_facts(repository.trees(), snapshot, domain).base
    for place in (repository, *(one for one in context.repositories.values() if one is not repository)):
        with contextlib.suppress(errors.NoRepository):
            for one in place.snapshots():
                if one.original == snapshot.tags.base:
                    return Parts(one, place, facts, snapshot, repository)
    raise errors.NotFound(
        f"The base backup {snapshot.tags.base[:8]} that snapshot {snapshot.original[:8]} of {domain} needs is gone.",
        hint=f"rw snapshots --domain {domain}",
    )


def lay_down(found: Parts, data: Path, log: Path) -> None:
    """Unpack a base into `data`, and put its log beside. Raises Damaged, DiskFull."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _stream(found) as stream:
        _unpack(stream, data)
    if found.log is not None:
        result = found.log_in.restore(found.log.id, log.parent)
        if result.failed:
            raise errors.Damaged(f"{len(result.failed)} files of the log could not be restored.")


def _unpack(stream: io.BufferedReader, data: Path) -> None:
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
            # Its filter keeps every file below `data`, whatever the tar says.
            archive.extractall(data, filter="data")
    except tarfile.TarError as error:
        raise errors.Damaged(f"The base backup cannot be unpacked: {type(error).__name__}.") from error
    except OSError as error:
        raise errors.DiskFull(f"The base backup cannot be unpacked into {data}: {error.strerror}.") from error
    while stream.read(1 << 20):
        pass  # what is left after the mark of its end, so that restic ends by itself


@contextmanager
def _stream(found: Parts) -> Iterator[io.BufferedReader]:
    from resticwrap.services.databases.reading import poured

    name = next(entry.path for entry in found.base_in.entries(found.base.id, found.base.tree))
    with contextlib.closing(poured(found.base_in, found.base.id, name)) as pieces:
        yield io.BufferedReader(_Raw(pieces), 1 << 20)


class _Raw(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def scratch(context: Context, within: Path | None = None) -> Iterator[Path]:
    """A folder of the state directory (or of another place) for one recovery. It is gone after the block, and what a
    crash left of earlier ones goes first."""
    above = (within or context.settings.state_dir) / SCRATCH
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in above.iterdir():
        with contextlib.suppress(OSError), _locked(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = above / context.new_job("restore").id
    folder.mkdir(mode=0o700)
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises OSError where somebody works in it."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def archive_of(context: Context, domain: str) -> Archive:
    """The log of a domain. Raises UsageError where none is kept."""
    found = context.archives(domain, context.settings.select_domains([domain])[domain])
    if found is None:
        raise errors.UsageError(f"{domain} keeps no log: its mode is not wal.", hint="docs/policies.md: mode: wal")
    return found


@contextmanager
def recovered(
    context: Context,
    domain: str,
    snapshot: Snapshot,
    repository: Repository,
    until: Time | None,
    within: Path | None = None,
) -> Iterator[tuple[Recovered, Parts]]:
    """A scratch server as the domain's cluster stood at a moment, or at the end of what a snapshot holds."""
    archive = archive_of(context, domain)
    found = parts(context, domain, snapshot, repository)
    with scratch(context, within) as folder:
        data, log = folder / "data", folder / f"{domain}.wal"
        context.watcher.note(f"{domain}: unpacking base {found.base.original[:8]}")
        lay_down(found, data, log)
        context.watcher.note(f"{domain}: replaying its log")
        with archive.recovered(data, log, found.facts, until) as server:
            yield server, found


def facts(server: Recovered, base: BaseFacts) -> DumpFacts:
    """What the recovered databases hold."""
    held = tuple(server.server.facts(name) for name in server.databases)
    return DumpFacts(engine="postgres", server=base.server, databases=held)
