"""A catalogue on PostgreSQL: how its tables are made and moved, how machines share it, and how it fails."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from resticwrap.catalog import postgres
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.catalog.migrate import SCRIPTS
from resticwrap.catalog.tables import HEAD, metadata
from resticwrap.errors import CatalogUnavailable, DiskFull
from tests.servers.child import free_ports
from tests.servers.postgres import Postgres
from tests.unit.catalog.samples import a_job, a_run, a_snapshot, closed

SCHEMA = (
    """SELECT table_name, column_name, data_type, is_nullable, character_maximum_length, column_default
    FROM information_schema.columns WHERE table_schema = 'public'""",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
)


@pytest.fixture
def catalog(postgres_url: str) -> Iterator[SqlCatalog]:
    made = SqlCatalog(postgres_url, busy_timeout=0.3)
    yield made
    made.close()


def database(url: str) -> str:
    return make_url(url).database or ""


def sql(server: Postgres, url: str, *statements: str) -> None:
    """What the administrator of the server does to a database."""
    with server.admin(database(url)) as connection:
        for statement in statements:
            connection.execute(statement)


def schema(server: Postgres, url: str) -> list[Any]:
    with server.admin(database(url)) as connection:
        return [sorted(map(str, connection.execute(query).fetchall())) for query in SCHEMA]


def migrated(url: str, revision: str) -> None:
    """Leave a catalogue of an older schema there, as an older `rw` made it."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    engine = create_engine(make_url(url).set(drivername=postgres.DRIVER))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_an_older_catalogue_becomes_what_a_fresh_one_is(
    postgres_server: Postgres, catalog: SqlCatalog, postgres_url: str, revision: str
) -> None:
    """Column by column, index by index; and the code's tables are what the steps make."""
    migrated(postgres_url, revision)
    catalog.close_job(closed(a_job(), domains=(a_run(),)))
    with catalog.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
    fresh = postgres_server.url(postgres_server.database())
    made = SqlCatalog(fresh)
    made.open_job(a_job())
    made.close()
    assert schema(postgres_server, postgres_url) == schema(postgres_server, fresh)
    postgres_server.drop(database(fresh))


