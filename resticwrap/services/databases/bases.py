"""Which base backups the log of a database goes on from, and when the next snapshot has to be a new one."""

from collections.abc import Collection
from contextlib import suppress

import msgspec

from resticwrap import errors
from resticwrap.model.reports import PlannedDomain
from resticwrap.planning import wal as planning
from resticwrap.services.context import Context
from resticwrap.services.wal_ports import Archive


def fitting(context: Context, planned: PlannedDomain) -> PlannedDomain:
    """The same domain of a plan as the log allows it: an incremental without a base to go on from is a full. A parent
    is one of the same base, since nothing else has the files of the log."""
    archive = context.archives(planned.domain, context.settings.domains[planned.domain])
    if archive is None:
        return planned
    _keep(context, archive)
    why = archive.why_base_now() if planned.type == "incremental" else ""
    if why:
        context.watcher.note(f"{planned.domain}: a new base backup is made: {why}")
        planned = msgspec.structs.replace(planned, type="full", why=why)
    return msgspec.structs.replace(planned, parent=_parent(archive, planned))


def planned_base(context: Context, planned: PlannedDomain) -> PlannedDomain:
    """What a plan can say of that without asking the server."""
    archive = context.archives(planned.domain, context.settings.domains[planned.domain])
    if archive is None:
        return planned
    if planned.type == "full":
        return msgspec.structs.replace(planned, parent=None, why="a full is a new base backup")
    if why := archive.why_base():
        return msgspec.structs.replace(planned, type="full", parent=None, why=why)
    base = archive.state().bases[0].snapshot
    return msgspec.structs.replace(planned, parent=_parent(archive, planned), why=f"the log since base {base[:8]}")


def _parent(archive: Archive, planned: PlannedDomain) -> str | None:
    state = archive.state()
    same = bool(state.bases) and (state.last, state.last_base) == (planned.parent, state.bases[0].snapshot)
    return planned.parent if planned.type == "incremental" and same else None


def _keep(context: Context, archive: Archive) -> None:
    """Let go of what of the log a newer, proven base makes needless, and of bases that the repository has no more."""
    state = archive.state()
    held = {one.snapshot for one in state.bases if context.hot.holds(one.snapshot)}
    joined = planning.joined([one for one in state.bases if one.snapshot in held], state)
    proven = joined.intersection(_proven(context))
    archive.keep({one.snapshot for one in planning.kept(state.bases, held, proven)})


def _proven(context: Context) -> Collection[str]:
    with suppress(errors.CatalogUnavailable):
        known = context.catalog().snapshots(context.target_name, "hot", until=context.clock.now())
        return {original for original, one in known.items() if one.proven_at is not None}
    return ()
