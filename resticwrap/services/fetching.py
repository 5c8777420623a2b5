"""Brings a choice back into a stage of its own and compares all of it: the one way in which anything is restored.

A file that does not compare is renamed `….rw-damaged`: restic leaves one of full size with holes in it (measured), and
nobody should take it for the file.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from resticwrap import errors
from resticwrap.model.objects import Entry, show_path
from resticwrap.model.reports import Mismatch
from resticwrap.ports import Lost, Trees
from resticwrap.services.beside import Beside
from resticwrap.services.choosing import LOST, Choice
from resticwrap.services.compare import compare, excused
from resticwrap.services.context import Context
from resticwrap.services.stopwatch import Stopwatch

DAMAGED = b".rw-damaged"
NOT_RESTORED = frozenset({"socket", "irregular"})
"""What restic does not bring back: it means nothing without the process that made it."""
WRONG_CONTENT = frozenset({"size", "content"})
NAMED = 500
STALE = 60.0
"""After so many seconds the index is read anew: a prune may have written it since, and it is little beside them."""


@dataclass
class Checked:
    """What came of a restore: how many files were compared, how many bytes were right, what was wrong.

    `beside`: how many of the files were compared while others were still on their way. `unreadable`: what the
    repository has lost of it, sentences. `trouble`: why, first; None where nothing stopped it.
    """

    files: int = 0
    size: int = 0
    wrong: list[Mismatch] = field(default_factory=list)
    foreign: int = 0
    first_foreign: str = ""
    """What belongs to users or groups that this process may not set: as it should be but for that."""
    beside: int = 0
    unreadable: list[str] = field(default_factory=list)
    trouble: errors.Failure | None = None

    @property
    def good(self) -> bool:
        """Everything came back and compared well."""
        return not self.wrong and not self.unreadable


def fetch_and_check(
    context: Context, choice: Choice, stage: Path, *, no_cache: bool = False, watch: Stopwatch | None = None
) -> Checked:
    """Restore a choice below `stage`, which is made, as it stands in the snapshot, and compare all of it by content id.

    Files are compared beside the download, as restic finishes them. With `no_cache` all bytes come from the target,
    trees and index too. `watch` gets the phases `download` (restic's own run, with what is compared beside it) and
    `compare` (what was left to compare after it). What the repository has lost is told in what is returned, and
    what came back all the same lies there; only what says nothing of the repository is raised.
    """
    watch = watch or Stopwatch(context.clock)
    found = Checked()
    place = os.fsencode(stage)
    stage.mkdir(mode=0o700)
    repository, begun = context.repositories[choice.tier], context.clock.monotonic()
    trees = repository.trees(no_cache=no_cache) if no_cache or choice.trees is None else choice.trees
    beside = Beside(partial(_walk, choice, trees), trees, place)
    try:
        with watch.phase("download"):
            _fetch(context, choice, stage, found, no_cache, beside)
        with watch.phase("compare"):
            beside.finish(context.heed)
            if context.clock.monotonic() - begun > STALE:
                trees = repository.trees(no_cache=no_cache)
            _check(context, choice, place, found, trees, beside)
            found.beside = beside.counted
    finally:
        beside.abandon()
    return found


def _fetch(context: Context, choice: Choice, stage: Path, found: Checked, no_cache: bool, beside: Beside) -> None:
    """Restore; what restic could not restore whole is told in `found`."""
    try:
        result = context.repositories[choice.tier].restore(
            choice.snapshot.id,
            stage,
            choice.paths,
            no_cache=no_cache,
            on_progress=lambda progress: context.watcher.update(choice.domain, progress),
            on_file=beside.tell,
        )
    except LOST as error:
        if isinstance(error, errors.ResticFailed) and error.killed:
            raise  # that says nothing of the repository: the same command again finishes it
        found.trouble = error
        found.unreadable.append(f"/: {error.message}")
    else:
        found.unreadable += [f"{item.item}: {item.message}" for item in result.failed]


def entries(
    context: Context, choice: Choice, lost: Lost | None = None, *, trees: Trees | None = None
) -> Iterator[Entry]:
    """What a choice must bring back, always in the same order. The folders on the way to a wanted path are not part of
    it."""
    repository = context.repositories[choice.tier]
    for under in choice.paths or (choice.root,):
        for entry in repository.entries(choice.snapshot.id, choice.snapshot.tree, under, lost=lost, trees=trees):
            if entry.kind not in NOT_RESTORED:
                yield entry


def _walk(choice: Choice, trees: Trees) -> Iterator[Entry]:
    """The same by our own reader alone, passing over what cannot be read."""
    for under in choice.paths or (choice.root,):
        for entry in trees.walk(choice.snapshot.tree, under, lost=lambda *_: None):
            if entry.kind not in NOT_RESTORED:
                yield entry


def _check(context: Context, choice: Choice, place: bytes, found: Checked, trees: Trees, beside: Beside) -> None:
    """Compare all of a choice with what lies below `place`, and count it in `found`."""

    def lost(path: bytes, error: errors.Failure) -> None:
        found.unreadable.append(f"/{show_path(path)}/: {error.message}")

    wanted = entries(context, choice, lost, trees=trees)
    compared = compare(trees, wanted, place, choice.domain, owners=True, cut=True, proven=beside.proven)
    try:
        for entry, mismatch in compared:
            context.heed()
            _count(found, entry, mismatch, place)
    except LOST as error:
        found.trouble = found.trouble or error
        found.unreadable.append(f"/: {error.message}")


def _count(found: Checked, entry: Entry, mismatch: Mismatch | None, place: bytes) -> None:
    """Count one entry. A file with wrong content is renamed so that nobody takes it for the real one."""
    found.files += entry.kind == "file"
    if mismatch is not None and excused(entry, mismatch):
        found.foreign += 1
        found.first_foreign = found.first_foreign or f"{mismatch.path} ({mismatch.why})"
        mismatch = None
    if mismatch is None:
        found.size += entry.size
        return
    if len(found.wrong) < NAMED:
        found.wrong.append(mismatch)
    path = os.path.join(place, entry.path)
    if mismatch.what in WRONG_CONTENT:
        with contextlib.suppress(OSError):
            os.rename(path, path + DAMAGED)
