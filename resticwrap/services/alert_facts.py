"""What alerts look at, gathered once a look: out of records, state files and this machine. No target is asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.alerting import RULES, AlertRules
from resticwrap.model.alerts import ChannelState, Finding
from resticwrap.model.base import Time
from resticwrap.model.drill import DrillDetails, drill_details
from resticwrap.model.job import Job
from resticwrap.model.policy import LocalTarget, ScheduledJob
from resticwrap.model.reports import DomainStatus, HistoryRow
from resticwrap.model.snapshot import TIERS
from resticwrap.model.sources import DATABASES
from resticwrap.planning import alertrules as planning
from resticwrap.planning.overdue import overdue
from resticwrap.ports import Catalog, DomainSums
from resticwrap.services import gate, status
from resticwrap.services.alert_ports import Disks, Pulse
from resticwrap.services.context import Records
from resticwrap.services.drill.history import due
from resticwrap.settings import Settings

JOBS_LOOKED_AT: Mapping[str, int] = {"backup": 40, "forget": 20}
FULLS = 40
OTHERS = 3
"""So many of every other kind."""
ROWS = 400
"""Looks of each domain: more than a day of them at the shipped rhythm."""


@dataclass(frozen=True)
class TargetLook:
    """What was found of one target. `rules` are those that were looked at; `unknown` says why the others were not."""

    findings: Sequence[Finding]
    rules: frozenset[str]
    unknown: str = ""


def of_target(records: Records, rules: AlertRules, pulse: Pulse | None, now: Time) -> TargetLook:
    """Look at one target. Where the catalogue is gone, the newest backup is still known by its own small file."""
    try:
        facts = gather(records, rules, pulse, now)
    except errors.Failure as error:
        try:
            found = planning.of_target(_without_catalog(records, now), rules, now)
        except errors.Failure:
            return TargetLook((), frozenset(), error.message)
        late = [one for one in found if one.rule == "backup_late"]
        return TargetLook(late, frozenset({"backup_late"}), error.message)
    return TargetLook(planning.of_target(facts, rules, now), frozenset(RULES) - {*planning.OF_MACHINE})


def gather(records: Records, rules: AlertRules, pulse: Pulse | None, now: Time) -> planning.Facts:
    """All facts of a target. Raises CatalogUnavailable, and what the state directory raises."""
    catalog, settings, target, until = records.known(), records.settings, records.target_name, now + CLOCK_SLACK
    seen, verdict, reasons = gate.everything(records)
    drilled = [(job, told) for job in seen.drills if job.outcome != "running" and (told := drill_details(job))]
    sums: dict[str, Mapping[str, DomainSums]] = {tier: catalog.sums(target, tier, until) for tier in TIERS}
    jobs = _jobs(catalog, target, until, verify=seen.verifies, drill=seen.drills)
    first = min((at for at in catalog.first_looks(target).values() if at <= until), default=None)
    running = [job for job in status.open_jobs(records, catalog) if job.started_at <= until]
    wanted = _wanted(records, pulse, now)
    rows = _rows(settings, catalog, target, until)
    begun = _begun(wanted, [*_fulls(wanted, catalog, target, until), *running], jobs, rows)
    beat = pulse.heartbeat() if pulse is not None else None
    return planning.Facts(
        target=target,
        domains=_domains(settings, seen.looks, drilled, now),
        quotas=_quotas(records, sums),
        drills=due(settings, drilled, now),
        drill_within=_drill_within(settings),
        reasons=reasons,
        gate_open=verdict.open,
        gate_says=verdict.first.sentence if verdict.first else "",
        bucket=records.state.bucket_look(target),
        jobs=jobs,
        running=running,
        rows=rows,
        files={name: one.files for name, one in sums["hot"].items()},
        may_be_empty=frozenset(name for name, domain in settings.domains.items() if domain.allow_empty),
        guards={name: domain.guard or settings.guard for name, domain in settings.domains.items()},
        looked=_looked(jobs.get("forget", ())),
        streams={
            name: "full" if getattr(domain.source, "mode", "") == "wal" else "all"
            for name, domain in settings.domains.items()
            if isinstance(domain.source, DATABASES)
        },
        overdue=overdue(wanted, begun, first, rules.scheduler.after, settings.schedule.zone, now),
        beat=beat.beat_at if beat is not None and beat.ended_at is None and wanted else None,
        scheduled=any(job.kind == "backup" for job in wanted.values()),
        first=first,
    )


def _wanted(records: Records, pulse: Pulse | None, now: Time) -> Mapping[str, ScheduledJob]:
    """The jobs of the schedule that work on this target, and are neither off nor paused."""
    pauses = pulse.pauses() if pulse is not None else {}
    paused = {name for name, pause in pauses.items() if pause.until is None or now < pause.until}
    jobs = records.settings.schedule.jobs.items() if "" not in paused else ()
    return {name: job for name, job in jobs if job.enabled and job.target == records.target_name and name not in paused}


def _drill_within(settings: Settings) -> dict[str, timedelta]:
    rule = settings.recovery.drills
    within = {"l1": rule.due_l1, "l2": rule.due_l2, "l3": rule.due_l3}
    return {level: span for level, span in within.items() if span is not None}


def _without_catalog(records: Records, now: Time) -> planning.Facts:
    """What is known of the newest backups by `latest_{target}.json` alone."""
    latest = records.state.latest(records.target_name)
    known = latest.domains if latest else {}
    looks = {name: known[name].looked_at for name in records.settings.domains if name in known}
    return planning.Facts(target=records.target_name, domains=_domains(records.settings, looks, (), now))


def _domains(
    settings: Settings, looks: Mapping[str, Time], drilled: Sequence[tuple[Job, DrillDetails]], now: Time
) -> list[DomainStatus]:
    """Each domain against its objectives, by the newest look that saw it whole and the newest drill of it."""
    return [
        status.with_drill(status.domain_status(name, domain, (None, looks.get(name)), None, now), drilled)
        for name, domain in settings.domains.items()
    ]


def _jobs(catalog: Catalog, target: str, until: Time, **known: Sequence[Job]) -> dict[str, Sequence[Job]]:
    """The newest jobs of each kind that have ended; of some they are `known`. Nothing migrates yet: of `migrate` there
    are none."""
    found: dict[str, Sequence[Job]] = {}
    for kind in ("backup", "verify", "migrate", *planning.LOOKED_AT):
        jobs = known.get(kind)
        if jobs is None:
            jobs = catalog.jobs(target, kind=kind, until=until, limit=JOBS_LOOKED_AT.get(kind, OTHERS))
        if ended := [job for job in jobs if job.outcome != "running"]:
            found[kind] = ended
    return found


def _rows(settings: Settings, catalog: Catalog, target: str, until: Time) -> dict[str, Sequence[HistoryRow]]:
    found = {name: catalog.history(target, domains=(name,), until=until, limit=ROWS) for name in settings.domains}
    return {name: rows for name, rows in found.items() if rows}


def _looked(forgets: Iterable[Job]) -> dict[str, Time]:
    """When somebody last said that a mass change of a domain was meant."""
    found: dict[str, Time] = {}
    for job in forgets:
        told = job.details.get("looked")
        if job.outcome == "ok" and isinstance(told, dict):
            for domain in told:
                found.setdefault(str(domain), job.started_at)
    return found


def _fulls(wanted: Mapping[str, ScheduledJob], catalog: Catalog, target: str, until: Time) -> Sequence[Job]:
    """The newest fulls: hundreds of incrementals may have begun since."""
    if not any(job.type == "full" for job in wanted.values()):
        return ()
    return catalog.jobs(target, kind="backup", type="full", until=until, limit=FULLS)


def _begun(
    wanted: Mapping[str, ScheduledJob],
    more: Sequence[Job],
    jobs: Mapping[str, Sequence[Job]],
    rows: Mapping[str, Sequence[HistoryRow]],
) -> dict[str, Time]:
    """When a job like each of the schedule began last, whoever began it. A backup of certain domains is found by what
    it saw of them too."""
    found = {}
    for name, one in wanted.items():
        like = [job.started_at for job in (*jobs.get(one.kind, ()), *more) if _like(job, one)]
        if one.kind == "backup":
            seen = [_newest(rows.get(domain, ()), one.type) for domain in one.domains]
            known = [at for at in seen if at is not None]
            if known and (one.excepted or len(known) == len(seen)):
                like.append(max(known) if one.excepted else min(known))
        if like:
            found[name] = max(like)
    return found


def _newest(rows: Sequence[HistoryRow], type: str | None) -> Time | None:
    return next((row.time for row in rows if row.type == type), None)


def _like(job: Job, wanted: ScheduledJob) -> bool:
    if job.kind != wanted.kind or (wanted.type is not None and job.type != wanted.type):
        return False
    if wanted.level is not None:
        details = drill_details(job)
        return details is not None and details.level == wanted.level
    seen = {run.domain for run in job.domains}
    if wanted.excepted:  # what is new in the policies was in no run yet
        return wanted.kind != "backup" or not seen or bool({*wanted.domains} & seen)
    return wanted.kind != "backup" or not wanted.domains or not seen or {*wanted.domains} <= seen


def _quotas(records: Records, sums: Mapping[str, Mapping[str, DomainSums]]) -> Sequence[tuple[str, int, int]]:
    """What is bounded, by how much, and what it takes: what backups and copies have stored of what is there now."""
    found: list[tuple[str, int, int]] = []
    quota, every = records.target.quota, [one for tier in sums.values() for one in tier.values()]
    if quota is not None and quota.max_bytes:
        found.append(("the target", quota.max_bytes, sum(one.added for one in every)))
    if quota is not None and quota.max_snapshots:
        found.append(("the target (snapshots)", quota.max_snapshots, sum(one.snapshots for one in every)))
    bounded = {name: domain.quota for name, domain in records.settings.domains.items() if domain.quota is not None}
    for name, own in bounded.items():
        mine = [one[name] for one in sums.values() if name in one]
        if own.max_bytes:
            found.append((name, own.max_bytes, sum(one.added for one in mine)))
        if own.max_snapshots:
            found.append((f"{name} (snapshots)", own.max_snapshots, sum(one.snapshots for one in mine)))
    return found


def of_machine(
    records: Sequence[Records], settings: Settings, disks: Disks, problems: Sequence[str],
    channels: Sequence[ChannelState],
) -> planning.MachineFacts:  # fmt: skip
    """What is so here, whatever the target."""
    one = records[0]
    fault, hint = "", ""
    try:
        one.known().open_jobs(one.target_name)
    except errors.Failure as error:
        fault, hint = error.message, error.hint
    try:
        ended = [job for job in one.state.spooled() if job.outcome != "running"]
    except errors.Failure:
        ended = []  # what cannot be read there is no record that waits
    return planning.MachineFacts(
        disks=_disks(records, settings, disks),
        problems=problems,
        channels=channels,
        catalog_fault=fault,
        catalog_hint=hint,
        unspooled=min((job.finished_at or job.started_at for job in ended), default=None),
        spooled=len(ended),
    )


def _disks(records: Sequence[Records], settings: Settings, disks: Disks) -> list[planning.DiskUse]:
    """Each place that is written to. Where several lie on one disk, each is told, since what to do differs."""
    places = {"state directory": settings.state_dir, "cache": settings.cache_dir}
    for one in records:
        if isinstance(one.target, LocalTarget):
            places[f"target {one.target_name}"] = one.target.path
    found = []
    for what, path in places.items():
        try:
            used, inodes = disks.used(path)
        except OSError:
            continue  # who cannot look there cannot write there either, and the jobs will say so
        found.append(planning.DiskUse(what, path, used, inodes))
    return found
