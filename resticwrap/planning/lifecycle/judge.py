"""The bucket doctor: which rules of a bucket would delete or freeze what a repository needs.

It is on the safe side. A rule reaches a repository when its prefix and one of the repository's lie within each other:
below these prefixes every object is ours. What rw cannot read in such a rule makes it unsafe: it cannot be judged.

- Tags: of our objects only labelled packs of cold bear one, and that is ours (`tier=cold`). A rule by it moves data
  packs and nothing else, so it may move them anywhere, but never let them expire. By any other tag: expiry is unsafe,
  since anybody may tag anything; a move to an archive is a warning.
- Sizes bound nothing that is ours, from a lock of 150 bytes to a pack that holds the tree of a huge folder, unless no
  object at all or none of less than 5 GiB fits.
- What OSS rules leave out (`Not`) counts where it is a whole area, whatever the tag.
- Noncurrent versions may expire, delete markers and unfinished uploads may go: none of it is alive. But a warning
  where old versions go earlier than the policy has it, or where they must be thawed: recovery needs them.
- What cannot be read in a rule may undo any of its bounds but the prefix, so none of these counts in such a rule.
"""

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote

import msgspec

from resticwrap.model.bucket import TIER_TAG
from resticwrap.model.policy import ARCHIVES, OSS_CLASSES, S3_CLASSES
from resticwrap.model.reports import RuleProblem
from resticwrap.planning.lifecycle.rules import Layout, Rule, Step

BEYOND = 5 << 30
"""Nothing of ours is so large: restic's format ends a blob at 4 GiB, and one PUT takes 5."""
KNOWN = frozenset(S3_CLASSES) | frozenset(OSS_CLASSES) | {"REDUCED_REDUNDANCY"}
ASK = "INTELLIGENT_TIERING"
Tell = Callable[[str, str, str], None]


def judge(rules: Iterable[Rule], layout: Layout, promised: int | None = None) -> tuple[RuleProblem, ...]:
    """Everything wrong with the rules for these repositories, in the order of the rules. `promised`: for how many days
    old versions must stay; None where the bucket keeps none."""
    return tuple(problem for rule in rules for problem in _judge(rule, layout, promised))


def unsafe(problems: Iterable[RuleProblem]) -> tuple[RuleProblem, ...]:
    """Those over which nothing goes on."""
    return tuple(problem for problem in problems if problem.severity == "unsafe")


def _judge(rule: Rule, layout: Layout, promised: int | None) -> list[RuleProblem]:
    areas = reached(rule, layout)
    if not rule.enabled:
        return []
    if not areas:
        return _judge_otherwise(rule, layout, promised)
    found: list[RuleProblem] = []

    def tell(severity: str, effect: str, advice: str) -> None:
        found.append(
            RuleProblem(
                rule=rule.id or "(without an id)",
                severity="unsafe" if severity == "unsafe" else "warn",
                selects=selects(rule),
                effect=effect,
                advice=advice,
            )
        )

    where = _and(areas)
    away = f"Give the rule a prefix that leaves out {where}, or disable it."
    if rule.unknown:
        names = ", ".join(rule.unknown)
        tell("unsafe", f"cannot be judged: rw does not know what {names} means, and it reaches {where}", away)
    if rule.expiry is not None and not (rule.expiry.marker and rule.expiry.days is None and rule.expiry.date is None):
        tell("unsafe", f"deletes live objects of {where} {_when(rule.expiry.days, rule.expiry.date)}", away)
    for step in rule.transitions:
        _judge_step(rule, step, where, away, tell)
    _judge_old(rule, where, promised, tell)
    return found


def _judge_old(rule: Rule, where: str, promised: int | None, tell: Tell) -> None:
    """What becomes of old versions, by which rw recover-deleted brings a repository back."""
    for step in rule.noncurrent_transitions:
        if step.storage_class in ARCHIVES or step.storage_class not in KNOWN:
            effect = f"moves old versions of {where} to {step.storage_class or 'a class without a name'}"
            tell("warn", effect, "rw recover-deleted would have to thaw them first.")
    days, newest = rule.noncurrent_days, rule.newer_noncurrent
    if days is None and newest is not None:
        days = 0  # as stores have it that take such a rule
    if promised is not None and days is not None and days < promised:
        some = f"all but the newest {newest} " if newest else ""
        effect = f"deletes {some}old versions of {where} after {days} days, before the {promised} days of the policy"
        advice = (
            f"rw recover-deleted finds none after that: give the rule {promised} days, or lower lifecycle.noncurrent."
        )
        tell("warn", effect, advice)


