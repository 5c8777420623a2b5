"""The plan of a backup, and how it ended."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.job import DomainRun, Job
from resticwrap.model.reports import BackupPlan, BackupReport, PlannedDomain
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

NAMED = 20
"""How many paths are named per list on a terminal; in a pipe all that the report holds."""


def plan(console: "Console", report: BackupPlan) -> None:
    """What a backup would do: `--dry-run`."""
    with Page(console) as page:
        page.say(
            ("Dry run: ", STRONG), f"{report.type} backup to {report.target}, ",
            f"{fmt.plural(len(report.domains), 'domain')}, {report.parallel} side by side. Nothing is written.",
        )  # fmt: skip
        if not report.domains:
            return
        columns = (
            Column("Domain", least=18, cut="middle", style=NAME),
            Column("Pri"),
            Column("Layer", rank=3),
            Column("Type", rank=1),
            Column("To read", right=True),
            Column("Size", right=True),
            Column("Of files", right=True, rank=2),
            Column("Parent", rank=4),
            Column("Why", least=16),
            Column("Root", least=24, cut="middle", rank=5),
        )
        rows: list[list[Part]] = [
            [
                domain.domain, domain.priority, domain.layer, domain.type, _number(domain.files), _size(domain.size),
                _number(domain.total_files), page.id(domain.parent), _why(domain), domain.root,
            ]
            for domain in report.domains
        ]  # fmt: skip
        known = [domain for domain in report.domains if domain.files is not None]
        files, size = sum(domain.files or 0 for domain in known), sum(domain.size or 0 for domain in known)
        looked = sum(domain.total_files or 0 for domain in known)
        total: list[Part] = ["in all", "", "", "", fmt.count(files), fmt.size(size), fmt.count(looked), "", "", ""]
        page.table(columns, rows, total=total)
        if unknown := len(report.domains) - len(known):
            page.say((f"{fmt.plural(unknown, 'domain')} could not be counted and adds to neither sum.", POOR))
        for domain in report.domains:
            if domain.error is not None:
                page.say(page.mark("failed", domain.domain), f": {domain.error.message}")
                page.say(("what to do: ", STRONG), domain.error.hint, indent=2)


def _why(domain: PlannedDomain) -> str:
    after = f"after {', '.join(domain.after)}" if domain.after else ""
    return "; ".join(part for part in (domain.why, after) if part) or "-"


def _number(value: int | None) -> str:
    return "?" if value is None else fmt.count(value)


def _size(value: int | None) -> str:
    return "?" if value is None else fmt.size(value)


def backup(console: "Console", report: BackupReport, *, zone: tzinfo | None = None) -> None:
    """How a backup ended: by domain, then all that a person must know of it."""
    job = report.job
    with Page(console, zone) as page:
        headline(page, "Backup", job)
        if job.domains:
            _outcomes(page, job)
        for run in job.domains:
            _trouble(page, run)
        for warning in report.warnings:
            page.say(page.mark("warn", "warning"), f": {warning}")
        if job.manifest:
            page.say(("manifest ", FAINT), job.manifest)


def headline(page: Page, what: str, job: Job) -> None:
    """`Backup 2026… to local: ok in 3m 12s`, and the job's own error."""
    took = f" in {fmt.duration((job.finished_at - job.started_at).total_seconds())}" if job.finished_at else ""
    kind = f" {job.type}" if job.type else ""
    page.say((what, STRONG), f"{kind} {job.id}, target {job.target}: ", page.mark(job.outcome), took)
    if job.error is not None:
        page.say((job.error.message, BAD), indent=2)
        if job.error.hint:
            page.say(("what to do: ", STRONG), job.error.hint, indent=2)


def _outcomes(page: Page, job: Job) -> None:
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Outcome"),
        Column("Type", rank=5),
        Column("Files", right=True, rank=1),
        Column("Size", right=True, rank=2),
        Column("New", right=True, rank=3),
        Column("Changed", right=True, rank=3),
        Column("Removed", right=True, rank=3),
        Column("Added", right=True),
        Column("Time", right=True),
        Column("Snapshot", rank=4),
    )
    rows: list[list[Part]] = [
        [
            run.domain, page.mark(run.outcome), run.type, fmt.count(run.files), fmt.size(run.size),
            *(fmt.count(number) if number else "-" for number in (run.files_new, run.files_changed, run.files_removed)),
            fmt.size(run.added), fmt.duration(run.duration), page.id(run.snapshot),
        ]
        for run in job.domains
    ]  # fmt: skip
    runs = job.domains
    took = (job.finished_at - job.started_at).total_seconds() if job.finished_at else 0.0
    complete = sum(run.complete for run in runs)
    total = [
        f"{complete} of {len(runs)}", "complete", "", fmt.count(sum(run.files for run in runs)),
        fmt.size(sum(run.size for run in runs)), fmt.count(sum(run.files_new for run in runs)),
        fmt.count(sum(run.files_changed for run in runs)), fmt.count(sum(run.files_removed for run in runs)),
        fmt.size(sum(run.added for run in runs)), fmt.duration(took) if took else "-", "",
    ]  # fmt: skip
    page.table(columns, rows, total=total)


def _trouble(page: Page, run: DomainRun) -> None:
    """What went wrong with a domain, and the paths it concerns by name."""
    if run.error is not None:
        page.say(page.mark("failed", run.domain), f": {run.error.message}")
        if run.error.hint:
            page.say(("what to do: ", STRONG), run.error.hint, indent=2)
    missed = max(run.missed_count, len(run.missed))
    if missed:
        title: list[Part] = [page.mark("partial", run.domain), f": {fmt.plural(missed, 'item')} could not be read"]
        paths(page, title, run.missed, missed)
    if run.bitrot:
        rotten = max(run.bitrot_count, len(run.bitrot))
        title = [
            page.mark("failed", run.domain),
            f": {fmt.plural(rotten, 'file')} changed though size and modification time did not (bit rot?).",
            " Compare with an older snapshot before trusting them.",
        ]
        paths(page, title, run.bitrot, rotten)


def paths(page: Page, title: list[Part], named: tuple[str, ...], counted: int) -> None:
    """A title and the paths; on a terminal the first of them and how many more."""
    shown = named if page.plain else named[:NAMED]
    page.listing(title, shown, more=counted - len(shown))
