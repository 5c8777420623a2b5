"""The plan of a prune, and how it ended."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import PlannedPrune, PrunedTier, PrunePlan, PruneReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline
from resticwrap.report.layout import Part
from resticwrap.report.page import FAINT, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def prune_plan(console: "Console", report: PrunePlan, *, zone: tzinfo | None = None) -> None:
    """What a prune would do: `--dry-run`."""
    with Page(console, zone) as page:
        when: Part = f"it may take {fmt.duration(report.seconds)}"
        if not report.open:
            when = (f"its window {report.window} opens {page.moment(report.opens)} (--now does not wait)", POOR)
        page.say(("Dry run: ", STRONG), f"prune of {report.target}, ", when, ". Nothing is removed.")
        for tier in report.tiers:
            _planned(page, tier)


def _planned(page: Page, tier: PlannedPrune) -> None:
    page.say((tier.tier, NAME), f": {_amount(tier.packs, tier.stored)}; {tier.why}")
    if tier.max_repack is not None and not tier.cacheable_only:
        page.say(f"at most {fmt.size(tier.max_repack)} are written anew, for which there is room", indent=2)
    _said(page, tier.would)


def prune(console: "Console", report: PruneReport, *, zone: tzinfo | None = None) -> None:
    """What was removed by tier, and what is left to do."""
    with Page(console, zone) as page:
        headline(page, "Prune", report.job)
        for tier in report.tiers:
            _tier(page, tier)
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _tier(page: Page, tier: PrunedTier) -> None:
    outcome = "failed" if tier.error else "ok" if tier.ended else "partial"
    parts: list[Part] = [(tier.tier, NAME), ": ", page.mark(outcome), f", {_amount(tier.packs, tier.stored)} before"]
    if tier.packs_after is not None and tier.stored_after is not None:
        freed = tier.stored - tier.stored_after
        parts.append(f", {_amount(tier.packs_after, tier.stored_after)} after")
        parts.append((f", {fmt.size(freed)} freed" if freed >= 0 else f", {fmt.size(-freed)} more", STRONG))
    page.say(*parts)
    if tier.error is not None:
        page.say(tier.error.message, indent=2)
        page.say(("what to do: ", STRONG), tier.error.hint, indent=2)


def _amount(packs: int, stored: int) -> str:
    return f"{fmt.plural(packs, 'pack')} of {fmt.size(stored)}"


def _said(page: Page, lines: tuple[str, ...]) -> None:
    for line in lines:
        if line.strip():
            page.say((line.rstrip(), FAINT), indent=4)
