"""Rows out of a snapshot's database and back into the live one: what a table is like, and what the commands report."""

from resticwrap.model.base import Time, Value
from resticwrap.model.databases import PutBack
from resticwrap.model.job import Job


class RowColumn(Value, frozen=True):
    """A column of a live table. `generated`: the server computes it."""

    name: str
    generated: bool = False


class RowKey(Value, frozen=True):
    """Something that no two rows of a table may have in common: the columns that it needs, its parts as SQL, which rows
    it is about (SQL; None: all), and whether two NULLs are the same to it."""

    name: str
    columns: tuple[str, ...]
    parts: tuple[str, ...]
    predicate: str | None = None
    nulls_same: bool = False


class RowReference(Value, frozen=True):
    """A foreign key: its columns, and the table (as SQL) and columns that they point to."""

    name: str
    columns: tuple[str, ...]
    to: str
    to_columns: tuple[str, ...]


class RowSequence(Value, frozen=True):
    """A sequence that numbers a column."""

    column: str
    name: str


class RowTable(Value, frozen=True):
    """A live table, as its server describes it. `name` is SQL. `dependants`: tables whose rows go with rows of this one
    (ON DELETE CASCADE)."""

    name: str
    columns: tuple[RowColumn, ...] = ()
    keys: tuple[RowKey, ...] = ()
    references: tuple[RowReference, ...] = ()
    triggers: tuple[str, ...] = ()
    sequences: tuple[RowSequence, ...] = ()
    dependants: tuple[str, ...] = ()


class ExtractReport(Value, frozen=True):
    """Rows of a table as they are in a snapshot. `read` are the bytes of the dump that were loaded for it. `out` is the
    file they are in: `-` is standard output, None that they were only counted; `command` puts the rows of it back.
    `planned`: a dry run, in which nothing was loaded, and `rows` and `size` are None."""

    job: Job
    domain: str
    snapshot: str
    time: Time
    database: str
    table: str
    read: int
    rows: int | None
    size: int | None
    out: str | None
    command: str = ""
    planned: bool = False
    notes: tuple[str, ...] = ()


class PutBackReport(Value, frozen=True):
    """Rows of a file that were put into a live table, in one transaction. `planned`: a dry run, which inserted none."""

    job: Job
    domain: str
    place: str
    database: str
    table: str
    file: str
    result: PutBack
    planned: bool = False
    notes: tuple[str, ...] = ()
