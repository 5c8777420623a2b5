"""Databases restored into new ones, over live ones, back again, and from one domain to another; a real PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.postgres import Postgres

ROWS = 300


class Site:
    """A lab with the database `prod` of domain `app_db`, backed up with `ROWS` cards."""

    def __init__(self, lab: Lab, server: Postgres, prod: str, test: str) -> None:
        self.lab, self.server, self.prod, self.test = lab, server, prod, test

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
            connection.execute(sql)  # type: ignore[call-overload]

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
    job, (kept,) = done["restored"], done["kept"]
    assert (done["mode"], done["databases"][0]["wrong"], done["safety"] != "") == ("replace", [], True)
    assert (site.cards(), site.cards(kept["kept"])) == (ROWS, 10)
    assert kept["kept"] == f"{site.prod}_before_{job}"
    site.run("INSERT INTO cards VALUES (1000, 'written since')")
    back = site.rw("undo", job)
    assert (site.cards(), site.cards(back["kept"][0]["kept"])) == (10, ROWS + 1)
    # What was written since the restore is in no snapshot.
    refused = site.rw("accept", job, code=1)
    assert refused["error"]["kind"] == "RestoreRefused" and "--force" in refused["error"]["hint"]
    site.rw("accept", job, "--force")
    assert site.names() == {site.prod, site.test}
    assert site.rw("undo", job, code=1)["error"]["kind"] == "RestoreRefused"
    # The safety snapshot has all that was live, so this one needs nobody's word.
    again = site.rw("restore", "app_db", "--replace", "--snapshot", done["snapshot"])
    site.rw("accept", again["restored"])
    assert site.names() == {site.prod, site.test} and site.cards() == ROWS
    with site.lab.house() as built:
        details = built.catalog.jobs("main", kind="restore")[1].details
    assert details["mode"] == "replace" and details["snapshots"] == {"app_db": done["snapshot"]}
