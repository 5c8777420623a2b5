"""Rows out of a snapshot and back into the live database: a real PostgreSQL, written while all of it happens."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseHead
from resticwrap.model.sources import PostgresSource
from resticwrap.planning import dumptables
from resticwrap.sources.postgres.domain import PostgresDomain
from tests.conftest import MakeLab
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import Lab
from tests.servers import awkward
from tests.servers.postgres import Postgres

SCHEMA = r"""
CREATE EXTENSION citext;
CREATE SCHEMA "Odd Schema";
CREATE TYPE mood AS ENUM ('calm', 'sad; very');
CREATE TABLE agents (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name citext UNIQUE, mood mood DEFAULT 'calm');
CREATE FUNCTION agent_there(int) RETURNS bool LANGUAGE sql STABLE
  AS 'SELECT EXISTS (SELECT FROM public.agents WHERE id = $1)';
CREATE TABLE agent_cards (
  id serial PRIMARY KEY, agent int NOT NULL REFERENCES agents ON DELETE CASCADE, name text, code text,
  shout text GENERATED ALWAYS AS (upper(name)) STORED, CHECK (agent_there(agent)));
CREATE UNIQUE INDEX ON agent_cards (lower(code)) WHERE code <> '';
CREATE TABLE notes (card int REFERENCES agent_cards ON DELETE CASCADE, words text);
CREATE TABLE log (at timestamptz DEFAULT now(), what text);
CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN INSERT INTO public.log (what) VALUES (NEW.name); RETURN NEW; END $$;
CREATE TRIGGER logged AFTER INSERT ON agent_cards FOR EACH ROW EXECUTE FUNCTION logged();
CREATE TABLE "Odd Schema"."Tage ""ä"" 1" (day date, v int) PARTITION BY RANGE (day);
CREATE TABLE tage_1 PARTITION OF "Odd Schema"."Tage ""ä"" 1" FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE tage_2 PARTITION OF "Odd Schema"."Tage ""ä"" 1" DEFAULT;
CREATE TABLE busy (n bigint PRIMARY KEY);
INSERT INTO agents (name) SELECT 'agent ' || g FROM generate_series(1, 50) g;
INSERT INTO agent_cards (agent, name, code) SELECT g, 'card ' || g, 'K' || g FROM generate_series(1, 50) g;
INSERT INTO agent_cards (agent, name, code) VALUES
  (7, E'\\.\n\\.\r\n"ä", \t', ''), (7, '', ''), (7, NULL, NULL), (7, repeat('long ', 30000), NULL);
INSERT INTO notes SELECT id, 'note of ' || id FROM agent_cards;
INSERT INTO "Odd Schema"."Tage ""ä"" 1" SELECT '2026-01-01'::date + g, g FROM generate_series(0, 59) g;
"""
ODD = '"Odd Schema"."Tage ""ä"" 1"'
OF_7 = "card IN (SELECT id FROM agent_cards WHERE agent = 7)"


@pytest.fixture
def production(make_lab: MakeLab, postgres_server: Postgres) -> Iterator["Production"]:
    """A database with references, backed up, and written all the time."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute(SCHEMA)
    url = postgres_server.url(name, user=postgres_server.user)
    domain = {"layer": "serving", "priority": "P0", "source": {"type": "postgres", "url": url}}
    made = Production(make_lab("local", domains={"app_db": domain}), postgres_server, name)
    with made.written():
        made.lab.rw("backup")
        yield made
    postgres_server.drop(name)


