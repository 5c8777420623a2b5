"""The rules that a bucket should have, and the way there from those that it has.

Ours are told by their ids, which are made of the namespace: two of them, `resticwrap-{namespace}-cold-data` and
`-tidy`. All others are somebody else's and go back as they came.
"""

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Literal
from xml.sax.saxutils import escape

from resticwrap.model.bucket import TIER_TAG, Versioning
from resticwrap.model.policy import INFREQUENT, OSS_CLASSES, S3_CLASSES, LifecycleRule, Transitions
from resticwrap.model.reports import LifecyclePlan, RuleChange
from resticwrap.planning.lifecycle.judge import judge
from resticwrap.planning.lifecycle.rules import Layout, Provider, Rule, Seen, digest, pretty, read, write

MOVE, TIDY = "cold-data", "tidy"
"""No name of ours may be the end of another after a hyphen, or namespaces could be mixed up."""
EXPIRE, NONCURRENT, ABORT = "Expiration", "NoncurrentVersionExpiration", "AbortMultipartUpload"
MOST_RULES, LONGEST_ID = 1000, 255
WHY = {
    "add": "the policy wants it",
    "change": "the policy wants it otherwise",
    "keep": "as the policy wants it",
    "remove": "the policy does not want it any more",
}


def own_ids(layout: Layout) -> dict[str, str]:
    """The ids of our rules for this namespace, by what they are for."""
    name = layout.namespace
    if len(name) > 100 or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        short = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:100]
        name = f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return {kind: f"resticwrap-{name}-{kind}" for kind in (MOVE, TIDY)}


def wanted(
    layout: Layout,
    transitions: Transitions,
    rule: LifecycleRule,
    versioning: Versioning,
    left: Collection[str] = (),
) -> tuple[Rule, ...]:
    """The rules that a target's bucket should have, safe ones only.

    Labelled packs of cold are moved; and in one rule, since OSS takes two of the same prefix for an overlap, unfinished
    uploads are ended and, where the bucket keeps or kept versions, old ones and idle delete markers go. Actions that
    are `left` to rules of others (`left_to`) are in none of ours.
    """
    ids = own_ids(layout)
    steps = [(step.days, step.storage_class) for step in getattr(transitions, layout.provider)]
    actions = [ABORT] if versioning == "off" else [EXPIRE, NONCURRENT, ABORT]
    texts = [_move_xml(ids[MOVE], layout, steps)] if steps else []
    if actions := [action for action in actions if action not in left]:
        texts.append(_tidy_xml(ids[TIDY], layout, rule, actions))
    document = "".join(["<LifecycleConfiguration>", *texts, "</LifecycleConfiguration>"])
    return read(document.encode(), layout.provider).rules


def left_to(seen: Seen, layout: Layout) -> dict[str, str]:
    """Actions that a rule of somebody else does already for all that is ours, with its id: OSS would let none of ours
    overlap it. Nothing on S3, which has no such rule."""
    own = set(own_ids(layout).values())
    found: dict[str, str] = {}
    for rule in seen.rules if layout.provider == "oss" else ():
        bounded = rule.tags or rule.excepts or rule.unknown or (rule.larger_than, rule.smaller_than) != (None, None)
        if rule.id not in own and rule.enabled and not bounded and f"{layout.namespace}/".startswith(rule.prefix):
            found |= dict.fromkeys(_kinds(rule), rule.id)
    return found


def _move_xml(identifier: str, layout: Layout, steps: Sequence[tuple[int, str]]) -> str:
    name, value = TIER_TAG
    prefix = _element("Prefix", layout.packs)
    tag = f"<Tag>{_element('Key', name)}{_element('Value', value)}</Tag>"
    moves = "".join(
        f"<Transition>{_element('Days', days)}{_element('StorageClass', to)}</Transition>" for days, to in steps
    )
    status = _element("Status", "Enabled")
    if layout.provider == "s3":
        return f"<Rule>{_element('ID', identifier)}<Filter><And>{prefix}{tag}</And></Filter>{status}{moves}</Rule>"
    return f"<Rule>{_element('ID', identifier)}{prefix}{tag}{status}{moves}</Rule>"


