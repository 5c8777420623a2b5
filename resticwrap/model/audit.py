"""What an audit of the chains of evidence found, and what an auditor is handed."""

from typing import Literal

from resticwrap.model.base import Time, Value
from resticwrap.model.evidence import Evidence, Head

FindingKind = Literal["gap", "cut", "gone", "unreadable", "misplaced", "broken", "rewritten", "no_genesis"]


class AuditFinding(Value, frozen=True):
    """Something that does not hold. `seq` is the number of the record that it concerns first.

    `gap`: a record in the midst is missing; `cut`: the newest are; `gone`: the whole chain is. `unreadable`: no record.
    `misplaced`: it says another number, chain or target than its place. `broken`: it does not name the record before by
    its digest, so either was edited. `rewritten`: it is not the one that somebody remembers. `no_genesis`: a chain that
    does not begin as every chain does.
    """

    kind: FindingKind
    installation: str
    seq: int
    message: str


class AuditedChain(Value, frozen=True):
    """One chain as it lies in the target. `witnessed` is the highest number that something outside the chain vouches
    for (None: nothing does), `witnesses` who does so. `own`: this installation writes it."""

    installation: str
    records: int
    head: Head | None
    own: bool = False
    witnessed: int | None = None
    witnesses: tuple[str, ...] = ()


class AuditReport(Value, frozen=True):
    """Whether the evidence of a target holds. `waiting` events are not in the chain yet; `manifests` is how many of
    them were asked for the heads they name. `notes` say what could not be told."""

    target: str
    at: Time
    ok: bool
    chains: tuple[AuditedChain, ...]
    findings: tuple[AuditFinding, ...] = ()
    records: int = 0
    manifests: int = 0
    waiting: int = 0
    notes: tuple[str, ...] = ()


class AuditExport(Value, frozen=True):
    """What an auditor is handed: the records of a time, oldest first, as they lie in the target, and whether the chains
    that they come from hold."""

    target: str
    at: Time
    since: Time | None
    until: Time | None
    records: tuple[Evidence, ...]
    audit: AuditReport
    digests: dict[str, str] = {}
    """By `CHAIN:NUMBER` the sha256 of each record's bytes in the target."""
