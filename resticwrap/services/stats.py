"""`rw stats`: what is stored by repository and domain, how it grows, and when what it grows into is full.

What is stored comes from the repositories' own index and trees, so each tree is read once; growth comes from the
catalogue. Nothing is written.
"""

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.objects import BlobSums
from resticwrap.model.policy import LocalTarget
from resticwrap.model.reports import DomainSpace, StatsReport, TierSpace
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.tiering import copy_details
from resticwrap.planning import stats as planning
from resticwrap.services.context import Context, check_domains

ALL = ""
"""The group of all snapshots; no domain has an empty name."""
COPIES = 200
"""How many copies back cold's growth is looked at."""
UNKNOWN = "(no domain)"
"""Snapshots that are not ours."""


def stats(context: Context, tiers: Sequence[str], domains: Sequence[str], now: Time) -> StatsReport:
    """Raises CatalogUnavailable where growth cannot be told, and whatever the target says. Damage is told in a note,
    and what it hides is missing from the sums."""
    notes: list[str] = []
    schedule = context.settings.schedule
    days = planning.last_days(now.astimezone(schedule.zone).date())
    # A day more than is shown, so that the first of them is whole in every zone.
    since = datetime.fromisoformat(days[0]).replace(tzinfo=schedule.zone) - timedelta(days=1)
    found = context.known().days(context.target_name, (), since, schedule.zone)
    by_domain, total = planning.growth(found, days)
    spaces = [_tier(context, tier, domains, notes) for tier in tiers]
    seen = {one.domain for space in spaces for one in space.domains} | {one.domain for one in by_domain}
    check_domains(context.settings, domains, seen)
    shown = tuple(one for one in by_domain if not domains or one.domain in domains)
    return StatsReport(
        target=context.target_name,
        at=now,
        time_zone=schedule.time_zone,
        tiers=tuple(spaces),
        days=days,
        growth=shown,
        total=total,
        limits=planning.limits(_bounds(context, spaces, domains), by_domain, total, _cold_rate(context, since)),
        notes=tuple(notes),
    )


def _cold_rate(context: Context, since: Time) -> float:
    """Bytes a day that copies add to cold, by what each of them measured there."""
    zone = context.settings.schedule.zone
    copies = context.known().jobs(context.target_name, kind="copy", limit=COPIES)
    measured = [
        (job.started_at.astimezone(zone).date(), details.stored["cold"])
        for job in reversed(copies)
        if job.started_at >= since and (details := copy_details(job)) and "cold" in details.stored
    ]
    return planning.cold_rate(measured)


def _tier(context: Context, tier: str, domains: Sequence[str], notes: list[str]) -> TierSpace:
    pin = context.check_pin(tier)
    repository = context.repositories[tier]
    snapshots = repository.snapshots()
    groups: dict[str, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots:
        name = snapshot.domain or UNKNOWN
        if not domains or name in domains:
            groups[name].append(snapshot)
    names = sorted(groups)
    sums: Mapping[str, BlobSums] = {}
    packs: int | None = None
    try:
        trees = repository.trees()
        packs = sum(trees.packs().values())
        sums = trees.union(
            {ALL: _trees(snapshots), **{name: _trees(groups[name]) for name in names}},
        )
    except (errors.Damaged, errors.ObjectMissing) as error:
        notes.append(f"{tier}: {error.message} So what is stored there cannot be told: {error.hint}")
    if lost := sums.get(ALL, BlobSums()).lost:
        notes.append(
            f"{tier}: {lost} trees or pieces of files could not be found, so it is at least this much: "
            f"rw verify --target {context.target_name} --tier {tier}"
        )
    return TierSpace(
        tier=tier,
        repository=pin.repository_id,
        space=planning.space(len(snapshots), _logical(snapshots), sums.get(ALL)),
        packs=packs,
        domains=tuple(
            DomainSpace(domain=name, space=planning.space(len(groups[name]), _logical(groups[name]), sums.get(name)))
            for name in names
        ),
    )


def _trees(snapshots: Sequence[Snapshot]) -> set[str]:
    return {snapshot.tree for snapshot in snapshots}


def _logical(snapshots: Sequence[Snapshot]) -> int:
    return sum(snapshot.size or 0 for snapshot in snapshots)


def _bounds(context: Context, spaces: Sequence[TierSpace], domains: Sequence[str]) -> list[planning.Bound]:
    """The quotas, which are about both repositories together, and the disk of a local target."""
    found: list[planning.Bound] = []
    whole = {space.tier for space in spaces} >= set(context.pins())
    quota = context.target.quota
    if whole and quota and quota.max_bytes:
        used = _sum([space.space.stored for space in spaces])
        found.append(planning.Bound(what="quota of the target", limit=quota.max_bytes, used=used))
    for name, domain in context.settings.select_domains().items():
        if whole and domain.quota and domain.quota.max_bytes and (not domains or name in domains):
            of_domain = [one.space.stored for space in spaces for one in space.domains if one.domain == name]
            found.append(
                planning.Bound(what=f"quota of {name}", limit=domain.quota.max_bytes, used=_sum(of_domain), domain=name)
            )
    if isinstance(context.target, LocalTarget):
        disk = shutil.disk_usage(context.target.path)
        # What only the superuser may fill is no room for us.
        found.append(planning.Bound(what="disk", limit=disk.used + disk.free, used=disk.used))
    return found


def _sum(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
