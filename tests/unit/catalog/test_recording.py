"""Records outlive a catalogue that is down and a process that is killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.catalog.state import FolderState
from resticwrap.errors import CatalogUnavailable, DiskFull, Failure
from resticwrap.model.job import Job
from resticwrap.services.recording import Recorder
from tests.unit.catalog.samples import HOST, a_job, a_run, a_snapshot, at, closed


@pytest.fixture
def state(tmp_path: Path) -> FolderState:
    return FolderState(tmp_path)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    made = SqlCatalog(default_url(tmp_path), busy_timeout=0.2)
    yield made
    made.close()


@pytest.fixture
def recorder(state: FolderState, catalog: SqlCatalog) -> Recorder:
    return Recorder(state, lambda: catalog)


def no_catalog() -> NoReturn:
    raise AssertionError("the catalogue was asked")


def nobody(job: Job) -> bool:
    return False


def damaged(tmp_path: Path) -> Callable[[], SqlCatalog]:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "catalog.sqlite").write_bytes(b"noise" * 2000)
    return lambda: SqlCatalog(default_url(tmp_path / "broken"))


def read_only(tmp_path: Path) -> Callable[[], SqlCatalog]:
    made = SqlCatalog(default_url(tmp_path / "other"))
    made.jobs("oss")
    made.close()
    return lambda: SqlCatalog(f"sqlite:///file:{tmp_path}/other/catalog.sqlite?mode=ro&uri=true")


def full(tmp_path: Path) -> Callable[[], SqlCatalog]:
    def factory() -> SqlCatalog:
        raise DiskFull("There is no room left.", hint="Make room.")

    return factory


def test_opening_asks_no_catalogue(state: FolderState) -> None:
    Recorder(state, no_catalog).open(a_job())
    assert state.spooled() == [a_job()]


def test_a_job_passes_through_the_spool_into_the_catalogue(
    recorder: Recorder, state: FolderState, catalog: SqlCatalog
) -> None:
    recorder.open(a_job())
    assert recorder.settle() is None
    assert catalog.open_jobs("oss") == state.spooled() == [a_job()]
    end = closed(a_job(), domains=(a_run(),))
    assert recorder.close(end) is None
    assert state.spooled() == []
    assert catalog.jobs("oss") == [end]


@pytest.mark.parametrize("fault", [damaged, read_only, full])
def test_a_catalogue_that_is_down_costs_a_warning(
    fault: Callable[[Path], Callable[[], SqlCatalog]],
    tmp_path: Path,
    state: FolderState,
    catalog: SqlCatalog,
) -> None:
    """Nothing is lost, and the next settle brings everything in."""
    broken = Recorder(state, fault(tmp_path))
    ends = [closed(a_job(f"job-{n}", started_at=at(n)), domains=(a_run(looked_at=at(n)),)) for n in range(3)]
    warning: str | None = None
    for end in ends:
        broken.open(a_job(end.id))
        warning = broken.close(end)
    assert warning is not None
    assert "3 records kept in the spool" in warning
    assert state.spooled() == ends
    assert Recorder(state, lambda: catalog).settle() is None
    assert list(catalog.jobs("oss")) == ends[::-1]
    assert state.spooled() == []


def test_snapshots_are_recorded_with_their_job(recorder: Recorder, catalog: SqlCatalog) -> None:
    runs = (a_run("exams"), a_run("profiles", outcome="unchanged", snapshot="c" * 64))
    recorder.close(closed(a_job(), domains=runs), {"exams": a_snapshot("a", time=at(0.5))})
    (known,) = catalog.snapshots("oss", "hot").values()
    assert (known.original, known.time, known.complete) == ("a" * 64, at(0.5), True)


def test_snapshots_are_told_from_the_record_where_the_catalogue_was_down(
    state: FolderState, catalog: SqlCatalog, tmp_path: Path
) -> None:
    """A partial look that wrote nothing names the old snapshot: that one stays complete."""
    catalog.put_snapshots("oss", "hot", [(a_snapshot("c"), True)])
    runs = (a_run("exams"), a_run("profiles", outcome="partial", snapshot="c" * 64))
    Recorder(state, damaged(tmp_path)).close(closed(a_job(), domains=runs), {"exams": a_snapshot("a")})
    Recorder(state, lambda: catalog).settle()
    known = catalog.snapshots("oss", "hot")
    assert {name[0]: (snapshot.complete, snapshot.size) for name, snapshot in known.items()} == {
        "a": (True, 7000),
        "c": (True, 7000),
    }


def test_a_strict_opening_needs_the_catalogue(
    recorder: Recorder, state: FolderState, catalog: SqlCatalog, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)) as other:
        catalog.jobs("oss")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogUnavailable):
            recorder.open_strict(a_job(kind="restore"))
        assert state.spooled() == []
    assert catalog.open_jobs("oss") == []
    recorder.open_strict(a_job(kind="restore"))
    assert catalog.open_jobs("oss") == state.spooled() == [a_job(kind="restore")]


def test_an_end_that_cannot_be_spooled_goes_to_the_catalogue(
    state: FolderState, catalog: SqlCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state directory is full; the catalogue may lie elsewhere."""

    def no_room(job: Job, *, flush: bool = True) -> None:
        raise DiskFull("There is no room left.")

    recorder = Recorder(state, lambda: catalog)
    recorder.open(a_job())
    broken = Recorder(state, damaged(tmp_path))
    monkeypatch.setattr(state, "spool", no_room)
    with pytest.raises(DiskFull):
        broken.close(closed(a_job()))
    assert state.spooled() == [a_job()]
    recorder.close(closed(a_job()))
    assert (state.spooled(), catalog.jobs("oss")) == ([], [closed(a_job())])