def _tidy_xml(identifier: str, layout: Layout, rule: LifecycleRule, actions: Collection[str]) -> str:
    prefix = _element("Prefix", f"{layout.namespace}/")
    if layout.provider == "s3":
        prefix = f"<Filter>{prefix}</Filter>"
        days = _element("DaysAfterInitiation", rule.abort_uploads)
        abort = f"<AbortIncompleteMultipartUpload>{days}</AbortIncompleteMultipartUpload>"
    else:
        abort = f"<AbortMultipartUpload>{_element('Days', rule.abort_uploads)}</AbortMultipartUpload>"
    texts = {
        EXPIRE: f"<Expiration>{_element('ExpiredObjectDeleteMarker', 'true')}</Expiration>",
        NONCURRENT: f"<{NONCURRENT}>{_element('NoncurrentDays', rule.noncurrent)}</{NONCURRENT}>",
        ABORT: abort,
    }
    does = "".join(texts[action] for action in actions)
    return f"<Rule>{_element('ID', identifier)}{prefix}{_element('Status', 'Enabled')}{does}</Rule>"


def _element(name: str, text: object) -> str:
    return f"<{name}>{escape(str(text))}</{name}>"


def make_plan(
    target: str, seen: Seen, rules: Sequence[Rule], layout: Layout, promised: int | None = None
) -> LifecyclePlan:
    """How the bucket comes from the rules that it has to `rules` of ours: none takes ours away. All others stay, in
    their order. Where ours are there as they should be, nothing changes, and a second plan is empty. `promised` as in
    `judge`."""
    own = set(own_ids(layout).values())
    want = {rule.id: rule for rule in rules}
    there = {rule.id: rule for rule in seen.rules if rule.id in own}
    changes: list[RuleChange] = []
    result: list[Rule] = []
    for rule in seen.rules:
        if rule.id not in own:
            result.append(rule)
            changes.append(_change(rule, rule, "keep", ours=False))
        elif (to := want.get(rule.id)) is None:
            changes.append(_change(rule, None, "remove", ours=True))
        else:
            result.append(rule if rule.same(to) else to)
            changes.append(_change(rule, result[-1], "keep" if rule.same(to) else "change", ours=True))
    for rule in rules:
        if rule.id not in there:
            result.append(rule)
            changes.append(_change(None, rule, "add", ours=True))
    changed = any(change.action != "keep" for change in changes)
    return LifecyclePlan(
        target=target,
        provider=layout.provider,
        changes=tuple(changes),
        diff="".join(_diff(change) for change in changes),
        seen=digest(seen),
        document=write(result, seen.namespace),
        problems=judge(result, layout, promised),
        refused=tuple(refusals(result, seen, own, layout.provider)) if changed else (),
    )


def same_rules(one: Seen, other: Seen) -> tuple[str, ...]:
    """The ids of rules that are not the same in both, whatever their order."""
    left, right = list(one.rules), list(other.rules)
    for rule in one.rules:
        if (twin := next((found for found in right if rule.same(found)), None)) is not None:
            left.remove(rule)
            right.remove(twin)
    return tuple(sorted({rule.id for rule in [*left, *right]}))


def _change(
    before: Rule | None, after: Rule | None, action: Literal["add", "change", "remove", "keep"], *, ours: bool
) -> RuleChange:
    rule = before or after
    assert rule is not None
    return RuleChange(
        rule=rule.id,
        action=action,
        ours=ours,
        why=WHY[action] if ours else "somebody else's",
        before=pretty(before.raw) if before else "",
        after=pretty(after.raw) if after else "",
    )


def _diff(change: RuleChange) -> str:
    """As `diff -u` shows it; nothing for a rule that stays."""
    if change.action == "keep":
        return ""
    lines = difflib.unified_diff(
        change.before.splitlines(),
        change.after.splitlines(),
        change.rule if change.before else "/dev/null",
        change.rule if change.after else "/dev/null",
        lineterm="",
        n=30,
    )
    return "".join(f"{line}\n" for line in lines)


