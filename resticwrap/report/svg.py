"""A picture of a screen, for a README: the same bytes for the same report."""

import io
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import StatusReport
from resticwrap.report.status import status

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 104
# rich's own frame without the fonts that it would fetch: a picture asks nobody for anything.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace;
        font-size: {char_height}px; line-height: {line_height}px;
        font-variant-ligatures: none; font-variant-east-asian: full-width; white-space: pre;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: arial, sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix" xml:space="preserve">
    {matrix}
    </g>
    </g>
</svg>
"""

# Background, foreground, the eight colours of a terminal, and their bright sisters.
BACKGROUND, FOREGROUND = (22, 27, 34), (201, 209, 217)
COLOURS = [
    (33, 38, 45), (255, 107, 102), (63, 185, 80), (219, 171, 9), (88, 166, 255), (188, 140, 255), (86, 194, 214),
    (177, 186, 196),
]  # fmt: skip
BRIGHT = [
    (110, 118, 129), (255, 161, 152), (126, 231, 135), (240, 200, 60), (121, 192, 255), (210, 168, 255),
    (120, 215, 232), (240, 246, 252),
]  # fmt: skip


def status_svg(report: StatusReport, *, zone: tzinfo | None = UTC, width: int = WIDTH) -> str:
    """`rw status --svg FILE`: every domain, whatever the height of the terminal."""
    return draw(
        lambda console: status(console, report, zone=zone, everything=True),
        title="rw status",
        name="rw-status",
        width=width,
    )


def draw(show: "Callable[[Console], None]", *, title: str, name: str, width: int) -> str:
    """What `show` prints, as SVG; `name` makes its ids unique on a page."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme

    theme = TerminalTheme(BACKGROUND, FOREGROUND, COLOURS, BRIGHT)
    console = Console(
        record=True, file=io.StringIO(), width=width, height=200, force_terminal=True, color_system="truecolor",
        legacy_windows=False, highlight=False, markup=False, emoji=False, _environ={"TERM": "xterm-256color"},
    )  # fmt: skip
    show(console)
    return console.export_svg(title=title, unique_id=name, theme=theme, code_format=FRAME)
