"""What of a repository on a bucket lies in a class that must be thawed before it can be read.

restic tries again for a quarter of an hour at each such object, and so for ever. Whoever runs it asks here first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from resticwrap import errors
from resticwrap.model.bucket import StoredObject
from resticwrap.model.policy import ARCHIVES
from resticwrap.planning import thaw as planning
from resticwrap.ports import Bucket, Repository
from resticwrap.services.context import Context

ALWAYS_NEEDED = ("index", "keys", "snapshots")
"""The folders of which restic reads everything, whatever it is asked. The config is read by our own client."""


def preflight(context: Context, tier: str) -> None:
    """Raises Frozen where what every command of restic reads cannot be read. One short listing of each folder."""
    bucket = context.bucket()
    if bucket is None:
        return
    for folder in ALWAYS_NEEDED:
        suspects = [
            found
            for found in bucket.objects(f"{context.target.namespace}/{tier}/{folder}/")
            if planning.may_be_frozen(found.storage_class)
        ]
        refuse_frozen(bucket, tier, suspects)


def refuse_frozen_trees(context: Context, repository: Repository) -> None:
    """Raises Frozen where a pack that holds trees, or what every command of restic reads, cannot be read: for whoever
    reads all trees. One listing of the packs, and the index where any of them may be frozen."""
    preflight(context, repository.tier)
    there = packs(context, repository.tier)
    if there is not None and there.suspects:
        trees = repository.trees(no_cache=True)
        there.refuse_trees(repository.tier, trees.packs(), trees.data_only_packs())


def refuse_frozen(bucket: Bucket, tier: str, suspects: Iterable[StoredObject]) -> None:
    """Raises Frozen where any of these, which restic cannot do without, cannot be read now."""
    suspects = list(suspects)
    for one in suspects:
        if is_frozen(bucket, one.key):
            raise planning.unreadable([one.key, *(s.key for s in suspects if s is not one)], one.storage_class, tier)


def is_frozen(bucket: Bucket, key: str) -> bool:
    """Whether an object cannot be read now. One that is not there is not frozen."""
    try:
        return bucket.thaw_state(key).state in ("frozen", "thawing")
    except errors.ObjectMissing:
        return False


@dataclass(frozen=True)
class Packs:
    """The packs of one repository, by id, that lie in a class which may have to be thawed, out of one listing."""

    bucket: Bucket
    suspects: Mapping[str, StoredObject]

    def refuse_trees(self, tier: str, named: Iterable[str], data_only: frozenset[str]) -> None:
        """Raises Frozen where a pack that holds trees cannot be read. `named` are the packs that the index names."""
        holding = [one for pack, one in self.suspects.items() if pack not in data_only]
        if holding:
            known = frozenset(named)
            refuse_frozen(self.bucket, tier, [one for one in holding if pack_of(one.key) in known])

    def frozen(self, heed: Callable[[], None]) -> Iterator[str]:
        """Those that cannot be read now. Where the class says so already nobody is asked: one that is thawed for a
        while counts as frozen."""
        for pack, one in self.suspects.items():
            heed()
            if one.storage_class in ARCHIVES or is_frozen(self.bucket, one.key):
                yield pack


def packs(context: Context, tier: str) -> Packs | None:
    """The packs that may be frozen, by one pass over the listing; None where nothing can be."""
    bucket = context.bucket()
    if bucket is None:
        return None
    listed = bucket.objects(f"{context.target.namespace}/{tier}/data/")
    return Packs(bucket, {pack_of(one.key): one for one in listed if planning.may_be_frozen(one.storage_class)})


def pack_of(key: str) -> str:
    """The id of the pack that an object is."""
    return key.rsplit("/", 1)[-1]


def key_of(context: Context, tier: str, pack: str) -> str:
    """The key under which a pack lies in the bucket."""
    return f"{context.target.namespace}/{tier}/data/{pack[:2]}/{pack}"
