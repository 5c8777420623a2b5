"""The plan of a forget and how it ended: a reason for every snapshot that is kept and every one that goes."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.aging import Verdict
from resticwrap.model.reports import ForgetPlan, ForgetReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 40
"""How many of either a terminal shows; a pipe gets all."""


def forget(console: "Console", report: ForgetReport, *, zone: tzinfo | None = None) -> None:
    """What goes and why, what stays and why, what is suspended; then what came of it."""
    with Page(console, zone) as page:
        if report.looked:
            page.say("Looked at: ", (", ".join(report.looked), STRONG), ". What was unusual before now counts no more.")
            return
        if report.plan is None:
            return
        if report.job is None:
            page.say(("Dry run: ", STRONG), f"forget on {report.plan.target}. Nothing is removed.")
        else:
            headline(page, "Forget", report.job)
        _plan(page, report.plan)
        if report.job is not None:
            gone = fmt.plural(len(report.removed), "snapshot")
            page.say(page.mark("partial" if report.left else "ok", f"{gone} removed"), _left(report))
            for tier, name, why in report.left[: None if page.plain else SHOWN]:
                page.say((f"{tier} ", FAINT), page.id(name), f" is still there: {why}", indent=2)
            if report.removed:
                page.say(("The room comes back with the next prune: rw prune", FAINT))
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _left(report: ForgetReport) -> str:
    return f", {len(report.left):,} left" if report.left else ""


def _plan(page: Page, plan: ForgetPlan) -> None:
    goes = [one for one in plan.verdicts if not one.keep]
    stays = [one for one in plan.verdicts if one.keep]
    for domain, why in plan.suspended.items():
        page.box(
            f"Nothing of {domain} is removed",
            [
                [why[:1].upper() + why[1:], "."],
                ["Look at it, and if it is right: ", (f"rw forget --looked {domain}", STRONG)],
            ],
            BAD,
        )
    for warning in plan.warnings:
        page.say(page.mark("warn", "warning"), ": ", warning)
    _table(page, "Goes", goes, POOR)
    _table(page, "Stays", stays, NAME)
    strangers = f"; {fmt.plural(plan.strangers, 'snapshot')} not made by rw left alone" if plan.strangers else ""
    counts = ", ".join(
        f"{tier}: {sum(one.tier == tier for one in goes):,} of {sum(one.tier == tier for one in plan.verdicts):,} go"
        for tier in plan.tiers
    )
    page.say((counts + strangers, FAINT))


def _table(page: Page, title: str, verdicts: Sequence[Verdict], style: str) -> None:
    if not verdicts:
        return
    shown = verdicts if page.plain else verdicts[:SHOWN]
    columns = (
        Column(title, style=style),
        Column("Snapshot"),
        Column(page.time_title("Time", [one.time for one in shown[:1]])),
        Column("Domain", least=12, cut="middle", style=NAME),
        Column("Why", least=20),
    )
    rows: list[list[Part]] = [
        [one.tier, page.id(one.original), page.time(one.time), one.domain, "; ".join(one.reasons)] for one in shown
    ]
    page.table(columns, rows)
    if len(shown) < len(verdicts):
        page.say((f"and {len(verdicts) - len(shown):,} more; --json lists them all", FAINT))
