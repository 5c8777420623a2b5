"""SQLite: copied while others write, and given back to who has it open."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.sources import SqliteSource
from resticwrap.services.databases.reading import FACTS
from resticwrap.sources.sqlite import domain as captured
from resticwrap.sources.sqlite import exchange, files
from resticwrap.sources.sqlite.domain import SqliteDomain
from resticwrap.sources.sqlite.server import SqliteServer
from tests.conftest import MakeLab
from tests.lab import Lab

AWKWARD = """
PRAGMA user_version = 7;
CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT, size REAL, data BLOB, long AS (length(name)) STORED);
INSERT INTO plain VALUES (1, 'größe "x"', 0.1, x'00ff'), (2, '', 1e300, x''), (3, NULL, NULL, NULL), (4, 5, '5', 'x');
CREATE TABLE "od""d" ("key one" TEXT, b INT, PRIMARY KEY ("key one", b)) WITHOUT ROWID;
INSERT INTO "od""d" VALUES ('z', 1), ('a', 2);
CREATE TABLE loose (a);
INSERT INTO loose VALUES (2), (1), (CAST(x'ff41' AS TEXT));
CREATE VIEW names AS SELECT name FROM plain;
CREATE TRIGGER filled AFTER INSERT ON loose BEGIN SELECT 1; END;
CREATE INDEX by_name ON plain (name);
CREATE VIRTUAL TABLE words USING fts5 (word);
INSERT INTO words VALUES ('one'), ('two');
"""


def made(path: Path, sql: str = AWKWARD, mode: str = "delete") -> Path:
    """A database file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.executescript(sql)
    return path


def asked(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def everything(path: Path) -> str:
    """All that SQLite can tell of a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return "\n".join(map(repr, [connection.execute("PRAGMA user_version").fetchone(), *connection.iterdump()]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    return made(folder / "app.db")


@pytest.fixture
def labbed(make_lab: MakeLab, path: Path) -> Lab:
    source = {"type": "sqlite", "path": str(path)}
    lab: Lab = make_lab("local", domains={"app": {"layer": "serving", "priority": "P0", "source": source}})
    return lab


def captor(path: Path, tmp_path: Path) -> SqliteDomain:
    source = SqliteSource(type="sqlite", path=path)
    return SqliteDomain("app", source, tmp_path / "state", Cancel())


def copied(path: Path, tmp_path: Path) -> bytes:
    """What a backup would read."""
    with captor(path, tmp_path).material("job", "full") as material:
        return (Path(os.fsdecode(material.cwd)) / os.fsdecode(material.parts[0])).read_bytes()


def test_round_trip(labbed: Lab, path: Path) -> None:
    """All of it comes back; where nothing changed there is no new snapshot, where something did there is one."""
    path.chmod(0o640)
    before, what = everything(path), path.stat()
    (run,) = labbed.json("backup")["job"]["domains"]
    assert (run["outcome"], run["files"]) == ("ok", 2)
    (one,) = labbed.json("db", "restore", "app", "--into", "back.db")["databases"]
    assert (one["rows"], one["wrong"]) == (9 + 9, one["wrong"])
    assert one["wrong"] == []
    back = path.with_name("back.db")
    assert everything(back) == before and back.stat().st_mode == what.st_mode
    assert sorted(file.name for file in path.parent.iterdir()) == ["app.db", "back.db"]
    assert labbed.json("backup")["job"]["domains"][0]["outcome"] == "unchanged"
    made(path, "INSERT INTO loose VALUES (3)")
    assert labbed.json("backup")["job"]["domains"][0]["outcome"] == "ok"
    assert list((labbed.state / "staging").iterdir()) == []
    assert everything(path) != before


def test_without_its_folder(labbed: Lab, path: Path) -> None:
    """On an empty machine there is none: it is named, and once it is made the file comes back."""
    before = everything(path)
    labbed.rw("backup")
    shutil.rmtree(path.parent)
    refused = labbed.json("db", "restore", "app", "--into", path.name, code=1)["error"]
    assert refused["kind"] == "DatabaseUnavailable" and refused["hint"] == f"mkdir -p {path.parent}"
    path.parent.mkdir()
    labbed.json("db", "restore", "app", "--into", path.name)
    assert everything(path) == before


def test_by_hand(labbed: Lab, path: Path) -> None:
    """restic alone gives the file."""
    labbed.rw("backup")
    by_hand = labbed.folder / "by_hand.db"
    by_hand.write_bytes(labbed.bare("dump", "latest", "/app/app.db").stdout)
    assert everything(by_hand) == everything(path)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_writer_in_the_middle(tmp_path: Path, mode: str) -> None:
    """What was not committed is not in the copy, and the writer can finish."""
    path = made(tmp_path / "app.db", "CREATE TABLE t (a); INSERT INTO t VALUES (1)", mode)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (2)")
        copy = tmp_path / "copy.db"
        copy.write_bytes(copied(path, tmp_path))
        writer.execute("COMMIT")
    assert asked(copy, "SELECT a FROM t") == [(1,)]
    assert asked(path, "SELECT a FROM t") == [(1,), (2,)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_who_writes_all_the_time(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy comes to its end all the same, is of one moment, and the writer goes on."""
    monkeypatch.setattr(files, "PAGES", 20)
    fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t"
    path = made(tmp_path / "app.db", f"CREATE TABLE t (i, a, b); {fill} SELECT i, 0, hex(zeroblob(500)) FROM n", mode)
    ended = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            while not ended.is_set():
                connection.executescript(
                    "BEGIN; UPDATE t SET a = a + 1 WHERE i = 1; UPDATE t SET a = a - 1 WHERE i = 1999; COMMIT"
                )
                written += 1
                time.sleep(0.001)  # nobody gets at a file that is never let go of

    writer = threading.Thread(target=write)
    writer.start()
    while written < 3:
        time.sleep(0.001)
    try:
        copy = tmp_path / "copy.db"
        copy.write_bytes(copied(path, tmp_path))
        after, patience = written, time.monotonic() + 30
        while written == after and time.monotonic() < patience:
            time.sleep(0.001)
        assert written > after
    finally:
        ended.set()
        writer.join()
    assert asked(copy, "SELECT SUM(a), COUNT(*) FROM t") == [(0, 2000)]


def test_what_a_crash_left(tmp_path: Path) -> None:
    """Rows in a log that nobody has moved into the file yet are in the copy; a half done transaction is not."""
    path = made(tmp_path / "app.db", "CREATE TABLE t (a)", "wal")
    kill = (
        "import os, signal, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('INSERT INTO t VALUES (1)'); c.execute('BEGIN'); c.execute('INSERT INTO t VALUES (2)');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", kill, str(path)])
    copy = tmp_path / "copy.db"
    copy.write_bytes(copied(path, tmp_path))
    assert asked(copy, "SELECT a FROM t") == [(1,)]


