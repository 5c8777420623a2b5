"""What both repositories hold, snapshot by snapshot: the facts that copying, forgetting and counting start from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from resticwrap.model.aging import Held
from resticwrap.model.snapshot import CANARY, TIERS, Snapshot, TierName
from resticwrap.planning import retention
from resticwrap.ports import KnownSnapshot
from resticwrap.services.context import Context

Identity = tuple[str, str]
"""The original id of a snapshot, and its tree."""
OVER = frozenset({"failed", "accepted"})
"""The phases of an in-place restore whose safety snapshot nobody needs any more."""


@dataclass(frozen=True)
class Holdings:
    """The snapshots of both tiers, as the repositories themselves list them. `strangers` are not ours: nothing of what
    `rw` does touches them. The canary's are left out: they are no data, so no rule is about them."""

    held: Sequence[Held]
    strangers: int
    unrecorded: Sequence[Snapshot] = ()
    """Copies in cold of complete originals, of which the catalogue does not know: a run died before it told it."""


def gather(context: Context, pins: Mapping[str, Sequence[str]]) -> Holdings:
    """Ask both repositories, past the cache. `pins`: by original id, why it may not be removed.

    What is complete is taken from the catalogue alone, and only where the tree is the one that it knows: restic keeps
    the original id also of a snapshot that it has rewritten. Raises CatalogUnavailable, and whatever the target says.
    """
    found: dict[Identity, list[tuple[TierName, Snapshot]]] = {}
    strangers = 0
    for tier in TIERS:
        context.check_pin(tier)
        for snapshot in context.repositories[tier].snapshots(no_cache=True):
            if snapshot.tags is None:
                strangers += 1
            elif snapshot.tags.domain != CANARY:
                found.setdefault((snapshot.original, snapshot.tree), []).append((tier, snapshot))
    catalog = context.known()
    known = {tier: catalog.snapshots(context.target_name, tier) for tier in TIERS}
    facts = _Facts(known, catalog.partial(context.target_name), _pinned(context, pins))
    trees = Counter(original for original, _ in found)
    held, unrecorded = list[Held](), list[Snapshot]()
    for (original, tree), copies in found.items():
        one = facts.held(original, tree, copies)
        if trees[original] > 1 and tree != facts.tree_of(original):
            # Not what the original was: it has a name of its own, and nothing is known of it.
            one = msgspec.structs.replace(one, original=f"{original}~{tree[:8]}", complete=None, marked=False)
        held.append(one)
        record = known["cold"].get(original)
        if one.complete and one.cold and (record is None or not record.complete):
            unrecorded.append(next(snapshot for tier, snapshot in _ordered(copies) if tier == "cold"))
    held = retention.founded(held)
    return Holdings(sorted(held, key=lambda one: (one.time, one.original)), strangers, unrecorded)


def remember(context: Context, holdings: Holdings) -> None:
    """Tell the catalogue of the copies that it does not know: once their originals leave hot, nothing else says that
    they are complete. Raises CatalogUnavailable."""
    if holdings.unrecorded:
        context.catalog().put_snapshots(context.target_name, "cold", [(one, True) for one in holdings.unrecorded])


@dataclass(frozen=True)
class _Facts:
    """What the catalogue knows of snapshots, by tier and original: which are complete, or partial; and the pins."""

    known: Mapping[TierName, Mapping[str, KnownSnapshot]]
    partial: frozenset[str]
    pins: Mapping[str, Sequence[str]]

    def tree_of(self, original: str) -> str:
        """The tree that is known by this original id; "" where none is."""
        records = [of_tier[original] for of_tier in self.known.values() if original in of_tier]
        complete = [record for record in records if record.complete]
        return complete[0].tree if complete else ""

    def held(self, original: str, tree: str, copies: Sequence[tuple[TierName, Snapshot]]) -> Held:
        ordered = _ordered(copies)
        first: dict[TierName, Snapshot] = {}
        twins: list[tuple[TierName, str]] = []
        for tier, snapshot in ordered:
            if first.setdefault(tier, snapshot) is not snapshot:
                twins.append((tier, snapshot.id))
        snapshot = ordered[0][1]
        assert snapshot.tags is not None  # strangers were left out
        records = [of_tier[original] for of_tier in self.known.values() if original in of_tier]
        records = [record for record in records if record.tree == tree]
        proofs = [record.proven_at for record in records if record.proven_at is not None]
        complete: bool | None = any(record.complete for record in records)
        if not complete:
            # What a rebuild knows nothing of is not called partial.
            complete = False if records and original in self.partial else None
        return Held(
            original=original,
            domain=snapshot.tags.domain,
            host=snapshot.host,
            time=snapshot.time,
            type=snapshot.tags.type,
            tree=tree,
            complete=complete,
            hot=first["hot"].id if "hot" in first else None,
            cold=first["cold"].id if "cold" in first else None,
            marked="cold" in first and _marked(first["cold"]),
            proven_at=max(proofs, default=None),
            size=next((record.size for record in records), 0),
            files=next((record.files for record in records), 0),
            pins=tuple(self.pins.get(original, ())),
            twins=tuple(twins),
            base=snapshot.tags.base,
        )


def _ordered(copies: Sequence[tuple[TierName, Snapshot]]) -> list[tuple[TierName, Snapshot]]:
    """Hot before cold; in each the marked one first, else by id. The others are twins."""
    return sorted(copies, key=lambda item: (item[0] == "cold", not _marked(item[1]), item[1].id))


def _marked(snapshot: Snapshot) -> bool:
    return snapshot.tags is not None and snapshot.tags.tier == "cold"


def _pinned(context: Context, pins: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The pins, and the safety snapshots of restores over what was live that are not over."""
    why = {original: list(reasons) for original, reasons in pins.items()}
    journals, _ = context.journals.scan()
    for journal in journals:
        if journal.phase in OVER:
            continue
        for piece in journal.pieces:
            if piece.safety:
                why.setdefault(piece.safety, []).append(f"what was live before restore {journal.job}")
    for one in context.database_journals.scan()[0]:
        if one.safety and one.phase not in OVER:
            why.setdefault(one.safety, []).append(f"what was live before restore {one.job}")
    return why
