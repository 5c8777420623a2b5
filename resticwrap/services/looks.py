"""When the data of snapshots was last looked at, and which snapshots are every domain at a time.

An unchanged domain's look counts: it found that its snapshot still stands. Looks are in the catalogue; where that is
down, what the snapshots themselves say has to do, which is never later than the truth.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import COMPLETE
from resticwrap.model.reports import HistoryRow
from resticwrap.model.snapshot import CANARY, Snapshot
from resticwrap.planning import window as planning
from resticwrap.planning.window import Look, Window
from resticwrap.services.choosing import Stock
from resticwrap.services.context import Context

RECENT = timedelta(hours=25)
FEW = 500


class Looks:
    """The complete looks at or before a time, of the snapshots of a stock."""

    def __init__(self, context: Context, among: Stock, at: Time) -> None:
        self._context, self._among, self._at = context, among, at
        self._there = {one.original for one in among.snapshots}
        self.note = ""
        self._latest = context.latest()

    def source_time(self, snapshot: Snapshot) -> Time:
        """When the data of a snapshot was last found to stand: the start of that look. Else when it was made."""
        found = [snapshot.time] if snapshot.time <= self._at else []
        assert snapshot.domain is not None
        for since, limit in ((None, FEW), (snapshot.time - RECENT, None)):
            rows = self._rows([snapshot.domain], since, limit)
            own = next((row for row in rows if row.snapshot == snapshot.original and row.outcome in COMPLETE), None)
            if own is not None:
                return own.time
            if len(rows) < FEW:
                break
        known = self._latest.domains.get(snapshot.domain) if self._latest else None
        if known is not None and known.snapshot == snapshot.original and known.looked_at <= self._at:
            found.append(known.looked_at)
        return max(found, default=snapshot.time)

    def window(self, domains: Sequence[str]) -> Window:
        """Every one of these domains as it stood at the time."""
        return planning.choose(self._all(domains), self._at)

    def _all(self, domains: Sequence[str]) -> Iterator[Look]:
        seen: set[tuple[str, str]] = set()
        for row in self._rows(domains, self._at - RECENT, None):
            seen.add((row.domain, row.job))
            if row.outcome in COMPLETE and row.snapshot in self._there:
                yield Look(row.domain, row.time, row.snapshot, row.job)
        complete = self._among.complete
        for one in self._among.snapshots:
            known = complete(one)
            if one.tags is None or one.domain not in domains or not (known or (known is None and not complete.certain)):
                continue
            if (one.tags.domain, one.tags.job) not in seen:
                # Of what is older than a day the snapshot itself will do, and the looks that found it unchanged do not.
                yield Look(one.tags.domain, one.time, one.original, one.tags.job)

    def _rows(self, domains: Sequence[str], since: Time | None, limit: int | None) -> Sequence[HistoryRow]:
        context = self._context
        try:
            catalog = context.catalog()
            return catalog.history(context.target_name, domains=domains, since=since, until=self._at, limit=limit)
        except (errors.CatalogUnavailable, errors.DiskFull) as error:
            self.note = f"{error.message} When data was last looked at was taken from the snapshots."
            return ()


def policy_domains(context: Context, wanted: Sequence[str] = ()) -> list[str]:
    """The domains of the policy, or those that were asked for, by priority. Raises UsageError for one it has not."""
    found = context.settings.select_domains(wanted)
    return sorted((name for name in found if name != CANARY), key=lambda name: (found[name].priority, name))


def by_original(among: Stock) -> Mapping[str, Snapshot]:
    """The snapshots by their identity."""
    return {one.original: one for one in among.snapshots}
