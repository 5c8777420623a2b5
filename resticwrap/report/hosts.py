"""All machines of a catalogue in one table."""

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.hosts import HostDomainStatus, HostsReport, HostStatus
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def hosts(console: "Console", report: HostsReport, *, zone: tzinfo | None = None, everything: bool = False) -> None:
    """Each machine a row, what is late first. `everything`: each domain too."""
    with Page(console, zone) as page:
        late = [one for one in report.hosts if one.within < one.domains]
        names = len({one.host for one in report.hosts})
        verdict = page.mark("late", f"{len(late)} with something late") if late else page.mark("ok", "all within")
        page.say((fmt.plural(names, "host"), STRONG), f", {page.moment(report.at)}: ", verdict)
        if report.hosts:
            _hosts(page, report)
        if everything and report.hosts:
            page.blank()
            _domains(page, report)
        for note in report.notes:
            page.say(note)


def _hosts(page: Page, report: HostsReport) -> None:
    columns = (
        Column("Host", least=14, cut="middle", style=NAME),
        Column("Target", least=6, cut="middle"),
        Column("Within", right=True),
        Column("Worst lag", right=True),
        Column("of", least=8, cut="middle"),
        Column("Last", rank=2),
        Column("At" if page.plain else "Ago", right=True, rank=4),
        Column("Failed", right=True),
        Column("Verify", right=True, rank=1),
        Column("Drill", right=True, rank=1),
        Column("Heard", right=True),
        Column("Job", rank=5),
    )
    page.table(columns, [_host(page, report, one) for one in report.hosts])


def _host(page: Page, report: HostsReport, one: HostStatus) -> list[Part]:
    good = one.within == one.domains
    worst = next((row for row in one.rows if row.domain == one.worst), None)
    late = worst is not None and not worst.within
    lag = "never" if one.worst_lag is None else fmt.age(one.worst_lag)
    outcome = one.last_outcome or "-"
    return [
        one.host, one.target, page.mark("ok" if good else "late", f"{one.within}/{one.domains}"),
        (f"{lag}!", BAD) if late else lag, one.worst, (outcome, page.mark(outcome)[1]), _ago(page, report, one.last_at),
        (str(one.failed), BAD) if one.failed else "0", _checked(page, report, one.last_verify, one.last_verify_ok),
        _checked(page, report, one.last_drill, one.last_drill_ok), _ago(page, report, one.heard_at),
        page.id(one.last_job) if page.plain else one.last_job or "-",
    ]  # fmt: skip


def _checked(page: Page, report: HostsReport, at: datetime | None, good: bool | None) -> Part:
    """When it was, and that it failed in a way that is seen without colours too."""
    if at is None:
        return ("never", POOR)
    when = _ago(page, report, at)
    return when if good else (f"{when}!", BAD)


def _ago(page: Page, report: HostsReport, at: datetime | None) -> str:
    if at is None:
        return "-"
    return page.time(at) if page.plain else fmt.age((report.at - at).total_seconds())


def _domains(page: Page, report: HostsReport) -> None:
    columns = (
        Column("Host", least=14, cut="middle", style=NAME),
        Column("Target", least=6, cut="middle", rank=2),
        Column("Domain", least=10, cut="middle"),
        Column("Pri"),
        Column("Layer", rank=3),
        Column("Lag", right=True),
        Column("RPO", right=True),
        Column("State"),
        Column("Last", rank=1),
    )
    rows = [_domain(page, host, row) for host in report.hosts for row in host.rows]
    page.table(columns, rows)


def _domain(page: Page, host: HostStatus, row: HostDomainStatus) -> list[Part]:
    state = page.mark("ok") if row.within else page.mark("never" if row.rpo_lag is None else "late")
    lag = "-" if row.rpo_lag is None else fmt.age(row.rpo_lag)
    outcome = row.last_outcome or "-"
    return [
        host.host, host.target, row.domain, row.priority, row.layer, lag if row.within else (lag, BAD),
        fmt.age(row.rpo), state, (outcome, page.mark(outcome)[1]),
    ]  # fmt: skip