@pytest.mark.parametrize("end", [True, False])
def test_killed_between_spool_and_settle(end: bool, state: FolderState, catalog: SqlCatalog, tmp_path: Path) -> None:
    """A closed record reaches the catalogue as it is; an open one is closed as interrupted by the next start."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from resticwrap.catalog.state import FolderState\n"
        "from resticwrap.services.recording import Recorder\n"
        "from tests.unit.catalog.samples import a_job, closed\n"
        "def killed():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "recorder = Recorder(FolderState(Path(sys.argv[1])), killed)\n"
        "recorder.open(a_job())\n"
        f"recorder.close(closed(a_job())) if {end} else recorder.settle()\n"
    )
    path = ":".join(filter(None, sys.path))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL
    recorder = Recorder(state, lambda: catalog)
    left = recorder.interrupted("oss", HOST, at(60), nobody)
    assert [job.outcome for job in left] == ([] if end else ["interrupted"])
    assert recorder.settle() is None
    (job,) = catalog.jobs("oss")
    if end:
        assert job == closed(a_job())
    else:
        assert (job.outcome, job.finished_at, job.error and job.error.exit_code) == ("interrupted", at(60), 130)
    assert (state.spooled(), catalog.open_jobs("oss")) == ([], [])


def test_only_dead_jobs_of_ours_and_of_the_target_are_interrupted(
    recorder: Recorder, state: FolderState, catalog: SqlCatalog
) -> None:
    recorder.open(a_job("alive-1"))
    recorder.open(a_job("dead-1"))
    recorder.open(a_job("renamed-1", host="container-1"))
    recorder.open(a_job("local-1", target="local"))
    catalog.open_job(a_job("dead-2"))
    catalog.open_job(a_job("elsewhere-2", host="school-2"))
    closed_ids = {job.id for job in recorder.interrupted("oss", HOST, at(9), lambda job: job.id.startswith("alive"))}
    assert closed_ids == {"dead-1", "dead-2", "renamed-1"}
    assert {job.id for job in state.spooled()} == {"alive-1", "local-1"}
    assert {job.id for job in catalog.jobs("oss") if job.outcome == "interrupted"} == closed_ids


def test_the_spool_alone_tells_what_a_crash_left(state: FolderState) -> None:
    """No database is opened on the way to the next backup."""
    recorder = Recorder(state, no_catalog)
    recorder.open(a_job())
    assert len(recorder.interrupted("oss", HOST, at(9), nobody, in_catalog=False)) == 1
    assert recorder.interrupted("oss", HOST, at(9), nobody, in_catalog=False) == ()
    assert [job.outcome for job in state.spooled()] == ["interrupted"]


def test_a_job_that_ends_while_we_look_is_not_called_interrupted(
    recorder: Recorder, state: FolderState, catalog: SqlCatalog
) -> None:
    recorder.open(a_job())
    recorder.settle()

    def ends_now(job: Job) -> bool:
        recorder.close(closed(job))
        return False

    assert recorder.interrupted("oss", HOST, at(9), ends_now) == []
    assert catalog.jobs("oss") == [closed(a_job())]


def test_a_catalogue_that_is_down_hides_no_interrupted_job(state: FolderState, tmp_path: Path) -> None:
    recorder = Recorder(state, damaged(tmp_path))
    recorder.open(a_job())
    assert len(recorder.interrupted("oss", HOST, at(9), nobody)) == 1


def test_settling_in_another_process_does_not_take_a_running_record_away(
    recorder: Recorder, state: FolderState, catalog: SqlCatalog
) -> None:
    """What one process brings in as running, another may be closing at that very moment."""
    recorder.open(a_job())
    Recorder(state, lambda: catalog).settle()
    state.spool(closed(a_job()))
    Recorder(state, lambda: catalog).settle()
    catalog.open_job(a_job())
    assert catalog.jobs("oss") == [closed(a_job())]


def test_a_spool_that_cannot_be_written_stops_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure):
        Recorder(FolderState(tmp_path / "file"), no_catalog).open(a_job())
