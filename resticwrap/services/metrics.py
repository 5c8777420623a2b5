"""Collects the facts that metrics are made of: out of records alone. Neither the target nor restic is ever asked."""

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK, Clock
from resticwrap.model.base import Time
from resticwrap.model.drill import LEVELS, PHASES
from resticwrap.model.metrics import (
    Firing,
    Holding,
    Known,
    LevelDrill,
    Measured,
    MetricsFacts,
    PlannedJob,
    Promise,
    Room,
    TargetFacts,
)
from resticwrap.model.policy import LocalTarget
from resticwrap.model.schedule import Heartbeat
from resticwrap.model.snapshot import TIERS
from resticwrap.model.unattended import Severity
from resticwrap.ports import Catalog
from resticwrap.services.context import Records
from resticwrap.services.drill.history import drills, met
from resticwrap.services.status import open_jobs, status
from resticwrap.settings import Settings

DRILLS_LOOKED_AT = 100
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is collected from. `records` are those of a target by its name, `room` is the disk below a path, `beat` what
    a scheduler last said of itself, None where none runs. Built by `bootstrap.py`, or by a test."""

    settings: Settings
    records: Callable[[str], Records]
    catalog: Callable[[], Catalog]
    room: Callable[[Path], Room]
    beat: Callable[[], Heartbeat | None]
    clock: Clock
    version: str


def targets_of(settings: Settings) -> tuple[str, ...]:
    """The target of commands that name none, and those of the jobs that are enabled."""
    found = [job.target for job in settings.schedule.jobs.values() if job.enabled]
    with contextlib.suppress(errors.UsageError):
        found.insert(0, settings.target_name())
    return tuple(dict.fromkeys(found))


def collect(watched: Watched, targets: Sequence[str], now: Time) -> MetricsFacts:
    """Never raises for what is foreseen: what cannot be read is not known, and says why."""
    began = watched.clock.monotonic()
    found = tuple(_target(watched, name, now) for name in targets)
    places = {"state": watched.settings.state_dir, "cache": watched.settings.cache_dir}
    facts = MetricsFacts(
        at=now,
        version=watched.version,
        targets=found,
        rooms={name: room for name, path in places.items() if (room := _room(watched, path))},
        beat=watched.beat(),
        jobs=_planned(watched, targets),
    )
    return msgspec.structs.replace(facts, seconds=watched.clock.monotonic() - began)


def _target(watched: Watched, name: str, now: Time) -> TargetFacts:
    objectives = watched.settings.recovery.objectives
    facts = TargetFacts(
        target=name,
        levels={level: getattr(objectives, level).total_seconds() for level in LEVELS},
        promises=tuple(
            Promise(
                domain=domain,
                layer=policy.layer,
                priority=policy.priority,
                rpo=policy.rpo.total_seconds(),
                rto=policy.rto.total_seconds(),
                quota_bytes=policy.quota.max_bytes if policy.quota else None,
                quota_snapshots=policy.quota.max_snapshots if policy.quota else None,
            )
            for domain, policy in watched.settings.domains.items()
        ),
    )
    try:
        records = watched.records(name)
    except errors.Failure as error:
        return msgspec.structs.replace(facts, why=error.message)
    known, why = None, ""
    try:
        known = _known(records, now)
    except errors.Failure as error:
        why = error.message
    target, state = records.target, records.state
    return msgspec.structs.replace(
        facts,
        provider=target.provider,
        known=known,
        why=why,
        quota_bytes=target.quota.max_bytes if target.quota else None,
        quota_snapshots=target.quota.max_snapshots if target.quota else None,
        disk=_room(watched, target.path) if isinstance(target, LocalTarget) else None,
        spooled=_count(lambda: [job for job in state.spooled() if job.target == name]),
        manifests=_count(lambda: state.kept(name)),
        events=_count(lambda: state.waiting(name)),
    )


def _known(records: Records, now: Time) -> Known:
    """Raises CatalogUnavailable, and whatever the state directory says."""
    catalog, target = records.known(), records.target_name
    until = now + CLOCK_SLACK
    tallies = catalog.job_tallies(target, until)
    levels, measured = _drilled(records, now)
    return Known(
        status=status(records, (), now),
        jobs=tuple(tallies),
        last=tuple(catalog.last_jobs(target, tallies, until)),
        runs=tuple(catalog.run_tallies(target)),
        day=dict(catalog.added_by_domain(target, now - DAY)),
        held=tuple(
            Holding(domain=domain, tier=tier, snapshots=sums.snapshots, stored=sums.added)
            for tier in TIERS
            for domain, sums in catalog.sums(target, tier, until).items()
        ),
        running=dict(Counter(job.kind for job in open_jobs(records, catalog))),
        drills=levels,
        measured=measured,
        alerts=firing(records),
    )


def _drilled(records: Records, now: Time) -> tuple[tuple[LevelDrill, ...], tuple[Measured, ...]]:
    """Of each level the newest drill, and of each domain what the newest one of a level measured that brought it
    back."""
    newest: dict[str, LevelDrill] = {}
    measured: dict[tuple[str, str], Measured] = {}
    for job, details in drills(records, now, DRILLS_LOOKED_AT):
        ok = job.outcome == "ok" and details.ok
        one = LevelDrill(
            level=details.level,
            at=job.started_at,
            ok=ok,
            met=ok and met(details),
            seconds=details.seconds,
            objects=sum(domain.objects for domain in details.domains),
            failed=sum(domain.failed for domain in details.domains),
            phases={name: details.phases[name] for name in PHASES if name in details.phases},
        )
        newest.setdefault(details.level, one)
        for domain in details.domains:
            if domain.ok:
                key = (domain.domain, details.level)
                found = Measured(domain=key[0], level=details.level, rpo=domain.actual_rpo, rto=domain.actual_rto)
                measured.setdefault(key, found)
    return tuple(newest.values()), tuple(measured.values())


def firing(records: Records) -> tuple[Firing, ...]:
    """For how many subjects each rule fires; none, where one that did is over."""
    counted: Counter[tuple[str, Severity]] = Counter()
    for watched in records.state.alert_book().watched:
        alert = watched.alert
        if alert.target in ("", records.target_name):
            counted[alert.rule, alert.severity] += alert.state == "firing"
    return tuple(
        Firing(rule=rule, severity=severity, count=count) for (rule, severity), count in sorted(counted.items())
    )


def _planned(watched: Watched, targets: Sequence[str]) -> tuple[PlannedJob, ...]:
    """The jobs of the schedule on these targets, with their last runs, where the catalogue answers."""
    found = []
    for name, job in watched.settings.schedule.jobs.items():
        if job.target not in targets:
            continue
        planned = PlannedJob(name=name, target=job.target, kind=job.kind, enabled=job.enabled)
        with contextlib.suppress(errors.CatalogUnavailable):
            runs = watched.catalog().runs(watched.settings.host, name=name, limit=2)
            ended = next((run for run in runs if run.outcome != "running"), None)
            planned = msgspec.structs.replace(
                planned,
                last=runs[0].started_at if runs else None,
                ok=ended.outcome == "ok" if ended else None,
            )
        found.append(planned)
    return tuple(found)


def _room(watched: Watched, path: Path) -> Room | None:
    try:
        return watched.room(path)
    except OSError:
        return None


def _count(found: Callable[[], Sequence[object]]) -> int | None:
    try:
        return len(found())
    except errors.Failure:
        return None
