"""Machines that share a repository, and the catalogue on PostgreSQL: what each has stays its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from resticwrap.catalog.jobs import SqlCatalog
from tests.conftest import MakeLab
from tests.lab import SERVING, Lab, tree
from tests.servers.postgres import Postgres, postgres_bin, start_postgres


def rename(lab: Lab, host: str, *formerly: str) -> None:
    """Give its policies a host name."""
    file = lab.folder / "policies" / "domains.yaml"
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**content, "host": host, "formerly": list(formerly)}))


def machine(make_lab: MakeLab, host: str, url: str = "", like: Lab | None = None) -> Lab:
    """A machine by this host name, on a repository of its own or on another one's; `exams` and one of its own."""
    lab = make_lab("local", ready=like is None, **({"path": str(like.store)} if like else {}))
    if url:
        lab.env["RW_CATALOG_URL"] = url
    lab.domains = {"exams": lab.domains["exams"], host: lab.files(host, SERVING)}
    lab.write_policies()
    rename(lab, host)
    for domain in ("exams", host):
        lab.write(f"{domain}/of", f"{host}'s {domain}")
    if like is not None:
        lab.rw("init")
    return lab


def refused(lab: Lab) -> str:
    """Why `exams` is not backed up."""
    (run,) = lab.json("backup", "--domain", "exams", code=2)["job"]["domains"]
    return f"{run['error']['message']} {run['error']['hint']}"


def snapshots(lab: Lab, domain: str = "") -> set[tuple[str, str, str]]:
    rows = lab.json("snapshots", *(("--domain", domain) if domain else ()))
    return {(row["tier"], row["snapshot"]["host"], row["snapshot"]["tags"]["domain"]) for row in rows}


