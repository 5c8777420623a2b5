"""`python -m benchmarks.retention COUNT FILE`: plan a forget over so many snapshots, in a process of its own.

Writes `seconds MiB` to the file: what the planning took, and the most memory that the process has had.
"""

import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from resticwrap.model.aging import Held, KnownRun
from resticwrap.model.policy import Guard, Quota, Tiers
from resticwrap.planning.forget import Facts, Rules, plan
from resticwrap.planning.guard import suspended

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
DOMAINS = 8
EVERY = timedelta(minutes=4)
TIERS = {
    "hot": {"days": 30, "keep": {"within": "1d", "within_hourly": "7d", "within_daily": "30d"}},
    "cold": {"days": 180, "keep": {"within_daily": "180d"}},
}


def held(count: int) -> Iterator[Held]:
    """A snapshot of each domain every four minutes; one in ninety is proven in cold."""
    for number in range(count):
        name = f"{number:064x}"
        cold = number % 90 == 0
        yield Held(
            original=name,
            domain=f"domain_{number % DOMAINS}",
            host="bench",
            time=NOW - EVERY * (number // DOMAINS),
            type="full" if number // DOMAINS % 360 == 0 else "incremental",
            tree=name,
            complete=True,
            hot=name,
            cold=f"c{name[1:]}" if cold else None,
            marked=cold,
            files=1000,
            size=1_000_000,
        )


def runs(snapshots: list[Held]) -> Iterator[KnownRun]:
    """The runs that wrote them, as the catalogue sorts them."""
    for one in sorted(snapshots, key=lambda one: (one.domain, one.time)):
        yield KnownRun(
            domain=one.domain, at=one.time, job=one.original, snapshot=one.original, new=1, changed=3, removed=1,
            size=one.size,
        )  # fmt: skip


def main() -> None:
    snapshots = list(held(int(sys.argv[1])))
    made = list(runs(snapshots))
    rules = Rules(
        tiers=Tiers.model_validate(TIERS), domains={}, zone=ZoneInfo("Asia/Shanghai"), quota=Quota(max_snapshots=2000)
    )
    begun = time.monotonic()
    stopped = suspended(made, snapshots, Guard(), {})
    planned = plan("bench", rules, Facts(held=snapshots, suspended=stopped), NOW)
    took = time.monotonic() - begun
    assert len(planned.verdicts) >= len(snapshots) and not stopped
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(sys.argv[2]).write_text(f"{took} {peak}")


if __name__ == "__main__":
    main()
