"""What an auditor is handed: JSON, a CSV that no spreadsheet takes for formulas, and one HTML page for paper."""

import csv
import html
import io
import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resticwrap import errors
from resticwrap.model.audit import AuditExport
from resticwrap.model.base import to_json
from resticwrap.model.evidence import Evidence
from resticwrap.report.audit import flat, summary
from resticwrap.report.format import clean, iso, stamp, zone_name

if TYPE_CHECKING:
    from rich.console import Console

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With one of these a spreadsheet begins to reckon."""
COLUMNS = (
    "chain", "number", "digest", "previous", "event", "time", "kind", "job", "by", "host", "versions", "outcome",
    "repository", "snapshots", "sampled", "sample_digest", "failures", "repair", "actual_rpo_seconds",
    "actual_rto_seconds", "body",
)  # fmt: skip
AUDITED = frozenset({"verify", "drill"})
"""The kinds that make up `restore_audit`."""
STYLE = """
@page { size: A4 landscape; margin: 12mm }
body { font: 9pt/1.35 "DejaVu Sans", Helvetica, Arial, sans-serif; color: #111; margin: 1.5em }
h1 { font-size: 15pt; margin: 0 0 .3em } h2 { font-size: 11pt; margin: 1.4em 0 .4em }
table { border-collapse: collapse; width: 100% } thead { display: table-header-group }
th, td { border: .5pt solid #888; padding: .25em .4em; text-align: left; vertical-align: top; overflow-wrap: anywhere }
th { background: #eee } tr { break-inside: avoid } code { font: 8pt "DejaVu Sans Mono", Consolas, monospace }
.ok { color: #064 } .bad { color: #a00; font-weight: bold }
@media print { body { margin: 0 } th { print-color-adjust: exact } }
"""


def written(export: AuditExport, form: str, out: Path | None, zone: tzinfo | None = None) -> AuditExport:
    """Write the export to a file, whole or not at all, where one is named. Raises UsageError where it cannot be."""
    if out is None:
        return export
    beside = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        beside.write_text(document(export, form, zone), encoding="utf-8", newline="")
        os.replace(beside, out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise errors.UsageError(f"{out} cannot be written: {error.strerror}.", hint="--out FILE") from error
    return export


def printed(console: "Console", export: AuditExport, form: str, out: Path | None) -> None:
    """The export itself, or where it was written."""
    if out is None:
        console.file.write(document(export, form, None))
        return
    verdict = "and the evidence holds" if export.audit.ok else "and THE EVIDENCE DOES NOT HOLD: rw audit verify"
    console.print(f"{len(export.records)} records written to {clean(str(out))}, {verdict}.", soft_wrap=True)


def document(export: AuditExport, form: str, zone: tzinfo | None) -> str:
    """The export as text of that form, with a line end at its end."""
    if form == "json":
        return to_json(export).decode() + "\n"
    return table(export) if form == "csv" else page(export, zone)


def table(export: AuditExport) -> str:
    """One line for each record. A cell that a spreadsheet would reckon with begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for one in export.records:
        writer.writerow([harmless(cell) for cell in _cells(one, export.digests[f"{one.installation}:{one.seq}"])])
    return out.getvalue()


def harmless(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula, nor for control characters."""
    return f"'{clean(text)}" if text.lstrip(" ").startswith(FORMULA) else clean(text)


def _cells(one: Evidence, digest: str) -> list[str]:
    event, body = one.event, one.event.body
    rpo, rto = _worst(body, "actual_rpo"), _worst(body, "actual_rto")
    return [
        one.installation, str(one.seq), digest, one.previous, event.id, iso(event.at, None), event.kind,
        event.job, event.by, event.host,
        " ".join(f"{name}={version}" for name, version in sorted(event.versions.items())),
        str(body.get("outcome", "")), str(body.get("repository", "")), " ".join(_snapshots(body)),
        str(_sampled(body)), str(body.get("digest", "")), _failures(body), str(body.get("repair", "")),
        "" if rpo is None else f"{rpo:.0f}", "" if rto is None else f"{rto:.1f}", to_json(body).decode(),
    ]  # fmt: skip


def page(export: AuditExport, zone: tzinfo | None) -> str:
    """One page that needs nothing else: the verdict, the heads of the chains, what was restored, and all the rest."""
    audit = export.audit
    proofs = [one for one in export.records if one.event.kind in AUDITED]
    others = [one for one in export.records if one.event.kind not in AUDITED]
    times = [export.at, *(one.event.at for one in export.records)]

    def when(time: Any) -> str:
        return stamp(time, zone)

    verdict = '<p class="ok">The chains of evidence hold.</p>'
    if not audit.ok:
        verdict = '<p class="bad">THE CHAINS OF EVIDENCE DO NOT HOLD.</p>'
    rows: list[Sequence[str]] = [
        [
            when(one.event.at), one.event.kind, str(one.event.body.get("level", one.event.body.get("tier", ""))),
            str(one.event.body.get("repository", ""))[:12], " ".join(name[:12] for name in _snapshots(one.event.body)),
            f"{_sampled(one.event.body)} {str(one.event.body.get('digest', ''))[:16]}",
            str(one.event.body.get("outcome", "")), _failures(one.event.body), str(one.event.body.get("repair", "")),
            _seconds(_worst(one.event.body, "actual_rpo")), _seconds(_worst(one.event.body, "actual_rto")),
            " ".join(f"{name} {version}" for name, version in sorted(one.event.versions.items())),
            f"{one.event.by}@{one.event.host}", f"{one.installation[:8]}:{one.seq}",
        ]
        for one in proofs
    ]  # fmt: skip
    period = f"{iso(export.since, zone, 'the first record')} to {iso(export.until, zone, 'the last')}"
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f"<title>Evidence of {_text(export.target)}</title><style>{STYLE}</style></head><body>",
        f"<h1>Evidence of restores: target {_text(export.target)}</h1>",
        f"<p>Made {_text(when(export.at))}, {_text(period)}; times in {_text(zone_name(times, zone))}.</p>",
        f"<p>{len(export.records)} records here, {audit.records} in all; {audit.manifests} manifests compared.</p>",
        verdict,
        _list([f"{one.kind}: chain {one.installation}, record {one.seq}: {one.message}" for one in audit.findings]),
        _list(audit.notes),
        "<h2>Chains</h2>",
        _table(
            ("Chain", "Records", "Newest", "Digest of the newest record", "Known up to", "Vouched for by"),
            (
                (
                    f"{chain.installation}{' (this machine)' if chain.own else ''}",
                    str(chain.records),
                    when(chain.head.at) if chain.head else "-",
                    chain.head.digest if chain.head else "-",
                    "-" if chain.witnessed is None else str(chain.witnessed),
                    ", ".join(chain.witnesses) or "nothing outside the chain",
                )
                for chain in audit.chains
            ),
        ),
        "<h2>Restores and verifies</h2>",
        _table(
            ("Time", "Kind", "Level or tier", "Repository", "Snapshots", "Sample and its digest", "Verdict", "Failures",
             "Repair", "Actual RPO", "Actual RTO", "Versions", "Who and where", "Record"),
            rows,
        ),
        "<h2>Everything else</h2>",
        _table(
            ("Time", "Kind", "What", "Details", "Job", "Who and where", "Record"),
            (
                (
                    when(one.event.at), one.event.kind, summary(one),
                    "; ".join(f"{name}: {value}" for name, value in flat(one.event.body)), one.event.job,
                    f"{one.event.by}@{one.event.host}", f"{one.installation[:8]}:{one.seq}",
                )
                for one in others
            ),
        ),
        "</body></html>\n",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _text(value: str) -> str:
    return html.escape(clean(value))


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>" if items else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return "<p>None.</p>"
    head = "".join(f"<th>{_text(title)}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _domains(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = body.get("domains")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _snapshots(body: dict[str, Any]) -> list[str]:
    named = [str(one.get("snapshot", "")) for one in _domains(body)]
    listed = body.get("snapshots")
    if isinstance(listed, list):
        named += [str(one) for one in listed]
    return list(dict.fromkeys(name for name in named if name))


def _sampled(body: dict[str, Any]) -> int:
    found = body.get("sampled")
    return found if isinstance(found, int) else sum(int(one.get("objects") or 0) for one in _domains(body))


def _failures(body: dict[str, Any]) -> str:
    """How many objects did not come back, damages by kind, and what else went wrong."""
    failed = int(body.get("failed") or 0) + sum(int(one.get("failed") or 0) for one in _domains(body))
    said = [f"{failed} objects"] if failed else []
    damages = body.get("damages")
    if isinstance(damages, dict):
        said += [f"{count} {kind}" for kind, count in damages.items()]
    failures = body.get("failures")
    if isinstance(failures, list):
        said += [str(one) for one in failures]
    return "; ".join(said)


def _worst(body: dict[str, Any], name: str) -> float | None:
    """The largest of a drill's domains."""
    found = [one[name] for one in _domains(body) if isinstance(one.get(name), int | float)]
    return max(found, default=None)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"
