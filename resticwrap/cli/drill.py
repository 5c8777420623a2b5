"""`rw drill`."""

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.drill import Level
    from resticwrap.model.drills import DrillPlan, DrillReport
    from resticwrap.model.kit import SystemReport
    from resticwrap.model.snapshot import TierName

CODES = "0 1 2 10 11 12 20 22 130"
FAILED = "something did not come back as it was, or the canary was not caught"


@click.group()
def group() -> None:
    """Rehearsed restores with a stopwatch: compared whole, measured against the objectives, kept as evidence."""


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What drills of L1 and L2 are asked."""
    for option in reversed(
        (
            click.option("--tier", type=click.Choice(["hot", "cold"]), default="hot", show_default=True,
                         help="Which repository to drill."),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1),
                         help="Repeat what a drill with this seed would choose [default: a new one]."),
            click.option("--failure-at", type=TIME, metavar="TIME",
                         help="The instant that counts as the failure [default: now]."),
            click.option("--scratch", type=click.Path(path_type=Path), metavar="FOLDER",
                         help="Where to restore to [default: where temporary files go]."),
            click.option("--scheduled", is_flag=True, help="Mark it as one of the schedule; always with the canary."),
            click.option("--no-canary", is_flag=True, help="Leave out the drill that must fail."),
            click.option("--thaw", is_flag=True, help="Ask for frozen packs to be thawed, and wait for them."),
            click.option("--dry-run", is_flag=True, help="Show what would be restored; restore nothing."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@group.command(
    epilog=epilog("rw drill l1\nrw drill l1 --domain exams --objects 5 --seed 42 --dry-run", CODES, code_20=FAILED)
)
@common
@click.option("--objects", type=click.IntRange(1, 10_000), help="How many objects [default: the policy's].")
@options
def l1(common: Common, objects: int | None, **asked: Any) -> None:
    """Restore a sample of objects into a scratch folder and compare each with its content id.

    Every domain and every object comes round: what has gone longest without a drill is taken first, then the newest,
    the largest, the oldest, and some at random. All bytes come from the target, none from the cache.
    """
    _drill(common, "l1", objects=objects, **asked)


@group.command(
    epilog=epilog("rw drill l2\nrw drill l2 --failure-at 2026-11-20T12:00 --scratch /mnt/large", CODES, code_20=FAILED)
)
@common
@options
def l2(common: Common, **asked: Any) -> None:
    """Restore every domain as it stood at a time into a scratch folder, and compare every object.

    Needs room for all of it, and is refused where there is none.
    """
    _drill(common, "l2", objects=None, **asked)


@group.command(epilog=epilog("rw drill l3\nrw drill l3 --scratch /mnt/large --scheduled", CODES, code_20=FAILED))
@common
@click.option("--no-start", is_flag=True, help="Bring the data back, and start nothing.")
@options
def l3(common: Common, no_start: bool, **asked: Any) -> None:
    """Bring the whole system back out of a recovery kit alone, into a scratch folder, and start it there.

    By priority, P0 first, with a state directory, a cache and secrets of its own. The policy's start and health
    commands run confined: they may write nowhere but into the scratch folder, and the drill fails where that cannot be
    held.
    """
    from resticwrap.report import text

    if asked.pop("dry_run"):
        run(common, lambda house: _system_plan(common, house, asked), text.system, whole=True)
    run(common, functools.partial(_run_l3, common, asked, not no_start), text.drill, code)


def _run_l3(common: Common, asked: dict[str, Any], start: bool, house: "House") -> "DrillReport":
    from resticwrap.services.drill import canary, frame, l3

    if asked["scheduled"] and asked["no_canary"]:
        raise click.UsageError("A scheduled drill always has the canary.")
    order = frame.Order(
        level="l3",
        tier=asked["tier"],
        scheduled=asked["scheduled"],
        seed=asked["seed"],
        failure_at=asked["failure_at"],
        scratch=asked["scratch"],
    )
    tried = None if asked["no_canary"] else canary.trial(house.context)
    return frame.run(house.context, order, l3.work(house.context, common.domains, start=start), tried)


def _system_plan(common: Common, house: "House", asked: dict[str, Any]) -> "SystemReport":
    from resticwrap.services import kit, system
    from resticwrap.services.drill import place

    context = house.context
    folder = place.check(context, asked["scratch"]) / "rw-drill-planned"
    wanted = system.Wanted(declared=asked["failure_at"] or house.clock.now(), domains=common.domains, confined=True)
    return system.preview(kit.gather(context), folder, wanted, context.recovery.elsewhere, house.clock)


def _drill(
    common: Common,
    level: "Level",
    *,
    objects: int | None,
    tier: "TierName",
    seed: int | None,
    failure_at: datetime | None,
    scratch: Path | None,
    scheduled: bool,
    no_canary: bool,
    thaw: bool,
    dry_run: bool,
) -> None:
    from resticwrap.report import text
    from resticwrap.services.drill import levels
    from resticwrap.services.drill.frame import Order, fresh_seed
    from resticwrap.services.thaw import Thawing

    if scheduled and no_canary:
        raise click.UsageError("A scheduled drill always has the canary.")
    order = Order(
        level=level,
        tier=tier,
        scheduled=scheduled,
        seed=fresh_seed() if seed is None else seed,
        failure_at=failure_at,
        scratch=scratch,
    )
    asked = levels.Asked(
        order=order,
        domains=common.domains,
        objects=objects,
        canary=not no_canary,
        how=Thawing(agrees=lambda _: thaw),
    )
    if dry_run:
        run(common, lambda house: levels.plan(house.context, asked), text.drill_plan, plan_code)
    run(common, functools.partial(_run, asked), text.drill, code)


def _run(asked: Any, house: "House") -> "DrillReport":
    from resticwrap.services.drill import levels

    return levels.drill(house.context, asked)


def code(report: "DrillReport") -> int:
    """20 where something did not come back as it was. A missed objective is told, and closes the gate."""
    return errors.OK if report.ok else errors.VERIFY_FAILED


def plan_code(plan: "DrillPlan") -> int:
    """20 where a run would fail for what is known already."""
    return errors.VERIFY_FAILED if plan.failures else errors.OK


@group.command(epilog=epilog("rw drill history\nrw drill history --limit 0 --json", "0 1 2"))
@common
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Drills; 0 for all.")
def history(common: Common, limit: int) -> None:
    """What drills measured, against the objectives, over time; and which level is due.

    Reads records alone.
    """
    from resticwrap.report import text
    from resticwrap.services.drill.history import history as told

    run(
        common,
        lambda house: told(house.records, common.domains, limit or None, house.clock.now()),
        text.drill_history,
    )


@group.command(epilog=epilog("rw drill show drill_20261128T054518Z_96be36", "0 1 2"))
@common
@click.argument("job")
def show(common: Common, job: str) -> None:
    """One drill: phases, domains, the objects of its sample, the canary."""
    from resticwrap.report import text
    from resticwrap.services.drill.history import show as told

    run(common, lambda house: told(house.records, job), text.drill, whole=True)
