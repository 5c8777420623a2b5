"""What a thread writes is read whole, and what goes wrong in it is raised here."""

import os

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
