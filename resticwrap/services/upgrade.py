"""`rw pre-upgrade` and `rw upgrade`: a pinned snapshot, the gate, the command, a drill; and the way back.

Every step is in the job's record before it begins. Whatever ends an upgrade before its last step, the pin stays, and
`status` says what was left and what to run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from resticwrap import errors
from resticwrap.model.aging import SnapshotPin
from resticwrap.model.gate import GateReport
from resticwrap.model.job import Job, Outcome
from resticwrap.model.policy import Domain
from resticwrap.model.upgrade import (
    PreUpgradeReport,
    Step,
    UpgradeDetails,
    UpgradeLeft,
    UpgradePlan,
    UpgradeReport,
    UpgradeStatus,
    upgrade_details,
)
from resticwrap.planning import backup as planned_backup
from resticwrap.planning import upgrade as planning
from resticwrap.planning.gate import SnapshotFacts
from resticwrap.ports import Commands
from resticwrap.services import audit, backup, gate, interrupted, pins, restoreplace
from resticwrap.services.choosing import Wish
from resticwrap.services.context import Context, Records, info
from resticwrap.services.drill import levels
from resticwrap.services.drill.frame import Order

REASON = "before an upgrade"
UPGRADES_LOOKED_AT = 100


@dataclass(frozen=True)
class Rehearsed:
    """What a drill of the snapshot said: its job (empty: none could begin), the verdict, and why not."""

    job: str
    ok: bool
    why: str = ""
    bad: tuple[str, ...] = ()
    """The domains of which something did not come back as it was; all of them where the drill failed as a whole."""


Drill = Callable[[Context, Job], Rehearsed]
"""Drills what a backup job left."""


def pre_upgrade(context: Context, domains: Mapping[str, Domain], reason: str) -> PreUpgradeReport:
    """A full backup of these domains, pinned until somebody releases it. Not pinned where one was not seen whole."""
    plan = backup.plan(context, "full", domains)
    report = backup.backup(context, plan)
    notes = list(report.warnings)
    if _missing(report.job, domains):
        notes.append("Not every domain was seen whole, so nothing is pinned: see what failed, and run it again.")
        return PreUpgradeReport(job=report.job, notes=tuple(notes))
    pinned = _pin(context, report.job, reason or REASON, report.job.id)
    notes += pinned.notes
    body = {"step": "snapshot", "snapshot_job": report.job.id, "pin": pinned.pins[0].id, "domains": len(domains)}
    if late := audit.record(context, "upgrade", body, job=report.job.id):
        notes.append(late)
    return PreUpgradeReport(job=report.job, pin=pinned.pins[0], notes=tuple(notes))


def pre_upgrade_code(report: PreUpgradeReport) -> int:
    """0 where it is pinned; else as the backup's, which is at least partial."""
    if report.pin is not None:
        return errors.OK
    return planned_backup.exit_code_of(report.job.outcome, report.job.domains) or errors.PARTIAL


def plan(context: Context, command: Sequence[str], *, rollback: bool) -> UpgradePlan:
    """What an upgrade would do, and what the gate says now."""
    name = name_of(command)
    return UpgradePlan(
        target=context.target_name,
        command=name,
        backup=backup.plan(context, "full", context.settings.domains),
        steps=planning.steps(name, rollback=rollback),
        gate=gate.ask(context),
    )


def upgrade(
    context: Context,
    command: Sequence[str],
    commands: Commands,
    drill: Drill,
    *,
    reason: str = "",
    rollback: bool = False,
    force: bool = False,
) -> UpgradeReport:
    """Do it. Raises where it cannot begin: Locked where another one runs, CatalogUnavailable without a record.

    `rollback`: where command or drill fails everything is restored in place; `force` as in a restore in place.
    """
    planned = backup.plan(context, "full", context.settings.domains)
    interrupted.close(context)
    details = UpgradeDetails(command=name_of(command), reason=reason.strip() or REASON)
    job = msgspec.structs.replace(context.new_job("upgrade"), details=details.builtins())
    with context.locks.hold(f"upgrade {context.target_name}"), context.running(job, strict=True) as job:
        work = _Upgrade(context, job, details, drill, rollback=rollback, force=force)
        return work.run(planned, command, commands)


