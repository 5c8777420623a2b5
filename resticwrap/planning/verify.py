"""Which part of the packs a verify reads back, which files it samples, how much has been covered, what damage means."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from resticwrap.model.base import Time
from resticwrap.model.reports import Coverage

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


def coverage(packs: Mapping[str, tuple[int, Time]], reads: Mapping[int, Time], now: Time, days: int) -> Coverage:
    """How much of the packs was read back in the last `days`. `packs`: id → (bytes, written at).

    A pack counts when packs beginning with its first byte were read after it was written.
    """
    since = now - timedelta(days=days)
    read = 0
    read_bytes = 0
    for pack, (size, written) in packs.items():
        at = reads.get(int(pack[:2], 16))
        if at is not None and at >= since and written <= at:
            read += 1
            read_bytes += size
    return Coverage(
        days=days,
        bytes_read=read_bytes,
        bytes_total=sum(size for size, _ in packs.values()),
        packs_read=read,
        packs_total=len(packs),
    )


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


def shares(total: int, names: Sequence[str]) -> dict[str, int]:
    """How many files to sample of each domain: at least one each, the rest spread evenly, in the order given."""
    if not names:
        return {}
    each, more = divmod(max(total, len(names)), len(names))
    return {name: each + (1 if index < more else 0) for index, name in enumerate(names)}


def advice(kind: str, name: str, target: str, domains: Sequence[str]) -> tuple[str, ...]:
    """What to do about damage, in order. Nothing here forgets or shortens a snapshot.

    `restic repair snapshots` is left out on purpose: after it, check and restore exit 0 over a shortened file
    (measured).
    """
    again = [f"rw backup --target {target} --type full --domain {domain}" for domain in domains]
    last = f"rw verify --target {target} --share 1"
    back = f"Bring data/{name[:2]}/{name} back from an older version of the bucket or another copy, if there is one."
    if kind == "index":
        return ("restic repair index", last)
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