def test_a_hot_journal(tmp_path: Path) -> None:
    """A file that a crash left half written is rolled back by SQLite before it is read."""
    path = made(tmp_path / "app.db", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, zeroblob(200000))")
    kill = (
        "import os, signal, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 2'); c.execute('BEGIN');"
        "c.execute('UPDATE t SET a = 2, b = randomblob(400000)'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", kill, str(path)])
    assert path.with_name("app.db-journal").exists()
    copy = tmp_path / "copy.db"
    copy.write_bytes(copied(path, tmp_path))
    assert asked(copy, "SELECT a, length(b) FROM t") == [(1, 200000)]


def test_a_broken_file(labbed: Lab, path: Path) -> None:
    """It is no snapshot, and the run says which file is wrong: that one, not the copy of it, which is gone."""
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 3] = b"\xab" * 4096
    path.write_bytes(content)
    (run,) = labbed.json("backup", code=1)["job"]["domains"]
    assert run["error"]["kind"] == "DumpFailed" and f"{path} is damaged" in run["error"]["message"]
    path.write_bytes(b"this is no database at all" * 100)
    (run,) = labbed.json("backup", code=1)["job"]["domains"]
    assert run["error"]["kind"] == "DumpFailed" and f"{path} is damaged" in run["error"]["message"]
    assert run["error"]["hint"] == f"sqlite3 {path} .recover"
    assert labbed.json("snapshots") == []
    assert list((labbed.state / "staging").iterdir()) == []


