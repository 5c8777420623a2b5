"""`rw schedule`."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, built, guarded, log_format, run, show
from resticwrap.cli.options import Common, common, epilog
from resticwrap.cli.schedule_install import install

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.schedule import HealthReport, PauseReport, RunsReport
    from resticwrap.services.schedule.scheduler import Scheduler


@click.group()
def group() -> None:
    """What runs by itself: run the schedule, look at it, pause it."""


class _Duration(click.ParamType[timedelta]):
    """A duration as policies have it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from resticwrap.model.fields import parse_duration

        try:
            found = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        assert isinstance(found, timedelta)
        return found


@group.command(
    "run",
    epilog=epilog(
        "rw schedule run\nrw schedule run --once --target s3",
        "0 1 2 3 11 130",
        code_0="it was asked to end; with --once: all that was due went well",
        code_1="with --once: something failed",
        code_3="with --once: something was partial",
        code_11="a scheduler runs here already",
        code_130="with --once: interrupted",
    ),
)
@common
@click.option("--once", is_flag=True, help="Do what is due now and exit: for a timer of your own.")
@click.option("--dry-run", is_flag=True, help="Show what would be started now; start nothing.")
def run_schedule(common: Common, once: bool, dry_run: bool) -> None:
    """Run the schedule in the foreground, until SIGTERM or Ctrl-C.

    Each run is a process of its own. Policies that change are read anew, at the latest at SIGHUP; broken ones leave
    those before in force. A second signal to end waits for nobody any longer.
    """
    from resticwrap.report import schedule as text
    from resticwrap.report.alerts import daily_text
    from resticwrap.services.schedule import telling, wishes

    if dry_run:
        run(common, lambda house: telling.due(*_facts(house, common)), text.coming)
    with guarded(common):
        _log(common)
        with built(common) as house:
            house.settings.select_domains(common.domains)
            scheduler = house.scheduler(target=_target(house, common), verbose=common.verbose, draw=daily_text)
            with _signals(scheduler):
                report = wishes.report_of(scheduler.once() if once else scheduler.run())
        if not once and not common.json:
            sys.exit(errors.OK)
        show(common, report, text.runs, wishes.code(report))
        sys.exit(wishes.code(report))


@group.command("list", epilog=epilog("rw schedule list\nrw schedule list --target s3 --json", "0 2"))
@common
def list_jobs(common: Common) -> None:
    """Every job: its rhythm, its last run, its next one; and whether a scheduler runs here.

    Reads records alone.
    """
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import telling

    common = _in_force(common)
    run(common, lambda house: telling.listed(*_facts(house, common)), text.listed)


@group.command("next", epilog=epilog("rw schedule next --count 20\nrw schedule next --until 2026-12-24T18:00", "0 2"))
@common
@click.option("--count", type=click.IntRange(1, 10_000), help="So many moments [default: 10; with --until: all].")
@click.option("--until", type=TIME, metavar="TIME", help="Moments up to this time.")
def next_runs(common: Common, count: int | None, until: datetime | None) -> None:
    """The moments to come, of all jobs together."""
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import telling

    common = _in_force(common)
    number = count or (10 if until is None else 10_000)
    run(common, lambda house: telling.coming(*_facts(house, common), count=number, until=until), text.coming)


@group.command(
    "run-now",
    epilog=epilog(
        "rw schedule run-now full\nrw schedule run-now full copy --no-wait",
        "0 1 2 3 11 130",
        code_1="a run failed, or was refused",
    ),
)
@common
@click.argument("names", nargs=-1, required=True)
@click.option("--no-wait", is_flag=True, help="Hand it to the scheduler that runs here, and do not wait for it.")
@click.option("--dry-run", is_flag=True, help="Show the commands; run nothing.")
def run_now(common: Common, names: tuple[str, ...], no_wait: bool, dry_run: bool) -> None:
    """Run jobs of the schedule now, also ones that are off or paused.

    By the scheduler that runs here, else by this command itself. It waits for a run of the same kind that is at work
    on the same domains. The rhythm of the schedule stays as it is.
    """
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import wishes

    def work(house: "House") -> "RunsReport":
        return wishes.run_now(
            house.settings,
            house.ledger.files,
            house.own_locks,
            house.clock,
            names,
            by=_user(),
            wait=not no_wait,
            scheduler=lambda: _by_hand(house, common),
            cancelled=lambda: house.cancel.is_set,
        )

    common = _in_force(common)
    if dry_run:
        run(common, lambda house: wishes.plan(house.settings, names), text.runs)
    run(common, work, text.runs, wishes.code, whole=True)


@group.command(epilog=epilog("rw schedule pause full --for 2h --reason 'moving house'\nrw schedule pause --all", "0 2"))
@common
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All jobs, also ones to come.")
@click.option(
    "--for", "period", type=_Duration(), metavar="DURATION", help="How long [default: until rw schedule resume]."
)
@click.option("--reason", metavar="TEXT", default="", help="Why; whoever looks at the list reads it.")
@click.option("--dry-run", is_flag=True, help="Say what would be paused; write nothing.")
def pause(
    common: Common, names: tuple[str, ...], everything: bool, period: timedelta | None, reason: str, dry_run: bool
) -> None:
    """Start nothing of these jobs for a while. What runs already goes on."""
    from resticwrap.model.schedule import Pause
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import wishes

    chosen = _names(names, everything)

    def work(house: "House") -> "PauseReport":
        now = house.clock.now()
        new = Pause(since=now, by=_user(), until=now + period if period else None, reason=reason)
        return wishes.pause(house.settings, house.ledger.files, house.own_locks, chosen, new, dry_run=dry_run)

    run(_in_force(common), work, text.pauses, whole=True)