def name_of(command: Sequence[str]) -> str:
    """What a command is called, without arguments, which may hold secrets."""
    return command[0].rstrip("/").rsplit("/", 1)[-1]


def sampled(context: Context, written: Job) -> Rehearsed:
    """An L1 drill of the very snapshots that a backup job left, with at least one object of every domain."""
    snapshots = {run.domain: run.snapshot for run in written.domains if run.snapshot}
    asked = levels.Asked(
        order=Order(level="l1"),
        domains=tuple(snapshots),
        snapshots=snapshots,
        objects=max(context.settings.recovery.drills.objects, len(snapshots)),
    )
    report = levels.drill(context, asked)
    bad = [f"{one.domain}: {', '.join(one.failures) or 'not as it was'}" for one in report.drill.domains if not one.ok]
    if report.drill.canary is not None and not report.drill.canary.ok:
        bad.append(f"canary: {report.drill.canary.why}")
    failed = tuple(one.domain for one in report.drill.domains if not one.ok)
    return Rehearsed(
        job=report.job.id,
        ok=report.ok,
        why="; ".join([*report.drill.failures, *bad]),
        bad=() if report.ok else failed or tuple(snapshots),
    )


class _Upgrade:
    """One upgrade at work."""

    def __init__(
        self, context: Context, job: Job, details: UpgradeDetails, drill: Drill, *, rollback: bool, force: bool
    ) -> None:
        self.context, self.job, self.details, self.drill = context, job, details, drill
        self.rollback, self.force = rollback, force
        self.gate: GateReport | None = None
        self.notes: list[str] = []
        self.failure: errors.Failure | None = None

    def run(self, planned: Any, command: Sequence[str], commands: Commands) -> UpgradeReport:
        """Step by step. What goes wrong is in the report, with what to run."""
        try:
            verdict = self._steps(planned, command, commands)
        except errors.Interrupted as error:
            self.failure, verdict = error, "interrupted"
        except errors.Failure as error:
            self.failure, verdict = error, "failed"
        return self._closed(verdict)

    def _steps(self, planned: Any, command: Sequence[str], commands: Commands) -> str:
        context = self.context
        report = backup.backup(context, planned)
        self.notes += report.warnings
        self._at("pin", snapshot_job=report.job.id)
        missing = _missing(report.job, context.settings.domains)
        if any(run.snapshot for run in report.job.domains):
            pinned = _pin(context, report.job, self.details.reason, f"{self.job.id}, {report.job.id}")
            self.notes += pinned.notes
            self._at("gate", pin=pinned.pins[0].id)
        if not self._open(report.job, missing):
            return "gate_closed"
        self._command(command, commands)
        if self.context.cancelled():
            return "interrupted"
        if self.details.exit_code:
            return self._back("command_failed")
        self._at("drill", strict=False)
        done = self._drilled(report.job)
        self._at("drill", strict=False, drill=done.job, drill_ok=done.ok)
        if not done.ok:
            self.notes.append(f"The drill failed: {done.why or 'see its record'}")
            return self._back("drill_failed")
        self._at("release", strict=False)
        self._release()
        return "ok"

    def _open(self, written: Job, missing: Sequence[str]) -> bool:
        """Ask the gate, and then once more for that snapshot: whole, and readable, which a drill of every domain shows.

        Before the drill, which would otherwise be the proof that the gate asks for."""
        context = self.context
        first = gate.ask(context)
        came = sampled(context, written) if first.open and not missing else Rehearsed(job="", ok=True)
        self.notes += [came.why] if came.why else []
        asked = SnapshotFacts(job=written.id, missing=missing, unproven=came.bad)
        self.gate = report = gate.ask(context, snapshot=asked)
        self._at(
            "gate",
            gate_open=report.open,
            gate=tuple(sorted(reason.key for reason in report.reasons if reason.closes)),
            overridden=tuple(
                sorted({one.key for asked_at in (first, report) for one in asked_at.reasons if one.overridden})
            ),
        )
        if not report.open and self.details.pin:
            # Nothing was changed, so there is nothing to go back on.
            self._release()
        return report.open

    def _command(self, command: Sequence[str], commands: Commands) -> None:
        """From here on live data may be another. What cannot be written down is not begun."""
        context = self.context
        context.heed()
        self._at("command", command_at=context.clock.now())
        self._evidence({"step": "begun"}, strict=True)
        code = commands.attend(command, lambda pid: self._at("command", strict=False, pid=pid))
        self._at("command", strict=False, exit_code=code)

    def _drilled(self, written: Job) -> Rehearsed:
        """A drill that could not even begin has not shown that one can go back."""
        try:
            return self.drill(self.context, written)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            return Rehearsed(job="", ok=False, why=error.message)

    def _back(self, verdict: str) -> str:
        """Restore everything in place, where that was asked for. What keeps it from that is told: the pin stays."""
        if not self.rollback:
            return verdict
        self._at("rollback", strict=False)
        try:
            done = restoreplace.restore(self.context, Wish(domains=(), job=self.details.snapshot_job), force=self.force)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            self.notes.append(f"It could not be rolled back: {error.message} {error.hint}".rstrip())
            return verdict
        self.notes += done.notes
        if out := sorted(self.context.settings.domains.keys() - {one.domain for one in done.domains}):
            # rw itself lives on them, so they are still what the command left.
            self.notes.append(
                f"Not rolled back: {', '.join(out)}. rw restore --domain NAME --to FOLDER brings it beside."
            )
        self._at("rollback", strict=False, rollback=done.restored, rolled_back=not out)
        return verdict

    def _release(self) -> None:
        try:
            self.notes += pins.unpin(self.context, self.details.pin).notes
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            self.notes.append(f"The pin {self.details.pin} could not be released: {error.message}")
            return
        self.details = msgspec.structs.replace(self.details, released=True)

    def _at(self, step: Step, *, strict: bool = True, **more: Any) -> None:
        """Write down what comes next. Once the command was started a full disk does not stop the way back."""
        self.details = msgspec.structs.replace(self.details, step=step, **more)
        self.job = msgspec.structs.replace(self.job, details=self.details.builtins())
        try:
            self.context.state.spool(self.job)
        except errors.Failure as error:
            if strict:
                raise
            self.notes.append(error.message)

    def _evidence(self, more: Mapping[str, Any], *, strict: bool = False) -> None:
        told = self.details.builtins()
        del told["reason"], told["pid"]
        try:
            late = audit.record(self.context, "upgrade", {**told, **more}, job=self.job.id)
        except errors.Failure as error:
            if strict:
                raise
            late = f"It could not be kept as evidence: {error.message}"
        if late and late not in self.notes:
            self.notes.append(late)

    def _closed(self, verdict: str) -> UpgradeReport:
        if verdict == "ok":
            self.details = msgspec.structs.replace(self.details, step="done")
        outcomes: dict[str, Outcome] = {"ok": "ok", "interrupted": "interrupted"}
        self._evidence({"step": "ended", "at": self.details.step, "verdict": verdict})
        failure = self.failure or _failure(verdict, self.details)
        job = msgspec.structs.replace(
            self.job,
            outcome=outcomes.get(verdict, "failed"),
            finished_at=self.context.clock.now(),
            details=self.details.builtins(),
            error=info(failure) if failure else None,
        )
        if late := self.context.recorder.close(job):
            self.notes.append(late)
        left: tuple[str, ...] = ()
        if self.details.pin and not self.details.released:
            said, left = planning.standing(self.context.target_name, job.id, self.details, running=False)
            self.notes.append(f"{said} The snapshot stays pinned ({self.details.pin}).")
        elif verdict == "gate_closed":
            left = ("rw gate --explain",)
        return UpgradeReport(
            job=job,
            upgrade=self.details,
            verdict=verdict,  # type: ignore[arg-type]
            gate=self.gate,
            next=left,
            notes=tuple(dict.fromkeys(self.notes)),
        )


