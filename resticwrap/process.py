"""The only starter of child processes.

A child gets exactly the environment it is given, a session of its own (so that a terminal's Ctrl-C reaches it once,
through us), and its output is always drained: restic dies of SIGPIPE and leaves a lock when its reader goes away.
"""

import contextlib
import ctypes
import logging
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resticwrap import errors, pipes
from resticwrap.cancel import Cancel
from resticwrap.clock import Clock, SystemClock

LINE_LIMIT = 512 * 1024 * 1024
"""Longest line that is kept whole, in bytes: `restic snapshots` and `restic find` print one line for all there is."""
TAIL_LINES = 50
GRACE_SECONDS = 20.0
"""How long a child may take to clean up after SIGINT before it gets SIGKILL."""
TICK_SECONDS = 0.2
LEISURE_SECONDS = 0.02
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """How a child ended. `stdout` is empty where `on_stdout` took the lines; `stderr` is the tail, secrets masked."""

    code: int
    stdout: bytes
    stderr: str
    seconds: float


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret (of at least four characters) by stars."""
    # The longest first: one secret may begin with another, and its rest would stand there in clear.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "****")
    return text


def processor_seconds(pid: int) -> float:
    """How much processor time a process has used so far, in seconds; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(argv: Sequence[str | bytes], secrets: Iterable[str] = ()) -> str:
    """A command as a person would type it, on one line, secrets masked."""
    secrets = tuple(secrets)
    text = shlex.join(mask(os.fsdecode(word), secrets) for word in argv)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def run(
    argv: Sequence[str | bytes],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: str | bytes | Path | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    nice: int = 0,
    secrets: Iterable[str] = (),
    private: bool = False,
    cancel: Cancel | None = None,
    clock: Clock | None = None,
    grace: float = GRACE_SECONDS,
    on_start: Callable[[int], None] | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
    on_stderr: Callable[[bytes], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    leisurely: bool = False,
) -> Result:
    """Run a child to its end and say how it ended; a non-zero exit is for the caller to judge.

    `stdout` is a descriptor that takes what the child writes, which then is not seen here.

    `timeout` and `grace`, the time to clean up after SIGINT, are in seconds. `on_start` gets the pid, `on_stdout`
    and `on_stderr` whole lines without their end,
    `on_tick` is called at least five times a second; what any of them raises stops the child and is raised again.
    `leisurely`: the child says a lot in small pieces, which are read together, fifty times a second.

    The command and its exit code are logged (`-v`) with secrets masked; a `private` one by its name alone.

    Raises Interrupted when `cancel` is set meanwhile, DeadlineExceeded after `timeout`, Failure when the program
    cannot be started. In each case the child was interrupted, given time to clean up, and waited for.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    name = os.fsdecode(argv[0]).rsplit("/", 1)[-1]
    secrets = tuple(secrets)
    if cancel is not None:
        cancel.check()
    try:
        child = subprocess.Popen(
            # By nice(1): a priority that is set from here reaches one thread of a program that has begun others.
            ["nice", "-n", str(nice), *argv] if nice else argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise errors.Failure(
            f"{name} could not be started: {error.strerror}.", hint=f"Is it installed? command -v {name}"
        ) from error
    if log.isEnabledFor(logging.INFO):
        _log_start(child.pid, name if private else shown(argv, secrets))
    out, err = _Lines(on_stdout), _Lines(on_stderr, tail=True)
    try:
        if on_start is not None:
            on_start(child.pid)
        for _ in _pump(child, out, err, leisurely):
            if cancel is not None:
                cancel.check()
            if clock.monotonic() - started > timeout:
                raise errors.DeadlineExceeded(
                    f"{name} was stopped after {timeout:.0f} seconds, which is its limit.",
                    hint="Raise `deadline` in targets.yaml if the work is that long, or look why it stands still.",
                )
            if on_tick is not None:
                on_tick()
        code = child.returncode
    except BaseException:
        _stop(child, out, err, grace)
        _log_end("[%d] stopped, exit code %d", child.pid, child.returncode)
        raise
    finally:
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    seconds = clock.monotonic() - started
    _log_end("[%d] exit code %d after %.1f s", child.pid, code, seconds)
    return Result(code, out.whole(), mask(err.text(), secrets), seconds)


def attend(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cancel: Cancel,
    stdout: int | None = None,
    on_start: Callable[[int], None] | None = None,
) -> int:
    """Run a command of the operator's to its end, with our own input and output, and return its exit code; 128 and the
    signal's number where one ended it.

    When `cancel` is set it gets one SIGINT, it and all that it has started, and is waited for as long as it takes: what
    it does is not ours to cut short. What `on_start` raises stops it likewise. Raises Failure where it cannot be
    started.
    """
    cancel.check()
    try:
        # A session of its own: a terminal's Ctrl-C reaches it once, through us.
        child = subprocess.Popen(list(argv), env=dict(env), stdout=stdout, start_new_session=True)
    except OSError as error:
        name = argv[0].rsplit("/", 1)[-1]
        raise errors.Failure(
            f"{name} could not be started: {error.strerror}.", hint=f"Is it installed? command -v {name}"
        ) from error
    _log_start(child.pid, argv[0].rsplit("/", 1)[-1])
    try:
        if on_start is not None:
            on_start(child.pid)
    except BaseException:
        _interrupt(child.pid)
        child.wait()
        raise
    told = False
    while True:
        try:
            code = child.wait(TICK_SECONDS)
        except subprocess.TimeoutExpired:
            if cancel.is_set and not told:
                told = True
                _interrupt(child.pid)
            continue
        _log_end("[%d] exit code %d", child.pid, code)
        return 128 - code if code < 0 else code


def pour(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    on_chunk: Callable[[memoryview], None],
    on_start: Callable[[int], None] | None = None,
    cwd: str | None = None,
    stdin: int | None = None,
    on_idle: Callable[[], None] | None = None,
) -> tuple[int, str]:
    """Run a child whose output is large, and give it on as it comes, in pieces of up to a MiB which are valid for that
    call alone. Returns the exit code and the last that it said on stderr, with nothing masked.

    The child is in our own process group and gets SIGTERM when we end, however we end: it never outlives us. What
    `on_chunk` raises stops it, and what `on_idle` raises, which is called while nothing comes. Raises Failure where it
    cannot be started.
    """
    name = argv[0].rsplit("/", 1)[-1]
    try:
        child = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - whoever pours has one thread
        )
    except OSError as error:
        raise errors.Failure(
            f"{name} could not be started: {error.strerror}.", hint=f"Is it installed? command -v {name}"
        ) from error
    assert child.stdout is not None and child.stderr is not None
    said = _Lines(None, tail=True)
    buffer = memoryview(bytearray(pipes.PIECE))
    pipes.widen(child.stdout.fileno())
    try:
        if on_start is not None:
            on_start(child.pid)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            selector.register(child.stderr, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(TICK_SECONDS if on_idle is not None else None)
                if not ready and on_idle is not None:
                    on_idle()
                for key, _ in ready:
                    if key.fileobj is child.stdout:
                        if count := os.readv(child.stdout.fileno(), [buffer]):
                            on_chunk(buffer[:count])
                            continue
                    elif data := child.stderr.read(pipes.PIECE):
                        said.feed(data)
                        continue
                    selector.unregister(key.fileobj)
        said.end()
        return child.wait(), said.text()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.wait()
        raise
    finally:
        child.stdout.close()
        child.stderr.close()


class Conversation:
    """A child that answers to what it is told, line by line."""

    def __init__(self, child: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        self._child, self._said = child, said

    def say(self, text: bytes) -> None:
        """Raises BrokenPipeError where it has gone."""
        assert self._child.stdin is not None
        self._child.stdin.write(text)
        self._child.stdin.flush()

    def hear(self, last: bytes) -> list[bytes] | None:
        """The lines before one that is `last`; None where it ended without that."""
        assert self._child.stdout is not None
        heard: list[bytes] = []
        for line in self._child.stdout:
            if line.rstrip(b"\n") == last:
                return heard
            heard.append(line.rstrip(b"\n"))
        return None

    def end(self) -> tuple[int, str]:
        """Wait for it to end of itself; its exit code, and the last that it said on stderr, with nothing masked."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            code = self._child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        self._said.seek(max(os.fstat(self._said.fileno()).st_size - pipes.PIECE, 0))
        return code, self._said.read().decode("utf-8", "replace")


@contextlib.contextmanager
def converse(argv: Sequence[str], *, env: Mapping[str, str]) -> Iterator[Conversation]:
    """Run a child to talk with, which is ended with the block. Like what `pour` runs, it never outlives us. Raises
    Failure where it cannot be started."""
    name = argv[0].rsplit("/", 1)[-1]
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - whoever converses has one thread
            )
        except OSError as error:
            raise errors.Failure(
                f"{name} could not be started: {error.strerror}.", hint=f"Is it installed? command -v {name}"
            ) from error
        assert child.stdin is not None and child.stdout is not None
        try:
            yield Conversation(child, said)
        finally:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
                child.wait()
            with contextlib.suppress(OSError):
                child.stdin.close()
            child.stdout.close()


