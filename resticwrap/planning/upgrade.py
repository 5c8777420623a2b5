"""What an upgrade left, and what to run because of it: out of its record alone."""

from collections.abc import Sequence

from resticwrap.model.upgrade import UpgradeDetails

STEPS = (
    "a full backup of every domain, pinned",
    "the gate, which also asks for that snapshot; where it is closed the command is not run",
    "the command: {}",
    "a drill of that snapshot",
    "the pin is released",
)


def steps(command: str, *, rollback: bool) -> tuple[str, ...]:
    """What is done in which order, for a plan."""
    back = "where command or drill fails: everything is restored in place, and the pin stays"
    by_hand = "where command or drill fails: the pin stays, and what to run is said"
    return (*(step.format(command) for step in STEPS[:-1]), back if rollback else by_hand, STEPS[-1])


def standing(target: str, job: str, left: UpgradeDetails, *, running: bool) -> tuple[str, tuple[str, ...]]:
    """One sentence on how far an upgrade whose pin still holds came, and what to run."""
    release = (f"rw upgrade --target {target} --release {job}",)
    back = go_back(target, left.snapshot_job)
    if running:
        return f"It is running ({left.step}).", ()
    if left.rolled_back:
        return (
            "It failed, and everything was restored in place.",
            (
                f"rw restore --target {target} --accept {left.rollback}   (once all is well; --undo exchanges back)",
                *release,
            ),
        )
    if left.step in ("snapshot", "pin", "gate"):
        return f"{left.command} was not started, so live data is as it was.", release
    if left.step == "command" and left.exit_code is None:
        pid = f" as process {left.pid}" if left.pid else ""
        return (
            f"{left.command} was started{pid}, and how it ended is not known: look whether it still runs.",
            (*back, *release),
        )
    if left.step == "rollback":
        why = (
            f"{left.command} ended with {left.exit_code}"
            if left.exit_code
            else f"The drill after {left.command} failed"
        )
        return f"{why}, and the way back was not gone to its end: rw status tells of what is open.", (*back, *release)
    if left.exit_code:
        return f"{left.command} ended with {left.exit_code}.", (*back, *release)
    if left.drill_ok is False:
        return f"{left.command} ended well, but the drill {left.drill} failed.", (*back, *release)
    if left.drill_ok is None:
        return f"{left.command} ended well, and no drill has shown yet that one can go back.", (
            f"rw drill l1 --target {target}",
            *back,
            *release,
        )
    return f"{left.command} and the drill went well; only the pin is left.", release


def go_back(target: str, snapshot_job: str) -> Sequence[str]:
    """How to bring back everything as it was before."""
    if not snapshot_job:
        return ()
    return (f"rw restore --target {target} --job {snapshot_job} --in-place   (back to before the upgrade)",)
