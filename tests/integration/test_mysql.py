"""MariaDB: out of its server into a snapshot and back, with whatever a schema may hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from resticwrap.cancel import Cancel
from resticwrap.model.sources import MysqlSource
from resticwrap.planning import dumps, dumps_mysql
from resticwrap.sources.mysql.access import access_of
from resticwrap.sources.mysql.domain import MysqlDomain
from resticwrap.sources.mysql.server import MysqlServer
from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.mariadb import Mariadb

AWKWARD = r"""
CREATE TABLE plain (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT, bytes BLOB, made DATETIME(3), at TIMESTAMP NULL,
  bits BIT(5), price DECIMAL(10,2), kind ENUM('a','b''c'), size INT AS (LENGTH(name)) STORED, UNIQUE (price));
INSERT INTO plain (id, name, bytes, made, at, bits, price, kind) VALUES
  (1, 'a\nb''c"\\ \0 é`', x'0001ff0a', '2020-01-01 10:00:00.123', '2020-06-01 10:00:00', b'101', 1.50, 'b''c'),
  (2, '', '', NULL, NULL, NULL, NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL, 3, 'a'),
  (4, 'INSERT INTO `plain` VALUES (5);', NULL, NULL, NULL, NULL, 4, NULL);
CREATE TABLE `od``d VALUES (t` (`key one` VARCHAR(20) PRIMARY KEY, `ключ` TEXT);
INSERT INTO `od``d VALUES (t` VALUES ('größe', '日本語 💾'), ('NULL', 'NULL');
CREATE TABLE empty (a INT);
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES plain (id));
INSERT INTO child VALUES (1, 3);
CREATE VIEW names AS SELECT id, name, 'a
b' AS fixed FROM plain;
CREATE VIEW over_it AS SELECT COUNT(*) AS n FROM names;
CREATE SEQUENCE numbers;
SELECT NEXT VALUE FOR numbers;
DELIMITER ;;
CREATE TRIGGER filled BEFORE INSERT ON empty FOR EACH ROW BEGIN
-- Dumping data for table `plain`
SET NEW.a = COALESCE(NEW.a, 1);
END ;;
CREATE PROCEDURE adding() BEGIN
INSERT INTO `plain` VALUES (9);
END ;;
CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1 ;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM empty ;;
DELIMITER ;
"""


@pytest.fixture(scope="module")
def awkward(mariadb_server: Mariadb) -> Iterator[str]:
    """A database with every awkward thing."""
    name = mariadb_server.database(AWKWARD)
    yield name
    mariadb_server.drop(name)


def source(server: Mariadb, name: str, **more: Any) -> dict[str, Any]:
    return {"type": "mysql", "url": server.url(name), **more}


def domain(server: Mariadb, name: str, **more: Any) -> dict[str, Any]:
    return {"layer": "serving", "priority": "P0", "source": source(server, name, **more)}


def ported(server: Mariadb, name: str) -> MysqlServer:
    return MysqlDomain("shop", MysqlSource.model_validate(source(server, name)), Cancel()).live()


def test_round_trip(make_lab: MakeLab, mariadb_server: Mariadb, awkward: str) -> None:
    """All of it comes back, as it was, under another name, and by hand as well; production is as it was."""
    lab: Lab = make_lab("local", domains={"shop": domain(mariadb_server, awkward)})
    before = ported(mariadb_server, awkward).facts(awkward)
    (run,) = lab.json("backup")["job"]["domains"]
    assert (run["outcome"], run["files"]) == ("ok", 1)
    (one,) = lab.json("db", "restore", "shop", "--into", f"{awkward}_back")["databases"]
    assert (one["tables"], one["rows"], one["wrong"]) == (4, 7, [])
    after = ported(mariadb_server, awkward).facts(f"{awkward}_back")
    assert (after.tables, after.schema_digest) == (before.tables, before.schema_digest)
    assert ported(mariadb_server, awkward).facts(awkward) == before
    by_hand = mariadb_server.database()
    dump = lab.bare("dump", "latest", "/shop.sql").stdout
    mariadb_server.run(dump.decode(), by_hand)
    assert ported(mariadb_server, awkward).facts(by_hand).tables == before.tables
    mariadb_server.drop(f"{awkward}_back", by_hand)


def test_no_password_is_told(make_lab: MakeLab, mariadb_server: Mariadb) -> None:
    """A refusal names neither the password nor its place."""
    wrong = "a-wrong-password-of-ours"
    url = mariadb_server.url("shop", password=wrong)
    lab: Lab = make_lab(
        "local", domains={"shop": {"layer": "serving", "priority": "P0", "source": {"type": "mysql", "url": url}}}
    )
    run = lab.rw("backup", "-vv", "--json", code=1)
    assert run.json["job"]["domains"][0]["error"]["kind"] == "DatabaseRefused"
    assert wrong not in run.out + run.err
    assert all(wrong not in path.read_text(errors="replace") for path in lab.state.rglob("*") if path.is_file())


NEWER = r"""
CREATE TABLE plain (id INT PRIMARY KEY, name TEXT);
INSERT INTO plain VALUES (1, 'newer');
CREATE TABLE log (n INT);
CREATE VIEW names AS SELECT name FROM plain;
DELIMITER ;;
CREATE TRIGGER logged AFTER INSERT ON plain FOR EACH ROW INSERT INTO log VALUES (NEW.id) ;;
CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 2 ;;
DELIMITER ;
"""


class Cut(Exception):
    """The client was killed."""


def statements(sql: str) -> list[str]:
    """What a client sends one after the other."""
    found, held, in_body = [], "", False
    for line in sql.splitlines(keepends=True):
        held += line
        in_body = line == "DELIMITER ;;\n" or (in_body and line != "DELIMITER ;\n")
        if not in_body and line.endswith((";\n", "DELIMITER ;\n")):
            found.append(held)
            held = ""
    return [*found, held] if held.strip() else found


def changes(text: str) -> bool:
    """Whether a statement leaves something behind."""
    return any(word in text for word in ("CREATE", "INSERT", "DROP", "RENAME"))


class Dying(MysqlServer):
    """One whose client is killed in an exchange after so many statements that change something."""

    def __init__(self, server: Mariadb, name: str, after: int) -> None:
        super().__init__(access_of(MysqlSource.model_validate(source(server, name))), "here", Cancel())
        self._after = after

    def _script(self, sql: str) -> None:
        kept: list[str] = []
        left = self._after
        for one in statements(sql):
            if changes(one):
                if not left:
                    super()._script("".join(kept))
                    raise Cut
                left -= 1
            kept.append(one)
        super()._script(sql)


def everything(server: Mariadb, name: str) -> tuple[Any, ...]:
    """What a database holds and does."""
    facts = ported(server, name).facts(name)
    return facts.tables, facts.schema_digest


def cut_exchange(server: Mariadb, after: int) -> bool:
    """Exchange two databases, cut off, and see that what the next look finds is the one or the other; whether it came
    to its end without being cut."""
    live, beside = server.database(AWKWARD), server.database(NEWER)
    kept = f"{live}_kept"
    try:
        old, new = everything(server, live), everything(server, beside)
        try:
            Dying(server, live, after).exchange(live, beside, kept)
            whole = True
        except Cut:
            whole = False
        there = {*ported(server, live).databases()} & {live, beside, kept}
        if kept in there:
            assert there == {live, kept}
            assert (everything(server, live), everything(server, kept)) == (new, old)
            assert server.run("SELECT one()", live) == [["2"]] and server.run("SELECT n FROM over_it", kept) == [["4"]]
        else:
            assert there == {live, beside} and not whole
            assert (everything(server, live), everything(server, beside)) == (old, new)
        return whole
    finally:
        server.drop(live, beside, kept)


@pytest.mark.parametrize("after", [0, 5, 12, 1000])
def test_an_exchange_that_is_cut_off(mariadb_server: Mariadb, after: int) -> None:
    """Both names or neither, with triggers, views, routines, events and keys between tables."""
    assert cut_exchange(mariadb_server, after) == (after == 1000)


@pytest.mark.soak
def test_an_exchange_that_is_cut_off_anywhere(mariadb_server: Mariadb) -> None:
    """The same after every statement that changes something."""
    after = 0
    while not cut_exchange(mariadb_server, after):
        after += 1
    assert after > 15


def test_a_table_without_transactions(make_lab: MakeLab, mariadb_server: Mariadb) -> None:
    """It is refused by its name, unless its rows are left out."""
    name = mariadb_server.database("CREATE TABLE old (a INT) ENGINE=MyISAM; INSERT INTO old VALUES (1)")
    lab = make_lab("local", domains={"shop": domain(mariadb_server, name)})
    (run,) = lab.json("backup", code=1)["job"]["domains"]
    assert run["error"]["kind"] == "DumpFailed" and "old (MyISAM)" in run["error"]["message"]
    lab.domains["shop"] = domain(mariadb_server, name, exclude_data=["old"])
    lab.write_policies()
    lab.json("backup")
    (one,) = lab.json("db", "restore", "shop", "--into", f"{name}_back")["databases"]
    assert (one["tables"], one["rows"], one["wrong"]) == (1, 0, [])
    mariadb_server.drop(name, f"{name}_back")


def test_accounts_come_along(make_lab: MakeLab, mariadb_server: Mariadb, tmp_path: Any) -> None:
    """Whoever may do something in a database is made where he is missing, with what he may do."""
    name = mariadb_server.database("CREATE TABLE t (a INT)")
    mariadb_server.run(f"CREATE USER guest@'%' IDENTIFIED BY 'x'; GRANT SELECT ON `{name}`.* TO guest@'%'")
    lab = make_lab("local", domains={"shop": domain(mariadb_server, name)})
    lab.json("backup")
    mariadb_server.run("DROP USER guest@'%'")
    lab.json("db", "restore", "shop", "--into", f"{name}_back")
    grants = [row[0] for row in mariadb_server.run("SHOW GRANTS FOR guest@'%'")]
    assert f"GRANT SELECT ON `{name}`.* TO `guest`@`%`" in grants
    mariadb_server.run("DROP USER guest@'%'")
    mariadb_server.drop(name, f"{name}_back")


def test_over_a_socket(mariadb_server: Mariadb, awkward: str) -> None:
    """A server is reached by its socket as well."""
    url = mariadb_server.url(awkward, socket=True)
    server = MysqlDomain("shop", MysqlSource.model_validate({"type": "mysql", "url": url}), Cancel()).live()
    assert server.version().startswith("1") and mariadb_server.password not in server.place


def test_part_of_a_dump(mariadb_server: Mariadb, awkward: str, make_lab: MakeLab) -> None:
    """All definitions with the rows of one table alone."""
    lab = make_lab("local", domains={"shop": domain(mariadb_server, awkward)})
    lab.json("backup")
    dump = lab.bare("dump", "latest", "/shop.sql").stdout
    (section,) = [one for one in (part(dump)) if one[0] is not None]
    name = mariadb_server.database()
    server = ported(mariadb_server, awkward)
    server.load(name, dumps_mysql.only([section[1]], ["plain"]))
    found = {table.name: table.rows for table in server.facts(name).tables}
    assert found == {"plain": 4, "child": 0, "empty": 0, "`od``d VALUES (t`": 0}
    mariadb_server.drop(name)


def part(dump: bytes) -> list[tuple[Any, bytes]]:
    return [(one.head, b"".join(one.body)) for one in dumps.sections([dump])]


def test_all_databases(make_lab: MakeLab, mariadb_server: Mariadb) -> None:
    """A dump of a whole server names each database, but for copies that a restore works on or keeps, and loads by hand
    where none is named."""
    copies = [mariadb_server.database(name=f"{name}_restore_20260301T020000Z_0a1b2c") for name in ("rw", "a_before")]
    mariadb_server.run("CREATE DATABASE IF NOT EXISTS rw_exchange")
    names = sorted(mariadb_server.database(f"CREATE TABLE t{n} (a INT); INSERT INTO t{n} VALUES (1)") for n in (1, 2))
    wanted = {"type": "mysql", "url": mariadb_server.url(""), "all": True}
    lab = make_lab("local", domains={"shop": {"layer": "serving", "priority": "P0", "source": wanted}})
    lab.rw("backup")
    dump = lab.bare("dump", "latest", "/shop.sql").stdout
    found = part(dump)
    assert found[0][0] is None and b"CREATE USER IF NOT EXISTS `rw_admin`@`%`" in found[0][1]
    assert set(names) <= {head.name for head, _ in found if head is not None}
    assert not {head.name for head, _ in found if head is not None} & {*copies, "rw_exchange"}
    mariadb_server.drop(*names, *copies, "rw_exchange")
    (restored,) = [
        one for one in lab.json("db", "restore", "shop", "--only", names[0])["databases"] if one["database"] == names[0]
    ]
    assert restored["rows"] == 1 and restored["wrong"] == []
    mariadb_server.drop(restored["name"])
