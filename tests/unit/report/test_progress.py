"""Watchers tell how the work goes, from several threads, and never get in its way."""

import io
import logging
import re
import threading
from datetime import UTC, datetime

import pytest
from rich.console import Console

from resticwrap.clock import FixedClock
from resticwrap.ports import Progress, Watcher
from resticwrap.report import layout
from resticwrap.report.progress import PlainWatcher, QuietWatcher, RichWatcher, watcher_for
from resticwrap.report.tally import Tally, bar
from tests.unit.report.screens import Stream

NAMES = [f"a_domain_with_a_long_name_{index}" for index in range(20)]
MIB = 1024 * 1024


def clock() -> FixedClock:
    return FixedClock(datetime(2026, 7, 31, 14, 3, 5, tzinfo=UTC))


def busy(names: list[str], started: int, ended: int) -> Tally:
    tally = Tally("backup 20260731-140305-3f9c2a", names, 0)
    for second in range(11):
        for index, name in enumerate(names[:started]):
            total = None if index % 4 == 3 else 20 * MIB
            tally.update(name, Progress(bytes_done=second * MIB, bytes_total=total, files_done=second), float(second))
    for index, name in enumerate(names[:ended]):
        tally.done(name, "failed" if index == 1 else "ok", 12)
    return tally


@pytest.mark.parametrize("fancy", [True, False])
@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(("started", "ended"), [(0, 0), (3, 0), (14, 7), (20, 3), (20, 20)])
def test_the_live_view_fits(started: int, ended: int, width: int, fancy: bool) -> None:
    """Twenty domains on few lines: what is done, failed or waits collapses, what failed is named."""
    for height in (6, 12, 22, 50):
        lines = [
            "".join(text for text, _ in line) for line in busy(NAMES, started, ended).lines(14, width, height, fancy)
        ]
        assert len(lines) <= height
        assert all(layout.cells(line) <= width for line in lines)
        if ended and width >= 80:
            assert any("failed" in line and NAMES[1][:8] in line for line in lines)
        assert fancy or all(line.isascii() for line in lines)


def test_the_sum_has_rate_and_time_left() -> None:
    tally = Tally("backup", ["one", "two"], 0)
    for second in range(11):
        for name in ("one", "two"):
            tally.update(
                name, Progress(bytes_done=second * MIB, bytes_total=20 * MIB, files_done=second), float(second)
            )
    assert tally.summary(10) == "0 of 2 done, 20.0 MiB of 40.0 MiB, 20 files, 2.0 MiB/s, 10s left"
    tally.done("one", "unchanged", 10)
    assert tally.summary(10).startswith("1 of 2 done, 20.0 MiB of 30.0 MiB, ")


def test_unknown_totals_are_not_guessed() -> None:
    tally = Tally("verify", ["packs", "sample"], 0)
    assert tally.summary(3) == "0 of 2 done, 0 B, 0 files, after 3s"
    tally.update("packs", Progress(bytes_done=MIB, bytes_total=None), 0)
    lines = ["".join(text for text, _ in line) for line in tally.lines(3, 80, 20, fancy=False)]
    assert "%" not in "".join(lines)
    assert bar(None, 8, fancy=False) == "--------"
    assert bar(0.5, 8, fancy=False) == "####----"
    assert bar(7.0, 8, fancy=False) == "########"


def test_plain_lines_at_both_ends_and_a_heartbeat_between() -> None:
    stream, time = io.StringIO(), clock()
    watcher = PlainWatcher(stream, time)
    watcher.update("before", Progress())
    watcher.begin("backup J1", ["exams", "images"])
    for second in range(65):
        watcher.update("exams", Progress(bytes_done=second * MIB, bytes_total=100 * MIB, files_done=second))
        time.sleep(1)
    watcher.note("waiting for \x1b[31ma lock\n")
    watcher.done("exams", "ok")
    watcher.done("images", "unchanged")
    watcher.end()
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in stream.getvalue().splitlines()]
    assert lines == [
        "backup J1: exams, images",
        "exams: started",
        "0 of 2 done, 30.0 MiB, 30 files, 1.0 MiB/s, after 30s; running: exams",
        "0 of 2 done, 60.0 MiB, 60 files, 1.0 MiB/s, after 1m; running: exams",
        r"waiting for \x1b[31ma lock\n",
        "exams: ok after 1m 05s, 64 files, 64.0 MiB",
        "images: unchanged after 0s",
    ]


class Deaf(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_stream_that_nobody_reads_stops_no_backup() -> None:
    watcher = PlainWatcher(Deaf(), clock())
    watcher.begin("backup", ["exams"])
    watcher.done("exams", "ok")
    watcher.note("anything")
    watcher.end()


def live(height: int = 24) -> tuple[RichWatcher, Stream]:
    stream = Stream(terminal=True)
    console = Console(file=stream, force_terminal=True, width=80, height=height, _environ={"TERM": "xterm"})
    return RichWatcher(console, clock()), stream


def test_the_live_view_goes_away_and_notes_stay() -> None:
    watcher, stream = live()
    watcher.begin("backup J1", NAMES)
    watcher.update(NAMES[0], Progress(bytes_done=5 * MIB, bytes_total=10 * MIB))
    watcher.note("a retry [bold]of\x1b[2J this")
    watcher.done(NAMES[0], "ok")
    watcher.end()
    watcher.end()
    shown = stream.getvalue()
    assert r"a retry [bold]of\x1b[2J this" in shown
    assert "\x1b[2J" not in shown
    assert NAMES[19] in shown
    assert shown.rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("kind", ["rich", "plain"])
def test_watchers_take_news_from_several_threads(kind: str) -> None:
    watcher: Watcher = live(10)[0] if kind == "rich" else PlainWatcher(io.StringIO(), clock())
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for step in range(50):
                watcher.update(name, Progress(bytes_done=step, files_done=step))
                if step % 25 == 0:
                    watcher.note(f"{name} {step}")
            watcher.done(name, "ok")
        except BaseException as error:  # noqa: BLE001 - the thread hands whatever it was to the test
            failures.append(error)

    watcher.begin("backup", NAMES)
    threads = [threading.Thread(target=work, args=(name,)) for name in [*NAMES[:6], "one_more"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watcher.end()
    assert not failures


def test_quiet_passes_notes_on_as_warnings(caplog: pytest.LogCaptureFixture) -> None:
    watcher = watcher_for(stream_is_terminal=True, quiet=True)
    assert isinstance(watcher, QuietWatcher)
    watcher.begin("backup", ["exams"])
    watcher.update("exams", Progress())
    watcher.done("exams", "ok")
    watcher.note("waiting\nfor a lock")
    watcher.end()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, r"waiting\nfor a lock")
    ]


def test_the_watcher_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Stream(terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    assert isinstance(watcher_for(True), RichWatcher)
    assert isinstance(watcher_for(True, json=True), QuietWatcher)
    assert isinstance(watcher_for(False), PlainWatcher)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(watcher_for(True), PlainWatcher)
