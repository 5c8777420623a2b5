"""Compares files while restic is still at work on others: it has told of them, and they lie in the machine's memory.

restic 0.17 to 0.19 tell of a file after the last of its blobs was written, and touch its bytes no more: only owner,
mode and time come later (internal/restorer: `reportBlobProgress` comes after `writeToFile`, the second pass restores
metadata). What was compared well is remembered by its number in the walk, in 16 bytes. Whatever is not, for whatever
reason, is compared when restic has ended: nothing is ever found wrong here.
"""

import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator

from resticwrap import errors
from resticwrap.model.objects import Entry
from resticwrap.ports import Trees
from resticwrap.services.compare import same_content

WINDOW = 20_000
"""So many files are kept in mind of which restic has not told yet; about 20 MiB. It goes through a tree in order, but
for what several files share."""

BEHIND = 100_000
"""When so many files wait to be compared, the others are left to the end."""
PAUSE = 0.02


class Beside:
    """Walks `entries` in a thread of its own, as restic tells of files, and reads those. `trees` is used by that thread
    until `finish` or `abandon`."""

    def __init__(self, entries: Callable[[], Iterator[Entry]], trees: Trees, place: bytes) -> None:
        self._entries = entries
        self._trees = trees
        self._place = place
        self._told: deque[bytes] = deque()
        self._ended = False
        self._until = 0
        self._abandoned = False
        self._pending: dict[bytes, tuple[int, Entry]] = {}
        self._ahead: set[bytes] = set()
        self._marks = array("q")
        self._inodes = array("Q")
        self.counted = 0
        """How many files were proven."""
        self._thread = threading.Thread(target=self._run, name="compare", daemon=True)
        self._thread.start()

    def tell(self, path: bytes) -> None:
        """A file has all its bytes now. Returns at once; for restic's reader."""
        if len(self._told) < BEHIND:
            self._told.append(path)

    def finish(self, heed: Callable[[], None]) -> None:
        """Restic has ended just now: wait until all that it told of is compared. `heed` is called meanwhile and may
        raise."""
        if not self._ended:
            self._until = time.time_ns()
        self._ended = True
        while self._thread.is_alive():
            heed()
            self._thread.join(0.2)

    def abandon(self) -> None:
        """Stop at the next piece of a file, and wait for that. May come after `finish`."""
        self._abandoned = True
        self.finish(lambda: None)

    def proven(self, number: int, entry: Entry, found: os.stat_result) -> bool:
        """Whether that file's bytes were compared well, and it is still the same file: with the time that restic gave
        it, and not touched since restic ended, which nobody can hide by setting that time again. (Where the file
        system's clock is ahead of ours, all is compared once more.)"""
        good = (
            number < len(self._marks)
            and self._marks[number] == _mark(entry)
            and self._inodes[number] == found.st_ino
            and found.st_ctime_ns <= self._until
            and entry.mtime is not None
            and abs(found.st_mtime_ns - round(entry.mtime.timestamp() * 1e6) * 1000) <= 1000
        )
        self.counted += good
        return good

    def _run(self) -> None:
        try:
            walk = enumerate(self._entries())
            while (path := self._next()) is not None:
                known = self._pending.pop(path, None) or self._walk_to(walk, path)
                if known is not None:
                    self._compare(*known)
        except (errors.Failure, OSError):
            # The comparison at the end meets the same, and tells of it.
            self._abandoned = True

    def _next(self) -> bytes | None:
        """The next file that restic told of; None where no more will come."""
        while not self._abandoned:
            ended = self._ended  # looked at first: what was told before the end counts
            try:
                return self._told.popleft()
            except IndexError:
                if ended:
                    return None
            # Not woken for each file: two threads that hand the interpreter to and fro slow restic's reader down.
            time.sleep(PAUSE)
        return None

    def _walk_to(self, walk: Iterator[tuple[int, Entry]], path: bytes) -> tuple[int, Entry] | None:
        """Go on until that file is met; None where too many come before it: then it is looked at when it is met."""
        for number, entry in walk:
            if entry.kind != "file" or not entry.content:
                continue
            if entry.path == path:
                return number, entry
            if entry.path in self._ahead:
                self._ahead.discard(entry.path)
                self._compare(number, entry)
                continue
            self._pending[entry.path] = number, entry
            if len(self._pending) >= WINDOW:
                break
        if len(self._ahead) >= WINDOW:
            self._ahead.clear()
        self._ahead.add(path)
        if len(self._pending) >= WINDOW and len(self._ahead) >= WINDOW // 4:
            # What waits longest will hardly be told of any more; the end compares it.
            for passed in list(self._pending)[: WINDOW // 2]:
                del self._pending[passed]
        return None

    def _compare(self, number: int, entry: Entry) -> None:
        inode = 0

        def seen(found: os.stat_result) -> None:
            nonlocal inode
            inode = found.st_ino

        lengths = self._trees.blob_lengths(entry.content) if len(entry.content) > 1 else {}
        try:
            good = same_content(entry, os.path.join(self._place, entry.path), lengths, heed=self._heed, seen=seen)
        except FileNotFoundError:
            return
        if good:
            missing = number + 1 - len(self._marks)
            if missing > 0:
                self._marks.extend([0] * missing)
                self._inodes.extend([0] * missing)
            self._marks[number], self._inodes[number] = _mark(entry), inode

    def _heed(self) -> None:
        if self._abandoned:
            raise errors.Interrupted("The comparison was given up.")


def _mark(entry: Entry) -> int:
    """Which file this is and what it must hold; never 0."""
    return hash((entry.path, entry.content, entry.size)) or 1
