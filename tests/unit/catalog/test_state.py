"""The small files of the state directory are whole, private and never silently lost."""

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from resticwrap.catalog.state import FolderState
from resticwrap.errors import DiskFull, Failure
from resticwrap.model.evidence import Chain, Event, Head
from resticwrap.model.job import Job
from resticwrap.model.verified import VerifyRecord
from resticwrap.ports import StateFiles
from tests.unit.catalog.samples import a_job, a_latest, a_manifest, a_pin, a_run, at, closed, job_values


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "made" / "state"


@pytest.fixture
def state(root: Path) -> FolderState:
    return FolderState(root)


def test_is_the_port(state: FolderState) -> None:
    """The type checker holds the adapter against the port. Asking writes nothing."""
    port: StateFiles = state
    assert (port.spooled(), port.latest("oss"), port.pins("oss")) == ([], None, {})


def test_asking_makes_no_folder(state: FolderState, root: Path) -> None:
    state.spooled()
    state.unspool("job-1")
    state.latest("oss")
    assert not root.parent.exists()


def test_files_and_folders_are_private(state: FolderState, root: Path) -> None:
    state.spool(a_job())
    state.spool(a_job(), flush=False)
    state.put_latest(a_latest())
    state.put_pins("oss", {"hot": a_pin("hot")})
    state.keep(a_manifest())
    found = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o777 for path in root.rglob("*")}
    assert found == {
        "spool": 0o700,
        "pins": 0o700,
        f"spool/{a_job().id}.json": 0o600,
        f"spool/{a_job().id}.progress": 0o600,
        "latest_oss.json": 0o600,
        "manifests": 0o700,
        "manifests/oss": 0o700,
        f"manifests/oss/{a_manifest().job_id}.json": 0o600,
        "pins/oss.json": 0o600,
    }
    assert root.stat().st_mode & 0o777 == 0o700


def test_what_is_spooled_comes_back_oldest_first(state: FolderState) -> None:
    late, early = a_job("a-late", started_at=at(5)), closed(a_job("b-early"), domains=(a_run(),))
    state.spool(late)
    state.spool(early)
    assert state.spooled() == [early, late]
    state.unspool("a-late")
    state.unspool("a-late")
    assert state.spooled() == [early]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job_values)
def test_any_job_comes_back_as_it_was(state: FolderState, job: Job) -> None:
    state.spool(job)
    assert job in state.spooled()
    state.unspool(job.id)


def test_progress_counts_until_the_end(state: FolderState, root: Path) -> None:
    state.spool(a_job())
    state.spool(a_job(bytes_done=5), flush=False)
    assert [job.bytes_done for job in state.spooled()] == [5]
    end = closed(a_job())
    state.spool(end)
    assert state.spooled() == [end]
    state.spool(a_job(bytes_done=6), flush=False)
    assert state.spooled() == [end]
    state.unspool(end.id)
    assert list((root / "spool").iterdir()) == []


def test_progress_that_a_power_cut_emptied_costs_no_record(state: FolderState, root: Path) -> None:
    state.spool(a_job())
    (root / "spool" / f"{a_job().id}.progress").write_bytes(b"")
    assert state.spooled() == [a_job()]


def test_an_unreadable_record_is_set_aside(state: FolderState, root: Path) -> None:
    for _ in range(2):
        (root / "spool").mkdir(parents=True, exist_ok=True)
        (root / "spool" / "job-1.json").write_bytes(b'{"half":')
        assert state.spooled() == []
    aside = list((root / "spool").iterdir())
    assert len(aside) == 2
    assert {path.read_bytes() for path in aside} == {b'{"half":'}


def test_manifests_are_kept_by_target_oldest_first(state: FolderState, root: Path) -> None:
    late, early, other = a_manifest("a-late", started_at=at(5)), a_manifest("b-early"), a_manifest(target="s3")
    for manifest in (late, early, early, other):
        state.keep(manifest)
    assert state.kept("oss") == [early, late]
    state.drop(early)
    state.drop(early)
    assert state.kept("oss") == [late]
    (root / "manifests" / "s3" / f"{other.job_id}.json").write_text("noise")
    assert state.kept("s3") == state.kept("local") == []
    assert len(list((root / "manifests" / "s3").iterdir())) == 1


