"""Packs of the cold repository are read back and hashed to their names before anything in hot relies on them."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from resticwrap import errors
from resticwrap.model.aging import Held, KnownPack, ReadHow
from resticwrap.model.bucket import TIER_TAG
from resticwrap.model.policy import ARCHIVES
from resticwrap.model.tiering import BadPack
from resticwrap.ports import Bucket, Progress
from resticwrap.services import frost
from resticwrap.services.context import Context, side_by_side

PIECE = 8 << 20
"""Bytes that are in memory at a time of each pack that is read."""
TOLD = 64
"""How many packs are proven before the catalogue hears of them: a killed run does not read them again."""
READING = "read back"


@dataclass
class Stock:
    """The packs of cold as the store lists them: size in bytes and class by id. The listing is read once."""

    sizes: dict[str, int] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, context: Context) -> "Stock":
        stock, prefix, bucket = cls(), f"{context.target.namespace}/cold/data/", context.bucket()
        if bucket is None:
            for item in context.store.list(prefix):
                stock.sizes[frost.pack_of(item.key)] = item.size
            return stock
        for one in bucket.objects(prefix):
            pack = frost.pack_of(one.key)
            stock.sizes[pack] = one.size
            if one.storage_class in ARCHIVES:
                stock.frozen.add(pack)
        return stock


@dataclass
class Proofs:
    """What became of the packs that were looked at."""

    good: set[str] = field(default_factory=set)
    bad: dict[str, str] = field(default_factory=dict)
    read: int = 0
    bytes_read: int = 0
    looked: int = 0

    def add(self, other: "Proofs") -> None:
        """Take in what became of more packs."""
        self.good |= other.good
        self.bad |= other.bad
        self.read += other.read
        self.bytes_read += other.bytes_read
        self.looked += other.looked

    def listed(self) -> tuple[BadPack, ...]:
        return tuple(BadPack(pack=pack, why=why) for pack, why in sorted(self.bad.items()))


def prove(context: Context, needed: Collection[str], named: Mapping[str, int], read_back: str) -> Proofs:
    """Look at the packs that copies need. `named`: every pack of the index with its size in bytes.

    A pack that was proven before need only be there with its size. Of the others the share `read_back`
    (`1`, `1/N`) is read and hashed to its name, at least one; the rest must be there with their size. What is proven is
    in the catalogue at once.
    """
    stock, known = Stock.of(context), context.catalog().packs(context.target_name, "cold")
    proofs, parts = Proofs(), int(read_back.partition("/")[2] or 1)
    new: list[str] = []
    for pack in sorted(needed):
        size = stock.sizes.get(pack)
        if size is None:
            proofs.bad[pack] = "is not there"
        elif size != named.get(pack):
            proofs.bad[pack] = f"has {size} bytes instead of {named.get(pack)}"
        elif _proven(known.get(pack), parts):
            proofs.good.add(pack)
        else:
            new.append(pack)
    if (bucket := context.bucket()) is not None:
        frozen = [pack for pack in new if pack in stock.frozen]
        # A label from before it was found damaged says nothing.
        labelled = _labelled(context, bucket, [pack for pack in frozen if not _damaged(known.get(pack))])
        proofs.good |= labelled
        proofs.bad |= dict.fromkeys(set(frozen) - labelled, "is frozen, and nothing says that it was ever read back")
        new = [pack for pack in new if pack not in stock.frozen]
    # By name, which is a hash: as good as any draw, and the same after a restart.
    drawn = [pack for pack in new if int(pack[-8:], 16) % parts == 0] or new[:1]
    to_read = sorted({*drawn, *(pack for pack in new if _damaged(known.get(pack)))})
    rest = sorted(set(new) - set(to_read))
    _read(context, to_read, stock, proofs)
    # What was found damaged is proven no more, so that nothing in hot relies on it.
    context.catalog().withdraw(context.target_name, "cold", sorted(proofs.bad))
    proofs.looked += len(rest)
    proofs.good.update(rest)
    _remember(context, rest, "sampled")
    return proofs


def _proven(known: KnownPack | None, parts: int) -> bool:
    """Where all packs are to be read, one that was only looked at does not count."""
    return known is not None and known.proven_at is not None and (parts > 1 or known.how != "sampled")


def _damaged(known: KnownPack | None) -> bool:
    return known is not None and known.how == "damaged"


def _labelled(context: Context, bucket: Bucket, packs: Collection[str]) -> set[str]:
    """Those that bear their label, which they have because they were proven: a lost catalogue knows it again."""
    name, value = TIER_TAG

    def bears(pack: str) -> bool:
        try:
            return bucket.tags(frost.key_of(context, "cold", pack)).get(name) == value
        except errors.ObjectMissing:
            return False

    with ThreadPoolExecutor(side_by_side(context), thread_name_prefix="label") as pool:
        found = {pack for pack, had in zip(packs, pool.map(bears, packs), strict=True) if had}
    now = context.clock.now()
    context.catalog().put_packs(
        context.target_name,
        "cold",
        [KnownPack(pack=pack, proven_at=now, how="labelled", labelled_at=now) for pack in found],
    )
    return found


def _read(context: Context, packs: Collection[str], stock: Stock, proofs: Proofs) -> None:
    total = sum(stock.sizes[pack] for pack in packs)
    fresh: list[str] = []
    with ThreadPoolExecutor(side_by_side(context), thread_name_prefix="prove") as pool:
        waiting = {pool.submit(_hash, context, pack, stock.sizes[pack]): pack for pack in sorted(packs)}
        try:
            for done in as_completed(waiting):
                pack = waiting[done]
                if why := done.result():
                    proofs.bad[pack] = why
                    continue
                proofs.good.add(pack)
                proofs.read += 1
                proofs.bytes_read += stock.sizes[pack]
                fresh.append(pack)
                if len(fresh) >= TOLD:
                    _remember(context, fresh, "read")
                    fresh = []
                context.watcher.update(
                    READING,
                    Progress(bytes_done=proofs.bytes_read, bytes_total=total, files_done=proofs.read),
                )
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
        finally:
            _remember(context, fresh, "read")


def _hash(context: Context, pack: str, size: int) -> str:
    """Why a pack is not what its name says, or nothing."""
    digest, key = hashlib.sha256(), frost.key_of(context, "cold", pack)
    try:
        for at in range(0, max(size, 1), PIECE):
            context.heed()
            digest.update(context.patiently(lambda at=at: context.store.get(key, at, PIECE)))  # type: ignore[misc]
    except errors.ObjectMissing:
        return "is not there"
    return "" if digest.hexdigest() == pack else "does not hash to its name"


def _remember(context: Context, packs: Iterable[str], how: ReadHow) -> None:
    now = context.clock.now()
    context.catalog().put_packs(
        context.target_name, "cold", [KnownPack(pack=pack, proven_at=now, how=how) for pack in packs]
    )


@dataclass(frozen=True)
class State:
    """What is known of the packs that cold's index names: `good` are there with their size and proven, `lost` are not
    there or not whole, `unread` are not known to be proven."""

    good: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    @property
    def bad(self) -> frozenset[str]:
        return self.lost | self.unread

    @property
    def said(self) -> str:
        """The same in a sentence, with what to run; "" where nothing is wrong."""
        parts = (
            (self.lost, "are missing or of another size"),
            (self.unread, "are not known to be proven"),
        )
        said = " and ".join(f"{len(packs)} packs {what}" for packs, what in parts if packs)
        named = ", ".join(pack[:8] for pack in sorted(self.bad)[:3])
        return said and (
            f"In cold {said} ({named}): what needs them does not leave hot. rw tier run reads them back; "
            "rw verify --tier cold says what damage costs."
        )


NOTHING = State()


def state_of(context: Context) -> State:
    """The index of cold, its listing and the catalogue side by side. A verify that found damage, and a lost catalogue,
    leave packs unread until the next `rw tier run`."""
    packs = context.cold.trees(no_cache=True).packs()
    stored, known = Stock.of(context).sizes, context.catalog().packs(context.target_name, "cold")
    lost = frozenset(pack for pack, size in packs.items() if stored.get(pack) != size)
    unread = frozenset(pack for pack in packs if pack not in known or known[pack].proven_at is None) - lost
    return State(good=frozenset(packs) - lost - unread, lost=lost, unread=unread)


def unsound(context: Context, state: State, marked: Collection[Held]) -> frozenset[str]:
    """Of these marked snapshots (original ids) those that need a pack which is not good, or whose trees cannot be
    read."""
    if not marked:
        return frozenset()
    trees, sound = context.cold.trees(), dict[str, bool]()
    for tree in {one.tree for one in marked}:
        context.heed()
        try:
            sound[tree] = trees.needed_packs([tree]) <= state.good
        except (errors.Damaged, errors.ObjectMissing):
            sound[tree] = False
    return frozenset(one.original for one in marked if not sound[one.tree])


def unlabelled(context: Context, *, again: bool = False) -> list[str]:
    """The packs of cold that hold data and nothing else, and whose label is not known to be there. `again`: all, since
    somebody may have taken labels away."""
    known = context.catalog().packs(context.target_name, "cold")
    labelled = {pack for pack, one in known.items() if one.labelled_at is not None and not again}
    return sorted(context.cold.trees().data_only_packs() - labelled)


def label(context: Context, read_back: str, *, again: bool = False) -> tuple[int, Proofs]:
    """Give every pack of cold that holds data alone its tag, which the bucket's rules go by; returns how many.

    What is not known to be proven is proven first: after a prune or a repair the repository has packs that no copy
    wrote. Packs of trees never get a label: moved to an archive, they would take the whole repository with them.
    """
    bucket, proofs = context.bucket(), Proofs()
    packs = unlabelled(context, again=again) if bucket is not None else []
    if bucket is None or not packs:
        return 0, proofs
    known = context.catalog().packs(context.target_name, "cold")
    if unproven := [pack for pack in packs if pack not in known or known[pack].proven_at is None]:
        proofs = prove(context, unproven, context.cold.trees().packs(), read_back)
    due = [pack for pack in packs if pack not in proofs.bad]
    done = 0
    with ThreadPoolExecutor(side_by_side(context), thread_name_prefix="label") as pool:
        for some in _chunks(due):
            context.heed()
            tagged = [pack for pack, had in zip(some, pool.map(_tagger(context, bucket), some), strict=True) if had]
            now = context.clock.now()
            context.catalog().put_packs(
                context.target_name, "cold", [KnownPack(pack=pack, labelled_at=now) for pack in tagged]
            )
            done += len(tagged)
    return done, proofs


def _tagger(context: Context, bucket: Bucket) -> Callable[[str], bool]:
    def tagged(pack: str) -> bool:
        try:
            bucket.tag(frost.key_of(context, "cold", pack), *TIER_TAG)
        except errors.ObjectMissing:
            return False  # a prune was faster
        return True

    return tagged


def _chunks(packs: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(packs), TOLD):
        yield packs[at : at + TOLD]
