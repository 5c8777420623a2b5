"""One screen: how safe is what."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import Coverage, DomainStatus, StatusReport, TierStatus
from resticwrap.planning.alertorder import named
from resticwrap.report import format as fmt
from resticwrap.report import layout
from resticwrap.report.gate import line
from resticwrap.report.layout import Column, Line, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page
from resticwrap.report.running import PIECES, fit, running

if TYPE_CHECKING:
    from rich.console import Console

LOW = 16
"""On a terminal of fewer lines the gate gets none of its own."""
PROMPT = 1
"""The shell's next prompt takes a line of the screen too."""
HEADER = 1
ALERTS_SHOWN = 4
LOW_SHARE = 0.1
"""Below this share of a disk, what is free stands out."""


def status(console: "Console", report: StatusReport, *, zone: tzinfo | None = None, everything: bool = False) -> None:
    """Alerts, what runs, domains against their objectives, repositories, room, notes. On a terminal that is too low
    for all domains, those that are well are left out from the end (and counted) unless `everything` is asked for."""
    with Page(console, zone) as page:
        height = None if page.height is None or everything else page.height - PROMPT
        screen(page, report, height, apart=everything or page.plain)


def screen(page: Page, report: StatusReport, height: int | None, *, apart: bool = False, firm: bool = False) -> None:
    """The screen in at most so many lines, as far as domains can give way. `firm`: other things give way as well, the
    less urgent ones first, and what is left is cut off. `apart`: a blank line before the repositories."""
    low = page.height is not None and page.height < LOW
    head = _head(
        page,
        report,
        low=low,
        pieces=0 if low else PIECES,
        alerts=1 if low else ALERTS_SHOWN,
        firm=firm or height is not None,
    )
    tail = {name: found for name, say in SECTIONS.items() if (found := _taken(page, say, report))}
    if low:  # the domains need the line, and the head says it
        tail.pop("gate", None)
    if firm and height is not None:
        wanted = sum(not domain.within for domain in report.domains) + HEADER + 1
        for name in GIVE_WAY:
            if len(head) + sum(map(len, tail.values())) + wanted > height:
                tail.pop(name, None)
        if len(head) + wanted > height:
            head = _head(page, report, low=low, pieces=0, alerts=1, firm=True)
    shown: Sequence[DomainStatus] = report.domains
    if height is not None:
        shown = _fitting(report.domains, height - len(head) - sum(map(len, tail.values())) - HEADER)
    page.lines = head
    if shown:
        _domains(page, report, shown)
    if left := len(report.domains) - len(shown):
        page.say((f"and {fmt.plural(left, 'domain')} more within their objective", FAINT))
    if not report.domains:
        page.say("No domains.")
    if tail and apart:
        page.blank()
    for found in tail.values():
        page.lines.extend(found)
    if firm and height is not None:
        del page.lines[height:]


def _head(page: Page, report: StatusReport, *, low: bool, pieces: int, alerts: int, firm: bool) -> list[Line]:
    """How all of it stands, what is wrong, what runs."""
    return [
        *_taken(page, lambda page, report: _summary(page, report, gate=low), report),
        *_taken(page, lambda page, report: _alerts(page, report, most=alerts, firm=firm), report),
        *running(page, report.running, report.at, pieces=pieces),
    ]


def _taken(page: Page, say: Callable[[Page, StatusReport], None], report: StatusReport) -> list[Line]:
    """What a part of the screen says, taken off the page again."""
    before, page.lines = page.lines, []
    say(page, report)
    found, page.lines = page.lines, before
    return found


def _summary(page: Page, report: StatusReport, *, gate: bool) -> None:
    """How many are within their objective, and on a low screen (`gate`) whether the gate is open."""
    within = sum(domain.within for domain in report.domains)
    parts: list[Part] = [
        (report.target, STRONG), f" ({report.provider}): ",
        page.mark("ok" if within == len(report.domains) else "late", f"{within} of {len(report.domains)}"),
        " domains within their objective",
    ]  # fmt: skip
    time: list[Part] = [", ", (page.moment(report.at), FAINT)]
    if gate and report.gate is not None:
        sign, (word, _) = line(report.gate)
        parts += [", gate ", page.mark(sign, word)]
        taken = sum(layout.cells(text) for text, _ in layout.line([*parts, *time]))
        time = time if page.width is None or taken <= page.width else []
    page.say(*parts, *time)


def _alerts(page: Page, report: StatusReport, *, most: int, firm: bool) -> None:
    """The gravest first; on a terminal the first few, and where room is scarce (`firm`) in a line each."""
    shown = report.alerts if page.plain else report.alerts[:most]
    for alert in shown:
        sign = "failed" if alert.severity == "critical" else "warn" if alert.severity == "warning" else ""
        parts: list[Part] = [page.mark(sign, f"{alert.severity} {named(alert)}"), f": {alert.message}"]
        parts.append((f" (since {_ago(report, alert.since)})", FAINT))
        if alert.acknowledged_at is not None:
            parts.append((f", acknowledged by {alert.acknowledged_by}", FAINT))
        if alert.silenced_until is not None:
            parts.append((", silenced", FAINT))
        if firm:
            page.lines.append(fit(page, parts))
        else:
            page.say(*parts)
    if left := len(report.alerts) - len(shown):
        page.say((f"and {fmt.plural(left, 'alert')} more: rw alerts list", FAINT))


def _said(page: Page, report: StatusReport) -> None:
    """What wants a person: jobs that are recorded as running and do not run any more, and notes."""
    alive = {job.job for job in report.running}
    for job in report.open_jobs:
        if job not in alive:
            page.say(page.mark("running", "open job"), f" {job}")
    for note in report.notes:
        page.say(page.mark("warn", "note"), f": {note}")


def _space(page: Page, report: StatusReport) -> None:
    parts: list[Part] = []
    rooms: dict[tuple[int, int], list[str]] = {}
    for one in report.space:
        rooms.setdefault((one.free, one.total), []).append(one.what)
    for (free, total), what in rooms.items():
        words = f"{' and '.join(sorted(what, reverse=True))} {fmt.size(free)} of {fmt.size(total)} free"
        parts += ["; " if parts else "", page.mark("late", words) if free < LOW_SHARE * total else words]
    if parts:
        page.say("disk: ", *parts)


def _gate(page: Page, report: StatusReport) -> None:
    """One line: whether it is open, and the first reason why not."""
    if report.gate is None:
        return
    sign, (word, why) = line(report.gate)
    verdict = page.mark(sign, word)
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


SECTIONS: Mapping[str, Callable[[Page, StatusReport], None]] = {
    "tiers": _tiers, "drills": _drills, "said": _said, "space": _space, "gate": _gate,
}  # fmt: skip
"""What stands below the domains, from the top."""
GIVE_WAY = ("space", "drills", "tiers", "said")
"""In this order, where there is no room for the late domains."""
