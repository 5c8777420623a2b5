"""Domains of the layer raw only grow. An object of theirs that changed or disappeared is told, becomes evidence, and
keeps the snapshot that still has it: that is pinned until somebody has looked at it (`rw unpin`)."""

import contextlib
import hashlib
from collections.abc import Sequence

from resticwrap import errors
from resticwrap.model.aging import SnapshotPin
from resticwrap.model.job import DomainRun, Job
from resticwrap.services import audit, pins
from resticwrap.services.context import Context

LOOKED_BACK = 100
"""So many records are looked through for the one that a crash may have left; a second one would do no harm."""
SHOWN = 5
"""How many objects a warning names."""


def keep(context: Context, job: Job) -> Sequence[str]:
    """Make what a backup found so evidence, and pin what it was compared with. Returns a warning for each such domain.

    May be repeated for the same job, so that a crash loses no pin. Raises only Interrupted: that the bucket refuses a
    pin is told, and is no failure of what restic has stored.
    """
    return [_kept(context, job, run) for run in found(job)]


def found(job: Job) -> Sequence[DomainRun]:
    """The domains that did not only grow."""
    return [run for run in job.domains if (run.raw_changed or run.raw_removed) and run.parent]


def _kept(context: Context, job: Job, run: DomainRun) -> str:
    assert run.parent is not None
    what = _counted(run)
    because = f" (the policy's {run.raw_policy} changed, which may be why)" if run.raw_policy else ""
    pin = SnapshotPin(
        id=f"pin_{job.started_at:%Y%m%dT%H%M%SZ}_{_once(job, run)[:6]}",
        target=context.target_name,
        snapshots=(run.parent,),
        reason=f"raw {run.domain}: {what} since, seen by {job.id}{because}; this snapshot has them as they were",
        by=f"rw@{context.machine}",
        created_at=job.finished_at or context.clock.now(),
        kind="raw",
    )
    # Evidence first: it needs no target.
    said = [
        f"{run.domain} is raw, which only grows, and {what} since snapshot {run.parent[:8]}{because}: {_names(run)}.",
        _recorded(context, job, run, pin.id),
        _pinned(context, pin),
    ]
    return " ".join(part for part in said if part)


def _recorded(context: Context, job: Job, run: DomainRun, pin: str) -> str:
    body = {
        "domain": run.domain,
        "changed": run.raw_changed,
        "removed": run.raw_removed,
        "before": run.parent,
        "after": run.snapshot,
        "policy_changed": run.raw_policy,
        "pin": pin,
    }
    name = f"raw_changed {_once(job, run)}"
    with contextlib.suppress(errors.CatalogUnavailable):
        known = context.catalog().evidence(context.target_name, kind="raw_changed", limit=LOOKED_BACK)
        if any(one.event.id == audit.once(name) for one in known):
            return ""
    return audit.tell(context, "raw_changed", body, job=job.id, name=name) or ""


def _pinned(context: Context, pin: SnapshotPin) -> str:
    """What became of the pin. One that is there stays as it is: somebody may have released it since."""
    looked = f"When somebody has looked at it: rw unpin {pin.id}"
    try:
        notes = pins.keep(context, pin)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        with contextlib.suppress(errors.CatalogUnavailable, errors.DiskFull):
            context.catalog().put_pin(pin)
            return f"That snapshot is pinned in the catalogue alone, for the target refused the pin: {error.message}"
        held = f"rw pin {pin.snapshots[0][:8]} --kind incident --reason '…'"
        return f"THAT SNAPSHOT COULD NOT BE PINNED, so a forget may remove it: {error.message} Pin it: {held}"
    return " ".join(["That snapshot is pinned.", looked, *notes])


def _counted(run: DomainRun) -> str:
    parts = [
        f"{number} object{'s' if number != 1 else ''} {verb}"
        for number, verb in ((run.raw_changed, "changed"), (run.raw_removed, "disappeared"))
        if number
    ]
    return " and ".join(parts)


def _names(run: DomainRun) -> str:
    total = run.raw_changed + run.raw_removed
    more = f" and {total - SHOWN} more" if total > SHOWN else ""
    return ", ".join(run.raw[:SHOWN]) + more if run.raw else "see the record on its machine"


def _once(job: Job, run: DomainRun) -> str:
    return hashlib.sha256(f"{job.id} {run.domain}".encode()).hexdigest()
