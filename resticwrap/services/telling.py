"""Tells of jobs while they run: their story, line by line, and how far they are.

It is the watcher that services talk to, and hands on to the one on the screen what it hears. All of it goes through
`logging` besides, below `resticwrap.job`, where what `process.py` logs (each restic that was run) comes in as well.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from resticwrap.clock import Clock
from resticwrap.model.job import DomainRun, Job
from resticwrap.model.running import JobProgress, PieceProgress
from resticwrap.model.story import LogLine
from resticwrap.ports import Progress, Watcher
from resticwrap.services.story_ports import Board, Stories, Story

OURS = "resticwrap"
JOB_LOG = "resticwrap.job"
"""The logger of what is told of jobs; everything else below `resticwrap` is what they are made of."""
SHOWN_ELSEWHERE = "resticwrap.report"
"""The watchers on the screen log what they were told by us: that would be in the story twice."""
POST_EVERY = 1.0
HEARTBEAT = 30.0
LEVELS = {"ok": logging.INFO, "partial": logging.WARNING}
FIELDS = frozenset(LogLine.__struct_fields__)
log = logging.getLogger(JOB_LOG)


def line_of(record: logging.LogRecord, clock: Clock) -> LogLine:
    """A record of `logging` as a line. What it says besides its message stands in its `fields`."""
    told: Mapping[str, Any] = getattr(record, "fields", {})
    # The command itself stands in a field of its own, and need not be there twice.
    message = record.getMessage() if "command" not in told else f"[{told['pid']}] started"
    return LogLine(
        time=clock.now(),
        level=record.levelname.lower(),
        message=message,
        logger=record.name,
        job=getattr(record, "job", None),
        run=getattr(record, "run", None),
        **{name: value for name, value in told.items() if name in FIELDS},
    )


class Stamp(logging.Filter):
    """Gives each record that passes a handler the id of the job that is at work. Of several the last to begin counts,
    whose stamp comes last."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job

    def filter(self, record: logging.LogRecord) -> bool:
        record.job = self._job
        return True


class StoryHandler(logging.Handler):
    """Writes what is logged while a job runs into its story."""

    def __init__(self, story: Story, clock: Clock) -> None:
        super().__init__(logging.INFO)
        self._story = story
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(SHOWN_ELSEWHERE):
            self._story.write(line_of(record, self._clock))


@dataclass(eq=False)
class Told:
    """A job at work."""

    job: Job
    beat: float
    phase: str = ""
    pieces: dict[str, PieceProgress] = field(default_factory=dict)
    changed: bool = False
    posted: bool = False
    ended: Job | None = None


