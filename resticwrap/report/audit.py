"""What lies in the chains of evidence, and whether they hold."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from resticwrap.model.audit import AuditReport
from resticwrap.model.evidence import Evidence
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import FAINT, NAME, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

TOLD = ("level", "tier", "domain", "outcome", "ok", "reason", "sampled", "failed", "proven", "changed", "removed")
"""What a line of the log shows of a record's body, where it has it."""


def audit(console: "Console", report: AuditReport, *, zone: tzinfo | None = None) -> None:
    """The verdict, each chain, and each thing that does not hold."""
    with Page(console, zone) as page:
        verdict = page.mark("ok", "holds") if report.ok else page.mark("failed", "DOES NOT HOLD")
        count = f"{fmt.plural(report.records, 'record')} in {fmt.plural(len(report.chains), 'chain')}"
        page.say(("Evidence", STRONG), f" of {report.target}: ", verdict, f". {count}, ",
                 f"{fmt.plural(report.manifests, 'manifest')} asked.")  # fmt: skip
        if report.chains:
            columns = (
                Column("Chain", style=NAME),
                Column("Records", right=True),
                Column("Newest", rank=2),
                Column("Known up to", right=True),
                Column("By", least=12, rank=3),
            )
            rows: list[list[Part]] = [
                [
                    f"{chain.installation}{' (ours)' if chain.own else ''}", fmt.count(chain.records),
                    page.time(chain.head.at) if chain.head else "-",
                    "-" if chain.witnessed is None else str(chain.witnessed), ", ".join(chain.witnesses[:2]) or "-",
                ]
                for chain in report.chains
            ]  # fmt: skip
            page.table(columns, rows)
        for finding in report.findings:
            page.say(page.mark("failed", finding.kind), f" in chain {finding.installation}: {finding.message}")
        for chain in report.chains:
            if chain.own and chain.head is not None:
                page.say(("head: ", FAINT), chain.head.words)
        for note in report.notes:
            page.say(("note: ", STRONG), note)


def evidence(console: "Console", records: Sequence[Evidence], *, zone: tzinfo | None = None) -> None:
    """A line for each record."""
    with Page(console, zone) as page:
        if not records:
            page.say("No evidence is known. rw audit log --from-target reads the target itself.")
            return
        columns = (
            Column("No.", right=True),
            Column(page.time_title("Time", [one.event.at for one in records])),
            Column("Kind", style=NAME),
            Column("What", least=16),
            Column("Job", rank=2),
            Column("By", rank=3),
            Column("Chain", rank=4),
        )
        rows: list[list[Part]] = [
            [
                str(one.seq), page.time(one.event.at), one.event.kind, summary(one), one.event.job or "-",
                f"{one.event.by}@{one.event.host}", one.installation,
            ]
            for one in records
        ]  # fmt: skip
        page.table(columns, rows)
        page.say((fmt.plural(len(records), "record"), FAINT))


def summary(one: Evidence) -> str:
    """What a record says, in a line."""
    body = one.event.body
    return ", ".join(f"{key} {_plain(body[key])}" for key in TOLD if body.get(key) not in (None, "", {}, [])) or "-"


def evidence_record(console: "Console", one: Evidence, *, zone: tzinfo | None = None) -> None:
    """One record whole."""
    with Page(console, zone) as page:
        event = one.event
        page.say((f"Evidence {one.seq}", STRONG), f" of chain {one.installation}, target {one.target}")
        facts: dict[str, Any] = {
            "event": event.id,
            "kind": event.kind,
            "time": page.moment(event.at),
            "by": f"{event.by}@{event.host}",
            "job": event.job or "-",
            "versions": ", ".join(f"{name} {version}" for name, version in event.versions.items()) or "-",
            "previous": one.previous or "-",
        }
        for name, value in [*facts.items(), *flat(event.body)]:
            page.say((f"{name}: ", FAINT), str(value), indent=2)


def flat(body: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Names with dots and plain values: what a table can hold of a body."""
    found: list[tuple[str, str]] = []
    for key, value in body.items():
        if isinstance(value, dict) and value:
            found += flat(value, f"{above}{key}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, item in enumerate(value):
                found += flat(item, f"{above}{key}.{number}.") if isinstance(item, dict) else [
                    (f"{above}{key}.{number}", _plain(item))
                ]  # fmt: skip
        else:
            found.append((f"{above}{key}", _plain(value)))
    return found


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return " ".join(_plain(item) for item in value) or "-"
    return str(value)