class Production:
    def __init__(self, lab: Lab, server: Postgres, name: str) -> None:
        self.lab, self.server, self.name = lab, server, name
        self.over = threading.Event()

    def sql(self, sql: str, name: str = "") -> list[Any]:
        with self.server.admin(name or self.name) as connection:
            done = connection.execute(sql)
            return done.fetchall() if done.description else []

    @contextmanager
    def written(self) -> Iterator[None]:
        """Somebody writes rows and finds them, all the time."""
        trouble: list[Exception] = []

        def write() -> None:
            try:
                with self.server.admin(self.name) as connection:
                    number = 0
                    while not self.over.wait(0.005):
                        number += 1
                        connection.execute("INSERT INTO busy VALUES (%s)", (number,))
                        connection.execute("INSERT INTO agent_cards (agent, name) VALUES (1, 'new')")
            except Exception as error:  # noqa: BLE001 - told below
                if not self.over.is_set():
                    trouble.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            self.over.set()
            writer.join()
        assert not trouble

    def all(self) -> dict[str, list[Any]]:
        """What was there before anybody wrote."""
        return {
            "agents": self.sql("SELECT * FROM agents ORDER BY id"),
            "agent_cards": self.sql("SELECT * FROM agent_cards WHERE name IS DISTINCT FROM 'new' ORDER BY id"),
            "notes": self.sql("SELECT * FROM notes ORDER BY card"),
        }

    def extract(self, table: str, where: str, *more: str) -> Path:
        file = self.lab.folder / f"{table}.csv"
        report = self.lab.json("db", "extract", "app_db", table, "--where", where, "--out", str(file), *more)
        fits(ELSEWHERE["db extract"], report, "extract")
        return file

    def back(self, table: str, file: Path, *more: str, code: int = 0) -> Any:
        return self.lab.json("db", "put-back", "app_db", table, "--from", str(file), *more, code=code)


def test_a_record_deleted_by_mistake(production: Production) -> None:
    """It comes back with all that went with it, as it was, while production is written; nothing of it lies about."""
    before = production.all()
    assert len(before["notes"]) == 54
    production.sql("DELETE FROM agents WHERE name = 'AGENT 7'")
    assert len(production.all()["notes"]) == 49
    agents = production.extract("agents", "name = 'agent 7'")
    assert agents.stat().st_mode & 0o777 == 0o600
    assert agents.read_text() == "id,name,mood\n7,agent 7,calm\n"
    cards = production.extract("agent_cards", "agent = 7")
    notes = production.extract("notes", OF_7, "--with", "agent_cards")
    # In the wrong order nothing changes, and what is missing is named.
    wrong = production.back("notes", notes, code=1)["error"]
    assert wrong["kind"] == "LoadFailed"
    assert wrong["message"].startswith("5 rows point to rows that are not there: card=7 is not in public.agent_cards;")
    wrong = production.back("agent_cards", cards, code=1)["error"]
    assert 'row for relation "public.agent_cards" violates check' in wrong["message"]
    planned = production.back("agents", agents, "--dry-run")
    assert planned["planned"] and planned["result"]["inserted"] == 0
    assert not production.sql("SELECT FROM agents WHERE id = 7")
    fits(ELSEWHERE["db put-back --dry-run"], planned, "put-back")
    report = production.back("agents", agents)
    fits(ELSEWHERE["db put-back"], report, "put-back")
    assert report["result"]["inserted"] == 1 and "public.agent_cards" in str(report["notes"])
    done = production.back("agent_cards", cards)
    assert done["result"]["inserted"] == 5 and "Triggers ran as for any other row: logged" in str(done["notes"])
    assert production.back("notes", notes)["result"]["inserted"] == 5
    assert production.all() == before
    # Once more changes nothing: they are there.
    again = production.back("agent_cards", cards)["result"]
    assert (again["rows"], again["same"], again["inserted"], again["conflict_count"]) == (5, 5, 0, 0)
    assert production.all() == before
    assert not list((production.lab.state / "scratch").iterdir())
    jobs = production.lab.json("history", "--domain", "app_db")["jobs"]
    assert {job["what"] for job in jobs} >= {"extract of public.agents", "put-back of public.agents"}


