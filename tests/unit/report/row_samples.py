"""Reports of rows, as real ones come."""

import msgspec

from resticwrap.model.databases import PutBack
from resticwrap.model.dbrows import ExtractReport, PutBackReport
from resticwrap.model.job import ErrorInfo
from tests.unit.report.samples import NASTY, NOW, hexes, job

TABLE = f'public."cards {NASTY}"'


def extracted(*, planned: bool = False) -> ExtractReport:
    return ExtractReport(
        job=job("restore"), domain="app_db", snapshot=hexes(2), time=NOW, database="school", table=TABLE, read=12 << 30,
        rows=None if planned else 1_234_567, size=None if planned else 9 << 30, out=f"deleted {NASTY}.csv",
        command="" if planned else f"rw db put-back app_db '{TABLE}' --from 'deleted {NASTY}.csv' --database school",
        planned=planned, notes=("Only hot was looked into.",),
    )  # fmt: skip


def put_back(*, good: bool = True, planned: bool = False) -> PutBackReport:
    done = job("restore", "ok" if good else "failed")
    if not good:
        said = ErrorInfo(kind="RowsConflict", message="Nothing was put back.", hint="Look at them.")
        done = msgspec.structs.replace(done, error=said)
    taken = () if good else (f"(lower(name))=({NASTY})", "(id)=(7)")
    result = PutBack(
        rows=1_234_567, inserted=1_234_560 if good and not planned else 0, same=7, conflicts=taken,
        conflict_count=0 if good else 30, notes=("Triggers ran as for any other row: logged.",),
    )  # fmt: skip
    return PutBackReport(
        job=done, domain="app_db", place="postgres://db.school.example:5432/*", database="school", table=TABLE,
        file=f"deleted {NASTY}.csv", result=result, planned=planned, notes=result.notes,
    )  # fmt: skip
