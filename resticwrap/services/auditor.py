"""`rw audit`: read the chains of evidence back, and say whether they hold.

Whoever can write to the bucket can write a chain anew; but not the heads of it that are elsewhere: in the state
directory, in the catalogue, in the manifests, in the genesis of other chains, on paper.
"""

import contextlib
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from resticwrap import errors
from resticwrap.model.audit import AuditedChain, AuditExport, AuditReport
from resticwrap.model.base import Time, from_json
from resticwrap.model.evidence import Evidence, EvidenceKind, Head
from resticwrap.model.gate import AuditLook
from resticwrap.model.kit import Kit
from resticwrap.planning import audit as planning
from resticwrap.planning.audit import Witness
from resticwrap.services import audit
from resticwrap.services.context import Context, Records

MANIFESTS = 200
"""How many of the newest manifests are asked for the heads that they name."""
FETCHED_AT_ONCE = 8
HEAD = re.compile(r"(?P<installation>[^:/\s]+):(?P<seq>\d+):(?P<digest>[0-9a-f]{64})")
Chains = Mapping[str, Mapping[int, bytes]]


def chains(context: Context) -> tuple[dict[str, dict[int, bytes]], list[str]]:
    """All chains as they lie in the target: by installation and number the bytes of each record; and notes on what lies
    among them and is no record. Raises what the store raises."""
    found, strange = audit.numbers(context)
    wanted = [(name, seq) for name, seqs in found.items() for seq in seqs]
    read: dict[str, dict[int, bytes]] = {}
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        for at in range(0, len(wanted), FETCHED_AT_ONCE * 4):
            context.heed()
            some = wanted[at : at + FETCHED_AT_ONCE * 4]
            for (name, seq), body in zip(some, pool.map(lambda one: _body(context, *one), some), strict=True):
                if body is not None:
                    read.setdefault(name, {})[seq] = body
    return read, [f"{key} lies among the evidence and is none." for key in strange]


def verify(
    context: Context, *, manifests: int | None = MANIFESTS, heads: Sequence[Head] = (), kits: Sequence[Kit] = ()
) -> AuditReport:
    """Read all chains of the target and hold them against everything that remembers them.

    `manifests`: how many of the newest are asked, None for all. `heads` were noted down elsewhere, `kits` too. Raises
    what the target raises, and UsageError for a kit of another target; a catalogue that is down is a note.
    """
    told = [_witness("the head that was given", head) for head in heads]
    blank = []
    for kit in kits:
        if kit.target != context.target_name:
            raise errors.UsageError(f"The kit is of target {kit.target}.", hint=f"--target {kit.target}")
        if kit.head is None:
            blank.append(f"The kit of {kit.made_at:%Y-%m-%d} knows of no evidence: when it was made there was none.")
        else:
            told.append(_witness(f"the kit of {kit.made_at:%Y-%m-%d}", kit.head))
    read, notes = chains(context)
    return _audited(context, read, notes + blank, manifests, told)


def _audited(
    context: Context, read: Chains, notes: list[str], manifests: int | None, told: Sequence[Witness]
) -> AuditReport:
    witnesses, given = list(told), bool(told)
    chain = None
    try:
        chain = context.state.chain(context.target_name)
    except errors.Failure as error:
        notes.append(f"{error.message} So its head was not compared.")
    if chain and chain.head:
        witnesses.append(_witness("the state directory", chain.head))
    own = chain.installation if chain else ""
    witnesses += _of_catalog(context, notes)
    asked, told = _of_manifests(context, manifests, notes)
    witnesses += told
    # An event that another process has just appended is no witness against what was read before it.
    audited, findings = planning.audit(read, witnesses, own, context.target_name)
    if findings:
        read, _ = chains(context)
        audited, findings = planning.audit(read, witnesses, own, context.target_name)
    waiting = len(context.state.waiting(context.target_name))
    notes += _unvouched(audited)
    if not audited:
        notes.append("There is no evidence in this target, and nothing that would know of any.")
    if waiting:
        those = "1 event waits" if waiting == 1 else f"{waiting} events wait"
        notes.append(f"{those} in the state directory to be written: the next job of this target does.")
    if not given:  # one that was noted down wrong says nothing of the chain
        fault = f"{len(findings)} records of evidence are not as they were: {findings[0].message}" if findings else ""
        with contextlib.suppress(errors.Failure):
            context.state.put_audit_look(context.target_name, AuditLook(at=context.clock.now(), fault=fault))
    return AuditReport(
        target=context.target_name,
        at=context.clock.now(),
        ok=not findings,
        chains=tuple(audited),
        findings=tuple(findings),
        records=sum(len(records) for records in read.values()),
        manifests=asked,
        waiting=waiting,
        notes=tuple(notes),
    )


def log(records: Sequence[Evidence], kind: EvidenceKind | None, limit: int | None) -> list[Evidence]:
    """The newest of these records, newest first."""
    wanted = [one for one in records if kind is None or one.event.kind == kind]
    return sorted(wanted, key=lambda one: (one.event.at, one.seq), reverse=True)[:limit]


def known(records: Records, kind: EvidenceKind | None = None, limit: int | None = None) -> Sequence[Evidence]:
    """What the catalogue remembers, newest first. Raises CatalogUnavailable."""
    return records.known().evidence(records.target_name, kind=kind, limit=limit)


