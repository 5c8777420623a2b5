"""What both repositories hold, snapshot by snapshot: the facts that copying, forgetting and counting start from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resticwrap.model.aging import Held
from resticwrap.model.snapshot import Snapshot, TierName
from resticwrap.ports import KnownSnapshot
from resticwrap.services.context import Context

OVER = frozenset({"failed", "accepted"})
"""The phases of an in-place restore whose safety snapshot nobody needs any more."""


@dataclass(frozen=True)
class Holdings:
    """The snapshots of both tiers, as the repositories themselves list them. `strangers` are not ours: nothing of what
    `rw` does touches them."""

    held: Sequence[Held]
    strangers: int
    unrecorded: Sequence[Snapshot] = ()
    """Copies in cold of complete originals, of which the catalogue does not know: a run died before it told it."""


def gather(context: Context, pins: Mapping[str, Sequence[str]]) -> Holdings:
    """Ask both repositories, past the cache. `pins`: by original id, why it may not be removed.

    What is complete is taken from the catalogue alone. Raises CatalogUnavailable, and whatever the target says.
    """
    found: dict[str, list[tuple[TierName, Snapshot]]] = {}
    strangers = 0
    tiers: tuple[TierName, ...] = ("hot", "cold")
    for tier in tiers:
        context.check_pin(tier)
        for snapshot in context.repositories[tier].snapshots(no_cache=True):
            if snapshot.tags is None:
                strangers += 1
                continue
            found.setdefault(snapshot.original, []).append((tier, snapshot))
    catalog = context.known()
    known = {tier: catalog.snapshots(context.target_name, tier) for tier in tiers}
    partial = catalog.partial(context.target_name)
    why = _pinned(context, pins)
    held = [
        _held(original, copies, known, original in partial, why.get(original, ())) for original, copies in found.items()
    ]
    complete = {one.original for one in held if one.complete}
    recorded = {original for original, one in known["cold"].items() if one.complete}
    unrecorded = [
        next(snapshot for tier, snapshot in _ordered(found[original]) if tier == "cold")
        for original in sorted(complete - recorded)
        if any(tier == "cold" for tier, _ in found[original])
    ]
    return Holdings(sorted(held, key=lambda one: (one.time, one.original)), strangers, unrecorded)


def remember(context: Context, holdings: Holdings) -> None:
    """Tell the catalogue of the copies that it does not know: once their originals leave hot, nothing else says that
    they are complete. Raises CatalogUnavailable."""
    if holdings.unrecorded:
        context.catalog().put_snapshots(context.target_name, "cold", [(one, True) for one in holdings.unrecorded])


def _held(
    original: str,
    copies: Sequence[tuple[TierName, Snapshot]],
    known: Mapping[TierName, Mapping[str, KnownSnapshot]],
    partial: bool,
    pins: Sequence[str],
) -> Held:
    ordered = _ordered(copies)
    first: dict[TierName, Snapshot] = {}
    twins: list[tuple[TierName, str]] = []
    for tier, snapshot in ordered:
        if first.setdefault(tier, snapshot) is not snapshot:
            twins.append((tier, snapshot.id))
    snapshot = ordered[0][1]
    assert snapshot.tags is not None  # strangers were left out
    records = [records[original] for records in known.values() if original in records]
    proofs = [record.proven_at for record in records if record.proven_at is not None]
    # Another tree under the same original is another snapshot, whatever it says: a copy is known by its tree.
    same = "cold" not in first or "hot" not in first or first["cold"].tree == first["hot"].tree
    return Held(
        original=original,
        domain=snapshot.tags.domain,
        host=snapshot.host,
        time=snapshot.time,
        type=snapshot.tags.type,
        tree=snapshot.tree,
        # What a rebuild knows nothing of is not called partial.
        complete=True if any(record.complete for record in records) else False if partial else None,
        hot=first["hot"].id if "hot" in first else None,
        cold=first["cold"].id if "cold" in first else None,
        marked="cold" in first and _marked(first["cold"]) and same,
        proven_at=max(proofs, default=None),
        size=next((record.size for record in records), 0),
        files=next((record.files for record in records), 0),
        pins=tuple(pins),
        twins=tuple(twins),
    )


def _ordered(copies: Sequence[tuple[TierName, Snapshot]]) -> list[tuple[TierName, Snapshot]]:
    """Hot before cold; in each the marked one first, else by id. The others are twins."""
    return sorted(copies, key=lambda item: (item[0] == "cold", not _marked(item[1]), item[1].id))


def _marked(snapshot: Snapshot) -> bool:
    return snapshot.tags is not None and snapshot.tags.tier == "cold"


def _pinned(context: Context, pins: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The pins, and the safety snapshots of in-place restores that are not over."""
    why = {original: list(reasons) for original, reasons in pins.items()}
    journals, _ = context.journals.scan()
    for journal in journals:
        if journal.phase in OVER:
            continue
        for piece in journal.pieces:
            if piece.safety:
                why.setdefault(piece.safety, []).append(f"what was live before restore {journal.job}")
    return why