def test_conflicts(production: Production) -> None:
    """Whatever unique key is taken is told of, and nothing is inserted; the others are, if that is wished."""
    file = production.extract("agent_cards", "id IN (1, 2, 3, 4)")
    production.sql("DELETE FROM agent_cards WHERE id IN (1, 2, 4)")
    production.sql("INSERT INTO agent_cards (agent, name, code) VALUES (9, 'other', 'k2')")
    production.sql("UPDATE agent_cards SET name = 'changed' WHERE id = 3")
    before = production.all()
    report = production.back("agent_cards", file, code=1)
    assert report["job"]["error"]["kind"] == "RowsConflict" and "--skip-conflicts" in report["job"]["error"]["hint"]
    assert report["result"]["conflicts"] == ["(lower(code))=(k2)", "(id)=(3)"]
    assert report["result"]["inserted"] == 0 and production.all() == before
    shown = production.lab.rw("db", "put-back", "app_db", "agent_cards", "--from", str(file), code=1).out
    assert "2 have keys that other rows have now" in shown and "(id)=(3)" in shown
    done = production.back("agent_cards", file, "--skip-conflicts")["result"]
    assert (done["rows"], done["inserted"], done["conflict_count"]) == (4, 2, 2)
    assert production.sql("SELECT count(*) FROM agent_cards WHERE id IN (1, 4)") == [(2,)]
    file.write_text("id,agent,name,code\n90000000,1,a,\n90000000,1,b,\n")
    assert production.back("agent_cards", file, code=1)["result"]["conflicts"] == [
        "(id)=(90000000) stands twice in the file"
    ]


def test_rows_that_do_not_fit(production: Production) -> None:
    """A file that is none, a column that is not there, a value that is none: each is told, and nothing changes."""
    before, file = production.all(), production.lab.folder / "bad.csv"
    for content, said in (
        ("", "have no line of names"),
        ("id,agent,nickname\n", "has no column nickname"),
        ("id,id\n", "names a column twice"),
        ("id,agent\n900,1\nnine,1\n", 'invalid input syntax for type integer: "nine" (COPY public.agent_cards, line 2'),
        ("id,agent\n900,\n", 'null value in column "agent"'),
        ("id,agent\n900,1,2\n", "no CSV: row 2 has 3 fields, and the heading has 2"),
        ('id,agent\n900,"1\n', "row 2: a quote"),
    ):
        file.write_text(content)
        error = production.back("agent_cards", file, code=1)["error"]
        assert error["kind"] == "LoadFailed" and said in error["message"], error
    assert production.back("agent_cards", file.parent / "none.csv", code=1)["error"]["kind"] == "NotFound"
    assert production.back("agent_card", file, code=1)["error"]["hint"] == "Did you mean public.agent_cards?"
    assert production.all() == before
    # What is not in the file takes its default, and a sequence that is behind is told of.
    file.write_text("id,agent\n90000000,1\n")
    notes = str(production.back("agent_cards", file)["notes"])
    assert "take their defaults: name, code" in notes and "setval('public.agent_cards_id_seq', 90000000)" in notes


def test_asking(production: Production) -> None:
    """Partitions, odd names, counts, standard output; what is not there is told with names like it; production is never
    asked."""
    lab, dumped = production.lab, production.all()
    production.over.set()
    production.server.drop(production.name)
    report = lab.json("db", "extract", "app_db", 'Tage "ä" 1', "--where", "v > 20", "--count")
    assert (report["rows"], report["table"], report["out"]) == (39, ODD, None)
    out = lab.rw("db", "extract", "app_db", "agent_cards", "--where", "agent = 7", "--out", "-")
    assert out.out.startswith("id,agent,name,code,shout\n7,7,card 7,K7,CARD 7\n") and "5 rows" in out.err
    assert ',7,"",""' in out.out and ",7,,,\n" in out.out
    planned = lab.json("db", "extract", "app_db", "agent_cards", "--count", "--dry-run")
    assert planned["planned"] and planned["rows"] is None and planned["read"] > 100_000
    file = lab.folder / "there.csv"
    file.write_text("precious")
    refused = lab.json("db", "extract", "app_db", "notes", "--out", str(file), code=2)
    assert "--force" in refused["error"]["hint"] and file.read_text() == "precious"
    for words, code, kind, said in (
        (("agentcards", "--count"), 1, "NotFound", "Did you mean public.agent_cards"),
        (("notes", "--count", "--where", "wrods = 1"), 1, "LoadFailed", 'column "wrods" does not exist'),
        (("notes", "--count", "--where", "1 = 1; DROP TABLE notes"), 1, "LoadFailed", "syntax error"),
        (("notes", "--count", "--database", "other"), 1, "NotFound", production.name),
        (("notes",), 2, "UsageError", "--out or --count"),
    ):
        error = lab.json("db", "extract", "app_db", *words, code=code)["error"]
        assert error["kind"] == kind and said in error["message"] + error["hint"], error
    lab.rw("db", "extract", "app_db", "notes", "--out", str(file), "--force")
    assert len(file.read_text().splitlines()) == 1 + len(dumped["notes"])
    assert [path.name for path in lab.folder.glob(".there*")] == [] == list((lab.state / "scratch").iterdir())


