"""`rw db extract`: rows of one table out of a snapshot, by way of a server that is thrown away. Production is not asked
anything, and no more of the dump is loaded than what the question needs."""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts
from resticwrap.model.dbrows import ExtractReport
from resticwrap.model.job import Job
from resticwrap.planning import csvrows, dumptables
from resticwrap.services import interrupted
from resticwrap.services.choosing import Choice, Wish, choose, notes_of
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Engine, Server
from resticwrap.services.databases import puttingback, reading
from resticwrap.services.databases.restoring import engine_of
from resticwrap.services.leftovers import SCRATCH, ended

NAME = "rows"
"""What the database is called on the scratch server: whatever its own name was, that is free there."""
ROOM = 2
"""A loaded row takes at most about so many times the bytes that it has in a dump, where it is not very short."""
MARGIN = 64 << 20
"""Bytes that are left free in any case."""
LOOK = 32 << 20
"""After so many bytes the room is looked at again."""
Write = Callable[[bytes], None]


@dataclass(frozen=True)
class Question:
    """Which rows: of a table (of one database), all or those of a condition, which may ask the tables `beside` it."""

    table: str
    where: str | None = None
    beside: tuple[str, ...] = ()
    database: str | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.table, *self.beside)))


@dataclass(frozen=True)
class Out:
    """Where they go: into a new file, into what `write` writes to, or nowhere (they are counted)."""

    file: Path | None = None
    write: Write | None = None
    force: bool = False

    @property
    def shown(self) -> str | None:
        return str(self.file) if self.file else "-" if self.write else None

    def check(self) -> None:
        """Raises UsageError where the file would not be new."""
        if self.file is None:
            return
        if not self.force and os.path.lexists(self.file):
            raise errors.UsageError(f"{self.file} is there already.", hint="Give another --out, or --force.")
        if not self.file.parent.is_dir():
            raise errors.UsageError(f"{self.file.parent} is not a folder.", hint="Make it, or give another --out.")


def extract(
    context: Context, wish: Wish, question: Question, out: Out, *, scratch: Path | None = None, dry_run: bool = False
) -> ExtractReport:
    """Find rows in a snapshot and write them as CSV. Raises NotFound for what is not in it, LoadFailed for a condition
    that is not understood; then no file is left."""
    out.check()
    interrupted.close(context)
    (choice,) = choose(context, wish)
    engine = engine_of(context, choice.domain)
    job = msgspec.structs.replace(
        context.new_job("restore"),
        details={"mode": "extract", "table": question.table, "snapshots": {choice.domain: choice.snapshot.original}},
    )
    run = _Run(context, choice, engine, question)
    if dry_run:
        return run.plan(job, out)
    with context.running(job) as job, place(context, job, scratch) as folder:
        return run.extract(job, out, folder)


class _Run:
    """One extraction, from the snapshot to the file."""

    def __init__(self, context: Context, choice: Choice, engine: Engine, question: Question) -> None:
        self._context, self._choice, self._engine, self._question = context, choice, engine, question
        self._counter = csvrows.Counter()
        self._read = 0

    def plan(self, job: Job, out: Out) -> ExtractReport:
        """What would be loaded: the dump is read for it, as far as it takes."""
        with self._opened() as (found, database):
            for section in found.sections:
                if section.head and section.head.name == database:
                    self._read = sum(map(len, self._only(section.body)))
                    break
            return self._report(job, database, self._question.table, out, planned=True)

    def extract(self, job: Job, out: Out, folder: Path) -> ExtractReport:
        """Load, ask, write, and close the record."""
        with self._opened(folder) as (found, database):
            said = next(one for one in found.facts.databases if one.name == database)
            refuse_full(folder, said, self._question.tables)
            with self._engine.scratch(folder, found.facts.server) as server:
                self._load(server, found, database, folder)
                table = dumptables.named(self._question.table, server.tables(NAME))
                self._write(server.rows(NAME, table, self._question.where), out)
        report = self._report(job, database, table, out)
        job = msgspec.structs.replace(
            job, outcome="ok", finished_at=self._context.clock.now(),
            details={**job.details, "table": table, "rows": report.rows, "size": report.size},
        )  # fmt: skip
        self._context.recorder.close(job)
        return msgspec.structs.replace(report, job=job)

    def _write(self, rows: Iterator[bytes], out: Out) -> None:
        try:
            with kept(out) as write:
                for piece in rows:
                    self._context.heed()
                    self._counter.feed(piece)
                    write(piece)
        finally:
            if isinstance(rows, Generator):
                rows.close()

    @contextmanager
    def _opened(self, within: Path | None = None) -> Iterator[tuple[reading.Opened, str]]:
        try:
            with reading.opened(self._context, self._choice, within) as found:
                yield found, database_of(found.facts, self._question.database)
        except ValueError as error:
            snapshot = self._choice.snapshot.original[:8]
            raise errors.Damaged(f"The dump in snapshot {snapshot} cannot be read: {error}.") from error

    def _load(self, server: Server, found: reading.Opened, database: str, folder: Path) -> None:
        for section in found.sections:
            if section.head is None:
                server.take_globals(section.body, only_missing=True)
            elif section.head.name == database:
                make(server, section.head)
                server.load(NAME, self._watched(self._only(section.body), folder))
                return

    def _only(self, body: Iterable[bytes]) -> Iterator[bytes]:
        return self._engine.only(body, self._question.tables)

    def _watched(self, body: Iterable[bytes], folder: Path) -> Iterator[bytes]:
        """The body, while there is room and nobody interrupts."""
        looked = 0
        for piece in body:
            self._context.heed()
            self._read += len(piece)
            if self._read >= looked:
                looked = self._read + LOOK
                if shutil.disk_usage(folder).free < MARGIN:
                    raise full(folder)
            yield piece

    def _report(self, job: Job, database: str, table: str, out: Out, *, planned: bool = False) -> ExtractReport:
        rows = max(self._counter.rows - 1, 0)
        notes = notes_of([self._choice])
        if not planned and not rows:
            notes += ("No row fits. An earlier snapshot may have it: rw snapshots lists them, --at takes one.",)
        command = ""
        if rows and not planned and out.file is not None:
            # Of a domain with all databases of its server somebody has to say which.
            several = database if self._engine.name is None else None
            command = puttingback.command(puttingback.Rows(self._choice.domain, table, out.file, several))
        return ExtractReport(
            job=job, domain=self._choice.domain, snapshot=self._choice.snapshot.original,
            time=self._choice.snapshot.time, database=database, table=table, read=self._read,
            rows=None if planned else rows, size=None if planned else self._counter.size, out=out.shown,
            command=command, planned=planned, notes=notes,
        )  # fmt: skip


