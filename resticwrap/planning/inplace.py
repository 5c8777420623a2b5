"""The decisions of an in-place restore: facts in, a verdict out. Nothing here touches a disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Literal

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.reports import Mismatch
from resticwrap.model.swap import (
    STAGE_PREFIX,
    HolderReport,
    Journal,
    JournalPiece,
    Phase,
    Piece,
    Swap,
    SwapEntry,
    SwapState,
    Unsaved,
)

Step = Literal["nothing", "clean", "look", "forward", "compare", "back", "keep", "undone", "remove"]
_ON_CRASH: Mapping[Phase, Step] = {
    "staging": "clean",
    "exchanging": "look",
    "exchanged": "compare",
    "reverting": "back",
    "cleaning": "clean",
    "undoing": "look",
    "accepting": "remove",
}
MARGIN = 16 * 1024 * 1024
"""Bytes that must stay free beside what a restore needs."""


def on_crash(phase: Phase) -> Step:
    """What a later start does first with a journal that was left in this phase."""
    return _ON_CRASH.get(phase, "nothing")


def half_way(phase: Phase, states: Sequence[SwapState]) -> Step:
    """What becomes of an exchange or an undo that a crash interrupted, once it is known how far each piece is.

    What had not begun is not begun: services may have gone on for days in what is live. What was done stays. What is
    half done is taken back, so that live data is what it was before the command.
    """
    undoing = phase == "undoing"
    if all(state == "before" for state in states):
        return "keep" if undoing else "clean"
    if all(state == "after" for state in states):
        return "undone" if undoing else "forward"
    return "keep" if undoing else "back"


NOT_BEGUN = "interrupted before anything was exchanged, so live data is as it was"
UNDO_TAKEN_BACK = "the undo was interrupted before it was done, and is taken back"


def taken_back(found: Mapping[str, Unsaved]) -> str:
    """Why a restore was taken back, with what was written meanwhile to what it had put in place, by where that is."""
    written = "; ".join(f"{one.count} in {place} are in no snapshot: {_some(one)}" for place, one in found.items())
    why = "interrupted half way through the exchange and taken back, with what was written meanwhile to what it had"
    return f"{why} put in place" + (f" ({written})" if written else "")


def side(entry: SwapEntry, at_live: int | None, at_stage: int | None) -> Literal["before", "after", "back", "strange"]:
    """Whether an entry was exchanged, from the inodes that its two names have now.

    Where the old or the new one is decides, so that a file which a service rewrote or removed meanwhile (another inode
    under a name) does not confuse it. `back`: it was exchanged and is back, but what went in is not what came out
    again, so that applying it once more would put in something else. `strange`: neither is here nor there.
    """
    old, new = entry.live, entry.new
    if new is not None and at_live == new:
        return "after"
    if new is not None and at_stage == new:
        return "before"
    if old is not None and at_live == old:
        return "before" if new is None else "back"
    if old is not None and at_stage == old:
        return "after"
    if new is None:
        return "after" if at_stage is not None or at_live is None else "before"
    if old is None and at_stage is None:
        return "after"
    return "back" if old is None and at_live is None else "strange"


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


_LIVE_UNTOUCHED: frozenset[Phase] = frozenset({"staging", "cleaning", "failed", "accepting", "accepted"})


def mixed(journals: Sequence[Journal], root: bytes, since: Time) -> list[tuple[str, str]]:
    """The places in or around `root` of which a look that began at `since` may have seen the parts of two trees, and
    why: an exchange there is not finished, or was finished meanwhile."""
    found = []
    wanted = PurePath(os.fsdecode(root))
    for journal in journals:
        open_still = on_crash(journal.phase) != "nothing"
        if journal.phase in _LIVE_UNTOUCHED or not (open_still or journal.changed_at > since):
            continue
        how = f"is not finished ({journal.phase}): rw status" if open_still else "exchanged it while it was read"
        for piece in journal.pieces:
            place = PurePath(os.fsdecode(piece.place.live))
            if place.is_relative_to(wanted) or wanted.is_relative_to(place):
                found.append((str(place), f"the in-place restore {journal.job} {how}"))
    return found


def outside(live: bytes, piece: Piece) -> errors.Failure | None:
    """A symlink on the way leads out of the domain: what is there is somebody else's, and no snapshot of ours."""
    if PurePath(os.fsdecode(live)).is_relative_to(os.fsdecode(piece.root)):
        return None
    return errors.RestoreRefused(
        f"{os.fsdecode(piece.live)} leads to {os.fsdecode(live)}, which is outside of the domain {piece.domain}.",
        hint="Restore beside the live data (--to), and copy it where it belongs.",
    )


def nested(piece: Piece, roots: Mapping[str, bytes]) -> errors.Failure | None:
    """Another domain lives at or below the place, by the real paths of their roots: it would be rolled back together
    with this one, or be moved away where this one leaves it out."""
    live = PurePath(os.fsdecode(piece.live))
    inner = [name for name, root in roots.items() if PurePath(os.fsdecode(root)).is_relative_to(live)]
    inner = [name for name in inner if name != piece.domain]
    if not inner:
        return None
    where = ", ".join(f"{name} ({os.fsdecode(roots[name])})" for name in inner)
    return errors.RestoreRefused(
        f"{live} holds another domain, which would be exchanged together with {piece.domain}: {where}.",
        hint=f"Put back paths beside it: rw restore PATH --domain {piece.domain} --in-place. Or all into a folder: "
        f"rw restore --domain {piece.domain} --to FOLDER, and copy what belongs to {piece.domain}.",
    )


