"""The one maker of consoles honours what the environment asks for."""

import io
import sys

import pytest

from resticwrap.report.console import console
from tests.unit.report.screens import Stream


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    monkeypatch.setenv("COLUMNS", "93")
    assert console().width == 93
    assert console(width=70).width == 70
    monkeypatch.setenv("TERM", "dumb")
    assert console().width == 93
    monkeypatch.setenv("COLUMNS", "wide")
    assert console().width == 80


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    assert console().color_system == "256"
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert console().color_system is None
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Stream(terminal=False))
    assert not console().is_terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console().is_terminal


def test_a_poor_encoding_stops_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console().print("成绩")
    assert raw.getvalue() == b"\\u6210\\u7ee9\n"
