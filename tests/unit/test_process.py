"""The only starter of child processes, tried on real children."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.clock import FixedClock

PYTHON = sys.executable
STUBBORN = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready', flush=True)\n"


def python(code: str) -> list[str]:
    """A child that does this; quick to start."""
    return [PYTHON, "-S", "-E", "-c", code]


def test_environment_is_exactly_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours is inherited, whatever we have."""
    monkeypatch.setenv("RESTIC_PASSWORD", "inherited-secret")
    result = process.run(["/usr/bin/env"], env={"ONLY": "this", "EMPTY": ""}, timeout=10)
    assert sorted(result.stdout.splitlines()) == [b"EMPTY=", b"ONLY=this"]
    assert process.run(["/usr/bin/env"], env={}, timeout=10).stdout == b""


def test_a_child_has_a_session_and_an_empty_stdin() -> None:
    """A terminal's Ctrl-C reaches it through us alone, and it never waits for somebody to type."""
    result = process.run(
        python("import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '')"), env={}, timeout=10
    )
    assert result.stdout == b"True True"


def test_exit_codes_and_signals_are_told() -> None:
    """What an exit means is for the caller to judge; a signal's is negative."""
    assert process.run(python("raise SystemExit(7)"), env={}, timeout=10).code == 7
    killed = process.run(python("import os; os.kill(os.getpid(), 9)"), env={}, timeout=10)
    assert killed.code == -signal.SIGKILL


def test_a_program_that_is_not_there() -> None:
    """A sentence and a hint instead of an OSError."""
    with pytest.raises(errors.Failure, match=r"^nowhere could not be started: No such file") as caught:
        process.run(["/nowhere", "--secret"], env={}, timeout=1)
    assert "--secret" not in str(caught.value)


def test_timeout_stops_the_child() -> None:
    """After its deadline a child is interrupted, waited for, and named."""
    pids: list[int] = []
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match="limit") as caught:
        process.run(["/bin/sleep", "60"], env={}, timeout=0.3, on_start=pids.append)
    assert time.monotonic() - started < 5 and "sleep" in caught.value.message
    assert gone(pids[0])


def test_timeout_counts_by_the_given_clock() -> None:
    """Deadlines are tried without waiting for them."""
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(errors.DeadlineExceeded):
        process.run(["/bin/sleep", "60"], env={}, timeout=3600, clock=clock, on_tick=lambda: clock.sleep(1000))


def test_cancel_from_another_thread() -> None:
    """A wish to stop ends a silent child within a moment, and none is started afterwards."""
    cancel, pids = Cancel(), list[int]()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(errors.Interrupted) as caught:
        process.run(["/bin/sleep", "60"], env={}, timeout=60, cancel=cancel, on_start=pids.append)
    assert time.monotonic() - started < 5 and caught.value.exit_code == 130
    assert gone(pids[0])
    with pytest.raises(errors.Interrupted):
        process.run(["/bin/sleep", "60"], env={}, timeout=60, cancel=cancel, on_start=pids.append)
    assert len(pids) == 1


def test_a_child_cleans_up_when_it_is_stopped(tmp_path: Path) -> None:
    """It gets SIGINT first, and its output is drained while it works on: a full pipe does not stand in its way."""
    code = (
        "import sys, time\ntry:\n  print('ready', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n"
        f"  sys.stdout.write('x' * 500_000); sys.stdout.flush(); open({str(tmp_path / 'clean')!r}, 'w').close()"
    )
    lines: list[bytes] = []
    with pytest.raises(errors.Interrupted):
        process.run(python(code), env={}, timeout=60, cancel=soon(lines), on_stdout=lines.append)
    assert (tmp_path / "clean").exists()
    assert lines == [b"ready"], "what it says while it is stopped is not handed on"


class soon(Cancel):  # noqa: N801 - reads as a verb
    """Set as soon as a line was heard."""

    def __init__(self, lines: list[bytes]) -> None:
        super().__init__()
        self._lines = lines

    @property
    def is_set(self) -> bool:
        return bool(self._lines)


@pytest.mark.parametrize("then", ["time.sleep(60)", "import os; os.close(1); os.close(2); time.sleep(60)"])
def test_a_child_that_ignores_us_is_killed(then: str) -> None:
    """After the grace it gets SIGKILL, also when it has closed its output."""
    lines, pids = list[bytes](), list[int]()
    with pytest.raises(errors.Interrupted):
        process.run(
            python(STUBBORN + then), env={}, timeout=60, grace=0.3, cancel=soon(lines),
            on_stdout=lines.append, on_start=pids.append,
        )  # fmt: skip
    assert gone(pids[0])


def test_a_child_that_closed_its_output_is_still_watched() -> None:
    """Timeout and ticks go on, and the exit code is waited for."""
    ticks: list[int] = []
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.5); os._exit(5)"
    result = process.run(python(code), env={}, timeout=60, on_tick=lambda: ticks.append(1))
    assert result.code == 5 and len(ticks) >= 2
    with pytest.raises(errors.DeadlineExceeded):
        process.run(python(code.replace("0.5", "60")), env={}, timeout=0.4)


def test_a_grandchild_that_holds_the_pipes() -> None:
    """A daemon that a child left behind does not keep us waiting; what the child said is there."""
    pids: list[bytes] = []
    started = time.monotonic()
    code = (
        "import os, sys, time\nif (pid := os.fork()) == 0: time.sleep(60)\n"
        "print(pid, flush=True); os.write(2, b'last'); os._exit(4)"
    )
    result = process.run(python(code), env={}, timeout=30, on_stdout=pids.append)
    os.kill(int(pids[0]), signal.SIGKILL)
    assert (result.code, time.monotonic() - started < 10) == (4, True)


