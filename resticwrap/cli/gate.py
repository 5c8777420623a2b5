"""`rw gate`."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import click

from resticwrap import errors
from resticwrap.cli.edge import built, foreseen, logging_for, run, signals
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.bootstrap import House
    from resticwrap.model.gate import GateReport

CRITICAL, UNKNOWN = 2, 3
"""Of the Monitoring Plugins guidelines."""


class Span(click.ParamType[timedelta]):
    """A duration as in the policies."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from resticwrap.model.fields import parse_duration

        if isinstance(value, timedelta):
            return value
        try:
            span = parse_duration(value)
        except ValueError:
            self.fail("must be a duration such as 30m, 2h or 1d", param, ctx)
        assert isinstance(span, timedelta)
        return span


@click.command(
    epilog=epilog(
        "rw gate --explain\nrw gate --nagios\nrw gate --override --reason change-4711 --for 2h",
        "0 1 2 3 10 21 22 130",
        code_0="open; with --nagios OK",
        code_1="nobody can tell; with --nagios WARNING",
        code_2="usage or policy error; with --nagios CRITICAL",
        code_3="only with --nagios: UNKNOWN, nobody can tell",
        code_21="closed",
    )
)
@common
@click.option("--explain", is_flag=True, help="Show everything that was looked at.")
@click.option("--live", is_flag=True, help="Ask the target too: whether it answers, its clock, its bucket's rules.")
@click.option("--nagios", is_flag=True, help="One line and an exit code as monitoring wants them.")
@click.option("--override", is_flag=True, help="Let the reasons that close it now pass for a while; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why; it becomes evidence, in clear in the target.")
@click.option("--for", "span", type=Span(), metavar="TIME", help="For how long, at most 7d [default: 2h].")
@click.option("--dry-run", is_flag=True, help="With --override: say what would pass; write nothing.")
def command(
    common: Common,
    explain: bool,
    live: bool,
    nagios: bool,
    override: bool,
    reason: str | None,
    span: timedelta | None,
    dry_run: bool,
) -> None:
    """May an upgrade, a migration or a prune go on? Answers by its exit code, and says why not.

    Reads records alone, unless --live is given. Which reasons close it is in gates.yaml. An override lets exactly the
    reasons pass that close it now: what comes up after that closes it again.
    """
    from resticwrap.report import gate as screen
    from resticwrap.services import gate

    if override and not (reason and reason.strip()):
        raise click.UsageError("--override needs --reason.")
    if not override and (reason is not None or span is not None or dry_run):
        raise click.UsageError("--reason, --for and --dry-run belong to --override.")
    if override and (nagios or live):
        raise click.UsageError("--override goes with neither --nagios nor --live.")
    if nagios and common.json:
        raise click.UsageError("--nagios and --json exclude each other.")

    def work(house: "House") -> "GateReport":
        if override:
            return gate.override(house.records, reason or "", span or timedelta(hours=2), dry_run=dry_run)
        return gate.decided(house.records, live=gate.look(house.context) if live else None)

    def render(console: "Console", report: "GateReport") -> None:
        screen.gate(console, report, explain=explain)

    if nagios:
        monitored(common, work)
    run(common, work, render, lambda report: errors.OK if report.open else errors.GATE_CLOSED, whole=True)


def monitored(common: Common, work: Any) -> NoReturn:
    """One line on stdout, whatever happens: also where nobody can tell."""
    from resticwrap.report import gate as screen

    try:
        with logging_for(common), built(common) as house, signals(house.cancel):
            report = work(house)
        said, state = screen.nagios(report), screen.state(report)
    except Exception as error:  # noqa: BLE001 - a plugin that dies says nothing
        failure = error if isinstance(error, errors.Failure) else None
        if failure is None:
            foreseen(error)
            failure = errors.unforeseen(error)
        down = isinstance(failure, errors.TargetUnreachable | errors.TargetRefused)
        state = CRITICAL if down else UNKNOWN
        said = screen.told(state, failure.message)
    click.echo(said)
    sys.exit(state)
