"""Draws docs/status.svg: `rw status` on the example data after two backups and a verify.

    .venv/bin/python examples/picture.py docs/status.svg

The clock stands still while restic works and is set to one day afterwards, so the picture is the same on every machine
and every day. Only the stored sizes may differ in their last digit: restic's trees hold inode numbers and times.
"""

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from resticwrap.bootstrap import House, house
from resticwrap.clock import FixedClock
from resticwrap.model.reports import StatusReport
from resticwrap.report.progress import watcher_for
from resticwrap.report.svg import status_svg
from resticwrap.services import backup
from resticwrap.services.repositories import init
from resticwrap.services.status import status
from resticwrap.services.verify import verify

PROJECT = Path(__file__).resolve().parents[1]
SHOWN = datetime(2026, 11, 23, 8, 5, tzinfo=UTC)
"""The time in the picture."""
FOUR_MINUTES = 240.0
NAMES = {"hot": "1f6d3c0a", "cold": "b84e92d7"}
"""Repositories have random ids; these stand for them."""


def main(picture: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rw-picture-") as folder:
        picture.write_text(status_svg(report_of(Path(folder))))


def report_of(folder: Path) -> StatusReport:
    """Back the example data up twice below `folder`, verify all of it, and say how it stands a minute later."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "TEACHING_ROOT": str(folder / "teaching"),
        "RW_LOCAL_PATH": str(folder / "store"),
        "RW_STATE_DIR": str(folder / "state"),
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    clock = FixedClock(datetime.now(UTC))
    with house(PROJECT / "policies", "local", watcher_for(False, True, False), env=env, clock=clock) as built:
        make(folder / "teaching")
        init(built.context, built.password)
        back_up(built)
        clock.sleep(FOUR_MINUTES)
        make(folder / "teaching", "--change", "1")
        back_up(built)
        clock.sleep(45)
        everything = built.settings.schedule.verify.model_copy(update={"share": "1"})
        verify(built.context, "hot", everything, (), seed=1)
        clock.sleep(30)
        report = status(built.records, (), clock.now())
    return shown(report)


def shown(report: StatusReport) -> StatusReport:
    """The same report with the time and the repositories of the picture."""
    moved = SHOWN - report.at

    def at(time: datetime | None) -> datetime | None:
        return time and time + moved

    return msgspec.structs.replace(
        report,
        at=SHOWN,
        space=(),
        domains=tuple(
            msgspec.structs.replace(one, last_looked_at=at(one.last_looked_at), proven_at=at(one.proven_at))
            for one in report.domains
        ),
        tiers=tuple(
            msgspec.structs.replace(one, repository=NAMES[one.tier], last_verify=at(one.last_verify))
            for one in report.tiers
        ),
    )


def make(where: Path, *more: str) -> None:
    script = PROJECT / "examples" / "teaching" / "make.py"
    subprocess.run([sys.executable, script, where, *more], check=True, stdout=subprocess.DEVNULL)


def back_up(built: House) -> None:
    backup.backup(built.context, backup.plan(built.context, "incremental", built.settings.select_domains()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
