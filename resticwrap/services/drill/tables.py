"""What an L1 takes of a database: a few of its tables, loaded out of the dump with all definitions that they need.

The dump itself would be no sample: it is all of the database.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from resticwrap.model.databases import DumpFacts, TableFacts
from resticwrap.model.objects import Entry
from resticwrap.model.policy import Domain
from resticwrap.model.reports import Mismatch
from resticwrap.model.sources import ServerSource
from resticwrap.planning.dbproof import short
from resticwrap.planning.dumps import LARGE_OBJECTS
from resticwrap.services.choosing import Choice
from resticwrap.services.context import Context
from resticwrap.services.databases import proving
from resticwrap.services.databases.proving import Proof
from resticwrap.services.drill.rehearse import Back
from resticwrap.services.stopwatch import Stopwatch


class Table(NamedTuple):
    """A table of one of the databases in a dump."""

    database: str
    facts: TableFacts


def by_table(domain: Domain) -> bool:
    """Whether objects of this domain are tables: where a snapshot is one dump."""
    source = domain.source
    return isinstance(source, ServerSource) and getattr(source, "mode", "dump") == "dump"


def tables_of(facts: DumpFacts) -> dict[bytes, Table]:
    """The tables of a dump that have rows, by what they are called in a sample."""
    several = len(facts.databases) > 1
    return {
        os.fsencode(f"{one.name}: {short(table.name)}" if several else short(table.name)): Table(one.name, table)
        for one in facts.databases
        for table in one.tables
        if table.rows and table.name != LARGE_OBJECTS
    }


def entries(dump: Entry, tables: Mapping[bytes, Table]) -> Iterator[Entry]:
    """Each as an object to be chosen, which lies where the dump lies."""
    for name, one in tables.items():
        yield msgspec.structs.replace(dump, path=name, size=one.facts.size)


def bring_back(
    context: Context, choice: Choice, tables: Mapping[bytes, Table], folder: Path, watch: Stopwatch
) -> tuple[Back, Proof]:
    """Load these tables below `folder` and compare their rows with what the dump said."""
    engine = context.engines(choice.domain, context.settings.domains[choice.domain])
    assert engine is not None
    only: dict[str, Collection[str]] = {}
    for one in tables.values():
        only[one.database] = [*only.get(one.database, ()), one.facts.name]
    proof = proving.prove(context, choice, engine, folder, watch, only=only)
    back = Back(objects=len(tables))
    for name, one in tables.items():
        if proof.ok or (proof.wrong and (one.database, one.facts.name) not in proof.wrong):
            back.size += one.facts.size
            continue
        back.failed += 1
        why = "its rows are not those of the dump" if proof.wrong else "it was not loaded"
        back.wrong[name] = Mismatch(domain=choice.domain, path=os.fsdecode(name), why=why)
    return back, proof
