"""Logs on stderr, and the stories that `rw logs` shows.

Plain, a line is for people; as JSON (`RW_LOG_FORMAT=json`) it is the line of a story, for whatever gathers logs.
"""

import contextlib
import logging
import sys
from collections.abc import Iterable
from datetime import tzinfo
from typing import TYPE_CHECKING, Literal, TextIO

from resticwrap import errors
from resticwrap.clock import Clock, SystemClock
from resticwrap.model.job import Job
from resticwrap.model.story import LoggedJob, LogLine, LogsReport, StoryHead, encode
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import FAINT, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

LogFormat = Literal["plain", "json"]
VARIABLE = "RW_LOG_FORMAT"
STYLES = {"warning": "warn", "error": "failed", "critical": "failed"}
BATCH = 200
WIDE = 100
"""Columns of a terminal from which on the list of jobs has room for more than what is asked for."""


def format_of(value: str | None) -> LogFormat:
    """What the variable says: plain where it says nothing. Raises UsageError."""
    if value in (None, "", "plain"):
        return "plain"
    if value == "json":
        return "json"
    raise errors.UsageError(f"{VARIABLE} must be json or plain.", hint=f"unset {VARIABLE}, or: export {VARIABLE}=json")


class LogHandler(logging.StreamHandler[TextIO]):
    """Logs on stderr. Plain: warnings, and with `verbose` what is run; what is told of jobs, a watcher shows. As JSON:
    what is told of jobs as well, in the form of a story; where `quiet`, warnings alone."""

    def __init__(self, form: LogFormat, *, verbose: bool, quiet: bool = False, clock: Clock | None = None) -> None:
        from resticwrap.services.telling import JOB_LOG, SHOWN_ELSEWHERE

        super().__init__(sys.stderr)
        self._clock = clock or SystemClock()
        self._json = form == "json"
        self._least = logging.INFO if verbose else logging.WARNING
        self._least_of_jobs = self._least if quiet else logging.INFO
        self._jobs, self._shown = JOB_LOG, SHOWN_ELSEWHERE
        # As it always was: what is run has its time before it, a warning alone needs none.
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s" if verbose else "%(message)s", "%H:%M:%S"))

    def filter(self, record: logging.LogRecord) -> bool:
        of_jobs = record.name == self._jobs
        if record.name.startswith(self._shown) if self._json else of_jobs:
            return False
        return record.levelno >= (self._least_of_jobs if of_jobs else self._least) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            self.stream.write(self.format(record) + "\n")
            self.stream.flush()

    def format(self, record: logging.LogRecord) -> str:
        if not self._json:
            return super().format(record)
        from resticwrap.services.telling import line_of

        return encode(line_of(record, self._clock)).decode().rstrip("\n")


def log_failure(failure: errors.Failure) -> None:
    """A command that failed, as a line."""
    from resticwrap.services.telling import say

    say(
        failure.message,
        level=logging.ERROR,
        kind=failure.kind,
        hint=failure.hint or None,
        exit_code=failure.exit_code,
    )
    if isinstance(failure, errors.PolicyError):
        for problem in failure.problems:
            say(str(problem), level=logging.ERROR, kind=failure.kind)


def logs(console: "Console", report: LogsReport, *, zone: tzinfo | None = None) -> None:
    """The last jobs that have a story."""
    with Page(console, zone) as page:
        if not report.jobs:
            page.say(f"No job of target {report.target} has a log here.")
            return
        columns = (
            Column(page.time_title("Time", [job.started_at for job in report.jobs])),
            Column("Job", least=20, cut="middle", style=NAME),
            Column("Outcome"),
            Column("Duration", right=True, rank=1),
            Column("Log", right=True, rank=2),
            Column("Error", least=12, rank=3),
        )
        # An id is there to be copied: it is not shortened for a number.
        count = len(columns) if page.width is None or page.width >= WIDE else 4
        page.table(columns[:count], [_row(page, job)[:count] for job in report.jobs])


def _row(page: Page, job: LoggedJob) -> list[Part]:
    outcome = "running" if job.running else "unknown" if job.outcome in (None, "running") else str(job.outcome)
    took = None
    if job.started_at is not None and job.finished_at is not None:
        took = (job.finished_at - job.started_at).total_seconds()
    return [
        page.time(job.started_at), job.job, page.mark(outcome), "-" if took is None else fmt.duration(took),
        fmt.size(job.size), job.error or "-",
    ]  # fmt: skip


def head(console: "Console", head: StoryHead, *, zone: tzinfo | None = None) -> None:
    """What the records say of the job, above its story."""
    with Page(console, zone) as page:
        record = head.record
        if record is None:
            page.say((head.job, STRONG), ": ", "runs" if head.running else "has no record")
        else:
            _record(page, head, record)
        if head.missing is not None:
            page.say(page.mark("warn", "no log"), f": {head.missing}")


def _record(page: Page, head: StoryHead, record: Job) -> None:
    what = f"{record.type} {record.kind}" if record.type else record.kind
    outcome = "running" if head.running else record.outcome
    ended = "" if record.finished_at is None else f" to {page.moment(record.finished_at)}"
    page.say(
        (record.id, STRONG), f": {what} of {record.target} on {record.host}, ", page.mark(outcome), ", ",
        (f"{page.moment(record.started_at)}{ended}", FAINT),
    )  # fmt: skip
    if outcome == "running" and not head.running and head.missing is None:
        page.say("Its process is gone: the next backup, verify or restore closes the record.", indent=2)
    if record.error is not None:
        page.say(page.mark("failed", record.error.kind), f": {record.error.message}", indent=2)
        if record.error.hint:
            page.say(("what to do: ", STRONG), record.error.hint, indent=2)


def lines(console: "Console", found: Iterable[LogLine], job: str, *, zone: tzinfo | None = None) -> None:
    """The lines of a story; those of another job within it bear its id."""
    page = Page(console, zone)
    for number, line in enumerate(found, start=1):
        page.say(*_line(page, line, job), hang=9)
        if number % BATCH == 0:
            page.flush()
    page.flush()


def _line(page: Page, line: LogLine, job: str) -> list[Part]:
    time = fmt.iso(line.time, page.zone) if page.plain else f"{fmt.local(line.time, page.zone):%H:%M:%S}"
    parts: list[Part] = [(f"{time} ", FAINT)]
    if line.job not in (None, job):
        parts.append((f"{line.job} ", FAINT))
    if line.level in STYLES:
        parts += [page.mark(STYLES[line.level], line.level), ": "]
    made_of = line.logger != "" and not line.logger.endswith(".job")
    text = line.message if line.command is None else f"[{line.pid}] {line.command}"
    parts.append((text, FAINT) if made_of and line.level == "info" else text)
    if detail := _detail(line):
        parts.append((f" ({detail})", FAINT))
    if line.hint:
        parts.append((f" what to do: {line.hint}", STRONG))
    return parts


def _detail(line: LogLine) -> str:
    """The numbers that the sentence does not say itself."""
    if line.command is not None or line.message.startswith("["):
        return ""
    parts = []
    if line.files:
        parts.append(fmt.plural(line.files, "file"))
    if line.bytes:
        parts.append(fmt.size(line.bytes))
    if line.seconds is not None:
        parts.append(fmt.duration(line.seconds))
    return ", ".join(parts)
