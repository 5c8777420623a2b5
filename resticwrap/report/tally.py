"""How far a job is: numbers, and the lines that show them. `progress.py` owns the screen and the lock.

Times are monotonic seconds, given by the caller.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from resticwrap.model.job import COMPLETE
from resticwrap.ports import Progress
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.layout import Column, Line, Part
from resticwrap.report.page import BAD, FAINT, GOOD, MARKS, NAME, STRONG

WINDOW = 20.0
"""Over how many seconds a rate is taken."""
COLUMNS = (
    Column("", style=NAME, least=12, cut="middle"),
    Column(""),
    Column("", right=True),
    Column("", right=True),
    Column("", right=True, rank=3),
    Column("", right=True, rank=1),
    Column("", right=True, rank=2),
)


class Speed:
    """Bytes per second over the last seconds."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float, done: int) -> None:
        if self._looks and now - self._looks[-1][0] < 0.2:
            return
        self._looks.append((now, done))
        while len(self._looks) > 2 and now - self._looks[0][0] > WINDOW:
            self._looks.popleft()

    def rate(self, now: float, done: int) -> float | None:
        """None before there is enough to tell."""
        if not self._looks or now - self._looks[0][0] < 0.5:
            return None
        start, before = self._looks[0]
        return max(0.0, (done - before) / (now - start))


@dataclass(slots=True)
class Piece:
    """One domain of the job."""

    name: str
    began: float | None = None
    ended: float | None = None
    outcome: str = ""
    progress: Progress = field(default_factory=Progress)
    speed: Speed = field(default_factory=Speed)

    @property
    def running(self) -> bool:
        return self.began is not None and self.ended is None

    def took(self, now: float) -> float:
        """Seconds from its beginning to its end, or until now."""
        end = now if self.ended is None else self.ended
        return 0.0 if self.began is None else end - self.began