def _failure(verdict: str, details: UpgradeDetails) -> errors.Failure | None:
    if verdict == "gate_closed":
        return errors.GateClosed(f"The gate is closed, so {details.command} was not run.")
    if verdict == "command_failed":
        return errors.Failure(f"{details.command} ended with {details.exit_code}.", hint="rw upgrade --status")
    if verdict == "drill_failed":
        return errors.VerifyFailed(
            f"{details.command} ended well, but the drill after it failed.", hint="rw upgrade --status"
        )
    if verdict == "interrupted":
        return errors.Interrupted(f"Interrupted after {details.command} was started.", hint="rw upgrade --status")
    return None


def exit_code(report: UpgradeReport) -> int:
    """0; 21 where the gate is closed, 20 where the drill failed, 130 interrupted, else what the failure says."""
    return report.job.error.exit_code if report.job.error else errors.OK


def status(context: Context) -> UpgradeStatus:
    """What pins of upgrades hold, why, and what to run. Asks records alone; what a crash left open is closed first."""
    interrupted.close(context)
    left = _left(context, context.known().pins(context.target_name))
    return UpgradeStatus(target=context.target_name, left=tuple(left))


def release(context: Context, wanted: str) -> UpgradeStatus:
    """Give up the pin of an upgrade, or of a snapshot before one, named by the id of its job. Raises NotFound, and
    Locked where that upgrade is running."""
    interrupted.close(context)
    held = [one for one in _left(context, pins.pins(context)) if wanted in (one.pin.id, *_jobs(one.pin))]
    if not held:
        raise errors.NotFound(f"No pin is held for {wanted}.", hint="rw upgrade --status")
    if any(one.running for one in held):
        raise errors.Locked(f"{wanted} is running.", hint="rw upgrade --status")
    released: list[SnapshotPin] = []
    notes: list[str] = []
    for one in held:
        report = pins.unpin(context, one.pin.id)
        released += report.pins
        notes += report.notes
        body = {"step": "released", "pin": one.pin.id}
        if late := audit.record(context, "upgrade", body, job=one.job):
            notes.append(late)
    left = _left(context, context.known().pins(context.target_name))
    return UpgradeStatus(
        target=context.target_name, left=tuple(left), released=tuple(released), notes=tuple(dict.fromkeys(notes))
    )


