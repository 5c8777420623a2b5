"""A recovery kit, a restored system, the keys of a target's repositories."""

from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.kit import KeyReport, KitFiles, KitReport, SystemDomain, SystemReport
from resticwrap.report import format as fmt
from resticwrap.report.backup import paths
from resticwrap.report.drill import loaded, phases
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def kit(console: "Console", report: KitReport, *, zone: tzinfo | None = None) -> None:
    """What is in a kit: names and ids, no secret."""
    with Page(console, zone) as page:
        if not report.digest:
            page.say(("Dry run: ", STRONG), f"the kit of target {report.target}. Nothing is written.")
        else:
            page.say(("Recovery kit ", STRONG), report.file)
        _row(page, "target", f"{report.target} ({report.provider}, namespace {report.namespace})")
        _row(page, "made", f"{page.moment(report.made_at)} by {report.by}@{report.host}")
        if report.digest:
            _row(page, "sha256", report.digest)
        for tier, repository in report.repositories.items():
            keys = fmt.plural(len(report.keys.get(tier, ())), "key")
            _row(page, tier, f"repository {page.id(repository)}, {keys}")
        _row(page, "policies", ", ".join(report.policies))
        _row(page, "variables", ", ".join(report.variables) or "none")
        _row(page, "credentials", *_credentials(report))
        if report.secrets:
            _row(page, "secrets", ", ".join(report.secrets))
        if report.needs and report.credentials != "elsewhere":
            _row(page, "not in it", f"{', '.join(report.needs)}: {report.where}")
        if report.head is None:
            _row(page, "evidence", "none yet")
        else:
            _row(page, "evidence", f"record {report.head.seq} of {report.head.installation}, {report.head.digest[:16]}")
        _row(page, "versions", ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items())))
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")
        if report.page:
            page.say(f"Print {report.page}: the page of steps. Keep the passphrase elsewhere than the kit.")


def files(console: "Console", report: KitFiles, *, zone: tzinfo | None = None) -> None:
    """The files of secrets that came out of a kit, by name."""
    with Page(console, zone) as page:
        if report.planned:
            page.say(("Dry run: ", STRONG), f"{len(report.files)} files would come into {report.place}.")
        else:
            page.say((f"{len(report.files)} files of secrets ", STRONG), f"are in {report.place}")
        page.say(f"They are as they were at {page.moment(report.made_at)}, when the kit of {report.target} was made.")
        columns = (
            Column("Domain", style=NAME),
            Column("File", cut="middle"),
            Column("Mode"),
            Column("Size", right=True),
        )
        page.table(columns, [[one.domain, one.path, one.mode, fmt.size(one.size)] for one in report.files])


def _credentials(report: KitReport) -> list[Part]:
    if report.credentials == "elsewhere":
        return [f"not in it: {report.where} ({', '.join(report.needs)})"]
    return ["in it"] if report.credentials == "included" else ["none are in it"]


def _row(page: Page, name: str, *parts: Part) -> None:
    page.say((f"{name:<13}", FAINT), *parts, indent=2, hang=13)


def system(console: "Console", report: SystemReport, *, zone: tzinfo | None = None) -> None:
    """What came back, how long each phase took, and what is left to do."""
    with Page(console, zone) as page:
        if report.mode == "planned":
            page.say(("Dry run: ", STRONG), f"the system of target {report.target}. Nothing is written to its place.")
        else:
            page.say(
                ("Restore of the system ", STRONG), report.job, ": ",
                page.mark("ok" if report.ok else "failed", "all is back" if report.ok else "not all is well"),
                f", after {fmt.duration(report.seconds)}",
            )  # fmt: skip
        _domains(page, report)
        for one in report.domains:
            if one.loaded is not None:
                page.say((one.domain, NAME), f": {loaded(one.loaded)}")
            if one.failures:
                paths(page, [(one.domain, BAD), ": did not come back as backed up"], one.failures, len(one.failures))
        if report.phases:
            page.say(("stopwatch: ", STRONG), phases(report.phases))
        if report.core_seconds is not None:
            what = "the core was healthy" if report.healthy else "the core was back"
            page.say(f"{what} after {fmt.duration(report.core_seconds)}")
        if report.missing:
            page.say(page.mark("failed", "nothing to restore of"), f" {', '.join(report.missing)}")
        for failure in report.failures:
            page.say(page.mark("failed"), f": {failure}")
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")
        if report.mode == "restored":
            page.listing([("To go on from here:", STRONG)], report.next)


def _domains(page: Page, report: SystemReport) -> None:
    done = report.mode == "restored"
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Prio"),
        Column(page.time_title("As of", [one.source_time or one.time for one in report.domains])),
        Column("RPO", right=True),
        Column("Files", right=True, rank=2),
        Column("Size", right=True, rank=1),
        *((Column("Back after", right=True), Column("Compared")) if done else ()),
    )
    rows: list[list[Part]] = [
        [
            one.domain, one.priority, page.time(one.source_time or one.time),
            fmt.duration(one.rpo) if one.rpo is not None else "?", fmt.count(one.files), fmt.size(one.size),
            *([fmt.duration(one.back), _verdict(page, one)] if done else []),
        ]
        for one in report.domains
    ]  # fmt: skip
    page.table(columns, rows)


def _verdict(page: Page, one: SystemDomain) -> Part:
    if not one.ok:
        return page.mark("failed")
    return page.mark("ok", "identical, before" if one.resumed else "identical")


def keys(console: "Console", report: KeyReport, *, zone: tzinfo | None = None) -> None:
    """The keys of both repositories."""
    with Page(console, zone) as page:
        page.say(("Keys ", STRONG), f"of target {report.target}")
        columns = (
            Column("Tier"), Column("Key", style=NAME), Column("Made", rank=2), Column("By", rank=1), Column(""),
        )  # fmt: skip
        rows: list[list[Part]] = [
            [one.tier, page.id(one.id), one.created[:19], f"{one.user}@{one.host}", "current" if one.current else ""]
            for one in report.keys
        ]
        page.table(columns, rows)
        for tier, key in report.added.items():
            page.say(page.mark("ok", "added"), f" {page.id(key)} to {tier}")
        for tier, removed in report.removed.items():
            page.say(page.mark("ok", "removed"), f" {', '.join(page.id(key) for key in removed)} from {tier}")
        for note in report.notes:
            page.say(page.mark("warn", "note"), f": {note}")
