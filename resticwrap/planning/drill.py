"""Which objects an L1 drills, what a drill's times say of objectives, and what may be reckoned from them."""

import hashlib
import heapq
import random
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from resticwrap.model.base import Time
from resticwrap.model.drill import DrillDetails, Drilled, DrilledDomain, DrilledObject, Estimate, Level, Reason
from resticwrap.model.drills import Missed
from resticwrap.model.objects import Entry

OF_NEWEST: tuple[Reason, ...] = ("longest", "newest", "largest", "random")
"""In which turn the objects of a domain's newest snapshot are taken; of its oldest one comes in between."""

SAMPLE_BYTES = 16 << 20
"""Of a smaller sample most of the time went by before the first byte."""


class Wanted(NamedTuple):
    """How many objects of a domain to drill for each reason."""

    longest: int = 0
    newest: int = 0
    oldest: int = 0
    largest: int = 0
    random: int = 0


class Chosen(NamedTuple):
    """An object of a sample, and why it is in it."""

    entry: Entry
    reason: Reason


def shares(total: int, last: Mapping[str, Time | None]) -> dict[str, int]:
    """How many objects of each domain to drill, `total` in all. `last`: when something of a domain was last drilled.

    Where there are more domains than objects, those that have gone longest without get one each: so every domain comes
    round. The rest is spread evenly, and what does not go evenly goes to those that have waited longest.
    """
    order = sorted(last, key=lambda name: (last[name] is not None, (last[name] or _NEVER), name))
    if not order:
        return {}
    each, more = divmod(total, len(order))
    found = {name: each + (1 if index < more else 0) for index, name in enumerate(order)}
    return {name: count for name, count in found.items() if count}


_NEVER = Time.min


