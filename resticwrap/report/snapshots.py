"""What lies in a repository: snapshots, the entries of one, the objects of a manifest."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from itertools import chain
from typing import TYPE_CHECKING

from resticwrap.model.job import Manifest
from resticwrap.model.objects import Entry, ObjectRow, content_id, show_path
from resticwrap.model.reports import SnapshotRow
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

ID_SHOWN = 12


def snapshots(console: "Console", rows: Sequence[SnapshotRow], *, zone: tzinfo | None = None) -> None:
    """The snapshots of a target, in the order given."""
    with Page(console, zone) as page:
        if not rows:
            page.say("No snapshots.")
            return
        columns = (
            Column("Id"),
            Column(page.time_title("Time", [row.snapshot.time for row in rows])),
            Column("Domain", least=18, cut="middle", style=NAME),
            Column("Tier"),
            Column("Type", rank=2),
            Column("Files", right=True, rank=3),
            Column("Size", right=True),
            Column("Added", right=True, rank=4),
            Column("State"),
            Column("Proven", rank=6),
            Column("Host", rank=5),
            Column("Job", rank=7),
        )
        page.table(columns, [_snapshot(page, row) for row in rows])
        foreign = sum(row.snapshot.tags is None for row in rows)
        more = f", {foreign} of them not made by rw" if foreign else ""
        page.say((f"{fmt.plural(len(rows), 'snapshot')}{more}", FAINT))


def _snapshot(page: Page, row: SnapshotRow) -> list[Part]:
    snapshot, tags = row.snapshot, row.snapshot.tags
    state: Part = ("?", FAINT)
    if row.complete is not None:
        state = ("partial", POOR) if not row.complete else ("proven", GOOD) if row.proven_at else "complete"
    return [
        page.id(snapshot.original), page.time(snapshot.time), tags.domain if tags else ",".join(snapshot.paths) or "-",
        row.tier, tags.type if tags else "-", "-" if snapshot.files is None else fmt.count(snapshot.files),
        "-" if snapshot.size is None else fmt.size(snapshot.size),
        "-" if snapshot.added is None else fmt.size(snapshot.added),
        state, page.time(row.proven_at), snapshot.host, tags.job if tags else "-",
    ]  # fmt: skip


def ls(console: "Console", entries: Iterable[Entry], chunker: str, *, zone: tzinfo | None = None) -> None:
    """Entries of a snapshot as they come, each on one line; `chunker` as `content_id` needs it."""
    page = Page(console, zone)
    wide = 64 + len("sha256:") if page.plain else ID_SHOWN
    columns = (
        Column("Mode"),
        Column("Size", right=True),
        Column(_modified(page)),
        Column("Content id", rank=1, style=FAINT),
        Column("Path", least=36, cut="middle"),
    )
    widths = (10, 9, 25 if page.plain else max(16, len(columns[2].title)), wide, 0 if page.plain else 10_000)
    if not page.stream(columns, widths, (_entry(page, entry, chunker) for entry in entries)):
        page.say("Nothing there.")
        page.flush()


def _modified(page: Page) -> str:
    """The heading of times that are still to come: their offsets are not known yet, the zone is."""
    zone = fmt.zone_name([], page.zone)
    return "Modified" if page.plain else "Modified (local)" if zone == "local time" else f"Modified ({zone})"


def _entry(page: Page, entry: Entry, chunker: str) -> list[Part]:
    name = show_path(entry.path) or "."
    if entry.link is not None:
        name += f" -> {show_path(entry.link)}"
    called = content_id(entry.content, chunker) if entry.kind == "file" else "-"
    if not page.plain:
        called = called.partition(":")[2][:ID_SHOWN] or "-"
    size = fmt.size(entry.size) if entry.kind == "file" else "-"
    style = NAME if entry.kind == "dir" else ""
    return [fmt.mode(entry.kind, entry.mode), size, page.time(entry.mtime), called, (name, style)]


def manifest(
    console: "Console", value: Manifest, objects: Iterable[ObjectRow] = (), *, zone: tzinfo | None = None
) -> None:
    """A job's manifest, and its object list as it comes."""
    page = Page(console, zone)
    page.say(("Manifest ", STRONG), f"of job {value.job_id}: ", page.mark(value.outcome))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(value.tool_versions.items()))
    repositories = ", ".join(f"{tier} {page.id(name)}" for tier, name in value.repositories.items())
    facts = {
        "target": f"{value.target} ({value.target_provider}), namespace {value.namespace}",
        "from": page.moment(value.started_at),
        "to": page.moment(value.finished_at),
        "type": value.snapshot_type,
        "host": value.host,
        "repositories": repositories or "-",
        "made by": versions or "-",
        "objects": f"{value.object_list.mode}, {'whole' if value.object_list.whole else 'the change'}",
        "restore with": value.restore_entrypoint,
    }
    for name, fact in facts.items():
        page.say((f"{name:<14}", FAINT), fact, indent=2, hang=14)
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Outcome"),
        Column("Snapshot", rank=1),
        Column("Objects", right=True),
        Column("Size", right=True),
        Column("Schemas", least=8, rank=2),
        Column("Digest", rank=3),
    )
    rows: list[list[Part]] = [
        [
            domain.run.domain, page.mark(domain.run.outcome), page.id(domain.run.snapshot), fmt.count(domain.objects),
            fmt.size(domain.bytes), _schemas(value, domain.run.domain), page.id(domain.object_digest),
        ]
        for domain in value.domains
    ]  # fmt: skip
    page.table(columns, rows)
    page.flush()
    rest = iter(objects)
    if (first := next(rest, None)) is not None:
        page.blank()
        _objects(page, chain([first], rest), {domain.run.domain for domain in value.domains})


def _schemas(value: Manifest, domain: str) -> str:
    return ", ".join(f"{kind} v{version}" for kind, version in value.schema_versions.get(domain, {}).items()) or "-"


def objects(console: "Console", rows: Iterable[ObjectRow], domains: Iterable[str] = ()) -> None:
    """An object list alone; `domains` are those it may name, for the width of their column."""
    page = Page(console)
    if not _objects(page, rows, set(domains)):
        page.say("No objects.")
        page.flush()


def _objects(page: Page, rows: Iterable[ObjectRow], domains: set[str]) -> int:
    longest = max((len(domain) for domain in domains), default=20)
    columns = (
        Column("Domain", least=12, cut="middle", style=NAME),
        Column("Size", right=True),
        Column("Content id", style=FAINT),
        Column("Path", least=24, cut="middle"),
    )
    wide = 64 + len("sha256:") if page.plain else ID_SHOWN
    widths = (longest, 9, wide, 0 if page.plain else 10_000)
    return page.stream(
        columns,
        widths,
        (
            [row.domain, fmt.size(row.size), row.content_id if page.plain else _short(row.content_id), row.path]
            for row in rows
        ),
    )


def _short(called: str) -> str:
    return called.rpartition(":")[2][:ID_SHOWN]
