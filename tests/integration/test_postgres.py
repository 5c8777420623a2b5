"""PostgreSQL as a source: what a dump holds, of which server and by whom, and what it becomes when it is loaded."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseHead, DumpFacts
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import PostgresSource
from resticwrap.planning.dumps import LARGE_OBJECTS, facts_of, relation_of, sections
from resticwrap.sources.postgres.domain import PostgresDomain
from resticwrap.sources.postgres.scratch import can_confine
from resticwrap.sources.postgres.server import PostgresServer
from tests.servers.awkward import fill
from tests.servers.postgres import Postgres

TYPE: SnapshotType = "incremental"


def domain(**source: Any) -> PostgresDomain:
    """A domain as an operator would write it."""
    return PostgresDomain("app_db", PostgresSource(type="postgres", **source), Cancel())


def dumped(of: PostgresDomain, to: Path) -> DumpFacts:
    """What restic would read, into a file, without restic. Raises what the dump ended of."""
    with of.material("backup_1", TYPE) as material:
        with to.open("wb") as out:
            code = subprocess.run(
                material.command, stdout=out, pass_fds=material.fds, cwd="/", env={"PATH": os.defpath}, check=False
            ).returncode
        material.settle()
        assert code == 0
    facts = facts_of(to.read_bytes())
    assert facts is not None
    return facts


def read(file: Path) -> Iterator[bytes]:
    """A dump in pieces."""
    with file.open("rb") as source:
        while piece := source.read(100_000):
            yield piece


@dataclass
class Made:
    """A database that was dumped: where it is, and the dump."""

    server: Postgres
    name: str
    url: str
    file: Path
    facts: DumpFacts

    @property
    def live(self) -> PostgresServer:
        return domain(url=self.url).live()


@pytest.fixture(scope="module")
def awkward(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The awkward database, with settings and rights of its own, and its dump."""
    name = postgres_server.database('odd "100%" {}=ü')
    with postgres_server.admin(name) as connection:
        fill(connection)
        connection.execute(f"ALTER ROLE rw IN DATABASE {QUOTED} SET work_mem TO '5MB'")
        connection.execute(f'ALTER DATABASE {QUOTED} SET search_path TO "$user", public, "Prüfung 100%"')
        connection.execute(f"COMMENT ON DATABASE {QUOTED} IS 'it''s {{}} here'")
        connection.execute(f"REVOKE CONNECT ON DATABASE {QUOTED} FROM PUBLIC")
    url = postgres_server.url("x", user=postgres_server.user)
    file = tmp_path_factory.mktemp("awkward") / "app_db.sql"
    facts = dumped(domain(url=url.removesuffix("/x"), database=name), file)
    yield Made(postgres_server, name, url.removesuffix("/x"), file, facts)
    postgres_server.drop(name)


QUOTED = '"odd ""100%"" {}=ü"'


def test_all_that_is_awkward_comes_back(awkward: Made) -> None:
    """Loaded into a new database, every table, large object, definition and setting is what it was."""
    server, live = awkward.server, domain(url=awkward.url, database=awkward.name).live()
    (said,) = awkward.facts.databases
    rows = {relation_of(table.name): table.rows for table in said.tables}
    assert rows["public.days_1"] + rows["public.days_2"] + rows["public.days_rest"] == 81
    assert rows["public.texts"] == 11 and rows["public.parent"] == 2 and rows["public.child"] == 1
    assert said.tables[-1].name == LARGE_OBJECTS and said.tables[-1].rows == 3 and rows["public.no_columns"] == 2
    assert awkward.facts.server == awkward.facts.client.split()[0] and awkward.facts.server.startswith("15.")
    back = f"back_{secrets.token_hex(4)}"
    for section in sections(read(awkward.file)):
        if section.head is not None:
            live.create(section.head, back)
            live.load(back, section.body)
    try:
        found = live.facts(back)
        assert found.tables == said.tables
        assert found.schema_digest == said.schema_digest
        with server.admin(back) as connection:
            one = 'SELECT "größe %s", twice FROM "Prüfung 100%"."Frage ""1"" (a)" LIMIT 1 OFFSET 7'
            assert connection.execute(one).fetchone() == (7, 14)
            assert connection.execute("SELECT nextval('public.\"Folge\"')").fetchone() == (47,)
            assert connection.execute("SHOW search_path").fetchone() == ('"$user", public, "Prüfung 100%"',)
            told = connection.execute(
                "SELECT pg_get_userbyid(datdba), datlocprovider::text, daticulocale, datacl::text LIKE '%,rw=%',"
                " shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
            ).fetchone()
            assert told == ("rw", "i", "en", True, "it's {} here")
    finally:
        server.drop(back)