def refusals(rules: Sequence[Rule], seen: Seen, own: set[str], provider: Provider) -> Iterable[str]:
    """Why these rules are not put: because something of others would get lost, or the provider would not take them."""
    if seen.unknown:
        yield f"Beside the rules the bucket has {', '.join(seen.unknown)}, which rw does not know and would not keep."
    if provider == "s3":
        for rule in seen.rules:
            if rule.unknown:
                names = ", ".join(rule.unknown)
                yield f"Rule {rule.id} has {names}, which rw does not know; S3's client would drop it."
    if len(rules) > MOST_RULES:
        yield f"A bucket has at most {MOST_RULES} rules, and this would be {len(rules)}."
    ids = [rule.id for rule in rules if rule.id]
    for twice in sorted({found for found in ids if ids.count(found) > 1}):
        yield f"Two rules have the id {twice}."
    for rule in rules:
        if rule.id not in own:
            continue
        if len(rule.id.encode()) > LONGEST_ID:
            yield f"The id {rule.id} has more than {LONGEST_ID} bytes: take a shorter namespace."
        yield from _order(rule, provider)
        if provider == "oss":
            for other in rules:
                if other.id not in own and (why := _overlap(rule, other)):
                    yield f"OSS would refuse {rule.id} beside rule {other.id}: {why}."


def _order(rule: Rule, provider: Provider) -> Iterable[str]:
    """What the providers want of the transitions of one rule, which emulators do not look at."""
    classes: Sequence[str] = S3_CLASSES if provider == "s3" else OSS_CLASSES
    for step in rule.transitions:
        if step.storage_class not in classes[1:]:
            yield f"Rule {rule.id}: {provider} has no class {step.storage_class} to move to."
            return
        if step.storage_class in INFREQUENT and (step.days or 0) < 30:
            yield f"Rule {rule.id}: {step.storage_class} takes objects after 30 days at the earliest."
    for one, other in pairwise(rule.transitions):
        if classes.index(one.storage_class) >= classes.index(other.storage_class) or one.days == other.days:
            yield f"Rule {rule.id}: {other.storage_class} after {one.storage_class} is no way down, or takes no time."
        if one.storage_class in INFREQUENT and (other.days or 0) < (one.days or 0) + 30:
            yield f"Rule {rule.id}: an object stays in {one.storage_class} for 30 days at least."


def _overlap(own: Rule, other: Rule) -> str:
    """Why OSS takes two rules for contradictory, empty where it does not (EC 0014-00000079 to 85)."""
    if own.tags != other.tags or not (own.prefix.startswith(other.prefix) or other.prefix.startswith(own.prefix)):
        return ""
    if own.prefix == other.prefix:
        return f"both are for the prefix {own.prefix}"
    where = f"{other.prefix or 'every object'} overlaps {own.prefix}"
    classes = {step.storage_class for step in own.transitions} & {step.storage_class for step in other.transitions}
    if classes:
        return f"{where}, and both move to {', '.join(sorted(classes))}"
    both = {_kinds(own), _kinds(other)}
    shared = sorted(frozenset.intersection(*both))
    if shared:
        return f"{where}, and both have {', '.join(shared)}"
    return f"{where}, and only one of them goes by dates" if _dated(own) != _dated(other) else ""


def _kinds(rule: Rule) -> frozenset[str]:
    has = {
        EXPIRE: rule.expiry is not None,
        NONCURRENT: rule.noncurrent_days is not None,
        ABORT: rule.abort_days is not None or rule.abort_date is not None,
    }
    return frozenset(name for name, there in has.items() if there)


def _dated(rule: Rule) -> bool:
    steps = [*rule.transitions, *rule.noncurrent_transitions]
    return any(step.date for step in steps) or bool(rule.abort_date) or bool(rule.expiry and rule.expiry.date)
