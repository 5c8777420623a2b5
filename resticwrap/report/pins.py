"""The pins of a target."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.aging import SnapshotPin
from resticwrap.model.reports import PinReport
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import FAINT, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

SAID = {
    "pinned": "Pinned. It holds in both tiers, until it ends or is released: rw unpin.",
    "released": "Released: from now on the policy decides about these snapshots again.",
    "planned": "Dry run: nothing was written.",
}


def pins(console: "Console", report: PinReport, *, zone: tzinfo | None = None) -> None:
    """Which snapshots are pinned, by whom and why."""
    with Page(console, zone) as page:
        if not report.pins:
            page.say(f"Nothing is pinned on {report.target}.")
            return
        columns = (
            Column("Pin", style=NAME),
            Column("Kind", rank=2),
            Column(page.time_title("Since", [pin.created_at for pin in report.pins]), rank=3),
            Column("Until"),
            Column("Released", rank=4),
            Column("By", rank=5),
            Column("Snapshots", least=8, cut="end"),
            Column("Reason", least=16),
        )
        page.table(columns, [_row(page, pin) for pin in report.pins])
        if report.action in SAID:
            page.say(SAID[report.action])
        else:
            page.say((fmt.plural(len(report.pins), "pin"), FAINT))
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def _row(page: Page, pin: SnapshotPin) -> list[Part]:
    return [
        pin.id, pin.kind, page.time(pin.created_at), page.time(pin.until, "-"), page.time(pin.released_at, "-"), pin.by,
        " ".join(page.id(name) for name in pin.snapshots), pin.reason,
    ]  # fmt: skip
