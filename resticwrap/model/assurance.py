"""What an operator writes in `gates.yaml` and `recovery.yaml`: what must be proven, and how recovery goes."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from resticwrap.model.fields import AbsolutePath, Duration, ReadOnly
from resticwrap.model.frozen import Frozen

Weight = Literal["block", "warn", "off"]


class GateRules(Frozen):
    """What each reason does: `block` closes the gate, `warn` is said, `off` is not looked at."""

    proof: Weight = Field(default="block", description="no successful verify or drill within `proof_within`")
    backup: Weight = Field(default="block", description="a domain without a healthy backup within `backup_within`")
    drill: Weight = Field(default="block", description="the newest drill of a level failed")
    objective: Weight = Field(default="block", description="the newest drill of a level missed an objective")
    damage: Weight = Field(default="block", description="damage that a verify found and nothing has cleared since")
    bucket: Weight = Field(default="block", description="lifecycle rules that would delete live objects")
    evidence: Weight = Field(default="block", description="the chain of evidence does not hold")
    clock: Weight = Field(default="block", description="this machine's clock cannot be right")
    raw: Weight = Field(default="warn", description="a raw object changed or vanished, and nobody has looked at it")
    kit: Weight = Field(default="warn", description="no recovery kit, or one older than what it should open")


class Gates(Frozen):
    """When an upgrade, a migration or a prune may go on."""

    proof_within: Duration = Field(default=timedelta(days=7), description="how old the newest proof may be")
    backup_within: Duration = Field(default=timedelta(hours=24), description="how old the newest backup may be")
    rules: GateRules = Field(default_factory=GateRules)


class GatesFile(Frozen):
    """`gates.yaml`"""

    gates: Gates = Field(default_factory=Gates)


class Objectives(Frozen):
    """What was promised, for all domains together; each domain has its own `rpo` and `rto` besides."""

    l1: Duration = Field(default=timedelta(minutes=10), description="to bring back one object")
    l2: Duration = Field(default=timedelta(minutes=30), description="to bring all domains back as of a time")
    l3: Duration = Field(default=timedelta(minutes=30), description="from an empty machine to a healthy core")
    incrementals: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.99, description="the share of a day's incrementals that must succeed"
    )
    drills_l1: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="the share of a week's L1 drills that must succeed"
    )


class DrillRule(Frozen):
    """How much a drill restores, and how often each level is due at the least."""

    objects: Annotated[int, Field(ge=1, le=10_000)] = Field(default=20, description="objects of an L1")
    due_l1: Duration = Field(default=timedelta(days=7), description="an L1 is overdue after that long")
    due_l2: Duration | None = Field(default=None, description="none is due where not given")
    due_l3: Duration = Field(default=timedelta(days=31), description="an L3 is overdue after that long")


Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class SystemRule(Frozen):
    """How the restored system is started, and how one knows that it is healthy.

    Commands are lists of words, run without a shell in the folder that holds the restored domains, one folder each.
    They find it in `RW_SYSTEM_ROOT`. In a drill they may write nowhere else.
    """

    core: tuple[Literal["P0", "P1", "P2"], ...] = Field(
        default=("P0",), min_length=1, description="what must be back before the start command"
    )
    start: Words | None = Field(default=None, description="starts the system; it may stay in the foreground")
    health: Words | None = Field(default=None, description="exits 0 once the system is healthy; asked every second")
    stop: Words | None = Field(default=None, description="ends what `start` began, after a drill")
    healthy_within: Duration = Field(default=timedelta(minutes=10), description="after that long it counts as failed")
    environment: Annotated[Mapping[str, str], *ReadOnly] = Field(
        default_factory=dict, description="variables for these commands, besides PATH"
    )

    @model_validator(mode="after")
    def _together(self) -> "SystemRule":
        if (self.start or self.stop) and self.health is None:
            raise ValueError("start and stop need health: nobody else can say whether the system is up")
        return self


class KitRule(Frozen):
    """The recovery kit: what opens everything on an empty machine."""

    max_age: Duration = Field(default=timedelta(days=90), description="an older kit is complained of")
    credentials: Literal["include", "refer"] = Field(
        default="include", description="`refer` says where the storage credentials are instead of holding them"
    )
    where: str = Field(default="", description="where the credentials are, for `refer`; printed on the page of steps")
    passphrase_file: AbsolutePath | None = Field(default=None, description="a file that holds the kit's passphrase")

    @model_validator(mode="after")
    def _said(self) -> "KitRule":
        if self.credentials == "refer" and not self.where.strip():
            raise ValueError("credentials: refer needs `where`: the words that lead a person to them")
        return self


class RecoveryFile(Frozen):
    """`recovery.yaml`"""

    objectives: Objectives = Field(default_factory=Objectives)
    drills: DrillRule = Field(default_factory=DrillRule)
    system: SystemRule = Field(default_factory=SystemRule)
    kit: KitRule = Field(default_factory=KitRule)
