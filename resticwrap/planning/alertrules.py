"""What each rule of `alerts.yaml` fires at: facts out of records, state files and the machine in, findings out.

No rule asks the object store. Records of the future never count.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from resticwrap.model.alerting import AlertRules, RuleName
from resticwrap.model.alerts import ChannelState, Finding
from resticwrap.model.base import Time
from resticwrap.model.drills import DueLevel
from resticwrap.model.gate import BucketLook, GateReason, ReasonKind
from resticwrap.model.job import Job
from resticwrap.model.policy import Guard
from resticwrap.model.reports import DomainStatus, HistoryRow
from resticwrap.model.unattended import Severity
from resticwrap.model.verified import verify_details
from resticwrap.planning import alertsizes as sizes
from resticwrap.planning.opendamage import moment
from resticwrap.planning.overdue import Overdue

OF_MACHINE: tuple[RuleName, ...] = ("disk", "policies", "undelivered", "catalog")
"""Rules that say something of this machine, whatever the target."""
LOOKED_AT: tuple[str, ...] = ("copy", "forget", "prune", "drill", "repair", "upgrade", "recover")
"""Kinds whose newest job is told of where it failed. A restore or an `init` has a person before it."""
AWAY = frozenset({"TargetUnreachable", "TargetRefused"})
NEARLY = 0.97
"""A disk fuller than that is critical, whatever the policy calls it."""
OF_GATE: Mapping[ReasonKind, RuleName] = {
    "damage": "damage", "bucket": "bucket", "evidence": "evidence", "clock": "clock", "raw": "raw_changed",
    "kit": "kit",
}  # fmt: skip
"""The reasons of the gate that are rules of their own, whatever the gate's policy makes of them."""
QUIET = frozenset({"unknown", "old"})
"""Subjects of the bucket's reason by which nobody has looked, which is no fault of the bucket."""


