"""Which packs of a restore must be thawed, how long that takes, and how often to look."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from resticwrap import errors
from resticwrap.model.bucket import ThawSpeed
from resticwrap.model.policy import ARCHIVES
from resticwrap.model.thaw import FrozenClass, NeededPack, ThawPlan

MINUTE, HOUR = 60, 3600
MAYBE = frozenset({"INTELLIGENT_TIERING"})
"""Classes of which the listing does not tell whether an object can be read: it is asked for one by one."""
TIMES: Mapping[str, Mapping[ThawSpeed, tuple[int, int]]] = {
    "GLACIER": {"expedited": (MINUTE, 5 * MINUTE), "standard": (3 * HOUR, 5 * HOUR), "bulk": (5 * HOUR, 12 * HOUR)},
    "DEEP_ARCHIVE": {"standard": (0, 12 * HOUR), "bulk": (0, 48 * HOUR)},
    "Archive": {"expedited": (0, MINUTE), "standard": (0, MINUTE), "bulk": (0, MINUTE)},
    "ColdArchive": {"expedited": (0, HOUR), "standard": (2 * HOUR, 5 * HOUR), "bulk": (5 * HOUR, 12 * HOUR)},
    "DeepColdArchive": {"expedited": (0, 12 * HOUR), "standard": (0, 48 * HOUR)},
}
"""Seconds, least and most, as Amazon and Alibaba document them. `Archive` of OSS knows no speeds."""
MOST_DAYS = {"Archive": 7}
FIRST_WAIT, LAST_WAIT = 5.0, 60.0
"""Seconds between two looks: the first, and what it grows to."""


def may_be_frozen(storage_class: str) -> bool:
    """Whether an object of this class may have to be thawed."""
    return storage_class in ARCHIVES or storage_class in MAYBE


def plan(tier: str, provider: str, packs: Iterable[NeededPack], *, days: int, speed: ThawSpeed) -> ThawPlan:
    """What to thaw of the packs (by id) that a restore reads. Raises UsageError where a class does not know the speed,
    or does not stay readable for so many days."""
    packs = sorted(packs, key=lambda one: one.pack)
    frozen = [one for one in packs if one.frozen]
    ask = [one for one in frozen if not one.asked]
    for name in sorted({one.storage_class for one in ask}):
        _allowed(name, days, speed)
    return ThawPlan(
        tier=tier,
        provider=provider,
        packs=len(packs),
        size=sum(one.size for one in packs),
        days=days,
        speed=speed,
        classes=tuple(_summed(name, frozen, speed) for name in sorted({one.storage_class for one in frozen})),
        ask=tuple(one.pack for one in ask),
        wait=tuple(one.pack for one in frozen if one.asked),
        thawed=tuple(one.pack for one in packs if not one.frozen and may_be_frozen(one.storage_class)),
    )


def _allowed(storage_class: str, days: int, speed: ThawSpeed) -> None:
    known = TIMES.get(storage_class, {})
    if known and speed not in known:
        raise errors.UsageError(
            f"Objects in {storage_class} cannot be thawed at the speed {speed}.",
            hint=f"--thaw-speed {' or '.join(known)}",
        )
    if days > MOST_DAYS.get(storage_class, days):
        raise errors.UsageError(
            f"Objects in {storage_class} stay thawed for {MOST_DAYS[storage_class]} days at most.",
            hint=f"--thaw-days {MOST_DAYS[storage_class]}",
        )


def _summed(storage_class: str, frozen: Sequence[NeededPack], speed: ThawSpeed) -> FrozenClass:
    own = [one for one in frozen if one.storage_class == storage_class]
    least, most = TIMES.get(storage_class, {}).get(speed, (0, 0))
    return FrozenClass(
        storage_class=storage_class, packs=len(own), size=sum(one.size for one in own), least=least, most=most
    )


def sentences(plan: ThawPlan) -> list[str]:
    """The plan in words: what is read, what of it is frozen in which class, and how long that may take."""
    first = (
        f"The restore reads {_packs(plan.packs)} ({_size(plan.size)}) of the {plan.tier} repository, "
        f"of which {plan.frozen} must be thawed first."
    )
    said = [first]
    said += [
        f"{_packs(one.packs)} ({_size(one.size)}) in {one.storage_class}: {_takes(one, plan.speed)}."
        for one in plan.classes
    ]
    if plan.wait:
        said.append(f"{_packs(len(plan.wait))} were asked for already and are thawing.")
    if plan.ask:
        said.append(
            f"{_packs(len(plan.ask))} would be asked for, to stay readable for {plan.days} "
            f"day{'s' if plan.days != 1 else ''}, at the provider's price for retrieval."
        )
    return said


def _takes(one: FrozenClass, speed: ThawSpeed) -> str:
    if not one.most:
        return "the provider does not say how long thawing takes"
    span = _span(one.most) if not one.least else f"{_span(one.least)} to {_span(one.most)}"
    return f"thawing takes {'up to ' if not one.least else ''}{span} at the speed {speed}"


def _span(seconds: int) -> str:
    count, unit = (seconds // HOUR, "hour") if seconds >= HOUR else (seconds // MINUTE, "minute")
    return f"{count} {unit}{'s' if count != 1 else ''}"


def _packs(count: int) -> str:
    return f"{count} pack{'s' if count != 1 else ''}"


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def waits(first: float = FIRST_WAIT, last: float = LAST_WAIT) -> Iterator[float]:
    """Seconds to wait before each look, for ever: they grow by half until they are `last`."""
    while True:
        yield first
        first = min(first * 1.5, last)


def refused(plan: ThawPlan) -> errors.Failure:
    """Nobody agreed to the thaw, so nothing was asked for."""
    return errors.RestoreRefused(
        " ".join(sentences(plan)),
        hint="The same command with --thaw asks for them and waits; --dry-run only shows this. Nothing was asked for.",
    )


def unreadable(names: Sequence[str], storage_class: str, tier: str) -> errors.Failure:
    """Of a repository of which rw's own rules never freeze these files."""
    return errors.Frozen(
        f"{len(names)} of the files that the {tier} repository always needs are frozen in {storage_class}, first "
        f"{names[0]}: a rule of the bucket moved more than data packs.",
        hint="rw lifecycle status   (it names the rule). Thaw them and move them back to the standard class; "
        "until then restic would wait for each of them for a quarter of an hour.",
    )
