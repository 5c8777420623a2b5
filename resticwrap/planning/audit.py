"""Whether chains of evidence hold, given their very bytes and what others remember of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from resticwrap.model.audit import AuditedChain, AuditFinding, FindingKind
from resticwrap.model.base import Value, from_json
from resticwrap.model.evidence import Evidence, Head

NAMED = 3
"""How many of those who remember the same record a finding names."""


class Witness(Value, frozen=True):
    """Somebody who remembers a record: `who` says what, as the end of a sentence (`the state directory`)."""

    who: str
    installation: str
    seq: int
    digest: str


def audit(
    chains: Mapping[str, Mapping[int, bytes]], witnesses: Iterable[Witness], own: str = "", target: str = ""
) -> tuple[list[AuditedChain], list[AuditFinding]]:
    """Look at every chain (by installation and number the bytes of each record) and hold it against all `witnesses`.

    A chain's genesis names the heads of others, and so is a witness as well. `own` is the chain of this installation,
    whose records must name this `target`; another machine may call it otherwise, but not now so and now otherwise.
    """
    read = {name: _read(records) for name, records in chains.items()}
    known: dict[str, list[Witness]] = {name: [] for name in chains}
    for witness in [*witnesses, *_of_genesis(read)]:
        known.setdefault(witness.installation, []).append(witness)
    audited: list[AuditedChain] = []
    findings: list[AuditFinding] = []
    for name in sorted(known):
        records = chains.get(name, {})
        within = _within(name, records, read.get(name, {}), target if name == own else "")
        findings += within
        findings += _remembered(name, records, known[name])
        audited.append(_chain(name, records, read.get(name, {}), known[name], name == own))
    return audited, findings


def _read(records: Mapping[int, bytes]) -> dict[int, Evidence]:
    found = {}
    for seq, body in records.items():
        try:
            found[seq] = from_json(Evidence, body)
        except ValueError:
            continue
    return found


def _of_genesis(read: Mapping[str, Mapping[int, Evidence]]) -> list[Witness]:
    """The heads that each chain's genesis names. One that says something else than heads names none."""
    found = []
    for name, records in read.items():
        genesis = records.get(0)
        named = genesis.event.body.get("chains") if genesis and genesis.event.kind == "genesis" else None
        for head in named if isinstance(named, list) else ():
            if isinstance(head, dict):
                match (head.get("installation"), head.get("seq"), head.get("digest")):
                    case (str(installation), int(seq), str(digest)):
                        who = f"the genesis of chain {name}"
                        found.append(Witness(who=who, installation=installation, seq=seq, digest=digest))
    return found


def _within(name: str, records: Mapping[int, bytes], read: Mapping[int, Evidence], target: str) -> list[AuditFinding]:
    """What a chain says against itself."""
    found: list[AuditFinding] = []

    def say(kind: FindingKind, seq: int, message: str) -> None:
        found.append(AuditFinding(kind=kind, installation=name, seq=seq, message=message))

    numbers = sorted(records)
    missing = [(before + 1, after - 1) for before, after in zip([-1, *numbers], numbers, strict=False)]
    for first, last in missing:
        if first == last:
            say("gap", first, f"Record {first} is missing.")
        elif first < last:
            say("gap", first, f"Records {first} to {last} are missing.")
    named = target or next((read[seq].target for seq in numbers if seq in read), "")
    for seq in numbers:
        one = read.get(seq)
        if one is None:
            say("unreadable", seq, f"Record {seq} cannot be read.")
            continue
        if (one.installation, one.seq, one.target) != (name, seq, named):
            says = f"record {one.seq} of chain {one.installation}, target {one.target}"
            say("misplaced", seq, f"Record {seq} says that it is {says}.")
        if (one.event.kind == "genesis") != (seq == 0):
            say("no_genesis", seq, f"Record {seq} is {'a second' if seq else 'no'} genesis.")
        before = records.get(seq - 1)
        if seq == 0 and one.previous:
            say("broken", seq, "Record 0 names a record before it.")
        elif before is not None and one.previous != hashlib.sha256(before).hexdigest():
            say("broken", seq, f"Record {seq} does not name record {seq - 1} by its digest: one of both was changed.")
    return found


def _remembered(name: str, records: Mapping[int, bytes], witnesses: Sequence[Witness]) -> list[AuditFinding]:
    """What others remember otherwise. What is missing in the midst is told already."""
    if not records:
        last = max(witnesses, key=lambda one: one.seq)
        message = f"The whole chain is gone; {_who([last.who])} knows it up to record {last.seq}."
        return [AuditFinding(kind="gone", installation=name, seq=0, message=message)]
    found = []
    newest = max(records)
    beyond = [one for one in witnesses if one.seq > newest]
    if beyond:
        last = max(beyond, key=lambda one: one.seq)
        which = f"Record {last.seq}" if last.seq == newest + 1 else f"Records {newest + 1} to {last.seq}"
        gone = "is" if last.seq == newest + 1 else "are"
        who = _who([one.who for one in beyond if one.seq == last.seq])
        message = f"{which} {gone} gone from the end; {who} knows record {last.seq}."
        found.append(AuditFinding(kind="cut", installation=name, seq=newest + 1, message=message))
    other: dict[int, list[str]] = {}
    for one in witnesses:
        body = records.get(one.seq)
        if body is not None and hashlib.sha256(body).hexdigest() != one.digest:
            other.setdefault(one.seq, []).append(one.who)
    for seq in sorted(other):
        message = f"Record {seq} is not the one that {_who(other[seq])} knows."
        found.append(AuditFinding(kind="rewritten", installation=name, seq=seq, message=message))
    return found


def _who(names: Sequence[str]) -> str:
    told = list(dict.fromkeys(names))
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def _chain(
    name: str, records: Mapping[int, bytes], read: Mapping[int, Evidence], witnesses: Sequence[Witness], own: bool
) -> AuditedChain:
    newest = max(records, default=-1)
    last = read.get(newest)
    good = [
        one for one in witnesses if one.seq in records and hashlib.sha256(records[one.seq]).hexdigest() == one.digest
    ]
    top = max((one.seq for one in good), default=None)
    return AuditedChain(
        installation=name,
        records=len(records),
        head=Head(installation=name, seq=newest, digest=hashlib.sha256(records[newest]).hexdigest(), at=last.event.at)
        if last
        else None,
        own=own,
        witnessed=top,
        witnesses=tuple(dict.fromkeys(one.who for one in good if one.seq == top)),
    )
