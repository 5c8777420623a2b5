"""The edge: what becomes of failures, faults and reports."""

import json
import logging
import signal
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.cli import edge
from resticwrap.cli.options import Common
from resticwrap.model.reports import Check, DoctorReport

REPORT = DoctorReport(target="main", checks=(Check(name="n", verdict="fail", detail="d", hint="h"),))


def common(**changed: Any) -> Common:
    """The options of a command."""
    fields: dict[str, Any] = {
        "policies": None, "target": None, "domains": (), "json": False, "verbose": False, "quiet": False, **changed,
    }  # fmt: skip
    return Common(**fields)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence and a hint on stderr, its code, and with --json one document."""
    with pytest.raises(SystemExit) as left, edge.guarded(common(json=as_json)):
        raise errors.Locked("It is locked.", hint="rw unlock")
    out, err = capsys.readouterr()
    assert left.value.code == 11
    assert err == "error: It is locked.\nwhat to do: rw unlock\n"
    if as_json:
        told = {"kind": "Locked", "message": "It is locked.", "hint": "rw unlock", "exit_code": 11}
        assert json.loads(out) == {"error": told, "problems": []}
    else:
        assert out == ""


def test_every_problem_of_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """By its place."""
    problem = errors.Problem("a.yaml", 3, "x.y", "is wrong")
    with pytest.raises(SystemExit), edge.guarded(common(json=True)):
        raise errors.PolicyError([problem])
    out, err = capsys.readouterr()
    assert json.loads(out)["problems"] == [str(problem)] and str(problem) in err


def test_a_fault_of_ours_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Its kind and place but not its text; no traceback; a code of its own kind."""
    with pytest.raises(SystemExit) as left, edge.guarded(common(json=True)):
        raise ValueError("hunter2")
    said = "".join(capsys.readouterr())
    assert left.value.code == 1 and "hunter2" not in said and "Traceback" not in said
    assert "ValueError at test_edge.py" in said


@pytest.mark.parametrize(
    ("quiet", "code", "stdout", "stderr"),
    [(False, 0, True, False), (False, 1, True, False), (True, 0, False, False), (True, 1, False, True)],
)
def test_quiet_says_only_what_went_wrong(
    quiet: bool, code: int, stdout: bool, stderr: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that cron sends a mail of it and of nothing else."""
    from resticwrap.report import text

    edge.show(common(quiet=quiet), REPORT, text.doctor, code)
    out, err = capsys.readouterr()
    assert (bool(out), bool(err)) == (stdout, stderr)


def test_json_is_printed_however_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the result."""
    edge.show(common(quiet=True, json=True), REPORT, lambda console, report: None, 0)
    out, err = capsys.readouterr()
    assert json.loads(out)["target"] == "main" and err == ""


def test_verbose_logs_ours_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The clients of stores log requests with signatures; none of that."""
    ours = logging.getLogger("resticwrap")
    before = (ours.level, ours.handlers, ours.propagate)
    with edge.logging_for(common(verbose=True)):
        logging.getLogger("resticwrap.process").info("run this")
        logging.getLogger("botocore").info("a signature")
        logging.getLogger("resticwrap.process").debug("a detail")
    assert (ours.level, ours.handlers, ours.propagate) == before
    assert [line[9:] for line in capsys.readouterr().err.splitlines()] == ["run this"]


def test_signals_cancel_and_are_given_back() -> None:
    """All three set the wish to stop; afterwards the handlers are as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    for number in numbers:
        cancel = Cancel()
        with edge.signals(cancel):
            signal.raise_signal(number)
            assert cancel.is_set
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("text", ["2026-11-23T14:00", "2026-11-23T14:00:00+08:00", "2026-11-23", "2026-11-23T06:00Z"])
def test_times(text: str) -> None:
    """ISO 8601, always with a zone afterwards."""
    assert edge.TIME.convert(text, None, None).tzinfo is not None
