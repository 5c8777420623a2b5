"""Roles of a dump: which of them a server is to take."""

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.planning.globals import statements, wanted_globals

TEXT = """\
--
-- Roles; of a cluster
--
\\restrict abc
SET standard_conforming_strings = on;
CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b';
COMMENT ON ROLE app IS 'it''s
-- two lines; of text';
CREATE ROLE "O""Neil;";
ALTER ROLE "O""Neil;" SET search_path TO 'a;', 'b';
GRANT app TO "O""Neil;" GRANTED BY postgres;
GRANT "O""Neil;" TO app;
CREATE TABLESPACE fast OWNER app LOCATION '/x';
GRANT CREATE ON TABLESPACE fast TO app;
\\unrestrict abc
"""


def test_only_roles_that_are_missing() -> None:
    """Who is known stays as he is, also as what he is a member of."""
    wanted = wanted_globals(TEXT, {"app", "postgres"}, all_roles=False)
    assert wanted.spaces == ("fast",)
    assert list(statements(wanted.sql)) == [
        "SET standard_conforming_strings = on;",
        'CREATE ROLE "O""Neil;";',
        "ALTER ROLE \"O\"\"Neil;\" SET search_path TO 'a;', 'b';",
        'GRANT app TO "O""Neil;" GRANTED BY postgres;',
    ]


def test_nothing_is_run_for_nobody() -> None:
    """Where all are known there is no SQL; else all but tablespaces is taken, texts of several lines whole."""
    assert not wanted_globals(TEXT, {"app", '"O""Neil;"'}, all_roles=False).sql
    taken = list(statements(wanted_globals(TEXT, (), all_roles=True).sql))
    assert len(taken) == 8 and "COMMENT ON ROLE app IS 'it''s\n-- two lines; of text';" in taken
    assert not [one for one in taken if "TABLESPACE" in one or "restrict" in one]


@given(st.lists(st.text("'\"ab;-\\ \n", max_size=8), max_size=5))
def test_what_is_quoted_ends_no_statement(texts: list[str]) -> None:
    """Whatever a literal or a name holds, the statement around it comes out whole."""
    made = [
        f"COMMENT ON ROLE \"{text.replace(chr(34), chr(34) * 2)}\" IS '{text.replace(chr(39), chr(39) * 2)}';"
        for text in texts
    ]
    assert list(statements("\n-- it's\n".join(made))) == made
