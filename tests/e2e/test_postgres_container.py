"""PostgreSQL in a container: dumped through its own client, by name and as a service, and loaded into one."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.planning.dumps import relation_of, sections
from tests.integration.test_postgres import domain, dumped, read
from tests.servers import engine
from tests.servers.postgres_container import Contained, start_contained


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    """One for the module, with a database of a few rows."""
    engine.require()
    with start_contained(tmp_path_factory.mktemp("project")) as made:
        made.sql("CREATE DATABASE app_db")
        made.sql(
            "CREATE TABLE cards AS SELECT n, md5(n::text) || repeat('x', 1000) AS t FROM generate_series(1, 100) n",
            "app_db",
        )
        yield made
        log = engine.docker("logs", made.name).stderr
    # The server is the first process of its container: whatever is left there becomes its child.
    assert "terminated by" not in log and "crash" not in log and "untracked" not in log, log


def test_by_name_and_as_a_service(contained: Contained, tmp_path: Path) -> None:
    """The same is dumped either way, by the container's own pg_dump; what comes back is the same in a scratch server of
    the same image."""
    container = {"service": "db", "project": str(contained.project)}
    of = domain(container=container, database="app_db", password=contained.password, scratch={"by": "container"})
    facts = dumped(of, tmp_path / "dump.sql")
    (said,) = facts.databases
    assert [(relation_of(table.name), table.rows) for table in said.tables] == [("public.cards", 100)]
    assert facts.server == of.live().version() == facts.client
    named = domain(container={"name": contained.name}, database="app_db", password=contained.password)
    assert dumped(named, tmp_path / "again.sql").databases == facts.databases
    with of.scratch(tmp_path, facts.server) as scratch:
        for section in sections(read(tmp_path / "dump.sql")):
            if section.head is None:
                scratch.take_globals(section.body, only_missing=True)
            else:
                scratch.create(section.head, "back")
                scratch.load("back", section.body)
        assert scratch.facts("back").tables == said.tables
    assert "resticwrap-scratch" not in engine.docker("ps", "-a", "--format", "{{.Names}}").stdout


def test_what_is_wrong_is_told(contained: Contained, tmp_path: Path) -> None:
    """No such service, container, password or database; a client of this machine that is too old for the server."""
    known = {"container": {"name": contained.name}, "database": "app_db", "password": contained.password}
    wrong: list[tuple[type[errors.Failure], dict[str, object]]] = [
        (errors.DatabaseUnavailable, {"container": {"service": "web", "project": str(contained.project)}}),
        (errors.DatabaseUnavailable, {"container": {"name": "no-such-container"}}),
        (errors.DatabaseRefused, {"password": "wrong-one"}),
        (errors.NotFound, {"database": "no_such"}),
        (errors.DatabaseRefused, {"user": "nobody_here"}),
    ]
    for kind, change in wrong:
        with pytest.raises(kind):
            dumped(domain(**known | change), tmp_path / "dump.sql")
    url = f"postgresql://postgres@{contained.address}/app_db"
    with pytest.raises(errors.ClientMissing, match="too old") as raised:
        dumped(domain(url=url, password=contained.password, bin="/usr/lib/postgresql/15/bin"), tmp_path / "dump.sql")
    assert "postgresql-client-" in raised.value.hint


def test_nothing_goes_on_in_it_when_we_are_killed(contained: Contained, tmp_path: Path) -> None:
    """Whoever reads is gone and the program that makes the dump killed: in the container nobody dumps on. The password
    is in no arguments there or here."""
    contained.sql("INSERT INTO cards SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 20000) n", "app_db")
    of = domain(container={"name": contained.name}, database="app_db", password=contained.password)
    with of.material("backup_1", "incremental") as material:
        assert not any(contained.password in word for word in material.command)
        maker = subprocess.Popen(material.command, stdout=subprocess.PIPE, pass_fds=material.fds, cwd="/")
        assert maker.stdout is not None
        assert len(maker.stdout.read(3 << 20)) == 3 << 20
        inside = contained.processes()
        assert "pg_dump" in inside and "psql" in inside and contained.password not in inside
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        maker.stdout.close()
    deadline = time.monotonic() + 10
    while {line.split()[1] for line in contained.processes().splitlines()} & {"pg_dump", "psql", "sh"}:
        assert time.monotonic() < deadline, contained.processes()
        time.sleep(0.1)
