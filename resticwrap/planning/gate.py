"""What the gate says: facts, the policy's rules and now in, a verdict with every reason out.

Records of the future never count. What is not known never counts as well, except for what nobody can know yet.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast, get_args

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import SnapshotPin
from resticwrap.model.assurance import Gates, Weight
from resticwrap.model.base import Time
from resticwrap.model.drill import LEVELS, DrillDetails, drill_details
from resticwrap.model.gate import BucketLook, GateCheck, GateReason, GateReport, Override, ReasonKind, Verdict
from resticwrap.model.job import Job
from resticwrap.model.snapshot import TIERS
from resticwrap.planning.guard import clock_fault
from resticwrap.planning.opendamage import ENDED, age, digest, moment, open_damage, told

KINDS: tuple[ReasonKind, ...] = get_args(ReasonKind)
WAITS_LONG = timedelta(days=1)
WHERE = tuple(itertools.product(LEVELS, TIERS))
RAW_PINS = frozenset({"raw", "incident"})
WORST: tuple[Verdict, ...] = ("block", "warn", "overridden", "ok", "off")


@dataclass(frozen=True, kw_only=True)
class SnapshotFacts:
    """What an upgrade goes back to: the backup job, the domains that it did not see whole, and of those that it did
    the ones that did not come back from the target as they are."""

    job: str
    missing: Sequence[str] = ()
    unproven: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is so, out of records. Jobs newest first.

    `rpo` is seconds by domain of the policy, `looks` the start of the newest complete look, `repositories` the pinned
    ids by tier. `bucket` is the last look at the rules, `has_bucket` whether there can be any. `chain_fault`: why the
    chain of evidence does not hold, `waiting_since` the oldest event that it has not. `kit`: what is wrong with the
    recovery kit, empty where nothing is, None where that is not known. `databases` are the domains that are some.
    """

    target: str
    rpo: Mapping[str, float]
    looks: Mapping[str, Time]
    verifies: Sequence[Job] = ()
    drills: Sequence[Job] = ()
    repositories: Mapping[str, str] = field(default_factory=dict)
    has_bucket: bool = False
    bucket: BucketLook | None = None
    chain_fault: str = ""
    waiting_since: Time | None = None
    newest_record: Time | None = None
    store_time: Time | None = None
    pins: Sequence[SnapshotPin] = ()
    kit: str | None = None
    overrides: Sequence[Override] = ()
    snapshot: SnapshotFacts | None = None
    databases: Sequence[str] = ()


def decide(facts: Facts, gates: Gates, now: Time) -> GateReport:
    """Every reason that the policy wants looked at. Open unless one of them closes."""
    held = tuple(one for one in facts.overrides if one.at <= now + CLOCK_SLACK and one.holds(now))
    look = _Look(facts, gates, now)
    reasons = tuple(_passed(reason, held) for kind in KINDS for reason in look.reasons(kind))
    lags = {name: (now - at).total_seconds() for name, at in look.looks.items()}
    late = max(lags, key=lambda name: (lags[name] / max(facts.rpo[name], 1.0), name), default=None)
    return GateReport(
        target=facts.target,
        at=now,
        open=not any(reason.closes for reason in reasons),
        reasons=reasons,
        checked=tuple(_check(kind, reasons, look) for kind in KINDS if kind != "snapshot" or facts.snapshot),
        proof_within=gates.proof_within.total_seconds(),
        backup_within=gates.backup_within.total_seconds(),
        proof_age=(now - look.proof[0]).total_seconds() if look.proof else None,
        backup_age=max(lags.values(), default=None),
        rpo_lag=lags[late] if late else None,
        rpo=facts.rpo[late] if late else None,
        overrides=held,
    )


def _passed(reason: GateReason, held: Sequence[Override]) -> GateReason:
    by = next((one.id for one in held if reason.key in one.keys), "")
    if not by or reason.weight != "block" or reason.kind == "snapshot":
        return reason
    return GateReason(
        kind=reason.kind, weight=reason.weight, sentence=reason.sentence, hint=reason.hint, subject=reason.subject,
        since=reason.since, overridden=by,
    )  # fmt: skip


