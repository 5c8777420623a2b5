"""What a drill will restore, how it ended, and what drills measured over time."""

import math
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.dbproof import Loaded
from resticwrap.model.drill import PHASES, DrillDetails, DrilledDomain, Estimate
from resticwrap.model.drills import DrillHistory, DrillPlan, DrillReport, DrillRow, DueLevel, Missed
from resticwrap.report import format as fmt
from resticwrap.report.backup import headline, paths
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

WORDS = {"l1": "objects", "l2": "every domain as of a time", "l3": "the whole system"}
BLOCKS, SIGNS = "▁▂▃▄▅▆▇█", "12345678"
DRAWN = 40
"""How many drills are drawn side by side."""


def drill_plan(console: "Console", plan: DrillPlan, *, zone: tzinfo | None = None) -> None:
    """What a drill with this seed would restore: `--dry-run`."""
    with Page(console, zone) as page:
        page.say(
            ("Dry run: ", STRONG),
            f"drill {plan.level.upper()} of {plan.target} ({plan.tier}), {WORDS[plan.level]}. Nothing is restored.",
        )
        page.say(
            f"seed {plan.seed}, declared failure {page.moment(plan.declared_at)}; "
            f"{fmt.size(plan.size)} into {plan.scratch}, where it may fill {fmt.size(plan.room)}."
        )
        columns = (
            Column("Domain", least=18, cut="middle", style=NAME),
            Column("Pri"),
            Column("Snapshot", rank=1),
            Column(page.time_title("Looked at", [one.source_time for one in plan.domains])),
            Column("Objects", right=True),
            Column("Size", right=True),
        )
        rows: list[list[Part]] = [
            [
                one.domain, one.priority, page.id(one.snapshot), page.time(one.source_time), fmt.count(one.objects),
                fmt.size(one.size),
            ]
            for one in plan.domains
        ]  # fmt: skip
        if rows:
            page.table(columns, rows)
        if plan.objects:
            page.blank()
            _objects(page, [(one.domain, one.path, one.snapshot, one.size, one.reason, None) for one in plan.objects])
        page.say("With the canary." if plan.canary else "Without the canary.")
        for said in plan.failures:
            page.say(page.mark("failed", "failure"), f": {said}")
        _notes(page, plan.notes)


def drill(console: "Console", report: DrillReport, *, zone: tzinfo | None = None) -> None:
    """Verdict, phases, domains against their objectives, sample, canary, what went wrong."""
    told = report.drill
    with Page(console, zone) as page:
        headline(page, f"Drill {told.level.upper()} of {told.tier}", report.job)
        _facts(page, told, report)
        if told.domains:
            page.blank()
            _domains(page, told.domains)
        if told.sample and any(one.reason != "whole" for one in told.sample):
            page.blank()
            rows = [(one.domain, one.path, one.snapshot, one.size, one.reason, one.ok) for one in told.sample]
            _objects(page, rows)
        wrong = tuple(f"{one.domain}: {one.path}: {one.why or 'differs'}" for one in told.sample if not one.ok)
        if wrong:
            paths(page, [("Objects that did not come back as backed up", BAD)], wrong, len(wrong))
        for said in told.failures:
            page.say(page.mark("failed", "failure"), f": {said}")
        for one in told.domains:
            if one.loaded is not None:
                page.say((one.domain, NAME), f": {loaded(one.loaded)}")
            for said in one.failures:
                page.say(page.mark("failed", one.domain), f": {said}")
            if one.manifest is False:
                page.say(page.mark("failed", one.domain), ": the manifest of its job names another tree")
        _estimates(page, told.estimates)
        _notes(page, report.notes)


def _facts(page: Page, told: DrillDetails, report: DrillReport) -> None:
    def row(name: str, *parts: Part) -> None:
        page.say((f"{name:<11}", FAINT), *parts, indent=2, hang=11)

    if told.declared_at is not None:
        row("failure", f"declared at {page.moment(told.declared_at)}, seed {told.seed}")
    within = "within" if told.seconds <= told.objective else "MISSED"
    if told.domains:
        row(
            "took",
            page.mark("ok" if within == "within" else "late", fmt.duration(told.seconds)),
            f", {within} the objective of {fmt.duration(told.objective)}",
        )
    if told.phases:
        row("phases", phases(told.phases))
    if told.canary is not None:
        good = told.canary.ok
        words = "sound, and caught once a byte of it was flipped" if good else told.canary.why
        row("canary", page.mark("ok" if good else "failed", "caught" if good else "NOT CAUGHT"), f": {words}")
    if told.spread:
        row("spread", page.mark("warn", f"{told.spread:.0f} s"), " between the oldest and the newest look")
    if told.digest:
        row("digest", page.id(told.digest))
    if report.missed:
        row("objectives", page.mark("late", "MISSED"), ": " + "; ".join(map(_missed, report.missed)))
    elif told.domains:
        row("objectives", page.mark("ok", "all met"))


