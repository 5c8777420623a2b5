"""Watchers: how a job goes, on stderr. A live view on a terminal, plain lines in a pipe or under cron, or nothing.

They are told from several threads; none ever raises into the work that it watches.
"""

import logging
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from resticwrap.clock import Clock, SystemClock
from resticwrap.ports import Progress, Watcher
from resticwrap.report import format as fmt
from resticwrap.report.tally import Tally

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

HEARTBEAT = 30.0
REFRESH = 8
"""Times a second that the live view is drawn."""
log = logging.getLogger(__name__)


class QuietWatcher(Watcher):
    """Only notes, as warnings in the log."""

    def begin(self, title: str, names: Sequence[str]) -> None:
        """Nothing to say."""

    def update(self, name: str, progress: Progress) -> None:
        """Nothing to say."""

    def done(self, name: str, outcome: str) -> None:
        """Nothing to say."""

    def note(self, text: str) -> None:
        log.warning("%s", fmt.clean(text))

    def end(self) -> None:
        """Nothing to say."""


class PlainWatcher(Watcher):
    """A line at the beginning and the end of each domain, notes, and one line of sums every 30 seconds while there
    is something to tell. The times of day are the machine's own."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._tally: Tally | None = None
        self._beat = 0.0

    def begin(self, title: str, names: Sequence[str]) -> None:
        now = self._clock.monotonic()
        with self._lock:
            self._tally = Tally(title, names, now)
            self._beat = now
            self._say(f"{title}: {', '.join(names)}")

    def update(self, name: str, progress: Progress) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._tally is None:
                return
            if self._tally.update(name, progress, now):
                self._say(f"{name}: started")
            if now - self._beat >= HEARTBEAT:
                self._beat = now
                running = ", ".join(piece.name for piece in self._tally.pieces.values() if piece.running)
                self._say(f"{self._tally.summary(now)}{f'; running: {running}' if running else ''}")

    def done(self, name: str, outcome: str) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._tally is None:
                return
            piece = self._tally.done(name, outcome, now)
            progress = piece.progress
            read = f", {fmt.plural(progress.files_done, 'file')}, {fmt.size(progress.bytes_done)}"
            took = fmt.duration(piece.took(now))
            self._say(f"{name}: {outcome} after {took}{read if progress.files_done or progress.bytes_done else ''}")

    def note(self, text: str) -> None:
        with self._lock:
            self._say(text)

    def end(self) -> None:
        with self._lock:
            self._tally = None

    def _say(self, text: str) -> None:
        time = f"{fmt.local(self._clock.now(), None):%H:%M:%S}"
        try:
            self._stream.write(f"{time} {fmt.clean(text)}\n")
            self._stream.flush()
        except (OSError, ValueError):  # nobody listens any more (also an encoding that lacks a character)
            pass


class RichWatcher(Watcher):
    """A live view: a bar per domain and the sums in all. With more domains than lines, what is done, what failed and
    what waits collapse to a line each. It goes away at the end, since the report follows; notes stay."""

    def __init__(self, console: "Console", clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._tally: Tally | None = None
        self._live: Live | None = None

    def begin(self, title: str, names: Sequence[str]) -> None:
        from rich.live import Live

        with self._lock:
            self._tally = Tally(title, names, self._clock.monotonic())
            if self._live is not None:
                return
            # stdout carries results and is left alone: it may be a file.
            self._live = Live(
                self, console=self._console, transient=True, refresh_per_second=REFRESH, redirect_stdout=False
            )
        try:
            self._live.start()
        except OSError:
            self._live = None

    def update(self, name: str, progress: Progress) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._tally is not None:
                self._tally.update(name, progress, now)

    def done(self, name: str, outcome: str) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._tally is not None:
                self._tally.done(name, outcome, now)

    def note(self, text: str) -> None:
        time = f"{fmt.local(self._clock.now(), None):%H:%M:%S}"
        try:
            self._console.print(f"{time} {fmt.clean(text)}", markup=False, highlight=False, emoji=False)
        except (OSError, ValueError):  # as in PlainWatcher
            pass

    def end(self) -> None:
        with self._lock:
            live, self._live = self._live, None
        # Outside our lock: stopping draws once more, and drawing takes it.
        try:
            if live is not None:
                live.stop()
        except (OSError, ValueError):
            pass
        with self._lock:
            self._tally = None

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from resticwrap.report.page import segments

        fancy = console.encoding.lower().startswith("utf") and not console.is_dumb_terminal
        now = self._clock.monotonic()
        with self._lock:
            height = max(2, console.height - 2)
            lines = self._tally.lines(now, options.max_width, height, fancy) if self._tally else []
        yield segments(lines)


def watcher_for(
    stream_is_terminal: bool, quiet: bool = False, json: bool = False, clock: Clock | None = None
) -> Watcher:
    """The watcher for stderr. With `json` the result is for a program, and nobody looks on."""
    clock = clock or SystemClock()
    if quiet or json:
        return QuietWatcher()
    if not stream_is_terminal:
        return PlainWatcher(sys.stderr, clock)
    from resticwrap.report.console import console

    err = console(stderr=True)
    # A terminal that cannot move its cursor gets lines.
    return PlainWatcher(sys.stderr, clock) if err.is_dumb_terminal or not err.is_terminal else RichWatcher(err, clock)
