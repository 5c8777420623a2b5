"""How much of a database's newest dump was stored anew. Pure: rows of the history in, shares out."""

from collections.abc import Collection, Iterator, Sequence

from resticwrap.model.reports import DumpShare, HistoryRow

SPOILT = 0.5
"""A dump that stores this much of what an earlier one did has new rows in every chunk."""
SMALL = 8 << 20
"""Bytes. A dump of a few chunks is stored anew whatever has changed."""


def shares(rows: Sequence[HistoryRow], databases: Collection[str]) -> Iterator[DumpShare]:
    """Of each database whose dumps are among `rows`, newest first. What is stored is compressed, so it is measured by
    the most that an earlier dump stored of itself."""
    for domain in databases:
        dumps = [row for row in rows if row.domain == domain and row.snapshot and row.size and row.outcome == "ok"]
        if not dumps:
            continue
        newest, *older = dumps
        whole = max((row.added / row.size for row in older), default=0.0)
        spoilt = bool(older) and newest.size >= SMALL and newest.added / newest.size >= SPOILT * whole
        yield DumpShare(domain=domain, added=newest.added, size=newest.size, spoilt=spoilt)
