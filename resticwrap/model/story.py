"""The story of a job: lines that are written while it runs, and what `rw logs` shows of them."""

import msgspec

from resticwrap.model.base import Time, Value, from_json, to_json
from resticwrap.model.job import Job

LONGEST = 8 << 10
"""Characters of one field: the ids of ten thousand snapshots are no story."""
ENDS_OF_LINES = {"\x85": b"\\u0085", "\u2028": b"\\u2028", "\u2029": b"\\u2029"}
"""What JSON lets stand in a string, and some programs take for the end of a line."""


class LogLine(Value, frozen=True, omit_defaults=True):
    """One line. What it has not is left out. `command` is what was run, secrets masked; `exit_code` how that ended, or
    the job; `seconds` what it took; `files` and `bytes` how much was read; `kind` and `hint` belong to a failure."""

    time: Time
    level: str
    message: str
    job: str | None = None
    logger: str = ""
    domain: str | None = None
    command: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    seconds: float | None = None
    outcome: str | None = None
    files: int | None = None
    bytes: int | None = None
    kind: str | None = None
    hint: str | None = None
    run: str | None = None
    """The job of the schedule that it is about, in the scheduler's own lines."""


def encode(line: LogLine) -> bytes:
    """A line as it is written: one JSON object, and the one line end behind it."""
    data = to_json(msgspec.structs.replace(line, **_shortened(line)))
    for char, escape in ENDS_OF_LINES.items():
        data = data.replace(char.encode(), escape)
    return data + b"\n"


def decode(data: bytes) -> LogLine | None:
    """None where it is no line of a story: half of one, after a full disk."""
    try:
        return from_json(LogLine, data)
    except ValueError:
        return None


def _shortened(line: LogLine) -> dict[str, str]:
    return {
        name: f"{text[:LONGEST]} (and {len(text) - LONGEST} more characters)"
        for name in ("message", "command", "hint", "domain")
        if (text := getattr(line, name)) is not None and len(text) > LONGEST
    }


class StoryInfo(Value, frozen=True):
    """A story as it lies there. `size` in bytes; `running`: the process that writes it lives."""

    job: str
    size: int
    running: bool


class LoggedJob(Value, frozen=True):
    """A job that has a story. What the records do not say is `null`."""

    job: str
    running: bool
    size: int
    kind: str | None = None
    outcome: str | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    error: str | None = None


class LogsReport(Value, frozen=True):
    """The last jobs that have a story, newest first."""

    target: str
    jobs: tuple[LoggedJob, ...]


class StoryHead(Value, frozen=True):
    """What stands around a story: the record of its job, and why there is no story where there is none."""

    job: str
    running: bool
    record: Job | None
    missing: str | None = None