class Teller(Watcher):
    """One for each installation in this process. Jobs within jobs (the backup of an upgrade) are told of in both
    stories, each line with the id of its own job."""

    def __init__(self, shown: Watcher, stories: Stories, board: Board, clock: Clock) -> None:
        """`shown`: the watcher on the screen."""
        self._shown = shown
        self._stories = stories
        self._board = board
        self._clock = clock
        self._jobs: list[Told] = []
        self._mutex = threading.Lock()

    @contextmanager
    def job(self, job: Job) -> Iterator[None]:
        """The time in which a job is at work."""
        story = self._stories.begin(job.id)
        told = Told(job, beat=self._clock.monotonic())
        with _listening(job.id, StoryHandler(story, self._clock)):
            self._jobs.append(told)
            what = f"{job.type} {job.kind}" if job.type else job.kind
            say(f"{what} of target {job.target} began, on {job.host}", pid=job.pid)
            try:
                with self._posting(told):
                    yield
            finally:
                level, message, fields = ending(job, told.ended)
                # The last line of the story, whatever room there is; then for those who listen elsewhere.
                story.close(
                    LogLine(
                        time=self._clock.now(),
                        level=logging.getLevelName(level).lower(),
                        message=message,
                        job=job.id,
                        logger=JOB_LOG,
                        **fields,
                    )
                )
                say(message, level=level, **fields)
                self._jobs.remove(told)
                if told.posted:
                    self._board.drop(job.id)
                self._stories.prune(self._clock.now())

    def closed(self, job: Job) -> None:
        """The record of a job was closed: what it did with each domain. How it ended is told at its very end."""
        for told in self._jobs:
            if told.job.id == job.id and told.ended is None:
                told.ended = job
                for run in job.domains:
                    _say_run(run)

    # The port Watcher

    def begin(self, title: str, names: Sequence[str]) -> None:
        self._shown.begin(title, names)
        if told := self.at_work:
            with self._mutex:
                told.phase = title
                told.pieces = {name: PieceProgress(name=name) for name in names}
                told.changed = True
        say(f"{title}: {', '.join(names)}" if names else title)

    def update(self, name: str, progress: Progress) -> None:
        self._shown.update(name, progress)
        if not (told := self.at_work):
            return
        with self._mutex:
            piece = told.pieces.get(name)
            if piece is not None and piece.outcome is not None:
                return
            began = None if piece is None else piece.started_at
            told.pieces[name] = PieceProgress(
                name=name,
                started_at=began or self._clock.now(),
                bytes_done=progress.bytes_done,
                bytes_total=progress.bytes_total,
                files_done=progress.files_done,
                files_total=progress.files_total,
                seconds_left=progress.seconds_left,
                errors=progress.errors,
            )
            told.changed = True
        if began is None:
            say(f"{name}: started", domain=name)

    def done(self, name: str, outcome: str) -> None:
        self._shown.done(name, outcome)
        now = self._clock.now()
        with self._mutex:
            told = self.at_work
            piece = (told.pieces.get(name) if told else None) or PieceProgress(name=name)
            piece = msgspec.structs.replace(
                piece, started_at=piece.started_at or now, finished_at=now, outcome=outcome, seconds_left=None
            )
            if told:
                told.pieces[name] = piece
                told.changed = True
        say(
            f"{name}: {outcome}",
            level=logging.INFO if outcome in ("ok", "unchanged") else logging.WARNING,
            domain=name,
            outcome=outcome,
            seconds=_seconds(piece),
            files=piece.files_done,
            bytes=piece.bytes_done,
        )

    def note(self, text: str) -> None:
        self._shown.note(text)
        say(text, level=logging.WARNING)

    def end(self) -> None:
        self._shown.end()
        if told := self.at_work:
            told.phase, told.changed = "finishing", True

    @property
    def at_work(self) -> Told | None:
        """The job at work, of several the last to begin."""
        return self._jobs[-1] if self._jobs else None

    @contextmanager
    def _posting(self, told: Told) -> Iterator[None]:
        """Beside the job, once a second: a job that is shorter costs nothing, and one that says nothing for an hour is
        seen all the same."""
        stop = threading.Event()

        def post() -> None:
            while not stop.wait(POST_EVERY):
                self.post(told)

        thread = threading.Thread(target=post, name="telling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def post(self, told: Told) -> None:
        """Say how far a job is, where that has changed; and every half minute in its story, so that it tells how the
        job went on."""
        now = self._clock.monotonic()
        with self._mutex:
            beat, changed = now - told.beat >= HEARTBEAT, told.changed
            told.beat = now if beat else told.beat
            told.changed, told.posted = False, told.posted or changed
            pieces = tuple(told.pieces.values())
        if changed:
            self._board.put(
                JobProgress(
                    job=told.job.id,
                    kind=told.job.kind,
                    target=told.job.target,
                    host=told.job.host,
                    pid=told.job.pid,
                    started_at=told.job.started_at,
                    updated_at=self._clock.now(),
                    type=told.job.type,
                    phase=told.phase,
                    pieces=pieces,
                )
            )
        if beat and pieces:
            done = sum(piece.outcome is not None for piece in pieces)
            running = ", ".join(piece.name for piece in pieces if piece.started_at and piece.outcome is None)
            say(
                f"{done} of {len(pieces)} done{f', running: {running}' if running else ''}",
                files=sum(piece.files_done for piece in pieces),
                bytes=sum(piece.bytes_done for piece in pieces),
            )


def say(message: str, *, level: int = logging.INFO, **fields: object) -> None:
    """One line in the story of the job at work."""
    log.log(level, "%s", message, extra={"fields": fields})


def ending(job: Job, ended: Job | None) -> tuple[int, str, dict[str, Any]]:
    """Level, sentence and fields of how a job ended, and why it did not end well; None: nobody has closed it."""
    if ended is None:
        return logging.ERROR, "ended, and its record was not closed", {"outcome": "interrupted"}
    error, finished = ended.error, ended.finished_at
    fields: dict[str, Any] = {"outcome": ended.outcome}
    if finished is not None:
        fields["seconds"] = round((finished - job.started_at).total_seconds(), 3)
    if ended.bytes_done:
        fields["bytes"] = ended.bytes_done
    if error is not None:
        fields |= {"kind": error.kind, "hint": error.hint or None, "exit_code": error.exit_code}
    message = f"ended: {ended.outcome}" + (f". {error.message}" if error else "")
    return LEVELS.get(ended.outcome, logging.ERROR), message, fields


def _say_run(run: DomainRun) -> None:
    counts = f"{run.files_new} new, {run.files_changed} changed, {run.files_removed} removed, {run.added} bytes added"
    parts = [f"{run.domain}: {run.outcome}", counts if run.snapshot and run.outcome != "unchanged" else ""]
    parts += [f"snapshot {run.snapshot[:8]}" if run.snapshot else ""]
    parts += [f"{run.missed_count} missed: {'; '.join(run.missed[:3])}" if run.missed_count else ""]
    parts += [run.error.message if run.error else ""]
    say(
        ", ".join(part for part in parts if part),
        level=logging.INFO if run.complete else logging.ERROR if run.error else logging.WARNING,
        domain=run.domain,
        outcome=run.outcome,
        seconds=round(run.duration, 3),
        files=run.files,
        bytes=run.size,
        kind=run.error.kind if run.error else None,
        hint=run.error.hint if run.error else None,
    )


def _seconds(piece: PieceProgress) -> float | None:
    if piece.started_at is None or piece.finished_at is None:
        return None
    return round((piece.finished_at - piece.started_at).total_seconds(), 3)


@contextmanager
def _listening(job: str, handler: logging.Handler) -> Iterator[None]:
    """The handler hears what is logged below `resticwrap`; it and those that were there stamp the job on it."""
    logger = logging.getLogger(OURS)
    stamp, level = Stamp(job), logger.level
    logger.addHandler(handler)
    stamped = list(logger.handlers)
    for one in stamped:
        one.addFilter(stamp)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        for one in stamped:
            one.removeFilter(stamp)
        logger.removeHandler(handler)
