"""The catalogue: jobs, their runs of domains, snapshots, and what was read back when."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from resticwrap.catalog.aging import AgingTables, batches
from resticwrap.catalog.database import Database
from resticwrap.catalog.machines import MachineTables
from resticwrap.catalog.proof import ProofTables
from resticwrap.catalog.rows import (
    end_values,
    from_micros,
    history_row,
    job_values,
    run_values,
    snapshot_values,
    to_micros,
)
from resticwrap.catalog.tables import domain_runs, job_ends, jobs, pack_reads, proofs, snapshots
from resticwrap.catalog.tallies import TallyTables, newest_looks, sums_of
from resticwrap.catalog.unattended import UnattendedTables
from resticwrap.errors import NameTaken, NotFound
from resticwrap.model.aging import KnownRun
from resticwrap.model.base import Time, from_json
from resticwrap.model.job import Job
from resticwrap.model.reports import HistoryDay, HistoryRow
from resticwrap.model.snapshot import Snapshot, SnapshotType
from resticwrap.ports import DomainSums, KnownLook, KnownSnapshot

SHORTEST_PREFIX = 6
NOT_ITS_OWN = NameTaken.__name__
"""A run that ended so never looked at the domain, which is another host's: it is in its job, and in no history."""
LOOKS_AT = "hot"
"""The tier that backups write to."""


