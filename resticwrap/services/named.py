"""Domains of which the policy names every file: whether any of them is another than in the last snapshot.

restic stores the folders on the way as well, and these change with whatever else happens in them. A domain that is kept
forever would get a snapshot each time.
"""

import os

from resticwrap import errors
from resticwrap.model.job import Latest
from resticwrap.model.objects import Entry
from resticwrap.model.reports import PlannedDomain
from resticwrap.ports import BackupResult, Material, MissedItem
from resticwrap.services.compare import compare
from resticwrap.services.context import Context


def unchanged(
    context: Context, planned: PlannedDomain, material: Material, latest: Latest | None
) -> BackupResult | None:
    """What restic would say where not one file changed: no snapshot. None where it has to look itself."""
    if not material.parts or planned.type == "full":
        return None
    known = _known(context, planned, latest)
    there = [known.get(part) for part in material.parts]
    files = [entry for entry in there if entry is not None]
    if len(files) < len(there) or len(known) > len(files) + len(material.missed):
        return None
    compared = compare(context.hot.trees(), files, material.cwd, planned.domain, owners=True)
    if any(wrong for _, wrong in compared):
        return None
    return BackupResult(complete=True, snapshot=None, files=len(files), size=sum(entry.size for entry in files))


def missed(
    context: Context, planned: PlannedDomain, material: Material, latest: Latest | None
) -> tuple[MissedItem, ...]:
    """What could not be backed up, and whether it ever was."""
    if not material.missed:
        return ()
    known = _known(context, planned, latest)
    return tuple(
        MissedItem(
            item=one.item,
            message=f"{one.message}; snapshot {planned.parent[:8]} has it: rw restore --domain {planned.domain}"
            if planned.parent and os.path.relpath(os.fsencode(one.item), material.cwd) in known
            else f"{one.message}, and was in no complete backup",
        )
        for one in material.missed
    )


def _known(context: Context, planned: PlannedDomain, latest: Latest | None) -> dict[bytes, Entry]:
    """The files of the domain's last complete snapshot, by path; none where that cannot be read."""
    before = latest.domains.get(planned.domain) if latest is not None else None
    if before is None or planned.parent is None:
        return {}
    try:
        if not context.hot.holds(before.current_id):
            return {}
        return {entry.path: entry for entry in context.hot.trees().walk(before.tree) if entry.kind != "dir"}
    except errors.Interrupted:
        raise
    except errors.Failure:
        return {}
