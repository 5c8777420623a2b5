"""Drills of databases: what comes back is loaded into a server that is thrown away, compared, and asked."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from resticwrap.host.sealing import AgeSealing
from resticwrap.model.drills import DrillReport
from resticwrap.services import kit as kits
from resticwrap.services.choosing import Wish, choose
from resticwrap.services.databases import proving, reading
from resticwrap.services.drill import frame, l3, levels, rehearse
from resticwrap.services.drill.frame import Order
from resticwrap.services.stopwatch import Stopwatch
from tests.broken import wait_for
from tests.conftest import MakeLab
from tests.contract.engines import mysql, sqlite
from tests.handmade import cheap_age
from tests.lab import Lab
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

QUERY = {"sql": "SELECT count(*) FROM agent_cards", "at_least": 1000}


@pytest.fixture
def dumped(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[Lab]:
    """A lab with one database of a few rows, backed up."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute("CREATE TABLE agent_cards (id int PRIMARY KEY, name text)")
        connection.execute("CREATE TABLE empty_so_far (id int)")
        connection.execute("INSERT INTO agent_cards SELECT n, 'card ' || n FROM generate_series(1, 1000) n")
    url = postgres_server.url(name, user=postgres_server.user)
    source: dict[str, Any] = {"type": "postgres", "url": url, "queries": [QUERY]}
    lab = make_lab("local", domains={"app_db": {"layer": "serving", "priority": "P0", "source": source}})
    lab.rw("backup")
    yield lab
    postgres_server.drop(name)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place with a short path, so that a server's socket lies in it as well."""
    folder = Path(tempfile.mkdtemp(prefix="rw-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def queries(lab: Lab, *those: dict[str, Any]) -> None:
    """Have the policy ask these."""
    lab.domains["app_db"]["source"]["queries"] = list(those)
    lab.write_policies()


def test_a_drill_loads_a_database(dumped: Lab, scratch: Path) -> None:
    """All of it came back, was loaded, compared and asked; the stopwatch has both, the time to recover counts them, and
    the evidence names no table. Nothing is left."""
    report = dumped.json("drill", "l2", "--no-canary", "--scratch", str(scratch))
    (one,) = report["drill"]["domains"]
    loaded = one["loaded"]
    assert (loaded["databases"], loaded["tables"], loaded["rows"], loaded["queries"]) == (1, 2, 1000, 1)
    assert report["ok"] and not loaded["failures"] and not one["failures"]
    phases = report["drill"]["phases"]
    assert phases["load"] > 0 and phases["query"] > 0
    assert one["actual_rto"] >= phases["download"] + phases["load"] + phases["query"]
    with dumped.house() as built:
        (record,) = built.catalog.evidence("main", kind="drill")
        (snapshot,) = built.catalog.snapshots("main", "hot").values()
    assert record.event.body["domains"][0]["loaded"] == loaded and "agent_cards" not in str(record)
    assert snapshot.proven_at is not None
    assert os.listdir(scratch) == []
    assert "2 tables with 1,000 rows loaded in" in dumped.rw("drill", "show", report["job"]["id"]).out


def test_a_query_that_fails(dumped: Lab) -> None:
    """It fails the drill: nothing is proven, and the evidence says which one without a word of it."""
    queries(dumped, QUERY, {"sql": "SELECT count(*) FROM agent_cards", "equals": 999_999}, {"sql": "bad", "equals": 1})
    report = dumped.json("drill", "l2", "--no-canary", code=20)
    (one,) = report["drill"]["domains"]
    assert one["failures"] == [f"query {n} of the policy did not give what it should" for n in (2, 3)]
    assert any("1000 instead of 999999" in note for note in report["notes"])
    with dumped.house() as built:
        (record,) = built.catalog.evidence("main", kind="drill")
        (snapshot,) = built.catalog.snapshots("main", "hot").values()
    assert record.event.body["outcome"] == "failed" and "999999" not in json.dumps(record.event.body["domains"])
    assert snapshot.proven_at is None


def test_no_program_to_load_it_with(dumped: Lab, tmp_path: Path) -> None:
    """A drill that cannot load says so, and is no good one."""
    dumped.domains["app_db"]["source"]["scratch"] = {"by": "local", "bin": str(tmp_path)}
    dumped.write_policies()
    report = dumped.json("drill", "l2", "--no-canary", code=20)
    (one,) = report["drill"]["domains"]
    assert one["failures"] == ["there is no program here to load it with, so nobody knows whether it can be"]


def forged(monkeypatch: pytest.MonkeyPatch, forge: Callable[[bytes], bytes]) -> None:
    """Change what came back once it was compared with the snapshot: a dump that was like that from the start."""
    genuine = rehearse.bring_back

    def bring_back(*given: Any, **more: Any) -> rehearse.Back:
        back = genuine(*given, **more)
        file = Path(given[4]) / "app_db.sql"
        file.write_bytes(forge(file.read_bytes()))
        return back

    monkeypatch.setattr(levels, "bring_back", bring_back)


def drilled(lab: Lab) -> DrillReport:
    """An L2 inside this process."""
    with lab.house() as built:
        return levels.drill(built.context, levels.Asked(order=Order(level="l2"), canary=False))


def test_a_forged_dump(dumped: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose rows are not those that its digest was made of, though there are as many: the drill fails, and says what
    without saying of which table."""
    forged(monkeypatch, lambda data: data.replace(b"\tcard 77\n", b"\tcard 7x\n"))
    report = drilled(dumped)
    (one,) = report.drill.domains
    assert not report.ok and one.failed and one.failures == ("1 of 2 tables have other rows than the dump said",)
    assert any("agent_cards" in note for note in report.notes)
    with dumped.house() as built:
        (snapshot,) = built.catalog.snapshots("main", "hot").values()
    assert snapshot.proven_at is None


def but(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Another text in what is loaded, and not in what the dump says of it."""

    def forge(data: bytes) -> bytes:
        at = data.rindex(b" facts ")
        return data[:at].replace(old, new) + data[at:]

    return forge


FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a row is missing": (but(b"77\tcard 77\n", b""), "another number of rows"),
    "a table is missing": (but(b"empty_so_far", b"empty_or_not"), "1 of 2 tables did not come back"),
    "a definition is another": (but(b"PRIMARY KEY", b"UNIQUE"), "its definitions"),
    "it was cut": (lambda data: data[: len(data) // 2], "its dump is not whole"),
    "its end is gone": (lambda data: data[: data.rindex(b"\n", 0, -1) + 1], "its dump is not whole"),
    "it cannot be loaded": (but(b"CREATE TABLE", b"CREATE TALBE"), "could not be loaded"),
    "it is no dump": (lambda _: b"SELECT 1;\n", "its dump is not whole"),
}


def test_forgeries(dumped: Lab, tmp_path: Path) -> None:
    """Each is told, in words that name nothing, and leaves nothing."""
    with dumped.house() as built:
        context = built.context
        (choice,) = choose(context, Wish(("app_db",)))
        engine = context.engines("app_db", context.settings.domains["app_db"])
        assert engine is not None
        dumped.rw("restore", "--to", str(tmp_path / "back"))
        genuine = (tmp_path / "back" / "app_db").read_bytes()
        for number, (what, (forge, said)) in enumerate(FORGERIES.items()):
            file = tmp_path / f"{number}.sql"
            file.write_bytes(forge(genuine))
            assert file.read_bytes() != genuine, what
            folder = tmp_path / f"load{number}"
            proof = proving.prove(context, choice, engine, folder, Stopwatch(context.clock), file)
            assert not proof.ok and any(said in one for one in proof.said), (what, proof)
            assert "agent_cards" not in str(proof.said) and not folder.exists()


def rehearsed(lab: Lab, scratch: Path) -> DrillReport:
    """An L3 inside this process."""
    with lab.house() as built:
        return frame.run(built.context, Order(level="l3", scratch=scratch), l3.work(built.context))


def test_the_whole_system(dumped: Lab, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of a kit alone: the database is loaded and asked before the system is started, which finds its dump; a query
    that fails fails the drill. The kit has what leads to the database, and is the only one that has it."""
    monkeypatch.setattr(AgeSealing, "seal", lambda _, plain, passphrase: cheap_age(plain, passphrase))
    source = dumped.domains["app_db"]["source"]
    secret = dumped.folder / "app_db_url"
    secret.write_text(source["url"])
    source["url"], dumped.env["APP_DB_URL_FILE"] = "${APP_DB_URL}", str(secret)
    dumped.write_policies()
    there = ["sh", "-c", "grep -q 'card 77' app_db"]
    (dumped.folder / "policies" / "recovery.yaml").write_text(yaml.safe_dump({"system": {"health": there}}))
    with dumped.house() as built:
        kit = kits.gather(built.context)
    assert kit.variables["APP_DB_URL"] == secret.read_text() and "@" not in kit.policies["domains.yaml"]
    report = rehearsed(dumped, scratch)
    (one,) = report.drill.domains
    assert report.ok and one.loaded is not None and (one.loaded.rows, one.loaded.queries) == (1000, 1), report
    assert {"load", "query", "healthy"} <= report.drill.phases.keys() and not any(scratch.iterdir())
    assert one.actual_rto > one.loaded.load + one.loaded.query
    queries(dumped, {"sql": "SELECT max(id) FROM agent_cards", "at_most": 7})
    report = rehearsed(dumped, scratch)
    (one,) = report.drill.domains
    assert not report.ok and one.failures == ("query 1 of the policy did not give what it should",)
    assert any("1000, more than 7" in note for note in report.notes)
    with dumped.house() as built:
        texts = [str(record) for record in built.catalog.evidence("main", kind="drill")]
    assert len(texts) == 2 and not any("agent_cards" in text or "more than 7" in text for text in texts)


def test_an_emptied_table_keeps_everything(dumped: Lab, postgres_server: Postgres) -> None:
    """Nothing of a database that shrank is forgotten until somebody has looked, though it is one small file."""
    name = dumped.domains["app_db"]["source"]["url"].rpartition("/")[2]
    with postgres_server.admin(name) as connection:
        connection.execute("DELETE FROM agent_cards")
    dumped.rw("backup")
    plan = dumped.json("forget", "--dry-run")["plan"]
    assert "bytes" in plan["suspended"]["app_db"], plan
    dumped.rw("forget", "--looked", "app_db")
    assert not dumped.json("forget", "--dry-run")["plan"]["suspended"]


def command_lines() -> list[str]:
    """Of every process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def asking(lab: Lab) -> bool:
    """Whether a server that was made to be thrown away answers a query in this lab's database."""
    name = lab.domains["app_db"]["source"]["url"].rpartition("/")[2]
    return any(f" {name} [local] SELECT" in line for line in command_lines())


def serving(scratch: Path) -> bool:
    """Whether a server runs there."""
    return any(f"-D {scratch}/" in line for line in command_lines())


def test_a_killed_drill(dumped: Lab, scratch: Path) -> None:
    """Its server goes with it, and the next drill removes what it left."""
    queries(dumped, {"sql": "SELECT 1 FROM pg_sleep(60)", "equals": 1})
    child = dumped.start("drill", "l2", "--no-canary", "--scratch", str(scratch))
    try:
        wait_for(lambda: asking(dumped))
    finally:
        child.kill()
        child.communicate()
    wait_for(lambda: not asking(dumped) and not serving(scratch))
    queries(dumped, QUERY)
    assert os.listdir(scratch)
    dumped.rw("drill", "l2", "--no-canary", "--scratch", str(scratch))
    assert os.listdir(scratch) == []


def test_a_few_tables(dumped: Lab, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample of a database is of its tables that hold rows, each compared; with other rows it is damage, by name on
    this machine and without one in the evidence."""
    planned = dumped.json("drill", "l1", "--no-canary", "--dry-run", "--seed", "1")
    assert [(one["path"], one["reason"]) for one in planned["objects"]] == [("public.agent_cards", "longest")]
    report = dumped.json("drill", "l1", "--no-canary", "--seed", "1", "--scratch", str(scratch))
    (one,), (table,) = report["drill"]["domains"], report["drill"]["sample"]
    assert (table["path"], table["ok"], one["loaded"]["tables"], one["loaded"]["rows"]) == (
        "public.agent_cards", True, 1, 1000,
    )  # fmt: skip
    assert not one["whole"] and table["content_id"].startswith("sha256:") and os.listdir(scratch) == []
    with dumped.house() as built:
        genuine = reading.facts(built.context, choose(built.context, Wish(("app_db",)))[0])
    (cards,) = [one for one in genuine.databases[0].tables if one.rows]
    other = structs.replace(cards, digest="0" * 64)
    database = structs.replace(genuine.databases[0], tables=(other,))
    monkeypatch.setattr(reading, "facts", lambda *_: structs.replace(genuine, databases=(database,)))
    with dumped.house() as built:
        bad = levels.drill(built.context, levels.Asked(order=Order(level="l1"), canary=False))
        (first, _) = built.catalog.evidence("main", kind="drill")
    (row,) = bad.drill.sample
    assert not bad.ok and not row.ok and bad.drill.domains[0].failed == 1
    assert first.event.body["outcome"] == "failed" and "agent_cards" not in str(first)


def test_tables_of_mariadb(make_lab: MakeLab, mariadb_server: Mariadb, scratch: Path) -> None:
    """An L1 takes those of other servers as well."""
    with mysql(mariadb_server) as bench:
        bench.fill()
        lab = make_lab("local", domains={"app_db": bench.domain()})
        lab.rw("backup")
        report = lab.json("drill", "l1", "--no-canary", "--scratch", str(scratch))
    assert {one["path"] for one in report["drill"]["sample"]} == {"accounts", "cards"}, report["drill"]["sample"]
    assert report["drill"]["domains"][0]["loaded"]["tables"] == 2 and os.listdir(scratch) == []


def test_a_file_of_sqlite(make_lab: MakeLab, tmp_path: Path) -> None:
    """Its file is its sample; all of it is opened, compared and asked."""
    with sqlite(tmp_path) as bench:
        bench.fill()
        lab = make_lab("local", domains={"app_db": bench.domain()})
        lab.rw("backup")
    queries(lab, {"sql": "SELECT count(*) FROM cards", "equals": 999_999})
    (one,) = lab.json("drill", "l2", "--no-canary", code=20)["drill"]["domains"]
    assert one["loaded"]["rows"] and one["failures"] == ["query 1 of the policy did not give what it should"]
    sample = lab.json("drill", "l1", "--no-canary")["drill"]["sample"]
    assert "app.db" in {row["path"] for row in sample} and all(row["ok"] for row in sample)
