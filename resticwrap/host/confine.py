"""The commands that start, ask and stop a restored system: free after a disaster, confined in a drill.

How a command is confined is in `launch.py`, which runs in a process of its own.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.clock import Clock
from resticwrap.host import launch
from resticwrap.services.recovery_ports import Running

SCRIPT = str(Path(launch.__file__))
BEGIN, END = 10.0, 30.0
"""Seconds within which a command must be begun, and everything that it started must be gone after a stop."""
SAID = 2000
OF_OTHERS = frozenset(
    {"docker", "docker-compose", "podman", "nerdctl", "systemctl", "systemd-run", "sudo", "su", "at", "ssh"}
)
"""What has others do the work, who are not confined."""


@dataclass(frozen=True)
class Confined:
    """The words of a command, and what it reads on its standard input."""

    argv: tuple[str, ...]
    told: bytes = field(repr=False)

    @contextlib.contextmanager
    def stdin(self) -> Iterator[int]:
        """A descriptor of that, for the block."""
        fd = os.memfd_create("resticwrap", os.MFD_CLOEXEC)
        try:
            os.write(fd, self.told)
            os.lseek(fd, 0, os.SEEK_SET)
            yield fd
        finally:
            os.close(fd)


def confined(argv: Sequence[str], place: Path, env: Mapping[str, str], *, before: Sequence[str] = ()) -> Confined:
    """How a command is started that may write below `place` and nowhere else; `before` comes before its confinement,
    such as what makes it somebody else. It keeps its process id."""
    told = {
        "argv": list(argv),
        "cwd": "/",
        "env": dict(env),
        "confine": str(place),
        "log": "",
        "status": "",
        "pid": "",
        "detach": False,
        "lifeline": -1,
    }
    return Confined((*before, sys.executable, "-I", "-S", SCRIPT), json.dumps(told).encode())


class HostCommands:
    """The port `Commands` on this machine."""

    def __init__(self, cancel: Cancel, clock: Clock) -> None:
        self._cancel, self._clock = cancel, clock

    def refusal(self, words: Sequence[str]) -> str:
        if (version := launch.landlock_version()) < launch.TRUNCATES:
            has = f"has version {version} of Landlock" if version else "has no Landlock"
            return f"this kernel {has}, and version {launch.TRUNCATES} (Linux 6.2) is needed to confine a command"
        for word in words:
            for part in word.replace("=", " ").replace(";", " ").split():
                if os.path.basename(part) in OF_OTHERS:
                    return f"{os.path.basename(part)} has others do the work, outside of the drill's confinement"
        return ""

    def start(
        self, words: Sequence[str], *, place: Path, env: Mapping[str, str], log: Path, confined: Path | None
    ) -> Running:
        self._refuse(words, confined)
        status, pid = log.with_suffix(".status"), log.with_suffix(".pid")
        for left in (status, pid):
            left.unlink(missing_ok=True)
        ours, theirs = os.pipe() if confined else (-1, -1)
        # The reading end is theirs: it ends when we do, however that comes.
        lifeline = ours
        try:
            self._launch(
                words,
                place,
                env,
                confined,
                timeout=BEGIN,
                pass_fds=(lifeline,) if confined else (),
                log=str(log),
                status=str(status),
                pid=str(pid),
                detach=True,
                lifeline=lifeline,
            )
        finally:
            if confined:
                os.close(lifeline)
        return _Started(pid, status, theirs, self._clock)

    def ask(
        self, words: Sequence[str], *, place: Path, env: Mapping[str, str], timeout: float, confined: Path | None
    ) -> tuple[int, str]:
        self._refuse(words, confined)
        try:
            result = self._launch(words, place, env, confined, timeout=timeout)
        except errors.DeadlineExceeded:
            return 124, f"did not answer within {timeout:.0f} s"
        said = (result.stdout.decode("utf-8", "replace") + result.stderr).strip()
        return result.code, said[-SAID:]

    def _refuse(self, words: Sequence[str], confined: Path | None) -> None:
        if confined and (why := self.refusal(words)):
            raise errors.RestoreRefused(
                f"The command {words[0]} is not started in a drill: {why}.",
                hint="Give commands that work inside RW_SYSTEM_ROOT, or drill without them: recovery.yaml, `system`.",
            )

    def _launch(
        self,
        words: Sequence[str],
        place: Path,
        env: Mapping[str, str],
        confined: Path | None,
        *,
        timeout: float,
        pass_fds: tuple[int, ...] = (),
        **more: Any,
    ) -> process.Result:
        told = {
            "argv": list(words),
            "cwd": str(place),
            "env": dict(env),
            "confine": str(confined or ""),
            "log": "",
            "status": "",
            "pid": "",
            "detach": False,
            "lifeline": -1,
            **more,
        }
        # By stdin: the policy's `environment` may hold secrets, and arguments can be read by everybody.
        fd = os.memfd_create("resticwrap", os.MFD_CLOEXEC)
        try:
            os.write(fd, json.dumps(told).encode())
            os.lseek(fd, 0, os.SEEK_SET)
            result = process.run(
                [sys.executable, "-I", "-S", SCRIPT],
                env={"PATH": os.defpath},
                timeout=timeout,
                stdin=fd,
                pass_fds=pass_fds,
                private=True,
                cancel=self._cancel,
                clock=self._clock,
                grace=3.0,
            )
        finally:
            os.close(fd)
        if confined and result.code == launch.CANNOT:
            raise errors.RestoreRefused(
                f"The command {words[0]} cannot be confined here: {result.stderr.strip() or 'no reason given'}.",
                hint="Run the drill where Landlock and mount namespaces are allowed, or without start commands.",
            )
        return result


class _Started:
    """The port `Running`: a supervisor that lives for as long as anything of what it started."""

    def __init__(self, pid: Path, status: Path, lifeline: int, clock: Clock) -> None:
        self._pid_file, self._status, self._lifeline, self._clock = pid, status, lifeline, clock

    def ended(self) -> int | None:
        try:
            return int(self._status.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def stop(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        until = self._clock.monotonic() + END
        while (pid := self._pid()) is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
            if self._clock.monotonic() > until:
                raise errors.Failure(
                    f"What the start command began is still running (below process {pid}).", hint=f"kill {pid}"
                )
            self._clock.sleep(0.05)

    def _pid(self) -> int | None:
        """The supervisor's, None where it is gone."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if SCRIPT.encode() in command else None
