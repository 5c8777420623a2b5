"""Runs of the schedule, the history of alerts, and what each machine promises, in the catalogue."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, delete, insert, select

from resticwrap.catalog.aging import batches
from resticwrap.catalog.database import Database
from resticwrap.catalog.rows import to_micros
from resticwrap.catalog.tables import alert_events, host_domains, scheduled_runs
from resticwrap.model.base import Time, Value, from_json, to_json
from resticwrap.model.unattended import AlertEvent, HostDomain, ScheduledRun

V = TypeVar("V", bound=Value)


class UnattendedTables:
    """What `SqlCatalog` knows of schedule, alerts and machines."""

    database: Database

    def put_run(self, run: ScheduledRun) -> None:
        """Record a run, or what became of it."""
        row = {
            "id": run.id,
            "host": run.host,
            "name": run.name,
            "due_at": to_micros(run.due_at),
            "started_at": to_micros(run.started_at),
            "outcome": run.outcome,
            "job": run.job,
            "record": to_json(run).decode(),
        }
        with self.database.writing(f"host {run.host}") as connection:
            connection.execute(delete(scheduled_runs).where(scheduled_runs.c.id == run.id))
            connection.execute(insert(scheduled_runs), [row])

    def runs(
        self, host: str, *, name: str | None = None, since: Time | None = None, limit: int = 100
    ) -> Sequence[ScheduledRun]:
        """Newest first."""
        query = select(scheduled_runs.c.record).where(scheduled_runs.c.host == host)
        if name is not None:
            query = query.where(scheduled_runs.c.name == name)
        if since is not None:
            query = query.where(scheduled_runs.c.started_at >= to_micros(since))
        query = query.order_by(scheduled_runs.c.started_at.desc(), scheduled_runs.c.id.desc()).limit(limit)
        return self._values(ScheduledRun, query, "of a scheduled run")

    def open_runs(self, host: str) -> Sequence[ScheduledRun]:
        """Runs that are recorded as running, oldest first."""
        query = (
            select(scheduled_runs.c.record)
            .where(scheduled_runs.c.host == host, scheduled_runs.c.outcome == "running")
            .order_by(scheduled_runs.c.started_at, scheduled_runs.c.id)
        )
        return self._values(ScheduledRun, query, "of a scheduled run")

    def put_alert_events(self, events: Iterable[AlertEvent]) -> None:
        """Remember what became of alerts; one that is known already is no error."""
        for batch in batches(events):
            rows = {
                event.id: {
                    "id": event.id,
                    "host": event.host,
                    "target": event.target,
                    "at": to_micros(event.at),
                    "record": to_json(event).decode(),
                }
                for event in batch
            }
            with self.database.writing(*{event.target for event in batch}) as connection:
                connection.execute(delete(alert_events).where(alert_events.c.id.in_(rows)))
                connection.execute(insert(alert_events), list(rows.values()))

    def alert_events(self, target: str, *, since: Time | None = None, limit: int = 100) -> Sequence[AlertEvent]:
        """Newest first, of all hosts."""
        query = select(alert_events.c.record).where(alert_events.c.target == target)
        if since is not None:
            query = query.where(alert_events.c.at >= to_micros(since))
        query = query.order_by(alert_events.c.at.desc(), alert_events.c.id.desc()).limit(limit)
        return self._values(AlertEvent, query, "of an alert")

    def claim_domains(self, promised: Iterable[HostDomain], formerly: Collection[str] = ()) -> Mapping[str, str]:
        """What others promised first stays theirs, and is returned: by domain, by whom."""
        found = list(promised)
        hosts, targets = {*formerly, *(one.host for one in found)}, sorted({one.target for one in found})
        with self.database.writing(*(f"claims {target}" for target in targets)) as connection:
            there = host_domains.c
            query = select(there.target, there.domain, there.host).where(
                there.target.in_(targets), there.host.not_in(hosts)
            )
            others = {(target, domain): host for target, domain, host in connection.execute(query)}
            connection.execute(delete(host_domains).where(there.target.in_(targets), there.host.in_(hosts)))
            if rows := [_promise(one) for one in found if (one.target, one.domain) not in others]:
                connection.execute(insert(host_domains), rows)
        return {one.domain: others[one.target, one.domain] for one in found if (one.target, one.domain) in others}

    def host_domains(self, target: str | None = None) -> Sequence[HostDomain]:
        """Sorted by host, target and domain."""
        query = select(host_domains.c.record)
        if target is not None:
            query = query.where(host_domains.c.target == target)
        found = self._values(HostDomain, query, "of a machine's domain")
        # Not by the database, which may sort as people do.
        return sorted(found, key=lambda one: (one.host, one.target, one.domain))

    def _values(self, kind: type[V], query: Select[Any], what: str) -> list[V]:
        with self.database.reading() as connection:
            records = [record for (record,) in connection.execute(query)]
        try:
            return [from_json(kind, record.encode()) for record in records]
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.database.damaged(f"the record {what} cannot be read") from error


def _promise(one: HostDomain) -> dict[str, Any]:
    return {
        "host": one.host,
        "target": one.target,
        "domain": one.domain,
        "seen_at": to_micros(one.seen_at),
        "record": to_json(one).decode(),
    }
