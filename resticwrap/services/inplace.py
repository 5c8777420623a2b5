"""Put data back in its live place so that it can be undone: restore beside, compare, exchange, keep the old tree.

Every step is journaled before it is begun, so a later start can finish or undo it, whatever moment it was killed at.
Whoever calls `run`, `undo`, `accept` or `recover` holds one exclusive lock of this machine meanwhile, so that a restore
under way is not taken for one that a crash left open.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.swap import InPlaceResult, Journal, JournalPiece, Phase, Piece, Recovered, SwapState, Unsaved
from resticwrap.planning import inplace as decide
from resticwrap.services.inplace_ports import Exchanger, Holders, Journals, Space, Work


class _Record:
    """A journal and its file: `to` writes first, then believes."""

    def __init__(self, journal: Journal, journals: Journals, clock: Clock) -> None:
        self.journal = journal
        self._journals = journals
        self._clock = clock

    @property
    def pieces(self) -> tuple[JournalPiece, ...]:
        return self.journal.pieces

    def to(self, phase: Phase, pieces: Sequence[JournalPiece] | None = None, reason: str | None = None) -> None:
        old = self.journal
        journal = Journal(
            job=old.job,
            target=old.target,
            phase=phase,
            started_at=old.started_at,
            changed_at=self._clock.now(),
            pieces=old.pieces if pieces is None else tuple(pieces),
            reason=old.reason if reason is None else reason,
            forced=old.forced,
        )
        self._journals.write(journal)
        self.journal = journal


class InPlace:
    """The engine of `rw restore --in-place`, `--undo` and `--accept`. All pieces of a job go in, or none does.

    From the first exchange on nothing is removed but by `accept`: whatever was live for a moment may have been written
    to. `force` stands for a person who has looked: at who uses the place, or at what would be lost with a tree.
    """

    def __init__(
        self,
        *,
        journals: Journals,
        exchanger: Exchanger,
        holders: Holders,
        space: Space,
        work: Work,
        clock: Clock,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._journals = journals
        self._exchanger = exchanger
        self._holders = holders
        self._space = space
        self._work = work
        self._clock = clock
        self._note = note

    def check(
        self, job: str, pieces: Sequence[Piece], *, force: bool = False
    ) -> tuple[tuple[JournalPiece, ...], tuple[str, ...]]:
        """What a run would do, and notes on what could not be checked; writes nothing (for `--dry-run`).

        Raises RestoreRefused, DiskFull or UsageError where a run would.
        """
        planned = []
        for number, piece in enumerate(pieces):
            place = self._exchanger.place(Path(os.fsdecode(piece.live)))
            _refuse(decide.outside(place.live, piece))
            self._not_our_own(place.live)
            stage = decide.stage_path(place.container, job, number)
            if self._exchanger.exists(_path(stage)):
                raise errors.RestoreRefused(f"{_path(stage)} is there already.", hint="Start again, as a new job.")
            planned.append(JournalPiece(piece=piece, place=place, stage=stage))
        lives = [one.place.live for one in planned]
        _refuse(decide.overlap(lives))
        _refuse(decide.busy(self._journals.all(), lives))
        self._enough_space(planned)
        return tuple(planned), self._not_held(planned, force)

    def run(self, job: str, target: str, pieces: Sequence[Piece], *, force: bool = False) -> InPlaceResult:
        """Put the pieces back. Whatever it raises, live data is what it was before and nothing that was written
        meanwhile is gone, or `recover` makes it so."""
        planned, notes = self.check(job, pieces, force=force)
        now = self._clock.now()
        first = Journal(
            job=job, target=target, phase="staging", started_at=now, changed_at=now, pieces=planned, forced=force
        )
        record = _Record(first, self._journals, self._clock)
        try:
            record.to("staging")
            self._take_safety(record)
            self._restore_beside(record)
            notes += self._put_aside(record)
            self._not_held(record.pieces, force)
            self._exchange(record)
            self._compare_live(record)
            record.to("kept")
        except BaseException as error:
            self._abort(record, error)
            raise
        return _result(record.journal, notes)

    def undo(self, job: str, *, force: bool = False) -> InPlaceResult:
        """Put back what was live before. What is live now is put aside and kept until it is accepted."""
        record = self._open(job)
        _refuse(decide.may_undo(record.journal))
        notes = self._not_held(record.pieces, force)
        before = record.journal.phase
        planned = []
        for piece in record.pieces:
            assert piece.swap is not None and piece.staged is not None
            if not self._exchanger.all_kept(piece.swap):
                raise errors.RestoreRefused(
                    f"The tree that was live before {job} is no longer whole at {_path(piece.staged)}.",
                    hint=decide.again(record.pieces),
                )
            # Planned anew: services may have added and replaced names since.
            swap = self._exchanger.plan(
                _path(piece.place.live),
                _path(piece.staged),
                whole=piece.place.whole,
                new_root=piece.swap.old_root,
            )
            planned.append(_with(piece, undo=swap))
        try:
            record.to("undoing", planned)
            self._apply_undo(record)
        except BaseException as error:
            self._abort_undo(record, before, error)
            raise
        return _result(record.journal, notes)

    def accept(self, job: str, *, force: bool = False) -> InPlaceResult:
        """Remove the tree that was put aside. After this only the safety snapshot has it; refused without `force`
        where that snapshot has not all of it."""
        record = self._open(job)
        _refuse(decide.may_accept(record.journal))
        for piece in record.pieces:
            stage = _path(piece.stage)
            self._not_our_own(piece.place.live)
            self._not_our_own(piece.stage)
            _refuse(decide.held(stage, self._holders.find(stage, renamed=True)))
            if not force:
                self._all_saved(record.journal, piece)
        record.to("accepting")
        self._remove(record)
        return _result(record.journal)

    def recover(self, *, strict: bool = True) -> Sequence[Recovered]:
        """Finish or undo what crashes left open, in the order it was begun. One that cannot be closed is told of, and
        tried again at the next start. Raises Interrupted, and where a journal itself cannot be read, that only if
        `strict`."""
        done = []
        for journal in self._journals.all() if strict else self._journals.scan()[0]:
            if decide.on_crash(journal.phase) == "nothing":
                continue
            record = _Record(journal, self._journals, self._clock)
            error, hint = "", ""
            try:
                self._recover_one(record)
            except errors.Interrupted:
                raise
            except errors.Failure as failure:
                error, hint = failure.message, failure.hint
            now = record.journal
            done.append(
                Recovered(
                    job=now.job,
                    was=journal.phase,
                    now=now.phase,
                    kept=decide.kept_paths(now),
                    error=error,
                    hint=hint or (decide.standing(now) or ("", ""))[1],
                    reason=now.reason,
                )
            )
        return done

    def _recover_one(self, record: _Record) -> None:
        phase = record.journal.phase
        step = decide.on_crash(phase)
        states: list[SwapState] = []
        if step == "look":
            swaps = [piece.undo if phase == "undoing" else piece.swap for piece in record.pieces]
            states = [self._exchanger.progress(swap) for swap in swaps if swap is not None]
            step = decide.half_way(phase, states)
        if step == "back" or (step == "keep" and set(states) != {"before"}):
            # Long after the crash: services may run again, and would go on in the tree that is put aside.
            self._not_held(record.pieces, record.journal.forced)
        match step:
            case "clean":
                why = decide.NOT_BEGUN if phase == "exchanging" else "interrupted"
                self._clean(record, record.journal.reason or why)
            case "forward":
                self._apply(record)  # every name is exchanged; a mount point may still lack its own metadata
                self._settle(record)
            case "compare":
                self._settle(record)
            case "back":
                self._back(record, record.journal.reason or decide.taken_back({}))
                self._tell_written(record)
            case "keep":
                self._take_undo_back(record, [state != "before" for state in states])
            case "undone":
                self._apply_undo(record)
            case "remove":
                self._remove(record)
            case "nothing" | "look":
                pass

    def _tell_written(self, record: _Record) -> None:
        """Put into the reason what was written to a tree that was live from a crash until it was taken back. Where
        that cannot be found out the tree is kept all the same, and is not accepted without somebody's word."""
        found: dict[str, Unsaved] = {}
        for piece in record.pieces:
            if piece.staged is not None and self._exchanger.exists(_path(piece.staged)):
                with contextlib.suppress(errors.Failure):
                    one = self._work.unsaved(piece.piece, _path(piece.staged))
                    if one.count:
                        found[str(_path(piece.staged))] = one
        if found:
            record.to("reverted", reason=decide.taken_back(found))

    def _take_undo_back(self, record: _Record, begun: Sequence[bool]) -> None:
        for piece, moved in reversed(list(zip(record.pieces, begun, strict=True))):
            if moved and piece.undo is not None:
                self._exchanger.revert(piece.undo)
        record.to("kept", [_with(piece, undo=None) for piece in record.pieces], reason=decide.UNDO_TAKEN_BACK)

    def _settle(self, record: _Record) -> None:
        """Compare what a crash left exchanged, and keep it either way: it was compared before the exchange, so where
        it differs now it most likely was used since. Going back is for a person. A comparison that cannot be made (no
        network) settles nothing; both trees stay until a later start."""
        wrong = self._live_mismatch(record)
        record.to("kept", reason="" if wrong is None else f"used since the exchange, or damaged: {wrong.message}")

    def _take_safety(self, record: _Record) -> None:
        by_domain: dict[str, str] = {}
        pieces = []
        for piece in record.pieces:
            domain = piece.piece.domain
            if not self._exchanger.exists(_path(piece.place.live)):
                pieces.append(piece)
                continue
            if domain not in by_domain:
                self._note(f"{domain}: a snapshot of what is live")
                safety = self._work.snapshot_live(piece.piece)
                if not safety.complete:
                    raise errors.RestoreRefused(
                        f"The snapshot {safety.snapshot[:8]} of what is live in {domain} is not complete.",
                        hint="Make every file there readable for rw, or restore beside the live data.",
                    )
                by_domain[domain] = safety.snapshot
            pieces.append(_with(piece, safety=by_domain[domain]))
        record.to("staging", pieces)

    def _restore_beside(self, record: _Record) -> None:
        pieces = []
        for piece in record.pieces:
            stage = _path(piece.stage)
            self._exchanger.make_stage(stage, piece.place.missing)
            staged = self._work.restore_to(piece.piece, stage)
            if not staged.is_relative_to(stage) or staged == stage or not self._exchanger.exists(staged):
                raise errors.VerifyFailed(
                    f"Nothing was restored for {_path(piece.place.live)}.", hint="rw ls shows what the snapshot has."
                )
            _refuse(decide.mismatched(staged, self._work.compare(piece.piece, staged, staged=True)))
            self._exchanger.flush(stage)
            pieces.append(_with(piece, staged=os.fsencode(staged)))
        record.to("staging", pieces)

    def _put_aside(self, record: _Record) -> tuple[str, ...]:
        """Notes on what the exchange moves away that no snapshot has: what the policy leaves out above all."""
        notes = []
        for piece in record.pieces:
            live = _path(piece.place.live)
            if piece.safety is not None:
                found = self._work.unsaved(
                    piece.piece, live, safety=piece.safety, live=piece.place.live, names_only=True
                )
                if note := decide.put_aside(live, found):
                    notes.append(note)
        return tuple(notes)

    def _all_saved(self, journal: Journal, piece: JournalPiece) -> None:
        """Raises RestoreRefused where the tree that was put aside has what the snapshot of it has not."""
        if piece.staged is None or not self._exchanger.exists(_path(piece.staged)):
            return
        place = _path(piece.staged)
        # Kept is what was live before; after an undo, or going back, what was restored.
        safety = piece.safety if journal.phase == "kept" else None
        try:
            found = self._work.unsaved(piece.piece, place, safety=safety, live=piece.place.live)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            raise decide.unknown(journal.job, place, error.message) from error
        _refuse(decide.unsaved(journal.job, place, found))

    def _exchange(self, record: _Record) -> None:
        pieces = []
        for piece in record.pieces:
            assert piece.staged is not None
            swap = self._exchanger.plan(_path(piece.place.live), _path(piece.staged), whole=piece.place.whole)
            if piece.safety is None and any(entry.live is not None for entry in swap.entries):
                raise errors.RestoreRefused(
                    f"{_path(piece.place.live)} was made by somebody else meanwhile, and there is no snapshot of it.",
                    hint="Run the same command again.",
                )
            pieces.append(_with(piece, swap=swap))
        record.to("exchanging", pieces)
        self._apply(record)

    def _apply(self, record: _Record) -> None:
        for piece in record.pieces:
            assert piece.swap is not None
            self._exchanger.apply(piece.swap)
        record.to("exchanged")

    def _apply_undo(self, record: _Record) -> None:
        for piece in reversed(record.pieces):
            assert piece.undo is not None
            self._exchanger.apply(piece.undo)
        record.to("undone")

    def _live_mismatch(self, record: _Record) -> errors.Failure | None:
        for piece in record.pieces:
            live = _path(piece.place.live)
            wrong = decide.mismatched(live, self._work.compare(piece.piece, live))
            if wrong is not None:
                return wrong
        return None

    def _compare_live(self, record: _Record) -> None:
        _refuse(self._live_mismatch(record))

    def _abort(self, record: _Record, error: BaseException) -> None:
        """After a failure: live data back as it was. What was never live is removed; the rest is kept, and the error
        says where. What fails here is left to `recover`."""
        reason = error.message if isinstance(error, errors.Failure) else type(error).__name__
        try:
            if record.journal.phase == "exchanged" and self._in_use(record):
                record.to("kept", reason=reason)
            elif record.journal.phase in {"exchanging", "exchanged"}:
                self._back(record, reason)
            else:
                self._clean(record, reason)
        except errors.Failure as second:
            raise errors.Failure(
                f"The restore failed ({reason}) and could not be put away: {second.message}",
                hint=f"The next start tries again. {record.journal.job} is in the journal, nothing is lost.",
            ) from error
        if isinstance(error, errors.Failure):
            _tell(error, record.journal)

    def _in_use(self, record: _Record) -> bool:
        """Whether somebody uses the new tree already: then it is not taken from under them."""
        return any(
            self._holders.find(_path(piece.place.live), renamed=piece.place.whole).holders for piece in record.pieces
        )

    def _abort_undo(self, record: _Record, before: Phase, error: BaseException) -> None:
        try:
            for piece in record.pieces:
                if piece.undo is not None:
                    self._exchanger.revert(piece.undo)
            record.to(before, [_with(piece, undo=None) for piece in record.pieces])
        except errors.Failure as second:
            raise errors.Failure(
                f"The undo failed ({error}) and could not be taken back: {second.message}",
                hint="The next start finishes the undo; both trees are kept.",
            ) from error

    def _back(self, record: _Record, reason: str) -> None:
        """The old trees go back in. The new ones were live, so something may have been written to them: they stay."""
        record.to("reverting", reason=reason)
        for piece in reversed(record.pieces):
            assert piece.swap is not None
            self._exchanger.revert(piece.swap)
        record.to("reverted")

    def _clean(self, record: _Record, reason: str) -> None:
        """Remove the stages of a restore that never touched live data. The journal stays, closed."""
        record.to("cleaning", reason=reason)
        self._discard(record)
        record.to("failed", [_with(piece, staged=None, swap=None) for piece in record.pieces])

    def _remove(self, record: _Record) -> None:
        self._discard(record)
        record.to("accepted", [_with(piece, staged=None, swap=None, undo=None) for piece in record.pieces])

    def _discard(self, record: _Record) -> None:
        for piece in reversed(record.pieces):
            self._exchanger.discard(_path(piece.stage), piece.place.missing)

    def _enough_space(self, planned: Sequence[JournalPiece]) -> None:
        places: dict[int, tuple[Path, list[int]]] = {}
        for piece in planned:
            container = _path(piece.place.container)
            _, sizes = places.setdefault(self._space.device(container), (container, []))
            sizes.append(piece.piece.size)
        for container, sizes in places.values():
            needed, free = decide.room(sizes), self._space.free(container)
            if free < needed:
                raise errors.DiskFull(
                    f"Restoring beside {container} needs {needed} bytes and {free} are free.",
                    hint="The old tree is kept beside the new one. Make room, or restore to another file system.",
                )

    def our_own(self, live: bytes) -> Path | None:
        """What of the places that rw itself lives on is at a path, in it or around it."""
        return next((place for place in self._work.own() if self._exchanger.overlap(_path(live), place)), None)

    def _not_our_own(self, live: bytes) -> None:
        if place := self.our_own(live):
            raise decide.own(_path(live), place)

    def _not_held(self, pieces: Sequence[JournalPiece], force: bool) -> tuple[str, ...]:
        """Raises RestoreRefused where somebody uses a place, or, without `force`, where that cannot be told."""
        notes: list[str] = []
        for piece in pieces:
            live = _path(piece.place.live)
            report = self._holders.find(live, renamed=piece.place.whole)
            _refuse(decide.held(live, report))
            what = decide.unseen(report)
            if what is not None and not force:
                raise decide.blind(live, what)
            if what is not None and what not in notes:
                notes.append(what)
        return tuple(notes)

    def _open(self, job: str) -> _Record:
        journal = self._journals.read(job)
        if journal is None:
            raise errors.NotFound(f"No in-place restore {job} is known here.", hint="rw history")
        return _Record(journal, self._journals, self._clock)


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def _refuse(refusal: errors.Failure | None) -> None:
    if refusal is not None:
        raise refusal


def _with(piece: JournalPiece, **changes: object) -> JournalPiece:
    return msgspec.structs.replace(piece, **changes)


def _tell(error: errors.Failure, journal: Journal) -> None:
    """Say with the error how things stand: what is live, and where the other tree is."""
    if journal.phase == "failed":
        how = "Live data was not touched."
    elif journal.phase == "kept":
        how = f"What was restored is live and in use. {' '.join(decide.standing(journal) or ())}"
    else:
        how = f"What was live before is live again. {' '.join(decide.standing(journal) or ())}"
    error.hint = f"{how} {error.hint}".strip()


def _result(journal: Journal, notes: tuple[str, ...] = ()) -> InPlaceResult:
    return InPlaceResult(
        job=journal.job,
        phase=journal.phase,
        kept=decide.kept_paths(journal),
        safety=decide.safety_snapshots(journal),
        notes=notes,
    )