def test_no_room(labbed: Lab, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A copy that would not fit is not begun."""
    monkeypatch.setattr(captured, "free_bytes", lambda _: 1 << 20)
    with pytest.raises(errors.DiskFull, match="MiB are free"), captor(path, tmp_path).material("job", "full"):
        pass
    assert list((tmp_path / "state" / "staging").iterdir()) == []


def test_what_a_killed_run_left(path: Path, tmp_path: Path) -> None:
    """It is removed by the next; what another run has at work is left."""
    stages = tmp_path / "state" / "staging"
    (stages / "app.dead.full").mkdir(parents=True)
    (stages / "app.dead.full" / "copy").write_bytes(b"x")
    with captor(path, tmp_path).material("one", "full"), captor(path, tmp_path).material("two", "full"):
        assert sorted(place.name for place in stages.iterdir()) == ["app.one.full", "app.two.full"]
    assert list(stages.iterdir()) == []


class Cut(BaseException):
    """Killed."""


@pytest.fixture
def beside(path: Path) -> Path:
    return made(path.with_name("new.db"), "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT)")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_exchange_under_open_connections(path: Path, beside: Path, mode: str) -> None:
    """Who has the live file open sees the new content, and writes into it."""
    made(path, "", mode)
    before = everything(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as used:
        assert used.execute("SELECT COUNT(*) FROM plain").fetchone() == (4,)
        SqliteServer(path.parent, Cancel(), path).exchange("app.db", "new.db", "old.db")
        assert used.execute("SELECT COUNT(*) FROM plain").fetchone() == (0,)
        used.execute("INSERT INTO plain VALUES (1, 'after')")
    assert asked(path, "SELECT name FROM plain") == [("after",)]
    assert everything(path.with_name("old.db")) == before


STEPS: list[tuple[Any, str]] = [
    (files, "copy"), (files, "flush"), (files, "remove"), (os, "fsync"), (os, "pwrite"), (exchange, "_overwrite"),
    (Path, "rename"), (Path, "unlink"),
]  # fmt: skip


def counted(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], int]:
    """Let so many steps be taken, and die at the next."""
    taken = 0

    def wrapped(work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*words: Any, **named: Any) -> Any:
            nonlocal taken
            if taken == after:
                raise Cut
            taken += 1
            return work(*words, **named)

        return step

    for place, name in STEPS:
        monkeypatch.setattr(place, name, wrapped(getattr(place, name)))
    return lambda: taken


def test_an_exchange_that_is_cut_off(path: Path, beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any step the next look finds both names or neither, and each with what belongs to it."""
    old, new = everything(path), everything(beside)
    first, second = path.read_bytes(), beside.read_bytes()
    outcomes, whole = [], False
    for after in range(100):
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(first)
        beside.write_bytes(second)
        with monkeypatch.context() as patch:
            counted(patch, after)
            try:
                SqliteServer(path.parent, Cancel(), path).exchange("app.db", "new.db", "old.db")
                whole = True
            except Cut:
                whole = False
        server = SqliteServer(path.parent, Cancel(), path)
        there = list(server.databases())
        outcomes.append(there)
        if there == ["app.db", "old.db"]:
            assert (everything(path), everything(path.with_name("old.db"))) == (new, old)
        else:
            assert there == ["app.db", "new.db"] and (everything(path), everything(beside)) == (old, new)
        assert not [file for file in path.parent.iterdir() if file.name.startswith(".rw-")]
        if whole:
            break
    assert outcomes[-1] == ["app.db", "old.db"] and ["app.db", "new.db"] in outcomes and len(outcomes) > 8


def exchanged(path: Path) -> None:
    SqliteServer(path.parent, Cancel(), path).exchange("app.db", "new.db", "old.db")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nobody_writes_between_the_copy_and_the_exchange(
    path: Path, beside: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program writes is in what is kept, or in what is live, or was never taken."""
    made(path, "", mode)
    refused = []

    def write(*_: Path) -> None:
        code = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('DELETE FROM plain')"
        refused.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr)

    monkeypatch.setattr(exchange, "_like", write)
    before = everything(path)
    exchanged(path)
    assert len(refused) == 1 and "database is locked" in refused[0]
    assert everything(path.with_name("old.db")) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("committed", [True, False])
def test_what_is_written_after_a_crash_stays(
    path: Path, beside: Path, mode: str, *, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start ends the exchange, and writes nothing over what a program has written since."""
    made(path, "", mode)
    old = everything(path)
    # What is flushed second is the folder with the marker, the last before anything is written.
    place, name = ("exchange._finish" if committed else "files.flush").split(".")
    count = iter(range(9))

    def die(*_: object) -> None:
        if committed or next(count) == 1:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(f"resticwrap.sources.sqlite.{place}.{name}", die)
        with pytest.raises(Cut):
            exchanged(path)
    made(path, "INSERT INTO plain (id, name) VALUES (9, 'since')", mode)
    there = list(SqliteServer(path.parent, Cancel(), path).databases())
    assert there == (["app.db", "old.db"] if committed else ["app.db", "new.db"])
    assert asked(path, "SELECT name FROM plain WHERE id = 9") == [("since",)]
    assert asked(path, "SELECT count(*) FROM plain") == [(1 if committed else 5,)]
    assert not committed or everything(path.with_name("old.db")) == old
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".rw-")]


