"""Setting up and looking after: init, doctor, locks, catalogue, policies."""

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING

from resticwrap.model.reports import DoctorReport, InitReport, RebuildReport, UnlockReport
from resticwrap.report import format as fmt
from resticwrap.report.layout import Column, Part
from resticwrap.report.page import BAD, FAINT, GOOD, NAME, POOR, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console

    from resticwrap.model.assurance import Gates, RecoveryFile
    from resticwrap.model.policy import Domain, Keep, ScheduledJob, ScheduleFile, Target, Tiers


def init(console: "Console", report: InitReport) -> None:
    """What was made and what was found; loudly where a password was made."""
    with Page(console) as page:
        page.say(("Target ", STRONG), (report.target, STRONG), " is ready.")
        rows: list[list[Part]] = []
        for tier, repository in report.repositories.items():
            how = "created" if tier in report.created else "adopted" if tier in report.adopted else "was there"
            rows.append([tier, page.mark("ok", how), page.id(repository)])
        page.table((Column("Repository", style=NAME), Column("State"), Column("Id")), rows)
        if not report.password_created:
            if report.password_file:
                page.say(("password file ", FAINT), report.password_file)
            return
        page.blank()
        page.box("Keep this password elsewhere too", _warning(report.password_file or "-"), BAD)


def _warning(file: str) -> list[list[Part]]:
    loss = (
        "Without it NOBODY can restore anything from these repositories: not you, not us, not restic. There is no "
        "way to recover it, and a backup of this machine does not help, since it is locked with the same password."
    )
    advice = (
        "Copy it now to a place that does not burn down with this machine: a password manager, or a printed sheet "
        "in a safe."
    )
    return [["A new password was written to"], [(file, STRONG)], [""], [loss], [""], [(advice, STRONG)]]


def doctor(console: "Console", report: DoctorReport) -> None:
    """Every question, its answer, and for each trouble what to do."""
    with Page(console) as page:
        if not report.checks:
            page.say("Nothing was checked.")
            return
        marks = [page.mark(check.verdict) for check in report.checks]
        wide, name = max(len(text) for text, _ in marks), max(len(check.name) for check in report.checks)
        name = min(name, 28)
        for check, (text, style) in zip(report.checks, marks, strict=True):
            page.say(
                (f"{text:<{wide}}  ", style), (f"{check.name:<{name}}  ", STRONG), check.detail, hang=wide + name + 4
            )
            if check.hint and check.verdict != "ok":
                page.say(("what to do: ", STRONG), check.hint, indent=wide + 2)
        found = {
            verdict: sum(check.verdict == verdict for check in report.checks) for verdict in ("ok", "warn", "fail")
        }
        page.say(
            (f"{report.target}: ", STRONG), f"{fmt.plural(len(report.checks), 'check')}: ",
            (f"{found['ok']} ok", GOOD), ", ",
            (fmt.plural(found["warn"], "warning"), POOR if found["warn"] else ""), ", ",
            (f"{found['fail']} failed", BAD if found["fail"] else ""),
        )  # fmt: skip


LOCK_STYLES = {"alive": GOOD, "dead": POOR, "foreign": NAME}


def locks(console: "Console", report: UnlockReport, *, zone: tzinfo | None = None) -> None:
    """Whose the locks are, and which were removed."""
    with Page(console, zone) as page:
        if not report.locks:
            page.say(f"No locks on {report.target}.")
            return
        columns = (
            Column("Lock"),
            Column(page.time_title("Since", [lock.time for lock in report.locks]), rank=1),
            Column("Kind", rank=2),
            Column("Host", least=10, cut="middle"),
            Column("User", rank=3),
            Column("Pid", right=True),
            Column("Whose"),
            Column("Removed"),
        )
        rows: list[list[Part]] = [
            [
                page.id(lock.id), page.time(lock.time), "exclusive" if lock.exclusive else "shared", lock.host,
                lock.user, str(lock.pid), (lock.state, LOCK_STYLES[lock.state]),
                ("yes", STRONG) if lock.removed else "no",
            ]
            for lock in report.locks
        ]  # fmt: skip
        page.table(columns, rows)
        removed = sum(lock.removed for lock in report.locks)
        page.say(f"{fmt.plural(len(report.locks), 'lock')}, {removed} removed.")
        if any(lock.state == "foreign" and not lock.removed for lock in report.locks):
            page.say("A foreign lock belongs to another machine or to restic run by hand; it is never removed here.")


def rebuild(console: "Console", report: RebuildReport) -> None:
    """What the catalogue of a target was rebuilt from."""
    with Page(console) as page:
        page.say(
            ("Catalogue rebuilt", STRONG), f" for {report.target}: {fmt.plural(report.jobs, 'job')} from "
            f"{fmt.plural(report.manifests, 'manifest')}, {fmt.plural(report.snapshots, 'snapshot')}.",
        )  # fmt: skip
        if report.pins:
            page.say(f"{fmt.plural(report.pins, 'pin')} brought back.")
        if report.evidence:
            read = fmt.plural(report.evidence, "record")
            page.say(f"{read} of evidence read; whether they hold says rw audit verify.")
        if report.without_manifest:
            page.say(f"{fmt.plural(report.without_manifest, 'snapshot')} without a manifest: known by their tags only.")
        if report.skipped:
            page.listing([page.mark("warn", "skipped"), ":"], report.skipped)


