"""The screen of a watch: it fits every terminal, and goes on whatever a single look does."""

import re
from collections.abc import Callable
from datetime import UTC

import msgspec
import pytest
from rich.console import Console

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.reports import StatusReport
from resticwrap.model.running import PieceProgress
from resticwrap.report import layout
from resticwrap.report.page import Page
from resticwrap.report.running import share_of, sums
from resticwrap.report.watch import Screen, compose
from resticwrap.services.watching import Look, looks
from tests.unit.report import samples
from tests.unit.report.screens import Stream, draw

STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
AWAY = errors.CatalogUnavailable("The catalogue is locked.", hint="Try again.")


def shown(look: Look) -> Callable[[Console], None]:
    def show(console: Console) -> None:
        with Page(console, UTC) as page:
            compose(page, look, page.height)

    return show


@pytest.mark.parametrize("look", [Look(samples.busy()), Look(None, AWAY, samples.busy()), Look(None, AWAY)])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 10, 24, 80])
def test_it_fits(width: int, height: int, look: Look) -> None:
    """However few lines there are; trouble stands first, and a terminal of eighty lines shows all of it."""
    lines = STYLE.sub("", draw(shown(look), width=width, height=height)).splitlines()
    assert all(layout.cells(line) <= width for line in lines)
    if look.report is not None or height >= 10:
        assert len(lines) <= height
    if look.failure is not None:
        assert "no look" in lines[0]
    if height == 80 and width >= 80 and look.report is not None:
        text = "\n".join(lines)
        for name, *_ in samples.DOMAINS:
            assert name in text
        for word in (
            "full backup",
            "running the command",
            "critical incremental_late",
            "1 alert more",
            "disk: ",
            "hot ",
        ):
            assert word in text, word


def test_late_domains_stay() -> None:
    """On a low screen everything else gives way to them."""
    lines = STYLE.sub("", draw(shown(Look(msgspec.structs.replace(samples.busy(), alerts=(), running=()))), height=8))
    late = [one.domain for one in samples.busy().domains if not one.within]
    assert len(late) == 2 and all(name in lines for name in late)


def test_looks_go_on() -> None:
    """A catalogue that is away is told with what was seen before; a wrong domain ends it at once."""
    report = samples.status()
    answers: list[StatusReport | errors.Failure] = [report, AWAY, AWAY, report]

    def look() -> StatusReport:
        answer = answers.pop(0)
        if isinstance(answer, errors.Failure):
            raise answer
        return answer

    seen = list(looks(look, lambda: bool(answers)))
    assert seen == [Look(report), Look(None, AWAY, report), Look(None, AWAY, report), Look(report)]

    def wrong() -> StatusReport:
        raise errors.UsageError("There is no domain 'x'.")

    with pytest.raises(errors.UsageError):
        next(looks(wrong, lambda: True))


def test_screens_in_a_pipe() -> None:
    """Plain, one after the other, with a blank line between; no alternate screen."""
    stream = Stream(terminal=False)
    with Screen(Console(file=stream, width=80), UTC) as screen:
        screen.show(Look(samples.status(late=False)))
        screen.show(Look(samples.status(late=False)))
    text = stream.getvalue()
    assert "\x1b" not in text and text.count("domains within their objective") == 2
    first, second = text.split("\n\nlocal (local)")
    assert f"local (local){second}" == f"{first}\n"


def test_the_wait_ends_when_asked() -> None:
    """At once, and says so."""
    cancel = Cancel()
    screen = Screen(Console(file=Stream(terminal=False), width=80))
    assert screen.wait(cancel, 0.01)
    cancel.set()
    assert not screen.wait(cancel, 3600)


def test_shares() -> None:
    """Of the bytes where all totals are known, else of the pieces; never more than all."""
    done = PieceProgress(name="a", outcome="ok", bytes_done=10)
    half = PieceProgress(name="b", bytes_done=5, bytes_total=10)
    waiting = PieceProgress(name="c")
    over = PieceProgress(name="d", bytes_done=20, bytes_total=10, seconds_left=3)
    assert share_of([]) == 0 and share_of([done]) == 1 and share_of([half]) == 0.5 and share_of([over]) == 1
    assert share_of([done, half]) == 0.75 and share_of([done, half, waiting]) == pytest.approx(0.5)
    assert sums([done, half, over]) == "87%, 1 of 3 done, 35 B of 40 B, 0 files, 3s left"
    assert sums([waiting, done]) == "1 of 2 done, 10 B, 0 files"
