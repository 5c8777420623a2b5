"""Upgrades: what would be done, what was done, what was left."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.upgrade import PreUpgradeReport, UpgradePlan, UpgradeReport, UpgradeStatus
from resticwrap.report import format as fmt
from resticwrap.report.gate import line
from resticwrap.report.page import FAINT, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

VERDICTS = {
    "ok": ("ok", "upgraded"),
    "gate_closed": ("failed", "NOT RUN: the gate is closed"),
    "command_failed": ("failed", "FAILED"),
    "drill_failed": ("failed", "FAILED: the drill after it"),
    "interrupted": ("interrupted", "INTERRUPTED"),
    "failed": ("failed", "FAILED"),
}


def pre_upgrade(console: "Console", report: PreUpgradeReport, *, zone: tzinfo | None = None) -> None:
    """The id of the job on a line of its own: it is what the release ticket wants."""
    with Page(console, zone) as page:
        page.say(("job_id: ", FAINT), (report.job.id, STRONG))
        if report.pin is not None:
            page.say(
                page.mark("ok", "pinned"), f" {fmt.plural(len(report.pin.snapshots), 'snapshot')} ({report.pin.id}), "
                f"until: rw upgrade --release {report.job.id}",
            )  # fmt: skip
            page.say(("to go back: ", FAINT), f"rw restore --job {report.job.id} --in-place")
        else:
            page.say(page.mark("failed", "NOT PINNED"))
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def plan(console: "Console", planned: UpgradePlan, *, zone: tzinfo | None = None) -> None:
    """The steps, and the gate as it is now, before the backup that the first step makes."""
    with Page(console, zone) as page:
        page.say("Upgrade over ", (planned.target, STRONG), f": {fmt.plural(len(planned.backup.domains), 'domain')}")
        for number, step in enumerate(planned.steps, 1):
            page.say(f"{number}. ", step, indent=2, hang=3)
        mark, (word, why) = line(planned.gate)
        page.say("gate now: ", page.mark(mark, word), f": {why}" if why else "")


def upgrade(console: "Console", report: UpgradeReport, *, zone: tzinfo | None = None) -> None:
    """How it ended, step by step, and what to run."""
    done = report.upgrade
    with Page(console, zone) as page:
        mark, word = VERDICTS[report.verdict]
        page.say("Upgrade ", (report.job.id, STRONG), ": ", page.mark(mark, word))
        if done.snapshot_job:
            kept = "pin released" if done.released else f"pinned by {done.pin}" if done.pin else "not pinned"
            page.say((f"{'snapshot':<10}", FAINT), f"{done.snapshot_job}, {kept}", indent=2, hang=10)
        if report.gate is not None:
            state, (name, why) = line(report.gate)
            page.say((f"{'gate':<10}", FAINT), page.mark(state, name), f": {why}" if why else "", indent=2, hang=10)
        if done.exit_code is not None:
            ended = page.mark("failed" if done.exit_code else "ok", f"exit code {done.exit_code}")
            page.say((f"{'command':<10}", FAINT), f"{done.command}: ", ended, indent=2, hang=10)
        if done.drill_ok is not None:
            ended = page.mark("ok" if done.drill_ok else "failed", "comes back" if done.drill_ok else "FAILED")
            page.say((f"{'drill':<10}", FAINT), ended, f" ({done.drill})" if done.drill else "", indent=2, hang=10)
        if done.rolled_back:
            page.say(
                (f"{'rollback':<10}", FAINT), page.mark("ok", "restored in place"), f" ({done.rollback})", indent=2,
                hang=10,
            )  # fmt: skip
        if report.job.error is not None and report.verdict in ("failed", "interrupted"):
            page.say((f"{'why':<10}", FAINT), report.job.error.message, indent=2, hang=10)
        for note in report.notes:
            page.say(("note: ", STRONG), note)
        for command in report.next:
            page.say(("what to do: ", STRONG), command)


def status(console: "Console", report: UpgradeStatus, *, zone: tzinfo | None = None) -> None:
    """Each pin that an upgrade holds, why, and what to run."""
    with Page(console, zone) as page:
        for pin in report.released:
            page.say(page.mark("ok", "released"), f" {pin.id}: {pin.reason}")
        for one in report.left:
            page.say(
                page.mark("running" if one.running else "warn", one.job), f", {page.moment(one.at)}: {one.said}"
            )  # fmt: skip
            page.say(("pin: ", FAINT), f"{one.pin.id}, {one.pin.reason}", indent=2)
            for command in one.next:
                page.say(("what to do: ", STRONG), command, indent=2)
        if not report.left:
            page.say(f"No upgrade of {report.target} holds a pin.")
        for note in report.notes:
            page.say(("note: ", STRONG), note)
