"""What `rw doctor` says of databases, and of files of secrets in a repository of git."""

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres


@pytest.fixture
def lab(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[Lab]:
    """A lab with one database, in the name of a user who may not read all of it."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute('CREATE TABLE open (id int); GRANT SELECT ON open TO PUBLIC; CREATE TABLE "Shut" (id int)')
        connection.execute("CREATE TABLE rows (id int); ALTER TABLE rows ENABLE ROW LEVEL SECURITY")
        connection.execute("GRANT SELECT ON rows TO PUBLIC")
    source = {"type": "postgres", "url": postgres_server.url(name)}
    yield make_lab("local", domains={"app_db": {"layer": "serving", "priority": "P0", "source": source}})
    postgres_server.drop(name)


def said(lab: Lab, *, code: int) -> list[dict[str, Any]]:
    return [one for one in lab.json("doctor", code=code)["checks"] if one["name"] in ("database: app_db", "secrets")]


def use(lab: Lab, url: str) -> None:
    lab.domains["app_db"]["source"]["url"] = url
    lab.write_policies()


def test_a_database(lab: Lab, postgres_server: Postgres) -> None:
    """It answers, its user lacks rights, drills can load it; then all is well; then it lets us in no more."""
    name = lab.domains["app_db"]["source"]["url"].rpartition("/")[2]
    answers, rights, programs = said(lab, code=1)[-3:]
    assert answers["verdict"] == "ok" and "and pg_dump 1" in answers["detail"] and PASSWORD not in str(answers)
    assert rights["verdict"] == "fail" and "may not read 2 of its tables and sequences" in rights["detail"]
    assert 'public."Shut"' in rights["detail"] and "pg_read_all_data" in rights["hint"]
    assert programs["detail"].startswith("drills load it by /")
    use(lab, postgres_server.url(name, user=postgres_server.user))
    lab.domains["app_db"]["source"]["scratch"] = {"bin": "/nowhere/bin"}
    lab.write_policies()
    checks = said(lab, code=0)
    assert [one["verdict"] for one in checks if one["name"] != "secrets"] == ["ok", "warn"]
    lab.domains["app_db"]["source"] |= {"mode": "wal", "scratch": {}}
    lab.write_policies()
    details = [one["detail"] for one in said(lab, code=1)]
    assert "wal_level is minimal: no log is kept" in details and not any("replicate" in one for one in details)
    use(lab, postgres_server.url(name))
    assert "its user may not replicate, which fetching the log is" in [one["detail"] for one in said(lab, code=1)]
    use(lab, postgres_server.url(name, password="wrong-hush"))
    run = lab.rw("doctor", "--json", code=1)
    assert [one["verdict"] for one in run.json["checks"] if one["name"] == "database: app_db"] == ["fail"]
    assert "wrong-hush" not in run.out + run.err and postgres_server.password not in run.out + run.err


def test_other_makers(make_lab: MakeLab, mariadb_server: Mariadb, tmp_path: Path) -> None:
    """What a user of MariaDB lacks is named; a SQLite file is just there."""
    name = mariadb_server.database("CREATE TABLE t (a INT)")
    mariadb_server.run(
        f"CREATE USER lean@localhost IDENTIFIED BY 'lean'; GRANT SELECT, TRIGGER ON {name}.* TO lean@localhost"
    )
    sqlite3.connect(tmp_path / "desk.sqlite").close()
    (tmp_path / "desk.sqlite").touch()
    shop = {"type": "mysql", "url": mariadb_server.url(name, user="lean", password="lean", socket=True)}
    desk = {"type": "sqlite", "path": str(tmp_path / "desk.sqlite")}
    like = {"layer": "serving", "priority": "P0"}
    lab = make_lab("local", domains={"shop": {**like, "source": shop}, "desk": {**like, "source": desk}})
    checks = [one for one in lab.json("doctor", code=1)["checks"] if one["name"].startswith("database: ")]
    failed = [one for one in checks if one["verdict"] != "ok"]
    assert [one["detail"] for one in failed] == [f"{name}: its user lacks EVENT, SHOW VIEW"]
    assert failed[0]["hint"].startswith(f"GRANT EVENT, SHOW VIEW ON `{name}`.*")
    assert {one["name"] for one in checks} == {"database: shop", "database: desk"}
    assert [one["detail"] for one in checks if "drills" in one["detail"]] == ["drills load it by /usr/sbin/mariadbd"]
    mariadb_server.run(f"GRANT EVENT, SHOW VIEW ON {name}.* TO lean@localhost")
    assert all(one["verdict"] == "ok" for one in lab.json("doctor")["checks"] if one["name"] == "database: shop")
    mariadb_server.run("DROP USER lean@localhost")
    mariadb_server.drop(name)


def test_a_file_of_secrets_in_a_repository(make_lab: MakeLab, tmp_path: Path) -> None:
    """Once git tracks it, somebody publishes it sooner or later."""
    root = tmp_path / "app"
    root.mkdir()
    (root / ".env").write_text("HUSH=1")
    (root / ".env").chmod(0o600)
    source = {"type": "secrets", "root": str(root), "files": [".env"]}
    lab = make_lab("local", domains={"config": {"layer": "serving", "priority": "P0", "source": source}})
    for words in (("init", "-q"), ("add", ".env")):
        subprocess.run(("git", "-C", str(root), *words), check=True, timeout=60)
    (one,) = said(lab, code=0)
    assert (one["verdict"], one["detail"]) == ("warn", f"{root}/.env (of domain config) is tracked by git in {root}")
    subprocess.run(("git", "-C", str(root), "rm", "-q", "--cached", ".env"), check=True, timeout=60)
    (one,) = said(lab, code=0)
    assert one["verdict"] == "ok"