def test_records_are_kept_beside_manifests(state: FolderState, root: Path) -> None:
    """Each in a folder of its own, and gone when it is dropped."""
    manifest, record = a_manifest(), VerifyRecord(job=a_job("check-1", kind="verify"))
    state.keep(record)
    state.keep(manifest)
    assert state.kept("oss") == [manifest, record]
    assert (root / "records" / "oss" / "check-1.json").stat().st_mode & 0o777 == 0o600
    state.drop(record)
    assert state.kept("oss") == [manifest]


def test_another_targets_latest_is_not_taken(state: FolderState, root: Path) -> None:
    state.put_latest(a_latest("oss"))
    assert state.latest("oss") == a_latest("oss")
    (root / "latest_oss.json").rename(root / "latest_s3.json")
    assert state.latest("s3") is None
    (root / "latest_s3.json").write_text("noise")
    assert state.latest("s3") is None


def test_pins_come_back_and_are_never_guessed(state: FolderState, root: Path) -> None:
    pins = {"hot": a_pin("hot"), "cold": a_pin("cold")}
    state.put_pins("oss", pins)
    assert state.pins("oss") == pins
    (root / "pins" / "oss.json").write_bytes(b"")
    with pytest.raises(Failure, match="damaged"):
        state.pins("oss")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "nul\0"])
def test_a_name_is_one_file(state: FolderState, name: str) -> None:
    with pytest.raises(Failure, match="cannot be the name"):
        state.spool(a_job(name))
    with pytest.raises(Failure, match="cannot be the name"):
        state.latest(name)


@pytest.mark.parametrize("step", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_file(
    state: FolderState, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The disk fills at an exact point of writing; what was there before is untouched and nothing lies beside it."""
    state.spool(a_job())

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync" if step == "fsync" else "fdopen", full)
        with pytest.raises(DiskFull):
            state.spool(closed(a_job()))
    assert state.spooled() == [a_job()]
    assert [path.name for path in (root / "spool").iterdir()] == [f"{a_job().id}.json"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the way")
    state = FolderState(tmp_path / "state")
    with pytest.raises(Failure, match="cannot be used"):
        state.spool(a_job())
    with pytest.raises(Failure, match="cannot be used"):
        state.spooled()


def test_a_reader_never_sees_half_a_file(state: FolderState) -> None:
    state.spool(a_job())
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            state.spool(a_job(details={"long": "x" * 50_000}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(len(state.spooled()) == 1 for _ in range(100))
    finally:
        stop.set()
        writer.join()


def test_events_wait_until_they_arrived(state: FolderState, root: Path) -> None:
    """Oldest first; one that is kept again is kept once; one that cannot be read is set aside and stays."""
    later, first = (Event(id=f"event_{n}", kind="gate", at=at(n), by="root", host="vm") for n in (2, 1))
    for event in (later, first, first):
        state.wait("oss", event)
    (root / "evidence" / "oss" / "event_3.json").write_text("{")
    assert (state.waiting("oss"), state.waiting("local")) == ([first, later], [])
    assert [file.suffix for file in (root / "evidence" / "oss").glob("event_3*")] == [".unreadable"]
    state.arrived("oss", first)
    state.arrived("oss", first)
    assert state.waiting("oss") == [later]


def test_a_chain_that_cannot_be_read_is_not_taken_for_none(state: FolderState, root: Path) -> None:
    """A new one would hide that the old one was cut."""
    assert state.chain("oss") is None
    chain = Chain(installation="a", head=Head(installation="a", seq=3, digest="d" * 64, at=at(1)), event="event_1")
    state.put_chain("oss", chain)
    assert (state.chain("oss"), state.chain("local")) == (chain, None)
    (root / "evidence" / "oss.json").write_text("{}")
    with pytest.raises(Failure, match="cannot be read"):
        state.chain("oss")