def _check(kind: ReasonKind, reasons: Sequence[GateReason], look: "_Look") -> GateCheck:
    if look.weight(kind) == "off":
        return GateCheck(kind=kind, verdict="off", sentence="The policy does not want it looked at.")
    found = [reason for reason in reasons if reason.kind == kind]
    if not found:
        return look.good(kind)
    verdicts: dict[Verdict, str] = {}
    for reason in found:
        verdicts.setdefault("overridden" if reason.overridden else reason.weight, reason.sentence)
    worst = min(verdicts, key=WORST.index)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return GateCheck(kind=kind, verdict=worst, sentence=verdicts[worst] + more)


class _Look:
    """One look at the facts."""

    def __init__(self, facts: Facts, gates: Gates, now: Time) -> None:
        self.facts, self.gates, self.now = facts, gates, now
        self.until = now + CLOCK_SLACK
        self.looks = {name: at for name, at in facts.looks.items() if name in facts.rpo and at <= self.until}
        self.verifies = told(facts.verifies, self.until)
        self.drills = [
            (job, drill_details(job))
            for job in sorted(facts.drills, key=age, reverse=True)
            if job.outcome in ENDED and job.started_at <= self.until
        ]
        ours = {"", *facts.repositories.values()}  # what a drill of one that is gone found says nothing of this one
        self.drills = [(job, told) for job, told in self.drills if told is None or told.repository in ours]
        self.proof = max(self._proofs(), default=None)
        self.loaded = {
            one.domain
            for _, told in self.drills
            for one in (told.domains if told and told.repository in ours else ())
            if one.whole and one.ok and one.loaded is not None
        }

    def weight(self, kind: ReasonKind) -> Weight:
        return "block" if kind == "snapshot" else cast("Weight", getattr(self.gates.rules, kind))

    def reasons(self, kind: ReasonKind) -> Iterator[GateReason]:
        """What speaks against it, as heavy as the policy wants it."""
        weight = self.weight(kind)
        if weight != "off":
            for subject, sentence, hint, since, light in getattr(self, f"_{kind}")():
                yield GateReason(
                    kind=kind, weight="warn" if light else weight, sentence=sentence, hint=hint, subject=subject,
                    since=since,
                )  # fmt: skip

    def good(self, kind: ReasonKind) -> GateCheck:
        """What to say where nothing speaks against it."""
        if kind == "kit" and self.facts.kit is None:
            return GateCheck(kind=kind, verdict="off", sentence="Nothing is known of a recovery kit.")
        return GateCheck(kind=kind, verdict="ok", sentence=self._well(kind))

    def _well(self, kind: ReasonKind) -> str:
        if kind == "proof" and self.proof:
            return f"{self.proof[1]} went well."
        if kind == "backup":
            return f"All {len(self.facts.rpo)} domains were seen whole within {_words(self.gates.backup_within)}."
        if kind == "drill":
            levels = sorted({details.level for _, details in self.drills if details})
            return f"The newest drills of {' and '.join(levels)} went well." if levels else "No drill has failed."
        if kind == "bucket" and not self.facts.has_bucket:
            return "The target is a folder, which has no rules."
        return WELL[kind]

    def _proofs(self) -> Iterator[tuple[Time, str]]:
        ours = set(self.facts.repositories.values())
        for job, verified in self.verifies:
            if job.outcome == "ok" and verified.proven and verified.repository in ours:
                yield job.started_at, job.id
        for job, drilled in self.drills:
            if job.outcome == "ok" and drilled and drilled.ok and drilled.repository in ours:
                yield job.started_at, job.id

    def _proof(self) -> Iterator["Found"]:
        within = self.gates.proof_within
        hint = f"rw verify --target {self.facts.target}, or rw drill l1"
        if self.proof is None:
            yield "", "No verify and no drill has gone well yet.", hint, None, False
        elif self.now - self.proof[0] > within:
            at, job = self.proof
            yield (
                "",
                f"No verify and no drill has gone well within {_words(within)}: the last was {job}.",
                hint,
                at,
                False,
            )
        for name in self.facts.databases:
            if name in self.looks and name not in self.loaded:
                sentence = f"{name} was never loaded by a drill, so nobody knows whether its dump can be."
                hint = f"rw drill l2 --domain {name} --target {self.facts.target}"
                yield f"load {name}", sentence, hint, None, True

    def _backup(self) -> Iterator["Found"]:
        within = self.gates.backup_within
        for name in self.facts.rpo:
            at = self.looks.get(name)
            if at is None or self.now - at > within:
                last = "there is none" if at is None else f"the last is of {moment(at)}"
                sentence = f"{name} has no complete backup within {_words(within)}: {last}."
                yield name, sentence, f"rw backup --target {self.facts.target} --domain {name}", at, False

    def _drill(self) -> Iterator["Found"]:
        for level, tier in WHERE:
            seen: set[str] = set()
            for newest, (job, details) in enumerate(self._of(level, tier)):
                hint = f"rw drill show {job.id}"
                bad = [one.domain for one in details.domains if not one.ok]
                if newest == 0 and (job.outcome != "ok" or not details.ok) and not bad:
                    yield f"{level} {job.id}", f"The drill {job.id} ({level}) failed.", hint, job.started_at, False
                for name in sorted({*bad} & self.facts.rpo.keys() - seen):
                    sentence = f"{name} did not come back as it was in the drill {job.id} ({level})."
                    yield f"{level} {name} {job.id}", sentence, hint, job.started_at, False
                if newest == 0 and bad and not {*bad} & self.facts.rpo.keys():
                    yield f"{level} {job.id}", f"The drill {job.id} ({level}) failed.", hint, job.started_at, False
                # Of which domain such a failure is, its record does not say: drills of all of them clear it.
                if newest and details.repository and details.failures and not self.facts.rpo.keys() <= seen:
                    yield f"{level} {job.id}", f"The drill {job.id} ({level}) failed.", hint, job.started_at, False
                seen |= {one.domain for one in details.domains}
        yield from self._canary()

    def _canary(self) -> Iterator["Found"]:
        """The newest canary that was tried: a drill without one says nothing of whether drills can fail."""
        tried = ((job, told.canary) for job, told in self.drills if told and told.canary)
        for job, canary in itertools.islice(tried, 1):
            if not canary.ok:
                sentence = f"The canary of the drill {job.id} was not caught, and no drill has caught one since."
                yield f"canary {job.id}", sentence, f"rw drill show {job.id}", job.started_at, False

    def _objective(self) -> Iterator["Found"]:
        for level, tier in WHERE:
            seen: set[str] = set()
            for newest, (job, details) in enumerate(self._of(level, tier)):
                hint = f"rw drill show {job.id}"
                if newest == 0 and details.domains and details.seconds > details.objective:
                    took = f"{_seconds(details.seconds)}, and {_seconds(details.objective)} were promised"
                    yield f"{level} {job.id}", f"The drill {job.id} ({level}) took {took}.", hint, job.started_at, False
                for one in details.domains:
                    if one.domain in self.facts.rpo and one.domain not in seen and not one.met:
                        sentence = (
                            f"{one.domain} missed its objective in the drill {job.id} ({level}): RPO "
                            f"{_seconds(one.actual_rpo)} of {_seconds(one.rpo)}, RTO {_seconds(one.actual_rto)} of "
                            f"{_seconds(one.rto)}."
                        )
                        yield f"{level} {one.domain} {job.id}", sentence, hint, job.started_at, False
                seen |= {one.domain for one in details.domains}

    def _of(self, level: str, tier: str) -> Iterator[tuple[Job, DrillDetails]]:
        """The drills of a level in a tier: what hot gives back well says nothing of cold. One whose record says nothing
        is of every level, so that it is not passed over."""
        for job, details in self.drills:
            if details is None and tier == "hot":
                yield job, DrillDetails(level=level, failures=("Its record cannot be read.",))  # type: ignore[arg-type]
            elif details is not None and (details.level, details.tier) == (level, tier):
                yield job, details

    def _damage(self) -> Iterator["Found"]:
        for tier in TIERS:
            if fault := open_damage(tier, self.facts.repositories.get(tier, ""), self.verifies):
                hint = f"rw repair --target {self.facts.target} --dry-run"
                yield fault.subject, fault.sentence, hint, fault.since, False

    def _bucket(self) -> Iterator["Found"]:
        look, hint = self.facts.bucket, f"rw gate --live --target {self.facts.target}"
        if not self.facts.has_bucket:
            return
        if look is None or look.at > self.until:
            yield "unknown", "Nobody has looked at the bucket's lifecycle rules yet.", hint, None, True
            return
        if not look.known:
            yield "unknown", f"The bucket's lifecycle rules are not known: {look.why}", hint, look.at, True
        elif self.now - look.at > self.gates.proof_within:
            yield "old", "Nobody has looked at the bucket's lifecycle rules for long.", hint, look.at, True
        if look.unsafe:
            sentence = f"Lifecycle rules of the bucket are not safe: {'; '.join(look.unsafe)}."
            yield digest(look.unsafe), sentence, f"rw lifecycle status --target {self.facts.target}", look.at, False

    def _evidence(self) -> Iterator["Found"]:
        hint = f"rw audit verify --target {self.facts.target}"
        if self.facts.chain_fault:
            yield digest([self.facts.chain_fault]), self.facts.chain_fault, hint, None, False
        since = self.facts.waiting_since
        if since is not None and since <= self.until and self.now - since > WAITS_LONG:
            sentence = f"Evidence has waited since {moment(since)} to be written to the target."
            yield "waiting", sentence, hint, since, False

    def _clock(self) -> Iterator["Found"]:
        # Against the store's own clock where it was asked; else only what cannot be: records of the future.
        fault = clock_fault(self.now, self.facts.store_time or self.now, self.facts.newest_record)
        if fault:
            yield "", f"{fault[0].upper()}{fault[1:]}.", "timedatectl, chronyc tracking", None, False

    def _raw(self) -> Iterator["Found"]:
        for pin in self.facts.pins:
            if pin.kind in RAW_PINS and pin.holds(self.now):
                yield (
                    pin.id,
                    f"Raw data changed or vanished: {pin.reason}",
                    f"rw unpin {pin.id}   (once you have looked)",
                    pin.created_at,
                    False,
                )

    def _kit(self) -> Iterator["Found"]:
        if self.facts.kit:
            yield digest([self.facts.kit]), self.facts.kit, "rw kit export", None, False

    def _snapshot(self) -> Iterator["Found"]:
        asked = self.facts.snapshot
        if asked is None:
            return
        hint = f"rw manifest show {asked.job}"
        for name in asked.missing:
            yield f"{asked.job} {name}", f"{asked.job} has no complete snapshot of {name}.", hint, None, False
        for name in asked.unproven:
            sentence = f"What {asked.job} holds of {name} did not come back from the target as it is."
            yield f"{asked.job} {name}", sentence, f"rw verify --target {self.facts.target}", None, False


Found = tuple[str, str, str, Time | None, bool]
"""Subject, sentence, hint, since when, and whether it only warns whatever the policy says."""
WELL: Mapping[ReasonKind, str] = {
    "proof": "It was proven.",
    "backup": "All domains were seen whole.",
    "objective": "No newest drill has missed an objective.",
    "damage": "No damage is open.",
    "bucket": "No lifecycle rule endangers what lies there.",
    "evidence": "Nothing speaks against the chain of evidence.",
    "clock": "No record is of the future.",
    "raw": "No raw object is known to have changed.",
    "kit": "The recovery kit opens what there is.",
    "snapshot": "The snapshot to go back to is whole.",
    "drill": "No drill has failed.",
}


def _words(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.0f} s"
