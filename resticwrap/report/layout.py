"""Lines of styled text that fit a width: wrapping, shortening and tables whose columns give way in order.

Everything that is shown passes `line` or `table`, which make the text of others harmless (`format.clean`); no markup
is ever interpreted, since only plain strings and style names leave here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resticwrap.report.format import clean

Part = str | tuple[str, str]
"""Text, or text and the name of a style."""
Line = list[tuple[str, str]]
GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Where room is short, those of the highest `rank` are left out first (0 always stays), then what
    has a `least` width is shortened down to it, at the end or in the middle."""

    title: str
    right: bool = False
    least: int | None = None
    cut: Literal["end", "middle"] = "end"
    rank: int = 0
    style: str = ""


def cells(text: str) -> int:
    """How many columns of a terminal the text takes: Chinese characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _head(text: str, width: int) -> str:
    if text.isascii():
        return text[:width]
    taken = 0
    for index, char in enumerate(text):
        taken += cells(char)
        if taken > width:
            return text[:index]
    return text


def _tail(text: str, width: int) -> str:
    return _head(text[::-1], width)[::-1]


def shorten(text: str, width: int, cut: Literal["end", "middle"] = "end", mark: str = "…") -> str:
    """The text in at most `width` columns, with `mark` where something was left out."""
    if cells(text) <= width:
        return text
    room = width - cells(mark)
    if room <= 0:
        return mark[: max(width, 0)]
    if cut == "end":
        return _head(text, room).rstrip() + mark
    return _head(text, room // 2) + mark + _tail(text, room - room // 2)


def line(parts: Sequence[Part]) -> Line:
    return [(clean(part), "") if isinstance(part, str) else (clean(part[0]), part[1]) for part in parts]


def wrap(parts: Sequence[Part], width: int | None, indent: int = 0, hang: int = 0) -> list[Line]:
    """Break at spaces so that no line is wider; further lines are indented by `hang` more. None never breaks."""
    content = line(parts)
    if width is None or indent + sum(cells(text) for text, _ in content) <= width:
        return [[(" " * indent, ""), *content] if indent else content]
    lines: list[Line] = []
    current: Line = [(" " * indent, "")]
    used, fresh = indent, True
    for word, style in _words(content):
        pending = word
        while pending:
            taken = cells(pending)
            if used + taken <= width:
                current.append((pending, style))
                used, fresh, pending = used + taken, False, ""
                continue
            rest = pending
            if fresh:  # one word wider than the line: cut it hard, by one character at least
                head = _head(pending, max(1, width - used)) or pending[0]
                current.append((head, style))
                rest = pending[len(head) :]
            lines.append(current)
            current, used, fresh = [(" " * (indent + hang), "")], indent + hang, True
            pending = rest.lstrip(" ")
    return [_joined(found) for found in ([*lines, current] if not fresh else lines)]


def _joined(words: Line) -> Line:
    """Neighbours of one style as one, without the space at the end of the line."""
    found: Line = []
    for text, style in words:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    if found:
        found[-1] = (found[-1][0].rstrip(" "), found[-1][1])
    return found


def _words(content: Line) -> list[tuple[str, str]]:
    """Runs of spaces and runs of other characters, in turn."""
    found: list[tuple[str, str]] = []
    for text, style in content:
        start = 0
        for index in range(1, len(text) + 1):
            if index == len(text) or (text[index] == " ") != (text[start] == " "):
                found.append((text[start:index], style))
                start = index
    return found


def fit(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[tuple[int, int]]:
    """Which columns are shown (by index) and how wide."""
    chosen = list(range(len(columns)))
    if width is None:
        return [(index, natural[index]) for index in chosen]

    def least(index: int) -> int:
        floor = columns[index].least
        return natural[index] if floor is None else min(natural[index], floor)

    while sum(map(least, chosen)) + GAP * (len(chosen) - 1) > width:
        last = max(chosen, key=lambda index: (columns[index].rank, index))
        if columns[last].rank == 0:
            break
        chosen.remove(last)
    widths = {index: natural[index] for index in chosen}
    excess = sum(widths.values()) + GAP * (len(chosen) - 1) - width
    # The widest gives way first, then the next: a long path is shortened before a domain's name is.
    for floor in (least, lambda _: 4):
        while excess > 0:
            givers = [i for i in chosen if columns[i].least is not None and widths[i] > floor(i)]
            if not givers:
                break
            widest = max(givers, key=lambda index: widths[index])
            second = max((widths[i] for i in givers if widths[i] < widths[widest]), default=0)
            step = min(excess, max(1, widths[widest] - max(second, floor(widest))))
            widths[widest] -= step
            excess -= step
    return [(index, widths[index]) for index in chosen]


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Part]],
    width: int | None,
    *,
    mark: str = "…",
    title_style: str = "bold",
    total: Sequence[Part] | None = None,
    natural: Sequence[int] | None = None,
    header: bool = True,
) -> list[Line]:
    """A heading and the rows, in columns. `natural` gives the widths where more rows follow in a later call."""
    body = [line(row) for row in rows]
    if total is not None:
        body.append([(text, style or title_style) for text, style in line(total)])
    titles = [column.title if width is not None else column.title.upper() for column in columns]
    if natural is None:
        natural = [
            max(cells(titles[index]) if header else 0, *(cells(row[index][0]) for row in body), 0)
            for index in range(len(columns))
        ]
    shown = fit(columns, natural, width)
    lines = [_row(columns, shown, [(title, title_style) for title in titles], width, mark)] if header else []
    lines.extend(_row(columns, shown, row, width, mark) for row in body)
    return lines


def _row(columns: Sequence[Column], shown: Sequence[tuple[int, int]], row: Line, width: int | None, mark: str) -> Line:
    found: Line = []
    left = width
    for place, (index, room) in enumerate(shown):
        column = columns[index]
        text, style = row[index]
        last = place == len(shown) - 1
        if width is not None:
            text = shorten(text, room, column.cut, mark)
        room -= 0 if text.isascii() else cells(text) - len(text)  # padding counts characters
        if column.right:
            text = text.rjust(room)
        elif not last:
            text = text.ljust(room)
        if not last:
            text += " " * GAP
        if left is not None:  # a terminal too narrow for even the least of everything
            text = _head(text, left)
            left -= cells(text)
        found.append((text, style or column.style))
    return found
