"""What a recovery would bring back, and how it ended."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import RecoveredTier, RecoverPart, RecoverPlan, RecoverReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline, paths
from resticwrap.report.page import BAD, FAINT, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def recover_plan(console: "Console", report: RecoverPlan, *, zone: tzinfo | None = None) -> None:
    """What would be brought back: `--dry-run`."""
    with Page(console, zone) as page:
        page.say(("Dry run: ", STRONG), f"{report.target} as it stood at {page.moment(report.at)}. Nothing is written.")
        _plan(page, report)


def _plan(page: Page, report: RecoverPlan) -> None:
    if report.versioning == "suspended":
        page.say(page.mark("warn", "versioning is suspended"), ": what is deleted now is not kept any more")
    for part in report.parts:
        _part(page, part)
    for note in report.notes:
        page.say(("note: ", STRONG), note)


def _part(page: Page, part: RecoverPart) -> None:
    steps = part.deleted + part.overwritten
    what = f"{fmt.plural(steps, 'object')} of {fmt.size(part.size)}" if steps else "nothing"
    page.say(
        (part.name, NAME), ": ", (what, STRONG if steps else FAINT), " to bring back "
        f"({fmt.count(part.deleted)} deleted, {fmt.count(part.overwritten)} overwritten); {fmt.count(part.same)} as "
        f"they were; {fmt.count(part.newer)} written since, which stay",
    )  # fmt: skip
    if part.gone:
        title = f"  {fmt.plural(len(part.gone), 'object')} that were deleted since and of which no version is left:"
        paths(page, [(title, POOR)], part.gone, len(part.gone))


def recover(console: "Console", report: RecoverReport, *, zone: tzinfo | None = None) -> None:
    """What was brought back, and whether the repositories are whole."""
    with Page(console, zone) as page:
        headline(page, "Recovery", report.job)
        page.say(f"as it stood at {page.moment(report.plan.at)}: ", (fmt.plural(report.brought_back, "object"), STRONG),
                 " brought back")  # fmt: skip
        _plan(page, report.plan)
        for tier in report.tiers:
            _tier(page, tier)
        for note in report.notes:
            page.say(("note: ", STRONG), note)
        if report.job.outcome == "ok":
            named = f"--target {report.job.target}"
            page.say(("what to do: ", STRONG), f"rw verify {named} --share 1 && rw catalog rebuild {named}")


def _tier(page: Page, tier: RecoveredTier) -> None:
    if tier.ok:
        page.say((tier.tier, NAME), ": ", page.mark("ok", "whole"), f", {fmt.plural(tier.snapshots, 'snapshot')}")
        return
    page.say((tier.tier, NAME), ": ", page.mark("failed", "not whole"))
    if tier.problem is not None:
        page.say((tier.problem.message, BAD), indent=2)
        page.say(("what to do: ", STRONG), tier.problem.hint, indent=2)
        return
    if tier.lost:
        paths(page, [("  packs that are missing or not whole:", BAD)], tier.lost, len(tier.lost))
    for message in tier.messages:
        page.say((message, FAINT), indent=4)
    page.say(("what to do: ", STRONG), f"rw verify --tier {tier.tier} --share 1", indent=2)
