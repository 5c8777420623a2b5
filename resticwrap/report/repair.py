"""What a repair would do, and how it ended."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.repair import LostObject, RepairPlan, RepairReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline, paths
from resticwrap.report.page import BAD, FAINT, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

ACTIONS = {
    "tidy": "remove copies",
    "bring_back": "bring back",
    "rebuild_index": "rebuild the index",
    "salvage": "save what is left",
    "set_aside": "set aside",
    "copy": "copy from the other tier",
    "back_up": "back up the live source",
    "cut": "CUT",
    "compare": "compare",
}
HOPES = {"tier": "the other tier has it", "live": "the live source has a file of that size", "none": "nothing has it"}


def repair_plan(console: "Console", report: RepairPlan, *, zone: tzinfo | None = None) -> None:
    """The plan: `--dry-run`."""
    with Page(console, zone) as page:
        page.say(("Repair", STRONG), f" of {report.tier}, target {report.target}, as things stood at ",
                 page.moment(report.at), "; it is planned anew after each step")  # fmt: skip
        _plan(page, report)
        _lost(page, report.lost, "No sound object of this repository holds now:")
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _plan(page: Page, report: RepairPlan) -> None:
    if not report.bad and not report.steps and not report.lost:
        page.say(page.mark("ok", "nothing is damaged"), ", as far as was looked: --full reads every pack")
    for one in report.bad:
        sound = f", sound in {'an older version' if one.sound == 'version' else 'the cache'}" if one.sound else ""
        page.say((one.kind.replace("_", " "), BAD), " ", page.id(one.name), sound, indent=2)
    for number, step in enumerate(report.steps, 1):
        named = " ".join(page.id(name) if len(name) == 64 else name for name in step.names[:8])
        more = f" and {len(step.names) - 8} more" if len(step.names) > 8 else ""
        rights = " (needs credentials that may delete)" if step.deletes else ""
        style = BAD if step.action == "cut" else NAME
        page.say(f"{number}. ", (ACTIONS[step.action], style), f" {named}{more}: {step.why}{rights}")


def _lost(page: Page, lost: Sequence[LostObject], title: str) -> None:
    if not lost:
        return
    lines = tuple(
        f"{one.domain or '-'}: {one.path}, {fmt.size(one.size)}, in {fmt.plural(len(one.snapshots), 'snapshot')}: "
        f"{HOPES[one.hope]}"
        for one in lost
    )
    paths(page, [(title, BAD)], lines, len(lines))


def repair(console: "Console", report: RepairReport, *, zone: tzinfo | None = None) -> None:
    """What was done, healed, lost and cut."""
    with Page(console, zone) as page:
        headline(page, f"Repair of {report.tier}", report.job)
        if not report.done and report.ok:
            page.say(page.mark("ok", "nothing is damaged"), ", as far as was looked: --full reads every pack")
        for step in report.done:
            mark = page.mark("ok" if step.ok else "failed", ACTIONS[step.action])
            page.say(mark, f" {fmt.plural(len(step.names), 'object')}", (f": {step.why}" if step.why else "", POOR))
        good = [one for one in report.healed if one.ok]
        if report.healed:
            objects = fmt.plural(sum(one.objects for one in good), "object")
            page.say(("healed: ", FAINT), f"{len(good)} of {fmt.plural(len(report.healed), 'snapshot')}, "
                     f"{objects} compared")  # fmt: skip
        for one in report.healed:
            if not one.ok:
                page.say(
                    page.mark("failed", f"snapshot {page.id(one.snapshot)}"), f" {one.domain}: {one.why}", indent=2
                )
        for bad in report.left:
            page.say((f"still bad: {bad.kind.replace('_', ' ')} ", BAD), page.id(bad.name), indent=2)
        title = "Cut out of snapshots, and gone from them:" if report.cut else "Lost:"
        _lost(page, report.lost, title)
        if report.cut:
            page.say(page.mark("warn", "partial from now on"), ": ", " ".join(page.id(name) for name in report.cut))
        for note in report.notes:
            page.say(("note: ", STRONG), note)
        page.say(("what to do: ", STRONG), f"rw verify --target {report.job.target} --tier {report.tier} --share 1")
