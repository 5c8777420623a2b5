"""What the telling of jobs needs of the state directory."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.running import JobProgress
from resticwrap.model.story import LogLine, StoryInfo


class Story(Protocol):
    """The story of one job, open for writing. None of this ever raises: a job does not fail for want of a log."""

    def write(self, line: LogLine) -> None:
        """Append a line. Beyond what a story may take, nothing but a line that says so."""

    def close(self, last: LogLine) -> None:
        """Append the last line, however long the story is, and end it. What is written after that is not kept."""


class Stories(Protocol):
    """The stories of the jobs of this state directory."""

    def begin(self, job: str) -> Story:
        """Begin a story, or go on with it. Never raises: where it cannot be written, nothing is."""

    def ids(self) -> Sequence[str]:
        """The jobs that have one, newest first. Raises Failure where the folder cannot be read."""

    def info(self, job: str) -> StoryInfo | None:
        """None where there is none."""

    def read(self, job: str, offset: int = 0) -> tuple[Sequence[LogLine], int] | None:
        """The whole lines from so many bytes on, and where they end; None where there is no such story. What is no
        line is left out. Raises Failure where it cannot be read."""

    def running(self, job: str) -> bool:
        """Whether the process that writes it lives."""

    def prune(self, now: Time) -> None:
        """Remove what is too old or too much. Never raises, and never takes the story of a job that runs."""


class Board(Protocol):
    """Where running jobs say how far they are."""

    def put(self, progress: JobProgress) -> None:
        """Never raises."""

    def drop(self, job: str) -> None:
        """The job ended. Never raises."""

    def running(self, jobs: Sequence[Job]) -> Sequence[JobProgress]:
        """Of all jobs that are recorded as running here, those that live, in their order, each with how far it said
        that it is. What others left behind is removed. Never raises: of what cannot be read, the record counts."""


class Room(Protocol):
    """Room on the disks of this machine."""

    def of(self, places: Mapping[str, str]) -> Mapping[str, tuple[int, int]]:
        """By what they are: free bytes, and all; those that cannot be asked are left out."""
