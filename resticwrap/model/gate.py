"""What the gate answers, and what its answers are remembered by."""

from typing import Literal

from resticwrap.model.base import Time, Value

ReasonKind = Literal[
    "proof", "backup", "drill", "objective", "damage", "bucket", "evidence", "clock", "raw", "kit", "snapshot"
]
"""Those of `gates.yaml`, and `snapshot`: what an upgrade asks of the snapshot that it goes back to."""
Verdict = Literal["ok", "warn", "block", "off", "overridden"]


class GateReason(Value, frozen=True):
    """Why the gate is closed (`block`), or what should be known though it is not (`warn`).

    `subject` tells reasons of one kind apart: a domain, a drill, a set of damages. An override is of that very reason;
    the next one of its kind is another. `since`: when it began, where that is known. `overridden`: the id of the
    override that lets it pass.
    """

    kind: ReasonKind
    weight: Literal["block", "warn"]
    sentence: str
    hint: str = ""
    subject: str = ""
    since: Time | None = None
    overridden: str = ""

    @property
    def key(self) -> str:
        """What an override names: `backup exams`."""
        return f"{self.kind} {self.subject}".rstrip()

    @property
    def closes(self) -> bool:
        return self.weight == "block" and not self.overridden


class GateCheck(Value, frozen=True):
    """One kind of reason that was looked at, with the worst that was found; `sentence` says what holds, or what does
    not."""

    kind: ReasonKind
    verdict: Verdict
    sentence: str


class Override(Value, frozen=True):
    """Somebody lets some reasons pass until a time. `keys` are those of the reasons; `id` is its event's."""

    id: str
    at: Time
    until: Time
    by: str
    reason: str
    keys: tuple[str, ...]

    def holds(self, now: Time) -> bool:
        """Whether it lets them pass now."""
        return now < self.until


class GateReport(Value, frozen=True):
    """Whether an upgrade, a migration or a prune may go on, and why not. Ages and windows are seconds.

    `proof_age` is of the newest verify or drill that went well, `backup_age` of the domain whose last complete look is
    longest ago, `rpo_lag` of the one that exceeds its objective `rpo` most; None where there is none.
    """

    target: str
    at: Time
    open: bool
    reasons: tuple[GateReason, ...]
    checked: tuple[GateCheck, ...]
    proof_within: float
    backup_within: float
    proof_age: float | None = None
    backup_age: float | None = None
    rpo_lag: float | None = None
    rpo: float | None = None
    overrides: tuple[Override, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> GateReason | None:
        """What to say where there is room for one reason."""
        closing = [reason for reason in self.reasons if reason.closes]
        return next(iter([*closing, *self.reasons]), None)


class BucketLook(Value, frozen=True):
    """`bucket/{target}.json` of the state directory: the bucket's lifecycle rules as they were last looked at.

    `unsafe` are sentences, one for each rule that would delete or freeze what a repository needs. `known`: False where
    they could not be read, and `why`. `lacks`: what the policy wants of them and they have not, a sentence each.
    """

    at: Time
    unsafe: tuple[str, ...] = ()
    known: bool = True
    why: str = ""
    lacks: tuple[str, ...] = ()


class AuditLook(Value, frozen=True):
    """`audit/{target}.json` of the state directory: what the last audit of the chain of evidence said. `fault`: what
    does not hold, a sentence; empty where everything does."""

    at: Time
    fault: str = ""
