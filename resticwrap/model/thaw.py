"""What a restore must thaw: the plan that is shown and carried out, and what became of it."""

from resticwrap.model.base import Time, Value
from resticwrap.model.bucket import ThawSpeed


class NeededPack(Value, frozen=True):
    """A pack that a restore reads, as the bucket has it. `frozen`: it cannot be read now; `asked`: it is thawing."""

    pack: str
    size: int
    storage_class: str
    frozen: bool = False
    asked: bool = False


class FrozenClass(Value, frozen=True):
    """The packs of one class that cannot be read now. `least` and `most` are how long thawing them takes, in seconds,
    as the provider documents it; 0 where it does not."""

    storage_class: str
    packs: int
    size: int
    least: int = 0
    most: int = 0


class ThawPlan(Value, frozen=True):
    """What a restore out of one tier must thaw. `packs` and `size` are all that it reads; `ask` are the ids of
    the packs to be asked for, `wait` of those that are thawing already, `thawed` of those that can be read for now."""

    tier: str
    provider: str
    packs: int
    size: int
    days: int
    speed: ThawSpeed
    classes: tuple[FrozenClass, ...] = ()
    ask: tuple[str, ...] = ()
    wait: tuple[str, ...] = ()
    thawed: tuple[str, ...] = ()

    @property
    def frozen(self) -> int:
        """How many packs cannot be read now."""
        return len(self.ask) + len(self.wait)


class Thawed(Value, frozen=True):
    """What was thawed for a restore: how many packs and bytes, the ids of those that this run asked for (the first
    thousand), how long it waited in seconds, and when the first freezes again, as far as the bucket told."""

    tier: str
    packs: int
    size: int
    asked: tuple[str, ...]
    days: int
    speed: ThawSpeed
    waited: float
    until: Time | None = None