def database_of(facts: DumpFacts, wanted: str | None) -> str:
    """Which database of a dump. Raises UsageError where nobody says, NotFound where it has none of that name."""
    names = [one.name for one in facts.databases]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None:
        raise errors.UsageError(
            f"The dump has {len(names)} databases: {', '.join(names)}.", hint="Say which one with --database."
        )
    if wanted not in names:
        raise errors.NotFound(f"The dump has no database {wanted}.", hint=f"It has {', '.join(names) or 'none'}.")
    return wanted


def make(server: Server, head: DatabaseHead) -> None:
    """An empty database like the dumped one; a plain one where the scratch server has not what that takes, such as its
    collation: only the order of rows hangs on it."""
    try:
        server.create(head, NAME)
    except errors.LoadFailed:
        server.drop(NAME)
        server.create(DatabaseHead(name=head.name), NAME)


@contextmanager
def kept(out: Out) -> Iterator[Write]:
    """Takes rows. A file appears when all of them are in it, and only its owner may read it. Raises DiskFull."""
    if out.file is None:
        yield out.write or (lambda _: None)
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.file.name}.", dir=out.file.parent)
    except OSError as error:
        raise errors.RestoreRefused(f"{out.file} cannot be written: {error.strerror}.") from error
    try:
        with open(descriptor, "wb") as file:
            yield lambda piece: _written(file.write, piece, out)
            file.flush()
            os.fsync(file.fileno())
        if not out.force:
            out.check()
        os.rename(name, out.file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _written(write: Callable[[bytes], int], piece: bytes, out: Out) -> None:
    try:
        write(piece)
    except OSError as error:
        raise errors.DiskFull(
            f"{out.file} cannot be written: {error.strerror}.", hint="Make room, try again."
        ) from error


@contextmanager
def place(context: Context, job: Job, scratch: Path | None) -> Iterator[Path]:
    """A private folder for the server, gone afterwards; what killed ones left is removed first."""
    base = scratch or context.settings.state_dir / "scratch"
    try:
        if scratch is None:
            base.mkdir(mode=0o700, exist_ok=True)
        for left in base.glob(f"{SCRATCH}restore_*"):
            if ended(context, left.name.removeprefix(SCRATCH).rsplit("-", 1)[0]):
                shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{job.id}-", dir=base))
    except OSError as error:
        raise errors.RestoreRefused(
            f"Nothing can be made in {base}: {error.strerror}.", hint="Give another folder with --scratch."
        ) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def refuse_full(folder: Path, said: DatabaseFacts, tables: Collection[str]) -> None:
    """Raises DiskFull where the rows of these tables have no room. Partitions are met as they are loaded."""
    size = sum(
        one.size
        for one in said.tables
        if any(dumptables.answers(table, dumptables.parts(one.name)) for table in tables)
    )
    if size * ROOM + MARGIN > shutil.disk_usage(folder).free:
        raise full(folder)


def full(folder: Path) -> errors.DiskFull:
    """There is no room for the rows."""
    return errors.DiskFull(
        f"There is no room at {folder.parent} to load these rows.", hint="Give a larger place with --scratch FOLDER."
    )