def policy(
    console: "Console",
    *,
    default: str | None,
    targets: "Mapping[str, Target]",
    domains: "Mapping[str, Domain]",
    tiers: "Tiers",
    schedule: "ScheduleFile",
    gates: "Gates",
    recovery: "RecoveryFile",
) -> None:
    """The policies as they were understood. Never a credential: only whether there is one."""
    with Page(console) as page:
        rows: list[list[Part]] = [
            [
                name,
                target.provider,
                "yes" if name == default else "-",
                target.namespace,
                _place(target),
                _password(target),
            ]
            for name, target in targets.items()
        ]
        page.table(TARGETS, rows)
        page.blank()
        page.table(DOMAINS, [_domain(name, domain) for name, domain in domains.items()])
        page.blank()
        named = (("hot", tiers.hot), ("cold", tiers.cold))
        kept = [[name, str(tier.days), _keep(tier.keep), _classes(tiers, name)] for name, tier in named]
        page.table(TIERS, kept)
        page.blank()
        if schedule.jobs:
            page.table(JOBS, [_job(name, job) for name, job in schedule.jobs.items()])
        verify = schedule.verify
        page.say(
            f"Times are in {schedule.time_zone}. A verify reads {verify.share} of the packs back and restores "
            f"{fmt.plural(verify.sample, 'file')}."
        )
        wanted = recovery.objectives
        page.say(
            f"Objectives: L1 {_span(wanted.l1)}, L2 {_span(wanted.l2)}, L3 {_span(wanted.l3)}. An L1 restores "
            f"{fmt.plural(recovery.drills.objects, 'object')}. The core is {', '.join(recovery.system.core)}"
            f"{', and is started' if recovery.system.start else ''}. The kit lasts {_span(recovery.kit.max_age)}."
        )
        blocking = [name for name, weight in gates.rules if weight == "block"]
        page.say(
            f"The gate wants a proof within {_span(gates.proof_within)} and a backup within "
            f"{_span(gates.backup_within)}. These close it: {', '.join(blocking) or 'none'}."
        )


TARGETS = (
    Column("Target", least=12, style=NAME),
    Column("Provider"),
    Column("Default"),
    Column("Namespace", least=10),
    Column("Place", least=20, cut="middle"),
    Column("Password", least=12, cut="middle", rank=1),
)
DOMAINS = (
    Column("Domain", least=18, cut="middle", style=NAME),
    Column("Pri"),
    Column("Layer"),
    Column("RPO", right=True),
    Column("RTO", right=True),
    Column("Schema", least=8, rank=2),
    Column("Excludes", right=True, rank=3),
    Column("Root", least=24, cut="middle"),
)
TIERS = (
    Column("Tier", style=NAME),
    Column("Days", right=True),
    Column("Keeps", least=30),
    Column("Storage class", least=16, rank=1),
)
JOBS = (
    Column("Job", least=12, style=NAME),
    Column("Kind"),
    Column("Type", rank=1),
    Column("Target", least=8),
    Column("When", least=12),
    Column("Domains", least=8, rank=2),
    Column("State"),
)


def _place(target: "Target") -> str:
    return str(target.path) if target.provider == "local" else f"{target.endpoint}/{target.bucket}"


def _password(target: "Target") -> str:
    return str(target.password_file) if target.password_file else "command" if target.password_command else "default"


def _span(value: timedelta) -> str:
    return fmt.duration(value.total_seconds())


def _domain(name: str, domain: "Domain") -> list[Part]:
    schema = f"{domain.schema_.kind} v{domain.schema_.version}" if domain.schema_ else "-"
    excludes = str(len(domain.excludes)) if domain.excludes else "-"
    root = domain.source.place
    return [name, domain.priority, domain.layer, _span(domain.rpo), _span(domain.rto), schema, excludes, root]


def _classes(tiers: "Tiers", name: str) -> str:
    """`standard`, and for cold what each provider's buckets move its data to."""
    if name == "hot":
        return tiers.hot.storage_class
    moves = [
        f"{provider}: {move.storage_class} after {fmt.plural(move.days, 'day')}"
        for provider, found in (("s3", tiers.cold.transitions.s3), ("oss", tiers.cold.transitions.oss))
        for move in found
    ]
    return ", ".join(["standard", *moves])


def _keep(keep: "Keep") -> str:
    found = []
    for name, value in keep:
        if value is True:
            found.append("everything")
        elif value:
            found.append(f"{name.replace('_', ' ')} {_span(value) if isinstance(value, timedelta) else value}")
    return ", ".join(found)


def _job(name: str, job: "ScheduledJob") -> list[Part]:
    when = f"every {_span(job.every)}" if job.every else job.cron or "-"
    state: Part = ("on", GOOD) if job.enabled else ("off", FAINT)
    return [name, job.kind, job.type or job.level or "-", job.target, when, job.named or "all", state]
