"""What to bring back so that objects stand as they stood at a time, after somebody deleted or overwrote them.

Objects of a repository are named by their content and never written again, so what was added since the time does no
harm and stays.
"""

from collections.abc import Callable, Iterable, Iterator
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


def by_key(versions: Iterable[ObjectVersion]) -> Iterator[tuple[str, list[ObjectVersion]]]:
    """The versions of each key, newest first."""
    for key, found in groupby(versions, key=lambda one: one.key):
        yield key, sorted(found, key=lambda one: (one.latest, one.modified), reverse=True)
