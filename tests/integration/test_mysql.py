"""MariaDB: out of its server into a snapshot and back, with whatever a schema may hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from resticwrap.cancel import Cancel
from resticwrap.model.sources import MysqlSource
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
