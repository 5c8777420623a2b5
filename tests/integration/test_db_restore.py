"""Databases restored into new ones, over live ones, back again, and from one domain to another; a real PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeLab
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import Lab
from tests.servers.postgres import Postgres

ROWS = 300


class Site:
    """A lab with the database `prod` of domain `app_db`, backed up with `ROWS` cards."""

    def __init__(self, lab: Lab, server: Postgres, prod: str, test: str) -> None:
        self.lab, self.server, self.prod, self.test = lab, server, prod, test

    @property
    def first(self) -> str:
        """The snapshot that has all cards."""
        return str(self.lab.json("snapshots")[0]["snapshot"]["id"])

    def cards(self, name: str = "") -> int | None:
        """How many there are now; None where there is no such database."""
        try:
            with self.server.admin(name or self.prod) as connection:
                found = connection.execute("SELECT count(*) FROM cards").fetchone()
        except psycopg.OperationalError:
            return None
        assert found is not None
        return int(found[0])

    def run(self, sql: str, name: str = "") -> None:
        with self.server.admin(name or self.prod) as connection:
            connection.execute(sql)

    def names(self) -> set[str]:
        """The databases of this site: those that are named for it, and all that a restore is working on."""
        with self.server.admin() as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
        return {name for (name,) in found if name.startswith((self.prod, self.test, "rw_restore_"))}

    def rw(self, *words: str, code: int | None = 0) -> Any:
        return self.lab.json("db", *words, code=code)

    def clean(self) -> None:
        for name in self.names():
            self.server.drop(name)


def source(server: Postgres, name: str, **more: Any) -> dict[str, Any]:
    url = server.url(name, user=server.user)
    return {"layer": "serving", "priority": "P0", "source": {"type": "postgres", "url": url, **more}}


@pytest.fixture
def site(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[Site]:
    """Production with a backup, and a database `test` of domain `test_db` without rows."""
    prod, test = postgres_server.database(), postgres_server.database()
    lab = make_lab("local", domains={"app_db": source(postgres_server, prod), "test_db": source(postgres_server, test)})
    built = Site(lab, postgres_server, prod, test)
    for name in (prod, test):
        built.run("CREATE TABLE cards (id int PRIMARY KEY, name text)", name)
    built.run(f"INSERT INTO cards SELECT n, 'card ' || n FROM generate_series(1, {ROWS}) n")
    lab.rw("backup", "--domain", "app_db")
    yield built
    built.clean()


def test_replace_undo_accept(site: Site) -> None:
    """Over the live one, back, and over it again until somebody accepts; each step says what the next may be."""
    site.run("DELETE FROM cards WHERE id > 10")
    with site.server.admin(site.prod) as somebody:
        done = site.rw("restore", "app_db", "--replace")
        with pytest.raises(psycopg.OperationalError):
            somebody.execute("SELECT 1")
    fits(ELSEWHERE["db restore"], done, "db restore")
    job, (kept,) = done["restored"], done["kept"]
    assert (done["mode"], done["databases"][0]["wrong"], done["safety"] != "") == ("replace", [], True)
    assert (site.cards(), site.cards(kept["kept"])) == (ROWS, 10)
    assert kept["kept"] == f"{site.prod}_before_{job}"
    site.run("INSERT INTO cards VALUES (1000, 'written since')")
    back = site.rw("undo", job)
    fits(ELSEWHERE["db undo"], back, "db undo")
    assert (site.cards(), site.cards(back["kept"][0]["kept"])) == (10, ROWS + 1)
    # What was written since the restore is in no snapshot.
    refused = site.rw("accept", job, code=1)
    assert refused["error"]["kind"] == "RestoreRefused" and "--force" in refused["error"]["hint"]
    # Nor is it known of one that nobody may look into.
    site.run(f"""ALTER DATABASE "{back["kept"][0]["kept"]}" ALLOW_CONNECTIONS false""")
    assert site.rw("accept", job, code=1)["error"]["kind"] == "RestoreRefused"
    assert back["kept"][0]["kept"] in site.names()
    fits(ELSEWHERE["db accept"], site.rw("accept", job, "--force"), "db accept")
    assert site.names() == {site.prod, site.test}
    assert site.rw("undo", job, code=1)["error"]["kind"] == "RestoreRefused"
    # The safety snapshot has all that was live, so this one needs nobody's word.
    again = site.rw("restore", "app_db", "--replace", "--snapshot", done["snapshot"])
    site.rw("accept", again["restored"])
    assert site.names() == {site.prod, site.test} and site.cards() == ROWS
    with site.lab.house() as built:
        details = built.catalog.jobs("main", kind="restore")[1].details
    assert details["mode"] == "replace" and details["snapshots"] == {"app_db": done["snapshot"]}


def test_into_new_ones(site: Site) -> None:
    """A name of its own, or the one that is given; never one that is there. A dry run makes none, and says the same."""
    planned = site.rw("restore", "app_db", "--into", f"{site.prod}_new", "--dry-run")
    assert (planned["mode"], planned["databases"][0]["name"]) == ("planned", f"{site.prod}_new")
    assert site.names() == {site.prod, site.test}
    own = site.rw("restore", "app_db")["databases"][0]["name"]
    assert own.startswith(f"{site.prod}_") and site.cards(own) == ROWS
    refused = site.rw("restore", "app_db", "--into", site.test, code=1)["error"]
    assert refused["kind"] == "RestoreRefused" and "--replace" in refused["hint"]
    # Over another one than the domain's, of which there is no snapshot: only somebody's word drops it.
    done = site.rw("restore", "app_db", "--into", site.test, "--replace")
    assert (site.cards(site.test), site.cards(), done["safety"]) == (ROWS, ROWS, "")
    assert site.rw("accept", done["restored"], code=1)["error"]["kind"] == "RestoreRefused"
    site.rw("undo", done["restored"])
    assert site.cards(site.test) == 0
    assert site.rw("restore", "app_db", "--only", "nobody", code=1)["error"]["kind"] == "NotFound"
    assert site.rw("restore", "app_db", "--force", code=2)["error"]["kind"] == "UsageError"


def test_copy_and_list(site: Site) -> None:
    """Production goes over test, and test is put back; never production over itself, by whatever name."""
    site.lab.domains["alias"] = source(site.server, site.prod)
    site.lab.domains["alias"]["source"]["url"] = site.server.url(site.prod, user=site.server.user).replace(
        "127.0.0.1", "localhost"
    )
    site.lab.domains["gone"] = source(site.server, site.prod)
    site.lab.domains["gone"]["source"]["url"] = "postgresql://nobody@127.0.0.1:1/gone"
    site.lab.write_policies()
    done = site.rw("copy", "app_db", "test_db")
    fits(ELSEWHERE["db copy"], done, "db copy")
    assert (done["mode"], done["domain"], done["source"]) == ("copy", "test_db", "app_db")
    assert site.cards(site.test) == ROWS and done["databases"][0]["name"] == site.test
    report = site.rw("list", code=3)
    listed = {row["domain"]: row for row in report["rows"]}
    fits(ELSEWHERE["db list: with rows"]["rows"], [listed["app_db"], listed["test_db"]], "db list")
    assert [one["name"] for one in listed["app_db"]["databases"]] == [site.prod]
    assert listed["app_db"]["version"] and listed["app_db"]["databases"][0]["size"] > 0
    assert listed["app_db"]["snapshot"] == done["snapshot"]
    assert [one["command"] for one in listed["test_db"]["kept"]] == [f"rw db accept {done['restored']}"]
    assert listed["gone"]["error"] and not listed["gone"]["version"]
    assert [row["domain"] for row in site.rw("list", "--domain", "test_db")["rows"]] == ["test_db"]
    assert any(done["restored"] in said for said in site.lab.json("status")["notes"])
    site.rw("undo", done["restored"])
    assert site.cards(site.test) == 0
    for words in (("app_db", "alias"), ("app_db", "app_db")):
        assert "very database" in site.rw("copy", *words, code=2)["error"]["message"]
    assert site.cards() == ROWS


def test_what_is_not_as_expected_is_not_exchanged(site: Site) -> None:
    """Queries of the policy are asked before; --force is for who has looked. Into a new one they are told of."""
    query = {"sql": "SELECT count(*) FROM cards", "at_least": 1000}
    site.lab.domains["app_db"] = source(site.server, site.prod, queries=[query])
    site.lab.write_policies()
    site.run("DELETE FROM cards WHERE id > 10")
    refused = site.rw("restore", "app_db", "--replace", code=20)["error"]
    assert "300, less than 1000" in refused["message"] and "--force" in refused["hint"]
    assert site.cards() == 10 and site.names() == {site.prod, site.test}
    beside = site.rw("restore", "app_db", "--snapshot", site.first, code=3)["databases"][0]
    assert beside["unexpected"] == ["SELECT count(*) FROM cards: gives 300, less than 1000"]
    site.rw("restore", "app_db", "--replace", "--force", "--snapshot", site.first, code=3)
    assert site.cards() == ROWS
