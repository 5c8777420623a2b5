"""What every catalogue counts over all jobs, whatever database it lies in."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.model.job import Job
from tests.unit.catalog.samples import a_job, a_run, at

TYPES = ("full", "incremental", None)
OUTCOMES = ("ok", "partial", "failed", "interrupted")


def some_jobs() -> list[Job]:
    """Of every kind, type and outcome several, one of them longer than the others; one still runs."""
    made = []
    for number in range(60):
        named = TYPES[number % 3]
        runs = (
            a_run("exams", added=number, looked_at=at(number), outcome="unchanged" if number % 2 else "ok"),
            a_run("profiles", added=1, looked_at=at(number), outcome="failed"),
        )
        made.append(
            a_job(
                f"job-{number:02}", kind="backup" if named else "verify", type=named, started_at=at(number),
                outcome=OUTCOMES[number % 4], finished_at=at(number + 1 + number % 5), domains=runs,
            )
        )  # fmt: skip
    return [*made, a_job("runs", started_at=at(100))]


def test_every_job_that_ended_is_counted_once(catalog: SqlCatalog) -> None:
    """By kind, type and outcome, with what they took; also after it was closed again. A running one is not counted."""
    jobs = some_jobs()
    catalog.close_jobs(jobs[:40])
    catalog.close_jobs(jobs[20:])
    counts, took = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for job in jobs[:-1]:
        assert job.finished_at is not None
        counts[job.kind, job.type or "", job.outcome] += 1
        took[job.kind, job.type or "", job.outcome] += int((job.finished_at - job.started_at).total_seconds())
    tallies = catalog.job_tallies("oss", at(1000))
    assert {(one.kind, one.type, one.outcome): one.count for one in tallies} == counts
    assert {(one.kind, one.type, one.outcome): one.seconds for one in tallies} == took
    assert max(one.last_at for one in tallies) == max(job.finished_at for job in jobs if job.finished_at)
    assert catalog.job_tallies("local", at(1000)) == []
    assert sum(one.count for one in catalog.job_tallies("oss", at(9.5))) == 10


def test_the_last_job_of_each_kind(catalog: SqlCatalog) -> None:
    """The one that began last, however it ended, of those that began by then."""
    catalog.close_jobs(some_jobs())
    tallies = catalog.job_tallies("oss", at(1000))
    found = [(one.kind, one.type, one.outcome, one.seconds) for one in catalog.last_jobs("oss", tallies, at(1000))]
    last = {"full": 57, "incremental": 58, "": 59}
    assert found == [
        ("verify" if not named else "backup", named, OUTCOMES[number % 4], (1 + number % 5) * 60.0)
        for named, number in last.items()
    ]
    early = catalog.last_jobs("oss", catalog.job_tallies("oss", at(3)), at(3))
    assert [(one.type, one.outcome, one.seconds) for one in early] == [
        ("full", "interrupted", 240.0), ("incremental", "partial", 120.0), ("", "failed", 180.0)
    ]  # fmt: skip


def test_runs_of_domains_are_counted_with_what_they_stored(catalog: SqlCatalog) -> None:
    """Of backups only, and since a time."""
    jobs = some_jobs()
    catalog.close_jobs(jobs)
    backups = [job for job in jobs if job.kind == "backup"]
    counts, added = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for job in backups:
        for run in job.domains:
            counts[run.domain, run.outcome] += 1
            added[run.domain, run.outcome] += run.added
    tallies = catalog.run_tallies("oss")
    assert {(one.domain, one.outcome): one.count for one in tallies} == counts
    assert {(one.domain, one.outcome): one.added for one in tallies} == added
    late = [job for job in backups if job.started_at >= at(50)]
    wanted = {"exams": sum(job.domains[0].added for job in late if job.domains), "profiles": len(late) - 1}
    assert catalog.added_by_domain("oss", at(50)) == wanted


def test_an_older_catalogue_is_counted_as_well(tmp_path: Path) -> None:
    """What was recorded before jobs had ends of their own is counted after the migration."""
    catalog = SqlCatalog(default_url(tmp_path))
    catalog.close_jobs(some_jobs())
    before = catalog.job_tallies("oss", at(1000))
    catalog.close()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.executescript(
            "DROP TABLE job_ends; DROP TABLE scheduled_runs; DROP TABLE alert_events; DROP TABLE host_domains;"
            "DROP INDEX ix_jobs_target_kind_started_at; DROP INDEX ix_jobs_target_outcome_started_at;"
            "CREATE INDEX ix_jobs_target_outcome ON jobs (target, outcome);"
            "DROP INDEX ix_domain_runs_target_domain_looked_at_complete_outcome_added;"
            "CREATE INDEX ix_domain_runs_target_domain_looked_at_complete"
            " ON domain_runs (target, domain, looked_at, complete);"
            "UPDATE alembic_version SET version_num = '0003'"
        )
    assert catalog.job_tallies("oss", at(1000)) == before
    assert [one.count for one in catalog.run_tallies("oss")] == [20, 20, 40]
    catalog.close()
