"""What is told of a job at work: to its story, to whoever listens on stderr, and how far it is."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.host.stories import FileStories
from resticwrap.model.job import ErrorInfo, Job
from resticwrap.model.running import JobProgress
from resticwrap.model.story import LogLine
from resticwrap.ports import Progress
from resticwrap.report.logs import LogFormat, LogHandler, format_of
from resticwrap.report.progress import QuietWatcher
from resticwrap.services.telling import Teller

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OURS = logging.getLogger("resticwrap")
RUN = logging.getLogger("resticwrap.process")


class Board:
    """Remembers what was posted."""

    def __init__(self) -> None:
        self.posted: list[JobProgress] = []
        self.dropped: list[str] = []

    def put(self, progress: JobProgress) -> None:
        self.posted.append(progress)

    def drop(self, job: str) -> None:
        self.dropped.append(job)

    def running(self, jobs: Sequence[Job]) -> Sequence[JobProgress]:
        return ()


class Scene:
    """A teller with a real folder of stories."""

    def __init__(self, folder: Path) -> None:
        self.clock = FixedClock(NOW)
        self.stories = FileStories(folder, self.clock)
        self.board = Board()
        self.teller = Teller(QuietWatcher(), self.stories, self.board, self.clock)

    def story(self, job: str) -> list[LogLine]:
        read = self.stories.read(job)
        assert read is not None
        return list(read[0])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def a_job(id: str = "snapshot_20261128T120000Z_3f9c2a") -> Job:
    return Job(id=id, kind="backup", target="main", outcome="running", started_at=NOW, host="lab", pid=7)


def ended(job: Job, **changed: object) -> Job:
    return msgspec.structs.replace(job, outcome="ok", finished_at=NOW, **changed)


@contextmanager
def heard(form: LogFormat, *, verbose: bool = False, quiet: bool = False) -> Iterator[None]:
    """As `cli/edge.py` listens."""
    before = (OURS.level, OURS.handlers, OURS.propagate)
    OURS.handlers, OURS.propagate = [LogHandler(form, verbose=verbose, quiet=quiet)], False
    OURS.setLevel(logging.INFO if form == "json" or verbose else logging.WARNING)
    try:
        yield
    finally:
        OURS.level, OURS.handlers, OURS.propagate = before


def test_a_story_from_its_beginning_to_its_end(scene: Scene) -> None:
    """What the watcher hears and what is run, in order, each line with the job; afterwards nothing is changed."""
    before, job = (OURS.level, list(OURS.handlers)), a_job()
    with scene.teller.job(job):
        scene.teller.begin("backup", ["exams"])
        scene.teller.update("exams", Progress())
        fields = {"pid": 9, "command": "restic backup"}
        RUN.info("[9] restic backup", extra={"fields": fields})
        RUN.debug("a detail")
        logging.getLogger("botocore").warning("a signature")
        scene.teller.note("waiting for\na lock")
        scene.teller.update("exams", Progress(bytes_done=5, files_done=2))
        scene.teller.done("exams", "ok")
        scene.teller.end()
        scene.teller.closed(ended(a_job("another")))
        scene.teller.closed(ended(job))
    RUN.warning("afterwards")
    lines = scene.story(job.id)
    assert [(line.level, line.message) for line in lines] == [
        ("info", "backup of target main began, on lab"),
        ("info", "backup: exams"),
        ("info", "exams: started"),
        ("info", "[9] started"),
        ("warning", "waiting for\na lock"),
        ("info", "exams: ok"),
        ("info", "ended: ok"),
    ]
    assert {line.job for line in lines} == {job.id}
    assert (lines[3].command, lines[5].files, lines[5].bytes, lines[6].outcome) == ("restic backup", 2, 5, "ok")
    assert (OURS.level, list(OURS.handlers)) == before


@pytest.mark.parametrize("closed", [True, False])
def test_a_failure_is_the_last_line(scene: Scene, closed: bool) -> None:
    """With its kind, its hint and its code; also where even the record could not be closed."""
    job = a_job()
    told = ErrorInfo(kind="Locked", message="It is locked.", hint="rw unlock", exit_code=11)

    def at_work() -> None:
        with scene.teller.job(job):
            if closed:
                scene.teller.closed(msgspec.structs.replace(job, outcome="failed", finished_at=NOW, error=told))
            raise errors.Locked("It is locked.", hint="rw unlock")

    with pytest.raises(errors.Locked):
        at_work()
    last = scene.story(job.id)[-1]
    assert last.level == "error"
    if closed:
        assert last.message == "ended: failed. It is locked."
        assert (last.kind, last.hint, last.exit_code) == ("Locked", "rw unlock", 11)
    else:
        assert last.outcome == "interrupted"


def test_a_job_within_a_job(scene: Scene) -> None:
    """Both stories have what the inner one did, and each line says which of the two it was."""
    outer, inner = a_job("upgrade_20261128T120000Z_000001"), a_job("snapshot_20261128T120000Z_000002")
    with scene.teller.job(outer):
        with scene.teller.job(inner):
            scene.teller.note("inside")
            scene.teller.closed(ended(inner))
        scene.teller.note("outside")
        scene.teller.closed(ended(outer))
    assert {line.job for line in scene.story(inner.id)} == {inner.id}
    whole = [(line.job, line.message) for line in scene.story(outer.id)]
    assert (inner.id, "inside") in whole and (outer.id, "outside") in whole and (inner.id, "ended: ok") in whole
    assert whole[-1] == (outer.id, "ended: ok")


def test_how_far_it_is(scene: Scene) -> None:
    """Posted where something changed, and a line of sums every half minute; a short job posts nothing."""
    with scene.teller.job(a_job()):
        scene.teller.begin("backup", ["exams", "images"])
        scene.teller.update("exams", Progress(bytes_done=5, bytes_total=10, files_done=2))
        scene.teller.done("images", "failed")
        told = scene.teller.at_work
        assert told is not None and scene.board.posted == []
        scene.teller.post(told)
        scene.teller.post(told)
        scene.clock.sleep(31)
        scene.teller.post(told)
        (posted,) = scene.board.posted
        assert [(piece.name, piece.outcome, piece.bytes_done) for piece in posted.pieces] == [
            ("exams", None, 5), ("images", "failed", 0),
        ]  # fmt: skip
        scene.teller.update("images", Progress(bytes_done=99))  # after its end, nothing counts
        scene.teller.post(told)
        assert len(scene.board.posted) == 1
    assert "1 of 2 done, running: exams" in [line.message for line in scene.story(a_job().id)]
    assert scene.board.dropped == [a_job().id]
    with scene.teller.job(a_job()):
        pass
    assert len(scene.board.dropped) == 1


def test_plain_logs(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """As they always were: warnings alone, once; with -v what is run besides."""
    for verbose, expected in ((False, ["a note"]), (True, ["run this", "a note"])):
        with heard("plain", verbose=verbose), scene.teller.job(a_job()):
            RUN.info("run this")
            scene.teller.note("a note")
        said = capsys.readouterr().err.splitlines()
        assert [line[9:] if verbose else line for line in said] == expected


def test_logs_as_json(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, with time, level and job: what is told of jobs, with -v what is run, with -q warnings alone."""
    shown = {}
    for name, options in {"as it is": {}, "-v": {"verbose": True}, "-q": {"quiet": True}}.items():
        with heard("json", **options), scene.teller.job(a_job()):
            RUN.info("run this")
            scene.teller.note("a \u2028 note\n\udcff")
            scene.teller.closed(ended(a_job()))
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert {line["job"] for line in lines} == {a_job().id} and all(line["time"].endswith("Z") for line in lines)
        shown[name] = [line["message"] for line in lines]
    begun, note = "backup of target main began, on lab", "a \u2028 note\n\\xff"
    assert shown == {"as it is": [begun, note, "ended: ok"], "-v": [begun, "run this", note, "ended: ok"], "-q": [note]}


def test_the_variable() -> None:
    """json or plain, and nothing that is taken for one of them."""
    assert [format_of(value) for value in (None, "", "plain", "json")] == ["plain", "plain", "plain", "json"]
    with pytest.raises(errors.UsageError):
        format_of("JSON")
