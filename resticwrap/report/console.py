"""The one place that makes rich consoles."""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(stderr: bool = False, width: int | None = None) -> "Console":
    """A console on stdout or stderr. Honours NO_COLOR, FORCE_COLOR, COLUMNS and TERM=dumb.

    Names that the stream's encoding cannot hold are written as backslash escapes instead of failing.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")
    columns = os.environ.get("COLUMNS", "")
    if width is None and columns.isdecimal() and int(columns) > 0:
        width = int(columns)
    made = Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if width is not None and made.is_dumb_terminal:
        made.height = made.height  # rich takes a width for a dumb terminal only together with a height
    return made
