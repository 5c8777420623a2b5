"""What PostgreSQL's programs mean when they fail: by SQLSTATE and exit codes, never by the words of a server, which may
be of any language."""

import re
from collections.abc import Callable

from resticwrap import errors, process
from resticwrap.sources.postgres.access import SHORT, Access, conninfo, literal

VERBOSE = ("-v", "VERBOSITY=verbose")
"""What makes psql say the SQLSTATE."""
STATE = re.compile(r"(?:psql:.*?: )?\S+:\s+((?!0[012])[0-9A-Z]{5}): (.*)")
UNAVAILABLE = ("08", "57P", "53300")
REFUSED = ("28", "42501")
MISSING = "3D000"
DUPLICATE = "42710"
FULL = "53100"
SCRIPT = 3
"""psql's exit code where a statement failed, not the connection."""
Otherwise = Callable[[str], errors.Failure]


def state_of(said: str) -> tuple[str, str]:
    """The SQLSTATE and the words of the last error; the state is empty where there is none."""
    for line in reversed(said.splitlines()):
        if found := STATE.match(line):
            return found[1], found[2].rstrip(". ")
    # What follows an error may be a hint or a position, indented; the error itself is not.
    lines = [line for line in said.strip().splitlines() if not line[:1].isspace() and not line.startswith("LINE ")]
    last = lines[-1] if lines else ""
    return "", re.sub(r"^\S*?(?:pg_\w+|psql): (?:\w+: )?", "", last).rstrip(". ") or "it said nothing"


def complaints(said: str) -> tuple[str, ...]:
    """What statements failed with, but for those that make what is there already."""
    found = [state_of(line) for line in said.splitlines() if STATE.match(line)]
    return tuple(words for state, words in found if state != DUPLICATE)


def failure(said: str, place: str, otherwise: Otherwise) -> errors.Failure:
    """What a program's last words mean. `otherwise` makes the error where they are of no kind that matters here."""
    state, words = state_of(said)
    if state.startswith(REFUSED):
        return errors.DatabaseRefused(f"{place} refuses us: {words}.")
    if state == MISSING:
        return errors.NotFound(f"There is no such database in {place}: {words}.", hint="rw db list")
    if state.startswith(UNAVAILABLE):
        return errors.DatabaseUnavailable(f"{place} does not answer: {words}.")
    if state == FULL:
        return errors.DiskFull(f"{place} has no room left: {words}.", hint="Make room where the server keeps its data.")
    return otherwise(words)


def explained(access: Access, code: int, said: str, place: str, name: str, otherwise: Otherwise) -> errors.Failure:
    """The same for psql on a database, of which it could perhaps not even get hold: then it is asked what is wrong."""
    state, words = state_of(process.mask(said, access.secrets))
    if state or code == SCRIPT:
        return failure(process.mask(said, access.secrets), place, otherwise)
    if reached(access, name):
        return otherwise(words)
    if process.run([*access.program("pg_isready"), "-q"], env=access.env, timeout=SHORT).code != 0:
        return errors.DatabaseUnavailable(f"{place} does not answer: {words}.")
    there = f"SELECT 1 FROM pg_database WHERE datname = {literal(name)}"
    for other in ("postgres", "template1"):
        if reached(access, other):
            if reached(access, other, there):
                break
            return errors.NotFound(f"There is no database {name} in {place}.", hint="rw db list")
    return errors.DatabaseRefused(f"{place} refuses us: {words}.")


def reached(access: Access, name: str, sql: str = "SELECT 1") -> bool:
    """Whether a query on a database gives a row."""
    result = process.run(
        [*access.program("psql"), "-XqAtw", "-d", conninfo(name), "-c", sql], env=access.env, timeout=SHORT
    )
    return result.code == 0 and bool(result.stdout.strip())
