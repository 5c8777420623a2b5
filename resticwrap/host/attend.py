"""Runs a command of the operator's: with its own input and output, and with ours to interrupt it."""

from collections.abc import Callable, Mapping, Sequence

from resticwrap import process
from resticwrap.cancel import Cancel


class HostCommands:
    """The port `Commands` on this machine."""

    def __init__(self, env: Mapping[str, str], cancel: Cancel, *, to_stderr: bool = False) -> None:
        """`to_stderr`: what the command prints on stdout goes to stderr, where ours holds a document."""
        self._env, self._cancel, self._to_stderr = env, cancel, to_stderr

    def attend(self, command: Sequence[str], on_start: Callable[[int], None]) -> int:
        return process.attend(
            command, env=self._env, cancel=self._cancel, stdout=2 if self._to_stderr else None, on_start=on_start
        )
