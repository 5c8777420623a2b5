"""The chain of evidence: what was proven, decided and found, written once and never again.

An event is kept in the state directory first, so that neither a target that is down nor a crash loses it; then it is
appended to this installation's chain in the target, each record by a put-if-absent under the next number.
"""

import getpass
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.evidence import Chain, Event, Evidence, EvidenceKind, Head
from resticwrap.services.context import Context, Records

LOCK_WAIT = 30.0


def note(
    records: Records, kind: EvidenceKind, body: Mapping[str, Any], *, job: str = "", versions: Mapping[str, str] = {}
) -> Event:
    """Keep an event for the chain. Needs no target. Raises what the state directory raises."""
    now = records.clock.now()
    event = Event(
        id=f"event_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}",
        kind=kind,
        at=now,
        by=user(),
        host=socket.gethostname(),
        job=job,
        versions=dict(versions),
        body=dict(body),
    )
    records.state.wait(records.target_name, event)
    return event


def record(context: Context, kind: EvidenceKind, body: Mapping[str, Any], *, job: str = "") -> str | None:
    """Make an event evidence. Returns why it is not in the chain yet, which is no failure of what it tells of.

    Raises what the state directory raises: then nobody would ever know of it.
    """
    note(context, kind, body, job=job, versions=context.versions)
    return settle(context)


def settle(context: Context) -> str | None:
    """Append all that waits to the chain, oldest first. Returns why something waits still."""
    try:
        with context.locks.hold(f"evidence {context.target_name}", wait=LOCK_WAIT):
            for event in context.state.waiting(context.target_name):
                _append(context, event)
                context.state.arrived(context.target_name, event)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return f"Evidence waits to be written to the target: {error.message}"
    return None


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


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _append(context: Context, event: Event) -> None:
    """Put an event under the next free number. A record that a crash left unremembered is taken up, not written twice.

    Raises what the store raises.
    """
    chain = context.state.chain(context.target_name) or Chain(installation=secrets.token_hex(8))
    while True:
        wanted = _next(context, chain, event)
        try:
            context.store.put(key(context, chain.installation, wanted.seq), to_json(wanted), if_absent=True)
            there = wanted
        except errors.ObjectExists:
            there = _there(context, chain, wanted)
        chain = msgspec.structs.replace(chain, head=_head(there))
        context.state.put_chain(context.target_name, chain)
        _remember(context, there)
        if there.event.id == event.id:
            return


def _next(context: Context, chain: Chain, event: Event) -> Evidence:
    last = chain.head
    return Evidence(
        installation=chain.installation,
        target=context.target_name,
        seq=last.seq + 1 if last else 0,
        previous=last.digest if last else "",
        event=event,
    )


def _there(context: Context, chain: Chain, wanted: Evidence) -> Evidence:
    """What lies under the number already. Raises Damaged where it is not the next of this chain."""
    name = key(context, chain.installation, wanted.seq)
    try:
        found = from_json(Evidence, context.store.get(name))
    except ValueError as error:
        raise errors.Damaged(f"The evidence {name} cannot be read.", hint="rw audit verify") from error
    if (found.installation, found.seq, found.previous) != (wanted.installation, wanted.seq, wanted.previous):
        raise errors.Damaged(f"The evidence {name} does not follow what this machine knows.", hint="rw audit verify")
    return found


def _head(one: Evidence) -> Head:
    return Head(installation=one.installation, seq=one.seq, digest=one.digest(), at=one.event.at)


def _remember(context: Context, one: Evidence) -> None:
    """Tell the catalogue, which may be down: the chain itself lies in the target."""
    try:
        context.catalog().put_evidence([one])
    except (errors.CatalogUnavailable, errors.DiskFull):
        return