def phases(spent: Mapping[str, float]) -> str:
    """The phases that there were, in their order, and how long each took."""
    return ", ".join(f"{name} {fmt.duration(spent[name])}" for name in PHASES if name in spent)


def loaded(one: Loaded) -> str:
    """What was loaded of a database, and how long that took."""
    what = f"{fmt.plural(one.tables, 'table')} with {fmt.plural(one.rows, 'row')} loaded in {fmt.duration(one.load)}"
    if one.databases != 1:
        what = f"{fmt.plural(one.databases, 'database')}, {what}"
    if one.queries:
        answers = "asked" if one.failures else "answered as expected"
        what += f", {fmt.plural(one.queries, 'query', 'queries')} {answers} in {fmt.duration(one.query)}"
    return what


def _missed(one: Missed) -> str:
    what = "the level" if one.what == "level" else f"{one.domain} {one.what.upper()}"
    return f"{what} {fmt.duration(one.actual)} of {fmt.duration(one.objective)}"


def _domains(page: Page, domains: Sequence[DrilledDomain]) -> None:
    columns = (
        Column("Domain", least=18, cut="middle", style=NAME),
        Column("Pri", rank=2),
        Column("Compared", right=True),
        Column("Size", right=True, rank=1),
        Column("RPO", right=True),
        Column("of", right=True),
        Column("RTO", right=True),
        Column("of", right=True),
        Column("Manifest", rank=3),
        Column("Snapshot", rank=4),
        Column(page.time_title("Looked at", [one.source_time for one in domains]), rank=5),
    )
    page.table(columns, [_domain(page, one) for one in domains])


def _domain(page: Page, one: DrilledDomain) -> list[Part]:
    good = max(one.objects - one.failed, 0)
    manifest: Part = ("none", FAINT)
    if one.manifest is not None:
        manifest = page.mark("ok", "same") if one.manifest else page.mark("failed", "OTHER")
    return [
        one.domain, one.priority, (f"{fmt.count(good)} of {fmt.count(one.objects)}", GOOD if one.ok else BAD),
        fmt.size(one.size), _against(one.actual_rpo, one.rpo), fmt.duration(one.rpo),
        _against(one.actual_rto, one.rto), fmt.duration(one.rto), manifest, page.id(one.snapshot),
        page.time(one.source_time),
    ]  # fmt: skip


def _against(actual: float, objective: float) -> Part:
    return (fmt.duration(actual), GOOD if actual <= objective else BAD)


def _objects(page: Page, rows: Sequence[tuple[str, str, str, int, str, bool | None]]) -> None:
    columns = (
        Column("Domain", least=12, cut="middle", style=NAME),
        Column("Object", least=20, cut="middle"),
        Column("Size", right=True),
        Column("Why"),
        Column("Snapshot", rank=1),
        *((Column("Compared"),) if any(ok is not None for *_, ok in rows) else ()),
    )
    shown: list[list[Part]] = []
    for domain, path, snapshot, size, reason, ok in rows:
        line: list[Part] = [domain, path or "/", fmt.size(size), reason, page.id(snapshot)]
        shown.append(line if ok is None else [*line, page.mark("ok" if ok else "failed", "same" if ok else "DIFFERS")])
    page.table(columns, shown)


def _estimates(page: Page, estimates: Sequence[Estimate]) -> None:
    for one in estimates:
        if not one.domain:
            page.say(
                (f"estimate for {one.level.upper()}: ", STRONG),
                f"about {fmt.duration(one.seconds)} for {fmt.size(one.size)}, reckoned from {one.basis}; not measured",
            )


def _notes(page: Page, notes: Sequence[str]) -> None:
    for note in notes:
        page.say(("note: ", STRONG), note)


