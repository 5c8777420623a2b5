"""What a loaded database is held against."""

import pytest

from resticwrap.model.databases import DatabaseFacts, TableFacts
from resticwrap.model.sources import Query
from resticwrap.planning.dbproof import differences, loaded_as, wrong


@pytest.mark.parametrize(
    ("query", "answer", "why"),
    [
        ({"equals": 5}, "5", ""),
        ({"equals": "5"}, "5.00", ""),
        ({"equals": "5"}, "6", "6 instead of 5"),
        ({"equals": "five"}, "five", ""),
        ({"equals": "five"}, "Five", "Five instead of five"),
        ({"equals": True}, "t", ""),
        ({"equals": "true"}, "1", ""),
        ({"equals": "false"}, "t", "t instead of false"),
        ({"equals": ""}, None, "NULL"),
        ({"at_least": 5}, "5", ""),
        ({"at_least": 5}, "4.99", "4.99, less than 5"),
        ({"at_most": 5}, "5.01", "5.01, more than 5"),
        ({"at_least": 1, "at_most": 2}, "1.5", ""),
        ({"at_least": 1}, "many", "many, which is no number"),
        ({"at_least": 1}, "NaN", "NaN, which is no number"),
        ({"at_least": 0}, None, "NULL"),
    ],
)
def test_answers(query: dict[str, object], answer: str | None, why: str) -> None:
    """The same text, number or truth; NULL is never what was expected."""
    assert wrong(Query.model_validate({"sql": "SELECT 1", **query}), answer) == why


def table(name: str, rows: int = 1, digest: str = "a") -> TableFacts:
    return TableFacts(name=name, rows=rows, size=rows * 10, digest=digest)


def database(*tables: TableFacts, schema: str = "s") -> DatabaseFacts:
    return DatabaseFacts(name="db", tables=tables, schema_digest=schema)


SAID = database(table("cards"), table("owners", 2))


@pytest.mark.parametrize(
    ("found", "failure"),
    [
        (database(table("cards")), "1 of 2 tables did not come back"),
        (database(table("cards"), table("owners", 3)), "1 of 2 tables have another number of rows than the dump said"),
        (database(table("cards", digest="b"), table("owners", 2)), "1 of 2 tables have other rows than the dump said"),
        (database(*SAID.tables, table("new")), "1 tables came back of which the dump said nothing"),
        (database(*SAID.tables, schema="t"), "its definitions are not those of the dump"),
    ],
)
def test_differences(found: DatabaseFacts, failure: str) -> None:
    """Each is told in one sentence that names no table; notes do."""
    told = differences(SAID, found)
    assert told.failures == [failure]
    assert not any(name in failure.split() for name in ("cards", "owners", "new"))


def test_the_same() -> None:
    """Nothing is told of it, whatever it is called."""
    told = differences(SAID, DatabaseFacts(name="other", tables=SAID.tables[::-1], schema_digest="s"))
    assert not told.failures and not told.notes


def test_names() -> None:
    """Its own wherever the server has none of that name."""
    assert loaded_as("app", {"postgres"}) == "app"
    assert loaded_as("postgres", {"postgres", "rw_postgres"}) == "rw_rw_postgres"
