"""The lifecycle rules of a bucket: what changes, what is wrong, and what lies where."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import (
    Astray,
    LifecyclePlan,
    LifecycleReport,
    LifecycleStatus,
    LockStatus,
    RuleProblem,
)
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

DIFF = {"+": GOOD, "-": BAD, "@": FAINT}
USAGE = (
    Column("Tier", style=NAME),
    Column("Kind", least=10),
    Column("Storage class", least=12),
    Column("Objects", right=True),
    Column("Size", right=True),
)


def lifecycle_plan(console: "Console", plan: LifecyclePlan) -> None:
    """The diff, then what stands in the way."""
    with Page(console) as page:
        _notes(page, plan.notes)
        if not plan.seen:
            return
        for line in plan.diff.splitlines():
            page.lines.append([(fmt.clean(line), DIFF.get(line[:1], ""))])
        others = sum(not change.ours for change in plan.changes)
        kept = f"{fmt.plural(others, 'rule')} of others {'stays' if others == 1 else 'stay'} as before."
        if plan.changed:
            todo = ", ".join(f"{change.action} {change.rule}" for change in plan.changes if change.action != "keep")
            page.say((f"{todo}. ", STRONG), kept if others else "")
        else:
            page.say(page.mark("ok", "Nothing to change."), f" {kept}" if others else "")
        _problems(page, plan.problems)
        for why in plan.refused:
            page.say(page.mark("failed", "would be refused"), f": {why}")
        page.say(("digest of the rules seen: ", FAINT), plan.seen if page.plain else plan.seen[:12])


def lifecycle_report(console: "Console", report: LifecycleReport) -> None:
    """Whether the rules were put, and whether they are what was put."""
    with Page(console) as page:
        if not report.applied:
            page.say(page.mark("ok", "Nothing was written"), ": the rules are as they should be.")
        elif report.differs:
            paragraphs: list[Sequence[Part]] = [
                ["These rules, read back, are not those that were written:"],
                *[[(rule or "(without an id)", STRONG)] for rule in report.differs],
                ["Somebody else may have written at the same moment, or the store does not keep what it is given."],
                [("rw lifecycle status", STRONG), " shows what is there now."],
            ]
            page.box("The bucket has other rules", paragraphs, BAD)
        else:
            page.say(page.mark("ok", "The rules were written"), " and read back as written.")


def lifecycle_status(console: "Console", status: LifecycleStatus, *, zone: tzinfo | None = None) -> None:
    """Rules, problems, versions, lock, and what lies in which class."""
    with Page(console, zone) as page:
        if status.provider == "local":
            _notes(page, status.notes)
            return
        page.say(("Lifecycle of ", STRONG), (status.target, STRONG), f" ({status.provider})")
        _row(page, "rules", *_effect(page, status))
        for change in status.rules:
            if change.ours and change.action != "keep":
                page.say(f"{change.rule}: {TODO[change.action]}", indent=13)
        keeps = {"enabled": "old ones are kept", "suspended": "suspended: new ones are not kept", "off": "not kept"}
        _row(page, "versions", keeps.get(status.versioning, status.versioning))
        _row(page, "lock", *_lock(page, status.lock))
        _problems(page, status.problems)
        if status.usage:
            page.blank()
            rows: list[list[Part]] = [
                [use.tier or "-", use.kind, use.storage_class, fmt.count(use.objects), fmt.size(use.bytes)]
                for use in status.usage
            ]
            page.table(USAGE, rows)
        if status.unlabelled:
            page.say(fmt.plural(status.unlabelled, "data pack"), " of cold without label: no rule moves them.")
        if status.overdue:
            title = (
                f"{fmt.plural(status.overdue, 'pack')} ({fmt.size(status.overdue_bytes)}) overdue for a colder class"
            )
            _sample(page, title, status.overdue_sample, status.overdue)
        if status.astray:
            title = f"{fmt.plural(status.astray, 'object')} in a class that cannot be read at once"
            _sample(page, title, status.astray_sample, status.astray)
        _notes(page, status.notes)


TODO = {"add": "not there", "change": "not as the policy wants it", "remove": "not wanted any more"}


def _effect(page: Page, status: LifecycleStatus) -> Iterable[Part]:
    others = sum(not change.ours for change in status.rules)
    yield page.mark("ok", "in effect") if status.in_effect else page.mark("warn", "not in effect: rw lifecycle apply")
    yield f", {fmt.plural(others, 'rule')} of others" if others else ""


def _lock(page: Page, lock: LockStatus | None) -> Iterable[Part]:
    if lock is None:
        yield "none"
        return
    yield f"{lock.mode}, {fmt.plural(lock.days, 'day')}: "
    if lock.whole_until is None:
        yield ("the oldest objects are not locked", POOR)
    else:
        yield f"nothing can be destroyed before {page.moment(lock.whole_until)}"
    if lock.newest_until is not None and lock.newest_until != lock.whole_until:
        yield f", the newest not before {page.moment(lock.newest_until)}"


def _row(page: Page, name: str, *parts: Part) -> None:
    page.say((f"{name:<11}", FAINT), *parts, indent=2, hang=11)


def _problems(page: Page, problems: Sequence[RuleProblem]) -> None:
    for problem in problems:
        bad = problem.severity == "unsafe"
        page.say(
            page.mark("failed" if bad else "warn", "unsafe" if bad else "warning"),
            f": rule {problem.rule} ({problem.selects}) {problem.effect}.",
        )
        page.say(("what to do: ", STRONG), problem.advice, indent=2)


def _sample(page: Page, title: str, sample: Sequence[Astray], total: int) -> None:
    items = [f"{one.key}: {one.storage_class}, wanted {one.wanted}" for one in sample]
    shown = items if page.plain else items[:5]
    page.listing([page.mark("failed", title), ":"], shown, more=total - len(shown))


def _notes(page: Page, notes: Iterable[str]) -> None:
    for note in notes:
        page.say(("note: ", STRONG), note)