@contextlib.contextmanager
def serve(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, stdin: int | None = None
) -> Iterator[Callable[[], bool]]:
    """A server of ours that is thrown away: it runs for as long as the block, says what it says into `log`, and gets
    SIGQUIT at the end and when we die. Yields whether it still runs. Raises Failure where it cannot be started."""
    name = argv[0].rsplit("/", 1)[-1]
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Failure(
                f"{name} could not be started: {error.strerror}.", hint=f"Is it installed? command -v {name}"
            ) from error
    try:
        yield lambda: child.poll() is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGQUIT)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it begins: it asks the kernel to end it with its parent (PR_SET_PDEATHSIG)."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(1, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _log_start(pid: int, command: str) -> None:
    log.info("[%d] %s", pid, command, extra={"fields": {"pid": pid, "command": command}})


def _log_end(text: str, pid: int, code: int, *seconds: float) -> None:
    took = {"seconds": round(seconds[0], 3)} if seconds else {}
    log.info(text, pid, code, *seconds, extra={"fields": {"pid": pid, "exit_code": code, **took}})


def _interrupt(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGINT)


class _Lines:
    """Collects one stream: hands whole lines on, or keeps them; never more than its bounds."""

    def __init__(self, sink: Callable[[bytes], None] | None, *, tail: bool = False) -> None:
        self._sink = sink
        self._rest = bytearray()
        self._kept: deque[bytes] = deque(maxlen=TAIL_LINES if tail else None)
        self._keep = tail or sink is None
        self.mute = False

    def feed(self, data: bytes) -> None:
        self._rest += data
        if b"\n" not in data and len(self._rest) <= LINE_LIMIT:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest[-LINE_LIMIT:])
        for line in lines:
            self._take(line)

    def end(self) -> None:
        if self._rest:
            self._take(bytes(self._rest))
            self._rest.clear()

    def _take(self, line: bytes) -> None:
        if self._keep:
            self._kept.append(line)
        if self._sink is not None and not self.mute:
            self._sink(line)

    def whole(self) -> bytes:
        return b"\n".join(self._kept)

    def text(self) -> str:
        return self.whole().decode("utf-8", "replace")


