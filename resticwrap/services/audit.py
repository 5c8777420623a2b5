"""The chain of evidence: what was proven, decided and found, written once and never again.

An event is kept in the state directory first, so that neither a target that is down nor a crash loses it; then it is
appended to this installation's chain in the target, each record by a put-if-absent under the next number. What is there
is never written over: where it does not follow what this machine knows, evidence waits until somebody has looked.

A chain begins with a genesis record that names the heads of all other chains in the target. So a new machine, or one
that lost its state directory, still knows how far the older chains were.
"""

import contextlib
import getpass
import hashlib
import re
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.evidence import Chain, Event, Evidence, EvidenceKind, Head
from resticwrap.services.context import Context, Records

LOCK_WAIT = 30.0
RECORD = re.compile(r"(?P<installation>[^/]+)/(?P<seq>\d{8})\.json")


def note(
    records: Records,
    kind: EvidenceKind,
    body: Mapping[str, Any],
    *,
    job: str = "",
    versions: Mapping[str, str] = {},
    name: str = "",
) -> Event:
    """Keep an event for the chain. Needs no target. Under the same `name` it is kept once. Raises what the state
    directory raises."""
    event = _event(records, kind, body, job, versions, name)
    records.state.wait(records.target_name, event)
    return event


def record(
    context: Context, kind: EvidenceKind, body: Mapping[str, Any], *, job: str = "", name: str = ""
) -> str | None:
    """Make an event evidence. Returns why it is not in the chain yet, which is no failure of what it tells of.

    Raises what the state directory raises where the target does not take it either: then nobody would ever know of it.
    """
    event = _event(context, kind, body, job, context.versions, name)
    try:
        context.state.wait(context.target_name, event)
    except errors.Interrupted:
        raise
    except errors.Failure:
        # Full, say. In the target it is safe, also where the state directory cannot note that: the next one finds it.
        if _settled(context, [event]) is not None and not _in_target(context, event):
            raise
        return None
    return settle(context)


def tell(context: Context, kind: EvidenceKind, body: Mapping[str, Any], *, job: str = "", name: str = "") -> str | None:
    """As `record`, for work that is done: that nobody will know of it is a sentence as well."""
    try:
        return record(context, kind, body, job=job, name=name)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return f"This is not evidence, for nothing could keep it: {error.message} {error.hint}".strip()


def settle(context: Context) -> str | None:
    """Append all that waits to the chain, oldest first. Returns why something waits still. Where nothing waits, the
    target is not asked."""
    try:
        waiting = context.state.waiting(context.target_name)
    except errors.Failure as error:
        return f"Evidence cannot be read here: {error.message}"
    return _settled(context, waiting) if waiting else None


def once(name: str) -> str:
    """The id of an event that has a name, and so happens once."""
    return f"event_{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def head(records: Records) -> Head | None:
    """The newest record that this installation knows of its own chain; None where there is none, or none to be read."""
    try:
        chain = records.state.chain(records.target_name)
    except errors.Failure:
        return None
    return chain.head if chain else None


def prefix(context: Context, installation: str = "") -> str:
    """Where the chains lie; with an installation, where its chain lies."""
    target = context.target
    below = f"{installation}/" if installation else ""
    return f"backups/{target.environment or target.namespace}/evidence/{below}"


def key(context: Context, installation: str, seq: int) -> str:
    """Where a record lies."""
    return f"{prefix(context, installation)}{seq:08d}.json"


def numbers(context: Context) -> tuple[dict[str, list[int]], list[str]]:
    """By installation the numbers of all records in the target, ascending; and the keys among them that are none."""
    found: dict[str, list[int]] = {}
    strange: list[str] = []
    below = prefix(context)
    for info in context.store.list(below):
        if match := RECORD.fullmatch(info.key.removeprefix(below)):
            found.setdefault(match["installation"], []).append(int(match["seq"]))
        else:
            strange.append(info.key)
    return {name: sorted(seqs) for name, seqs in found.items()}, strange


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _event(
    records: Records, kind: EvidenceKind, body: Mapping[str, Any], job: str, versions: Mapping[str, str], name: str
) -> Event:
    now = records.clock.now()
    return Event(
        id=once(name) if name else f"event_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}",
        kind=kind,
        at=now,
        by=user(),
        host=socket.gethostname(),
        job=job,
        versions=dict(versions),
        body=dict(body),
    )


