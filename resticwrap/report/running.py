"""Jobs that run: a bar for each, what is done of it, and what it is at."""

from collections.abc import Sequence

from resticwrap.model.base import Time
from resticwrap.model.job import COMPLETE
from resticwrap.model.running import JobProgress, PieceProgress
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.layout import Line, Part
from resticwrap.report.page import FAINT, GOOD, NAME, Page
from resticwrap.report.tally import bar

PIECES = 4


def running(page: Page, jobs: Sequence[JobProgress], at: Time, *, pieces: int = PIECES) -> list[Line]:
    """Two lines a job, and one for each of the first `pieces` that run. In a pipe for each that runs."""
    found: list[Line] = []
    for job in jobs:
        found += [_shown(page, line) for line in _job(page, job, at)]
        at_work = [piece for piece in job.pieces if piece.started_at is not None and piece.outcome is None]
        if len(job.pieces) > 1:
            found += [_shown(page, _piece(page, piece)) for piece in (at_work if page.plain else at_work[:pieces])]
    return found


def _job(page: Page, job: JobProgress, at: Time) -> list[list[Part]]:
    what = f"{job.type} {job.kind}" if job.type else job.kind
    since = fmt.duration(max(0.0, round((at - job.started_at).total_seconds())))
    head: list[Part] = [page.mark("running", what), " ", (job.job, NAME), f" for {since}"]
    if not job.pieces:
        return [head, ["  ", (job.phase, FAINT)]] if job.phase else [head]
    return [head, ["  ", *_bar(page, share_of(job.pieces)), sums(job.pieces)]]


def _piece(page: Page, piece: PieceProgress) -> list[Part]:
    share = share_of([piece]) if piece.bytes_total else None
    return ["  ", *_bar(page, share), (piece.name, NAME), " ", sums([piece])]


def _bar(page: Page, share: float | None) -> list[Part]:
    if page.plain:
        return []
    return [(bar(share, max(8, min(24, (page.width or 80) // 5)), page.fancy), GOOD), " "]


def _shown(page: Page, parts: Sequence[Part]) -> Line:
    return layout.line(parts) if page.plain else fit(page, parts)


def fit(page: Page, parts: Sequence[Part]) -> Line:
    """One line and no more: what does not fit is cut off at the end."""
    room = page.width or 80
    fitted: Line = []
    for text, style in layout.line(parts):
        if layout.cells(text) > room:
            fitted.append((layout.shorten(text, room, mark=page.ellipsis), style))
            break
        fitted.append((text, style))
        room -= layout.cells(text)
    return fitted


def bytes_of(pieces: Sequence[PieceProgress]) -> tuple[int, int | None]:
    """What was read, and what there is to read: None while the total of a piece that is not done is not known."""
    done = sum(piece.bytes_done for piece in pieces)
    total = 0
    for piece in pieces:
        if piece.outcome is not None:
            total += piece.bytes_done
        elif piece.bytes_total is None:
            return done, None
        else:
            total += max(piece.bytes_done, piece.bytes_total)
    return done, total


def share_of(pieces: Sequence[PieceProgress]) -> float:
    """How much is done: of the bytes, where it is known how many there are, else of the pieces."""
    done, total = bytes_of(pieces)
    if total:
        return min(1.0, done / total)
    parts = [
        1.0 if piece.outcome else piece.bytes_done / piece.bytes_total if piece.bytes_total else 0.0 for piece in pieces
    ]
    return min(1.0, sum(parts) / len(parts)) if parts else 0.0


def sums(pieces: Sequence[PieceProgress]) -> str:
    """`31%, 2 of 18 done, 12.3 GiB of 40 GiB, 1,234 files, 2m left`."""
    done, total = bytes_of(pieces)
    ended = sum(piece.outcome is not None for piece in pieces)
    parts = [f"{int(share_of(pieces) * 100)}%"] if total else []
    parts += [f"{ended} of {len(pieces)} done"] if len(pieces) > 1 else []
    parts.append(fmt.size(done) if total is None else f"{fmt.size(done)} of {fmt.size(total)}")
    parts.append(fmt.plural(sum(piece.files_done for piece in pieces), "file"))
    left = [piece.seconds_left for piece in pieces if piece.outcome is None and piece.seconds_left is not None]
    if left and total is not None:
        parts.append(f"{fmt.duration(round(max(left)))} left")
    bad = sum(piece.outcome is not None and piece.outcome not in COMPLETE for piece in pieces)
    parts += [f"{bad} NOT COMPLETE"] if bad else []
    if errors := sum(piece.errors for piece in pieces):
        parts.append(fmt.plural(errors, "error"))
    return ", ".join(parts)