@group.command(epilog=epilog("rw schedule resume full\nrw schedule resume --all", "0 2"))
@common
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="End every pause.")
@click.option("--dry-run", is_flag=True, help="Say which pauses would end; write nothing.")
def resume(common: Common, names: tuple[str, ...], everything: bool, dry_run: bool) -> None:
    """End a pause. What came due meanwhile runs once, at once."""
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import wishes

    chosen = _names(names, everything)

    def work(house: "House") -> "PauseReport":
        now = house.clock.now()
        return wishes.resume(house.settings, house.ledger.files, house.own_locks, chosen, now, dry_run=dry_run)

    run(_in_force(common), work, text.pauses, whole=True)


@group.command(epilog=epilog("rw schedule history\nrw schedule history full --limit 50 --json", "0 2"))
@common
@click.argument("names", nargs=-1)
@click.option("--since", type=TIME, metavar="TIME", help="Only runs that began then or later.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="So many runs.")
def history(common: Common, names: tuple[str, ...], since: datetime | None, limit: int) -> None:
    """The runs that were, newest first; of these jobs, or of all."""
    from resticwrap.report import schedule as text
    from resticwrap.services.schedule import telling

    common = _in_force(common)
    run(
        common,
        lambda house: telling.history(house.ledger, names, since=since, limit=limit, target=_target(house, common)),
        text.history,
        whole=True,
    )


@group.command(
    epilog=epilog("rw schedule health", "0 1 2", code_1="no scheduler has given a sign of life for 90 seconds")
)
@common
def health(common: Common) -> None:
    """Whether a scheduler lives here: for the health check of a container.

    Reads one small file of the state directory, and no policies.
    """
    with guarded(common):
        from resticwrap.catalog.schedule import FolderSchedule
        from resticwrap.clock import SystemClock
        from resticwrap.services.schedule import health as service
        from resticwrap.settings.loading import state_dir

        report = service.look(FolderSchedule(state_dir(os.environ)), SystemClock().now())
        show(common, report, _healthy, code := errors.OK if report.alive else errors.FAILED)
        sys.exit(code)


def _healthy(console: Any, report: "HealthReport") -> None:
    from resticwrap.report import schedule as text

    text.health(console, report)


def _in_force(common: Common) -> Common:
    """Where the policies do not hold now, and a scheduler runs by a copy of those before: that copy."""
    import dataclasses

    from resticwrap import settings
    from resticwrap.catalog.schedule import FolderSchedule
    from resticwrap.clock import SystemClock
    from resticwrap.services.schedule import health as service
    from resticwrap.settings.loading import state_dir

    with guarded(common):
        try:
            settings.load(settings.find_folder(common.policies, os.environ), os.environ)
        except errors.PolicyError:
            beat = FolderSchedule(state_dir(os.environ)).heartbeat()
            if beat is not None and service.lives(beat, SystemClock().now()) and os.path.isdir(beat.in_force):
                return dataclasses.replace(common, policies=Path(beat.in_force))
    return common


def _facts(house: "House", common: Common) -> Any:
    """What is told is told of: policies, records, now, which jobs."""
    from resticwrap.services.schedule import telling

    house.settings.select_domains(common.domains)
    meant = telling.chosen(_target(house, common), common.domains)
    return house.settings, house.ledger, house.clock.now(), meant


def _target(house: "House", common: Common) -> str | None:
    """Only where one is named: the schedule is of all targets."""
    return house.settings.target_name(common.target) if common.target is not None else None


def _by_hand(house: "House", common: Common) -> "Scheduler":
    _log(common)
    scheduler = house.scheduler(by_hand=True, verbose=common.verbose)

    def stop(number: int, frame: object) -> None:
        del number, frame
        house.cancel.set()
        scheduler.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return scheduler


def _names(names: tuple[str, ...], everything: bool) -> tuple[str, ...]:
    if everything == bool(names):
        raise click.UsageError("Give the names of jobs, or --all.")
    return ("",) if everything else names


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _log(common: Common) -> None:
    """The scheduler's log, on stderr, in the form that is asked for: when runs begin and end, and what they say, the
    lines of their own as they are; with -v also what is started."""
    from resticwrap.report.logs import LogHandler

    own: logging.Handler = logging.StreamHandler(sys.stderr)
    own.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    if log_format() == "json":
        own = LogHandler("json", verbose=True)
    ours = logging.getLogger("resticwrap")
    ours.handlers, ours.propagate = [own], False
    ours.setLevel(logging.INFO if common.verbose else logging.WARNING)
    level = logging.WARNING if common.quiet else logging.INFO
    logging.getLogger("resticwrap.services.schedule").setLevel(level)
    forwarded = logging.getLogger("resticwrap.forwarded")
    forwarded.handlers, forwarded.propagate = [logging.StreamHandler(sys.stderr)], False
    forwarded.setLevel(level)


@contextmanager
def _signals(scheduler: "Scheduler") -> Iterator[None]:
    """SIGTERM and SIGINT end it, SIGHUP has the policies read anew."""
    calls = {signal.SIGTERM: scheduler.stop, signal.SIGINT: scheduler.stop, signal.SIGHUP: scheduler.reread}
    before = {number: signal.signal(number, lambda *_, call=call: call()) for number, call in calls.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


group.add_command(install)