def _settled(context: Context, waiting: Iterable[Event]) -> str | None:
    try:
        with context.locks.hold(f"evidence {context.target_name}", wait=LOCK_WAIT):
            chain = _chain(context)
            there = {chain.event}
            for event in waiting:
                while event.id not in there:
                    # What a crash, or an older state directory, left unremembered is taken up and not written twice.
                    chain, found = _put(context, chain, event)
                    there.add(found)
                context.state.arrived(context.target_name, event)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return f"Evidence waits to be written to the target: {error.message} {error.hint}".strip()
    return None


def _in_target(context: Context, event: Event) -> bool:
    """Whether an event is the newest of our chain, though nothing here could note that."""
    with contextlib.suppress(errors.Failure, ValueError):
        chain = context.state.chain(context.target_name)
        if chain is not None:
            seq = chain.head.seq + 1 if chain.head else 0
            body = context.store.get(key(context, chain.installation, seq))
            return from_json(Evidence, body).event.id == event.id
    return False


def _chain(context: Context) -> Chain:
    """Ours, with its genesis; begun where there is none. Its name is kept before its first record is put, so that no
    crash leaves a chain behind that nobody goes on with."""
    chain = context.state.chain(context.target_name)
    if chain is None:
        chain = Chain(installation=secrets.token_hex(8))
        context.state.put_chain(context.target_name, chain)
    if chain.head is not None:
        return chain
    genesis = _event(context, "genesis", {"chains": _others(context, chain)}, "", context.versions, "")
    chain, _ = _put(context, chain, genesis)
    return chain


def _others(context: Context, chain: Chain) -> list[dict[str, Any]]:
    """The heads of all other chains in the target, by the very bytes that lie there."""
    found = []
    for installation, seqs in sorted(numbers(context)[0].items()):
        if installation != chain.installation:
            body = context.store.get(key(context, installation, seqs[-1]))
            found.append({"installation": installation, "seq": seqs[-1], "digest": digest_of(body)})
    return found


def digest_of(body: bytes) -> str:
    """What a record is called by the next one: the sha256 of its very bytes."""
    return hashlib.sha256(body).hexdigest()


def _put(context: Context, chain: Chain, event: Event) -> tuple[Chain, str]:
    """Put an event as the next record, if that is not there yet. Returns the chain with the record that is there now,
    and the id of its event."""
    last = chain.head
    wanted = Evidence(
        installation=chain.installation,
        target=context.target_name,
        seq=last.seq + 1 if last else 0,
        previous=last.digest if last else "",
        event=event,
    )
    body = to_json(wanted)
    where = key(context, chain.installation, wanted.seq)
    try:
        _put_if_absent(context, where, body)
        there = wanted
    except errors.ObjectExists:
        body = context.store.get(where)
        there = _follows(where, body, wanted)
    head = Head(installation=chain.installation, seq=there.seq, digest=digest_of(body), at=there.event.at)
    chain = msgspec.structs.replace(chain, head=head, event=there.event.id)
    context.state.put_chain(context.target_name, chain)
    _remember(context, [body])
    return chain, there.event.id


def _put_if_absent(context: Context, where: str, body: bytes) -> None:
    """The store does not repeat a put-if-absent whose answer got lost. Here it may be: what is there is looked at."""
    try:
        context.store.put(where, body, if_absent=True)
    except errors.TargetUnreachable:
        context.store.put(where, body, if_absent=True)


def _follows(where: str, body: bytes, wanted: Evidence) -> Evidence:
    """What lies under the number already. Raises Damaged where it is not the next of this chain."""
    try:
        found = from_json(Evidence, body)
    except ValueError as error:
        raise errors.Damaged(f"The evidence {where} cannot be read.", hint="rw audit verify") from error
    if (found.installation, found.seq, found.previous) != (wanted.installation, wanted.seq, wanted.previous):
        raise errors.Damaged(f"The evidence {where} does not follow what this machine knows.", hint="rw audit verify")
    return found


def _remember(context: Context, bodies: Sequence[bytes]) -> None:
    """Tell the catalogue, which may be down: the chain itself lies in the target."""
    try:
        context.catalog().put_evidence(bodies)
    except (errors.CatalogUnavailable, errors.DiskFull):
        return
