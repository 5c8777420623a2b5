"""A forget that is killed anywhere: what stays is not lost, the next one ends what it began, no record stays open."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.machine import outcomes, running, stage
from tests.lab import RAW, Lab

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def three(lab: Lab) -> Lab:
    """Three snapshots of one day of two months ago, of which the first two are promised by nobody, and one since."""
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    command = lab.bare_command("backup", "--host", "lab")
    for number, ago in enumerate((60.2, 60.1, 60, 1)):
        lab.write("exams/a", str(number))
        time = NOON - timedelta(days=ago)
        tags = [
            "domain=exams", "layer=raw", "priority=P0", f"job=snapshot_{time:%Y%m%dT%H%M%SZ}_aaaaaa",
            "type=incremental", "tier=hot", "expire-after-days=30",
        ]  # fmt: skip
        when = f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
        lab.run(*command, "--time", when, *(f"--tag={tag}" for tag in tags), str(lab.data / "exams"))
    with lab.house() as built:
        built.catalog.put_snapshots("main", "hot", [(one, True) for one in built.context.hot.snapshots()])
    return lab


def ids(lab: Lab) -> list[str]:
    with lab.house() as built:
        return [one.original for one in built.context.hot.snapshots()]


@pytest.mark.parametrize(
    ("victim", "only"), [("both", "subprocess.Popen"), ("rw", "subprocess.Popen"), ("both", "os.rename")]
)
def test_killed_at_every_step(three: Lab, victim: str, only: str) -> None:
    """With restic, or while restic lives on; at every child that is started, and at every file that is put in place."""
    before = ids(three)
    for name in ("store", "state"):
        shutil.copytree(three.folder / name, three.folder / "kept" / name)
    with stage(three) as play:
        at = 0
        while True:
            at += 1
            killed, steps = play.rw("forget", at=at, victim=victim, only=only)
            if steps is not None and killed.code == 0:
                assert at > 3
                break
            left = ids(three)
            assert left[-2:] == before[2:] and set(left) <= set(before)
            play.well("forget")
            assert ids(three) == before[2:]
            assert running(three) == [] and outcomes(three, "forget")[0] == "ok"
            with three.house() as built:
                assert sorted(built.catalog.snapshots("main", "hot")) == sorted(before[2:])
            for name in ("store", "state"):
                shutil.rmtree(three.folder / name)
                shutil.copytree(three.folder / "kept" / name, three.folder / name)
