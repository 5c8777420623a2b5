"""What a thread writes is read whole, and what goes wrong in it is raised here."""

import fcntl
import os
from pathlib import Path

import pytest

from resticwrap import pipes


def test_all_of_it_comes_and_then_what_went_wrong() -> None:
    """Nobody who reads to the end takes a cut stream for a whole one."""

    def write(fd: int) -> None:
        for _ in range(3):
            os.write(fd, b"x" * 100_000)
        raise ValueError("cut")

    got: list[bytes] = []
    with pytest.raises(ValueError, match="cut"):
        got.extend(pipes.read(write))
    assert sum(map(len, got)) == 300_000


def test_who_wants_no_more_ends_the_writer() -> None:
    """It meets a pipe that nobody reads, which is not told as a failure, and no descriptor stays open."""
    met: list[type[BaseException]] = []

    def write(fd: int) -> None:
        try:
            while True:
                os.write(fd, b"x" * 100_000)
        except OSError as error:
            met.append(type(error))
            raise

    before = len(os.listdir("/proc/self/fd"))
    stream = pipes.read(write)
    assert next(stream)
    stream.close()
    assert met == [BrokenPipeError] and len(os.listdir("/proc/self/fd")) == before


def test_a_pipe_is_made_wide_and_a_file_is_left_alone(tmp_path: Path) -> None:
    """A whole piece goes in before anybody reads; whoever writes into a file by chance meets no error."""
    reading, writing = os.pipe()
    pipes.widen(writing)
    assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) >= pipes.PIECE
    assert os.write(writing, bytes(pipes.PIECE)) == pipes.PIECE
    for fd in (reading, writing):
        os.close(fd)
    with (tmp_path / "file").open("wb") as file:
        pipes.widen(file.fileno())
