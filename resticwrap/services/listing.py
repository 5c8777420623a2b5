"""What `rw snapshots`, `rw ls` and `rw history` show. They read and write nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.objects import Entry, content_id, path_b64, show_path
from resticwrap.model.reports import HistoryReport, ListedObject, SnapshotRow
from resticwrap.services.context import Context, Records
from resticwrap.services.restore import Wish, choose


def snapshots(context: Context, tiers: Sequence[str], domains: Sequence[str]) -> list[SnapshotRow]:
    """The snapshots that the repositories hold, oldest first, with what the catalogue knows of them."""
    rows: list[SnapshotRow] = []
    for tier in tiers:
        context.check_pin(tier)
        try:
            known = context.catalog().snapshots(context.target_name, tier)
        except errors.CatalogUnavailable as error:
            context.watcher.note(error.message)
            known = {}
        for snapshot in context.repositories[tier].snapshots():
            if domains and snapshot.domain not in domains:
                continue
            record = known.get(snapshot.original)
            rows.append(
                SnapshotRow(
                    snapshot=snapshot,
                    tier=tier,
                    complete=record.complete if record else None,
                    proven_at=record.proven_at if record else None,
                )
            )
    return rows


@dataclass(frozen=True)
class Listing:
    """One snapshot's objects, with paths relative to the domain, and the chunker's fingerprint for content ids."""

    domain: str
    snapshot: str
    entries: Iterator[Entry]
    chunker: str


def ls(context: Context, wish: Wish) -> list[Listing]:
    """What the wished snapshots hold, below the wished paths."""
    context.check_pin(wish.tier)
    repository = context.repositories[wish.tier]
    chunker = repository.trees().chunker
    found = []
    for choice in choose(context, wish):
        below = choice.paths or (choice.root,)
        entries = (entry for under in below for entry in repository.entries(choice.snapshot, under))
        found.append(
            Listing(
                domain=choice.domain,
                snapshot=choice.snapshot.original,
                entries=(relative(entry, choice.root) for entry in entries),
                chunker=chunker,
            )
        )
    return found


def relative(entry: Entry, root: bytes) -> Entry:
    """The entry with its path relative to the domain's root, which itself is the empty path."""
    return msgspec.structs.replace(entry, path=entry.path[len(root) :].lstrip(b"/"))


def row(entry: Entry, listing: Listing) -> ListedObject:
    """The object as `--json` shows it."""
    return ListedObject(
        domain=listing.domain,
        snapshot=listing.snapshot,
        path=show_path(entry.path),
        path_b64=path_b64(entry.path),
        kind=entry.kind,
        size=entry.size,
        mode=f"{entry.mode:04o}",
        mtime=entry.mtime,
        content_id=content_id(entry.content, listing.chunker) if entry.kind == "file" else None,
        link=show_path(entry.link) if entry.link is not None else None,
    )


def history(records: Records, domains: Sequence[str], *, days: int, limit: int | None, now: Time) -> HistoryReport:
    """Runs newest first, and the days of the calendar in the schedule's time zone."""
    schedule = records.settings.schedule
    since = now - timedelta(days=days)
    catalog = records.catalog()
    return HistoryReport(
        target=records.target_name,
        rows=tuple(catalog.history(records.target_name, domains=domains, since=since, limit=limit)),
        days=tuple(catalog.days(records.target_name, domains, since, schedule.zone)),
        time_zone=schedule.time_zone,
    )
