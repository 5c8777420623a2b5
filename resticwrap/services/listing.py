"""What `rw snapshots`, `rw ls` and `rw history` show. They read and write nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.objects import Entry, content_id, path_b64, show_path
from resticwrap.model.reports import HistoryJob, HistoryReport, ListedObject, SnapshotRow
from resticwrap.model.snapshot import CANARY
from resticwrap.model.sources import DATABASES
from resticwrap.model.swap import Journal
from resticwrap.planning import dbrestore, dumpshare, inplace
from resticwrap.ports import Catalog, Repository
from resticwrap.services import frost
from resticwrap.services.choosing import Choice, Wish, choose, notes_of
from resticwrap.services.context import Context, Records, check_domains

JOBS_AT_MOST = 1000
OTHERS = ("restore", "verify", "drill", "copy", "forget", "prune", "recover")
"""The kinds of job besides backups that have a line of their own in the history."""


def snapshots(context: Context, tiers: Sequence[str], domains: Sequence[str]) -> list[SnapshotRow]:
    """The snapshots that the repositories hold, oldest first, with what the catalogue knows of them. The canary of the
    drills is shown where it is asked for."""
    rows: list[SnapshotRow] = []
    seen: set[str | None] = set()
    for tier in tiers:
        context.check_pin(tier)
        frost.preflight(context, tier)
        try:
            until = context.clock.now() + CLOCK_SLACK
            known = context.catalog().snapshots(context.target_name, tier, until)
        except errors.CatalogUnavailable as error:
            context.watcher.note(error.message)
            known = {}
        for snapshot in context.repositories[tier].snapshots():
            seen.add(snapshot.domain)
            if snapshot.domain not in domains if domains else snapshot.domain == CANARY:
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
    check_domains(context.settings, domains, seen)
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
    choices = choose(context, wish)
    for note in notes_of(choices):
        context.watcher.note(note)
    return [
        Listing(
            domain=choice.domain,
            snapshot=choice.snapshot.original,
            entries=_listed(context.repositories[choice.tier], choice),
            chunker=context.repositories[choice.tier].trees().chunker,
        )
        for choice in choices
    ]


def _listed(repository: Repository, choice: Choice) -> Iterator[Entry]:
    for under in choice.paths or (choice.root,):
        for entry in repository.entries(choice.snapshot.id, choice.snapshot.tree, under):
            yield relative(entry, choice.root)


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
    """Runs newest first, the days of the calendar in the schedule's time zone, and jobs that are no backups."""
    schedule = records.settings.schedule
    since = now - timedelta(days=days)
    catalog = records.known()
    rows = tuple(catalog.history(records.target_name, domains=domains, since=since, limit=limit))
    check_domains(records.settings, domains, {row.domain for row in rows})
    # A log is another thing each time, so that it tells nothing of rows.
    databases = [
        name
        for name, one in records.settings.domains.items()
        if isinstance(one.source, DATABASES) and getattr(one.source, "mode", "dump") == "dump"
    ]
    return HistoryReport(
        target=records.target_name,
        rows=rows,
        days=tuple(catalog.days(records.target_name, domains, since, schedule.zone)),
        time_zone=schedule.time_zone,
        jobs=tuple(_other_jobs(records, catalog, domains, since, limit)),
        dumps=tuple(dumpshare.shares(rows, databases)),
    )


def _other_jobs(
    records: Records, catalog: Catalog, domains: Sequence[str], since: Time, limit: int | None
) -> list[HistoryJob]:
    """Jobs that are no backups. Of some domains: the restores that name one of them, and every one of the others."""
    jobs = [
        job
        for kind in OTHERS
        for job in catalog.jobs(records.target_name, kind=kind, limit=limit or JOBS_AT_MOST)
        if job.started_at >= since
    ]
    journals = _journals(records)
    databases = {one.job: one for one in records.database_journals.scan()[0]}
    rows = []
    for job in sorted(jobs, key=lambda job: (job.started_at, job.id), reverse=True):
        journal = journals.get(job.id)
        # Of a verify it is their number.
        restored = (
            {*job.details.get("snapshots", ()), *job.details.get("domains", ())} if job.kind == "restore" else set()
        )
        restored |= {piece.piece.domain for piece in journal.pieces} if journal else set()
        if domains and job.kind == "restore" and not restored & set(domains):
            continue
        standing = inplace.standing(journal) if journal else None
        if database := databases.get(job.id):
            standing = dbrestore.standing(database)
        said, command = standing or (_said(job, restored), "")
        rows.append(
            HistoryJob(
                job=job.id,
                kind=job.kind,
                time=job.started_at,
                outcome=job.outcome,
                duration=(job.finished_at - job.started_at).total_seconds() if job.finished_at else None,
                what=said,
                next=command,
            )
        )
    return rows[:limit]


def _journals(records: Records) -> dict[str, Journal]:
    # What cannot be read `rw status` and `rw doctor` tell of.
    return {journal.job: journal for journal in records.journals.scan()[0]}


def _said(job: Job, restored: set[str]) -> str:
    details, names = job.details, ", ".join(sorted(restored))
    match job.kind, details.get("mode"):
        case "verify", _:
            said = f"{details.get('tier', '')} repository"
        case "drill", _:
            said = f"{str(details.get('level', '')).upper()} of {details.get('tier', '')}"
        case "copy", _:
            said = f"{len(details.get('marked', ())):,} snapshots proven in cold"
        case "forget" | "prune" | "recover", _:
            said = str(details.get("what", ""))
        case _, "undo" | "accept" as mode:
            said = f"{mode} of {details.get('restore', '')}"
        case _, "new" | "replace" | "copy" as mode if "database" in details:
            names = ", ".join(one["name"] for one in details.get("databases", {}).values())
            said = f"{details['database']}: {names}, {'new' if mode == 'new' else 'over what was live'}"
        case _, "extract" | "put-back" as mode:
            said = f"{mode} of {details.get('table', '')}"
        case _, "in-place":
            said = f"in place: {names}"
        case _:
            said = f"{names or 'nothing'} to {details['to']}" if "to" in details else names
    return "; ".join(part for part in (said, job.error.message if job.error else "") if part)
