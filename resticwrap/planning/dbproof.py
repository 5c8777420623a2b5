"""What a loaded database is held against: the facts of its dump, and the queries of its policy.

Names of tables, queries and what they gave are for notes, which stay on this machine; failures become evidence.
"""

import re
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from resticwrap.model.databases import DatabaseFacts
from resticwrap.model.sources import Query

TRUE, FALSE = ("t", "true", "1"), ("f", "false", "0")
LOADED_SIZE = 2
"""A database on disk against the text of its rows: indexes, and the log of the load."""


NAME = re.compile(r'(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^\s"`(])+')


class Found(NamedTuple):
    """What is wrong: as sentences that name nothing, as notes that do, and by the names of tables."""

    failures: Sequence[str]
    notes: Sequence[str]
    tables: frozenset[str] = frozenset()


def short(table: str) -> str:
    """The name of a table without the columns that may stand behind it."""
    match = NAME.match(table)
    return match[0] if match else table


def room(size: int) -> int:
    """Bytes that a drill of a database fills: its dump, and the server that it is loaded into."""
    return size * (1 + LOADED_SIZE)


def loaded_as(name: str, taken: Collection[str]) -> str:
    """The name under which a database is loaded into a server that has some of its own: the same wherever it can be,
    for what is in it may name it."""
    while name in taken:
        name = f"rw_{name}"[:63]
    return name


def differences(said: DatabaseFacts, found: DatabaseFacts, only: Collection[str] | None = None) -> Found:
    """What a loaded database holds against what its dump said; of `only` these tables where they are given."""
    known = {table.name: table for table in found.tables}
    failures: list[str] = []
    notes: list[str] = []
    wanted = [table for table in said.tables if only is None or table.name in only]
    lost = [table.name for table in wanted if table.name not in known]
    counts = [one for one in wanted if one.name in known and known[one.name].rows != one.rows]
    others = [
        one
        for one in wanted
        if one.name in known and known[one.name].rows == one.rows and known[one.name].digest != one.digest
    ]
    of = len(wanted)
    if lost:
        failures.append(f"{len(lost)} of {of} tables did not come back")
        notes += [f"{name}: did not come back" for name in lost]
    if counts:
        failures.append(f"{len(counts)} of {of} tables have another number of rows than the dump said")
        notes += [f"{one.name}: {known[one.name].rows:,} rows instead of {one.rows:,}" for one in counts]
    if others:
        failures.append(f"{len(others)} of {of} tables have other rows than the dump said")
        notes += [f"{one.name}: its rows are not those of the dump" for one in others]
    if only is None:
        strange = sorted(known.keys() - {table.name for table in said.tables})
        if strange:
            failures.append(f"{len(strange)} tables came back of which the dump said nothing")
            notes += [f"{name}: the dump said nothing of it" for name in strange]
        if found.schema_digest != said.schema_digest:
            failures.append("its definitions are not those of the dump")
    wrong = frozenset([*lost, *(one.name for one in (*counts, *others))])
    return Found(failures, notes, wrong)


def wrong(query: Query, answer: str | None) -> str:
    """What is wrong with an answer; empty where it is as expected."""
    if answer is None:
        return "NULL"
    if query.equals is not None:
        return "" if _equal(query.equals, answer) else f"{answer} instead of {query.equals}"
    number = _number(answer)
    if number is None:
        return f"{answer}, which is no number"
    if query.at_least is not None and number < Decimal(str(query.at_least)):
        return f"{answer}, less than {query.at_least:g}"
    if query.at_most is not None and number > Decimal(str(query.at_most)):
        return f"{answer}, more than {query.at_most:g}"
    return ""


def _equal(expected: str | float | bool, answer: str) -> bool:
    """Whether they are the same text, number or truth: YAML's kinds of values are no database's."""
    text = str(expected)
    number = _number(text)
    return (
        answer == text
        or (number is not None and _number(answer) == number)
        or (text.lower() == "true" and answer.lower() in TRUE)
        or (text.lower() == "false" and answer.lower() in FALSE)
    )


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
