"""`rw gate`: may this upgrade, migration or prune go on? Out of records alone, so that it answers at once.

A decision that differs from the last one that was noted becomes evidence, and so does every override.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.assurance import GateRules
from resticwrap.model.base import Time
from resticwrap.model.evidence import Event, EvidenceKind
from resticwrap.model.gate import GateReason, GateReport, Override
from resticwrap.model.sources import DATABASES
from resticwrap.planning import gate as planning
from resticwrap.planning.opendamage import damages_of
from resticwrap.ports import Catalog
from resticwrap.services import audit, kit, lifecycle
from resticwrap.services.context import Context, Records

VERIFIES_LOOKED_AT = 100
DRILLS_LOOKED_AT = 100
EVENTS_LOOKED_AT = 50
LONGEST = timedelta(days=7)
"""An override is for the matter at hand; what lasts longer belongs into the policy."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """What the target itself says now, instead of what is remembered."""

    store_time: Time | None = None
    notes: tuple[str, ...] = ()


def ask(records: Records, *, live: Live | None = None, snapshot: planning.SnapshotFacts | None = None) -> GateReport:
    """What the gate says now; writes nothing. Raises CatalogUnavailable where nobody can tell."""
    now = records.clock.now()
    catalog = records.known()
    facts = _facts(records, catalog, now, live or Live(), snapshot)
    report = planning.decide(facts, records.settings.gates, now)
    return msgspec.structs.replace(report, notes=live.notes) if live else report


def everything(records: Records) -> tuple[planning.Facts, GateReport, Sequence[GateReason]]:
    """What the gate looks at, what it says, and every reason that there is, whatever its policy wants looked at."""
    now, gates = records.clock.now(), records.settings.gates
    facts = _facts(records, records.known(), now, Live(), None)
    whole = gates.model_copy(update={"rules": GateRules.model_validate(dict.fromkeys(GateRules.model_fields, "block"))})
    return facts, planning.decide(facts, gates, now), planning.decide(facts, whole, now).reasons


def look(context: Context) -> Live:
    """Ask the target: whether it answers, its clock, and the rules of its bucket. Raises TargetUnreachable and kin."""
    context.store.probe()
    note = lifecycle.look(context)
    return Live(store_time=context.store.time(), notes=(note,) if note else ())


def decided(records: Records, *, live: Live | None = None) -> GateReport:
    """The same as `ask`; a decision other than the last one becomes evidence. What cannot be noted is told."""
    report = ask(records, live=live)
    try:
        note(records, report)
    except errors.Failure as error:
        said = f"The decision could not be noted: {error.message}"
        return msgspec.structs.replace(report, notes=(*report.notes, said))
    return report


def note(records: Records, report: GateReport) -> Event | None:
    """Keep a decision for the chain of evidence if it is another one than the last; needs no target."""
    body = body_of(report)
    last = next(iter(_events(records, "gate")), None)
    if last is not None and last.body == body:
        return None
    return audit.note(records, "gate", body)


def body_of(report: GateReport) -> dict[str, Any]:
    """A decision as it becomes evidence: the reasons by their keys, since sentences may name files."""
    return {
        "open": report.open,
        "block": sorted(reason.key for reason in report.reasons if reason.closes),
        "warn": sorted(reason.key for reason in report.reasons if reason.weight == "warn"),
        "overridden": sorted(reason.key for reason in report.reasons if reason.overridden),
    }


def override(records: Records, reason: str, span: timedelta, *, dry_run: bool = False) -> GateReport:
    """Let the reasons that close the gate now pass until then, and no others. That is evidence.

    Raises UsageError without a reason, for a span that is none or too long, and where the gate is open.
    """
    if not reason.strip():
        raise errors.UsageError("An override needs a reason.", hint="rw gate --override --reason 'why' --for 2h")
    if not timedelta() < span <= LONGEST:
        raise errors.UsageError(f"An override lasts at most {LONGEST.days} days.", hint="--for 2h")
    report = ask(records)
    keys = sorted({one.key for one in report.reasons if one.closes})
    if not keys:
        raise errors.UsageError("The gate is open: there is nothing to override.", hint="rw gate --explain")
    until = report.at + span
    body = {"reason": reason.strip(), "until": until.isoformat(), "overrides": keys}
    if dry_run:
        planned = Override(
            id="planned", at=report.at, until=until, by=audit.user(), reason=reason.strip(), keys=tuple(keys)
        )
        return msgspec.structs.replace(report, overrides=(*report.overrides, planned))
    audit.note(records, "override", body)
    return decided(records)


def refuse_damage(context: Context, tiers: Sequence[str]) -> None:
    """For a prune, which must not go on over open damage of these tiers: what it would free may be what repairs it.

    Of all reasons it is the only one that stops a prune, beside what a prune refuses by itself. Raises GateClosed. A
    catalogue that does not answer says nothing here: without it there is no prune at all.
    """
    gates, now = context.settings.gates, context.clock.now()
    if gates.rules.damage != "block":
        return
    with contextlib.suppress(errors.CatalogUnavailable):
        catalog = context.known()
        verifies = catalog.jobs(context.target_name, kind="verify", until=now + CLOCK_SLACK, limit=VERIFIES_LOOKED_AT)
        passed = {key for one in overrides(context, catalog, now) for key in one.keys}
        for fault in damages_of(verifies, _repositories(context), now):
            if fault.tier in tiers and f"damage {fault.subject}" not in passed:
                raise errors.GateClosed(
                    f"The gate is closed, so nothing is pruned. {fault.sentence}",
                    hint=f"rw repair --target {context.target_name}; or rw gate --override --reason 'why'",
                )


def _facts(
    records: Records, catalog: Catalog, now: Time, live: Live, snapshot: planning.SnapshotFacts | None
) -> planning.Facts:
    target, until = records.target_name, now + CLOCK_SLACK
    runs = catalog.last_runs(target, until)
    newest = catalog.jobs(target, limit=1)
    times = [time for job in newest for time in (job.started_at, job.finished_at) if time]
    waiting, fault = _waiting(records)
    return planning.Facts(
        target=target,
        rpo={name: domain.rpo.total_seconds() for name, domain in records.settings.domains.items()},
        looks={name: at for name, (_, at) in runs.items() if at is not None},
        verifies=catalog.jobs(target, kind="verify", until=until, limit=VERIFIES_LOOKED_AT),
        drills=catalog.jobs(target, kind="drill", until=until, limit=DRILLS_LOOKED_AT),
        repositories=_repositories(records),
        has_bucket=records.target.provider != "local",
        bucket=records.state.bucket_look(target),
        chain_fault=fault,
        waiting_since=min((event.at for event in waiting), default=None),
        newest_record=max(times, default=None),
        store_time=live.store_time,
        pins=catalog.pins(target),
        kit=_kit(records),
        overrides=overrides(records, catalog, now),
        snapshot=snapshot,
        databases=[name for name, one in records.settings.domains.items() if isinstance(one.source, DATABASES)],
    )


def _kit(records: Records) -> str:
    """What is wrong with the recovery kit; empty where nothing is."""
    state = kit.state_of(records)
    if state.exported_at is None:
        return "There is no recovery kit of this target."
    return f"The recovery kit is not good any more: {'; '.join(state.stale)}." if state.stale else ""


def _repositories(records: Records) -> Mapping[str, str]:
    return {tier: pin.repository_id for tier, pin in records.state.pins(records.target_name).items()}


def _waiting(records: Records) -> tuple[Sequence[Event], str]:
    """What the chain has not yet, and why it does not hold."""
    try:
        records.state.chain(records.target_name)
    except errors.Failure as error:
        return (), error.message
    audited = records.state.audit_look(records.target_name)
    return records.state.waiting(records.target_name), audited.fault if audited else ""


def overrides(records: Records, catalog: Catalog, now: Time) -> tuple[Override, ...]:
    """The overrides of this installation that hold now, newest first."""
    found = []
    for event in _events(records, "override", catalog):
        one = _override(event)
        if one is not None and one.at <= now + CLOCK_SLACK and one.holds(now) and one.until - one.at <= LONGEST:
            found.append(one)
    return tuple(found)


def _override(event: Event) -> Override | None:
    """None where the event does not say what an override says."""
    try:
        until = datetime.fromisoformat(event.body["until"])
        keys = tuple(str(key) for key in event.body["overrides"])
        reason = str(event.body["reason"])
    except (KeyError, TypeError, ValueError):
        return None
    if until.tzinfo is None:
        return None
    return Override(id=event.id, at=event.at, until=until, by=f"{event.by}@{event.host}", reason=reason, keys=keys)


def _events(records: Records, kind: EvidenceKind, catalog: Catalog | None = None) -> Iterator[Event]:
    """The events of a kind that this installation noted, newest first: those that wait, and those of its chain.

    Another installation's overrides are not ours, though a rebuild brings them into the catalogue.
    """
    try:
        chain = records.state.chain(records.target_name)
        waiting = records.state.waiting(records.target_name)
    except errors.Failure:
        return
    known = (catalog or records.catalog()).evidence(records.target_name, kind=kind, limit=EVENTS_LOOKED_AT)
    own = [one.event for one in known if chain is not None and one.installation == chain.installation]
    there = {event.id for event in own}
    own += [event for event in waiting if event.kind == kind and event.id not in there]
    yield from sorted(own, key=lambda event: (event.at, event.id), reverse=True)
