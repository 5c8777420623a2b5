"""In which order damage is to be repaired: what brings everything back first, what costs something last.

Steps are planned out of what is known now. A step changes that, so whoever carries one out looks again and plans anew;
what was `tried` is not tried again, so that a repair ends.
"""

from collections.abc import Iterable, Mapping

from resticwrap.model.base import Value
from resticwrap.model.repair import BadObject, LostObject, RepairStep

OPENS = ("config", "key")
"""Without these nothing else can be read."""
Tried = frozenset[tuple[str, str]]
"""Action and name."""
STRANGE = "packs that no index names"


class Facts(Value, frozen=True):
    """What is known of one repository. Blobs are ids.

    `small` and `packs` are bad objects, `strange` counts packs that no index names, `unnamed` needed blobs that no
    index names. `missing` are the needed blobs that neither a sound pack nor a sound copy of a bad one holds, nor can
    be saved out of a damaged one, as far as that is known. `elsewhere` says by id of a snapshot in the other tier which
    of them it brings; `absent` by name of a snapshot that is bad or gone its copy there ("" where there is none), and
    its domain in `live` where that can be backed up again. `hurt` are the ids of snapshots that need what is missing;
    `twins` those that a killed copy left.
    """

    small: tuple[BadObject, ...] = ()
    packs: tuple[BadObject, ...] = ()
    strange: int = 0
    unnamed: int = 0
    missing: frozenset[str] = frozenset()
    elsewhere: Mapping[str, frozenset[str]] = {}
    absent: Mapping[str, str] = {}
    live: tuple[str, ...] = ()
    hurt: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    lost: tuple[LostObject, ...] = ()

    @property
    def bad(self) -> tuple[BadObject, ...]:
        return (*self.small, *self.packs)

    @property
    def shut(self) -> bool:
        """Whether it cannot be opened."""
        return any(one.kind in OPENS for one in self.small)


def plan(facts: Facts, tried: Tried = frozenset(), *, allow_loss: bool = False) -> tuple[RepairStep, ...]:
    """The steps that are left, in order. A repository that does not open is opened first, or nothing is done."""

    def due(action: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if (action, name) not in tried)

    steps: list[RepairStep] = []

    def add(action: str, names: tuple[str, ...], why: str, *, deletes: bool = False) -> None:
        if names:
            steps.append(RepairStep(action=action, names=names, why=why, deletes=deletes))  # type: ignore[arg-type]

    sound = [one for one in facts.bad if one.sound and ("bring_back", one.name) not in tried]
    add(
        "bring_back",
        tuple(one.name for one in sorted(sound, key=lambda one: (one.kind not in OPENS, one.kind.startswith("pack")))),
        "a copy with the very bytes that their names stand for is in an older version or in restic's cache",
    )
    if facts.shut and not all(one.sound for one in facts.small if one.kind in OPENS):
        return ()  # nothing may be written into what nobody can open
    coming = {one.name for one in sound}
    if facts.shut:
        return tuple(steps)
    add("tidy", due("tidy", facts.twins), "copies of snapshots that are there as well; an earlier repair left them",
        deletes=True)  # fmt: skip
    index = [one.name for one in facts.small if one.kind == "index" and one.name not in coming]
    add("rebuild_index", due("rebuild_index", index), "the index is damaged, and the packs tell what they hold",
        deletes=True)  # fmt: skip
    broken = [one.name for one in facts.packs if one.kind != "pack_missing" and one.name not in coming]
    salvage = due("salvage", broken)
    add("salvage", salvage, "what can still be read of them is saved into new packs; the broken ones are kept aside",
        deletes=True)  # fmt: skip
    add("set_aside", due("set_aside", [name for name in broken if name not in salvage]),
        "nothing could be saved of them, and while the index names them nobody stores again what they held",
        deletes=True)  # fmt: skip
    gone = [one.name for one in facts.packs if one.kind == "pack_missing" and one.name not in coming]
    strange = [STRANGE] if facts.strange and facts.unnamed and not index else []
    add("rebuild_index", due("rebuild_index", [*gone, *strange]),
        "the index must name what is there and nothing else, so that what is missing is stored again",
        deletes=True)  # fmt: skip
    copies = [*cover(facts.missing, facts.elsewhere, tried), *(one for one in facts.absent.values() if one)]
    add("copy", due("copy", dict.fromkeys(copies)), "the other tier has what is missing here", deletes=True)
    add("back_up", due("back_up", facts.live), "files of the live source may still hold what is missing")
    if allow_loss:
        bad = [one.name for one in facts.small if one.kind == "snapshot" and one.name not in coming]
        add("cut", due("cut", [*facts.hurt, *bad]),
            "agreed: what nothing above brought back is cut out of these snapshots, and named",
            deletes=True)  # fmt: skip
    return tuple(steps)


def cover(missing: frozenset[str], elsewhere: Mapping[str, frozenset[str]], tried: Tried = frozenset()) -> list[str]:
    """Few snapshots that together bring all that any of them can: each time the one that brings most."""
    left, chosen = set(missing), list[str]()
    offers = {name: blobs for name, blobs in elsewhere.items() if ("copy", name) not in tried}
    while left and offers:
        best = max(sorted(offers), key=lambda name: len(offers[name] & left))
        if not offers[best] & left:
            break
        left -= offers.pop(best)
        chosen.append(best)
    return chosen
