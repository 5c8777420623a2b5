"""What would be copied to cold, and what became of it."""

from collections import Counter
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.tiering import TierPlan, TierReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import NAMED, headline
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import FAINT, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def tier_plan(console: "Console", plan: TierPlan, *, zone: tzinfo | None = None) -> None:
    """The snapshots that cold promises and has not proven, and how many each tier holds."""
    with Page(console, zone) as page:
        if plan.copies:
            columns = (
                Column(page.time_title("Time", [one.time for one in plan.copies])),
                Column("Domain", least=18, cut="middle", style=NAME),
                Column("Type", rank=2),
                Column("Size", right=True, rank=1),
                Column("Snapshot", rank=3),
                Column("To do"),
                Column("Why", least=18),
            )
            shown = plan.copies if page.plain else plan.copies[:NAMED]
            rows: list[list[Part]] = [
                [
                    page.time(one.time), one.domain, one.type, fmt.size(one.size), page.id(one.original), one.action,
                    "; ".join(one.reasons),
                ]
                for one in shown
            ]  # fmt: skip
            page.table(columns, rows)
            if len(shown) < len(plan.copies):
                page.say(f"and {len(plan.copies) - len(shown)} more", indent=2)
        actions = Counter(one.action for one in plan.copies)
        page.say(
            (f"{plan.target}: ", STRONG), f"{fmt.plural(actions['copy'], 'snapshot')} to copy to cold, "
            f"{actions['prove']} there and still to prove.",
        )  # fmt: skip
        if plan.unknown:
            page.say(
                page.mark("warn", fmt.plural(plan.unknown, "snapshot")),
                " not known to be complete, and so left alone: rw catalog rebuild",
            )
        if plan.unlabelled:
            page.say(f"{fmt.plural(plan.unlabelled, 'pack')} of cold without a label yet.")
        for count in plan.counts:
            most = f"; at the rhythm of the schedule at most {fmt.count(count.at_most)}" if count.at_most else ""
            page.say((f"{count.tier:<5}", NAME), f"holds {fmt.plural(count.now, 'snapshot')}{most}.")


def tier(console: "Console", report: TierReport, *, zone: tzinfo | None = None) -> None:
    """What was copied, how it was proven, and what is left."""
    with Page(console, zone) as page:
        details = report.details
        headline(page, "Copy to cold", report.job)
        _row(page, "copied", fmt.plural(len(details.copied), "snapshot"))
        read = f"{fmt.plural(details.packs_read, 'pack')} ({fmt.size(details.bytes_read)}) hashed to their names"
        looked = f", {fmt.plural(details.packs_looked, 'pack')} there with their size" if details.packs_looked else ""
        _row(page, "read back", read + looked)
        _row(page, "proven", f"{fmt.plural(len(details.marked), 'snapshot')}, marked tier=cold")
        if details.labelled:
            _row(page, "labelled", fmt.plural(details.labelled, "pack"))
        for bad in details.bad:
            page.say(page.mark("failed", f"pack {page.id(bad.pack)}"), f" {bad.why}", indent=2)
        for original, why in report.left.items():
            page.say(page.mark("failed", "not proven"), f" {page.id(original)}: {why}", indent=2)
        if report.left:
            page.say(
                ("what to do: ", STRONG), "run it again; hot keeps them meanwhile. rw verify --tier cold", indent=2
            )
        for warning in report.warnings:
            page.say(page.mark("warn", "warning"), f": {warning}")


def _row(page: Page, name: str, text: str) -> None:
    page.say((f"{name:<11}", FAINT), text, indent=2, hang=11)
