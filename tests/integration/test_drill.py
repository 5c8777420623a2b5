"""Drills as an operator runs them: restored from the target, compared whole, timed, and kept as evidence."""

import msgspec
import pytest

from resticwrap.model.drill import Level
from resticwrap.model.drills import DrillReport
from resticwrap.services.drill.frame import Order
from resticwrap.services.drill.levels import Asked, drill
from tests.lab import RAW, Lab


def drilled(lab: Lab, level: Level, **more: object) -> DrillReport:
    """A drill inside this process."""
    order = {name: more.pop(name) for name in ("seed", "tier", "failure_at", "scratch") if name in more}
    with lab.house() as built:
        return drill(built.context, Asked(order=Order(level=level, **order), **more))  # type: ignore[arg-type]


@pytest.fixture
def full(lab: Lab) -> Lab:
    """A lab of two domains, backed up twice."""
    lab.fill("exams", 6)
    lab.fill("profiles", 3)
    lab.rw("backup")
    lab.write("exams/exam_000.bin", "changed")
    lab.rw("backup")
    return lab


def test_l1(full: Lab) -> None:
    report = drilled(full, "l1")
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    report = drilled(full, "l2")
    print(msgspec.json.format(msgspec.json.encode(report)).decode())
    assert 0
