"""`rw db list`: every database of the policy, whether its server answers, and what restores have put aside there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec

from resticwrap import errors
from resticwrap.model.dbreports import DatabaseSize, DbListReport, ListedDatabase
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import dbrestore
from resticwrap.services.choosing import Stock, stock
from resticwrap.services.context import Context
from resticwrap.services.databases import moments
from resticwrap.services.databases.restoring import engine_of, kept_of

AT_ONCE = 8
"""So many servers are asked at the same time: one that does not answer takes its while."""


def listed(context: Context, domains: Sequence[str] = ()) -> DbListReport:
    """What there is, of these domains (none: all). A server that does not answer is told of, and so is a target."""
    wanted = context.settings.select_domains(domains)
    names = [name for name, domain in wanted.items() if domain.is_database]
    notes: list[str] = []
    newest: dict[str, Snapshot] = {}
    found = None
    try:
        found = stock(context, ["hot"])
        newest = {one.domain: one for one in found.snapshots if one.domain and found.complete(one) is not False}
        notes += found.notes
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        notes.append(f"The snapshots could not be listed: {error.message}")
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list") as pool:
        rows = tuple(pool.map(lambda name: _row(context, name, newest.get(name)), names))
    if found is not None:
        rows = tuple(_spanned(context, row, found) for row in rows)
    return DbListReport(target=context.target_name, rows=rows, notes=tuple(notes))


def _spanned(context: Context, row: ListedDatabase, found: Stock) -> ListedDatabase:
    """The same with the moments that it can be restored to. What cannot be read now says nothing."""
    whole = [one for one in found.snapshots if one.domain == row.domain and found.complete(one) is not False]
    trees = context.hot.trees() if any(one.tags is not None and one.tags.base for one in whole) else None
    with suppress(errors.Damaged, errors.ObjectMissing, errors.Frozen):
        span = moments.span(whole, row.domain, lambda _: trees)
        return msgspec.structs.replace(row, since=span.since, until=span.until) if span else row
    return row


def _row(context: Context, domain: str, newest: Snapshot | None) -> ListedDatabase:
    source = context.settings.domains[domain].source
    row = ListedDatabase(
        domain=domain,
        engine=source.type,
        place=source.place,
        snapshot=newest.original if newest else None,
        time=newest.time if newest else None,
        kept=tuple(
            one
            for journal in context.database_journals.scan()[0]
            if journal.domain == domain
            for one in kept_of(journal)
        ),
    )
    try:
        engine = engine_of(context, domain)
        server = engine.live()
        version, there = server.version(), server.databases()
        wanted = [name for name in there if engine.name in (None, name) and not dbrestore.of_a_restore(name)]
        sizes = tuple(DatabaseSize(name=name, size=server.size(name)) for name in wanted)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return msgspec.structs.replace(row, error=error.message, hint=error.hint)
    gone = "" if wanted or engine.name is None else f"{server.place} has no database {engine.name}."
    return msgspec.structs.replace(row, place=server.place, version=version, databases=sizes, error=gone)
