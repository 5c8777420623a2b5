"""`rw audit`."""

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, run
from resticwrap.cli.kit import PASSPHRASE, passphrase
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.audit import AuditReport
    from resticwrap.model.evidence import Evidence

FROM_TARGET = click.option("--from-target", is_flag=True, help="Read the target itself and not the catalogue.")
KINDS = ("genesis", "verify", "drill", "gate", "override", "upgrade", "raw_changed", "repair", "kit", "key", "recover")
"""Those of the model, which help and completion need not import."""
BAD = "the evidence does not hold"


class _Count(click.ParamType[Any]):
    """A number, `all` (None) or `none` (0)."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or value == "all":
            return None if value == "all" else value
        if value != "none" and not re.fullmatch(r"\d{1,9}", value):
            self.fail("must be a number, all or none", param, ctx)
        return 0 if value == "none" else int(value)


MANIFESTS = click.option(
    "--manifests",
    type=_Count(),
    metavar="N|all|none",
    default="200",
    show_default=True,
    help="How many of the newest manifests to ask for the heads they name.",
)


@click.group()
def group() -> None:
    """The evidence: what was proven, decided and found, in chains that nobody can quietly edit."""


@group.command(
    epilog=epilog(
        "rw audit verify --manifests all\nrw audit verify --kit /media/usb/teaching.kit",
        "0 1 2 10 12 20 22 130",
        code_12="--kit: another passphrase",
        code_20=BAD,
    )
)
@common
@MANIFESTS
@click.option(
    "--head",
    "heads",
    multiple=True,
    metavar="CHAIN:NUMBER:DIGEST",
    help="A head that was noted down elsewhere, as in the daily summary; may be repeated.",
)
@click.option(
    "--kit",
    "kits",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A recovery kit, which knows the head of when it was made; may be repeated.",
)
@PASSPHRASE
def verify(
    common: Common,
    manifests: int | None,
    heads: tuple[str, ...],
    kits: tuple[Path, ...],
    passphrase_file: Path | None,
) -> None:
    """Read every chain of the target back, and compare it with all that remembers it.

    That is the state directory, the catalogue, the manifests of backups, the first records of other chains, and what
    --head and --kit give.
    """
    from resticwrap.report import text
    from resticwrap.services import auditor, kit

    if passphrase_file and not kits:
        raise click.UsageError("--passphrase-file belongs to --kit.")

    def work(house: "House") -> "AuditReport":
        from resticwrap.bootstrap import sealing

        given = [auditor.head_of(head, house.clock.now()) for head in heads]
        known = []
        if kits:
            phrase = passphrase(passphrase_file, house.settings.env, house.settings.recovery.kit.passphrase_file)
            known = [kit.opened(sealing(), file.absolute(), phrase) for file in kits]
        return auditor.verify(house.context, manifests=manifests, heads=given, kits=known)

    run(common, work, text.audit, lambda report: errors.OK if report.ok else errors.VERIFY_FAILED, whole=True)


@group.command(epilog=epilog("rw audit log --kind drill --limit 10", "0 1 2 10 22 130"))
@common
@click.option("--kind", type=click.Choice(KINDS), metavar="KIND", help=f"Only {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="So many at most; 0: all.")
@FROM_TARGET
def log(common: Common, kind: Any, limit: int, from_target: bool) -> None:
    """List the evidence, newest first."""
    from resticwrap.report import text
    from resticwrap.services import auditor

    def work(house: "House") -> "list[Evidence]":
        if from_target:
            return auditor.log(auditor.stored(house.context), kind, limit or None)
        return list(auditor.known(house.records, kind, limit or None))

    run(common, work, text.evidence, whole=True)


@group.command(epilog=epilog("rw audit show 12", "0 1 2 10 22 130"))
@common
@click.argument("record")
@FROM_TARGET
def show(common: Common, record: str, from_target: bool) -> None:
    """Show one record whole.

    RECORD is its number in this machine's chain, CHAIN:NUMBER, or the id of its event.
    """
    from resticwrap.report import text
    from resticwrap.services import audit, auditor

    def work(house: "House") -> "Evidence":
        head = audit.head(house.records)
        found = auditor.stored(house.context) if from_target else auditor.known(house.records)
        return auditor.show(found, record, head.installation if head else "")

    run(common, work, text.evidence_record, whole=True)


@group.command(
    epilog=epilog(
        "rw audit export --format html --out audit.html --since 2026-01-01",
        "0 1 2 10 20 22 130",
        code_20=f"{BAD}; it is exported all the same",
    )
)
@common
@click.option("--format", "form", type=click.Choice(["json", "csv", "html"]), default="json", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.option("--since", type=TIME, metavar="TIME", help="Only what came at or after it.")
@click.option("--until", type=TIME, metavar="TIME", help="Only what came at or before it.")
@MANIFESTS
def export(
    common: Common, form: str, out: Path | None, since: datetime | None, until: datetime | None, manifests: int | None
) -> None:
    """Hand the evidence to an auditor: JSON, CSV, or a page that prints well; with the result of `rw audit verify`.

    With --json the document is printed as well where --out names a file.
    """
    from resticwrap.report import auditpage
    from resticwrap.services import auditor

    run(
        common,
        lambda house: auditpage.written(
            auditor.export(house.context, since, until, manifests=manifests), form, out, house.settings.schedule.zone
        ),
        lambda console, export: auditpage.printed(console, export, form, out),
        lambda export: errors.OK if export.audit.ok else errors.VERIFY_FAILED,
        whole=True,
    )