def _pump(child: "subprocess.Popen[bytes]", out: _Lines, err: _Lines, leisurely: bool = False) -> Iterable[None]:
    """Drain both pipes until they and the child have ended; yields at least five times a second."""
    assert child.stderr is not None
    if leisurely and child.stdout is not None:
        pipes.widen(child.stdout.fileno())
    with selectors.DefaultSelector() as selector:
        if child.stdout is not None:
            selector.register(child.stdout, selectors.EVENT_READ, out)
        selector.register(child.stderr, selectors.EVENT_READ, err)
        gone = False
        while selector.get_map():
            ready = selector.select(TICK_SECONDS)
            for key, _ in ready:
                data = os.read(key.fd, pipes.PIECE)
                if data:
                    key.data.feed(data)
                else:
                    selector.unregister(key.fileobj)
                    key.data.end()
            # A grandchild may hold the pipes open after the child itself has gone.
            if not ready and gone:
                break
            # Asked before the next look at the pipes: what it wrote last may have come after this one.
            gone = child.poll() is not None
            if leisurely and not gone:
                time.sleep(LEISURE_SECONDS)
            yield
    out.end()
    err.end()
    # It may have closed both and work on.
    while True:
        try:
            child.wait(TICK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            yield


def _stop(child: "subprocess.Popen[bytes]", out: _Lines, err: _Lines, grace: float) -> None:
    """Interrupt, go on draining while it cleans up, kill what does not end. Runs even while we are interrupted."""
    out.mute = err.mute = True
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    deadline = SystemClock().monotonic() + grace
    for _ in _pump(child, out, err):
        if SystemClock().monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            break  # a grandchild may keep the pipes busy for ever
    child.wait()
