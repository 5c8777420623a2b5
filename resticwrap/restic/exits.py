"""restic's exit codes, in one table. What stands in no table is a failure.

Source: restic 0.19.1, doc/075_scripting.rst.
"""

import signal

from resticwrap import errors

OK = 0
PARTIAL = 3
LOCKED = 11

MEANING: dict[int, type[errors.Failure]] = {
    1: errors.ResticFailed,
    2: errors.ResticFailed,
    3: errors.ResticFailed,
    10: errors.NoRepository,
    11: errors.Locked,
    12: errors.WrongPassword,
    130: errors.Interrupted,
}
"""3 is `partial` for a backup, which reads it before it comes here; any other command that exits 3 has failed."""

HINTS: dict[int, str] = {
    10: "rw init --target {target}",
    11: "rw unlock --target {target}",
    12: "rw doctor --target {target}   (is RESTIC_PASSWORD_FILE the file that `rw init` wrote?)",
    130: "Run the same command again: what was stored stays stored.",
}

SENTENCES: dict[int, str] = {
    10: "There is no repository at {url}.",
    11: "The repository at {url} is locked by somebody else.",
    12: "The password does not open the repository at {url}.",
    130: "restic was interrupted.",
}


def unexplained(code: int) -> bool:
    """Whether restic failed without saying by its exit code why."""
    return code >= 0 and MEANING.get(code, errors.ResticFailed) is errors.ResticFailed


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def failure(code: int, *, command: str, url: str, target: str, said: str) -> errors.Failure:
    """The typed error of an exit code. `said` is what restic printed last, already masked; it is shown, never read."""
    if code < 0:
        killed = errors.ResticFailed(
            f"restic {command} was killed from outside by {signal_name(-code)}.",
            hint="Run the same command again. If nobody killed it, memory may be short: dmesg | grep -i oom",
        )
        killed.killed = True
        return killed
    kind = MEANING.get(code, errors.ResticFailed)
    sentence = SENTENCES.get(code, "restic {command} failed with exit code {code}{said}.")
    return kind(
        sentence.format(url=url, command=command, code=code, said=f": {said.rstrip('.')}" if said else ""),
        hint=HINTS.get(code, "rw doctor --target {target}").format(target=target),
    )
