"""Reports of the schedule, as real ones come."""

from datetime import timedelta
from typing import Any

import msgspec

from resticwrap.model.schedule import (
    HealthReport,
    Heartbeat,
    NextRun,
    NextRuns,
    Pause,
    PauseReport,
    RunsReport,
    ScheduleList,
    ScheduleRow,
)
from resticwrap.model.unattended import RunOutcome, ScheduledRun
from tests.unit.report.samples import NASTY, NOW


def scheduled(outcome: RunOutcome = "ok", **more: Any) -> ScheduledRun:
    return msgspec.structs.replace(
        ScheduledRun(
            id="run_20260801T035600Z_0a1b2c3d", host="vm", name="incremental", target="local", kind="backup",
            trigger="due", due_at=NOW, started_at=NOW, outcome=outcome, finished_at=NOW + timedelta(seconds=42),
            exit_code=0, job="snapshot_20260801T035600Z_0a1b2c", lease="0",
        ), **more,
    )  # fmt: skip


def schedule(alive: bool = True) -> ScheduleList:
    beat = Heartbeat(
        pid=4711, host="vm", version="0.1.0", started_at=NOW - timedelta(days=3), beat_at=NOW, policies="/etc/policies",
        in_force="/var/lib/resticwrap/schedule/policies/0a1b",
        running=("full",),
    )  # fmt: skip
    pause = Pause(since=NOW, by=f"root {NASTY}", until=NOW + timedelta(hours=2), reason=f"a new disk {NASTY}")
    rows = (
        ScheduleRow(name="incremental", kind="backup", target="local", when="every 4m", state="on",
                    variety="incremental", last=scheduled(), next=NOW + timedelta(minutes=4)),
        ScheduleRow(name="full", kind="backup", target="local", when="0 2 * * *", state="running", variety="full",
                    last=scheduled("running", finished_at=None), next=NOW + timedelta(hours=22)),
        ScheduleRow(name="a_verify_with_quite_a_long_name", kind="verify", target="a_target_with_a_long_name",
                    when="30 3,4,5,6,7,8 * * mon,tue,wed", state="paused", pause=pause, last=scheduled("overran"),
                    next=NOW + timedelta(hours=2)),
        ScheduleRow(name="drill_system", kind="drill", target="local", when="0 7 30 2 *", state="on", variety="l3"),
        ScheduleRow(name="weekly", kind="backup", target="local", when="0 5 * * 0", state="on", variety="full",
                    domains=("a", "b"), excepted=("prod_db", "an_archive_with_a_long_name")),
        ScheduleRow(name="prune", kind="prune", target="local", when="0 5 * * 0", state="off"),
    )  # fmt: skip
    return ScheduleList(
        at=NOW, time_zone="UTC", alive=alive, heartbeat=beat, rows=rows,
        warnings=() if alive else ("No scheduler runs here, so nothing of this runs by itself: rw schedule run",),
    )  # fmt: skip


def coming() -> NextRuns:
    runs = tuple(
        NextRun(at=NOW + timedelta(minutes=4 * number), name="incremental", kind="backup", target="local")
        for number in range(5)
    )
    return NextRuns(at=NOW, time_zone="UTC", runs=runs)


def scheduled_runs() -> RunsReport:
    message = f"Target local has no repositories that this machine knows of {NASTY}."
    return RunsReport(
        runs=(
            scheduled("failed", exit_code=10, message=message, trigger="catch-up", job=None),
            scheduled("lost", finished_at=None, message="The scheduler went away, and so did the run."),
            scheduled("partial", exit_code=3, trigger="manual", name="a_verify_with_quite_a_long_name"),
            scheduled(),
        ),
        planned={"full": "rw backup --type full --target local --policies /etc/resticwrap/policies --json"},
        refused={"nobody": "There is no job 'nobody'."}, waiting=("copy",), warnings=("The catalogue is down.",),
    )  # fmt: skip


def pauses() -> PauseReport:
    pause = Pause(since=NOW, by="root", until=NOW + timedelta(hours=2), reason=f"a new disk {NASTY}")
    return PauseReport(changed=("full",), pauses={"full": pause, "": Pause(since=NOW, by="root")}, planned=True)


def health(alive: bool = True) -> HealthReport:
    why = "The scheduler lives." if alive else "The scheduler has given no sign of life for too long."
    return HealthReport(alive=alive, why=why, age=7.0 if alive else 4000.0, heartbeat=schedule().heartbeat)