def test_it_is_a_script_for_psql(awkward: Made, tmp_path: Path) -> None:
    """Fed by hand to another server it makes roles, database, rights and all rows; where the database is, it stops."""
    with domain(url=awkward.url, database=awkward.name).scratch(tmp_path, "15") as scratch:
        feed = ["psql", "-XqAt", "-d", "postgres"]
        env = dict(scratch.access.env)
        with awkward.file.open("rb") as dump:
            first = subprocess.run(feed, stdin=dump, env=env, capture_output=True, check=False)
        assert first.stderr.decode().splitlines() == []
        assert awkward.name in scratch.databases()
        found = scratch.facts(awkward.name)
        (said,) = awkward.facts.databases
        assert (found.tables, found.schema_digest) == (said.tables, said.schema_digest)
        assert scratch.value("postgres", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'rw'") == "t"
        with awkward.file.open("rb") as dump:
            again = subprocess.run(feed, stdin=dump, env=env, capture_output=True, check=False)
        assert again.returncode == 3 and b"already exists" in again.stderr
        assert scratch.facts(awkward.name).tables == said.tables


def test_two_dumps_differ_in_marks_alone(awkward: Made, tmp_path: Path) -> None:
    """What has not changed is written the same, byte by byte, so that it is stored once."""
    again = tmp_path / "again.sql"
    dumped(domain(url=awkward.url, database=awkward.name), again)

    def lines(file: Path) -> list[bytes]:
        return [
            line
            for line in file.read_bytes().split(b"\n")
            if not line.startswith((b"-- rw ", b"\\restrict", b"\\unrestrict"))
        ]

    assert lines(again) == lines(awkward.file)
    assert again.read_bytes() != awkward.file.read_bytes()


@pytest.fixture
def plain(postgres_server: Postgres) -> Iterator[str]:
    """A small database of a user who is nobody special."""
    name = postgres_server.database("name=with 'quotes'")
    with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
        connection.execute("CREATE TABLE cards (id int PRIMARY KEY, name text)")
        connection.execute("INSERT INTO cards SELECT n, 'card ' || n FROM generate_series(1, 100) n")
        connection.execute("CREATE TABLE logs AS SELECT * FROM cards")
    yield name
    postgres_server.drop(name)


def test_a_plain_user_and_what_is_left_out(postgres_server: Postgres, plain: str, tmp_path: Path) -> None:
    """Who is no superuser dumps what is his, roles without passwords; of some tables the definition alone."""
    file = tmp_path / "dump.sql"
    of = domain(url=postgres_server.url(plain), exclude_data=["public.lo*"])
    (said,) = dumped(of, file).databases
    assert [(relation_of(table.name), table.rows) for table in said.tables] == [("public.cards", 100)]
    text = file.read_bytes()
    assert b"CREATE TABLE public.logs" in text and b"CREATE ROLE rw;" in text and b"SCRAM-SHA-256" not in text
    back = f"back_{secrets.token_hex(4)}"
    live = domain(url=postgres_server.url(plain, user=postgres_server.user)).live()
    heads = [section.head for section in sections(read(file))]
    assert [head and head.name for head in heads] == [None, plain]
    with pytest.raises(errors.LoadFailed, match="already exists"):
        live.create(heads[1] or DatabaseHead(name=""), plain)
    with pytest.raises(errors.DatabaseRefused, match="permission denied"):
        domain(url=postgres_server.url(plain)).live().create(heads[1] or DatabaseHead(name=""), back)
    assert back not in live.databases()


def test_roles_that_break_off_are_no_dump(postgres_server: Postgres, plain: str, tmp_path: Path) -> None:
    """Whatever exit code pg_dumpall ends with."""
    for name in ("psql", "pg_dump", "pg_isready"):
        (tmp_path / name).symlink_to(postgres_server.binaries / name)
    program = tmp_path / "pg_dumpall"
    program.write_text(f'#!/bin/sh\n"{postgres_server.binaries}/pg_dumpall" "$@" | head -c 150\n')
    program.chmod(0o755)
    with pytest.raises(errors.DumpFailed, match="pg_dumpall failed"):
        dumped(domain(url=postgres_server.url(plain), bin=str(tmp_path)), tmp_path / "dump.sql")


def test_a_dump_that_lost_rows_on_its_way_is_none(postgres_server: Postgres, plain: str, tmp_path: Path) -> None:
    """The server's own count of the same moment is believed, not what came, however well that ends."""
    for name in ("psql", "pg_dumpall", "pg_isready"):
        (tmp_path / name).symlink_to(postgres_server.binaries / name)
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\n"{postgres_server.binaries}/pg_dump" "$@" | grep -v "^2$"\n')
    program.chmod(0o755)
    with postgres_server.admin(plain) as connection:
        connection.execute("CREATE TABLE whole (a int)")
        connection.execute("INSERT INTO whole SELECT generate_series(1, 3)")
        connection.execute("ALTER TABLE whole OWNER TO rw")
    with pytest.raises(errors.DumpFailed, match=r"whole in .* 2 rows came, and the server counts 3"):
        dumped(domain(url=postgres_server.url(plain), bin=str(tmp_path)), tmp_path / "dump.sql")


def test_a_dump_gives_psql_no_command(postgres_server: Postgres, plain: str, tmp_path: Path) -> None:
    """An older pg_dump may be made to write one by a name with the end of a line in it (CVE-2025-8714)."""
    live, trace = domain(url=postgres_server.url(plain)).live(), tmp_path / "trace"
    for head in (b"-- TOC\n", b"-- a comment\n" * 1000):
        with pytest.raises(errors.LoadFailed):
            live.load(plain, [head, f"SELECT 1;\n\\! touch {trace}\n".encode()])
    assert not trace.exists()
    live.load(plain, [b"CREATE TABLE loaded (a int);\nCOPY loaded FROM stdin;\n1\n\\.\n"])
    assert live.value(plain, "SELECT a FROM loaded") == "1"


def test_all_databases_and_their_roles(postgres_server: Postgres, plain: str, tmp_path: Path) -> None:
    """Every database that can be connected to, each in a part of its own; passwords of roles where we may see them.
    Roles that are missing are made with what they have, and those that are there stay as they are."""
    file = tmp_path / "dump.sql"
    with postgres_server.admin() as connection:
        connection.execute('DROP ROLE IF EXISTS "O\'Neil;", reader')
        connection.execute("CREATE ROLE reader; CREATE ROLE \"O'Neil;\" LOGIN PASSWORD 'secret' IN ROLE reader")
        connection.execute('ALTER ROLE "O\'Neil;" SET search_path TO a, "b;"')
        connection.execute("COMMENT ON ROLE reader IS 'reads; all'")
    of = domain(url=postgres_server.url("", user=postgres_server.user).rstrip("/"), all=True)
    facts = dumped(of, file)
    assert {plain, "postgres"} <= {one.name for one in facts.databases} == set(of.live().databases())
    (body,) = [b"".join(section.body) for section in sections(read(file)) if section.head is None]
    with postgres_server.admin() as connection:
        connection.execute('DROP ROLE "O\'Neil;"')
        connection.execute("ALTER ROLE reader LOGIN")
        assert of.live().take_globals([body[:100], body[100:]], only_missing=True) == ()
        told = connection.execute(
            "SELECT rolname, rolcanlogin, rolpassword LIKE 'SCRAM%', pg_has_role(oid, 'reader', 'MEMBER')"
            " FROM pg_authid WHERE rolname IN ('O''Neil;', 'reader') ORDER BY 1"
        ).fetchall()
        assert told == [("O'Neil;", True, True, True), ("reader", True, None, True)]
        settings = connection.execute("SELECT rolconfig FROM pg_roles WHERE rolname = 'O''Neil;'").fetchone()
        assert settings == (['search_path=a, "b;"'],)
        connection.execute('DROP ROLE "O\'Neil;", reader')


def test_a_scratch_server_takes_tablespaces_and_any_superuser(tmp_path: Path) -> None:
    """A role called postgres in a dump may be nobody special; tablespaces get folders of the scratch place."""
    text = (
        b"CREATE ROLE postgres;\nALTER ROLE postgres WITH NOSUPERUSER LOGIN;\n"
        b"CREATE TABLESPACE \"Fast;\" OWNER postgres LOCATION '/nowhere';\n"
        b'GRANT CREATE ON TABLESPACE "Fast;" TO PUBLIC;\n'
    )
    with domain(url="postgresql://nowhere/x").scratch(tmp_path, "15.2") as server:
        assert server.take_globals([text], only_missing=True) == ()
        head = DatabaseHead(
            name="x", after=("ALTER DATABASE {} OWNER TO postgres", "ALTER DATABASE {} OWNER TO nobody")
        )
        server.create(head, "one")
        assert (
            server.value("one", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'one'") == "postgres"
        )
        server.load("one", [b'SET default_tablespace = "Fast;";\nCREATE TABLE t AS SELECT 1 AS a;\n'])
        with pytest.raises(errors.LoadFailed, match="postgis") as raised:
            server.load("one", [b"CREATE EXTENSION postgis;\n"])
        assert "CREATE EXTENSION" in raised.value.hint
        pid = int((tmp_path / "data" / "postmaster.pid").read_text().split()[0])
    assert not list(tmp_path.glob("data*")) and not list(tmp_path.glob("table*")) and pid
    with (
        pytest.raises(errors.ClientMissing, match="PostgreSQL 99"),
        domain(url="postgresql://nowhere/x").scratch(tmp_path, "99.1"),
    ):
        pass


def test_what_a_dump_runs_stays_in_the_scratch_place(tmp_path: Path) -> None:
    """A check of a table is run by the load, as superuser, who may start programs: they write nowhere but there, and
    reach nobody who would do it for them. Where the kernel has no means for that, nothing keeps them."""
    place, outside = tmp_path / "place", tmp_path / "outside"
    place.mkdir()
    program = f"touch {outside}; touch {place}/inside; ls -A /run > {place}/run"
    body = f"""CREATE FUNCTION f(int) RETURNS bool LANGUAGE plpgsql AS
    $f$ BEGIN EXECUTE $$COPY (SELECT 1) TO PROGRAM 'cat >&2; ({program}) || true'$$; RETURN true; END $f$;
    CREATE TABLE t (i int CHECK (f(i)));
    COPY t FROM stdin;\n1\n\\.\n"""
    with domain(url="postgresql:///x", scratch={"by": "local"}).scratch(place, "13") as server:
        server.load("postgres", [body.encode()])
        assert (place / "inside").exists() and outside.exists() is not can_confine()
        assert not can_confine() or (place / "run").read_text() == ""


def test_a_dump_under_load_is_one_moment(postgres_server: Postgres, tmp_path: Path) -> None:
    """While pgbench moves money, what is dumped adds up: all tables as of one moment."""
    name = postgres_server.database()
    url = postgres_server.url(name, user=postgres_server.user)
    bench = str(postgres_server.binaries / "pgbench")
    env = {"PATH": os.defpath}
    subprocess.run([bench, "-i", "-q", "-s", "1", url], env=env, capture_output=True, check=True)
    load = subprocess.Popen([bench, "-n", "-c", "2", "-T", "20", url], env=env, stdout=subprocess.PIPE, stderr=-1)
    try:
        with postgres_server.admin(name) as connection:
            while not (connection.execute("SELECT count(*) FROM pgbench_history").fetchone() or [0])[0]:
                assert load.poll() is None
        (said,) = dumped(domain(url=url), tmp_path / "dump.sql").databases
        assert load.poll() is None
    finally:
        load.terminate()
        load.communicate()
    live = domain(url=url).live()
    for section in sections(read(tmp_path / "dump.sql")):
        if section.head is not None:
            live.create(section.head, f"{name}_back")
            live.load(f"{name}_back", section.body)
    assert live.facts(f"{name}_back").tables == said.tables
    sums = (
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history) AND"
        " (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)"
    )
    assert live.value(f"{name}_back", sums) == "t"
    for one in (name, f"{name}_back"):
        postgres_server.drop(one)