@pytest.fixture(params=["files", "postgres"])
def two(request: pytest.FixtureRequest, make_lab: MakeLab) -> tuple[Lab, Lab]:
    """web1, which has backed up, and web2 in the same repository: each with its own catalogue, or with one for both."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    web1 = machine(make_lab, "web1", url)
    web1.rw("backup")
    return web1, machine(make_lab, "web2", url, like=web1)


def test_a_domain_of_another_machine_is_left_to_it(two: tuple[Lab, Lab]) -> None:
    """Under the same name nothing is backed up, restored, put in place or forgotten across; what has a name of its own
    goes on, and no record of one is taken for a look of the other."""
    web1, web2 = two
    before = snapshots(web1)
    report = web2.json("backup", code=3)
    errors = {run["domain"]: (run.get("error") or {}).get("kind") for run in report["job"]["domains"]}
    assert errors == {"exams": "NameTaken", "web2": None}
    assert "web1's, which had it first" in refused(web2)
    assert "web1's" in web2.rw("backup", "--dry-run", "--domain", "exams", code=3).out
    assert snapshots(web1) - before == {("hot", "web2", "web2")}
    assert {row["outcome"] for row in web1.json("history", "--domain", "exams")["rows"]} == {"ok"}
    assert "host web1" in web2.rw("restore", "--domain", "exams", "--to", "back", code=1).err
    web2.rw("restore", "--to", "mine")
    assert [path.name for path in (web2.folder / "mine").iterdir()] == ["web2"]
    (theirs,) = {row["snapshot"]["id"] for row in web2.json("snapshots", "--domain", "exams")}
    assert "host web1" in web2.rw("restore", "--in-place", "--snapshot", theirs, code=1).err
    web2.rw("restore", "--snapshot", theirs, "--to", "named")
    assert (web2.folder / "named" / "exams" / "of").read_text() == "web1's exams"
    failed = {one["name"] for one in web2.json("doctor", code=1)["checks"] if one["verdict"] == "fail"}
    assert failed == {"name: exams"}
    verdicts = web2.json("forget", "--dry-run", "--domain", "exams")["plan"]["verdicts"]
    assert verdicts and all("host web1's" in one["reasons"][0] for one in verdicts)
    web1.rw("restore", "--domain", "exams", "--to", "back")
    assert tree(web1.folder / "back" / "exams") == tree(web1.data / "exams")


def test_a_machine_that_takes_anothers_place_says_so(make_lab: MakeLab) -> None:
    """Then its snapshots are the parents, and come back; a machine whose name changed unawares is told."""
    web1 = machine(make_lab, "web1")
    web1.rw("backup")
    rename(web1, "web9")
    assert "formerly: [web1]" in refused(web1)
    rename(web1, "web9", "web1")
    (run,) = web1.json("backup", "--domain", "exams")["job"]["domains"]
    assert (run["outcome"], run["type"]) == ("unchanged", "incremental")
    web1.copy_state_away()
    web1.rw("init")
    web1.rw("restore", "--domain", "exams", "--to", "back")
    assert tree(web1.folder / "back" / "exams") == tree(web1.data / "exams")


def test_who_promised_a_name_first_has_it(make_lab: MakeLab, postgres_url: str) -> None:
    """Before there is a snapshot: the catalogue says whose it is, also while the first backup fails."""
    web1 = machine(make_lab, "web1", postgres_url)
    web2 = machine(make_lab, "web2", postgres_url, like=web1)
    shutil.rmtree(web1.data / "exams")
    web1.rw("backup", code=3)
    assert "web1's" in refused(web2)
    web1.write("exams/of", "web1's")
    web1.rw("backup")
    assert snapshots(web2, "exams") == {("hot", "web1", "exams")}


def test_one_name_of_a_target_is_one_repository(make_lab: MakeLab, postgres_url: str) -> None:
    """Another machine's target of that name is told apart: its backups go on, its records wait, nothing is removed."""
    web1 = machine(make_lab, "web1", postgres_url)
    web1.rw("backup")
    web2 = make_lab("local", ready=False)
    web2.rw("init")
    web2.env["RW_CATALOG_URL"] = postgres_url
    rename(web2, "web2")
    report = web2.json("backup", code=None)
    assert report["job"]["outcome"] == "ok" and "another name" in " ".join(report["warnings"])
    assert web2.json("forget", code=1)["error"]["kind"] == "CatalogUnavailable"
    assert len(web1.json("history")["rows"]) == 2
    bare = make_lab("local", ready=False)
    bare.env["RW_CATALOG_URL"] = postgres_url
    rename(bare, "web3")
    assert "another name" in bare.rw("init", code=10).err
    assert not (bare.store / bare.namespace / "hot" / "config").exists()


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A PostgreSQL that the test may stop."""
    if postgres_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with start_postgres() as server:
        yield server


def test_while_the_server_is_away(make_lab: MakeLab, own_server: Postgres) -> None:
    """Backup, verify and restore beside go on and their records wait; what removes or overwrites does not start. When
    it answers again, nothing is missing."""
    url = own_server.url(own_server.database())
    lab = machine(make_lab, "web1", url)
    lab.rw("backup")
    own_server.stop()
    lab.write("exams/new", "new")
    report = lab.json("backup")
    assert report["job"]["outcome"] == "ok" and "cannot be reached" in " ".join(report["warnings"])
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--domain", "exams", "--to", "back")
    for command in (["forget"], ["prune", "--now"], ["restore", "--in-place", "--domain", "exams"], ["tier", "run"]):
        run = lab.rw(*command, code=1)
        assert "cannot be reached" in run.err and own_server.password not in run.out + run.err
    assert "cannot be reached" in lab.rw("status", code=1).err
    assert "cannot be reached" in lab.rw("doctor", code=1).out
    own_server.start()
    lab.rw("backup")
    jobs = {row["job"]: row["outcome"] for row in lab.json("history")["rows"] if row["domain"] == "exams"}
    assert list(jobs.values()) == ["unchanged", "ok", "ok"]
    assert [job["kind"] for job in lab.json("history")["jobs"]] == ["restore", "verify"]


def test_a_rebuild_takes_nothing_from_other_machines(make_lab: MakeLab, postgres_url: str) -> None:
    """Their runs, what they promise, their open jobs and other targets stay as they were."""
    web1 = machine(make_lab, "web1", postgres_url)
    web1.rw("backup")
    web2 = machine(make_lab, "web2", postgres_url, like=web1)
    web2.rw("backup", "--domain", "web2")
    catalog = SqlCatalog(postgres_url)

    def everything() -> list[Any]:
        with catalog.database.reading() as connection:
            names = ("jobs", "domain_runs", "host_domains", "snapshots", "scheduled_runs", "alert_events")
            return [connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in names]

    (theirs,) = (job for job in catalog.jobs("main", kind="backup") if len(job.domains) == 2)
    before, promised = everything(), catalog.host_domains()
    web2.rw("catalog", "rebuild")
    assert everything() == before and catalog.host_domains() == promised
    assert catalog.job(theirs.id) == theirs
    assert {(one.host, one.domain) for one in promised} == {("web1", "exams"), ("web1", "web1"), ("web2", "web2")}
    catalog.close()


def test_the_address_may_lie_in_a_file(make_lab: MakeLab, postgres_url: str, tmp_path: Path) -> None:
    lab = machine(make_lab, "web1")
    (tmp_path / "url").write_text(f"{postgres_url}\n")
    lab.env["RW_CATALOG_URL_FILE"] = str(tmp_path / "url")
    lab.rw("backup")
    assert not (lab.state / "catalog.sqlite").exists()
    catalog = SqlCatalog(postgres_url)
    assert len(catalog.jobs("main")) == 1
    catalog.close()
    lab.env["RW_CATALOG_URL_FILE"] = str(tmp_path / "nowhere")
    run = lab.rw("status", code=2)
    assert "cannot be read" in run.err and (make_url(postgres_url).password or "") not in run.err
