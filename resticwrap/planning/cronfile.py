"""The schedule as a crontab: a file for `/etc/cron.d`, or lines of a user's own. Source: crontab(5) of Debian, which
knows no time zones, ends a command at an unescaped `%`, and sends a mail of whatever a command prints."""

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resticwrap.model.policy import ScheduledJob
from resticwrap.planning import outside
from resticwrap.planning.calendar import Crontab
from resticwrap.planning.outside import STOP_SECONDS, Facts

LONGEST = 900
"""Bytes of a line: Debian's cron cuts commands off at 998."""


class Line(NamedTuple):
    """A job and when cron starts it."""

    name: str
    job: ScheduledJob
    times: tuple[str, ...]


def cronfile(facts: Facts, lines: Sequence[Line], *, mailto: str) -> str:
    """The whole file, or the lines for a user's own crontab. There a variable would hold for the lines behind ours as
    well, so each of ours sets its own."""
    body = []
    if not facts.user:
        body = ["SHELL=/bin/sh", f"MAILTO={mailto}"]
        body += [f"{name}={_value(value)}" for name, value in sorted(given(facts).items())]
    for line in lines:
        body += ["", f"# {outside.described(line.name, line.job)}"]
        body += [f"{time} {'' if facts.user else 'root '}{shell(facts, line.job)}" for time in line.times]
    end = end_of(facts.name) if facts.user else ""
    return outside.marked(facts, "\n".join(body).lstrip("\n") + "\n" + end)


def shell(facts: Facts, job: ScheduledJob) -> str:
    """What cron hands to the shell: the variables, then rw with its time limit."""
    words = ("timeout", "-s", "INT", "-k", str(STOP_SECONDS), str(outside.limit(job)), *outside.command(facts, job))
    steps = []
    if facts.user:
        pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(given(facts).items()))
        steps.append(f"export {pairs}")
    if facts.env_file is not None:
        steps.append(f"set -a; . {shlex.quote(str(facts.env_file))}; set +a")
    return "; ".join((*steps, f"exec {shlex.join(words)}")).replace("%", "\\%")


def given(facts: Facts) -> dict[str, str]:
    """The variables that the crontab sets. What a `_FILE` names is no secret."""
    return {**facts.environment, **{name: str(file) for name, file in facts.credentials.items()}}


def _value(value: str) -> str:
    """As it stands, or in the quotes that cron takes off again."""
    if value and value == value.strip() and value[0] not in "\"'":
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def unspeakable(facts: Facts) -> list[str]:
    """What no line of a crontab can hold: names of variables, and paths. Some crons take a backslash away."""
    paths = (*facts.rw, str(facts.policies), str(facts.env_file or ""))
    named = [name for name, value in given(facts).items() if not _holds(value) or {'"', "'"} <= set(value)]
    return [*named, *(path for path in paths if not _holds(path))]


def _holds(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def too_long(text: str) -> bool:
    """Whether cron would cut a command off."""
    return any(len(line.encode()) > LONGEST for line in text.splitlines() if not line.startswith("#"))


def refusals(times: Mapping[str, Crontab]) -> list[str]:
    """The jobs that cron cannot keep, and why, those of one reason together."""
    alike: dict[str, list[str]] = {}
    for name, found in times.items():
        if not found.lines:
            reason = f"{found.why}{f', such as {found.instead}' if found.instead else ''}"
            alike.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in alike.items()]


def end_of(name: str) -> str:
    """The last of our lines in a user's own crontab."""
    return f"# resticwrap: end of {name}\n"


def split(crontab: str, name: str) -> tuple[str, str | None, str]:
    """What stands before our lines, our lines, and what stands behind them; None where there are none of ours. Raises
    ValueError where their end cannot be told."""
    start = 0
    while (at := crontab.find(f"{outside.TITLE}\n", start)) >= 0:
        rest = crontab[at:]
        head = outside.HEAD.match(rest.partition("\n")[2])
        if head and head[1] == name and (at == 0 or crontab[at - 1] == "\n"):
            ours, end, behind = rest.partition(end_of(name))
            if not end:
                raise ValueError("no end")
            return crontab[:at], ours + end, behind
        start = at + 1
    return crontab, None, ""


def joined(before: str, ours: str | None, behind: str) -> str:
    """A whole crontab again."""
    if ours is None:
        return before + behind
    return before + ("" if not before or before.endswith("\n") else "\n") + ours + behind
