"""Restore and compare, as drills do it: bytes from the target and not from the cache, every object by content id.

The canary goes through the very same code: a comparison that does not compare is found out by it.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resticwrap import errors
from resticwrap.model.objects import Entry
from resticwrap.model.reports import Mismatch
from resticwrap.model.snapshot import Snapshot
from resticwrap.ports import Progress, Repository, Trees
from resticwrap.services import compare as comparing
from resticwrap.services import manifest
from resticwrap.services.choosing import LOST
from resticwrap.services.compare import excused
from resticwrap.services.context import Context
from resticwrap.services.fetching import NOT_RESTORED

NAMED = 20


@dataclass
class Back:
    """What came back of one snapshot: how many objects (files, folders, links) and bytes, which of them are not as they
    were (`wrong`, at most NAMED, by path), why something could not be restored or read at all, and the seconds."""

    objects: int = 0
    size: int = 0
    failed: int = 0
    wrong: dict[bytes, Mismatch] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    troubles: list[errors.Failure] = field(default_factory=list)
    unfinished: int = 0
    """What restic itself called not restored whole."""
    foreign: int = 0
    downloaded: float = 0.0
    compared: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.failed and not self.troubles

    def failures(self) -> tuple[str, ...]:
        """What went wrong, in sentences without names of files."""
        said = [
            f"{count} {'objects' if count != 1 else 'object'}: {kind}" for kind, count in sorted(self.kinds.items())
        ]
        return (*said, *(f"could not be restored or read whole ({error.kind})" for error in self.troubles))


def bring_back(
    context: Context,
    repository: Repository,
    snapshot: Snapshot,
    entries: Callable[[Trees], Iterable[Entry]],
    place: Path,
    name: str,
    include: Sequence[bytes] = (),
) -> Back:
    """Restore a snapshot, or the `include` paths of it, below `place`, and compare every one of `entries` (paths from
    the snapshot's root) with what lies there. What keeps it from being restored or compared is in the result; raises
    only what says nothing of the repository: Interrupted, DiskFull, an unreachable target."""
    clock, back = context.clock, Back()
    begun = clock.monotonic()
    try:
        result = repository.restore(
            snapshot.id,
            place,
            include,
            no_cache=True,
            on_progress=lambda progress: context.watcher.update(name, progress),
        )
        back.unfinished = len(result.failed)
    except LOST as error:
        if isinstance(error, errors.ResticFailed) and error.killed:
            raise
        back.troubles.append(error)
    between = clock.monotonic()
    back.downloaded = between - begun
    try:
        trees = repository.trees()
        for entry, mismatch in compared(trees, entries(trees), place, name):
            context.heed()
            back.objects += 1
            if mismatch is not None and excused(entry, mismatch):
                back.foreign += 1
                mismatch = None
            if mismatch is None:
                back.size += entry.size
                continue
            back.failed += 1
            back.kinds[mismatch.what] = back.kinds.get(mismatch.what, 0) + 1
            if len(back.wrong) < NAMED or include:
                back.wrong[entry.path] = mismatch
    except LOST as error:
        back.troubles.append(error)
    back.compared = clock.monotonic() - between
    context.watcher.update(name, Progress(bytes_done=back.size, files_done=back.objects))
    return back


def compared(
    trees: Trees, entries: Iterable[Entry], place: Path, domain: str
) -> Iterator[tuple[Entry, Mismatch | None]]:
    """Every entry with what is wrong with it below `place`: what drill and canary share."""
    wanted = (entry for entry in entries if entry.kind not in NOT_RESTORED)
    return comparing.compare(trees, wanted, os.fsencode(place), domain, owners=True, cut=True)


class Manifests:
    """Whether the manifests of jobs name the very trees that were restored. Each is read once. For several threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._once = threading.Lock()
        self._trees: dict[str, dict[str, tuple[str | None, str | None, str | None]]] = {}
        self.notes: list[str] = []

    def names(self, snapshot: Snapshot) -> bool | None:
        """None where there is no manifest to ask, or where it does not tell of this snapshot."""
        if snapshot.tags is None:
            return None
        with self._once:
            listed = self._of(snapshot.tags.job).get(snapshot.tags.domain)
        if listed is None or listed[0] != snapshot.original:
            return None
        return listed[1:] == (snapshot.tree, f"sha256:{snapshot.tree}")

    def _of(self, job: str) -> dict[str, tuple[str | None, str | None, str | None]]:
        if job not in self._trees:
            self._trees[job] = {}
            try:
                written = manifest.load(self._context, job)
                self._trees[job] = {
                    one.run.domain: (one.run.snapshot, one.tree, one.object_digest) for one in written.domains
                }
            except (errors.NotFound, errors.ObjectMissing):
                pass
            except errors.Damaged as error:
                self.notes.append(f"The manifest of {job} could not be compared with: {error.message}")
        return self._trees[job]
