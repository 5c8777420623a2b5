"""The decisions of a restore of databases: facts in, names and verdicts out. Nothing here asks a server."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.databases import DatabaseFacts
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import STAGE_PREFIX, DbJournal, DbPhase, DbPiece

Step = Literal["nothing", "clean", "name", "look", "back", "keep", "drop"]
_ON_CRASH: Mapping[DbPhase, Step] = {
    "loading": "clean",
    "cleaning": "clean",
    "naming": "name",
    "exchanging": "look",
    "reverting": "back",
    "undoing": "keep",
    "accepting": "drop",
}
NAME_BYTES = 63
"""The longest name that every engine takes."""
KEEPING: frozenset[DbPhase] = frozenset({"kept", "undone", "reverted"})
"""The phases in which a database was put aside, and waits for somebody's word."""
OURS = re.compile(r"(^rw|_before)_restore_\d{8}T\d{6}Z_[0-9a-f]{6}(_\d+)?$")
LINGERING = timedelta(minutes=10)
"""So long a server may go on with the last that a killed client asked of it, such as to make a database."""


def on_crash(phase: DbPhase) -> Step:
    """What a later start does first with a journal that was left in this phase."""
    return _ON_CRASH.get(phase, "nothing")


def lingers(journal: DbJournal, now: Time) -> bool:
    """Whether a server may yet make what this restore loaded, which is closed and whose client is gone."""
    return journal.phase == "failed" and now - journal.changed_at < LINGERING


def wanted(
    names: Sequence[str], *, domain: str, only: str | None, into: str | None, job: str, over: bool
) -> dict[str, str]:
    """By database of the dump, the name that it is to get: of its own where it goes `over` what is live, else `into`,
    else a new one. Raises NotFound, UsageError."""
    if only is not None and only not in names:
        raise errors.NotFound(
            f"That snapshot of {domain} has no database {only}, but {', '.join(names)}.",
            hint=f"rw snapshots --domain {domain}   (an older one may have it)",
        )
    chosen = [only] if only is not None else list(names)
    if into is not None and len(chosen) != 1:
        raise errors.UsageError(
            f"That snapshot of {domain} has {len(chosen)} databases, and --into is the name of one.",
            hint=f"Say which: --only {chosen[0] if chosen else 'DATABASE'}",
        )
    if not chosen:
        raise errors.NotFound(f"That snapshot of {domain} has no database.", hint=f"rw ls --domain {domain}")
    ends = f"_{job.rpartition('_')[2]}"
    return {name: into or (name if over else shortened(name, ends)) for name in chosen}


def of_a_restore(name: str) -> bool:
    """Whether a database is one that a restore is loading, or has put aside: nobody's data, but a copy of it."""
    return OURS.search(name) is not None