def strangers(domain: str, count: int, first: str) -> str:
    """What belongs to users and groups that this process may not give anything to, as a sentence for a person."""
    return f"{domain}: {count} belong to users or groups that rw may not set as this user, the first is {first}."


def disowned(said: str) -> errors.Failure:
    """In its live place a service may not be able to read what belongs to somebody else afterwards."""
    return errors.RestoreRefused(
        f"{said} In place they would belong to somebody else.",
        hint="Run the same as root. Or with --force, and set the owners by hand.",
    )


def own(live: Path, place: Path) -> errors.Failure:
    """Exchanging what rw itself lives on would pull its state, its password or the repository from under it."""
    return errors.RestoreRefused(
        f"{live} holds, is or lies in {place}, which rw itself lives on.",
        hint="Restore it beside (--to), stop every rw, and put it in place by hand.",
    )


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


def unseen(report: HolderReport) -> str | None:
    """What the check for open files could not see, as a sentence for a person."""
    if report.unseen:
        return f"{report.unseen} processes of other users could not be looked into, and any of them may use the place."
    if report.namespaced:
        return "rw runs in a PID namespace (a container): processes outside of it that use the place are not seen."
    return None


def blind(live: Path, what: str) -> errors.Failure:
    """Not knowing who uses a place is as bad as knowing that somebody does, until a person has looked."""
    return errors.RestoreRefused(
        f"Who uses {live} cannot be told: {what}",
        hint="Stop what uses it, then the same with --force. As root on the machine itself, rw looks for itself.",
    )


def put_aside(live: Path, found: Unsaved) -> str | None:
    """What the exchange moves away that no snapshot has, as a sentence for a person."""
    if not found.count:
        return None
    return (
        f"{found.count} in {live} are in no snapshot (left out by the policy, or made just now); they are put aside "
        f"with the old tree and are not in the new one: {_some(found)}."
    )


def unsaved(job: str, place: Path, found: Unsaved) -> errors.Failure | None:
    """A tree is not removed while it holds what nothing else has."""
    if not found.count:
        return None
    return errors.RestoreRefused(
        f"{found.count} in {place} are in no snapshot and would be lost: {_some(found)}.",
        hint=f"Copy what you need of them. Then: rw restore --accept {job} --force",
    )


def unknown(job: str, place: Path, why: str) -> errors.Failure:
    """Whether a tree holds what nothing else has could not be found out."""
    return errors.RestoreRefused(
        f"Whether a snapshot has all of {place} cannot be told: {why}",
        hint=f"Try again later; or rw restore --accept {job} --force removes it all the same.",
    )


def _some(found: Unsaved) -> str:
    return ", ".join(found.named[:5]) + (" …" if found.count > 5 else "")


def mismatched(place: Path, mismatches: Sequence[Mismatch]) -> errors.Failure | None:
    """A tree that is not what was backed up."""
    if not mismatches:
        return None
    first = mismatches[0]
    return errors.VerifyFailed(
        f"{len(mismatches)} paths below {place} are not what was backed up, first {first.path!r}: {first.why}.",
        hint="`rw verify` says whether the repository is damaged.",
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
        case "reverted":
            hint = f"rw restore --accept {journal.job} removes what it had restored."
            return errors.RestoreRefused(f"{journal.job} was taken back: there is nothing to undo.", hint=hint)
        case _:
            return _unfinished(journal)


def may_accept(journal: Journal) -> errors.Failure | None:
    """Only a tree that was put aside for good can be removed."""
    match journal.phase:
        case "kept" | "undone" | "reverted":
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
    if journal.phase not in {"exchanged", "kept", "undone", "reverted"}:
        return ()
    found = []
    for piece in journal.pieces:
        swap: Swap | None = piece.undo if journal.phase == "undone" else piece.swap
        if piece.staged is None or swap is None:
            continue
        if journal.phase == "reverted" or any(entry.live is not None for entry in swap.entries):
            found.append(os.fsdecode(piece.staged))
    return tuple(found)


def standing(journal: Journal) -> tuple[str, str] | None:
    """What a person should know of an in-place restore that is not over, and what to run; None where it is over."""
    lives = ", ".join(os.fsdecode(piece.place.live) for piece in journal.pieces)
    accept, undo = (f"rw restore {option} {journal.job} --target {journal.target}" for option in ("--accept", "--undo"))
    if on_crash(journal.phase) != "nothing":
        return (
            f"in-place restore {journal.job} of {lives} is not finished ({journal.phase})",
            f"If no rw restore runs now: rw backup --target {journal.target}   (every start closes it first)"
            + (f"; or {undo}" if journal.phase == "exchanged" else ""),
        )
    if journal.phase not in {"kept", "undone", "reverted"}:
        return None
    why = f"; {journal.reason}" if journal.reason else ""
    what = "what it had restored" if journal.phase == "reverted" else "what was live before"
    where = f"keeps {what} in {', '.join(kept)}" if (kept := kept_paths(journal)) else "put nothing aside"
    said = f"in-place restore {journal.job} of {lives} ({journal.phase}) {where}{why}"
    return said, f"{accept}   removes it" + (f"; {undo}   puts it back" if journal.phase == "kept" else "")


def safety_snapshots(journal: Journal) -> dict[str, str]:
    """The safety snapshots by domain."""
    return {piece.piece.domain: piece.safety for piece in journal.pieces if piece.safety is not None}