def _judge_otherwise(rule: Rule, layout: Layout, promised: int | None) -> list[RuleProblem]:
    """A prefix that is only not ours as long as it is taken letter by letter, which S3 and OSS both do."""
    for prefix in (rule.prefix.lstrip("/"), unquote(rule.prefix)):
        other = msgspec.structs.replace(rule, prefix=prefix)
        if prefix != rule.prefix and (areas := reached(other, layout)) and _judge(other, layout, promised):
            return [
                RuleProblem(
                    rule=rule.id or "(without an id)",
                    severity="warn",
                    selects=selects(rule),
                    effect=f"is for {_and(areas)} where a store reads its prefix as {prefix or 'every object'}",
                    advice="Write the prefix as the keys of objects begin, without a slash before it and without %.",
                )
            ]
    return []


def _judge_step(rule: Rule, step: Step, where: str, away: str, tell: Tell) -> None:
    if TIER_TAG in rule.tags:
        return
    to, when = step.storage_class, _when(step.days, step.date)
    if to not in KNOWN:
        tell("unsafe", f"cannot be judged: moves objects of {where} to {to or 'a class without a name'}", away)
    elif to in ARCHIVES and rule.tags:
        effect = f"freezes every object of {where} that somebody gives the tag {_tags(rule)}: to {to} {when}"
        tell("warn", effect, f"Give no object of {where} that tag. {away}")
    elif to in ARCHIVES:
        effect = (
            f"moves index, snapshots, keys, config, locks, tree packs or manifests of {where} to {to} {when}, where "
            "they cannot be read at once"
        )
        tell("unsafe", effect, away)
    elif to == ASK:
        effect = f"moves objects of {where} to {to}, which has archive tiers that somebody may switch on"
        tell("warn", effect, "Leave the archive access tiers of the bucket off.")


def reached(rule: Rule, layout: Layout) -> Sequence[str]:
    """The areas of ours in which the rule may find an object."""
    # With spaces around it a prefix finds nothing of ours, unless the store drops them.
    areas = [area for area in layout.areas if _within(rule.prefix, area) or _within(rule.prefix.strip(), area)]
    if rule.unknown:  # which may stand anywhere, and say that a bound is none
        return areas
    low = -1 if rule.larger_than is None else rule.larger_than
    if low >= BEYOND or (rule.smaller_than is not None and rule.smaller_than <= low + 1):
        return ()
    left_out = tuple(left.prefix for left in rule.excepts if left.prefix and left.tag is None)
    return [area for area in areas if not _narrower(area, rule.prefix).startswith(left_out)]


def _within(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _narrower(one: str, other: str) -> str:
    return one if len(one) > len(other) else other


def selects(rule: Rule) -> str:
    """What the rule is for, in a few words: `prefix logs/, tag a=b, larger than 1000 bytes`."""
    words = [f"prefix {rule.prefix}" if rule.prefix else "every object"]
    words += [f"tag {name}={value}" for name, value in rule.tags]
    if rule.larger_than is not None:
        words.append(f"larger than {rule.larger_than} bytes")
    if rule.smaller_than is not None:
        words.append(f"smaller than {rule.smaller_than} bytes")
    words += [f"except prefix {left.prefix or '(any)'}" + (f" with tag {left.tag[0]}={left.tag[1]}" if left.tag else "")
              for left in rule.excepts]  # fmt: skip
    return ", ".join(words)


def _tags(rule: Rule) -> str:
    return " and ".join(f"{name}={value}" for name, value in rule.tags)


def _when(days: int | None, date: str | None) -> str:
    return f"after {days} days" if days is not None else f"by {date}" if date else "at a time that it does not say"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
