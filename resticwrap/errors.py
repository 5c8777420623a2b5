"""One tree of errors: a sentence, a hint with the command to run, an exit code.

Exit codes are restic's own where restic has one; the rest are ours (`docs/architecture.md`).
Nothing below the command line prints; it raises one of these.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

OK = 0
FAILED = 1
USAGE = 2
PARTIAL = 3
NO_REPOSITORY = 10
LOCKED = 11
WRONG_PASSWORD = 12
VERIFY_FAILED = 20
GATE_CLOSED = 21
UNREACHABLE = 22
INTERRUPTED = 130


class Failure(Exception):
    """Something an operator must know: `message` is one sentence, `hint` says what to do next.

    `advice` is the hint where whoever raises it knows nothing better.
    """

    exit_code = FAILED
    advice = "Run it again with -v to see what is run; rw doctor looks at machine and target."

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice

    @property
    def kind(self) -> str:
        """The stable name that `--json` shows."""
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a policy: never holds the offending value, which may be a secret."""

    file: str
    line: int
    path: str
    message: str
    unset: bool = field(default=False, compare=False)
    """Nothing is wrong but that a variable has no value here, which matters once it is used."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}"


class PolicyError(Failure):
    """The policies do not hold; `problems` lists every fault that was found, not just the first."""

    exit_code = USAGE

    def __init__(self, problems: Sequence[Problem], *, hint: str = "rw policy check") -> None:
        count = len(problems)
        super().__init__(f"The policies have {count} problem{'s' if count != 1 else ''}.", hint=hint)
        self.problems = tuple(problems)


class UsageError(Failure):
    """The command line asks for something that cannot be."""

    exit_code = USAGE
    advice = "rw COMMAND --help"


class NoRepository(Failure):
    """The target answers, but the repository (or its bucket) is not there."""

    exit_code = NO_REPOSITORY
    advice = "rw init   (it adopts what is there, or makes it)"


class OtherRepository(Failure):
    """The target answers with another repository than the one pinned at `rw init`."""

    exit_code = NO_REPOSITORY
    advice = "Look where the target points to: rw policy show"


class Locked(Failure):
    """Somebody else holds the repository, or this very job is running already."""

    exit_code = LOCKED
    advice = "Wait for the other one to end; rw unlock shows whose the repository's locks are."


class LockLost(Locked):
    """A lock that keeps other machines away ended while it was held: nothing may be removed any more."""


class WrongPassword(Failure):
    """No key of the repository opens with the configured password."""

    exit_code = WRONG_PASSWORD


class TargetUnreachable(Failure):
    """The target's endpoint does not answer, or answers with its own trouble."""

    exit_code = UNREACHABLE


class TargetRefused(Failure):
    """The target answers and refuses us: wrong key, wrong secret, no permission."""

    exit_code = UNREACHABLE


class NoSuchCall(TargetRefused):
    """The target answers that it does not offer this at all, to nobody."""


class UnsafeBucket(Failure):
    """The bucket has lifecycle rules that would delete live objects of a repository, or make it unreadable."""

    exit_code = USAGE
    advice = "rw lifecycle status   (it names each of them, and what to do)"


class LifecycleRefused(Failure):
    """The bucket's lifecycle rules are not written: that would lose one of somebody else's, or they are not those that
    were looked at, or the provider takes no such rules."""

    exit_code = USAGE
    advice = "rw lifecycle plan"


class VerifyFailed(Failure):
    """What was read back or restored is not what was backed up."""

    exit_code = VERIFY_FAILED


class GateClosed(Failure):
    """The gate is closed: what has to be proven before this may go on is not."""

    exit_code = GATE_CLOSED
    advice = "rw gate --explain"


class Interrupted(Failure):
    """SIGINT or SIGTERM: children were stopped and waited for."""

    exit_code = INTERRUPTED
    advice = "Run the same command again: what was stored stays stored."


class DeadlineExceeded(Failure):
    """A child or a job ran longer than it may; it was stopped cleanly."""


class ResticMissing(Failure):
    """No restic, or one that is too old."""


class ResticFailed(Failure):
    """restic failed in a way that has no exit code of its own. `killed`: it did not end by itself."""

    killed = False


class DiskFull(Failure):
    """There is no room left where we have to write."""


class CatalogUnavailable(Failure):
    """The catalogue cannot be read or written."""


class CatalogFull(CatalogUnavailable, DiskFull):
    """The catalogue cannot be read or written, for want of room."""


class RestoreRefused(Failure):
    """A restore that would not be undoable is not begun."""


class ClockWrong(Failure):
    """The clock of this machine cannot be right, so nobody can say how old anything is."""


class NotFound(Failure):
    """No snapshot, job, domain or path by that name."""


class NameTaken(Failure):
    """A domain's name belongs to another machine that shares the repository."""

    exit_code = USAGE


class EmptySource(Failure):
    """A root that held files holds nothing any more: most likely it is not mounted."""


class DatabaseUnavailable(Failure):
    """A database server does not answer, or answers with its own trouble."""

    advice = "rw db list   (it says which servers answer)"


class DatabaseRefused(Failure):
    """A database server answers and refuses us: wrong user, wrong password, no permission."""

    advice = "Look at the source's url, user and password in domains.yaml: rw policy show"


class DumpFailed(Failure):
    """A database could not be dumped whole, so nothing of it was stored."""


class LoadFailed(Failure):
    """A dump could not be loaded whole; what was loaded of it is not under any name that is used."""


class ClientMissing(Failure):
    """A program of a database's own is not there, or too old for the server."""


class RowsConflict(Failure):
    """Rows that are to be put back meet others with their keys."""


class Unforeseen(Failure):
    """A fault of ours."""


def unforeseen(error: Exception) -> Unforeseen:
    """A fault of ours as a failure: its kind and place, but not its text, which may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
    return Unforeseen(
        f"rw met something that it did not foresee: {type(error).__name__} at {place}.",
        hint="Nothing stored is lost. Run it again with -v, and report it with what was printed.",
    )


class NotDelivered(Failure):
    """A message or a ping did not reach its channel. The reason holds neither its URL nor a token."""

    advice = "rw alerts test"


class ObjectMissing(Failure):
    """The store has no object by that key."""

    advice = "rw verify   (it says what is missing, and what that costs)"


class Frozen(Failure):
    """The store has the object in a class that must be thawed before it can be read."""

    advice = "rw lifecycle status   (it says what the bucket's rules do); rw restore thaws the packs that it needs"


class ObjectExists(Failure):
    """The store has an object by that key already, and it was to be written only if absent."""


class Damaged(Failure):
    """Bytes of a repository do not hash to their name, or do not decrypt."""

    exit_code = VERIFY_FAILED
    advice = "rw verify   (it names what is damaged, and what that costs)"