def test_rows_of_a_file(make_lab: MakeLab, tmp_path: Path) -> None:
    """The same commands take rows out of a snapshot of SQLite and put them back."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cards (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO cards VALUES (1, 'a'), (2, ''), (3, NULL)")
        connection.commit()
        source = {"type": "sqlite", "path": str(path)}
        lab = make_lab("local", domains={"app_db": {"layer": "serving", "priority": "P0", "source": source}})
        lab.rw("backup")
        connection.execute("DELETE FROM cards WHERE id > 1")
        connection.commit()
        file = lab.folder / "rows.csv"
        assert lab.json("db", "extract", "app_db", "cards", "--where", "id > 1", "--out", str(file))["rows"] == 2
        assert file.read_text() == 'id,name\n2,""\n3,\n'
        assert lab.json("db", "put-back", "app_db", "cards", "--from", str(file))["result"]["inserted"] == 2
        assert connection.execute("SELECT * FROM cards").fetchall() == [(1, "a"), (2, ""), (3, None)]


@pytest.mark.parametrize("table", ["public.days", "public.parent", "public.texts", 'Frage "1" (a)'])
def test_awkward_tables(awkward_dump: tuple[PostgresDomain, str, bytes], table: str) -> None:
    """Of every kind of table exactly its rows come, and go back where they are gone."""
    domain, name, dump = awkward_dump
    server = domain.live()
    table = dumptables.named(table, server.tables(name))
    there = b"".join(server.rows(name, table, None))
    back = f"{name}_back"
    server.create(DatabaseHead(name=back), back)
    try:
        server.load(back, domain.only([dump], [table]))
        assert b"".join(server.rows(back, table, None)) == there
        filled = {one for one in server.tables(back) if server.value(back, f"SELECT count(*) FROM {one}") != "0"}
    finally:
        server.drop(back)
    heirs = {"public.days": {"public.days_1", "public.days_2", "public.days_rest"}, "public.parent": {"public.child"}}
    assert filled == {table, *heirs.get(table, ())}
    if table == "public.parent":
        return  # a heir's rows are not its own
    server.value(
        name, f"BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM public.other; DELETE FROM {table}; COMMIT; SELECT 1"
    )
    pieces = [there[at : at + 1000] for at in range(0, len(there), 1000)]
    done = server.put_back(name, table, pieces, skip_conflicts=False, dry_run=False)
    assert (done.inserted, done.conflict_count) == (done.rows, 0) and done.rows > 5
    assert b"".join(server.rows(name, table, None)) == there


@pytest.fixture(scope="module")
def awkward_dump(postgres_server: Postgres) -> Iterator[tuple[PostgresDomain, str, bytes]]:
    """A database of awkward tables, and what `pg_dump` makes of it."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        awkward.fill(connection, large=1 << 16)
    url = postgres_server.url(name, user=postgres_server.user)
    command = [str(postgres_server.binaries / "pg_dump"), "-d", url]
    dump = subprocess.run(command, capture_output=True, check=True).stdout
    yield PostgresDomain("app_db", PostgresSource(type="postgres", url=SecretStr(url)), Cancel()), name, dump
    postgres_server.drop(name)
