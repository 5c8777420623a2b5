"""The edge between commands and people: signals, errors, JSON or a rendered report, the exit code."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from resticwrap import errors
from resticwrap.cli.options import Common

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.bootstrap import House
    from resticwrap.ports import Watcher
    from resticwrap.report.logs import LogFormat

R = TypeVar("R")
log = logging.getLogger(__name__)


def run(
    common: Common,
    work: Callable[["House"], R],
    render: Callable[["Console", R], None],
    code: Callable[[R], int] = lambda _: errors.OK,
    *,
    whole: bool = False,
) -> NoReturn:
    """Build the house, do the work, show what came of it, and exit. Never a traceback for what is foreseen.

    `whole` is for what works on a target as a whole: a domain that is named there must at least exist.
    """
    with guarded(common):
        with built(common) as house, signals(house.cancel):
            if whole:
                house.settings.select_domains(common.domains)
            report = work(house)
        show(common, report, render, code(report))
        sys.exit(code(report))


@contextmanager
def run_lines(common: Common) -> Iterator["House"]:
    """For commands that print as they go; the rest as `run`."""
    with guarded(common), built(common) as house, signals(house.cancel):
        yield house


def unless(house: "House", rows: Iterable[R]) -> Iterator[R]:
    """The rows, unless somebody interrupts: raises Interrupted between two of them."""
    for row in rows:
        house.cancel.check()
        yield row


def built(common: Common) -> AbstractContextManager["House"]:
    """The house, watched by a live view, by plain lines, or by nobody."""
    from resticwrap.bootstrap import house

    return house(common.policies, common.target, watcher_of(common))


def watcher_of(common: Common) -> "Watcher":
    """Who watches. The rest as `built`."""
    from resticwrap.report.progress import watcher_for

    # The lines of -v would tear a live view apart. As JSON, everything comes through the log.
    live = sys.stderr.isatty() and not common.verbose
    unseen = common.json or log_format() == "json"
    return watcher_for(live, common.quiet, unseen)


def log_format() -> "LogFormat":
    """How logs are written. Raises UsageError where the variable says something else."""
    from resticwrap.report.logs import VARIABLE, format_of

    return format_of(os.environ.get(VARIABLE))


@contextmanager
def logging_for(common: Common) -> Iterator[None]:
    """Logs on stderr, in the form that is asked for. Only our own: the clients of stores log requests."""
    from resticwrap.report.logs import LogHandler

    form = log_format()
    ours = logging.getLogger("resticwrap")
    before = (ours.level, ours.handlers, ours.propagate)
    ours.setLevel(logging.INFO if common.verbose or form == "json" else logging.WARNING)
    ours.handlers = [LogHandler(form, verbose=common.verbose, quiet=common.quiet)]
    ours.propagate = False
    try:
        yield
    finally:
        ours.level, ours.handlers, ours.propagate = before


class _Time(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone, this machine's own."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail("must be a time such as 2026-11-23T14:00 or 2026-11-23T14:00:00+08:00", param, ctx)


TIME = _Time()


@contextmanager
def guarded(common: Common) -> Iterator[None]:
    """Turn a Failure into a sentence, a hint and its exit code (with --json: one document on stdout)."""
    try:
        with logging_for(common):
            try:
                yield
            except errors.Failure as failure:
                fail(common, failure)
            except Exception as error:  # noqa: BLE001 - the edge is where everything is caught
                foreseen(error)
                fail(common, errors.unforeseen(error))
    except errors.UsageError as failure:  # how logs are to be written is not known
        fail(common, failure)


def foreseen(error: Exception) -> None:
    """click's own ways out are let through; of the rest, `-v` says where it came from."""
    if isinstance(error, click.ClickException | click.exceptions.Exit | BrokenPipeError):
        raise error
    for frame in traceback.extract_tb(error.__traceback__):
        log.info("  %s:%d in %s", frame.filename, frame.lineno, frame.name)


def fail(common: Common, failure: errors.Failure) -> NoReturn:
    """Show a failure and exit with its code."""
    if common.json:
        put_failure(failure)
    from resticwrap.report.console import console
    from resticwrap.report.errors import show_failure
    from resticwrap.report.logs import VARIABLE, log_failure

    if os.environ.get(VARIABLE) == "json":
        log_failure(failure)
    else:
        show_failure(console(stderr=True), failure)
    sys.exit(failure.exit_code)


def put_failure(failure: errors.Failure) -> None:
    """A failure as one JSON document on stdout."""
    from resticwrap.model.job import ErrorInfo
    from resticwrap.model.reports import FailureReport

    problems = tuple(str(p) for p in failure.problems) if isinstance(failure, errors.PolicyError) else ()
    shown = ErrorInfo(kind=failure.kind, message=failure.message, hint=failure.hint, exit_code=failure.exit_code)
    put(FailureReport(error=shown, problems=problems))


def show(common: Common, report: R, render: Callable[["Console", R], None], code: int = errors.OK) -> None:
    """Print a report: as JSON, or rendered. With `--quiet` only one that is not good, and then on stderr, so that
    cron sends a mail of it and of nothing else."""
    if common.json:
        put(report)
    elif not common.quiet or code != errors.OK:
        from resticwrap.report.console import console

        render(console(stderr=common.quiet), report)


def put(value: Any) -> None:
    """One JSON document and a newline on stdout."""
    from resticwrap.model.base import to_json

    sys.stdout.buffer.write(to_json(value) + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def signals(cancel: Any) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP interrupt the children, which are waited for; nothing is torn down under them."""

    def handle(number: int, frame: object) -> None:
        del number, frame
        cancel.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
