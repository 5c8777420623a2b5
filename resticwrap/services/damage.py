"""What is damaged in a repository, and what that costs. Damage counts once a second look confirms it.

Missing and cut packs are found by listing the store, since restic tells of them in prose alone.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.objects import show_path
from resticwrap.model.reports import Damage
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import verify as planning
from resticwrap.ports import CheckResult, Repository
from resticwrap.services.context import Context

PATHS_NAMED = 500


@dataclass(frozen=True)
class Listing:
    """The packs that the index names, with their sizes, and those that the store has: size and when it was written."""

    named: Mapping[str, int]
    stored: Mapping[str, tuple[int, Time]]

    def lost(self) -> dict[str, str]:
        """Packs that the index names and the store has not, or not whole: id → kind of damage."""
        return {
            pack: "pack_truncated" if pack in self.stored else "pack_missing"
            for pack, size in self.named.items()
            if pack not in self.stored or self.stored[pack][0] != size
        }


class Damages:
    """Looks for damage in one repository. `note` is told what an operator should know beside it; `costs_known` is
    whether the damaged packs that were found say all that they cost."""

    def __init__(self, context: Context, repository: Repository, note: Callable[[str], None]) -> None:
        self._context, self._repository, self._note = context, repository, note
        self.costs_known = True
        self._prefix = f"{context.target.namespace}/{repository.tier}"

    def listing(self) -> Listing:
        """The index before the store: a backup that runs adds packs first and names them after. Raises Damaged where
        an index file cannot be read."""
        named = self._repository.trees(no_cache=True).packs()
        listed = self._context.store.list(f"{self._prefix}/data/")
        return Listing(named, {item.key.rsplit("/", 1)[-1]: (item.size, item.modified) for item in listed})

    def confirmed(
        self, checked: CheckResult, listing: Listing, again: Callable[[], CheckResult], snapshots: Sequence[Snapshot]
    ) -> list[Damage]:
        """What is damaged, by a second look (`again`) where the first one reported anything."""
        if not checked.errors and not listing.lost():
            return []
        looked = again()
        second = self.listing()
        lost = second.lost()
        if not looked.errors and not lost:
            self._note("A first look reported damage that a second look did not find; nothing counts.")
            return []
        kinds = {**dict.fromkeys(looked.broken_packs, "pack_damaged"), **lost}
        damages = self.small_files() + self._costs(kinds, snapshots)
        if not damages:
            unnamed = len(listing.stored.keys() - second.named.keys())
            said = "; ".join(" ".join(text.split()) for text in looked.messages[:5]) or "restic check reports errors"
            name = f"{unnamed} packs that no index names" if unnamed else said
            damages.append(self._damage("index" if unnamed else "structure", name))
        return damages

    def lost_snapshots(self, snapshots: Sequence[Snapshot], damages: Sequence[Damage]) -> list[Damage]:
        """A domain's newest complete snapshot, which nothing of ours ever removes, and which is not there."""
        latest = self._context.latest() if self._repository.tier == "hot" else None
        there = {snapshot.original for snapshot in snapshots} | {damage.name for damage in damages}
        known = latest.domains.items() if latest else ()
        return [
            Damage(
                kind="snapshot",
                name=one.current_id,
                advice=self._advice("snapshot_missing", one.current_id, [domain]),
            )
            for domain, one in known
            if one.snapshot not in there
            and one.current_id not in there
            # A backup may have written it since the snapshots were listed.
            and not self._repository.holds(one.current_id)
        ]

    def small_files(self) -> list[Damage]:
        """Keys, indexes and snapshots that are not what their names say, and a config that is not the pinned one.

        Read by our own client, for restic does not open a repository of which one is damaged. It names each by the
        sha256 of its bytes; only the config has no such name.
        """
        store, found = self._context.store, list[Damage]()
        if self._digest("config") != self._context.pins()[self._repository.tier].config_digest:
            found.append(self._damage("config", "config"))
        for folder, kind in (("keys", "key"), ("index", "index"), ("snapshots", "snapshot")):
            names = [item.key.rsplit("/", 1)[-1] for item in store.list(f"{self._prefix}/{folder}/")]
            damaged = [name for name in names if self._digest(f"{folder}/{name}") not in (name, None)]
            found += [self._damage(kind, name) for name in damaged]
            if not names and kind == "key":
                found.append(self._damage(kind, "all"))
        return found

    def _digest(self, name: str) -> str | None:
        """None where it is not there any more: a `repair index` or a prune may have replaced it."""
        try:
            return hashlib.sha256(self._context.store.get(f"{self._prefix}/{name}")).hexdigest()
        except errors.ObjectMissing:
            return None

    def _damage(self, kind: str, name: str) -> Damage:
        domains = list(self._context.settings.domains)
        return Damage(kind=kind, name=name, advice=self._advice(kind, name, domains))  # type: ignore[arg-type]

    def _advice(self, kind: str, name: str, domains: Sequence[str]) -> tuple[str, ...]:
        return planning.advice(kind, name, self._context.target_name, domains, self._repository.tier)

    def _costs(self, kinds: Mapping[str, str], snapshots: Sequence[Snapshot]) -> list[Damage]:
        """Of each damaged pack the snapshots and files that need what it holds and no sound pack holds."""
        if not kinds:
            return []
        try:
            blobs: dict[str, set[str]] = {pack: set() for pack in kinds}
            for blob in self._repository.trees().blobs_in(kinds):
                blobs[blob.pack].add(blob.id)
            return [self._cost(pack, kind, frozenset(blobs[pack]), snapshots) for pack, kind in sorted(kinds.items())]
        except (errors.Damaged, errors.ObjectMissing) as error:
            self.costs_known = False
            self._note(f"{error.message} So what the damaged packs cost cannot be told.")
            return [self._damage(kind, pack) for pack, kind in sorted(kinds.items())]

    def _cost(self, pack: str, kind: str, blobs: frozenset[str], snapshots: Sequence[Snapshot]) -> Damage:
        affected = self._repository.trees().affected({snapshot.tree for snapshot in snapshots}, blobs)
        hit = [snapshot for snapshot in snapshots if affected.get(snapshot.tree)]
        paths = sorted({path for tree_paths in affected.values() for path in tree_paths})
        domains = sorted({snapshot.domain for snapshot in hit if snapshot.domain})
        return Damage(
            kind=kind,  # type: ignore[arg-type]
            name=pack,
            files=len(paths),
            snapshots=tuple(snapshot.original for snapshot in hit),
            paths=tuple(show_path(path) for path in paths[:PATHS_NAMED]),
            advice=self._advice(kind, pack, domains),
        )
