"""What the commands of databases report."""

from resticwrap.model.base import Time, Value
from resticwrap.model.job import Job


class RestoredDatabase(Value, frozen=True):
    """One database of a dump, under the `name` that it was loaded under. `wrong`: the tables that are not what the dump
    said."""

    database: str
    name: str
    tables: int
    rows: int
    wrong: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.wrong


class DbRestoreReport(Value, frozen=True):
    """How a restore of a database ended."""

    job: Job
    domain: str
    snapshot: str
    time: Time
    databases: tuple[RestoredDatabase, ...]
    notes: tuple[str, ...] = ()