def test_a_grandchild_that_babbles_does_not_stop_us_from_stopping() -> None:
    """Neither a silent nor a talking grandchild keeps a cancelled run alive."""
    lines: list[bytes] = []
    started = time.monotonic()
    code = (
        STUBBORN + "import os\nif (pid := os.fork()) == 0:\n  while True: print('babble', flush=True)\ntime.sleep(60)"
    )
    with pytest.raises(errors.Interrupted):
        process.run(python(code), env={}, timeout=60, grace=0.3, cancel=soon(lines), on_stdout=lines.append)
    assert time.monotonic() - started < 10


def test_ten_megabytes_are_drained() -> None:
    """Both streams, side by side and in full; of stderr the tail is kept."""
    code = (
        "import os, threading\n"
        "def say(fd, word):\n  for n in range(100_000): os.write(fd, word * 10 + b'%06d\\n' % n)\n"
        "t = threading.Thread(target=say, args=(2, b'errors..')); t.start(); say(1, b'results.'); t.join()"
    )
    result = process.run(python(code), env={}, timeout=60)
    lines = result.stdout.splitlines()
    assert len(lines) == 100_000 and lines[-1].endswith(b"099999") and len(result.stdout) > 8_000_000
    assert result.stderr.splitlines()[-1].endswith("099999")
    assert len(result.stderr.splitlines()) == process.TAIL_LINES


def test_lines_are_whole() -> None:
    """However the pipe cuts them, a long one and the last one without its end too."""
    lines: list[bytes] = []
    code = "import sys; sys.stdout.write('a\\n' + 'b' * 5_000_000 + '\\n\\nlast')"
    result = process.run(python(code), env={}, timeout=30, on_stdout=lines.append)
    assert [len(line) for line in lines] == [1, 5_000_000, 0, 4]
    assert lines[0] == b"a" and lines[-1] == b"last" and result.stdout == b""


def test_secrets_are_masked() -> None:
    """In what is kept of stderr, and the longest first: one secret may begin with another."""
    result = process.run(
        ["/bin/sh", "-c", "echo key=hunter2hunter2 or hunter2 >&2"],
        env={},
        timeout=10,
        secrets=("hunter2", "hunter2hunter2", "or", ""),
    )
    assert result.stderr == "key=**** or ****"
    assert process.mask("abc", ["abc"]) == "abc", "too short to be a secret, and a text full of stars"


def test_what_is_run_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """`-v` shows the command as a person would type it, on one line; a private one by its name alone."""
    with caplog.at_level(logging.INFO, "resticwrap"):
        process.run(["/bin/true", "a b", "key=hunter2", b"new\nline\xff"], env={}, timeout=10, secrets=("hunter2",))
        process.run(["/bin/true", "hidden"], env={}, timeout=10, private=True)
    assert "/bin/true 'a b' 'key=****' 'new\\nline" in caplog.text and "exit code 0" in caplog.text
    assert "hunter2" not in caplog.text and "hidden" not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_nice_is_applied(restic_binary: Path, tmp_path: Path) -> None:
    """A child runs as nicely as it was asked to, with all of its threads: restic has several from its first moment."""
    seen: dict[str, int] = {}
    child: list[int] = []

    def look() -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{child[0]}/task").iterdir():
                seen[thread.name] = os.getpriority(os.PRIO_PROCESS, int(thread.name))

    wanted = os.getpriority(os.PRIO_PROCESS, 0) + 7
    env = {"RESTIC_PASSWORD": "x", "HOME": str(tmp_path)}
    init = [str(restic_binary), "init", "--repo", str(tmp_path / "store")]
    result = process.run(init, env=env, timeout=60, nice=7, on_start=child.append, on_tick=look)
    assert result.code == 0 and len(seen) > 1
    assert set(seen.values()) == {wanted}


@pytest.mark.parametrize("which", ["on_start", "on_stdout", "on_stderr", "on_tick"])
def test_a_callback_that_raises_stops_the_child(which: str) -> None:
    """What it raises is raised again, and nothing is left running."""
    pids: list[int] = []

    def fail(*_: object) -> None:
        raise KeyError("mine")

    def start(pid: int) -> None:
        pids.append(pid)
        if which == "on_start":
            fail()

    code = "import sys, time; print('x', flush=True); print('y', file=sys.stderr, flush=True); time.sleep(60)"
    callbacks = {"on_start": start, **({which: fail} if which != "on_start" else {})}
    with pytest.raises(KeyError):
        process.run(python(code), env={}, timeout=60, **callbacks)  # type: ignore[arg-type]
    assert gone(pids[0])


def test_descriptors_are_passed_and_no_others() -> None:
    """A child has the descriptors that it was given and its three streams."""
    read, write = os.pipe()
    other = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(other, True)
    try:
        result = process.run(["/bin/ls", "/proc/self/fd"], env={}, timeout=10, pass_fds=(read,))
    finally:
        for fd in (read, write, other):
            os.close(fd)
    # ls itself has one more open, to look.
    assert {b"0", b"1", b"2", str(read).encode()} <= set(result.stdout.split())
    assert len(result.stdout.split()) == 5


def gone(pid: int) -> bool:
    """Whether a process has ended and was waited for."""
    return not Path(f"/proc/{pid}").exists()