class Tally:
    """All domains of a job, and their sums."""

    def __init__(self, title: str, names: Sequence[str], now: float) -> None:
        self.title = title
        self.began = now
        self.pieces = {name: Piece(name) for name in names}
        self.speed = Speed()

    def update(self, name: str, progress: Progress, now: float) -> bool:
        """True where this is the first that was heard of the domain. What comes after its end is not counted."""
        piece = self.pieces.setdefault(name, Piece(name))
        first = piece.began is None
        if piece.ended is None:
            piece.began = now if first else piece.began
            piece.progress = progress
            piece.speed.look(now, progress.bytes_done)
            self.speed.look(now, self.bytes_done)
        return first

    def done(self, name: str, outcome: str, now: float) -> Piece:
        piece = self.pieces.setdefault(name, Piece(name))
        piece.began = now if piece.began is None else piece.began
        piece.ended, piece.outcome = now, outcome
        return piece

    @property
    def bytes_done(self) -> int:
        return sum(piece.progress.bytes_done for piece in self.pieces.values())

    @property
    def files_done(self) -> int:
        return sum(piece.progress.files_done for piece in self.pieces.values())

    @property
    def bytes_total(self) -> int | None:
        """None while the total of any domain that is not done is unknown."""
        total = 0
        for piece in self.pieces.values():
            if piece.ended is not None:
                total += piece.progress.bytes_done
            elif piece.progress.bytes_total is None:
                return None
            else:
                total += max(piece.progress.bytes_total, piece.progress.bytes_done)
        return total

    def summary(self, now: float) -> str:
        """Everything in one line: `7 of 20 done, 1.2 GiB of 3.4 GiB, 1,234 files, 45 MiB/s, 1m 12s left`."""
        ended = sum(piece.ended is not None for piece in self.pieces.values())
        done, total = self.bytes_done, self.bytes_total
        rate = self.speed.rate(now, done)
        parts = [
            f"{ended} of {len(self.pieces)} done",
            fmt.size(done) if total is None else f"{fmt.size(done)} of {fmt.size(total)}",
            fmt.plural(self.files_done, "file"),
        ]
        if rate is not None:
            parts.append(fmt.rate(rate))
        left = None if total is None or not rate else max(0, total - done) / rate
        parts.append(f"{fmt.duration(round(left))} left" if left else f"after {fmt.duration(round(now - self.began))}")
        errors = sum(piece.progress.errors for piece in self.pieces.values())
        return ", ".join([*parts, fmt.plural(errors, "error")] if errors else parts)

    def lines(self, now: float, width: int, height: int, fancy: bool) -> list[Line]:
        """At most `height` lines: the sum, a row per domain where there is room for all, else a row for what runs
        and one line each for what is done, what failed and what waits."""
        mark = "…" if fancy else ".."
        found = self._head(now, width, mark)
        if len(self.pieces) + len(found) <= height:
            rows = [self._row(piece, now, width, fancy) for piece in self.pieces.values()]
            return [*found, *_table(rows, width, mark)]
        running = [piece for piece in self.pieces.values() if piece.running]
        rest = self._collapsed(width, mark, fancy)
        room = max(1, height - len(found) - len(rest))
        shown = running if len(running) <= room else running[: room - 1]
        found.extend(_table([self._row(piece, now, width, fancy) for piece in shown], width, mark))
        if len(shown) < len(running):
            found.append([(f"and {len(running) - len(shown)} more running", FAINT)])
        return (found + rest)[:height]

    def _head(self, now: float, width: int, mark: str) -> list[Line]:
        """Title and sums, on two lines where one is too short."""
        title, sums = layout.line([(self.title, STRONG)]), layout.line([self.summary(now)])
        if layout.cells(title[0][0]) + 2 + layout.cells(sums[0][0]) <= width:
            return [[*title, (": ", ""), *sums]]
        return [[(layout.shorten(text, width, "end", mark), style)] for (text, style), *_ in (title, sums)]

    def _collapsed(self, width: int, mark: str, fancy: bool) -> list[Line]:
        """What does not move, one line a kind; what went wrong comes first in what is named."""
        kinds: dict[str, list[str]] = {"failed": [], "done": [], "waiting": []}
        for piece in self.pieces.values():
            if piece.ended is not None:
                kinds["done" if piece.outcome in COMPLETE else "failed"].append(
                    piece.name if piece.outcome in COMPLETE else f"{piece.name} ({piece.outcome})"
                )
            elif piece.began is None:
                kinds["waiting"].append(piece.name)
        signs = {"done": ("✓ " if fancy else "", GOOD), "failed": ("✗ " if fancy else "", BAD), "waiting": ("", FAINT)}
        found = []
        for kind, names in kinds.items():
            if names:
                sign, style = signs[kind]
                word = "not complete" if kind == "failed" else kind
                text = f"{sign}{len(names)} {word}: {', '.join(names)}"
                found.append(layout.line([(layout.shorten(text, width, "end", mark), style)]))
        return found

    def _row(self, piece: Piece, now: float, width: int, fancy: bool) -> list[Part]:
        progress = piece.progress
        if piece.ended is not None:
            sign, style = MARKS.get(piece.outcome, ("", ""))
            took = fmt.duration(round(piece.took(now)))
            text = f"{sign} {piece.outcome}" if fancy else piece.outcome
            done = fmt.size(progress.bytes_done)
            return [piece.name, (text, style), "", done, fmt.count(progress.files_done), "", f"in {took}"]
        if piece.began is None:
            return [piece.name, ("waiting", FAINT), "", "", "", "", ""]
        rate = piece.speed.rate(now, progress.bytes_done)
        left = progress.seconds_left
        if left is None and rate and progress.bytes_total is not None:
            left = max(0, progress.bytes_total - progress.bytes_done) / rate
        share = min(1.0, progress.bytes_done / progress.bytes_total) if progress.bytes_total else None
        return [
            piece.name, (bar(share, max(8, min(24, width // 5)), fancy), GOOD),
            "" if share is None else f"{int(share * 100)}%",
            fmt.size(progress.bytes_done), fmt.count(progress.files_done),
            "" if rate is None else fmt.rate(rate), f"for {fmt.duration(round(now - piece.began))}" if left is None
            else f"{fmt.duration(round(left))} left",
        ]  # fmt: skip


def _table(rows: Sequence[Sequence[Part]], width: int, mark: str) -> list[Line]:
    return layout.table(COLUMNS, rows, width, mark=mark, header=False) if rows else []


def bar(share: float | None, width: int, fancy: bool) -> str:
    """A bar that differs in its signs, not only in colour; of an unknown share it is empty."""
    full, empty = ("█", "░") if fancy else ("#", "-")
    done = 0 if share is None else min(width, int(share * width))
    return full * done + empty * (width - done)
