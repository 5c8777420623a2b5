"""Whether what a backup job has just stored comes back: a few files of each domain, out of the target, compared."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from itertools import islice

from resticwrap import errors
from resticwrap.model.job import DomainRun, Job
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import verify as planning
from resticwrap.services.compare import compare
from resticwrap.services.context import Context
from resticwrap.services.leftovers import scratch

FILES = 3
"""Of each domain."""


def prove(context: Context, job: Job, backup: Job, *, seed: int, files: int = FILES) -> Mapping[str, str]:
    """By domain of a backup, why its sample did not come back as it was; empty where it did.

    Restores into a scratch folder of `job`, and marks what compared well as proven. Raises Interrupted, and what keeps
    the repository from being listed.
    """
    known = {one.original: one for one in context.hot.snapshots(no_cache=True)}
    found: dict[str, str] = {}
    proven: list[str] = []
    for run in backup.domains:
        context.heed()
        snapshot = known.get(run.snapshot or "")
        found[run.domain] = _domain(context, job, run, snapshot, seed, files)
        if snapshot is not None and not found[run.domain]:
            proven.append(snapshot.original)
    now = context.clock.now()
    try:
        context.catalog().mark_proven(context.target_name, proven, now, tier="hot", until=now)
    except (errors.CatalogUnavailable, errors.DiskFull) as error:
        context.watcher.note(error.message)
    return found


def _domain(context: Context, job: Job, run: DomainRun, snapshot: Snapshot | None, seed: int, files: int) -> str:
    if snapshot is None or snapshot.tree != run.tree:
        return "the repository does not hold the snapshot that was written"
    room = shutil.disk_usage(tempfile.gettempdir()).free // 2
    try:
        trees = context.hot.trees(no_cache=True)
        small = (entry for entry in trees.walk(snapshot.tree) if entry.kind == "file" and entry.size <= room)
        chosen = planning.fitting(planning.sample(small, files, seed), room, lambda entry: entry.size)
        # A domain without files is its folder.
        chosen = chosen or list(islice(trees.walk(snapshot.tree), 1))
        with scratch(job) as place:
            context.hot.restore(snapshot.id, place, [entry.path for entry in chosen], no_cache=True)
            for _, mismatch in compare(trees, chosen, os.fsencode(place), run.domain, cut=True):
                if mismatch is not None:
                    return f"{mismatch.path}: {mismatch.why}"
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return error.message
    except OSError as error:
        return f"the sample could not be laid down in {tempfile.gettempdir()}: {error.strerror}"
    return ""