class SqlCatalog(AgingTables, MachineTables, ProofTables, TallyTables, UnattendedTables):
    """The port `Catalog` on any database of SQLAlchemy. Opening it is put off to the first question."""

    def __init__(self, url: str, *, busy_timeout: float = 10.0) -> None:
        """Raises CatalogUnavailable where the address cannot be used at all."""
        self.database = Database(url, busy_timeout=busy_timeout)

    @property
    def present(self) -> bool:
        return self.database.present

    def time(self) -> Time | None:
        """The server's clock; None where the catalogue is a file."""
        seconds = self.database.clock()
        return None if seconds is None else from_micros(int(seconds * 1_000_000))

    def close(self) -> None:
        """Give the connections up; the next question opens them again."""
        self.database.close()

    # Jobs

    def open_job(self, job: Job) -> None:
        """Record a job as running. One that is recorded as closed stays so: an opening that comes late is old news."""
        with self.database.writing(job.target) as connection:
            known = connection.execute(select(jobs.c.outcome).where(jobs.c.id == job.id)).scalar()
            if known is None or known == "running":
                _replace(connection, [job])

    def close_job(self, job: Job) -> None:
        self.close_jobs([job])

    def close_jobs(self, closed: Iterable[Job]) -> None:
        """Record the ends of many jobs, a few hundred in a transaction."""
        for batch in batches(closed):
            with self.database.writing(*{job.target for job in batch}) as connection:
                _replace(connection, batch)

    def open_jobs(self, target: str) -> Sequence[Job]:
        return self._records(
            select(jobs.c.record)
            .where(jobs.c.target == target, jobs.c.outcome == "running")
            .order_by(jobs.c.started_at, jobs.c.id)
        )

    def job(self, job_id: str) -> Job | None:
        """Raises NotFound where several jobs begin so."""
        found = self._records(select(jobs.c.record).where(jobs.c.id == job_id))
        if found:
            return found[0]
        if len(job_id) < SHORTEST_PREFIX:
            return None
        with self.database.reading() as connection:
            query = select(jobs.c.id).where(jobs.c.id.startswith(job_id, autoescape=True)).order_by(jobs.c.id)
            # SQLite's LIKE does not tell capitals from small letters.
            ids = [name for (name,) in connection.execute(query) if name.startswith(job_id)]
        if len(ids) > 1:
            raise NotFound(f"{len(ids)} jobs begin with {job_id}.", hint=f"Write more of it: {ids[0]}, {ids[1]}, …")
        return self.job(ids[0]) if ids else None

    def jobs(
        self,
        target: str,
        *,
        kind: str | None = None,
        type: SnapshotType | None = None,
        until: Time | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        query = select(jobs.c.record).where(jobs.c.target == target, jobs.c.started_at <= _until(until))
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        if type is not None:
            ends = job_ends.c
            newest = select(ends.job).where(ends.target == target, ends.type == type, ends.started_at <= _until(until))
            newest = newest.where(ends.kind == kind) if kind is not None else newest
            query = query.where(jobs.c.id.in_(newest.order_by(ends.started_at.desc()).limit(limit)))
        return self._records(query.order_by(jobs.c.started_at.desc(), jobs.c.id.desc()).limit(limit))

    def _records(self, query: Select[str]) -> list[Job]:
        with self.database.reading() as connection:
            records = [record for (record,) in connection.execute(query)]
        try:
            return [from_json(Job, record.encode()) for record in records]
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.database.damaged("the record of a job cannot be read") from error

    # Runs of domains

    def history(
        self,
        target: str,
        *,
        domains: Sequence[str] = (),
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> Sequence[HistoryRow]:
        query = (
            select(domain_runs)
            .where(*_in_question(target, domains, since), domain_runs.c.looked_at <= _until(until))
            .order_by(domain_runs.c.looked_at.desc(), domain_runs.c.job.desc(), domain_runs.c.position)
        )
        with self.database.reading() as connection:
            return [history_row(row) for row in connection.execute(query.limit(limit))]

    def last_runs(self, target: str, until: Time | None = None) -> Mapping[str, tuple[HistoryRow, Time | None]]:
        """By domain: the newest run, however it ended, and the start of the newest complete look whose snapshot is
        known to be in hot (None: there is none)."""
        runs, latest = domain_runs.c, _until(until)
        newest = newest_looks(target, latest)
        query = (
            select(domain_runs, newest.c.complete_at)
            .join(newest, and_(runs.domain == newest.c.domain, runs.looked_at == newest.c.looked_at))
            .where(runs.target == target)
            .order_by(runs.job, runs.position)
        )
        looks = (
            select(runs.domain, runs.snapshot)
            .join(newest, and_(runs.domain == newest.c.domain, runs.looked_at == newest.c.complete_at))
            .where(runs.target == target, runs.complete)
        )
        with self.database.reading() as connection:
            found = {row.domain: (history_row(row), _time(row.complete_at)) for row in connection.execute(query)}
            stand = {row.domain: row.snapshot for row in connection.execute(looks)}
            there = _known(connection, snapshots, target, LOOKS_AT, filter(None, stand.values()))
            gone = [domain for domain, snapshot in stand.items() if snapshot not in there]
            older = _looks_that_stand(connection, target, gone, latest) if gone else {}
        return {
            domain: (row, _time(older.get(domain)) if domain in gone else at) for domain, (row, at) in found.items()
        }

    def added_since(self, target: str, since: Time) -> int:
        query = select(func.coalesce(func.sum(domain_runs.c.added), 0)).where(*_in_question(target, (), since))
        with self.database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def partial(self, target: str) -> frozenset[str]:
        query = select(domain_runs.c.snapshot).where(
            domain_runs.c.target == target, domain_runs.c.outcome == "partial", domain_runs.c.snapshot.is_not(None)
        )
        with self.database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def writing_runs(self, target: str) -> Iterator[KnownRun]:
        runs = domain_runs.c
        # Only runs that found something: of a year every four minutes most are unchanged.
        query = (
            select(
                runs.domain, runs.looked_at, runs.job, runs.snapshot, runs.files_new, runs.files_changed,
                runs.files_removed, runs.size,
            )
            .where(runs.target == target, runs.outcome == "ok", runs.snapshot.is_not(None))
            .order_by(runs.domain, runs.looked_at, runs.job)
        )  # fmt: skip
        with self.database.reading() as connection:
            rows = connection.execute(query).all()
        for domain, looked_at, job, snapshot, new, changed, removed, size in rows:
            yield KnownRun(
                domain=domain, at=from_micros(looked_at), job=job, snapshot=snapshot, new=new, changed=changed,
                removed=removed, size=size,
            )  # fmt: skip

    def looks(self, target: str, since: Time, until: Time) -> Sequence[KnownLook]:
        """Oldest first."""
        runs = domain_runs.c
        query = (
            select(runs.domain, runs.looked_at, runs.complete, runs.type, runs.added)
            .where(*_in_question(target, (), since), runs.looked_at < to_micros(until))
            .order_by(runs.looked_at, runs.domain)
        )
        with self.database.reading() as connection:
            return [
                KnownLook(domain, from_micros(at), complete, kind, added)
                for domain, at, complete, kind, added in connection.execute(query)
            ]

    def first_looks(self, target: str) -> Mapping[str, Time]:
        """By domain."""
        runs = domain_runs.c
        query = select(runs.domain, func.min(runs.looked_at)).where(runs.target == target).group_by(runs.domain)
        with self.database.reading() as connection:
            return {domain: from_micros(at) for domain, at in connection.execute(query)}

    def days(self, target: str, domains: Sequence[str], since: Time | None, tz: tzinfo) -> Sequence[HistoryDay]:
        """The runs of each day of `tz` and domain, oldest day first. No `domains`: all of them.

        `failed` counts interrupted runs too, `full` those that read everything.
        """
        runs = domain_runs.c
        query = select(runs.looked_at, runs.domain, runs.outcome, runs.type, runs.complete, runs.added).where(
            *_in_question(target, domains, since)
        )
        sums: dict[tuple[str, str], list[int]] = {}
        with self.database.reading() as connection:
            for looked_at, domain, outcome, kind, complete, added in connection.execute(query):
                day = from_micros(looked_at).astimezone(tz).date().isoformat()
                of_day = sums.setdefault((day, domain), [0] * 5)
                of_day[0] += 1
                of_day[1] += outcome in ("failed", "interrupted")
                of_day[2] += outcome == "partial"
                of_day[3] += kind == "full" and complete
                of_day[4] += added
        return [
            HistoryDay(day=day, domain=domain, jobs=count, failed=failed, partial=partial, full=full, added=added)
            for (day, domain), (count, failed, partial, full, added) in sorted(sums.items())
        ]

    # Snapshots

    def put_snapshots(self, target: str, tier: str, found: Iterable[tuple[Snapshot, bool]]) -> None:
        """Many snapshots, a few hundred in a transaction."""
        for batch in batches(found):
            rows = {
                snapshot.original: snapshot_values(target, tier, snapshot, complete) for snapshot, complete in batch
            }
            with self.database.writing(target) as connection:
                known = _known(connection, snapshots, target, tier, rows)
                _insert(connection, snapshots, [_counted(row) for name, row in rows.items() if name not in known])
                _update_snapshots(connection, [row for name, row in rows.items() if name in known])

    def snapshots(self, target: str, tier: str, until: Time | None = None) -> Mapping[str, KnownSnapshot]:
        with self.database.reading() as connection:
            return {
                row.original: KnownSnapshot(
                    original=row.original,
                    current_id=row.current_id,
                    domain=row.domain,
                    type=row.type,
                    time=from_micros(row.time),
                    tree=row.tree,
                    complete=row.complete,
                    size=row.size,
                    files=row.files,
                    added=row.added,
                    proven_at=_time(row.proven_at),
                )
                for row in connection.execute(_with_proofs(target, tier, until))
            }

    def sums(self, target: str, tier: str, until: Time | None = None) -> Mapping[str, DomainSums]:
        """By domain: its snapshots in this tier, summed."""
        with self.database.reading() as connection:
            return sums_of(connection, target, tier, _until(until))

    def forget_snapshots(self, target: str, tier: str, originals: Iterable[str]) -> None:
        """These are no longer in the repository. Ones that are not known are no error."""
        for batch in batches(originals):
            with self.database.writing(target) as connection:
                for table in (proofs, snapshots):
                    here = _of_tier(table, target, tier)
                    connection.execute(delete(table).where(*here, table.c.original.in_(batch)))

    def mark_proven(
        self, target: str, originals: Sequence[str], at: Time, *, tier: str | None = None, until: Time | None = None
    ) -> None:
        """Without a tier: in every tier where the snapshot is known. With one, it need not be known yet."""
        for batch in batches(originals):
            with self.database.writing(target) as connection:
                tiers = {tier: set(batch)} if tier is not None else _tiers_of(connection, target, batch)
                for name, proven in tiers.items():
                    _keep_newest(connection, proofs, target, name, "original", proven, at, until)

    def disprove(self, target: str, tier: str, originals: Iterable[str]) -> None:
        for batch in batches(originals):
            with self.database.writing(target) as connection:
                connection.execute(delete(proofs).where(*_of_tier(proofs, target, tier), proofs.c.original.in_(batch)))

    # Packs

    def record_reads(
        self, target: str, tier: str, first_bytes: Sequence[int], at: Time, until: Time | None = None
    ) -> None:
        with self.database.writing(target) as connection:
            _keep_newest(connection, pack_reads, target, tier, "first_byte", set(first_bytes), at, until)

    def forget_reads(self, target: str, tier: str) -> None:
        with self.database.writing(target) as connection:
            connection.execute(delete(pack_reads).where(*_of_tier(pack_reads, target, tier)))

    def reads(self, target: str, tier: str, until: Time | None = None) -> Mapping[int, Time]:
        query = select(pack_reads.c.first_byte, pack_reads.c.read_at).where(
            *_of_tier(pack_reads, target, tier), pack_reads.c.read_at <= _until(until)
        )
        with self.database.reading() as connection:
            return {first_byte: from_micros(read_at) for first_byte, read_at in connection.execute(query)}


def _time(micros: int | None) -> Time | None:
    return None if micros is None else from_micros(micros)


def _until(time: Time | None) -> int:
    return sys.maxsize if time is None else to_micros(time)


def _of_tier(table: Table, target: str, tier: str) -> list[Any]:
    return [table.c.target == target, table.c.tier == tier]


def _in_question(target: str, domains: Sequence[str], since: Time | None) -> list[Any]:
    """The conditions on `domain_runs`; no domains and no time mean all."""
    conditions: list[Any] = [domain_runs.c.target == target]
    if domains:
        conditions.append(domain_runs.c.domain.in_(domains))
    if since is not None:
        conditions.append(domain_runs.c.looked_at >= to_micros(since))
    return conditions


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _replace(connection: Connection, records: Sequence[Job]) -> None:
    """Write jobs and their runs whole, whatever was there: the portable way to insert or update."""
    newest = {job.id: job for job in records}
    connection.execute(delete(domain_runs).where(domain_runs.c.job.in_(newest)))
    connection.execute(delete(job_ends).where(job_ends.c.job.in_(newest)))
    connection.execute(delete(jobs).where(jobs.c.id.in_(newest)))
    _insert(connection, jobs, [job_values(job) for job in newest.values()])
    _insert(connection, job_ends, [end_values(job) for job in newest.values() if job.outcome != "running"])
    _insert(
        connection,
        domain_runs,
        [
            run_values(job, position, run)
            for job in newest.values()
            if job.kind == "backup"
            for position, run in enumerate(job.domains)
            if run.error is None or run.error.kind != NOT_ITS_OWN
        ],
    )


def _known(connection: Connection, table: Table, target: str, tier: str, originals: Iterable[str]) -> set[str]:
    query = select(table.c.original).where(*_of_tier(table, target, tier), table.c.original.in_(list(originals)))
    return set(connection.execute(query).scalars())


def _looks_that_stand(
    connection: Connection, target: str, domains: Sequence[str], latest: int
) -> Mapping[str, int | None]:
    """By domain the newest complete look of which the snapshot is still known; dear where there are many looks."""
    runs = domain_runs.c
    there = select(snapshots.c.original).where(*_of_tier(snapshots, target, LOOKS_AT))
    query = (
        select(runs.domain, func.max(runs.looked_at).label("at"))
        .where(runs.target == target, runs.domain.in_(domains), runs.looked_at <= latest, runs.complete)
        .where(runs.snapshot.in_(there))
        .group_by(runs.domain)
    )
    return {row.domain: row.at for row in connection.execute(query)}


def _tiers_of(connection: Connection, target: str, originals: Sequence[str]) -> Mapping[str, set[str]]:
    query = select(snapshots.c.tier, snapshots.c.original).where(
        snapshots.c.target == target, snapshots.c.original.in_(originals)
    )
    tiers: dict[str, set[str]] = {}
    for tier, original in connection.execute(query):
        tiers.setdefault(tier, set()).add(original)
    return tiers


def _with_proofs(target: str, tier: str, until: Time | None) -> Select[Any]:
    """The snapshots of a tier, oldest first, each with when it was proven, unless that is later than `until`."""
    same = and_(
        *(proofs.c[name] == snapshots.c[name] for name in ("target", "tier", "original")),
        proofs.c.proven_at <= _until(until),
    )
    return (
        select(snapshots, proofs.c.proven_at)
        .outerjoin(proofs, same)
        .where(*_of_tier(snapshots, target, tier))
        .order_by(snapshots.c.time, snapshots.c.original)
    )


def _counted(row: Mapping[str, Any]) -> dict[str, Any]:
    """A new row must have counts."""
    return {**row, **{name: row[name] or 0 for name in ("size", "files", "added")}}


def _update_snapshots(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Counts that are not known now stay as they were, and so does one that was known to be complete: another tree by
    the same original id takes its place only if that is complete too."""
    if not rows:
        return
    keys = ("target", "tier", "original")
    counts = ("size", "files", "added")
    values: dict[str, Any] = {
        name: func.coalesce(bindparam(f"new_{name}"), snapshots.c[name]) if name in counts else bindparam(f"new_{name}")
        for name in rows[0]
        if name not in keys
    }
    values["complete"] = or_(snapshots.c.complete, bindparam("new_complete"))
    same = or_(
        bindparam("new_complete", type_=Boolean()),
        snapshots.c.complete.is_(False),
        snapshots.c.tree == bindparam("new_tree"),
    )
    here = (snapshots.c[name] == bindparam(f"new_{name}") for name in keys)
    query = update(snapshots).where(*here, same).values(values)
    connection.execute(query, [{f"new_{name}": value for name, value in row.items()} for row in rows])


def _keep_newest(
    connection: Connection,
    table: Table,
    target: str,
    tier: str,
    key: str,
    names: set[Any],
    at: Time,
    until: Time | None,
) -> None:
    """Set the time of these rows to `at`, unless a later one stands there that is not later than `until` too."""
    stamp = table.c.proven_at if table is proofs else table.c.read_at
    here = [*_of_tier(table, target, tier), table.c[key].in_(names)]
    known = set(connection.execute(select(table.c[key]).where(*here)).scalars())
    older = or_(stamp < to_micros(at), stamp > _until(until))
    connection.execute(update(table).where(*here, older).values({stamp: to_micros(at)}))
    fixed = {"target": target, "tier": tier, stamp.name: to_micros(at)}
    _insert(connection, table, [{**fixed, key: name} for name in sorted(names - known)])