def together(work: Sequence[Callable[[], object]]) -> list[Exception]:
    """All of it at once; what was raised."""
    raised: list[Exception] = []
    go = threading.Barrier(len(work))

    def one(do: Callable[[], object]) -> None:
        go.wait()
        try:
            do()
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            raised.append(error)

    threads = [threading.Thread(target=one, args=(do,)) for do in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_machines_make_and_write_one_catalogue_at_the_same_moment(postgres_url: str) -> None:
    """They meet before there are tables, then write the same jobs and snapshots in other orders: no record is lost,
    none is doubled, and nobody waits for somebody who waits for him."""
    machines = [SqlCatalog(postgres_url) for _ in range(4)]
    assert together([partial(one.open_job, a_job("same-job")) for one in machines]) == []
    shared = [closed(a_job(f"job-{n:03}"), domains=(a_run(snapshot=f"s{n}"),)) for n in range(40)]
    found = [(a_snapshot(original=f"s{n}"), True) for n in range(40)]

    def settle(machine: SqlCatalog, step: int) -> None:
        for job in shared[::step]:
            machine.close_job(job)
        machine.put_snapshots("oss", "hot", found[::step])
        machine.forget_snapshots("oss", "hot", ["s0"])
        machine.put_snapshots("oss", "hot", found[::-step])

    assert together([partial(settle, one, step) for one, step in zip(machines, (1, -1) * 2, strict=True)]) == []
    assert (len(machines[0].history("oss")), len(machines[1].snapshots("oss", "hot"))) == (40, 40)
    assert [job.id for job in machines[2].open_jobs("oss")] == ["same-job"]
    for machine in machines:
        machine.close()


def test_what_is_read_is_of_one_moment(catalog: SqlCatalog, postgres_url: str) -> None:
    catalog.close_job(closed(a_job("first-job")))
    other = SqlCatalog(postgres_url)
    with catalog.database.reading() as connection:
        count = text("SELECT count(*) FROM jobs")
        assert connection.execute(count).scalar() == 1
        other.close_job(closed(a_job("second-job")))
        assert connection.execute(count).scalar() == 1
    assert len(catalog.jobs("oss")) == 2
    other.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_usual_spellings_are_known(postgres_server: Postgres, postgres_url: str, scheme: str) -> None:
    """Parameters of libpq pass through: what the address says is taken, not what we would set."""
    url = postgres_server.url(database(postgres_url), scheme=scheme) + "?application_name=ours&connect_timeout=3"
    catalog = SqlCatalog(url)
    with catalog.database.reading() as connection:
        assert connection.dialect.name == "sqlite"  # there is none yet
    catalog.open_job(a_job())
    with catalog.database.reading() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "ours"
    catalog.close()


def fault(server: Postgres, url: str, kind: str) -> str:
    """Break something; returns the address by which it is met."""
    name = database(url)
    match kind:
        case "away":
            return url.replace(f":{server.port}/", f":{free_ports(1)[0]}/")
        case "password":
            return server.url(name, password="wrong-geheim")
        case "database":
            return server.url("nowhere")
        case "tls":
            return f"{url}?sslmode=verify-full"
        case "crowded":
            sql(server, url, f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        case "standby":
            sql(server, url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        case "grants":
            sql(server, url, f"ALTER DATABASE {name} OWNER TO {server.user}", "REVOKE ALL ON SCHEMA public FROM PUBLIC")
            sql(server, url, "GRANT USAGE ON SCHEMA public TO PUBLIC")
    return url


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("away", "cannot be reached"),
        ("password", "password authentication failed"),
        ("database", "does not exist"),
        ("tls", "cannot be reached"),
        ("crowded", "too many connections"),
        ("standby", "may only be read"),
        ("grants", "does not let this role"),
    ],
)
def test_what_keeps_us_out_is_named_without_the_password(
    postgres_server: Postgres, postgres_url: str, kind: str, said: str
) -> None:
    """For reading and for writing alike, each with what to do."""
    catalog = SqlCatalog(fault(postgres_server, postgres_url, kind))
    with pytest.raises(CatalogUnavailable, match=said) as caught:
        catalog.open_job(a_job())
    told = f"{caught.value.message} {caught.value.hint} {caught.value!r} {caught.value.__cause__}"
    assert caught.value.hint and postgres_server.password not in told and "geheim" not in told
    if kind not in ("standby", "grants"):
        with pytest.raises(CatalogUnavailable, match=said):
            catalog.jobs("oss")
        with pytest.raises(CatalogUnavailable):
            assert catalog.present
    catalog.close()


def refuse(catalog: SqlCatalog, server: Postgres, url: str, state: str) -> None:
    """Have every new job end in this SQLSTATE, as the server itself would."""
    catalog.open_job(a_job())
    sql(
        server,
        url,
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no' USING ERRCODE = '{state}'; "
        "END$$",
        "CREATE TRIGGER refuse BEFORE INSERT ON jobs EXECUTE FUNCTION refuse()",
    )


def test_a_full_disk_is_one(postgres_server: Postgres, catalog: SqlCatalog, postgres_url: str) -> None:
    refuse(catalog, postgres_server, postgres_url, "53100")
    with pytest.raises(DiskFull, match="no room left"):
        catalog.open_job(a_job("another"))


def test_another_writer_of_the_same_target_is_waited_for_and_then_named(
    postgres_server: Postgres, catalog: SqlCatalog, postgres_url: str
) -> None:
    """Who writes of another target, and who reads, is not kept waiting."""
    catalog.open_job(a_job())
    with postgres_server.admin(database(postgres_url)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (postgres.number("rw catalogue oss"),))
        with pytest.raises(CatalogUnavailable, match="is busy"):
            catalog.close_job(closed(a_job()))
        catalog.open_job(a_job("elsewhere", target="local"))
        assert len(catalog.open_jobs("oss")) == 1
    catalog.close_job(closed(a_job()))


def test_a_connection_that_broke_is_made_anew(
    postgres_server: Postgres, catalog: SqlCatalog, postgres_url: str
) -> None:
    """Between two questions nobody notices; in the middle of a record nothing of it is kept."""
    catalog.open_job(a_job())
    postgres_server.break_all(database(postgres_url))
    assert len(catalog.open_jobs("oss")) == 1

    def cut() -> None:
        with catalog.database.writing("oss") as connection:
            connection.execute(text("DELETE FROM jobs"))
            postgres_server.break_all(database(postgres_url))
            connection.execute(text("SELECT 1"))

    with pytest.raises(CatalogUnavailable, match="cannot be reached"):
        cut()
    assert len(catalog.open_jobs("oss")) == 1


def test_a_server_that_stands_still_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, postgres_server: Postgres, postgres_url: str
) -> None:
    """It has taken the question and never answers, as where its disk hangs: then another connection is tried."""
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 0)
    catalog = SqlCatalog(postgres_url)
    catalog.open_job(a_job())
    with postgres_server.admin() as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        pids = [pid for (pid,) in connection.execute(query, (database(postgres_url),)).fetchall()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert len(catalog.open_jobs("oss")) == 1
        assert 1 <= time.monotonic() - began < 8
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        catalog.close()


def test_its_clock_is_told(catalog: SqlCatalog) -> None:
    assert (catalog.database.clock() or 0) > 1.7e9
