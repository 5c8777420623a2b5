"""How a restore ended."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import RestoredDomain, RestoreReport
from resticwrap.planning.thaw import sentences
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline, paths
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

WHAT = {
    "beside": "Restore",
    "in-place": "Restore in place",
    "undo": "Undo of a restore in place",
    "accept": "Acceptance of a restore in place",
}


def restore(console: "Console", report: RestoreReport, *, zone: tzinfo | None = None) -> None:
    """Compared N of N, by domain; every mismatch by name."""
    with Page(console, zone) as page:
        if report.mode == "planned":
            page.say(
                ("Dry run: ", STRONG), f"restore from {report.job.target}, "
                f"{fmt.plural(len(report.domains), 'domain')}. Nothing is written.",
            )  # fmt: skip
            _table(page, report)
            _thaw(page, report)
            _notes(page, report)
            return
        headline(page, WHAT[report.mode], report.job)
        for one in report.thawed:
            page.say(
                f"{fmt.plural(one.packs, 'pack')} ({fmt.size(one.size)}) of {one.tier} were thawed first, after "
                f"{fmt.duration(one.waited)}."
            )
        if report.domains:
            _table(page, report)
            _verdict(page, report.domains)
        for domain in report.domains:
            _trouble(page, domain)
        if report.kept:
            page.listing([("What was live before is kept in", STRONG)], report.kept)
            if report.mode == "in-place":
                page.say(f"rw restore --undo {report.job.id}  puts it back.", indent=2)
                page.say(f"rw restore --accept {report.job.id}  removes it.", indent=2)
        elif report.mode == "in-place" and report.job.outcome == "ok":
            page.say(("Nothing was there before.", STRONG))
            page.say(f"rw restore --undo {report.job.id}  takes it away again.", indent=2)
            page.say(f"rw restore --accept {report.job.id}  ends it, and removes its folder.", indent=2)
        _notes(page, report)


def _thaw(page: Page, report: RestoreReport) -> None:
    """What would have to be thawed, as a run says it before it asks."""
    for plan in report.thaw:
        for said in sentences(plan):
            page.say(said)


def _notes(page: Page, report: RestoreReport) -> None:
    for note in report.notes:
        page.say(page.mark("warn", "note"), f": {note}")


def _table(page: Page, report: RestoreReport) -> None:
    done = report.mode != "planned"
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Snapshot", rank=1),
        Column(page.time_title("As of", [domain.time for domain in report.domains])),
        Column("Files", right=True, rank=2),
        Column("Size", right=True),
        *((Column("Compared", right=True),) if done else ()),
        Column("Place", least=20, cut="middle", rank=3),
    )
    rows: list[list[Part]] = [
        [
            domain.domain, page.id(domain.snapshot), page.time(domain.time), fmt.count(domain.files),
            fmt.size(domain.size), *([_compared(domain)] if done else []), domain.place,
        ]
        for domain in report.domains
    ]  # fmt: skip
    page.table(columns, rows)
    places = sorted({domain.place for domain in report.domains if domain.place})
    if not page.plain:
        page.listing(["restored to" if done else "would be restored to"], places)


def _compared(domain: RestoredDomain) -> tuple[str, str]:
    good = max(0, domain.compared - len(domain.mismatches))
    whole = good == domain.files and not domain.unreadable
    return f"{fmt.count(good)} of {fmt.count(domain.files)}", GOOD if whole else BAD


def _verdict(page: Page, domains: tuple[RestoredDomain, ...]) -> None:
    files, compared = sum(domain.files for domain in domains), sum(domain.compared for domain in domains)
    wrong = sum(len(domain.mismatches) for domain in domains)
    unreadable = sum(len(domain.unreadable) for domain in domains)
    if not wrong and not unreadable and compared == files:
        page.say(page.mark("ok", f"All {fmt.plural(files, 'file')} compared"), " with the backup: identical.")
        return
    parts = [f"compared {fmt.count(compared)} of {fmt.plural(files, 'file')}"]
    if wrong:
        parts.append(f"{fmt.plural(wrong, 'mismatch', 'mismatches')}")
    if unreadable:
        parts.append(f"{fmt.count(unreadable)} unreadable")
    page.say(page.mark("failed" if wrong or unreadable else "partial", ", ".join(parts)), ".")


def _trouble(page: Page, domain: RestoredDomain) -> None:
    if domain.mismatches:
        named = tuple(f"{mismatch.path}: {mismatch.why}" for mismatch in domain.mismatches)
        title: list[Part] = [(domain.domain, BAD), f": {fmt.plural(len(named), 'path')} not as backed up"]
        paths(page, title, named, len(named))
    if domain.unreadable:
        title = [(domain.domain, POOR), f": {fmt.plural(len(domain.unreadable), 'path')} could not be read back"]
        paths(page, title, domain.unreadable, len(domain.unreadable))
