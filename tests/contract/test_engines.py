"""What every kind of database does alike: out of its server and back, rows out and in, names exchanged."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.model.databases import DatabaseHead
from tests.conftest import MakeLab
from tests.contract.engines import VALUES, Bench, mysql, postgres, sqlite
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

ORDERED = ("mysql", "sqlite")
"""Whose rows come in the order of their keys, so that an update and its opposite leave no trace."""
elsewhere = pytest.mark.parametrize("bench", ORDERED, indirect=True)
"""Of PostgreSQL these have tests of their own, with all its own in them."""


@pytest.fixture(params=["postgres", "mysql", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """One of each kind, filled."""
    if request.param == "sqlite":
        made = sqlite(tmp_path)
    elif request.param == "mysql":
        server: Mariadb = request.getfixturevalue("mariadb_server")
        made = mysql(server)
    else:
        cluster: Postgres = request.getfixturevalue("postgres_server")
        made = postgres(cluster)
    with made as found:
        found.fill()
        yield found


def loaded(bench: Bench, name: str) -> None:
    """A database beside the live one, with one card in it."""
    bench.server.create(DatabaseHead(name=name, options=options(bench)), name)
    if bench.kind == "sqlite":
        bench.execute(name, "PRAGMA user_version = 1")
    bench.execute(name, "CREATE TABLE cards (id INTEGER PRIMARY KEY, name VARCHAR(200) UNIQUE)")
    bench.execute(name, "INSERT INTO cards VALUES (7, 'beside')")


def options(bench: Bench) -> dict[str, str]:
    return {"CHARACTER SET": "utf8mb4"} if bench.kind == "mysql" else {}


def names(bench: Bench, database: str) -> list[str]:
    return [row[0] for row in bench.execute(database, "SELECT name FROM cards ORDER BY id")]


def test_round_trip(bench: Bench, make_lab: MakeLab) -> None:
    """What a backup took comes back under another name as it was, also what changed in production meanwhile."""
    lab = make_lab("local", domains={"shop": bench.domain()})
    before = bench.server.facts(bench.name)
    assert sum(table.rows for table in before.tables) == len(VALUES) + 10
    (run,) = lab.json("backup")["job"]["domains"]
    assert run["outcome"] == "ok"
    bench.execute(bench.name, "DELETE FROM cards WHERE id < 4")
    back = bench.other("back")
    (one,) = lab.json("db", "restore", "shop", "--into", back)["databases"]
    assert (one["rows"], one["wrong"]) == (len(VALUES) + 10, [])
    after = bench.server.facts(back)
    assert (after.tables, after.schema_digest) == (before.tables, before.schema_digest)
    assert names(bench, back)[1:3] == [VALUES[1][1], VALUES[2][1]]
    assert len(names(bench, bench.name)) == 2


@pytest.mark.parametrize("bench", ORDERED, indirect=True)
def test_facts_tell_a_value_from_its_like(bench: Bench) -> None:
    """An empty text is not nothing, and one character counts."""
    before = bench.server.facts(bench.name)
    bench.execute(bench.name, "UPDATE cards SET note = '' WHERE id = 3")
    assert bench.server.facts(bench.name) != before
    bench.execute(bench.name, "UPDATE cards SET note = NULL WHERE id = 3")
    assert bench.server.facts(bench.name) == before


def test_values(bench: Bench) -> None:
    """One value as text, NULL as none; a query that is none fails."""
    server = bench.server
    assert server.value(bench.name, "SELECT COUNT(*) FROM cards") == "5"
    assert server.value(bench.name, "SELECT name FROM cards WHERE id = 2") == VALUES[1][1]
    assert server.value(bench.name, "SELECT note FROM cards WHERE id = 3") is None
    assert server.value(bench.name, "SELECT note FROM cards WHERE id = 1") == ""
    assert server.value(bench.name, "SELECT note FROM cards WHERE id = 4") == "NULL"
    for sql in ("SELECT FROM WHERE", "SELECT id FROM cards WHERE id = 99"):
        with pytest.raises(errors.LoadFailed):
            server.value(bench.name, sql)


def test_rows_come_back_as_they_were(bench: Bench) -> None:
    """Rows that went out as CSV and were deleted are put back, down to the last byte."""
    server = bench.server
    assert list(server.tables(bench.name)) == [bench.table("accounts"), bench.table("cards")]
    before = server.facts(bench.name)
    csv = b"".join(server.rows(bench.name, bench.table("cards"), None))
    assert csv.startswith(b"id,name,note,data\n1,")
    some = b"".join(server.rows(bench.name, bench.table("cards"), "name = 'NULL'"))
    assert some.count(b"\n") == 2
    bench.execute(bench.name, "DELETE FROM cards")
    tried = server.put_back(bench.name, bench.table("cards"), [csv], skip_conflicts=False, dry_run=True)
    assert (tried.rows, tried.inserted, tried.conflict_count) == (5, 0, 0)
    assert names(bench, bench.name) == []
    pieces = [csv[at : at + 7] for at in range(0, len(csv), 7)]
    done = server.put_back(bench.name, bench.table("cards"), pieces, skip_conflicts=False, dry_run=False)
    assert (done.rows, done.inserted, done.conflicts) == (5, 5, ())
    assert server.facts(bench.name) == before


def test_conflicts(bench: Bench) -> None:
    """A key that another row has keeps all rows out, or its own alone where that is asked for; other unique columns
    count. Rows that are there as they are do no harm."""
    server = bench.server
    csv = b"".join(server.rows(bench.name, bench.table("cards"), None))
    bench.execute(bench.name, "DELETE FROM cards WHERE id > 2")
    bench.execute(bench.name, "INSERT INTO cards (id, name) VALUES (30, 'NULL')")
    refused = server.put_back(bench.name, bench.table("cards"), [csv], skip_conflicts=False, dry_run=False)
    assert (refused.inserted, refused.same, refused.conflict_count) == (0, 2, 1)
    assert len(refused.conflicts) == 1 and "name" in refused.conflicts[0] and "NULL" in refused.conflicts[0]
    assert len(names(bench, bench.name)) == 3
    skipped = server.put_back(bench.name, bench.table("cards"), [csv], skip_conflicts=True, dry_run=False)
    assert (skipped.inserted, skipped.same, skipped.conflict_count) == (2, 2, 1)
    assert len(names(bench, bench.name)) == 5


def test_a_table_without_a_key(bench: Bench) -> None:
    """Nobody can tell its rows apart, which is said."""
    bench.execute(bench.name, "CREATE TABLE loose (a INT)")
    done = bench.server.put_back(bench.name, bench.table("loose"), [b"a\n1\n"], skip_conflicts=False, dry_run=False)
    assert done.inserted == 1 and "there twice" in done.notes[-1]
    bench.execute(bench.name, "DROP TABLE loose")


@pytest.mark.parametrize(
    "csv",
    [b"id,nothing\n1,2\n", b'id,name\n77,"a",3\n', b'id,name\n77,"a\n', b'id,name\n78,"a\xff"\n', b""],
    ids=["column", "values", "quotes", "bytes", "empty"],
)
def test_rows_that_do_not_fit(bench: Bench, csv: bytes) -> None:
    """They change nothing, and the error says why."""
    before = bench.server.facts(bench.name)
    with pytest.raises((errors.LoadFailed, ValueError)):
        bench.server.put_back(bench.name, bench.table("cards"), [csv], skip_conflicts=True, dry_run=False)
    assert bench.server.facts(bench.name) == before


def test_a_row_that_the_table_refuses(bench: Bench) -> None:
    """Rows that went in before it are taken back."""
    csv = b"id,balance\n50,1\n51,\n"
    with pytest.raises(errors.LoadFailed):
        bench.server.put_back(bench.name, bench.table("accounts"), [csv], skip_conflicts=False, dry_run=False)
    assert bench.execute(bench.name, "SELECT COUNT(*) FROM accounts WHERE id >= 50")[0][0] in (0, "0")


def test_exchange_and_back(bench: Bench) -> None:
    """The live name gets what lay beside; what was live is kept, whole, and can be exchanged back."""
    server, beside, kept, again = bench.server, bench.other("new"), bench.other("old"), bench.other("newer")
    before = server.facts(bench.name)
    loaded(bench, beside)
    server.exchange(bench.name, beside, kept)
    assert names(bench, bench.name) == ["beside"]
    assert server.facts(kept).tables == before.tables
    assert beside not in server.databases()
    assert {bench.name, kept} <= {*server.databases()}
    server.exchange(bench.name, beside, kept)  # it was done: nothing happens
    server.exchange(bench.name, kept, again)
    assert server.facts(bench.name) == before
    assert names(bench, again) == ["beside"]


def test_exchange_where_nothing_is_live(bench: Bench) -> None:
    """What lay beside takes the name alone."""
    server, beside, kept = bench.server, bench.other("new"), bench.other("old")
    loaded(bench, beside)
    server.drop(bench.name)
    server.drop(bench.name)
    server.exchange(bench.name, beside, kept)
    assert names(bench, bench.name) == ["beside"]
    assert not {beside, kept} & {*server.databases()}
    server.exchange(beside, bench.name, "")
    assert names(bench, beside) == ["beside"] and bench.name not in server.databases()


def test_a_name_that_is_taken(bench: Bench) -> None:
    """Nothing is made or exchanged over a database that is there."""
    beside = bench.other("new")
    loaded(bench, beside)
    with pytest.raises(errors.LoadFailed):
        bench.server.create(DatabaseHead(name="x", options=options(bench)), beside)
    with pytest.raises(errors.LoadFailed):
        bench.server.exchange(bench.name, beside, beside)
    assert names(bench, beside) == ["beside"]


def test_a_load_that_breaks_off(bench: Bench) -> None:
    """What ends in the middle is an error, whatever is made of it, and its reason is told."""

    def body() -> Iterator[bytes]:
        yield b"SQLite format 3\0" if bench.kind == "sqlite" else b"CREATE TABLE half (id INTEGER);\n"
        raise errors.Damaged("A pack is gone.")

    name = bench.other("half")
    bench.server.create(DatabaseHead(name=name, options=options(bench)), name)
    with pytest.raises(errors.Damaged):
        bench.server.load(name, body())
    with pytest.raises(errors.LoadFailed):
        bench.server.load(name, [b"this is no database\n"])
    bench.server.drop(name)
    assert name not in bench.server.databases()


def test_one_moment_while_others_write(bench: Bench, make_lab: MakeLab) -> None:
    """Money that is moved between accounts while a backup runs is all there in what comes back."""
    lab = make_lab("local", domains={"shop": bench.domain()})
    ended = threading.Event()
    moved = 0

    def move() -> None:
        nonlocal moved
        with bench.session() as run:
            while not ended.is_set():
                one, other = 1 + moved % 10, 1 + (moved * 3 + 1) % 10
                run(
                    f"BEGIN; UPDATE accounts SET balance = balance - 7 WHERE id = {one};"
                    f"UPDATE accounts SET balance = balance + 7 WHERE id = {other}; COMMIT"
                )
                moved += 1

    writer = threading.Thread(target=move)
    writer.start()
    try:
        (run,) = lab.json("backup")["job"]["domains"]
    finally:
        ended.set()
        writer.join()
    assert run["outcome"] == "ok" and moved > 3
    back = bench.other("back")
    (one,) = lab.json("db", "restore", "shop", "--into", back)["databases"]
    assert one["wrong"] == []
    assert int(bench.execute(back, "SELECT SUM(balance) FROM accounts")[0][0]) == 1000


@elsewhere
def test_over_the_live_one_and_back(bench: Bench, make_lab: MakeLab) -> None:
    """A restore over what is live can be undone, and once it is accepted nothing else is left."""
    lab = make_lab("local", domains={"shop": bench.domain()})
    before = bench.server.facts(bench.name)
    lab.rw("backup")
    bench.execute(bench.name, "DELETE FROM cards WHERE id > 1")
    after = bench.server.facts(bench.name)
    over = lab.json("db", "restore", "shop", "--replace")
    assert bench.server.facts(bench.name) == before
    lab.rw("db", "undo", over["job"]["id"])
    assert bench.server.facts(bench.name) == after
    again = lab.json("db", "restore", "shop", "--replace", "--snapshot", over["snapshot"])
    for job in (over, again):
        lab.rw("db", "accept", job["job"]["id"], "--force")
    assert bench.server.facts(bench.name) == before
    assert [one for one in bench.server.databases() if one.startswith(bench.name)] == [bench.name]


@elsewhere
def test_rows_out_of_a_snapshot(bench: Bench, make_lab: MakeLab) -> None:
    """Some rows come out of a snapshot as CSV, and go back in by the commands that people type."""
    lab = make_lab("local", domains={"shop": bench.domain()})
    before = sorted(bench.execute(bench.name, "SELECT id, name, note FROM cards"))
    lab.rw("backup")
    bench.execute(bench.name, "DELETE FROM cards WHERE id > 2")
    out = str(lab.folder / "deleted.csv")
    lab.rw("db", "extract", "shop", "cards", "--where", "id > 1", "--out", out)
    result = lab.json("db", "put-back", "shop", "cards", "--from", out)["result"]
    assert (result["rows"], result["inserted"], result["same"], result["conflict_count"]) == (4, 3, 1, 0)
    assert sorted(bench.execute(bench.name, "SELECT id, name, note FROM cards")) == before


def test_what_tells_databases_apart(bench: Bench) -> None:
    """One is not another, nor one that is not there; and how large it is can be told."""
    server, beside = bench.server, bench.other("new")
    loaded(bench, beside)
    assert server.identity(bench.name) == bench.server.identity(bench.name) != server.identity(beside)
    assert server.identity(bench.other("none")) == ""
    assert (server.size(bench.name) or 0) > 0


def test_a_scratch_server(bench: Bench, tmp_path: Path) -> None:
    """It is empty, takes what the live one has, and leaves nothing."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    with bench.engine.scratch(folder, bench.server.version()) as server:
        assert bench.name not in server.databases()
        server.create(DatabaseHead(name="x.db", options=options(bench)), "x.db")
        assert list(server.tables("x.db")) == []
    assert not any(path.is_dir() for path in folder.iterdir())


@elsewhere
def test_a_drill(bench: Bench, make_lab: MakeLab) -> None:
    """A dump of each kind is loaded into a server that is thrown away, compared, and asked."""
    domain = bench.domain()
    domain["source"] = {**bench.source, "queries": [{"sql": "SELECT COUNT(*) FROM cards", "equals": len(VALUES)}]}
    lab = make_lab("local", domains={"shop": domain})
    lab.rw("backup")
    (one,) = lab.json("drill", "l2", "--no-canary")["drill"]["domains"]
    found = one["loaded"]
    assert (found["databases"], found["rows"], found["queries"], found["failures"]) == (1, len(VALUES) + 10, 1, [])
