"""What is counted over all jobs and runs of a target: out of indexes alone, since a year of four-minute backups has
130,000 of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, Connection, Subquery, and_, case, false, func, null, select

from resticwrap.catalog.database import Database
from resticwrap.catalog.rows import from_micros, to_micros
from resticwrap.catalog.tables import domain_runs, job_ends, proofs, snapshots
from resticwrap.model.base import Time
from resticwrap.model.metrics import JobTally, LastJob, RunTally
from resticwrap.ports import DomainSums

MICROS = 1_000_000


class TallyTables:
    """What `SqlCatalog` can count."""

    database: Database

    def job_tallies(self, target: str, until: Time) -> Sequence[JobTally]:
        """Sorted by kind, type and outcome."""
        ends = job_ends.c
        took = case((ends.finished_at > ends.started_at, ends.finished_at - ends.started_at), else_=0)
        query = (
            select(ends.kind, ends.type, ends.outcome, func.count(), func.sum(took), func.max(ends.finished_at))
            .where(ends.target == target, ends.started_at <= to_micros(until))
            .group_by(ends.kind, ends.type, ends.outcome)
        )
        with self.database.reading() as connection:
            found = [
                JobTally(
                    kind=kind, type=named or "", outcome=outcome, count=count, seconds=int(spent) / MICROS,
                    last_at=from_micros(last),
                )
                for kind, named, outcome, count, spent, last in connection.execute(query)
            ]  # fmt: skip
        return sorted(found, key=lambda one: (one.kind, one.type, one.outcome))

    def last_jobs(self, target: str, tallies: Iterable[JobTally], until: Time) -> Sequence[LastJob]:
        """Sorted by kind and type; each is found at the end of an index."""
        ends = job_ends.c
        newest: dict[tuple[str, str], tuple[int, LastJob]] = {}
        with self.database.reading() as connection:
            for one in tallies:
                row: Any = connection.execute(
                    select(ends.started_at, ends.finished_at)
                    .where(ends.target == target, ends.kind == one.kind, ends.type == (one.type or None))
                    .where(ends.outcome == one.outcome, ends.started_at <= to_micros(until))
                    .order_by(ends.started_at.desc())
                    .limit(1)
                ).first()
                key = (one.kind, one.type)
                if row is not None and (key not in newest or newest[key][0] < row.started_at):
                    seconds = max(row.finished_at - row.started_at, 0) / MICROS
                    last = LastJob(kind=one.kind, type=one.type, outcome=one.outcome, seconds=seconds)
                    newest[key] = (row.started_at, last)
        return [newest[key][1] for key in sorted(newest)]

    def run_tallies(self, target: str) -> Sequence[RunTally]:
        """Sorted by domain and outcome."""
        runs = domain_runs.c
        query = (
            select(runs.domain, runs.outcome, func.count(), func.sum(runs.added))
            .where(runs.target == target)
            .group_by(runs.domain, runs.outcome)
            .order_by(runs.domain, runs.outcome)
        )
        with self.database.reading() as connection:
            return [
                RunTally(domain=domain, outcome=outcome, count=count, added=int(added))
                for domain, outcome, count, added in connection.execute(query)
            ]

    def added_by_domain(self, target: str, since: Time) -> Mapping[str, int]:
        """Bytes that the looks since then have stored."""
        runs = domain_runs.c
        query = (
            select(runs.domain, func.sum(runs.added))
            .where(runs.target == target, runs.looked_at >= to_micros(since))
            .group_by(runs.domain)
        )
        with self.database.reading() as connection:
            return {domain: int(added) for domain, added in connection.execute(query)}


def newest_looks(target: str, latest: int) -> Subquery:
    """By `domain`: `looked_at` of the newest run, and `complete_at` of the newest complete one (which may be NULL).

    Each is found at the end of an index. A GROUP BY would read all of it.
    """
    runs, names = domain_runs.c, _domains(target)
    of = (runs.target == target, runs.domain == names.c.domain, runs.looked_at <= latest)
    newest = select(runs.looked_at).where(*of).order_by(runs.looked_at.desc()).limit(1).correlate(names)
    complete = newest.where(runs.complete)
    return select(
        names.c.domain,
        newest.scalar_subquery().label("looked_at"),
        complete.scalar_subquery().label("complete_at"),
    ).subquery()


def _domains(target: str) -> CTE:
    """The names of a target's domains, each found as the next one in the index. Without any it is one NULL."""
    runs = domain_runs.c
    name = select(func.min(runs.domain).label("domain")).where(runs.target == target).cte("names", recursive=True)
    following = select(func.min(runs.domain)).where(runs.target == target, runs.domain > name.c.domain)
    return name.union_all(select(following.correlate(name).scalar_subquery()).where(name.c.domain.is_not(null())))


def sums_of(connection: Connection, target: str, tier: str, until: int) -> Mapping[str, DomainSums]:
    """By domain: its snapshots in a tier, summed; proofs later than `until` do not count."""
    held = snapshots.c
    same = and_(*(proofs.c[name] == held[name] for name in ("target", "tier", "original")), proofs.c.proven_at <= until)
    totals = (
        select(
            held.domain,
            func.count(),
            func.sum(case((held.complete, 1), else_=0)),
            func.sum(held.size),
            func.sum(held.added),
            func.max(proofs.c.proven_at),
        )
        .select_from(snapshots.outerjoin(proofs, same))
        .where(held.target == target, held.tier == tier)
        .group_by(held.domain)
    )
    found: dict[str, DomainSums] = {}
    for domain, count, complete, logical, added, proven in connection.execute(totals).all():
        newest: Any = connection.execute(
            select(held.files, held.size, held.time)
            .where(held.target == target, held.tier == tier, held.domain == domain, held.complete != false())
            .order_by(held.time.desc(), held.original.desc())
            .limit(1)
        ).first()
        found[domain] = DomainSums(
            snapshots=count,
            complete=int(complete),
            logical=int(logical),
            added=int(added),
            files=newest.files if newest else 0,
            size=newest.size if newest else 0,
            newest_at=from_micros(newest.time) if newest else None,
            proven_at=None if proven is None else from_micros(proven),
        )
    return found