def stored(context: Context) -> list[Evidence]:
    """What lies in the target and can be read, oldest first."""
    return _decoded(chains(context)[0])


def show(records: Sequence[Evidence], wanted: str, own: str) -> Evidence:
    """One record: by its number in our own chain, by `INSTALLATION:NUMBER`, or by (the beginning of) its event's id.
    Raises NotFound."""
    installation, colon, number = wanted.rpartition(":")
    if number.isdecimal():
        name = installation if colon else own
        found = [one for one in records if one.seq == int(number) and one.installation == name]
    else:
        found = [one for one in records if one.event.id == wanted]
        found = found or [one for one in records if len(wanted) >= 8 and one.event.id.startswith(wanted)]
    if not found:
        raise errors.NotFound(f"There is no evidence {wanted}.", hint="rw audit log   (--from-target reads the target)")
    if len({one.event.id for one in found}) > 1:
        raise errors.NotFound(f"{len(found)} records begin with {wanted}.", hint="Write more of it: rw audit log")
    return found[0]


def export(
    context: Context, since: Time | None, until: Time | None, *, manifests: int | None = MANIFESTS
) -> AuditExport:
    """The records of a time with the result of an audit, which is of all records, for links go back to the first."""
    read, notes = chains(context)
    report = _audited(context, read, notes, manifests, ())
    wanted = [
        one
        for one in _decoded(read)
        if (since is None or one.event.at >= since) and (until is None or one.event.at <= until)
    ]
    return AuditExport(
        target=context.target_name,
        at=report.at,
        since=since,
        until=until,
        records=tuple(wanted),
        audit=report,
        digests={
            f"{name}:{seq}": audit.digest_of(body) for name, records in read.items() for seq, body in records.items()
        },
    )


def head_of(text: str, now: Time) -> Head:
    """A head as it is shown, `INSTALLATION:NUMBER:DIGEST`; when it was written is not in it. Raises UsageError."""
    match = HEAD.fullmatch(text.strip())
    if match is None:
        raise errors.UsageError("A head is INSTALLATION:NUMBER:DIGEST.", hint="Of a recovery kit: --kit FILE")
    return Head(installation=match["installation"], seq=int(match["seq"]), digest=match["digest"], at=now)


def _body(context: Context, installation: str, seq: int) -> bytes | None:
    try:
        return context.store.get(audit.key(context, installation, seq))
    except errors.ObjectMissing:  # listed, and gone since: that is a gap
        return None


def _decoded(read: Chains) -> list[Evidence]:
    found = []
    for name, records in read.items():
        for seq, body in records.items():
            try:
                one = from_json(Evidence, body)
            except ValueError:
                continue
            # By its place, whatever it says: an audit tells where that is another.
            found.append(msgspec.structs.replace(one, installation=name, seq=seq))
    return sorted(found, key=lambda one: (one.event.at, one.installation, one.seq))


def _witness(who: str, head: Head) -> Witness:
    return Witness(who=who, installation=head.installation, seq=head.seq, digest=head.digest)


def _of_catalog(context: Context, notes: list[str]) -> list[Witness]:
    try:
        digests = context.catalog().evidence_digests(context.target_name)
    except errors.CatalogUnavailable as error:
        notes.append(f"{error.message} So what it knows of the evidence was not compared.")
        return []
    return [
        Witness(who="the catalogue", installation=installation, seq=seq, digest=digest)
        for (installation, seq), digest in digests.items()
    ]


def _of_manifests(context: Context, count: int | None, notes: list[str]) -> tuple[int, list[Witness]]:
    """The heads that the newest manifests name, and how many manifests were read."""
    if count == 0:
        notes.append("No manifest was asked for the head that it names.")
        return 0, []
    keys = list(deque(context.manifests.keys(), maxlen=count))
    asked, found = 0, list[Witness]()
    for key, head in _heads(context, keys, notes):
        asked += 1
        if head is not None:
            found.append(_witness(f"the manifest {key.split('/')[-2]}", head))
    if count is not None and len(keys) == count:
        notes.append(f"Only the newest {count} manifests were asked: --manifests all asks every one.")
    return asked, found


def _heads(context: Context, keys: Sequence[str], notes: list[str]) -> Iterator[tuple[str, Head | None]]:
    def read(key: str) -> Head | errors.Failure | None:
        try:
            return context.manifests.get(key).evidence
        except (errors.Damaged, errors.ObjectMissing) as error:
            return error

    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        for at in range(0, len(keys), FETCHED_AT_ONCE * 4):
            context.heed()
            some = keys[at : at + FETCHED_AT_ONCE * 4]
            for key, found in zip(some, pool.map(read, some), strict=True):
                if isinstance(found, errors.Failure):
                    notes.append(found.message)
                else:
                    yield key, found


def _unvouched(audited: Sequence[AuditedChain]) -> list[str]:
    """What nobody outside a chain could have noticed."""
    found = []
    for chain in audited:
        if chain.head is None:
            continue
        if chain.witnessed is None:
            found.append(
                f"Nothing outside chain {chain.installation} knows of it: whether its newest records were cut off, or "
                "all of it was written anew, cannot be told."
            )
        elif chain.witnessed < chain.head.seq:
            found.append(
                f"Nothing outside chain {chain.installation} knows its records {chain.witnessed + 1} to "
                f"{chain.head.seq}: whether they were written anew, or newer ones cut off, cannot be told."
            )
    return found
