"""Which snapshots a forget removes from both tiers, with a reason for each that is kept and each that goes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

import msgspec

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.aging import Held, Verdict
from resticwrap.model.base import Time
from resticwrap.model.policy import Domain, Keep, Quota, Tiers, tier_of
from resticwrap.model.reports import ForgetPlan
from resticwrap.model.snapshot import TIERS, TierName
from resticwrap.planning import quota as quotas
from resticwrap.planning.retention import BASE_OF, counted, groups, promised

ROOM = "The room comes back with the next prune: rw prune"
Key = tuple[str, str]
"""Tier and current id."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the policy says: of tiers, domains and quotas, and in which zone its days count. `named` are domains that
    somebody asked for by name: of one that the policy has dropped nothing goes without that."""

    tiers: Tiers
    domains: Mapping[str, Domain]
    zone: tzinfo
    quota: Quota | None = None
    named: Collection[str] = ()
    hosts: Collection[str] | None = None
    """The hosts that this policy speaks for; None: for all. Nothing of another one goes, whatever its domain is."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is so. `suspended`: by domain, why nothing of it goes. `unsound`: original ids of which cold has not every
    pack proven, whatever their mark says, and `cold_fault` what is wrong with cold; `unread`: it holds packs that are
    not proven yet. `stored`: bytes by domain and of all (None), where a quota asks; `freed`: by original id, an
    estimate."""

    held: Sequence[Held]
    strangers: int = 0
    suspended: Mapping[str, str] = field(default_factory=dict)
    cold_fault: str = ""
    unread: bool = False
    unsound: frozenset[str] = frozenset()
    stored: Mapping[str | None, int] = field(default_factory=dict)
    freed: Mapping[str, int] = field(default_factory=dict)


def plan(target: str, rules: Rules, facts: Facts, now: Time, tiers: Collection[str] = TIERS) -> ForgetPlan:
    """A verdict for every snapshot of these tiers, oldest first within its domain.

    Never removed: what is pinned, of the future, not known to be complete, or of a suspended domain; the newest proven
    one, the last complete one of a tier and what came after it; what the tier's rule keeps; and from hot what cold
    promises and does not have proven.
    """
    found: list[Verdict] = []
    soft: set[Key] = set()
    for (host, domain), group in groups(facts.held).items():
        one = _Group(host, domain, group, rules, facts, now)
        found += one.verdicts()
        soft |= one.soft
    needed = _needed(found, facts.held)
    gone, warnings = _over_quota(found, soft - needed.keys(), rules, facts)
    if facts.cold_fault:
        warnings.insert(0, facts.cold_fault)
    if gone:
        found = [_without(one, gone.get((one.tier, one.id))) for one in found]
        needed = _needed(found, facts.held)
    found = [_with_log(one, needed.get((one.tier, one.id))) for one in found]
    return ForgetPlan(
        target=target,
        at=now,
        tiers=tuple(tier for tier in TIERS if tier in tiers),
        verdicts=tuple(one for one in found if one.tier in tiers),
        suspended={name: why for name, why in facts.suspended.items() if any(one.domain == name for one in facts.held)},
        strangers=facts.strangers,
        warnings=tuple(warnings),
    )


def _needed(found: Sequence[Verdict], held: Sequence[Held]) -> dict[Key, str]:
    """By tier and id of each base backup, whichever machine made it, the log that is kept there and needs it. Where a
    tier has a log and not its base, the base is needed wherever it is."""
    bases = {(one.domain, one.original): one for one in held if not one.base}
    logs = {(tier, _id(one, tier)): one for one in held if one.base for tier in TIERS if _id(one, tier)}
    needed: dict[Key, str] = {}
    for verdict in found:
        log = logs.get((verdict.tier, verdict.id))
        base = bases.get((log.domain, log.base)) if log else None
        if not verdict.keep or log is None or base is None:
            continue
        places = [verdict.tier] if _id(base, verdict.tier) else [tier for tier in TIERS if _id(base, tier)]
        for tier in places:
            needed.setdefault((tier, _id(base, tier)), log.original)
    return needed


def _with_log(one: Verdict, log: str | None) -> Verdict:
    if one.keep or log is None:
        return one
    return msgspec.structs.replace(one, keep=True, reasons=(f"{BASE_OF} {log[:8]}",))


def survivors(held: Sequence[Held], verdicts: Sequence[Verdict]) -> list[Held]:
    """What is left once all that does not stay has gone."""
    going = {(one.tier, one.id) for one in verdicts if not one.keep}
    left = []
    for one in held:
        hot = one.hot if ("hot", one.hot) not in going else None
        cold = one.cold if ("cold", one.cold) not in going else None
        twins = tuple(twin for twin in one.twins if twin not in going)
        if hot or cold:
            left.append(msgspec.structs.replace(one, hot=hot, cold=cold, marked=one.marked and bool(cold), twins=twins))
    return left


class _Group:
    """The snapshots of one domain and host."""

    def __init__(self, host: str, domain: str, held: Sequence[Held], rules: Rules, facts: Facts, now: Time) -> None:
        self.domain, self.held, self.facts, self.now, self.zone = domain, held, facts, now, rules.zone
        policy = rules.domains.get(domain)
        self.foreign = host if rules.hosts is not None and host not in rules.hosts else ""
        self.unknown = policy is None and domain not in rules.named
        self.rule: dict[TierName, tuple[int, Keep]] = {tier: tier_of(rules.tiers, policy, tier) for tier in TIERS}
        self.limited = rules.quota is not None or any(of.quota for of in rules.domains.values())
        self.soft: set[Key] = set()
        """What only a rule keeps that thins out: a quota may take it."""
        relied = counted(held, now)
        self.proven = next((one.original for one in reversed(relied) if one.proven_at is not None), None)
        self.of = {one.original: one for one in held}
        self.log = _log_ends(relied)
        self.cold_promise = self._promised("cold", held)
        # What stands for a day where what cold promises of it cannot be relied on: it does not leave hot either.
        self.reach = self._promised("cold", [one for one in held if one.hot or self._proven(one)])
        # What stands in cold for a day until a better copy of it is proven too.
        self.cold_stands = self._promised("cold", [one for one in held if self._proven(one)])

    def _promised(self, tier: TierName, held: Sequence[Held], keep: Keep | None = None) -> dict[str, list[str]]:
        days, rule = self.rule[tier]
        return promised(held, days, keep or rule, self.zone, self.now)

    def _proven(self, one: Held) -> bool:
        """Whether cold has it, marked and with every pack proven; of a log also its base."""
        sound = one.marked and one.original not in self.facts.unsound
        base = self.of.get(one.base)
        return sound and (not one.base or (base is not None and self._proven(base)))

    def verdicts(self) -> Iterator[Verdict]:
        for tier in TIERS:
            here = [one for one in self.held if _id(one, tier)]
            relied = counted(here, self.now)
            last = relied[-1] if relied else None
            promise = self._promised("hot", here) if tier == "hot" else {**self.cold_stands, **self.cold_promise}
            kept, soft = [], []
            for one in here:
                hard = list(self._protected(one, tier, last))
                if tier == "hot" and one.original in self.cold_promise | self.reach and not self._proven(one):
                    hard.append("not proven in cold yet" if not one.marked else "what cold has of it is not proven now")
                if tier == "cold" and one.original in self.cold_promise and not one.marked:
                    hard.append("its copy is not proven yet: the next rw tier run does that")
                if tier == "cold" and self.facts.unread:
                    hard.append("packs of cold are not proven yet: rw tier run")
                wished = promise.get(one.original, ())
                if hard or wished:
                    kept.append(one)
                    if not hard and self.limited:
                        soft.append(one)
                    reasons = (*hard, *wished)
                else:
                    reasons = (self._why_not(one, tier),)
                keep = bool(hard or wished)
                yield self._verdict(one, tier, _id(one, tier), keep=keep, reasons=reasons)
                yield from self._twins(one, tier, keep, reasons)
            if soft:
                # What stands for a day must be proven where only the proven counts.
                stand = [one for one in kept if tier == "hot" or self._proven(one)]
                days = self._promised(tier, stand, quotas.day_promise(self.rule[tier][1]))
                self.soft |= {(tier, _id(one, tier)) for one in soft if one.original not in days}

    def _protected(self, one: Held, tier: TierName, last: Held | None) -> Iterator[str]:
        """Every reason but a rule of the policy, for which one may not be removed from a tier."""
        yield from one.pins
        if self.foreign:
            yield f"it is host {self.foreign}'s, whose policies are its own"
        elif self.unknown:
            yield f"its domain is not in the policy: rw forget --domain {self.domain}"
        if self.domain in self.facts.suspended:
            yield f"nothing of the domain goes: {self.facts.suspended[self.domain]}"
        if one.time > self.now + CLOCK_SLACK:
            yield "dated in the future"
            return
        if one.complete is None:
            yield "not known to be complete: rw catalog rebuild"
            return
        if one.original == self.proven:
            yield "the newest proven one of its domain"
        if one.original in self.log:
            yield self.log[one.original]
        if last is None:
            yield f"{tier} has no complete one yet"
        elif one.original == last.original:
            yield f"the last complete one in {tier}"
        elif (one.time, one.original) > (last.time, last.original):
            yield f"newer than the last complete one in {tier}"

    def _why_not(self, one: Held, tier: TierName) -> str:
        if one.complete is False:
            return "partial, and a complete one followed"
        if tier == "hot" and one.original in self.cold_promise:
            return "proven in cold, and the rule of hot does not keep it"
        days, _ = self.rule[tier]
        return f"the rule of {tier} ({days} days) does not keep it"

    def _twins(self, one: Held, tier: TierName, keep: bool, reasons: tuple[str, ...]) -> Iterator[Verdict]:
        """More of the same in a tier: they go with it, and before it where the copy that stays is a proven one."""
        proven = tier == "cold" and self._proven(one)
        spare = keep and proven and not one.pins and self.domain not in self.facts.suspended
        for where, twin in one.twins:
            if where == tier:
                why = ("the same as the proven copy beside it",) if spare else reasons
                yield self._verdict(one, tier, twin, keep=keep and not spare, reasons=why)

    def _verdict(self, one: Held, tier: TierName, id: str, *, keep: bool, reasons: tuple[str, ...]) -> Verdict:
        return Verdict(
            tier=tier, domain=self.domain, original=one.original, id=id, time=one.time, keep=keep, reasons=reasons
        )


def _log_ends(relied: Sequence[Held]) -> dict[str, str]:
    """What a log goes on from, by original id with the reason; `relied` are those that count, oldest first. A job may
    be adding to it at this moment. And the newest log of a base that is pinned: without it the base is one instant."""
    logs = [one for one in relied if one.base]
    if not logs:
        return {}
    bases = [one for one in relied if not one.base]
    found = {logs[-1].original: "the newest log"}
    pinned = {one.original for one in bases if one.pins}
    for one in logs:
        if one.base in pinned:
            found[next(log.original for log in reversed(logs) if log.base == one.base)] = "the log of a pinned base"
    if proven := [one for one in bases if one.proven_at is not None]:
        found[proven[-1].original] = "the newest proven base: the log goes on from it"
    if bases:
        found[bases[-1].original] = "the newest base: the log may go on from it"
    return found


def _id(one: Held, tier: TierName) -> str:
    return (one.hot if tier == "hot" else one.cold) or ""


def _over_quota(
    found: Sequence[Verdict], soft: Collection[Key], rules: Rules, facts: Facts
) -> tuple[dict[Key, str], list[str]]:
    """What a quota takes besides, by tier and id, and what it cannot take enough for."""
    limits: dict[str | None, Quota] = {
        name: domain.quota for name, domain in rules.domains.items() if domain.quota is not None
    }
    if rules.quota is not None:
        limits[None] = rules.quota
    if not limits:
        return {}, []
    kept = [one for one in found if one.keep]
    removed = [one for one in found if not one.keep]
    counts: dict[str | None, int] = {None: len(kept)}
    stored = dict(facts.stored)
    for one in kept:
        counts[one.domain] = counts.get(one.domain, 0) + 1
    for one in _going(removed, kept):
        for name in (None, one.domain):
            if name in stored:
                stored[name] -= facts.freed.get(one.original, 0)
    candidates = [
        quotas.Candidate(
            key=(one.tier, one.id),
            domain=one.domain,
            order=(one.time.timestamp(), one.id),
            freed=facts.freed.get(one.original, 0),
        )
        for one in kept
        if (one.tier, one.id) in soft
    ]
    bounds = [
        quotas.Bound(domain=name, quota=quota, snapshots=counts.get(name, 0), stored=stored.get(name))
        for name, quota in limits.items()
    ]

    def newest(number: int) -> Collection[Key]:
        by_domain: dict[tuple[str, str], list[Verdict]] = {}
        for one in kept:
            by_domain.setdefault((one.domain, one.tier), []).append(one)
        return {
            (one.tier, one.id)
            for of_domain in by_domain.values()
            for one in sorted(of_domain, key=lambda one: (one.time, one.id))[-number:]
        }

    gone, warnings = quotas.over(bounds, candidates, newest)
    if any("bytes" in why for why in gone.values()):
        warnings.append(ROOM)
    return gone, warnings


def _going(removed: Sequence[Verdict], kept: Sequence[Verdict]) -> Iterator[Verdict]:
    """Of each snapshot that goes from a tier altogether, one: bytes are counted in each tier."""
    seen = {(one.tier, one.original) for one in kept}
    for one in removed:
        if (one.tier, one.original) not in seen:
            seen.add((one.tier, one.original))
            yield one


def _without(one: Verdict, why: str | None) -> Verdict:
    if why is None:
        return one
    return msgspec.structs.replace(one, keep=False, reasons=(why, *(f"gives way: {reason}" for reason in one.reasons)))
