"""What a verify read, what it found, and what to do about damage."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import Coverage, Damage, VerifyReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline, paths
from resticwrap.report.layout import Part
from resticwrap.report.page import BAD, FAINT, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

KINDS = {
    "pack_damaged": "damaged pack",
    "pack_missing": "missing pack",
    "pack_truncated": "pack cut short",
    "config": "damaged config",
    "key": "damaged key",
    "index": "damaged index",
    "snapshot": "damaged snapshot",
    "structure": "damaged structure",
}
STRUCTURE = frozenset({"config", "key", "index", "snapshot", "structure"})


def coverage_words(coverage: Coverage) -> str:
    """`41.0 % of the store in the last 30 days (1.2 GiB of 3.0 GiB, 12 of 36 packs)`."""
    if not coverage.packs_total:
        return "the store has no packs yet"
    return (
        f"{fmt.percent(coverage.share)} of the store in the last {fmt.plural(coverage.days, 'day')} "
        f"({fmt.size(coverage.bytes_read)} of {fmt.size(coverage.bytes_total)}, "
        f"{fmt.count(coverage.packs_read)} of {fmt.plural(coverage.packs_total, 'pack')})"
    )


def detection_words(report: VerifyReport) -> str:
    """`1 damaged pack in 8 % of such runs, 5 in 35 %, 50 in 99 % (17 of 200 packs were read)`."""
    said = [f"{fmt.count(damaged)} in {fmt.percent(share)}" for damaged, share in report.detects.items()]
    first = said[0].replace(" in ", f" damaged {'pack' if 1 in report.detects else 'packs'} in ", 1) + " of such runs"
    packs = f"{fmt.count(report.read_packs)} of {fmt.plural(report.coverage.packs_total, 'pack')} read"
    return f"{', '.join([first, *said[1:]])} ({packs})"


def verify(console: "Console", report: VerifyReport, *, zone: tzinfo | None = None) -> None:
    """Structure, share read back, coverage, sample; then each damage with its cost and the way out."""
    with Page(console, zone) as page:
        headline(page, f"Verify of {report.tier}", report.job)
        broken = [damage for damage in report.damages if damage.kind in STRUCTURE]
        packs = [damage for damage in report.damages if damage.kind not in STRUCTURE]
        _, _, parts = report.share.partition("/")
        part = f"part {report.bucket} of {parts} of the packs" if parts else "all packs"
        part = part if report.bucket else "nothing"
        _row(page, "structure", _verdict(page, len(broken), "fault"))
        _row(page, "read back", f"{part}: ", _verdict(page, len(packs), "pack", " damaged or missing"))
        if report.detects:
            _row(page, "finds", detection_words(report))
        _row(page, "covered", coverage_words(report.coverage))
        good, asked = sum(file.ok for file in report.sampled), len(report.sampled)
        sample: Part = page.mark("ok" if good == asked else "failed", f"{good} of {fmt.plural(asked, 'file')}")
        if asked:
            _row(page, "sample", sample, f" restored and identical (seed {report.seed})")
        else:
            _row(page, "sample", page.mark("warn", "no file was restored"))
        _row(page, "proven", fmt.plural(len(report.proven), "snapshot"))
        wrong = tuple(f"{file.domain}: {file.path}: {file.why or 'differs'}" for file in report.sampled if not file.ok)
        if wrong:
            paths(page, [("Files that did not come back as backed up", BAD)], wrong, len(wrong))
        for damage in report.damages:
            _damage(page, damage)
        for note in report.notes:
            page.say(("note: ", STRONG), note)
        if not report.ok and not report.damages and not wrong and report.job.error is None:
            page.say(page.mark("failed", "Nothing was proven"), ": see the notes and run it again.")


def _row(page: Page, name: str, *parts: Part) -> None:
    page.say((f"{name:<11}", FAINT), *parts, indent=2, hang=11)


def _verdict(page: Page, faults: int, noun: str, rest: str = "") -> tuple[str, str]:
    return page.mark("failed", fmt.plural(faults, noun) + rest) if faults else page.mark("ok", "no damage")


def _damage(page: Page, damage: Damage) -> None:
    page.blank()
    cost = f"costs {fmt.plural(damage.files, 'file')} in {fmt.plural(len(damage.snapshots), 'snapshot')}"
    if not damage.files and not damage.snapshots:
        cost = "costs no file of any snapshot"
        if damage.kind in STRUCTURE:
            cost = "what it costs is not known"
    page.say(page.mark("failed", f"{KINDS[damage.kind]} {page.id(damage.name) if _is_id(damage) else damage.name}"),
             f": {cost}")  # fmt: skip
    if damage.snapshots:
        shown = damage.snapshots if page.plain else damage.snapshots[:8]
        more = f" and {len(damage.snapshots) - len(shown)} more" if len(shown) < len(damage.snapshots) else ""
        page.say(("snapshots: ", FAINT), " ".join(page.id(name) for name in shown), more, indent=2)
    if damage.paths or damage.files:
        paths(page, [("  files:", FAINT)], damage.paths, max(damage.files, len(damage.paths)))
    for advice in damage.advice:
        page.say(("what to do: ", STRONG), advice, indent=2)


def _is_id(damage: Damage) -> bool:
    return len(damage.name) == 64
