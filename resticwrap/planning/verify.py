"""Which part of the packs a verify reads back, which files it samples, how much has been covered, what damage means."""

import math
import random
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from resticwrap.model.base import Time
from resticwrap.model.reports import Coverage
from resticwrap.model.verified import PackSums

S = TypeVar("S")


def in_bucket(first_byte: int, bucket: int, parts: int) -> bool:
    """Whether restic reads packs with this first byte of their id for `--read-data-subset=bucket/parts`.

    Source: restic 0.19.1, cmd/restic/cmd_check.go, selectPacksByBucket.
    """
    return first_byte % parts == bucket - 1


def next_bucket(reads: Mapping[int, Time], parts: int) -> int:
    """The part (1 to `parts`) whose packs have gone longest without being read; never read comes first."""

    def age(bucket: int) -> tuple[bool, float]:
        times = [reads.get(byte) for byte in range(256) if in_bucket(byte, bucket, parts)]
        known = [time.timestamp() for time in times if time is not None]
        return len(known) == len(times), min(known, default=0.0)

    return min(range(1, parts + 1), key=lambda bucket: (*age(bucket), bucket))


def bytes_of(bucket: int, parts: int) -> tuple[int, ...]:
    """The first bytes of the packs that belong to a part."""
    return tuple(byte for byte in range(256) if in_bucket(byte, bucket, parts))


def by_first_byte(
    packs: Mapping[str, tuple[int, Time]], reads: Mapping[int, Time], frozen: Container[str] = frozenset()
) -> dict[str, PackSums]:
    """Packs summed by the first byte of their id. `packs`: id → (bytes, written at).

    A pack counts as read when packs beginning with its first byte were read after it was written, and it is not
    `frozen`: then it may have been passed over.
    """
    sums: dict[str, PackSums] = {}
    for pack, (size, written) in packs.items():
        at = reads.get(int(pack[:2], 16))
        read = at is not None and written <= at and pack not in frozen
        known = sums.get(pack[:2], PackSums())
        sums[pack[:2]] = PackSums(
            packs=known.packs + 1,
            size=known.size + size,
            packs_read=known.packs_read + read,
            size_read=known.size_read + size * read,
        )
    return sums


def coverage(sums: Mapping[str, PackSums], listed: Time, reads: Mapping[int, Time], now: Time, days: int) -> Coverage:
    """How much of the packs, summed as they were `listed`, was read back in the last `days` before `now`."""
    since = now - timedelta(days=days)
    packs, size = 0, 0
    for byte, known in sums.items():
        at = reads.get(int(byte, 16))
        if at is None or at < since:
            continue
        # Read again since they were listed: all of them.
        packs += known.packs if at > listed else known.packs_read
        size += known.size if at > listed else known.size_read
    return Coverage(
        days=days,
        bytes_read=size,
        bytes_total=sum(known.size for known in sums.values()),
        packs_read=packs,
        packs_total=sum(known.packs for known in sums.values()),
    )


CLAIMED = (1, 5, 50)
"""So many damaged packs a verify says of how likely it would have found at least one."""


def detection(packs: int, read: int, damaged: int) -> float:
    """How likely at least one of so many `damaged` packs is among the `read` ones, all out of `packs`.

    Which packs a verify reads goes by their ids, and those are hashes: as good as drawn without putting back.
    Source: the hypergeometric distribution, P(X = 0) = C(packs - damaged, read) / C(packs, read).
    """
    damaged, read = min(damaged, packs), min(read, packs)
    if damaged <= 0 or read <= 0:
        return 0.0
    if damaged + read > packs:
        return 1.0

    def choose(of: int, some: int) -> float:
        return math.lgamma(of + 1) - math.lgamma(some + 1) - math.lgamma(of - some + 1)

    return -math.expm1(min(choose(packs - damaged, read) - choose(packs, read), 0.0))


def claims(packs: int, read: int) -> dict[int, float]:
    """What one run claims: by number of damaged packs, the probability that it finds at least one of them."""
    return {damaged: detection(packs, read, damaged) for damaged in CLAIMED if damaged <= packs}


def sample(items: Iterable[S], count: int, seed: int) -> list[S]:
    """`count` of the items, each as likely as the other, the same for the same seed; all where there are fewer.

    Reads the items once and keeps `count` of them. Source: Vitter 1985, algorithm R.
    """
    generator = random.Random(seed)
    kept: list[S] = []
    for index, item in enumerate(items):
        if index < count:
            kept.append(item)
        elif (place := generator.randrange(index + 1)) < count:
            kept[place] = item
    return kept


def fitting(items: Sequence[S], room: int, size: Callable[[S], int]) -> list[S]:
    """Those that have room together, in order; one that has none any more is left out."""
    kept: list[S] = []
    for item in items:
        if size(item) <= room:
            room -= size(item)
            kept.append(item)
    return kept


def shares(total: int, names: Sequence[str]) -> dict[str, int]:
    """How many files to sample of each domain: at least one each, the rest spread evenly, in the order given."""
    if not names:
        return {}
    each, more = divmod(max(total, len(names)), len(names))
    return {name: each + (1 if index < more else 0) for index, name in enumerate(names)}


def advice(kind: str, name: str, target: str, domains: Sequence[str], tier: str = "hot") -> tuple[str, ...]:
    """What to do about damage, in order. Nothing here forgets or shortens a snapshot.

    `restic repair snapshots` is left out on purpose: after it, check and restore exit 0 over a shortened file
    (measured).
    """
    first = f"rw repair --target {target}" + (f" --tier {tier}" if tier == "cold" else "") + " --dry-run"
    return (f"{first}   (it does what follows, in order, and compares)", *_by_hand(kind, name, target, domains))


def _by_hand(kind: str, name: str, target: str, domains: Sequence[str]) -> tuple[str, ...]:
    again = [f"rw backup --target {target} --type full --domain {domain}" for domain in domains]
    last = f"rw verify --target {target} --share 1"
    older = "back from an older version of the bucket or another copy, if there is one."
    if kind in ("index", "structure"):
        return ("restic repair index", last)
    if kind in ("config", "key"):
        what = "config" if kind == "config" else f"keys/{name}" if name != "all" else "keys/"
        return (
            f"Bring {what} {older} Nothing else opens what is stored.",
            "Until then back up to a new place: another `namespace` in targets.yaml, rw init, rw backup --type full.",
        )
    if kind == "snapshot_missing":
        return (f"Bring snapshots/{name} {older} restic's cache on the machine that made it has one.", *again, last)
    if kind == "snapshot":
        return (
            f"Bring snapshots/{name} {older} restic's cache on the machine that made it has one.",
            f"Else take snapshots/{name} out of the repository: what it named cannot be told any more.",
            f"rw backup --target {target} --type full",
            last,
        )
    back = f"Bring data/{name[:2]}/{name} {older}"
    if kind in ("pack_missing", "pack_truncated"):
        return (
            back,
            "restic repair index   (so that the next backup stores again what the pack held)",
            *again,
            last,
        )
    if kind == "pack_damaged":
        return (
            back,
            f"restic repair packs {name}   (saves what can still be read of it)",
            *again,
            last,
        )
    return (f"rw doctor --target {target}", last)
