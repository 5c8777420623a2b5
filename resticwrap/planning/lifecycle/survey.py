"""One pass over the listing of a bucket: what lies in which class, what is overdue, what is where it must not be.

Memory is bounded by what the catalogue and the index know of packs; of the listing only sums and a few samples stay.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from resticwrap.model.aging import KnownPack
from resticwrap.model.base import Time, Value
from resticwrap.model.bucket import StoredObject
from resticwrap.model.policy import ARCHIVES, OSS_CLASSES, S3_CLASSES
from resticwrap.model.reports import Astray, ClassUse
from resticwrap.model.snapshot import TIERS
from resticwrap.planning.lifecycle.rules import Layout

SLACK = timedelta(days=3)
"""Providers load rules within a day and run them once a day, for up to a day."""
SMALLEST = 128 << 10
"""S3 by default moves no object that is smaller, whatever the rule says."""
SAMPLE = 20
LABELLED, UNLABELLED, TREES = "labelled data packs", "unlabelled data packs", "tree packs"
STRANGE, PACKS = "unindexed packs", "packs"
PLAIN = frozenset({"keys", "index", "snapshots", "locks"})
OUR_LOCKS = "locks"


class Known(Value, frozen=True):
    """What is known of the packs of cold. `data_only` and `indexed` are None where its index could not be read."""

    labelled: Mapping[str, KnownPack]
    data_only: frozenset[str] | None = None
    indexed: frozenset[str] | None = None


class Survey:
    """Sums up objects one by one. `steps`: after how many days labelled packs go to which class, in order."""

    def __init__(self, layout: Layout, known: Known, steps: Sequence[tuple[int, str]], now: Time) -> None:
        self._layout, self._known, self._steps, self._now = layout, known, steps, now
        self._order = S3_CLASSES if layout.provider == "s3" else OSS_CLASSES
        self._sums: dict[tuple[str, str, str], list[int]] = {}
        self.overdue = self.overdue_bytes = self.astray = self.unlabelled = 0
        self.overdue_sample: list[Astray] = []
        self.astray_sample: list[Astray] = []
        self.oldest: StoredObject | None = None
        self.newest: StoredObject | None = None

    def add(self, found: StoredObject) -> None:
        """Count one object."""
        tier, kind = self.kind(found.key)
        sums = self._sums.setdefault((tier, kind, found.storage_class), [0, 0])
        sums[0] += 1
        sums[1] += found.size
        self.unlabelled += kind == UNLABELLED
        if kind == LABELLED:
            self._see_whether_overdue(found)
        elif found.storage_class in ARCHIVES and kind not in (UNLABELLED, "other"):
            self.astray += 1
            if len(self.astray_sample) < SAMPLE:
                self.astray_sample.append(
                    Astray(key=found.key, storage_class=found.storage_class, wanted="a class that is read at once")
                )
        if kind != OUR_LOCKS and tier:
            if self.oldest is None or found.modified < self.oldest.modified:
                self.oldest = found
            if self.newest is None or found.modified > self.newest.modified:
                self.newest = found

    def kind(self, key: str) -> tuple[str, str]:
        """The tier that an object is of, empty where of none, and what it is."""
        layout = self._layout
        if key.startswith(f"backups/{layout.environment}/"):
            return "", "manifests"
        for tier in TIERS:
            if key.startswith(root := f"{layout.namespace}/{tier}/"):
                folder, _, rest = key.removeprefix(root).partition("/")
                if folder == "data":
                    return tier, self._pack(tier, rest.rpartition("/")[2])
                return tier, "config" if folder == "config" and not rest else folder if folder in PLAIN else "other"
        return "", "other"

    def _pack(self, tier: str, name: str) -> str:
        if tier == "hot":
            return PACKS
        known = self._known
        pack = known.labelled.get(name)
        labelled = pack is not None and pack.labelled_at is not None
        if known.data_only is None or known.indexed is None:
            return LABELLED if labelled else PACKS
        if name in known.data_only:
            return LABELLED if labelled else UNLABELLED
        return TREES if name in known.indexed else STRANGE

    def _see_whether_overdue(self, found: StoredObject) -> None:
        if self._layout.provider == "s3" and found.size < SMALLEST:
            return
        pack = self._known.labelled[found.key.rpartition("/")[2]]
        due = [
            (since, to)
            for days, to in self._steps
            if (since := max(found.modified + timedelta(days=days), pack.labelled_at or self._now)) + SLACK <= self._now
        ]
        if not due or self._warmth(found.storage_class) >= self._warmth(due[-1][1]):
            return
        since, to = due[-1]
        self.overdue += 1
        self.overdue_bytes += found.size
        if len(self.overdue_sample) < SAMPLE:
            self.overdue_sample.append(Astray(key=found.key, storage_class=found.storage_class, wanted=to, since=since))

    def _warmth(self, name: str) -> int:
        """How far down the list; a class that is not on it is taken for the warmest."""
        return self._order.index(name) if name in self._order else 0

    def usage(self) -> tuple[ClassUse, ...]:
        """The sums by tier, kind and class."""
        return tuple(
            ClassUse(tier=tier, kind=kind, storage_class=name, objects=objects, bytes=size)
            for (tier, kind, name), (objects, size) in sorted(self._sums.items(), key=_hot_first)
        )


def _hot_first(item: tuple[tuple[str, str, str], list[int]]) -> tuple[bool, bool, tuple[str, str, str]]:
    return item[0][0] == "", item[0][0] != "hot", item[0]
