"""One screen: how safe is what."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import Coverage, DomainStatus, StatusReport, TierStatus
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.gate import line
from resticwrap.report.layout import Column, Line, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

LOW = 16
"""On a terminal of fewer lines the gate gets none of its own."""
PROMPT = 1
"""The shell's next prompt takes a line of the screen too."""


def status(console: "Console", report: StatusReport, *, zone: tzinfo | None = None, everything: bool = False) -> None:
    """Domains against their objectives, repositories, notes. On a terminal that is too low for all domains, those
    that are well are left out from the end (and counted) unless `everything` is asked for."""
    with Page(console, zone) as page:
        within = sum(domain.within for domain in report.domains)
        page.say(
            (report.target, STRONG), f" ({report.provider}): ",
            page.mark("ok" if within == len(report.domains) else "late", f"{within} of {len(report.domains)}"),
            " domains within their objective, ", (page.moment(report.at), FAINT),
        )  # fmt: skip
        head = page.lines
        page.lines = []
        _tiers(page, report)
        _drills(page, report)
        for job in report.open_jobs:
            page.say(page.mark("running", "open job"), f" {job}")
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")
        _gate(page, report, head)
        tail = page.lines
        page.lines = head
        shown: Sequence[DomainStatus] = report.domains
        if page.height is not None and not everything:
            shown = _fitting(report.domains, page.height - len(head) - len(tail) - PROMPT - 1)
        if shown:
            _domains(page, report, shown)
        if left := len(report.domains) - len(shown):
            page.say((f"and {fmt.plural(left, 'domain')} more within their objective", FAINT))
        if not report.domains:
            page.say("No domains.")
        if tail and (everything or page.plain):
            page.blank()
        page.lines.extend(tail)


def _gate(page: Page, report: StatusReport, head: list[Line]) -> None:
    """One line: whether it is open, and the first reason why not. On a low screen the head says only whether."""
    if report.gate is None:
        return
    sign, (word, why) = line(report.gate)
    verdict = page.mark(sign, word)
    if page.height is not None and page.height < LOW:  # the domains need the line
        head[-1].extend([(", gate ", ""), verdict])
        return
    if page.width is not None:
        why = layout.shorten(why, max(page.width - layout.cells(f"gate {verdict[0]}: "), 10), mark=page.ellipsis)
    page.say("gate ", verdict, f": {why}" if why else "")


def _fitting(domains: Sequence[DomainStatus], room: int) -> Sequence[DomainStatus]:
    """All, or those that are late and as many others as there is room for, in their order."""
    if len(domains) <= room:
        return domains
    spare = room - 1 - sum(not domain.within for domain in domains)
    shown = []
    for domain in domains:
        if not domain.within:
            shown.append(domain)
        elif spare > 0:
            spare -= 1
            shown.append(domain)
    return shown


def _domains(page: Page, report: StatusReport, shown: Sequence[DomainStatus]) -> None:
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Pri"),
        Column("Layer", rank=6),
        Column("Lag", right=True),
        Column("RPO", right=True),
        Column("State"),
        Column("Last", rank=3),
        Column("Snaps", right=True, rank=3),
        Column("Files", right=True, rank=5),
        Column("Size", right=True, rank=2),
        Column("Stored", right=True, rank=4),
        Column("Proven", right=True),
        Column("Drill RPO", right=True, rank=1),
        Column("RTO", right=True, rank=1),
    )
    page.table(columns, [_domain(page, report, domain) for domain in shown])


def _domain(page: Page, report: StatusReport, domain: DomainStatus) -> list[Part]:
    lag = "-" if domain.rpo_lag is None else fmt.age(domain.rpo_lag)
    state = page.mark("ok") if domain.within else page.mark("never" if domain.rpo_lag is None else "late")
    outcome = domain.last_outcome or "-"
    proven: Part = ("never", POOR)
    if domain.proven_at is not None:
        proven = page.time(domain.proven_at) if page.plain else _ago(report, domain.proven_at)
    return [
        domain.domain, domain.priority, domain.layer, lag if domain.within else (lag, BAD), fmt.age(domain.rpo),
        state, (outcome, page.mark(outcome)[1]), fmt.count(domain.snapshots), fmt.count(domain.files),
        fmt.size(domain.size), fmt.size(domain.stored), proven,
        _drilled(domain.actual_rpo, domain.rpo), _drilled(domain.actual_rto, domain.rto),
    ]  # fmt: skip


def _drilled(actual: float | None, objective: float) -> Part:
    """What the newest drill measured; one that missed its objective is marked without colours too."""
    if actual is None:
        return ("-", FAINT)
    return fmt.duration(actual) if actual <= objective else (f"{fmt.duration(actual)}!", BAD)


def _drills(page: Page, report: StatusReport) -> None:
    """When each level was last drilled, and what is overdue, in a line."""
    parts: list[Part] = []
    for one in report.drills:
        if one.due is None and one.last is None:
            continue
        when = "never" if one.last is None else page.time(one.last) if page.plain else f"{_ago(report, one.last)} ago"
        said = f"{one.level.upper()} {when}"
        if one.last_outcome not in (None, "ok"):
            said += f", the newest {one.last_outcome}"
        parts += ["; " if parts else "", page.mark("late", f"{said}, due") if one.overdue else said]
    if parts:
        page.say("drills: ", *parts)


def _ago(report: StatusReport, time: datetime) -> str:
    return fmt.age((report.at - time).total_seconds())


def _tiers(page: Page, report: StatusReport) -> None:
    columns = (
        Column("Repository", style=NAME),
        Column("Snaps", right=True, rank=1),
        Column("All snapshots", right=True, rank=2),
        Column("Stored", right=True),
        Column("Ratio", right=True),
        Column("Last verify"),
        Column("Read back", least=10),
        Column("Place", least=16, cut="middle", rank=3),
    )
    if report.tiers:
        page.table(columns, [_tier(page, report, tier) for tier in report.tiers])


def _tier(page: Page, report: StatusReport, tier: TierStatus) -> list[Part]:
    verified: Part = ("never", POOR)
    if tier.last_verify is not None:
        when = page.time(tier.last_verify) if page.plain else f"{_ago(report, tier.last_verify)} ago"
        good = bool(tier.last_verify_ok)
        verified = page.mark("ok" if good else "failed", f"{'ok' if good else 'FAILED'} {when}")
    return [
        tier.tier, fmt.count(tier.snapshots), fmt.size(tier.logical), fmt.size(tier.stored),
        "-" if tier.ratio is None else f"{tier.ratio:,.1f} x", verified, _read(tier.coverage), tier.repository,
    ]  # fmt: skip


def _read(coverage: Coverage | None) -> Part:
    if coverage is None or not coverage.packs_total:
        return ("-", FAINT)
    return f"{fmt.percent(coverage.share)} in {fmt.plural(coverage.days, 'day')}", GOOD if coverage.share >= 1 else ""
