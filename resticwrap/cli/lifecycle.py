"""`rw lifecycle`."""

import sys
from typing import TYPE_CHECKING, NoReturn

import click

from resticwrap import errors
from resticwrap.cli.edge import built, guarded, run, show, signals
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.reports import LifecyclePlan, LifecycleReport, LifecycleStatus

REFUSED = "unsafe or contradictory rules, or a usage or policy error"


@click.group()
def group() -> None:
    """The lifecycle rules of a target's bucket: they move labelled data packs, and never delete what is alive."""


@group.command(epilog=epilog("rw lifecycle plan --target oss", "0 1 2 10 22 130", code_2=REFUSED))
@common
def plan(common: Common) -> None:
    """Show what `apply` would change, as a diff, and which rules of the bucket are not safe."""
    from resticwrap.report import text
    from resticwrap.services import lifecycle

    run(common, lambda house: lifecycle.plan(house.context), text.lifecycle_plan, _plan_code, whole=True)


@group.command(
    epilog=epilog(
        "rw lifecycle apply --dry-run\nrw lifecycle apply --yes --target s3",
        "0 1 2 10 22 130",
        code_1="failed, or the rules read back are not those that were put",
        code_2=REFUSED,
    )
)
@common
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--if-seen", metavar="DIGEST", default="", help="Only over the rules that a plan with this digest saw.")
@click.option("--dry-run", is_flag=True, help="Show the plan and put nothing.")
def apply(common: Common, yes: bool, if_seen: str, dry_run: bool) -> None:
    """Give the bucket the rules that the policy wants; everybody else's stay as they are.

    Refuses over a bucket whose rules would delete or freeze what a repository needs, where the rules change meanwhile,
    and where the provider would not take them or somebody's rule would get lost.
    """
    _write(common, yes=yes, if_seen=if_seen, dry_run=dry_run, remove=False)


@group.command(epilog=epilog("rw lifecycle remove --dry-run", "0 1 2 10 22 130", code_2=REFUSED))
@common
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@click.option("--dry-run", is_flag=True, help="Show the plan and take nothing away.")
def remove(common: Common, yes: bool, dry_run: bool) -> None:
    """Take the rules of `apply` away again; everybody else's stay as they are."""
    _write(common, yes=yes, if_seen="", dry_run=dry_run, remove=True)


@group.command(
    epilog=epilog(
        "rw lifecycle status --target s3",
        "0 1 2 10 22 130",
        code_1="failed, or something is not as it should be",
    )
)
@common
def status(common: Common) -> None:
    """Rules, versions and lock of the bucket, and what lies in which storage class.

    Reads the listing once, and names what is overdue for a colder class and what is in one where it must not be.
    """
    from resticwrap.report import text
    from resticwrap.services import lifecycle

    def code(report: "LifecycleStatus") -> int:
        return errors.OK if report.ok else errors.FAILED

    run(common, lambda house: lifecycle.status(house.context), text.lifecycle_status, code, whole=True)


def _plan_code(planned: "LifecyclePlan") -> int:
    from resticwrap.planning.lifecycle import unsafe

    return errors.USAGE if planned.refused or unsafe(planned.problems) else errors.OK


def _write(common: Common, *, yes: bool, if_seen: str, dry_run: bool, remove: bool) -> NoReturn:
    """Plan, show, ask, put. The question stands outside of `signals`, so that Ctrl-C ends it."""
    from resticwrap.report import text
    from resticwrap.services import lifecycle

    def code(report: "LifecycleReport") -> int:
        return errors.FAILED if report.differs else errors.OK

    with guarded(common), built(common) as house:
        house.settings.select_domains(common.domains)
        with signals(house.cancel):
            planned = lifecycle.plan(house.context, remove=remove)
        if dry_run:
            refused = errors.USAGE if remove and planned.refused else errors.OK if remove else _plan_code(planned)
            show(common, planned, text.lifecycle_plan, refused)
            sys.exit(refused)
        if not common.json and planned.seen:
            show(common, planned, text.lifecycle_plan)
            _ask(house, planned, yes=yes, quiet=common.quiet)
        with signals(house.cancel):
            report = lifecycle.apply(house.context, planned, remove=remove, if_seen=if_seen)
        show(common, report, text.lifecycle_report, code(report))
        sys.exit(code(report))


def _ask(house: "House", planned: "LifecyclePlan", *, yes: bool, quiet: bool) -> None:
    """On a terminal, whether to go on. Raises Failure where somebody says no."""
    if yes or not planned.changed or planned.refused or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    if quiet:
        from resticwrap.report import text

        text.lifecycle_plan(text.console(), planned)
    try:
        agreed = click.confirm(f"Write these rules to the bucket of {house.target_name}?", err=True)
    except click.Abort:
        raise errors.Interrupted("Nothing was changed.", hint="--yes does not ask.") from None
    if not agreed:
        raise errors.Failure("Nothing was changed.", hint="--yes does not ask.")
