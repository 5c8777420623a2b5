"""What the catalogue knows of all machines together: asked in a few questions, however many there are."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import and_, func, select

from resticwrap.catalog.database import Database
from resticwrap.catalog.rows import from_micros, to_micros
from resticwrap.catalog.tables import domain_runs, host_domains, jobs, snapshots
from resticwrap.model.base import Time, from_json
from resticwrap.model.unattended import HostDomain
from resticwrap.ports import KnownPromise

HOT = "hot"
"""The tier that backups write to."""
BAD = ("failed", "interrupted")


class MachineTables:
    """What `SqlCatalog` knows of machines."""

    database: Database

    def promises(self, until: Time) -> Sequence[KnownPromise]:
        """Sorted by host, target and domain. Each domain costs two looks into an index, however long its history."""
        runs, promise = domain_runs.alias("runs"), host_domains.c
        here = (runs.c.target == promise.target, runs.c.domain == promise.domain, runs.c.looked_at <= to_micros(until))
        newest = select(func.max(runs.c.looked_at)).where(*here).correlate(host_domains).scalar_subquery()
        stands = and_(
            snapshots.c.target == runs.c.target,
            snapshots.c.tier == HOT,
            snapshots.c.original == runs.c.snapshot,
        )
        complete = (
            select(runs.c.looked_at)
            .join(snapshots, stands)
            .where(*here, runs.c.complete)
            .order_by(runs.c.looked_at.desc())
            .limit(1)
            .correlate(host_domains)
            .scalar_subquery()
        )
        found = select(
            promise.target, promise.domain, promise.record, newest.label("newest"), complete.label("complete")
        ).subquery()
        query = select(found, domain_runs.c.job, domain_runs.c.outcome).outerjoin(
            domain_runs,
            and_(
                domain_runs.c.target == found.c.target,
                domain_runs.c.domain == found.c.domain,
                domain_runs.c.looked_at == found.c.newest,
            ),
        )
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        try:
            told = [
                KnownPromise(
                    promise=from_json(HostDomain, row.record.encode()),
                    looked_at=None if row.newest is None else from_micros(row.newest),
                    complete_at=None if row.complete is None else from_micros(row.complete),
                    job=row.job,
                    outcome=row.outcome,
                )
                for row in rows
            ]
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.database.damaged("the record of a machine's domain cannot be read") from error
        return sorted(told, key=lambda one: (one.promise.host, one.promise.target, one.promise.domain, one.job or ""))

    def failures(self, since: Time) -> Mapping[tuple[str, str], int]:
        """By host and target, how many backup jobs failed or were interrupted that began at or after a time."""
        promise = host_domains.c
        query = (
            select(promise.host, promise.target, func.count(jobs.c.id.distinct()))
            .join(domain_runs, and_(domain_runs.c.target == promise.target, domain_runs.c.domain == promise.domain))
            .join(jobs, jobs.c.id == domain_runs.c.job)
            .where(
                jobs.c.target == promise.target,
                jobs.c.outcome.in_(BAD),
                jobs.c.kind == "backup",
                jobs.c.started_at >= to_micros(since),
                domain_runs.c.looked_at >= to_micros(since),
            )
            .group_by(promise.host, promise.target)
        )
        with self.database.reading() as connection:
            return {(host, target): count for host, target, count in connection.execute(query)}

    def newest_jobs(self, kind: str, until: Time) -> Mapping[str, tuple[Time, str]]:
        """By target when its newest job of a kind began that ended well or badly, and its outcome."""
        ended = (jobs.c.kind == kind, jobs.c.outcome.in_(("ok", "partial", "failed")))
        newest = (
            select(jobs.c.target, func.max(jobs.c.started_at).label("at"))
            .where(*ended, jobs.c.started_at <= to_micros(until))
            .group_by(jobs.c.target)
            .subquery()
        )
        query = select(jobs.c.target, jobs.c.started_at, jobs.c.outcome).join(
            newest, and_(jobs.c.target == newest.c.target, jobs.c.started_at == newest.c.at, *ended)
        )
        with self.database.reading() as connection:
            return {target: (from_micros(at), outcome) for target, at, outcome in connection.execute(query)}
