"""The screen of `rw status --watch`: on a terminal one that is drawn again and again, elsewhere one after the other."""

from datetime import tzinfo
from types import TracebackType
from typing import TYPE_CHECKING

from resticwrap.cancel import Cancel
from resticwrap.report import layout
from resticwrap.report.page import Page, segments
from resticwrap.report.status import screen
from resticwrap.services.watching import Look

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

SLICE = 0.25
"""Seconds between two looks whether the terminal has another size now."""


class Screen:
    """`with Screen(console) as one`, then `show` each look. A terminal that can move its cursor gets its own screen
    and its old one back at the end; everything else gets plain screens with a blank line between them."""

    def __init__(self, console: "Console", zone: tzinfo | None = None) -> None:
        self._console = console
        self._zone = zone
        self._look: Look | None = None
        self._live: Live | None = None
        self._shown = 0

    def __enter__(self) -> "Screen":
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            from rich.live import Live

            self._live = Live(
                self, console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop",
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, look: Look) -> None:
        self._look = look
        if self._live is not None:
            self._live.refresh()
            return
        with Page(self._console, self._zone) as page:
            compose(page, look, None)
            if self._shown:
                page.lines.insert(0, [])
        self._shown += 1

    def wait(self, cancel: Cancel, seconds: float) -> bool:
        """Wait for the next look; False where somebody wants no more. Draws anew in a terminal of another size."""
        left, size = seconds, self._console.size
        while left > 0:
            if cancel.wait(min(SLICE, left) if self._live is not None else left):
                return False
            left -= SLICE if self._live is not None else left
            if self._live is not None and self._console.size != size:
                size = self._console.size
                self._live.refresh()
        return not cancel.is_set

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        page = Page(console, self._zone)
        if self._look is not None:
            compose(page, self._look, console.height)
        yield segments(page.lines)


def compose(page: Page, look: Look, height: int | None) -> None:
    """The lines of one look. What could not be seen is told above what was seen before."""
    trouble: list[layout.Line] = []
    if look.failure is not None:
        since = f", shown is what was seen {page.moment(look.last.at)}" if look.last else ""
        page.say(page.mark("failed", "no look"), f": {look.failure.message} Trying again{since}. {look.failure.hint}")
        trouble, page.lines = page.lines, []
    report = look.report or look.last
    if report is None:
        page.lines = trouble
        return
    room = None if height is None else max(height - len(trouble), 1)
    screen(page, report, room, apart=page.plain, firm=height is not None)
    page.lines = [*trouble, *page.lines]
