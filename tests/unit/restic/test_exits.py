"""restic's exit codes: every row of our table is what the real restic does, and what is in no row has failed."""

import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.restic import exits
from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab
from tests.unit.restic.scene import pid_of, runner_of, script

SLOW: dict[str, Any] = {"limits": {"upload": 300}}
"""KiB/s: a backup of a few seconds is met at work."""


def code_of(lab: Lab, *command: str, **changed: Any) -> tuple[int, errors.Failure]:
    """What real restic exits with, and what we make of it."""
    with runner_of(lab, **changed) as runner:
        result, _ = runner._once(command, on_line=None, cwd=lab.data, source=None, deadline=None)
        try:
            runner.run(command, cwd=lab.data, wait=0)
        except errors.Failure as failure:
            return result.code, failure
    return result.code, errors.Failure("")


def signalled(lab: Lab, number: signal.Signals) -> tuple[int, errors.Failure]:
    """restic is met at work and gets a signal that is not ours."""
    lab.write("exams/big", secrets.token_bytes(700_000))
    with runner_of(lab, **SLOW) as runner:
        setting = runner.setting

        def on_line(line: bytes) -> None:
            if b'"status"' in line:
                os.kill(pid_of(setting), number)

        result, heard = runner._once(["backup", "exams"], on_line=on_line, cwd=lab.data, source=None, deadline=None)
        return result.code, runner.failure(["backup"], result.code, heard)


def nothing_wrong(lab: Lab) -> tuple[int, errors.Failure]:
    return code_of(lab, "snapshots")


def nonsense(lab: Lab) -> tuple[int, errors.Failure]:
    return code_of(lab, "cat", "nonsense")


def crash(lab: Lab) -> tuple[int, errors.Failure]:
    return signalled(lab, signal.SIGQUIT)


def unreadable(lab: Lab) -> tuple[int, errors.Failure]:
    # Reading it fails for root as well.
    return code_of(lab, "backup", f"/proc/{os.getpid()}/mem", "exams")


def no_repository(lab: Lab) -> tuple[int, errors.Failure]:
    return code_of(lab, "snapshots", url=str(lab.folder / "nowhere"))


def locked(lab: Lab) -> tuple[int, errors.Failure]:
    signalled(lab, signal.SIGKILL)
    return code_of(lab, "check")


def wrong_password(lab: Lab) -> tuple[int, errors.Failure]:
    return code_of(lab, "snapshots", password=lambda: "not it")


def interrupted(lab: Lab) -> tuple[int, errors.Failure]:
    return signalled(lab, signal.SIGINT)


ROWS: dict[int, Callable[[Lab], tuple[int, errors.Failure]]] = {
    0: nothing_wrong,
    1: nonsense,
    2: crash,
    3: unreadable,
    10: no_repository,
    11: locked,
    12: wrong_password,
    130: interrupted,
}


@pytest.mark.parametrize("row", ROWS)
def test_row_by_the_real_restic(row: int, make_lab: MakeLab, either_restic: Path) -> None:
    """restic exits so, and it becomes that failure, with our exit code for it and something to do."""
    lab = make_lab("local", restic=either_restic)
    code, failure = ROWS[row](lab)
    if row == 130 and "0.18" in lab.bare("version").stdout.decode():
        row = 1  # before 0.19 an interrupted restic says that it has failed
    assert code == row
    if row == 0:
        return
    assert type(failure) is exits.MEANING[row]
    assert failure.exit_code == (row if row >= 10 else errors.FAILED)
    assert failure.hint and "Traceback" not in failure.message and "\n" not in failure.message
    assert PASSWORD not in failure.message + failure.hint


def test_every_row_is_proven() -> None:
    """The table has no row that the test above does not have."""
    assert set(ROWS) == {*exits.MEANING, exits.OK}
    assert set(exits.HINTS) | set(exits.SENTENCES) <= set(exits.MEANING)


def test_an_unknown_code_is_a_failure(lab: Lab) -> None:
    """Whatever a later restic means by it, and one that the kernel killed too."""
    with runner_of(lab, binary=script(lab.folder, "exit $(cat code)")) as runner:
        for code in (4, 9, 13, 42, 99, 129, 131, 255):
            (lab.folder / "code").write_text(str(code))
            with pytest.raises(errors.ResticFailed) as caught:
                runner.run(["snapshots"], cwd=lab.folder)
            assert caught.value.exit_code == errors.FAILED and str(code) in caught.value.message
    with runner_of(lab, binary=script(lab.folder, "kill -9 $$")) as runner, pytest.raises(errors.ResticFailed):
        runner.run(["snapshots"])


def test_what_restic_said_is_shown() -> None:
    """On one line and without a second full stop."""
    failure = exits.failure(1, command="copy", url="/u", target="t", said="it {broke}.")
    assert failure.message == "restic copy failed with exit code 1: it {broke}."
    assert failure.hint == "rw doctor --target t"
    assert exits.failure(12, command="copy", url="/u", target="t", said="x").message.endswith("repository at /u.")
