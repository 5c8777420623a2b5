"""How the catalogue is made, moved to a newer schema, shared by processes, and how it fails."""

import multiprocessing
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.catalog.tables import HEAD
from resticwrap.errors import CatalogUnavailable, DiskFull
from tests.unit.catalog.samples import a_job, a_run, a_snapshot, closed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "catalog.sqlite"


@pytest.fixture
def catalog(file: Path) -> Iterator[SqlCatalog]:
    made = SqlCatalog(default_url(file.parent), busy_timeout=0.2)
    yield made
    made.close()


def schema(file: Path) -> list[str]:
    """Every statement that makes the schema, with white space evened out."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return sorted(re.sub(r"\s+", " ", sql).replace("( ", "(").replace(" )", ")") for (sql,) in rows)


def set_pragma(catalog: SqlCatalog, pragma: str) -> None:
    """Give every further connection a limit, as the operating system would."""

    def limit(connection: sqlite3.Connection, entry: Any) -> None:
        connection.execute(pragma)

    catalog.close()
    event.listen(catalog.database.engine, "connect", limit)


def test_a_fresh_catalogue_is_private_and_durable(catalog: SqlCatalog, file: Path) -> None:
    catalog.open_job(a_job())
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {found.stat().st_mode & 0o777 for found in file.parent.iterdir()} == {0o600}
    with catalog.database.reading() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert values == ["wal", 2]
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_any_path_can_hold_it(tmp_path: Path) -> None:
    for name in ("a b", "50%20", "what?x=1#y", "学校"):
        catalog = SqlCatalog(default_url(tmp_path / name))
        catalog.open_job(a_job())
        catalog.close()
        assert (tmp_path / name / "catalog.sqlite").stat().st_size > 0


def test_alembic_makes_the_same_schema(catalog: SqlCatalog, file: Path, tmp_path: Path) -> None:
    """A catalogue that was migrated and one that was made fresh are alike, to the letter."""
    catalog.open_job(a_job())
    other = tmp_path / "migrated" / "catalog.sqlite"
    other.parent.mkdir()
    with closing(sqlite3.connect(other)) as connection:
        connection.execute(next(sql for sql in schema(file) if "alembic_version" in sql))
    migrated = SqlCatalog(default_url(other.parent))
    migrated.close_job(closed(a_job(), domains=(a_run(),)))
    assert len(migrated.history("oss")) == 1
    migrated.close()
    assert schema(other) == schema(file)
    with closing(sqlite3.connect(other)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_alembic_sees_nothing_to_change(catalog: SqlCatalog) -> None:
    """A change of the tables without a migration is found here."""
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from resticwrap.catalog.migrate import SCRIPTS
    from resticwrap.catalog.tables import metadata

    with catalog.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_failed_migration_changes_nothing(catalog: SqlCatalog, file: Path) -> None:
    """The steps of an upgrade are one transaction: here its second table is in the way."""
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("CREATE TABLE domain_runs (x)")
    before = schema(file)
    with pytest.raises(CatalogUnavailable):
        catalog.jobs("oss")
    catalog.close()
    assert schema(file) == before


@pytest.mark.parametrize(("version", "said"), [("0999", "newer rw"), ("0000x", "does not know")])
def test_a_schema_we_do_not_know_is_refused(catalog: SqlCatalog, file: Path, version: str, said: str) -> None:
    catalog.open_job(a_job())
    catalog.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.commit()
    with pytest.raises(CatalogUnavailable, match=said) as caught:
        catalog.open_job(a_job("another"))
    assert "rw catalog rebuild" in caught.value.hint
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(version,)]


def test_only_what_is_needed_is_imported(file: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from resticwrap.catalog.state import FolderState\n"
        f"FolderState(Path({str(file.parent)!r})).spooled()\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "from resticwrap.catalog.jobs import SqlCatalog\n"
        "from resticwrap.catalog.database import default_url\n"
        f"SqlCatalog(default_url(Path({str(file.parent)!r}))).jobs('oss')\n"
        "assert 'sqlalchemy.orm' not in sys.modules\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _write(folder: Path, name: str, count: int, go: Any) -> None:
    catalog = SqlCatalog(default_url(folder))
    go.wait()
    for number in range(count):
        job = a_job(f"{name}-{number:03}")
        catalog.open_job(job)
        catalog.close_job(closed(job, domains=(a_run(),)))
        catalog.put_snapshots("oss", "hot", [(a_snapshot(original=f"{name}{number}"), True)])


def test_processes_write_at_once(file: Path, catalog: SqlCatalog) -> None:
    """They begin together on a catalogue that is not there yet, and no record is lost."""
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    writers = [spawn.Process(target=_write, args=(file.parent, name, 25, go)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    go.set()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(catalog.jobs("oss")) == len(catalog.history("oss")) == len(catalog.snapshots("oss", "hot")) == 50


def test_threads_write_at_once(file: Path) -> None:
    catalog = SqlCatalog(default_url(file.parent))
    threads = [
        threading.Thread(target=catalog.close_job, args=(closed(a_job(f"job-{n}"), domains=(a_run(),)),))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalog.history("oss")) == 8
    catalog.close()


def test_a_locked_catalogue_says_so(catalog: SqlCatalog, file: Path) -> None:
    """A writer that does not let go holds up writing, and not reading."""
    catalog.open_job(a_job())
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogUnavailable, match="locked"):
            catalog.close_job(closed(a_job()))
        assert len(catalog.open_jobs("oss")) == 1
    catalog.close_job(closed(a_job()))
    assert catalog.open_jobs("oss") == []


def ask(catalog: SqlCatalog) -> None:
    catalog.jobs("oss")
    catalog.history("oss")


@pytest.mark.parametrize("keep", [0, 100, 8192])
def test_a_damaged_catalogue_is_named_and_kept(catalog: SqlCatalog, file: Path, keep: int) -> None:
    """Noise from byte `keep` on: the header, the schema or the tables."""
    catalog.close_jobs(closed(a_job(f"job-{n:03}"), domains=(a_run(),)) for n in range(100))
    catalog.close()
    noise = file.read_bytes()[:keep] + b"noise" * 9000
    file.write_bytes(noise)
    with pytest.raises(CatalogUnavailable, match="damaged") as caught:
        ask(catalog)
    assert "rw catalog rebuild" in caught.value.hint
    catalog.close()
    assert file.read_bytes() == noise


def test_a_damaged_record_is_named(catalog: SqlCatalog) -> None:
    catalog.open_job(a_job())
    with catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET record = '{}'")
    with pytest.raises(CatalogUnavailable, match="record of a job"):
        catalog.jobs("oss")


def test_a_full_disk_is_named(catalog: SqlCatalog) -> None:
    """SQLite's own limit of pages ends in the very error of a full disk."""
    catalog.open_job(a_job())
    set_pragma(catalog, "PRAGMA max_page_count = 1")
    with pytest.raises(DiskFull):
        catalog.close_jobs(closed(a_job(f"job-{n:04}"), domains=(a_run(),)) for n in range(400))
    assert [job.id for job in catalog.jobs("oss")] == [a_job().id]