@dataclass(frozen=True)
class DiskUse:
    """How full the file system of a place is: shares of bytes and of inodes (0 where nobody counts them)."""

    what: str
    path: Path
    used: float
    inodes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """What is so on this machine, for all targets together. `unspooled` is the oldest record that the catalogue has not
    taken, of `spooled` ones; `problems` are those of the policies."""

    disks: Sequence[DiskUse] = ()
    problems: Sequence[str] = ()
    channels: Sequence[ChannelState] = ()
    catalog_fault: str = ""
    catalog_hint: str = ""
    unspooled: Time | None = None
    spooled: int = 0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is so of one target. Jobs and rows are newest first; `jobs` by kind, those that have ended.

    `quotas` are what is bounded, how much it may take, how much it takes. `reasons` are those of the gate with every
    rule looked at, `gate_open` is its own answer. `rows` are the looks of each domain, `files` how many files its
    newest complete one has, `looked` when somebody last looked at a mass change, `streams` the databases: which of
    their runs are like each other (`full`, or all). `beat` is the scheduler's last sign of life (None: there never was
    one), `scheduled` whether any backup is to run by itself, `first` when anything was backed up for the first time.
    """

    target: str
    domains: Sequence[DomainStatus] = ()
    quotas: Sequence[tuple[str, int, int]] = ()
    drills: Sequence[DueLevel] = ()
    drill_within: Mapping[str, timedelta] = field(default_factory=dict)
    reasons: Sequence[GateReason] = ()
    gate_open: bool = True
    gate_says: str = ""
    bucket: BucketLook | None = None
    jobs: Mapping[str, Sequence[Job]] = field(default_factory=dict)
    running: Sequence[Job] = ()
    rows: Mapping[str, Sequence[HistoryRow]] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    may_be_empty: frozenset[str] = frozenset()
    guards: Mapping[str, Guard] = field(default_factory=dict)
    looked: Mapping[str, Time] = field(default_factory=dict)
    streams: Mapping[str, str] = field(default_factory=dict)
    overdue: Sequence[Overdue] = ()
    beat: Time | None = None
    scheduled: bool = False
    first: Time | None = None


class _Look:
    """One look at the facts of a target, or of the machine."""

    def __init__(self, rules: AlertRules, target: str, now: Time) -> None:
        self.rules, self.target, self.now = rules, target, now

    def find(
        self, rule: RuleName, message: str, hint: str = "", *, subject: str = "", since: Time | None = None,
        severity: Severity | None = None, hold: timedelta = timedelta(),
    ) -> Iterator[Finding]:  # fmt: skip
        """A finding, as grave as the policy wants it, unless the policy does not want it at all."""
        weight = self.rules.of(rule).severity
        if weight != "off":
            yield Finding(
                rule=rule, target=self.target, severity=severity or weight, message=message, hint=hint,
                subject=subject, since=since, hold=hold.total_seconds(),
            )  # fmt: skip


def of_machine(facts: MachineFacts, rules: AlertRules, now: Time) -> list[Finding]:
    """What is wrong with this machine."""
    look = _Look(rules, "", now)
    found: list[Finding] = []
    for disk in facts.disks:
        for what, used in (("space", disk.used), ("inodes", disk.inodes)):
            if used >= rules.disk.used:
                said = f"The disk of the {disk.what} ({disk.path}) is {_percent(used)} full ({what})."
                hint = f"df {'-i' if what == 'inodes' else '-h'} {disk.path}"
                grave: Severity | None = "critical" if used >= NEARLY else None
                found += look.find("disk", said, hint, subject=f"{disk.what} {what}", severity=grave)
    if facts.problems:
        more = f" (and {len(facts.problems) - 1} more)" if len(facts.problems) > 1 else ""
        found += look.find("policies", f"The policies do not hold: {facts.problems[0]}{more}", "rw policy check")
    for channel in facts.channels:
        since = channel.failing_since
        if since is not None and now - since >= rules.undelivered.after:
            said = f"Nothing has reached {channel.name} since {moment(since)}: {channel.error}"
            found += look.find("undelivered", said, "rw alerts test", subject=channel.name, since=since)
    if facts.catalog_fault:
        found += look.find("catalog", facts.catalog_fault, facts.catalog_hint, subject="down")
    if facts.unspooled is not None and now - facts.unspooled >= rules.catalog.after:
        said = f"{facts.spooled} records wait for the catalogue, the oldest since {moment(facts.unspooled)}."
        found += look.find("catalog", said, "rw status", subject="records", since=facts.unspooled)
    return found


def of_target(facts: Facts, rules: AlertRules, now: Time) -> list[Finding]:
    """What is wrong with one target: its backups, its proofs, its schedule."""
    look = _Look(rules, facts.target, now)
    parts = (_backups, _reached, _lags, _verifies, _drills, _jobs, _gate, _space, _sizes, _schedule, _locks)
    return list(itertools.chain.from_iterable(part(look, facts) for part in parts))


def _backups(look: _Look, facts: Facts) -> Iterator[Finding]:
    """The last incrementals, and how long ago anything was seen whole."""
    target, rules, now = facts.target, look.rules, look.now
    failed = list(itertools.takewhile(_bad, (job for job in facts.jobs.get("backup", ()) if job.type != "full")))
    if len(failed) >= rules.incrementals_failed.in_a_row:
        said = f"The last {len(failed)} incrementals failed: {_why(failed[0])}"
        yield from look.find("incrementals_failed", said, f"rw backup --target {target}", since=failed[-1].started_at)
    seen = max((one.last_looked_at for one in facts.domains if one.last_looked_at), default=None)
    begun = seen or facts.first
    if begun is not None and now - begun >= rules.backup_late.after:
        said = f"No backup has seen any domain whole since {moment(begun)}."
        yield from look.find("backup_late", said, f"rw history --target {target} --days 1", since=begun)
    elif begun is None and facts.scheduled and all(one.kind != "clock" for one in facts.reasons):
        # Nobody knows since when it should have been: whoever has just begun is given the time that the rule gives all.
        said = "The schedule has backups of this target, and none has been made yet."
        hint = f"rw init --target {target}; rw backup --target {target}"
        yield from look.find("backup_late", said, hint, hold=rules.backup_late.after)


def _bad(job: Job) -> bool:
    """All of it went wrong, or a domain of it did."""
    return job.outcome in ("failed", "interrupted") or any(run.outcome == "failed" for run in job.domains)


def _why(job: Job) -> str:
    """The first thing that a job says went wrong."""
    return _error(job) or f"{job.id} was {job.outcome}."


def _error(job: Job) -> str:
    error = job.error or next((run.error for run in job.domains if run.error), None)
    return error.message if error else ""


def _failed(job: Job, run: str = "") -> str:
    """That a job failed, and why, where it says so: of a verify or a drill what it found says enough."""
    name, why = f"{job.id} ({run})" if run else job.id, _error(job)
    return f"{name} failed: {why}" if why else f"{name} failed."


def _reached(look: _Look, facts: Facts) -> Iterator[Finding]:
    """A target that does not answer, as the newest job tells of it."""
    jobs = sorted(itertools.chain.from_iterable(facts.jobs.values()), key=lambda job: job.started_at, reverse=True)
    away = list(itertools.takewhile(_away, jobs))
    if away:
        said = f"The target did not answer {away[0].id}: {_away(away[0])}"
        yield from look.find("target", said, f"rw doctor --target {facts.target}", since=away[-1].started_at)


def _away(job: Job) -> str:
    """Why a job could not reach its target; empty where it could."""
    told = [job.error, *(run.error for run in job.domains)]
    return next((error.message for error in told if error and error.kind in AWAY), "")


def _lags(look: _Look, facts: Facts) -> Iterator[Finding]:
    """What was promised of a domain: its lag as it is, and what the newest drill that brought it back measured."""
    target, now = facts.target, look.now
    for one in facts.domains:
        if one.rpo_lag is not None and not one.within:
            late = now - timedelta(seconds=one.rpo_lag - one.rpo)
            said = f"{one.domain} was last seen whole {_span(one.rpo_lag)} ago, and {_span(one.rpo)} are promised."
            hint = f"rw backup --target {target} --domain {one.domain}"
            yield from look.find("objective", said, hint, subject=one.domain, since=late)
        drilled = ((one.actual_rpo, one.rpo, "RPO"), (one.actual_rto, one.rto, "RTO"))
        missed = [f"{what} {_span(was)} of {_span(promised)}" for was, promised, what in drilled
                  if was is not None and was > promised]  # fmt: skip
        if missed:
            level = (one.drill_level or "drill").upper()
            said = f"{one.domain} missed its objective in the newest {level}: {', '.join(missed)}."
            hint = f"rw drill history --target {target}"
            yield from look.find("objective", said, hint, subject=f"{one.domain} drill", since=one.drilled_at)
        rows = facts.rows.get(one.domain, ())
        part = list(itertools.takewhile(lambda row: row.outcome == "partial", rows))
        if part:
            said = f"The last {len(part)} backups of {one.domain} did not see everything."
            hint = f"rw history --target {target} --domain {one.domain}"
            yield from look.find("partial", said, hint, subject=one.domain, since=part[-1].time)


def _verifies(look: _Look, facts: Facts) -> Iterator[Finding]:
    """The newest verify of each repository, and how long ago one of hot went well."""
    within, hint = look.rules.verify_failed.after, f"rw verify --target {facts.target}"
    by_tier: dict[str, list[Job]] = {}
    for job in facts.jobs.get("verify", ()):
        if job.outcome != "interrupted":
            by_tier.setdefault(_tier_of(job), []).append(job)
    for tier, own in by_tier.items():
        if own[0].outcome != "ok":
            yield from look.find(
                "verify_failed", _failed(own[0]), f"{hint} --tier {tier}", subject=tier, since=own[0].started_at
            )
    well = next((job for job in by_tier.get("hot", ()) if job.outcome == "ok"), None)
    begun = well.started_at if well else facts.first
    if begun is not None and look.now - begun >= within:
        said = f"No verify of hot went well since {moment(begun)}." if well else "No verify of hot has gone well yet."
        yield from look.find("verify_failed", said, hint, subject="overdue", since=begun + within)


def _tier_of(job: Job) -> str:
    details = verify_details(job)
    return details.tier if details else "hot"


def _drills(look: _Look, facts: Facts) -> Iterator[Finding]:
    for one in facts.drills:
        # Who has just begun is given the time that a drill lasts for the first of each level.
        due = one.due if one.last else _plus(facts.first, facts.drill_within.get(one.level))
        if one.overdue and due is not None and due <= look.now:
            last = f"the last that went well was on {moment(one.last)}" if one.last else "there was none yet"
            said = f"An {one.level.upper()} drill is overdue: {last}."
            hint = f"rw drill {one.level} --target {facts.target}"
            yield from look.find("drill_overdue", said, hint, subject=one.level, since=due)


def _plus(time: Time | None, span: timedelta | None) -> Time | None:
    return time + span if time is not None and span is not None else None


def _jobs(look: _Look, facts: Facts) -> Iterator[Finding]:
    """The newest job of each kind that no other rule looks at. A drill counts by its level."""
    for kind, jobs in facts.jobs.items():
        ended = [job for job in jobs if job.outcome != "interrupted"]
        if kind == "migrate" and ended and ended[0].outcome == "failed":
            yield from look.find("migration_failed", _failed(ended[0]), _then(ended[0]), since=ended[0].started_at)
        for level, own in _by_level(ended).items():
            if kind in LOOKED_AT and own[0].outcome == "failed":
                run = f"{kind} {level}".strip()
                yield from look.find(
                    "job_failed", _failed(own[0], run), _then(own[0]), subject=run, since=own[0].started_at
                )


def _then(job: Job) -> str:
    shown = f"rw drill show {job.id}" if job.kind == "drill" else f"rw history --target {job.target}"
    return job.error.hint if job.error and job.error.hint else shown


def _by_level(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(str(job.details.get("level", "")) if job.kind == "drill" else "", []).append(job)
    return found


def _gate(look: _Look, facts: Facts) -> Iterator[Finding]:
    """What the gate looks at too, and the gate itself."""
    for reason in facts.reasons:
        rule = OF_GATE.get(reason.kind)
        if rule is None or reason.subject in QUIET or (reason.kind == "kit" and facts.first is None):
            continue
        yield from look.find(rule, reason.sentence, reason.hint, subject=_subject(reason), since=reason.since)
    if not facts.gate_open and facts.first is not None:
        yield from look.find("gate", f"The gate is closed: {facts.gate_says}", f"rw gate --target {facts.target}")
    if facts.bucket is not None and facts.bucket.lacks:
        said = f"The bucket's lifecycle rules are not as the policy wants them: {'; '.join(facts.bucket.lacks)}."
        yield from look.find("lifecycle", said, f"rw lifecycle plan --target {facts.target}", since=facts.bucket.at)


def _subject(reason: GateReason) -> str:
    """What tells two alerts of one rule apart, and stays as it is when there is more of the same."""
    if reason.kind == "damage":
        return reason.subject.partition(" ")[0]
    return reason.subject if reason.kind == "raw" or reason.subject == "waiting" else ""


def _space(look: _Look, facts: Facts) -> Iterator[Finding]:
    for what, limit, used in facts.quotas:
        if limit and used / limit >= look.rules.quota.used:
            said = f"The quota of {what} is {_percent(used / limit)} used up."
            yield from look.find("quota", said, f"rw stats --target {facts.target}", subject=what)


def _sizes(look: _Look, facts: Facts) -> Iterator[Finding]:
    """A backup of nothing or of unusual size, and a mass change that nobody has looked at."""
    target = facts.target
    for domain, all_rows in facts.rows.items():
        rows = [row for row in all_rows if row.type == "full" or facts.streams.get(domain) != "full"]
        if why := sizes.unusual(rows, look.rules.backup_size, may_be_empty=domain in facts.may_be_empty):
            hint = f"rw history --target {target} --domain {domain}"
            yield from look.find("backup_size", f"{domain}: {why}", hint, subject=domain, since=rows[0].time)
        guard = facts.guards.get(domain)
        if guard is None:
            continue
        looked = facts.looked.get(domain)
        if domain in facts.streams:
            found = sizes.mass_loss(rows, guard, looked, look.now)
        else:
            found = sizes.mass_change(rows, facts.files.get(domain), guard, looked, look.now)
        if found:
            hint = f"rw forget --looked {domain} --target {target}   (once you have looked)"
            yield from look.find("mass_change", f"{domain}: {found[0]}", hint, subject=domain, since=found[1])


def _schedule(look: _Look, facts: Facts) -> Iterator[Finding]:
    """A scheduler that is silent, and jobs that did not begin when they should have."""
    if facts.beat is not None and look.now - facts.beat >= look.rules.scheduler.after:
        said = f"The scheduler has given no sign of life since {moment(facts.beat)}."
        yield from look.find("scheduler", said, "Start its service or container again.", since=facts.beat)
    for one in facts.overdue:
        said = f"Job {one.name} of the schedule should have begun at {moment(one.due)}."
        yield from look.find("scheduler", said, one.command, subject=one.name, since=one.due)


def _locks(look: _Look, facts: Facts) -> Iterator[Finding]:
    """Jobs that run for very long, and jobs that were locked out."""
    for job in facts.running:
        if look.now - job.started_at >= look.rules.locks.after:
            said = f"{job.id} has been running since {moment(job.started_at)}."
            hint = f"rw status --target {facts.target}   (pid {job.pid} on {job.host})"
            yield from look.find("locks", said, hint, subject=job.id, since=job.started_at)
    for kind, jobs in facts.jobs.items():
        error = jobs[0].error if jobs else None
        if error is not None and error.kind == "Locked" and jobs[0].outcome == "failed":
            said = f"{jobs[0].id} was locked out: {error.message}"
            hint = error.hint or f"rw unlock --target {facts.target}"
            yield from look.find("locks", said, hint, subject=kind, since=jobs[0].started_at)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _span(seconds: float) -> str:
    """A duration in words, rounded."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