def test_an_empty_database_takes_a_place(path: Path, beside: Path) -> None:
    """One without any table does as well, and what was live is kept."""
    beside.unlink()
    beside.touch()
    old = everything(path)
    exchanged(path)
    assert asked(path, "SELECT * FROM sqlite_schema") == [] and everything(path.with_name("old.db")) == old


def test_what_is_no_database_is_not_written_over(path: Path, beside: Path) -> None:
    """A broken one may be all that is left; an empty file is nothing."""
    path.write_bytes(b"broken")
    server = SqliteServer(path.parent, Cancel(), path)
    with pytest.raises(errors.LoadFailed):
        server.exchange("app.db", "new.db", "")
    assert path.read_bytes() == b"broken" and beside.exists()
    path.write_bytes(b"")
    server.exchange("app.db", "new.db", "")
    assert server.databases() == ["app.db"]


def test_a_name_is_no_way_out(path: Path) -> None:
    """Databases are files of that one folder."""
    server = SqliteServer(path.parent, Cancel(), path)
    for name in ("../x", "/etc/x", "", "..", "app.db-wal"):
        with pytest.raises(errors.UsageError):
            server.drop(name)


def test_types_stay(path: Path) -> None:
    """A number, a text that looks like one and bytes come back as what they were."""
    server = SqliteServer(path.parent, Cancel(), path)
    made(path, "DELETE FROM loose WHERE a NOT IN (1, 2); INSERT INTO loose VALUES ('1'), (1.5), (x'31'), (NULL), ('')")
    before = asked(path, "SELECT a, typeof(a) FROM loose ORDER BY rowid")
    csv = b"".join(server.rows("app.db", "loose", None))
    made(path, "DELETE FROM loose")
    server.put_back("app.db", "loose", iter([csv]), skip_conflicts=False, dry_run=False)
    assert asked(path, "SELECT a, typeof(a) FROM loose ORDER BY rowid") == before


def test_a_table_that_replaces(path: Path) -> None:
    """What a table says of conflicts of its own makes no put-back lose a row that is there, nor keep half of it."""
    made(path, "CREATE TABLE r (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, a); INSERT INTO r VALUES (1, 'live')")
    made(path, "CREATE TABLE s (id INTEGER PRIMARY KEY, a)")
    stop = "WHEN new.a = 'no' BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
    made(path, f"CREATE TRIGGER stop BEFORE INSERT ON s {stop}")
    server = SqliteServer(path.parent, Cancel(), path)
    back = server.put_back("app.db", "r", [b'id,a\n1,"old"\n2,"two"\n'], skip_conflicts=True, dry_run=False)
    assert (back.inserted, back.conflict_count) == (1, 1)
    assert asked(path, "SELECT * FROM r") == [(1, "live"), (2, "two")]
    with pytest.raises(errors.LoadFailed, match="does not fit"):
        server.put_back("app.db", "s", [b'id,a\n1,"a"\n2,"no"\n3,"b"\n'], skip_conflicts=False, dry_run=False)
    assert asked(path, "SELECT * FROM s") == []


def test_facts_stand_beside(labbed: Lab) -> None:
    """What a dump holds is told by the snapshot alone."""
    labbed.rw("backup")
    assert FACTS.encode() in labbed.bare("ls", "latest").stdout


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """No thread of a test outlives it."""
    before = threading.active_count()
    yield
    assert threading.active_count() <= before + 1
