"""Measuring: a command or a call by wall clock and processor time, pairs of them in turn, and what came of it."""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


class CommandFailed(Exception):
    """A measured command did not end as it should: the measurement means nothing."""


@dataclass(frozen=True)
class Sample:
    """One measurement in seconds: by the wall clock, and of processor time of all that took part."""

    wall: float
    cpu: float


def command(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Sample:
    """Run a command and measure it, children included. Raises CommandFailed on any exit code but 0."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        # In a session of its own, as `rw` starts restic: Linux shares its processors out by session.
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise CommandFailed(
                f"{list(argv)} exited {child.returncode}: {said.read()[-2000:].decode(errors='replace')}"
            )
    return Sample(wall, used.ru_utime + used.ru_stime)


def call(work: Callable[[], object]) -> Sample:
    """Measure a call inside this process, and the children that it waits for."""
    before, started = _processor(), time.perf_counter()
    work()
    return Sample(time.perf_counter() - started, _processor() - before)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass(frozen=True)
class Pairs:
    """Samples of bare restic and of `rw`, taken in turn so that a busy machine disturbs both alike."""

    bare: tuple[Sample, ...]
    rw: tuple[Sample, ...]

    @classmethod
    def take(cls, count: int, bare: Callable[[], Sample], rw: Callable[[], Sample]) -> "Pairs":
        """Bare, rw, bare, rw …: `count` of each."""
        both = [(bare(), rw()) for _ in range(count)]
        return cls(tuple(one for one, _ in both), tuple(other for _, other in both))

    @property
    def ratio(self) -> float:
        """The median of `rw` over the median of bare, by the wall clock."""
        return median(one.wall for one in self.rw) / median(one.wall for one in self.bare)

    @property
    def more(self) -> float:
        """How many milliseconds `rw` takes more in the median."""
        return 1000 * (median(one.wall for one in self.rw) - median(one.wall for one in self.bare))

    @property
    def details(self) -> dict[str, object]:
        """Every sample and the medians, for the JSON. `cpu_ratio` is what a busy machine disturbs least."""
        cpu = median(one.cpu for one in self.rw) / max(median(one.cpu for one in self.bare), 1e-9)
        return {
            "bare_median_s": round(median(one.wall for one in self.bare), 4),
            "rw_median_s": round(median(one.wall for one in self.rw), 4),
            "cpu_ratio": round(cpu, 4),
            "bare_s": [round(one.wall, 4) for one in self.bare],
            "rw_s": [round(one.wall, 4) for one in self.rw],
            "bare_cpu_s": [round(one.cpu, 4) for one in self.bare],
            "rw_cpu_s": [round(one.cpu, 4) for one in self.rw],
        }


@dataclass(frozen=True)
class Row:
    """One figure. `limit` None: it is only told, not judged."""

    name: str
    what: str
    measured: float
    unit: str
    limit: float | None
    details: Mapping[str, object] = field(default_factory=dict)

    def verdict(self, *, quick: bool) -> str:
        """`ok`, `missed`, or `not judged`: what a smoke run measures means nothing."""
        if quick or self.limit is None:
            return "not judged"
        return "ok" if self.measured <= self.limit else "missed"
