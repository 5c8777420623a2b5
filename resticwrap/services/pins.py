"""Pins: snapshots that somebody wants kept. Each lies in the catalogue and in the bucket, and either one is enough.

In the bucket it is `backups/{env}/pins/{id}.json`. A pin is released by writing it over with the time of its release,
so credentials that may not delete suffice.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec

from resticwrap import errors
from resticwrap.model.aging import PinKind, SnapshotPin
from resticwrap.model.base import Time, from_json, to_json
from resticwrap.model.reports import PinReport
from resticwrap.services import audit
from resticwrap.services.context import Context

KINDS: tuple[str, ...] = get_args(PinKind)
SHORTEST = 6
"""So many characters of an id say which one is meant."""


def pins(context: Context) -> list[SnapshotPin]:
    """Every pin that the catalogue or the bucket knows, released ones too, oldest first.

    One that either says is released is released. What the catalogue did not know is put there. Raises what the
    catalogue and the target raise, and Damaged where a pin cannot be read: without them nothing may be removed.
    """
    catalog = context.known()
    known = {pin.id: pin for pin in catalog.pins(context.target_name)}
    found = dict(known)
    for key, stored in _stored(context):
        if stored.id != key:
            raise _unreadable(key)
        stored = msgspec.structs.replace(stored, target=context.target_name)
        found[stored.id] = _both(found.get(stored.id), stored)
    for pin in found.values():
        if known.get(pin.id) != pin:
            catalog.put_pin(pin)
    return sorted(found.values(), key=lambda pin: (pin.created_at, pin.id))


def reasons(held: Sequence[SnapshotPin], now: Time) -> Mapping[str, Sequence[str]]:
    """By original id, why a snapshot is pinned now."""
    why: dict[str, list[str]] = {}
    for pin in held:
        if pin.holds(now):
            for snapshot in pin.snapshots:
                why.setdefault(snapshot, []).append(f"pinned ({pin.kind}, {pin.id}): {pin.reason}")
    return why


def listed(context: Context, *, everything: bool = False) -> PinReport:
    """The pins that hold now; with `everything` released and expired ones too."""
    now = context.clock.now()
    found = tuple(pin for pin in pins(context) if everything or pin.holds(now))
    return PinReport(target=context.target_name, action="listed", pins=found)


def pin(
    context: Context,
    wanted: Sequence[str],
    reason: str,
    *,
    kind: PinKind = "manual",
    until: Time | None = None,
    dry_run: bool = False,
) -> PinReport:
    """Keep these snapshots, named by the beginning of their ids. Raises NotFound, UsageError.

    The bucket has the pin first: from then on it holds, whatever becomes of the catalogue, which is told in a note.
    Then it looks whether they are still there: a forget may have been at work meanwhile.
    """
    now = context.clock.now()
    if not reason.strip():
        raise errors.UsageError("A pin needs a reason.", hint="rw pin SNAPSHOT --reason 'before the upgrade'")
    if until is not None and until <= now:
        raise errors.UsageError("That time is over already.", hint="--until 2027-01-31T00:00")
    before = _originals(context)
    made = SnapshotPin(
        id=f"pin_{now:%Y%m%dT%H%M%SZ}_{secrets.token_hex(3)}",
        target=context.target_name,
        snapshots=tuple(dict.fromkeys(_one(before, name) for name in wanted)),
        reason=reason.strip(),
        by=f"{audit.user()}@{context.machine}",
        created_at=now,
        kind=kind,
        until=until,
    )
    if dry_run:
        return PinReport(target=context.target_name, action="planned", pins=(made,))
    notes = _put(context, made)
    after = _originals(context)
    gone = [name for name in made.snapshots if before[name] - after.get(name, frozenset())]
    if gone:
        raise errors.NotFound(
            f"The pin is made, but {', '.join(name[:8] for name in gone)} was forgotten at that moment.",
            hint="rw snapshots   (what is there now)",
        )
    return PinReport(target=context.target_name, action="pinned", pins=(made,), notes=tuple(notes))


def keep(context: Context, pin: SnapshotPin) -> list[str]:
    """Write a pin of `rw` itself, unless it is there already: then it stays as it is, released perhaps. Returns what a
    person should know. Raises what the target raises."""
    try:
        context.store.put(_key(context, pin.id), to_json(pin), if_absent=True)
    except errors.ObjectExists:
        return []
    return _told(context, pin)


def unpin(context: Context, wanted: str, *, dry_run: bool = False) -> PinReport:
    """Release one pin, named by the beginning of its id. Raises NotFound."""
    known = pins(context)
    fits = [pin for pin in known if pin.id == wanted] or [
        pin for pin in known if len(wanted) >= SHORTEST and pin.id.startswith(wanted)
    ]
    if not fits:
        raise errors.NotFound(f"There is no pin {wanted}.", hint="rw pin --list")
    if len(fits) > 1:
        raise errors.NotFound(
            f"{len(fits)} pins begin with {wanted}.", hint=f"Write more of it: {fits[0].id}, {fits[1].id}, …"
        )
    if fits[0].released_at is not None:
        raise errors.NotFound(f"{fits[0].id} is released already.", hint="rw pin --list")
    released = msgspec.structs.replace(fits[0], released_at=context.clock.now())
    notes = [] if dry_run else _put(context, released)
    return PinReport(
        target=context.target_name,
        action="planned" if dry_run else "released",
        pins=(released,),
        notes=tuple(notes),
    )


def _both(known: SnapshotPin | None, stored: SnapshotPin) -> SnapshotPin:
    if known is None or known.released_at is None:
        return stored
    return known


def _stored(context: Context) -> list[tuple[str, SnapshotPin]]:
    """What lies in the bucket, by the id in its key. Raises Damaged where one cannot be read."""
    found = []
    prefix = _key(context, "").removesuffix(".json")
    for info in list(context.store.list(prefix)):
        name = info.key.removeprefix(prefix)
        if "/" in name or not name.endswith(".json"):
            continue
        context.heed()
        try:
            found.append((name.removesuffix(".json"), from_json(SnapshotPin, context.store.get(info.key))))
        except ValueError as error:
            raise _unreadable(name) from error
    return found


def _unreadable(name: str) -> errors.Damaged:
    return errors.Damaged(
        f"The pin {name} in the bucket cannot be read, and without it nothing may be removed.",
        hint="Mend it, or pin its snapshots anew (rw pin) and remove that object: backups/…/pins/",
    )


def _put(context: Context, pin: SnapshotPin) -> list[str]:
    """Write it to the bucket, then to the catalogue. Returns what a person should know."""
    context.store.put(_key(context, pin.id), to_json(pin))
    return _told(context, pin)


def _told(context: Context, pin: SnapshotPin) -> list[str]:
    try:
        context.catalog().put_pin(pin)
    except (errors.CatalogUnavailable, errors.DiskFull) as error:
        return [f"{error.message} The bucket has it, and the catalogue will by the next forget."]
    return []


def _key(context: Context, id: str) -> str:
    target = context.target
    return f"backups/{target.environment or target.namespace}/pins/{id}.json"


def _originals(context: Context) -> dict[str, frozenset[str]]:
    """By original id, the tiers that a snapshot of ours lies in."""
    found: dict[str, set[str]] = {}
    for tier in context.pins():
        context.check_pin(tier)
        for snapshot in context.repositories[tier].snapshots():
            if snapshot.tags is not None:
                found.setdefault(snapshot.original, set()).add(tier)
    return {name: frozenset(tiers) for name, tiers in found.items()}


def _one(originals: Mapping[str, object], wanted: str) -> str:
    if wanted in originals:
        return wanted
    fits = sorted(name for name in originals if len(wanted) >= SHORTEST and name.startswith(wanted))
    if not fits:
        raise errors.NotFound(f"There is no snapshot {wanted}.", hint="rw snapshots   (six characters of its id do)")
    if len(fits) > 1:
        raise errors.NotFound(
            f"{len(fits)} snapshots begin with {wanted}.",
            hint=f"Write more of it: {fits[0][:16]}, {fits[1][:16]}, …",
        )
    return fits[0]