def test_a_file_that_may_not_grow_is_named(file: Path) -> None:
    """The operating system refuses the write (EFBIG), as a quota or a broken disk would."""
    code = (
        "import resource, sys\n"
        "from resticwrap.catalog.jobs import SqlCatalog\n"
        "from resticwrap.errors import CatalogUnavailable\n"
        "from tests.unit.catalog.samples import a_job, a_run, closed\n"
        "catalog = SqlCatalog(sys.argv[1])\n"
        "catalog.open_job(a_job())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    catalog.close_jobs(closed(a_job(f'job-{n:04}'), domains=(a_run(),)) for n in range(500))\n"
        "except CatalogUnavailable:\n"
        "    assert len(catalog.jobs('oss')) == 1\n"
        "    sys.exit(7)\n"
    )
    command = [sys.executable, "-c", code, default_url(file.parent)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}).returncode == 7


def test_a_catalogue_that_may_only_be_read_is_read(catalog: SqlCatalog, file: Path) -> None:
    catalog.open_job(a_job())
    catalog.close()
    reader = SqlCatalog(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert len(reader.open_jobs("oss")) == 1
    with pytest.raises(CatalogUnavailable, match="readonly"):
        reader.close_job(closed(a_job()))
    reader.close()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(CatalogUnavailable, match="cannot be"):
            SqlCatalog(default_url(folder)).open_job(a_job())
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(CatalogUnavailable, match="cannot be"):
        SqlCatalog(default_url(tmp_path)).open_job(a_job())


@pytest.mark.parametrize("url", ["", "no url", "nothing://u:geheim@host/db"])
def test_an_address_that_makes_no_sense_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(CatalogUnavailable) as caught:
        SqlCatalog(url)
    assert "geheim" not in caught.value.message + caught.value.hint


def test_errors_do_not_show_what_was_written(catalog: SqlCatalog) -> None:
    catalog.open_job(a_job())
    with pytest.raises(CatalogUnavailable) as caught, catalog.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO jobs (id) VALUES (?)", ("geheim",))
    assert "geheim" not in f"{caught.value} {caught.value.__cause__}"


def test_a_catalogue_that_was_moved_aside_is_not_written_to(catalog: SqlCatalog, file: Path) -> None:
    """A process that had it open goes on with the new one; what it would write to the old one, nobody would read."""
    catalog.open_job(a_job("first-job"))
    aside = file.parent.with_name("aside")
    shutil.move(file.parent, aside)
    catalog.open_job(a_job("second-job"))
    assert [job.id for job in catalog.jobs("oss")] == ["second-job"]
    old = SqlCatalog(default_url(aside))
    assert [job.id for job in old.jobs("oss")] == ["first-job"]
    old.close()


def test_an_unfinished_catalogue_is_finished(catalog: SqlCatalog, file: Path) -> None:
    """Killed between making the file and its tables."""
    file.parent.mkdir()
    file.touch()
    assert catalog.jobs("oss") == []