def shortened(name: str, end: str) -> str:
    """The name with this end, cut where an engine would cut it by itself and make two names the same."""
    room = NAME_BYTES - len(end.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + end


def pieces(job: str, goals: Mapping[str, str], there: Collection[str]) -> tuple[DbPiece, ...]:
    """One for each database of the dump. No name that it makes is anybody else's: the job's id is in it."""
    several = len(goals) > 1
    return tuple(
        DbPiece(
            database=database,
            live=live,
            beside=f"{STAGE_PREFIX}{job}_{number}",
            kept=shortened(live, f"_before_{job}" + (f"_{number}" if several else "")) if live in there else "",
        )
        for number, (database, live) in enumerate(goals.items())
    )


def taken(domain: str, found: Sequence[DbPiece], server: str, *, over: bool) -> errors.Failure | None:
    """A new database gets no name that is there."""
    there = [piece.live for piece in found if piece.kept]
    if over or not there:
        return None
    return errors.RestoreRefused(
        f"{there[0]} is there already, at {server}.",
        hint=f"Take another name; or rw db restore {domain} --into {there[0]} --replace, which keeps the old one.",
    )


def busy(journals: Sequence[DbJournal], place: str, found: Sequence[DbPiece]) -> errors.Failure | None:
    """A name that an unfinished restore gives is not given again."""
    for journal in journals:
        if on_crash(journal.phase) == "nothing" or journal.place != place:
            continue
        if {piece.live for piece in journal.pieces} & {piece.live for piece in found}:
            return errors.RestoreRefused(
                f"The restore {journal.job} of {', '.join(piece.live for piece in journal.pieces)} is not finished "
                f"({journal.phase}).",
                hint="rw db list   (every start ends it first, once the server answers)",
            )
    return None


def compared(
    database: str, name: str, said: DatabaseFacts, found: DatabaseFacts, *, definitions: bool = False
) -> RestoredDatabase:
    """What a database holds against what its dump said that it held. `definitions`: what is no rows compares too."""
    known = {table.name: table for table in found.tables}
    wrong = [
        f"{table.name}: {'is missing' if table.name not in known else 'differs'}"
        for table in said.tables
        if known.get(table.name) != table
    ]
    named = {table.name for table in said.tables}
    # Of a table whose rows are left out a dump says nothing.
    wrong += [
        f"{table.name}: has rows that the dump has not"
        for table in found.tables
        if table.rows and table.name not in named
    ]
    differ = definitions and bool(said.schema_digest) and said.schema_digest != found.schema_digest
    return RestoredDatabase(
        database=database,
        name=name,
        tables=len(said.tables),
        rows=said.rows,
        wrong=tuple(wrong),
        definitions=not differ,
    )


def same_version(one: str, other: str) -> bool:
    """Whether two servers write definitions alike: by the first number of their versions."""
    return one.partition(".")[0] == other.partition(".")[0]


def again(journal: DbJournal) -> str:
    """The command that loads what a restore loads, into a new database."""
    if journal.until is not None:
        return f"rw db restore {journal.source} --at {journal.until.isoformat()}"
    return f"rw db restore {journal.source} --snapshot {journal.snapshot[:8]}"


def unlike(command: str, done: Sequence[RestoredDatabase], *, force: bool) -> errors.Failure | None:
    """What did not compare gets no name that is used, whoever wants it. What compared but is told to be otherwise does
    with somebody's word: definitions are written in other words by another version, and an old state answers queries
    otherwise. `command`: loads the same into a new database."""
    for one in done:
        if one.wrong:
            return errors.VerifyFailed(
                f"{one.database} was not loaded as it was dumped ({len(one.wrong)} wrong, first {one.wrong[0]}), "
                "so nothing was exchanged.",
                hint=f"{command} --only {one.database}   (a new database, to look into)",
            )
    if force:
        return None
    for one in done:
        what = "" if one.definitions else "is not defined as it was dumped, though all rows are the same"
        what = what or (f"answers otherwise than the policy expects ({one.unexpected[0]})" if one.unexpected else "")
        if what:
            return errors.VerifyFailed(
                f"{one.database} {what}, so nothing was exchanged.",
                hint=f"{command} --only {one.database} loads it into a new database to look into; "
                "if that is right, --force exchanges it all the same.",
            )
    return None


def meanwhile(found: Sequence[DbPiece], there: Collection[str], *, over: bool) -> tuple[DbPiece, ...]:
    """The pieces as they are right before they get their names. Raises RestoreRefused for a name that somebody else
    has given meanwhile: no snapshot has what is there."""
    for piece in found:
        if piece.live in there and not (over and piece.kept):
            raise errors.RestoreRefused(
                f"{piece.live} was made by somebody else meanwhile.", hint="Run the same command again."
            )
    return tuple(
        piece if piece.live in there else DbPiece(database=piece.database, live=piece.live, beside=piece.beside)
        for piece in found
    )


def named(piece: DbPiece, there: Collection[str]) -> bool:
    """Whether what was loaded has its name."""
    return piece.beside not in there


def to_go_back(piece: DbPiece, there: Collection[str]) -> bool:
    """Whether what was live is still put aside, or what took its place while nothing was live still has its name."""
    return piece.kept in there if piece.kept else piece.beside not in there


def may_undo(journal: DbJournal, there: Collection[str]) -> errors.Failure | None:
    """Only what was exchanged can be exchanged back, and only while the old is there."""
    if journal.phase != "kept":
        why = {
            "made": "made a new database and put nothing aside",
            "undone": "is undone already",
            "reverted": "was taken back already",
            "accepted": "was accepted, so what was live before is gone",
            "failed": "changed nothing",
        }.get(journal.phase, f"is not finished ({journal.phase})")
        return errors.RestoreRefused(f"{journal.job} {why}.", hint="rw db list   (it names what can be undone)")
    gone = [piece.kept for piece in journal.pieces if piece.kept and piece.kept not in there]
    if gone:
        return errors.RestoreRefused(
            f"What was live before {journal.job} is no longer there: somebody removed {gone[0]}.",
            hint=f"rw db restore {journal.domain} --snapshot {journal.safety[:8] or 'ID'} --replace",
        )
    return None


def may_accept(journal: DbJournal) -> errors.Failure | None:
    """Only what is put aside can be dropped."""
    if journal.phase in KEEPING:
        return None
    why = {"made": "put nothing aside", "accepted": "is accepted already", "failed": "changed nothing"}.get(
        journal.phase, f"is not finished ({journal.phase})"
    )
    return errors.RestoreRefused(f"{journal.job} {why}.", hint="rw db list   (it names what is kept)")


def aside(journal: DbJournal, piece: DbPiece) -> str:
    """The name of what a restore has put aside of a piece; empty where it has nothing."""
    if journal.phase == "kept":
        return piece.kept
    return piece.beside if journal.phase in KEEPING else ""


def unsaved(journal: DbJournal, name: str, what: str) -> errors.Failure:
    """What nothing else has is dropped only by somebody who has looked."""
    return errors.RestoreRefused(
        f"{name} {what}, and would be gone for good.",
        hint=f"Look into it first; then rw db accept {journal.job} --force",
    )


def room(needed: int, free: int | None, place: str) -> str:
    """What a person should know of the room on the server; empty where there is enough, or nobody knows."""
    if free is None or free >= needed:
        return ""
    return f"{place} has {free:,} bytes free, and what is loaded may need {needed:,}"


def standing(journal: DbJournal) -> tuple[str, str] | None:
    """What a person should know of a restore that is not over, and what to run; None where it is over."""
    lives = ", ".join(piece.live for piece in journal.pieces)
    if on_crash(journal.phase) != "nothing":
        return (
            f"database restore {journal.job} of {lives} is not finished ({journal.phase})",
            "If no rw db runs now: rw db list   (every start ends it first, once the server answers)",
        )
    kept = [name for piece in journal.pieces if (name := aside(journal, piece))]
    if not kept:
        return None
    why = f"; {journal.reason}" if journal.reason else ""
    what = "what was live before" if journal.phase == "kept" else "what it had restored"
    undo = f"; rw db undo {journal.job}   puts it back" if journal.phase == "kept" else ""
    return (
        f"database restore {journal.job} of {lives} ({journal.phase}) keeps {what} in {', '.join(kept)}{why}",
        f"rw db accept {journal.job}   removes it{undo}",
    )
