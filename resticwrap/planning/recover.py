"""What to bring back so that objects stand as they stood at a time, after somebody deleted or overwrote them.

Objects of a repository are named by their content and never written again, so what was added since the time does no
harm and stays.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from resticwrap.model.base import Time, Value
from resticwrap.model.bucket import ObjectVersion


class Step(Value, frozen=True):
    """Make `version` what a plain read of its key sees; `over` is what is seen now: a delete marker, or other bytes.
    None where nothing is seen: the bucket holds neither."""

    version: ObjectVersion
    over: ObjectVersion | None
    buried: bool = False
    """Whether other versions lie between the two, so that removing the marker would show one of them."""

    @property
    def deleted(self) -> bool:
        """Whether it was deleted, rather than overwritten."""
        return self.over is None or self.over.marker

    @property
    def marker(self) -> ObjectVersion | None:
        """The delete marker that lies right on it, which is all that need be removed."""
        return self.over if self.over is not None and self.over.marker and not self.buried else None


class Recovery(Value, frozen=True):
    """All that is to be done below a prefix, and what is not.

    `newer` keys were written first after the time; `same` are as they were, or known to be intact. Of `gone` keys
    nothing but a marker from after the time is left: what was there, then or later, expired or was destroyed.
    """

    steps: tuple[Step, ...]
    newer: int
    same: int
    gone: tuple[str, ...]


def plan(
    versions: Iterable[ObjectVersion],
    at: Time,
    spared: tuple[str, ...] = (),
    intact: Callable[[ObjectVersion], bool] = lambda _: False,
) -> Recovery:
    """`versions`: in the order of the keys, newest first within a key, as a bucket lists them. What lies below one of
    the `spared` prefixes is left alone, and so is what is seen now where it is known to be `intact`: it was brought
    back already, or is a copy that somebody wrote again."""
    steps: list[Step] = []
    gone: list[str] = []
    newer = same = 0
    for key, found in by_key(versions):
        if key.startswith(spared):
            continue
        latest = next((one for one in found if one.latest), None)
        then = next((place for place, one in enumerate(found) if one.modified <= at), None)
        if then is None:
            if latest and latest.marker and found[-1].marker:
                gone.append(key)
            else:
                newer += 1
        elif found[then].marker or found[then].latest or (latest and not latest.marker and intact(latest)):
            same += 1
        else:
            wanted = found[then]
            buried = any(one is not latest for one in found[:then])
            steps.append(Step(version=wanted, over=latest, buried=buried))
    return Recovery(steps=tuple(steps), newer=newer, same=same, gone=tuple(gone))


def keys(recovery: Recovery, sound: bool) -> tuple[Recovery, tuple[str, ...]]:
    """Of the recovery of a repository's keys what may be done, and those that stay removed: where a `sound` key is left
    or one that was overwritten comes back, the others were revoked, for all that is known, and would open it again."""
    overwritten = tuple(step for step in recovery.steps if not step.deleted)
    if not sound and not overwritten:
        return recovery, ()
    removed = tuple(step.version.key for step in recovery.steps if step.deleted)
    return Recovery(steps=overwritten, newer=recovery.newer, same=recovery.same, gone=recovery.gone), removed


def config(
    versions: Iterable[ObjectVersion], at: Time, pinned: Callable[[ObjectVersion], bool] | None
) -> tuple[Recovery, bool]:
    """What to do about a repository's config, and whether one is left as it is though it is not as it was then.

    Another config makes another repository of it. So it comes back with the pinned bytes or not at all; where nothing
    is `pinned` (None), only where there is none now."""
    (found,) = [found for _, found in by_key(versions)] or [[]]
    latest = next((one for one in found if one.latest), None)
    seen = latest is not None and not latest.marker
    if pinned is None:
        before = plan(found, at)
        return (
            (Recovery(steps=(), newer=before.newer, same=1, gone=()), bool(before.steps)) if seen else (before, False)
        )
    if latest is not None and seen and pinned(latest):
        return Recovery(steps=(), newer=0, same=1, gone=()), False
    place = next((place for place, one in enumerate(found) if not one.marker and pinned(one)), None)
    if place is None:
        gone = (found[0].key,) if found and not seen else ()
        return Recovery(steps=(), newer=0, same=0, gone=gone), seen
    buried = any(one is not latest for one in found[:place])
    return Recovery(steps=(Step(version=found[place], over=latest, buried=buried),), newer=0, same=0, gone=()), False


def together(recoveries: Iterable[Recovery]) -> Recovery:
    """Several as one."""
    found = list(recoveries)
    return Recovery(
        steps=tuple(step for one in found for step in one.steps),
        newer=sum(one.newer for one in found),
        same=sum(one.same for one in found),
        gone=tuple(key for one in found for key in one.gone),
    )


FIRST = ("data/", "index/", "snapshots/")
"""A pack before the index that names it, and that before the snapshots that need it: whoever backs up meanwhile must
not take for stored what is not there. Keys and config come last, so that nobody opens what is half there."""


def phases(recoveries: Mapping[str, Recovery]) -> Iterator[tuple[Step, ...]]:
    """The steps of all (by the prefix that the keys begin with), in the order in which they are to be taken: those of
    one phase side by side, and none before the phase before it is done."""
    ranked = [
        (
            next(
                (rank for rank, folder in enumerate(FIRST) if step.version.key.startswith(prefix + folder)), len(FIRST)
            ),
            step,
        )
        for prefix, recovery in recoveries.items()
        for step in recovery.steps
    ]
    for rank in range(len(FIRST) + 1):
        yield tuple(step for its, step in ranked if its == rank)


def by_key(versions: Iterable[ObjectVersion]) -> Iterator[tuple[str, list[ObjectVersion]]]:
    """The versions of each key, newest first."""
    for key, found in groupby(versions, key=lambda one: one.key):
        yield key, sorted(found, key=lambda one: (one.latest, one.modified), reverse=True)