def _left(records: Records, known: Sequence[SnapshotPin]) -> list[UpgradeLeft]:
    """Of each pin of an upgrade that holds now, newest first."""
    now, target = records.clock.now(), records.target_name
    jobs = {job.id: job for job in records.known().jobs(target, kind="upgrade", limit=UPGRADES_LOOKED_AT)}
    jobs |= {job.id: job for job in records.state.spooled() if job.kind == "upgrade" and job.target == target}
    found = []
    for pin in sorted(known, key=lambda one: (one.created_at, one.id), reverse=True):
        if pin.kind != "upgrade" or not pin.holds(now):
            continue
        job = next((job for job in jobs.values() if job.id in _jobs(pin)), None)
        details = upgrade_details(job) if job else None
        if job is None or details is None:
            name = _named(pin)
            said = "It was pinned before an upgrade."
            again = (f"rw upgrade --target {target} --release {name}   (once nobody wants to go back)",)
            back = tuple(planning.go_back(target, name)) if name.startswith("snapshot_") else ()
            found.append(
                UpgradeLeft(pin=pin, job=name, at=pin.created_at, running=False, said=said, next=(*back, *again))
            )
            continue
        running = job.outcome == "running"
        said, run = planning.standing(target, job.id, details, running=running)
        found.append(UpgradeLeft(pin=pin, job=job.id, at=job.started_at, running=running, said=said, next=run))
    return found


def _missing(written: Job, domains: Mapping[str, Domain]) -> tuple[str, ...]:
    """The domains that a backup did not see whole."""
    whole = {run.domain for run in written.domains if run.complete and run.snapshot}
    return tuple(sorted(domains.keys() - whole))


def _pin(context: Context, written: Job, reason: str, jobs: str) -> Any:
    """Pin what a backup wrote. The ids of the jobs stand at the end of the reason, in brackets: by them it is found."""
    wanted = [run.snapshot for run in written.domains if run.snapshot]
    return pins.pin(context, wanted, f"{reason} ({jobs})", kind="upgrade")


def _jobs(pin: SnapshotPin) -> Sequence[str]:
    """The ids of jobs at the end of a pin's reason."""
    _, _, inside = pin.reason.rpartition("(")
    return [name.strip() for name in inside.removesuffix(")").split(",")] if pin.reason.endswith(")") else []


def _named(pin: SnapshotPin) -> str:
    return next(iter(_jobs(pin)), "") or pin.id
