"""Whether a dump can be loaded, and is then what it was: into a server of its own that is thrown away afterwards."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from resticwrap import errors
from resticwrap.model.databases import DatabaseFacts, DumpFacts
from resticwrap.model.dbproof import Loaded
from resticwrap.model.sources import Query
from resticwrap.planning import dbproof as planning
from resticwrap.planning import dumps
from resticwrap.services.choosing import Choice
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Engine, Server
from resticwrap.services.databases import reading
from resticwrap.services.stopwatch import Stopwatch

DUMP = b".sql"
"""How the file of a dump is called; bases of a log and copies of files are called otherwise."""
Only = Mapping[str, Collection[str]]
"""Tables by database."""
NOTED = 20
NOT_OF_THE_DUMP = (errors.Interrupted, errors.DiskFull, errors.TargetUnreachable)
"""What keeps a dump from being loaded, and says nothing of it."""


@dataclass
class Proof:
    """What came of it. `said` are sentences that name nothing, for they become evidence; `notes` may name tables,
    and stay on this machine."""

    databases: int = 0
    tables: int = 0
    rows: int = 0
    queries: int = 0
    load: float = 0.0
    query: float = 0.0
    said: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: set[tuple[str, str]] = field(default_factory=set)
    """Databases and tables that are not what the dump said."""

    @property
    def ok(self) -> bool:
        return not self.said

    def loaded(self) -> Loaded:
        """As it is kept."""
        return Loaded(
            databases=self.databases,
            tables=self.tables,
            rows=self.rows,
            queries=self.queries,
            load=round(self.load, 3),
            query=round(self.query, 3),
            failures=tuple(self.said),
        )

    def failed(self, sentence: str, *notes: str) -> None:
        """Add what is wrong."""
        if sentence not in self.said:
            self.said.append(sentence)
        self.notes += notes[:NOTED]


def together(proofs: Sequence[Proof]) -> Loaded | None:
    """Several of one domain, as they are kept; None where there is none."""
    if not proofs:
        return None
    return Proof(
        databases=max(one.databases for one in proofs),
        tables=sum(one.tables for one in proofs),
        rows=sum(one.rows for one in proofs),
        queries=sum(one.queries for one in proofs),
        load=sum(one.load for one in proofs),
        query=sum(one.query for one in proofs),
        said=list(dict.fromkeys(said for one in proofs for said in one.said)),
    ).loaded()


def loaded(context: Context, watch: Stopwatch, choice: Choice, back: Path, folder: Path) -> Proof | None:
    """`prove`, with what came back of a snapshot at `back`; None where the domain is no database."""
    engine = context.engines(choice.domain, context.settings.domains[choice.domain])
    return prove(context, choice, engine, folder, watch, back) if engine is not None else None


def prove(
    context: Context,
    choice: Choice,
    engine: Engine,
    folder: Path,
    watch: Stopwatch,
    file: Path | None = None,
    only: Only | None = None,
) -> Proof:
    """Load a dump into a server below `folder`, which is made and removed, compare all of it with what the dump said,
    and ask it the queries of its policy. `file`: where it was restored to already, so that it is read from there.
    `only`: these tables of these databases, and no query.

    Whatever keeps it from being loaded is a failure; raises only what says nothing of the dump.
    """
    proof = Proof()
    folder.mkdir(mode=0o700)
    try:
        with _opened(context, choice, folder, file) as found, ExitStack() as stack:
            with _timed(context, watch, proof):
                server = stack.enter_context(engine.scratch(folder, found.facts.server))
                names = _load(context, found, engine, server, proof, only)
            if only is None:
                _queried(context, choice.domain, server, names, proof, watch)
    except NOT_OF_THE_DUMP:
        raise
    except errors.ClientMissing as error:
        proof.failed("there is no program here to load it with, so nobody knows whether it can be", error.message)
    except errors.Failure as error:
        proof.failed(f"could not be loaded ({error.kind})", error.message)
    except ValueError as error:
        proof.failed("its dump is not whole", str(error))
    except OSError as error:
        proof.failed("could not be loaded (the disk does not take or give it)", str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return proof


@contextmanager
def _timed(context: Context, watch: Stopwatch, proof: Proof) -> Iterator[None]:
    begun = context.clock.monotonic()
    try:
        with watch.phase("load"):
            yield
    finally:
        proof.load += context.clock.monotonic() - begun


@contextmanager
def _opened(context: Context, choice: Choice, folder: Path, file: Path | None) -> Iterator[reading.Opened]:
    """The dump: out of the restored file where a snapshot is one, else out of the snapshot."""
    whole = choice.root.endswith(DUMP) and file is not None and file.is_file() and not file.is_symlink()
    if not whole or file is None:
        with reading.opened(context, choice, folder) as found:
            yield found
        return
    with file.open("rb") as stream:
        facts = facts_in(stream)
        stream.seek(0)
        yield reading.Opened(facts, dumps.sections(iter(lambda: stream.read(reading.PIECE), b"")))


def facts_in(stream: BinaryIO) -> DumpFacts:
    """What a dump in a file says that it holds. Raises ValueError where it is not whole."""
    size = stream.seek(0, os.SEEK_END)
    length = min(size, reading.PIECE)
    while True:
        stream.seek(size - length)
        found = dumps.facts_of(stream.read(length))
        if found is not None:
            return found
        if length == size:
            raise ValueError("the dump does not say what it holds")
        length = min(length * 2, size)


def _load(
    context: Context, found: reading.Opened, engine: Engine, server: Server, proof: Proof, only: Only | None
) -> dict[str, str]:
    """Every database of a dump, or the wanted tables of some, compared; returns under which name each was loaded."""
    said = {one.name: one for one in found.facts.databases}
    wanted = said.keys() if only is None else only.keys()
    taken = set(server.databases())
    names: dict[str, str] = {}
    for section in found.sections:
        context.heed()
        if section.head is None:
            proof.notes += server.take_globals(section.body, only_missing=True)
            continue
        database = section.head.name
        if only is not None and database not in only:
            continue
        name = planning.loaded_as(database, taken)
        server.create(section.head, name)
        server.load(name, section.body if only is None else engine.only(section.body, only[database]))
        taken.add(name)
        names[database] = name
        if database not in said:
            proof.failed("a database came back of which the dump said nothing", f"{database}: the dump said nothing")
            continue
        _compared(said[database], server.facts(name), proof, only[database] if only is not None else None)
        if only is not None and names.keys() == wanted:
            break  # what comes after it in the dump need not be read
    if lost := wanted - names.keys():
        proof.failed(f"{len(lost)} of {len(wanted)} databases did not come back", *sorted(lost))
    if not said:
        proof.failed("its dump says that it holds no database")
    return names


def _compared(said: DatabaseFacts, found: DatabaseFacts, proof: Proof, only: Collection[str] | None) -> None:
    """Count one database, and what of it is not as the dump said."""
    wrong = planning.differences(said, found, only)
    for sentence in wrong.failures:
        proof.failed(sentence)
    proof.notes += [f"{said.name}: {note}" for note in wrong.notes[:NOTED]]
    proof.wrong |= {(said.name, table) for table in wrong.tables}
    tables = [table for table in said.tables if only is None or table.name in only]
    proof.databases += 1
    proof.tables += len(tables)
    proof.rows += sum(table.rows for table in tables)


def _queried(
    context: Context, domain: str, server: Server, names: dict[str, str], proof: Proof, watch: Stopwatch
) -> None:
    """Ask the queries of the policy. One that is of no database that came back has failed as well."""
    queries: Sequence[Query] = getattr(context.settings.domains[domain].source, "queries", ())
    begun = context.clock.monotonic()
    with watch.phase("query"):
        for number, query in enumerate(queries, 1):
            context.heed()
            proof.queries += 1
            if why := _asked(server, names, query):
                proof.failed(f"query {number} of the policy did not give what it should", f"query {number}: {why}")
    proof.query = context.clock.monotonic() - begun


def _asked(server: Server, names: dict[str, str], query: Query) -> str:
    """What is wrong with what a query gives; empty where nothing is."""
    if query.database is None and len(names) > 1:
        return "it does not say which database it is for, and there are several"
    database = query.database or next(iter(names), "")
    if database not in names:
        return f"there is no database {database}"
    try:
        return planning.wrong(query, server.value(names[database], query.sql))
    except (errors.LoadFailed, errors.DatabaseUnavailable) as error:
        return error.message
