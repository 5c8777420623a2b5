"""A page: what a report prints, gathered and written at once. On a terminal it fits the width; in a pipe it is plain
text with whole ids, whole paths and times in ISO 8601."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING

from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.layout import Column, Line, Part

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segments

GOOD, POOR, BAD, FAINT, STRONG, NAME = "green", "yellow", "bold red", "dim", "bold", "cyan"
MARKS = {
    "ok": ("✓", GOOD), "unchanged": ("✓", GOOD), "partial": ("!", POOR), "warn": ("!", POOR), "late": ("!", BAD),
    "failed": ("✗", BAD), "fail": ("✗", BAD), "interrupted": ("✗", BAD), "skipped": ("-", FAINT),
    "running": (">", NAME), "never": ("!", BAD),
}  # fmt: skip
SHORT_ID = 8
BATCH = 500


class Page:
    """Gathers lines; `with Page(console) as page` writes them at the end. Holds at most what is not flushed yet."""

    def __init__(self, console: "Console", zone: tzinfo | None = None) -> None:
        self.console = console
        self.zone = zone
        self.plain = not console.is_terminal
        self.width = None if self.plain else console.width
        self.height = None if self.plain else console.height
        # Signs and frames only where they are sure to be drawn.
        self.fancy = not self.plain and not console.is_dumb_terminal and console.encoding.lower().startswith("utf")
        self.ellipsis = "…" if self.fancy else ".."
        self.lines: list[Line] = []

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        lines, self.lines = self.lines, []
        if self.plain:  # no styles to apply: ten thousand rows in a few milliseconds
            text = "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
            lines = [[(text[:-1], "")]] if text else []
        self.console.print(segments(lines), end="", crop=False, soft_wrap=True)

    def say(self, *parts: Part, indent: int = 0, hang: int = 2) -> None:
        """One sentence or row of facts, wrapped on a terminal."""
        self.lines.extend(layout.wrap(parts, self.width, indent, hang))

    def blank(self) -> None:
        self.lines.append([])

    def table(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Part]],
        *,
        total: Sequence[Part] | None = None,
        header: bool = True,
    ) -> None:
        self.lines.extend(layout.table(columns, rows, self.width, mark=self.ellipsis, total=total, header=header))

    def stream(self, columns: Sequence[Column], widths: Sequence[int], rows: Iterable[Sequence[Part]]) -> int:
        """A table of any length, written as it comes; returns how many rows. `widths` are what columns need."""
        total = 0
        for batch in _batches(rows):
            self.lines.extend(
                layout.table(columns, batch, self.width, mark=self.ellipsis, natural=widths, header=total == 0)
            )
            total += len(batch)
            self.flush()
        return total

    def listing(self, title: Sequence[Part], items: Sequence[str], *, indent: int = 0, more: int = 0) -> None:
        """A title and one line per item, whole; `more` says how many were counted beyond those named."""
        self.say(*title, indent=indent)
        for item in items:
            self.say(item, indent=indent + 4, hang=0)
        if more > 0:
            self.say((f"and {fmt.count(more)} more", FAINT), indent=indent + 4)

    def box(self, title: str, paragraphs: Sequence[Sequence[Part]], style: str) -> None:
        """Paragraphs in a frame that cannot be overlooked."""
        if not self.fancy:
            rule = "=" * min(self.width or 78, 78)
            self.lines.append([(rule, style)])
            self.say((title.upper(), style))
            for paragraph in paragraphs:
                self.say(*paragraph)
            self.lines.append([(rule, style)])
            return
        width = min(self.width or 80, 100)
        inner = width - 6
        heading = layout.shorten(title.upper(), inner)
        self.lines.append([(f"┏━ {heading} " + "━" * (width - 5 - layout.cells(heading)) + "┓", style)])
        for paragraph in ((), *paragraphs, ()):
            for content in layout.wrap(paragraph, inner) if paragraph else [[]]:
                room = inner - sum(layout.cells(text) for text, _ in content)
                self.lines.append([("┃  ", style), *content, (" " * room, ""), ("  ┃", style)])
        self.lines.append([("┗" + "━" * (width - 2) + "┛", style)])

    def mark(self, outcome: str, words: str = "") -> tuple[str, str]:
        """An outcome as a word, with a sign in front where signs are sure to be drawn, and its style."""
        sign, style = MARKS.get(outcome, ("", ""))
        text = words or outcome
        # What needs a person stands out without colours too.
        text = text.upper() if not words and style == BAD else text
        return (f"{sign} {text}" if self.fancy and sign else text), style

    def id(self, value: str | None) -> str:
        """Short on a terminal, whole in a pipe."""
        if not value:
            return "-"
        return value if self.plain else value[:SHORT_ID]

    def time(self, value: datetime | None, missing: str = "-") -> str:
        return (fmt.iso if self.plain else fmt.stamp)(value, self.zone, missing)

    def time_title(self, word: str, times: Iterable[datetime | None]) -> str:
        """The heading of a column of times names their zone; in a pipe each time has its own."""
        return word if self.plain else f"{word} ({fmt.zone_name(times, self.zone)})"

    def moment(self, value: datetime | None, missing: str = "never") -> str:
        """A time within a sentence, with its zone."""
        if value is None or self.plain:
            return self.time(value, missing)
        return f"{self.time(value)} {fmt.zone_name([value], self.zone)}"


def segments(lines: Sequence[Line]) -> "Segments":
    """The lines as what rich draws."""
    from rich.segment import Segment, Segments
    from rich.style import Style

    found: list[Segment] = []
    for line in lines:
        for text, style in line:
            found.append(Segment(text, Style.parse(style) if style else None))
        found.append(Segment.line())
    return Segments(found)


def _batches(rows: Iterable[Sequence[Part]]) -> Iterator[list[Sequence[Part]]]:
    batch: list[Sequence[Part]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
