"""The decisions of an in-place restore: facts in, a verdict out. Nothing here touches a disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal

from resticwrap import errors
from resticwrap.model.reports import Mismatch
from resticwrap.model.swap import STAGE_PREFIX, HolderReport, Journal, JournalPiece, Phase, Swap, SwapEntry

Step = Literal["nothing", "clean", "forward", "compare", "back", "undo", "remove"]
_ON_CRASH: Mapping[Phase, Step] = {
    "staging": "clean",
    "exchanging": "forward",
    "exchanged": "compare",
    "reverting": "back",
    "cleaning": "clean",
    "undoing": "undo",
    "accepting": "remove",
}
MARGIN = 16 * 1024 * 1024
"""Bytes that must stay free beside what a restore needs."""


def on_crash(phase: Phase) -> Step:
    """What a later start does first with a journal that was left in this phase."""
    return _ON_CRASH.get(phase, "nothing")


def side(entry: SwapEntry, at_live: int | None, at_stage: int | None) -> Literal["before", "after", "strange"]:
    """Whether an entry was exchanged, from the inodes that its two names have now.

    What we placed ourselves decides, so that a file which a service rewrote meanwhile (a new inode under a live name)
    does not confuse it. `strange`: the new one is neither here nor there, so exchanging could lose something.
    """
    if entry.new is None:
        return "after" if at_stage is not None or at_live is None else "before"
    if at_stage == entry.new:
        return "before"
    if at_live == entry.new or (entry.live is not None and at_stage == entry.live):
        return "after"
    return "strange"


def stage_path(container: bytes, job: str, number: int) -> bytes:
    """The staging folder of the n-th piece (from 0) of a job, inside `container`."""
    name = f"{STAGE_PREFIX}{job}" + (f"-{number}" if number else "")
    return os.path.join(container, os.fsencode(name))


def room(sizes: Sequence[int]) -> int:
    """Bytes that must be free before so much is restored: one hundredth for metadata, and a margin."""
    return sum(sizes) + sum(sizes) // 100 + MARGIN


def overlap(lives: Sequence[bytes]) -> errors.Failure | None:
    """Two pieces that go to one place, or one inside the other, cannot be exchanged independently."""
    paths = sorted(PurePath(os.fsdecode(live)) for live in lives)
    if not paths:
        return errors.UsageError("There is nothing to restore.", hint="Name a domain or a path that the snapshot has.")
    for number, outer in enumerate(paths):
        for inner in paths[number + 1 :]:
            if inner.is_relative_to(outer):
                return errors.UsageError(f"{inner} lies inside {outer}.", hint="Restore the outer one only.")
    return None


def busy(journals: Sequence[Journal], lives: Sequence[bytes]) -> errors.Failure | None:
    """A place with an unfinished exchange is not exchanged again."""
    wanted = [PurePath(os.fsdecode(live)) for live in lives]
    for journal in journals:
        if on_crash(journal.phase) == "nothing":
            continue
        for piece in journal.pieces:
            other = PurePath(os.fsdecode(piece.place.live))
            if any(one.is_relative_to(other) or other.is_relative_to(one) for one in wanted):
                return errors.RestoreRefused(
                    f"The in-place restore {journal.job} of {other} is not finished ({journal.phase}).",
                    hint=f"rw restore --undo {journal.job}, or see what `rw status` says of it.",
                )
    return None


def held(live: Path, report: HolderReport) -> errors.Failure | None:
    """Refuse while a process uses something there: it would go on in the tree that is put aside."""
    if not report.holders:
        return None
    first = report.holders[0]
    others = len({holder.pid for holder in report.holders}) - 1
    more = f" and {others} more" if others > 0 else ""
    return errors.RestoreRefused(
        f"{live} is in use by {first.command or 'a process'} (process {first.pid}, {first.what} {first.path}){more}.",
        hint="Stop what uses it, then run the same command again.",
    )


def unseen_note(report: HolderReport) -> str | None:
    """What the check for open files could not see, as a sentence for a person."""
    if report.unseen:
        return (
            f"{report.unseen} processes of other users could not be looked into: make sure that none of them uses the "
            "place, or run rw as root."
        )
    if report.namespaced:
        return "rw runs in a PID namespace (a container): processes outside of it that use the place are not seen."
    return None


def mismatched(place: Path, mismatches: Sequence[Mismatch]) -> errors.Failure | None:
    """A tree that is not what was backed up."""
    if not mismatches:
        return None
    first = mismatches[0]
    return errors.VerifyFailed(
        f"{len(mismatches)} paths below {place} are not what was backed up, first {first.path!r}: {first.why}.",
        hint="Nothing live was changed for good. `rw verify` says whether the repository is damaged.",
    )


def may_undo(journal: Journal) -> errors.Failure | None:
    """Only what is in place and has its old tree kept can be undone."""
    match journal.phase:
        case "kept" | "exchanged":
            return None
        case "accepted":
            return errors.RestoreRefused(
                f"{journal.job} was accepted: the tree that was live before it is removed.", hint=again(journal.pieces)
            )
        case "undone":
            hint = f"rw restore --accept {journal.job} removes the tree that was put aside."
            return errors.RestoreRefused(f"{journal.job} is undone already.", hint=hint)
        case "failed":
            return errors.RestoreRefused(f"{journal.job} changed nothing live: there is nothing to undo.")
        case _:
            return _unfinished(journal)


def may_accept(journal: Journal) -> errors.Failure | None:
    """Only a tree that was put aside for good can be removed."""
    match journal.phase:
        case "kept" | "undone":
            return None
        case "accepted" | "failed":
            return errors.RestoreRefused(f"{journal.job} keeps no tree: there is nothing to accept.")
        case _:
            return _unfinished(journal)


def _unfinished(journal: Journal) -> errors.Failure:
    return errors.RestoreRefused(
        f"{journal.job} is not finished ({journal.phase}).",
        hint="Every start of rw tries to finish it; `rw status` says what stands in the way.",
    )


def again(pieces: Sequence[JournalPiece]) -> str:
    """How to get back what was live, once its tree is gone: from the safety snapshots."""
    safety = dict.fromkeys((piece.piece.domain, piece.safety) for piece in pieces if piece.safety is not None)
    if not safety:
        return "There was nothing live before it."
    return "; ".join(f"rw restore --in-place --domain {domain} --snapshot {snapshot}" for domain, snapshot in safety)


def kept_paths(journal: Journal) -> tuple[str, ...]:
    """Where the trees that were put aside stand now."""
    if journal.phase not in {"exchanged", "kept", "undone"}:
        return ()
    found = []
    for piece in journal.pieces:
        swap: Swap | None = piece.undo if journal.phase == "undone" else piece.swap
        if piece.staged is not None and swap is not None and any(entry.live is not None for entry in swap.entries):
            found.append(os.fsdecode(piece.staged))
    return tuple(found)


def safety_snapshots(journal: Journal) -> dict[str, str]:
    """The safety snapshots by domain."""
    return {piece.piece.domain: piece.safety for piece in journal.pieces if piece.safety is not None}
