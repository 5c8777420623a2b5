"""Reports of databases, as real ones come."""

from datetime import timedelta

from resticwrap.model.dbreports import (
    DatabaseSize,
    DbListReport,
    DbRestoreMode,
    DbRestoreReport,
    KeptDatabase,
    ListedDatabase,
    RestoredDatabase,
)
from tests.unit.report.samples import NASTY, NOW, hexes, job

PLACE = "postgres://db.school.example:5432/*"
JOB = "restore_20260801T035600Z_0a1b2c"


def kept(name: str = "school") -> KeptDatabase:
    return KeptDatabase(
        name=name,
        kept=f"{name}_before_{JOB}",
        job=JOB,
        since=NOW,
        command=f"rw db accept {JOB}",
        undo=f"rw db undo {JOB}",
    )


def restored(mode: DbRestoreMode = "replace", good: bool = True) -> DbRestoreReport:
    rows = (
        RestoredDatabase(database="school", name="school", tables=42, rows=1_234_567),
        RestoredDatabase(
            database=f"a database {NASTY}",
            name=f"a database {NASTY}",
            tables=3,
            rows=7,
            wrong=() if good else (f"public.cards (id, name): differs {NASTY}", "public.exams (id): is missing"),
            definitions=good,
            unexpected=() if good else ("SELECT count(*) FROM cards: gives 3, less than 1000",),
        ),
    )
    past = mode in ("undo", "accept")
    return DbRestoreReport(
        job=job("restore", "ok" if good else "partial"), domain="app_db", snapshot=hexes(2), time=None if past else NOW,
        databases=() if past else rows, notes=("The role teacher is there already, and stays as it is.",), mode=mode,
        source="app_db", place=PLACE, restored=JOB, safety=hexes(3), kept=() if mode == "accept" else (kept(),),
    )  # fmt: skip


def listed() -> DbListReport:
    rows = (
        ListedDatabase(
            domain="app_db", engine="postgres", place=PLACE, version="15.18",
            databases=(DatabaseSize(name="school", size=12 << 30), DatabaseSize(name=f"x {NASTY}", size=None)),
            snapshot=hexes(2), time=NOW, since=NOW - timedelta(days=3), until=NOW, kept=(kept(),),
        ),
        ListedDatabase(
            domain="app_db_test", engine="mysql", place="mysql://127.0.0.1/test",
            error=f"mysql://127.0.0.1/test does not answer: connection refused {NASTY}.", hint="Is it started?",
        ),
    )  # fmt: skip
    return DbListReport(target="local", rows=rows, notes=("The snapshots could not be listed: no route to host.",))
