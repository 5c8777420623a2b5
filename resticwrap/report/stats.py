"""What is stored, how it grows, and what becomes full when."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from resticwrap.model.reports import Growth, SpaceLimit, StatsReport, TierSpace, UsedSpace
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.layout import Column, Line, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

BLOCKS, SIGNS = " ▁▂▃▄▅▆▇█", " .:-=+*%#"
"""How much of a day's most, in eighths: where blocks are sure to be drawn, and where not."""
NAME_LEAST, NAME_MOST = 12, 26
BAR = 20
SOON, LATER = 14, 60
"""Days until something is full that are shown as bad, and as poor."""
FOREVER = 36_525


def stats(console: "Console", report: StatsReport) -> None:
    """Tables by repository, a chart of the days by domain, and what becomes full when."""
    with Page(console, _zone(report.time_zone)) as page:
        page.say((report.target, STRONG), ": what is stored, ", (page.moment(report.at), FAINT))
        for tier in report.tiers:
            page.blank()
            _tier(page, tier)
        page.blank()
        _growth(page, report)
        if report.limits:
            page.blank()
            _limits(page, report.limits)
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _tier(page: Page, tier: TierSpace) -> None:
    spare = ""
    if tier.packs is not None and tier.space.stored is not None:
        spare = f", packs take {fmt.size(tier.packs)}"
    page.say((tier.tier, NAME), f" {page.id(tier.repository)}{spare}")
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Snaps", right=True, rank=1),
        Column("All snapshots", right=True),
        Column("Unique", right=True, rank=2),
        Column("Stored", right=True),
        Column("Dedup", right=True),
        Column("Compr.", right=True),
        Column("Blobs", right=True, rank=3),
    )
    rows: list[list[Part]] = [[one.domain, *_space(one.space)] for one in tier.domains]
    page.table(columns, rows, total=["all together", *_space(tier.space)])


def _space(space: UsedSpace) -> list[Part]:
    least = ">" if space.lost else ""
    return [
        fmt.count(space.snapshots), fmt.size(space.logical), _size(space.plain, least), _size(space.stored, least),
        _ratio(space.dedup), _ratio(space.compression), "?" if space.blobs is None else fmt.count(space.blobs),
    ]  # fmt: skip


def _size(size: int | None, least: str) -> str:
    return "?" if size is None else least + fmt.size(size)


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}x" if ratio < 100 else f"{ratio:,.0f}x"


def _growth(page: Page, report: StatsReport) -> None:
    """A column for each day; every row by its own most, so that small domains are seen too."""
    if not any(report.total.added) and not report.growth:
        page.say(f"Nothing was added in the last {fmt.plural(len(report.days), 'day')}.")
        return
    rows = [*report.growth, report.total]
    if page.plain:
        _numbers(page, report, rows)
        return
    assert page.width is not None
    longest = max(layout.cells(_name(one)) for one in rows)
    name = max(NAME_LEAST, min(longest, NAME_MOST, page.width // 3))
    rates = [f"{fmt.size(round(one.per_day))}/day" for one in rows]
    rate = max(map(len, rates))
    span = max(1, min(len(report.days), page.width - name - rate - 2))
    days = report.days[-span:]
    page.say(("Added by day", STRONG), f", {days[0]} to {days[-1]}, days in {report.time_zone}")
    for one, words in zip(rows, rates, strict=True):
        shown = layout.shorten(_name(one), name, "middle", page.ellipsis)
        total = one is report.total
        line: Line = [
            (shown + " " * (name - layout.cells(shown) + 1), STRONG if total else NAME),
            (chart(one.added[-span:], fancy=page.fancy), STRONG if total else GOOD),
            (f"{words:>{rate + 1}}", STRONG if total else ""),
        ]
        page.lines.append(line)


def _name(one: Growth) -> str:
    return one.domain or "all together"


def _numbers(page: Page, report: StatsReport, rows: Sequence[Growth]) -> None:
    columns = (Column("Day"), Column("Domain"), Column("Added", right=True))
    found: list[list[Part]] = [
        [day, _name(one), fmt.size(added)]
        for one in rows
        for day, added in zip(report.days, one.added, strict=True)
        if added
    ]
    page.table(columns, [*found, *(["mean", _name(one), f"{fmt.size(round(one.per_day))}/day"] for one in rows)])


def chart(added: Sequence[int], *, fancy: bool) -> str:
    """A sign for each day: blank for nothing, else at least the lowest."""
    signs, most = BLOCKS if fancy else SIGNS, max(added, default=0)
    return "".join(signs[math.ceil(day * (len(signs) - 1) / most) if day > 0 else 0] for day in added)


def _limits(page: Page, limits: Sequence[SpaceLimit]) -> None:
    columns = (
        Column("Limit", least=12, cut="middle", style=NAME),
        Column("Used", right=True),
        Column("Of", right=True),
        Column("", rank=2),
        Column("Grows", right=True, rank=1),
        Column("Full in", right=True),
    )
    rows: list[list[Part]] = [
        [
            one.what, "?" if one.used is None else fmt.size(one.used), fmt.size(one.limit), _bar(page, one),
            f"{fmt.size(round(one.per_day))}/day", _until(one),
        ]
        for one in limits
    ]  # fmt: skip
    page.table(columns, rows)


def _bar(page: Page, one: SpaceLimit) -> Part:
    share = min((one.used or 0) / one.limit, 1.0)
    if page.plain:
        return fmt.percent(share)
    full = math.floor(share * BAR)
    drawn = ("█" * full + "░" * (BAR - full)) if page.fancy else ("#" * full + "." * (BAR - full))
    return f"{drawn} {fmt.percent(share)}", BAD if share >= 1 else POOR if share >= 0.9 else GOOD


def _until(one: SpaceLimit) -> Part:
    if one.used is None:
        return "not known"
    if one.days is None:
        return "does not grow"
    if one.days <= 0:
        return "full", BAD
    if one.days > FOREVER:
        return "over 100 years"
    return fmt.age(one.days * fmt.DAY), BAD if one.days < SOON else POOR if one.days < LATER else ""
