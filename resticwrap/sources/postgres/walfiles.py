"""The files of a log in the state directory: what was received, and what of it stands ready for the next snapshot.

`wal/DOMAIN/received` is pg_receivewal's. `wal/DOMAIN/TARGET/DOMAIN.wal` is what restic reads: hard links to whole
segments, which nobody changes any more, and a copy of the one that is being written. The links stay from one snapshot
to the next, since a new link would make restic read a file again.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from resticwrap import errors
from resticwrap.host.journals import write_failed
from resticwrap.model.base import from_json, to_json
from resticwrap.model.wal import ArchiveState, KeptBase, LogFacts, Origin
from resticwrap.planning import wal as planning

T = TypeVar("T")
RECEIVED, ORIGIN, STATE = "received", "origin.json", "state.json"
TRIES = 20
"""How often a folder is read anew whose files are renamed meanwhile."""


class LogFiles:
    """Those of one domain, as one target needs them. Raises Failure where the state directory cannot be written."""

    def __init__(self, folder: Path, target: str, domain: str) -> None:
        self._folder, self._own, self._name = folder, folder / target, f"{domain}.wal"

    @property
    def received(self) -> Path:
        """Where pg_receivewal writes."""
        return _made(self._folder / RECEIVED)

    @property
    def place(self) -> tuple[Path, str]:
        """The folder from inside which restic reads, and the name that it reads."""
        return _made(self._own), self._name

    def state(self) -> ArchiveState:
        return _read(ArchiveState, self._own / STATE) or ArchiveState()

    def put_state(self, state: ArchiveState) -> None:
        _made(self._own)
        with _writing(self._own):
            _write(self._own / STATE, to_json(state))

    def origin(self) -> Origin | None:
        return _read(Origin, self._folder / ORIGIN)

    def begin(self, system: str, timeline: int) -> Origin:
        """Throw away what was received, for the log begins anew. What was made a snapshot of stays in its snapshot."""
        origin = Origin(id=secrets.token_hex(8), system=system, timeline=timeline)
        _made(self._folder)
        with _writing(self._folder):
            (self._folder / ORIGIN).unlink(missing_ok=True)
            shutil.rmtree(self._folder / RECEIVED, ignore_errors=True)
            _write(self._folder / ORIGIN, to_json(origin))
        return origin

    def stage(self, facts: LogFacts) -> None:
        """Make ready all that belongs beside a base. Raises DumpFailed where a part of the log is missing, DiskFull."""
        place = _made(self._own / self._name)
        with _writing(place):
            self._clear_of(place, facts)
            for attempt in range(TRIES):
                try:
                    self._sync(place, facts)
                    break
                except FileNotFoundError:
                    # A file that was being written got its final name, or the log was trimmed.
                    if attempt == TRIES - 1:
                        raise
            if gap := planning.missing(os.listdir(place), facts.base, facts.reached):
                raise errors.DumpFailed(
                    f"Segment {gap} of the log is missing, so what follows it could not be replayed.",
                    hint="rw backup --type full   (a new base backup begins after the gap)",
                )
            _write(place / planning.BASE_JSON, to_json(facts))

    def _clear_of(self, place: Path, facts: LogFacts) -> None:
        """Whether what is staged is of the same server, its segments do not say: their names only count."""
        staged = _read(LogFacts, place / planning.BASE_JSON)
        if staged is not None and staged.snapshot == facts.snapshot:
            return
        (place / planning.BASE_JSON).unlink(missing_ok=True)  # first: after a crash it must not speak for the rest
        for name in os.listdir(place):
            (place / name).unlink()

    def reached(self) -> list[str]:
        """How far the log here went, as far as that was written down."""
        staged = _read(LogFacts, self._own / self._name / planning.BASE_JSON)
        bases = self._current()
        mine = staged is not None and any(one.snapshot == staged.snapshot for one in bases)
        return [*(one.facts.end for one in bases), *([staged.reached] if staged is not None and mine else [])]

    def hole(self, kept: str = "") -> str:
        """See `planning.hole`; of the base that the log goes on from."""
        bases = self._current()
        if not bases:
            return ""
        try:
            names = os.listdir(self._folder / RECEIVED)
        except FileNotFoundError:
            names = []
        return planning.hole(names, bases[0].facts, kept)

    def _current(self) -> list[KeptBase]:
        """The bases of the log that is received now."""
        origin = self.origin()
        return [one for one in self.bases() if origin is not None and one.origin == origin.id]

    def mend(self, segment: int) -> bool:
        """Remove what a full disk left half made, so that it is fetched again; whether there was any."""
        found = {}
        for entry in os.scandir(self.received):
            with suppress(FileNotFoundError):
                found[entry.name] = entry.stat().st_size
        for name in (torn := planning.torn(found, segment)):
            (self.received / name).unlink(missing_ok=True)
        return bool(torn)

    def _sync(self, place: Path, facts: LogFacts) -> None:
        whole, partial = planning.wanted(os.listdir(self.received), facts.base)
        staged = set(os.listdir(place))
        for name in whole:
            if name not in staged:
                _linked(self.received / name, place / name)
        if partial:
            _copied(self.received / partial, place / partial)
        for name in staged - {*whole, partial, planning.BASE_JSON}:
            (place / name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Remove what no base of any target needs."""
        states = [_read(ArchiveState, file) for file in self._folder.glob(f"*/{STATE}")]
        bases = [one.facts for state in states if state for one in state.bases]
        with suppress(FileNotFoundError):
            for name in planning.before(os.listdir(self._folder / RECEIVED), bases):
                (self._folder / RECEIVED / name).unlink(missing_ok=True)

    def bases(self) -> Sequence[KeptBase]:
        return self.state().bases


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_failed(folder, error) from error


def _linked(source: Path, to: Path) -> None:
    try:
        os.link(source, to)
    except FileExistsError:
        return
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        _copied(source, to)  # a file system without hard links


def _copied(source: Path, to: Path) -> None:
    """A copy that is there whole or not at all, with the time of what it is of."""
    beside = to.with_name(f".{to.name}.tmp")
    shutil.copyfile(source, beside)
    os.replace(beside, to)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.Failure(f"{folder} cannot be made: {error.strerror}.") from error
    return folder


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _read(kind: type[T], path: Path) -> T | None:
    """What a file says; None where it is not there, or says nothing that can be read: then a new base is made."""
    try:
        return from_json(kind, path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