def drill_history(console: "Console", report: DrillHistory, *, zone: tzinfo | None = None) -> None:
    """A table of drills, what is due, and each level's times drawn against its objective."""
    with Page(console, zone) as page:
        page.say((report.target, STRONG), f": {fmt.plural(len(report.rows), 'drill')}, ",
                 (page.moment(report.at), FAINT))  # fmt: skip
        columns = (
            Column("Level"),
            Column(page.time_title("Time", [row.time for row in report.rows])),
            Column("Outcome"),
            Column("Took", right=True),
            Column("of", right=True, rank=2),
            Column("RPO", right=True),
            Column("of", right=True, rank=2),
            Column("RTO", right=True),
            Column("of", right=True, rank=2),
            Column("Objects", right=True, rank=3),
            Column("Size", right=True, rank=4),
            Column("Canary", rank=1),
            Column("Tier", rank=6),
            Column("Job", rank=5),
            Column("Phases", rank=7),
        )
        if report.rows:
            page.table(columns, [_row(page, row) for row in report.rows])
            page.blank()
            _drawing(page, report.rows)
        for one in report.due:
            _due(page, one)
        _estimates(page, report.estimates)


def _row(page: Page, row: DrillRow) -> list[Part]:
    outcome = page.mark("late", "MISSED") if row.outcome == "ok" and not row.met else page.mark(row.outcome)
    canary: Part = ("-", FAINT)
    if row.canary is not None:
        canary = page.mark("ok", "caught") if row.canary else page.mark("failed", "NOT CAUGHT")
    return [
        row.level.upper(), page.time(row.time), outcome, _worst(row.seconds if row.domains else None, row.objective),
        fmt.duration(row.objective), _worst(row.actual_rpo, row.rpo), _seconds(row.rpo),
        _worst(row.actual_rto, row.rto), _seconds(row.rto), fmt.count(row.objects), fmt.size(row.size), canary,
        row.tier, row.job, phases(row.phases),
    ]  # fmt: skip


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else fmt.duration(seconds)


def _worst(actual: float | None, objective: float | None) -> Part:
    if actual is None or objective is None:
        return ("-", FAINT)
    return _against(actual, objective)


def _drawing(page: Page, rows: Sequence[DrillRow]) -> None:
    """A line for each level and measure, oldest drill first: how much of the objective it took. The highest sign is the
    objective; what is above it, or failed, is drawn as `!`."""
    signs = BLOCKS if page.fancy else SIGNS
    page.say(
        ("Share of the objective, oldest first ", FAINT),
        (f"({signs[0]} next to nothing, {signs[-1]} all of it, ! missed or failed)", FAINT),
    )
    for level in sorted({row.level for row in rows}):
        own = [row for row in reversed(rows) if row.level == level][-DRAWN:]
        for name, drawn in (
            ("took", [_share(row, row.seconds if row.domains else None, row.objective) for row in own]),
            ("RPO", [_share(row, row.actual_rpo, row.rpo) for row in own]),
            ("RTO", [_share(row, row.actual_rto, row.rto) for row in own]),
        ):
            bars = [("!", BAD) if share is None or share > 1 else (_sign(share, signs), GOOD) for share in drawn]
            known = [share for share in drawn if share is not None]
            worst = f"  worst {fmt.percent(max(known))}" if known else ""
            if known and max(known) > 1:
                worst = f"  worst {max(known):,.1f} times the objective"
            page.say((f"{level.upper()} {name:<5}", STRONG), *bars, (worst, FAINT), indent=2)


def _share(row: DrillRow, actual: float | None, objective: float | None) -> float | None:
    if row.outcome != "ok" or actual is None or not objective:
        return None
    return actual / objective


def _sign(share: float, signs: str) -> str:
    return signs[min(max(math.ceil(share * len(signs)) - 1, 0), len(signs) - 1)]


def _due(page: Page, one: DueLevel) -> None:
    if one.due is None and one.last is None:
        return
    last = f"last good drill {page.moment(one.last)}"
    if one.due is None:
        page.say((one.level.upper(), NAME), f": {last}; none is asked for")
    elif one.overdue:
        page.say(page.mark("late", f"{one.level.upper()} is due"), f": {last}: rw drill {one.level}")
    else:
        page.say((one.level.upper(), NAME), f": {last}; the next is due by ", (page.moment(one.due), POOR))
