"""Give a loaded database its name so that it can be undone: load beside, compare, exchange names, keep the old one.

Every step is journaled before it is begun, and no name but the last one of a restore is anybody else's, so names alone
tell a later start how far it came. Whoever calls `run`, `undo`, `accept` or `recover` holds one exclusive lock of this
machine meanwhile.
"""

from collections.abc import Callable, Sequence

import msgspec

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPhase, DbPiece
from resticwrap.planning import dbrestore as decide
from resticwrap.services.database_ports import Server
from resticwrap.services.databases.swap_ports import DbJournals, DbWork


class _Record:
    """A journal and its file: `to` writes first, then believes."""

    def __init__(self, journal: DbJournal, journals: DbJournals, clock: Clock) -> None:
        self.journal = journal
        self._journals, self._clock = journals, clock

    @property
    def pieces(self) -> Sequence[DbPiece]:
        return self.journal.pieces

    def to(self, phase: DbPhase, **changes: object) -> None:
        changes |= {"phase": phase, "changed_at": self._clock.now()}
        journal = msgspec.structs.replace(self.journal, **changes)
        self._journals.write(journal)
        self.journal = journal


class Swapper:
    """The engine of every restore of databases. All pieces of a job get their names, or none does.

    From the first exchange on nothing is dropped but by `accept`: whatever was live for a moment may have been written
    to.
    """

    def __init__(
        self, *, journals: DbJournals, work: DbWork, clock: Clock, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._journals, self._work, self._clock, self._note = journals, work, clock, note

    def run(
        self, journal: DbJournal, *, over: bool, force: bool = False
    ) -> tuple[DbJournal, Sequence[RestoredDatabase]]:
        """Load the pieces of a journal that is not written yet, and give them their names. Whatever it raises, live
        names lead to what they led to before, or `recover` makes it so."""
        record = _Record(journal, self._journals, self._clock)
        server = self._work.server(journal)
        try:
            record.to("loading")
            if any(piece.kept for piece in record.pieces):
                record.to("loading", safety=self._work.safety(record.journal))
            done = self._work.load(record.journal, server)
            if over:
                _refuse(decide.unlike(decide.again(journal), done, force=force))
            pieces = decide.meanwhile(record.pieces, server.databases(), over=over)
            over = any(piece.kept for piece in pieces)
            record.to("exchanging" if over else "naming", pieces=pieces)
            for piece in pieces:
                server.exchange(piece.live, piece.beside, piece.kept)
            record.to("kept" if over else "made")
        except BaseException as error:
            self._abort(record, server, error)
            raise
        return record.journal, done

    def undo(self, job: str) -> DbJournal:
        """Give what was live before its name again. What is live now is kept until it is accepted."""
        record = self._open(job)
        server = self._work.server(record.journal)
        _refuse(decide.may_undo(record.journal, server.databases()))
        try:
            record.to("undoing")
            self._back(record, server)
            record.to("undone")
        except BaseException as error:
            self._abort(record, server, error)
            raise
        return record.journal

    def accept(self, job: str, *, force: bool = False) -> DbJournal:
        """Drop what was put aside. Refused without `force` where it has what no snapshot has."""
        record = self._open(job)
        _refuse(decide.may_accept(record.journal))
        server = self._work.server(record.journal)
        there = server.databases()
        for piece in record.pieces:
            name = decide.aside(record.journal, piece)
            if not name or force:
                continue
            if name not in there:
                # Nobody may connect to it, perhaps since somebody wanted it kept; or it is gone.
                if server.identity(name):
                    raise decide.unsaved(record.journal, name, "cannot be looked into")
                continue
            if what := self._work.unsaved(record.journal, piece, name, server):
                raise decide.unsaved(record.journal, name, what)
        record.to("accepting")
        self._drop(record, server)
        return record.journal

    def recover(self, *, strict: bool = True) -> None:
        """End what crashes left open, oldest first, and say so. One that cannot be ended is told of and tried again at
        the next start. Raises Interrupted, and where a journal itself cannot be read, that only if `strict`."""
        for journal in self._journals.all() if strict else self._journals.scan()[0]:
            lingers = decide.lingers(journal, self._clock.now())
            if decide.on_crash(journal.phase) == "nothing" and not lingers:
                continue
            record = _Record(journal, self._journals, self._clock)
            try:
                server = self._work.server(journal)
                if lingers:
                    self._drop_beside(record, server)
                    continue
                self._end(record, server, "interrupted")
            except errors.Interrupted:
                raise
            except errors.Failure as error:
                if not lingers:
                    self._note(f"database restore {journal.job} is not ended yet ({journal.phase}): {error.message}")
                continue
            now = record.journal
            said = decide.standing(now)
            why = said[1] if said else now.reason
            self._note(f"database restore {journal.job}: was {journal.phase}, is {now.phase}. {why}".rstrip())

    def _end(self, record: _Record, server: Server, reason: str) -> None:
        """Finish or take back what is half done, whatever it is."""
        step = decide.on_crash(record.journal.phase)
        there = server.databases() if step != "clean" else ()
        done = [decide.named(piece, there) for piece in record.pieces]
        match step:
            case "clean":
                self._clean(record, server, record.journal.reason or reason)
            case "name" | "look" if all(done):
                record.to("made" if step == "name" else "kept", reason=reason)
            case "name":
                # Those that have their names were loaded and compared: somebody may use them.
                got = [piece.live for piece, one in zip(record.pieces, done, strict=True) if one]
                self._clean(record, server, f"{reason}; {', '.join(got)} was made" if got else reason)
            case "look" if not any(done):
                self._clean(record, server, reason)
            case "look" | "back":
                record.to("reverting", reason=record.journal.reason or f"{reason} half way, and taken back")
                self._back(record, server)
                record.to("reverted")
            case "keep":
                self._end_undo(record, server, there, reason)
            case "drop":
                self._drop(record, server)
            case "nothing":
                pass

    def _end_undo(self, record: _Record, server: Server, there: Sequence[str], reason: str) -> None:
        left = [decide.to_go_back(piece, there) for piece in record.pieces]
        if all(left):
            record.to("kept", reason=f"{reason} before the undo began")
            return
        # Half an undo is finished: it is what was wished, and what it takes was checked before.
        self._back(record, server)
        record.to("undone")

    def _back(self, record: _Record, server: Server) -> None:
        for piece in reversed(record.pieces):
            if not decide.to_go_back(piece, server.databases()):
                continue
            if piece.kept:
                server.exchange(piece.live, piece.kept, piece.beside)
            else:
                server.exchange(piece.beside, piece.live, "")

    def _clean(self, record: _Record, server: Server, reason: str) -> None:
        record.to("cleaning", reason=reason)
        self._drop_beside(record, server)
        record.to("failed")

    def _drop_beside(self, record: _Record, server: Server) -> None:
        for piece in record.pieces:
            server.drop(piece.beside)

    def _drop(self, record: _Record, server: Server) -> None:
        for piece in record.pieces:
            server.drop(piece.beside)
            if piece.kept:
                server.drop(piece.kept)
        record.to("accepted")

    def _abort(self, record: _Record, server: Server, error: BaseException) -> None:
        """After a failure: as a later start would do. What fails here is left to it."""
        reason = error.message if isinstance(error, errors.Failure) else type(error).__name__
        if decide.on_crash(record.journal.phase) == "nothing":
            return
        try:
            with self._work.unheeding():
                self._end(record, server, reason)
        except errors.Failure as second:
            if isinstance(error, errors.Failure):
                error.hint = (
                    f"{record.journal.job} could not be put away ({second.message}), which the next start does. "
                    f"{error.hint}"
                )
            return
        if isinstance(error, errors.Failure):
            error.hint = f"{_how(record.journal)} {error.hint}".strip()

    def _open(self, job: str) -> _Record:
        journal = self._journals.read(job)
        if journal is None:
            raise errors.NotFound(f"No restore {job} of a database is known here.", hint="rw db list")
        return _Record(journal, self._journals, self._clock)


def _refuse(refusal: errors.Failure | None) -> None:
    if refusal is not None:
        raise refusal


def _how(journal: DbJournal) -> str:
    """How things stand after a failure."""
    if journal.phase == "failed":
        return "Nothing that is live was touched."
    return " ".join(decide.standing(journal) or ())