def split(count: int) -> Wanted:
    """By reason, for a domain of which so many objects are drilled. The one that has gone longest without comes first:
    so every object comes round, however few are drilled at a time."""
    named = Wanted(longest=count >= 1, newest=count >= 2, largest=count >= 3, oldest=count >= 4)
    rest = max(count - 4, 0)
    return named._replace(longest=named.longest + rest // 2, random=rest - rest // 2)


def choose(
    entries: Iterable[Entry],
    wanted: Wanted,
    drilled: Mapping[bytes, Time],
    seed: int,
    *,
    room: int,
    failed: Container[bytes] = frozenset(),
) -> list[Chosen]:
    """The objects of one snapshot, out of one pass over its entries (paths as in `drilled`); only files count, and none
    larger than `room` bytes. The same for the same seed and the same `drilled`. Memory goes by `wanted` alone.

    An object that several reasons would take is taken for the first of them; each reason keeps spare ones for that.
    What did not come back well the last time (`failed`) comes before all others: else the next drill, of other objects,
    would go well over damage that is still there.
    """
    spare = sum(wanted)
    longest: _Best = _Best(spare if wanted.longest else 0)
    newest: _Best = _Best(spare if wanted.newest else 0)
    oldest: _Best = _Best(spare if wanted.oldest else 0)
    largest: _Best = _Best(spare if wanted.largest else 0)
    anything: _Best = _Best(spare if wanted.random else 0)
    generator = random.Random(seed)
    for entry in entries:
        if entry.kind != "file" or entry.size > room:
            continue
        luck = generator.random()
        modified = entry.mtime.timestamp() if entry.mtime else 0.0
        known = drilled.get(entry.path)
        again = entry.path in failed
        longest.take((-known.timestamp() if known and not again else float("inf"), luck + again), entry)
        newest.take((modified, luck), entry)
        oldest.take((float("inf") if again else -modified, luck), entry)
        largest.take((float(entry.size), luck), entry)
        anything.take((luck, 0.0), entry)
    taken: dict[bytes, Chosen] = {}
    best: tuple[tuple[Reason, _Best, int], ...] = (
        ("longest", longest, wanted.longest),
        ("newest", newest, wanted.newest),
        ("oldest", oldest, wanted.oldest),
        ("largest", largest, wanted.largest),
        ("random", anything, wanted.random),
    )
    for reason, kept, count in best:
        for entry in kept.ordered():
            if count > 0 and entry.path not in taken:
                taken[entry.path] = Chosen(entry, reason)
                count -= 1
    return list(taken.values())


class _Best:
    """The `count` entries with the largest keys, of all that are offered."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[tuple[float, float], int, Entry]] = []
        self._number = 0

    def take(self, key: tuple[float, float], entry: Entry) -> None:
        if self._count <= 0:
            return
        self._number -= 1  # of equal ones the first is kept, and entries themselves are never compared
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, (key, self._number, entry))
        elif key > self._heap[0][0]:
            heapq.heapreplace(self._heap, (key, self._number, entry))

    def ordered(self) -> list[Entry]:
        return [entry for _, _, entry in sorted(self._heap, key=lambda one: one[:2], reverse=True)]


def fitting(chosen: Sequence[Chosen], room: int) -> list[Chosen]:
    """Those that have room together, in order."""
    kept = []
    for one in chosen:
        if one.entry.size <= room:
            room -= one.entry.size
            kept.append(one)
    return kept


def digest(sample: Sequence[DrilledObject], domains: Sequence[DrilledDomain]) -> str:
    """sha256 over what was drilled: domain, snapshot, path and content id of each object, or the trees of domains that
    came back whole. So evidence names a sample without naming a file."""
    lines = [f"{one.domain}\0{one.snapshot}\0{one.path}\0{one.content_id}" for one in sample if one.reason != "whole"]
    lines += [f"{one.domain}\0{one.snapshot}\0{one.tree}" for one in domains if one.whole]
    joined = "\n".join(sorted(lines))
    return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest() if lines else ""


def missed(details: DrillDetails) -> tuple[Missed, ...]:
    """The objectives that a drill did not meet."""
    found = []
    if details.domains and details.seconds > details.objective:
        found.append(Missed(what="level", actual=details.seconds, objective=details.objective))
    for domain in details.domains:
        if domain.actual_rpo > domain.rpo:
            found.append(Missed(what="rpo", actual=domain.actual_rpo, objective=domain.rpo, domain=domain.domain))
        if domain.actual_rto > domain.rto:
            found.append(Missed(what="rto", actual=domain.actual_rto, objective=domain.rto, domain=domain.domain))
    return tuple(found)


class Rate(NamedTuple):
    """How quickly a drill went: seconds before the first byte, bytes and objects a second, and what that was."""

    bytes: float
    objects: float
    name: str
    whole: bool


def rate(job: str, details: DrillDetails) -> Rate | None:
    """What a drill measured; None where it went wrong, or where a sample was too small to say anything of a rate."""
    seconds = details.seconds - sum(details.phases.get(name, 0.0) for name in ("lock", "thaw", "start", "healthy"))
    size = sum(domain.size for domain in details.domains)
    objects = sum(domain.objects for domain in details.domains)
    if not details.ok or not objects or seconds <= 0:
        return None
    whole = all(domain.whole for domain in details.domains)
    if not whole and size < SAMPLE_BYTES:
        return None
    return Rate(max(size, 1) / seconds, objects / seconds, job, whole)


def best_rate(rates: Iterable[Rate | None]) -> Rate | None:
    """Of the newest drills (newest first) the one to reckon from: one of whole domains says more than a sample, of
    which most of the time goes by before the first byte."""
    known = [one for one in rates if one is not None]
    return next((one for one in known if one.whole), known[0] if known else None)


def estimate(level: Level, sizes: Mapping[str, tuple[int, int]], by: Rate) -> list[Estimate]:
    """How long a level would take for these domains (bytes and objects of each), and for all of them together. The
    slower of bytes and objects counts."""

    def reckoned(domain: str, size: int, objects: int) -> Estimate:
        of_bytes, of_objects = size / by.bytes, objects / by.objects
        # A sample is mostly waiting for the first byte: what it says of objects would be hours for half a million.
        seconds = max(of_bytes, of_objects) if by.whole else of_bytes
        said = (
            f"{by.bytes / 1e6:,.3g} MB/s" if not by.whole or of_bytes >= of_objects else f"{by.objects:,.0f} objects/s"
        )
        return Estimate(level=level, seconds=seconds, size=size, basis=f"{said} of {by.name}", domain=domain)

    found = [reckoned(name, *of) for name, of in sorted(sizes.items())]
    whole = reckoned("", sum(size for size, _ in sizes.values()), sum(objects for _, objects in sizes.values()))
    return [whole, *found] if sizes else []


def last_drilled(drilled: Mapping[bytes, Drilled]) -> Time | None:
    """When something of a domain was last drilled."""
    return max((one.at for one in drilled.values()), default=None)


def relative(entry: Entry, root: bytes) -> Entry:
    """The entry with its path relative to the domain's root."""
    return msgspec.structs.replace(entry, path=entry.path[len(root) :].lstrip(b"/"))
